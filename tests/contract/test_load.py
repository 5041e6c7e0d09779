from __future__ import annotations

from pathlib import Path

import pytest

from cloister.contract import ContractInvalid, load_contract
from cloister.errors import CloisterError, UsageError
from support.calls import call

ONE = """
from __future__ import annotations
from dataclasses import dataclass
from cloister.contract import Contract, TransactionContext
from sibling_of_contract import WORD

@dataclass
class Item:
    name: str

class Base(Contract):
    def hello(self, ctx: TransactionContext, item: Item) -> str:
        return WORD + item.name

class One(Base):
    pass
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "sibling_of_contract.py").write_text("WORD = 'hello '\n")
    return tmp_path


def write(directory: Path, text: str) -> str:
    path = directory / "some_contract.py"
    path.write_text(text)
    return str(path)


def test_the_file_s_contract_is_found_with_its_neighbours(directory: Path) -> None:
    chaincode = load_contract(write(directory, ONE))
    assert chaincode.DefaultContract == "One"
    assert call(chaincode, "hello", '{"name": "n"}').payload == b"hello n"


def test_a_class_can_be_named(directory: Path) -> None:
    assert load_contract(write(directory, ONE) + ":Base").DefaultContract == "Base"


def test_several_contracts_are_served_together_the_first_by_default(directory: Path) -> None:
    second = "class Two(Contract):\n    def f(self) -> str:\n        return '2'\n"
    chaincode = load_contract(write(directory, ONE + second))
    assert chaincode.DefaultContract == "One"
    assert call(chaincode, "Two:f").payload == b"2"


def test_a_ready_chaincode_object_wins(directory: Path) -> None:
    text = ONE + "from cloister.contract import ContractChaincode\nchaincode = ContractChaincode(Base())\n"
    assert load_contract(write(directory, text)).DefaultContract == "Base"
    assert load_contract(write(directory, text) + ":chaincode").DefaultContract == "Base"


def test_a_module_can_be_named() -> None:
    assert load_contract("cloister.samples.echo:Echo").DefaultContract == "Echo"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nowhere/contract.py", "no contract file at nowhere/contract.py"),
        ("no.such.module", "no module no.such.module"),
        ("cloister.samples.echo:Nothing", "no contract class Nothing; contract classes there: Echo"),
        ("", "not a contract reference: ''"),
    ],
)
def test_references_to_nothing_are_refused(reference: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_contract(reference)
    assert message in caught.value.message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = (", "contract some_contract.py does not load: SyntaxError: "),
        ("raise ValueError('a\\nb')", "contract some_contract.py does not load: ValueError: a b"),
        ("import no_such_module", "contract some_contract.py does not load: ModuleNotFoundError: No module named"),
        ("x = 1", "no contract class: expected a subclass of cloister.contract.Contract"),
        (ONE + "    def __init__(self, more): pass\n", "contract One cannot be created: TypeError: "),
        ("from cloister.contract import Contract\nclass C(Contract): pass", "contract C has no transaction function"),
    ],
)
def test_files_without_a_usable_contract_are_refused_in_one_line(directory: Path, text: str, message: str) -> None:
    with pytest.raises(ContractInvalid) as caught:
        load_contract(write(directory, text))
    assert message in caught.value.message
    assert "\n" not in caught.value.message
    assert isinstance(caught.value, CloisterError)

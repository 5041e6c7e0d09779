"""An execution leaves nothing behind for another one, whatever its contract keeps: no peeking, no mixing of callers."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cloister.errors import UsageError
from cloister.trusted.chaincode.contract_image import contract_digest, load_contract_image
from cloister.trusted.chaincode.contract_program import ALLOWED_IMPORTS
from cloister.wire.messages import Abandon, AskLedger, GetState, Invoke, Refusal, Result, ValueAnswer
from support import careless
from support.enclaves import Session, session_of

CLEAN = b"0 [] True 0.3333333333333333333333333333"
FUTURE = "from __future__ import annotations\n"
ALLOWED = "from cloister.contract import Contract, TransactionContext, query, transaction\n"


@pytest.fixture
def session() -> Session:
    return session_of(load_contract_image(careless.__file__))


def contract(folder: Path, source: str, name: str = "contract") -> str:
    path = folder / f"{name}.py"
    path.write_text(FUTURE + ALLOWED + source)
    return str(path)


def begin(session: Session, call: int, signed: bytes) -> ValueAnswer:
    """Run to the first read; its answer, not handed in yet."""
    question = session.enclave.handle(call, Invoke(signed))
    while isinstance(question, AskLedger):
        question = session.enclave.handle(call, session.world.answer(question))
    assert isinstance(question, GetState)
    answer = session.world.answer(question)
    assert isinstance(answer, ValueAnswer)
    return answer


def test_b3_an_execution_that_is_never_committed_leaves_nothing_for_a_later_one(session: Session) -> None:
    signed, _, _ = session.propose("remember", "hunter2")
    assert isinstance(session.world.run(session.enclave, signed), Result)
    assert session.call("recall").outcome.payload == CLEAN


def test_executions_side_by_side_share_nothing(session: Session) -> None:
    """The callers' secrets are in one attribute of the contract's, while both wait for a read."""
    ann, _, ann_key = session.propose("remember", "ann's")
    bob, _, _ = session.propose("remember", "bob's")
    waiting = begin(session, 7, ann), begin(session, 8, bob)
    assert session.call("recall").outcome.payload == CLEAN
    result = session.enclave.handle(7, waiting[0])
    assert isinstance(result, Result)
    session.chain.commit(ann, result)
    _, statement = session.verify(result)
    assert session.open_committed(statement, ann_key).payload == b"ann's"


def test_an_endorser_that_has_run_more_endorses_the_same() -> None:
    """Else whoever asks one of them more often makes endorsements fail, or decides how they turn out."""
    busy = session_of(load_contract_image(careless.__file__))
    signed, _, _ = busy.propose("recall")
    before = busy.world.run(busy.enclave, signed)
    for number in range(3):
        busy.world.run(busy.enclave, busy.propose("remember", str(number))[0])
    assert busy.world.run(busy.enclave, signed) == before


def test_modules_next_to_the_contract_are_fresh_too_and_found_by_type_hints(tmp_path: Path) -> None:
    contract(
        tmp_path,
        "from dataclasses import dataclass\nSEEN = []\n"
        "@dataclass\nclass Item:\n    name: str\n@dataclass\nclass Bid:\n    item: Item\n    price: int\n",
        "helpers",
    )
    reference = contract(
        tmp_path,
        "from helpers import Bid, Item\nclass C(Contract):\n"
        "    async def bid(self, ctx: TransactionContext, bid: Bid) -> str:\n"
        "        await ctx.get_stub().get_state('x')\n"
        "        import helpers\n"
        "        helpers.SEEN.append(bid.item.name)\n"
        "        same = isinstance(bid, helpers.Bid) and isinstance(bid.item, Item)\n"
        "        return f'{helpers.SEEN} {same}'\n",
    )
    session = session_of(load_contract_image(reference))
    bid = '{"item": {"name": "%s"}, "price": 5}'
    ann, _, ann_key = session.propose("bid", bid % "clock")
    waiting = begin(session, 7, ann)
    assert session.call("bid", bid % "vase").outcome.payload == b"['vase'] True"
    result = session.enclave.handle(7, waiting)
    assert isinstance(result, Result)
    session.chain.commit(ann, result)
    assert session.open_committed(session.verify(result)[1], ann_key).payload == b"['clock'] True"


def test_d6_what_a_contract_logs_reaches_nobody(
    session: Session, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Handlers are made where the contract is loaded: they must not get hold of the real stream there."""
    session.call("remember", "hunter2")
    told = capfd.readouterr()
    assert "hunter2" not in told.out + told.err


# --- what a contract may do to the enclave ----------------------------------------------------------------------------

ENDINGS = {
    "BaseException": "raise BaseException('x')",
    "GeneratorExit": "raise GeneratorExit",
    "SystemExit": "raise SystemExit(3)",
    "StopIteration": "raise StopIteration",
    "waits for nothing": "await Never()",
}
NEVER = "class Never:\n    def __await__(self):\n        yield\n"


@pytest.mark.parametrize("ending", ENDINGS)
def test_e2_a_contract_that_ends_oddly_ends_one_call(tmp_path: Path, ending: str) -> None:
    reference = contract(
        tmp_path,
        f"{NEVER}class C(Contract):\n    async def end(self, ctx: TransactionContext) -> str:\n"
        f"        {ENDINGS[ending]}\n    async def go(self, ctx: TransactionContext) -> str:\n        return 'on'\n",
    )
    session = session_of(load_contract_image(reference))
    assert isinstance(session.world.run(session.enclave, session.propose("end")[0]), Result | Refusal)
    assert session.call("go").outcome.payload == b"on"


@pytest.mark.parametrize("reaction", ["raise ValueError", "raise SystemExit", "await ctx.get_stub().get_state('y')"])
def test_e2_an_abandoned_contract_that_objects_is_forgotten(tmp_path: Path, reaction: str) -> None:
    reference = contract(
        tmp_path,
        "class C(Contract):\n    async def end(self, ctx: TransactionContext) -> str:\n        try:\n"
        f"            await ctx.get_stub().get_state('x')\n        finally:\n            {reaction}\n",
    )
    session = session_of(load_contract_image(reference))
    begin(session, 7, session.propose("end")[0])
    assert session.enclave.handle(7, Abandon()) is None


# --- what is measured is what runs ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "import pytest",
        "import cloister.trusted.chaincode.keys",
        "from cloister import trusted",
        "from cloister.contract import server",
        "import cloister.contract.server.run",
        "import os.path",
        "import pickle",
        "import sqlite3",
        "import syslog",
        "import gzip",
        "from timeit import default_timer",
        "import _socket",
        "from . import helpers",
        "def f():\n    import random",
        "import package",
    ],
)
def test_c1_imports_of_what_is_not_measured_are_refused(tmp_path: Path, line: str) -> None:
    """Not even what lies next to the contract or among installed packages: a host could put other code there."""
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("SECRET = 1\n")
    with pytest.raises(UsageError, match="must not import"):
        contract_digest(contract(tmp_path, f"{line}\nclass C(Contract):\n    def f(self): ...\n"))


def test_what_only_computes_may_be_imported(tmp_path: Path) -> None:
    source = "\n".join(f"import {name}" for name in sorted(ALLOWED_IMPORTS - {"__future__"}))
    reference = contract(
        tmp_path, f"{source}\nclass C(Contract):\n    @query\n    def f(self) -> str: return zlib.__name__\n"
    )
    assert session_of(load_contract_image(reference)).call("f").outcome.payload == b"zlib"


@pytest.mark.parametrize("name", ["os", "pytest", "cloister.trusted.chaincode.enclave", "package"])
def test_c1_imports_found_only_while_running_are_refused(tmp_path: Path, name: str) -> None:
    reference = contract(
        tmp_path,
        "class C(Contract):\n    @query\n    async def f(self, ctx: TransactionContext) -> str:\n"
        f"        return str(__import__('{name}'))\n",
    )
    outcome = session_of(load_contract_image(reference)).call("f").outcome
    assert (outcome.status, outcome.message) == (500, f"a confidential contract cannot import {name}")


def test_c1_a_module_installed_under_a_measured_files_name_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "helpers.py").write_text("WORD = 'unmeasured'\n")
    monkeypatch.setattr(sys, "path", [str(installed), *sys.path])
    folder = tmp_path / "contract"
    folder.mkdir()
    contract(folder, "WORD = 'measured'\n", "helpers")
    reference = contract(
        folder, "import helpers\nclass C(Contract):\n    @query\n    def f(self) -> str:\n        return helpers.WORD\n"
    )
    assert session_of(load_contract_image(reference)).call("f").outcome.payload == b"measured"


@pytest.mark.parametrize("builtin", ["eval('1')", "exec('1')", "compile('1', '', 'eval')", "input()", "breakpoint()"])
def test_a_caller_cannot_send_code_where_an_author_is_careless(tmp_path: Path, builtin: str) -> None:
    """Whoever gets code of their own into an enclave has its keys."""
    reference = contract(
        tmp_path,
        f"class C(Contract):\n    @query\n    def f(self) -> str:\n        return {builtin}\n",
    )
    outcome = session_of(load_contract_image(reference)).call("f").outcome
    assert outcome.status == 500
    assert outcome.message.endswith("is not defined")


@pytest.mark.parametrize(
    "clock",
    [
        "import datetime as dt\nNOW = lambda: dt.datetime.now()\n",
        "from datetime import date\nNOW = lambda: date.today()\n",
    ],
)
def test_e2_a_contract_that_asks_the_clock_is_refused(tmp_path: Path, clock: str) -> None:
    with pytest.raises(UsageError, match="must not ask the clock"):
        contract_digest(contract(tmp_path, f"{clock}class C(Contract):\n    def f(self): ...\n"))

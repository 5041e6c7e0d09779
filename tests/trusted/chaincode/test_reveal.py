"""When an answer is told: on commit, whatever code of the contract's gives it, unless its author chose otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from cloister.errors import UsageError
from cloister.trusted.chaincode.contract_image import load_contract_image
from cloister.trusted.protocol.statement import REVEAL_AT_ENDORSEMENT, REVEAL_ON_COMMIT
from cloister.wire.messages import Result
from support.enclaves import Session, session_of

IMPORTS = "from cloister.contract import Contract, TransactionContext, query, transaction\n"
UNKNOWN = """
class C(Contract):
    async def UnknownTransaction(self, ctx: TransactionContext) -> str:
        return "dispatched by hand"
    async def known(self, ctx: TransactionContext) -> str:
        return "known"
"""
BEFORE = """
class C(Contract):
    async def BeforeTransaction(self, ctx: TransactionContext) -> None:
        raise ValueError("a secret of the state's")
    async def known(self, ctx: TransactionContext) -> str:
        return "known"
"""
PLAIN = """
class C(Contract):
    async def known(self, ctx: TransactionContext) -> str:
        return "known"
"""


def session_with(folder: Path, source: str) -> Session:
    path = folder / "contract.py"
    path.write_text(IMPORTS + source)
    return session_of(load_contract_image(str(path)))


def reveal(session: Session, function: str) -> str:
    result = session.world.run(session.enclave, session.propose(function)[0])
    assert isinstance(result, Result)
    return session.verify(result)[1].reveal


@pytest.mark.parametrize("source", [UNKNOWN, BEFORE], ids=["unknown", "before"])
def test_b3_what_a_hook_answers_to_an_unknown_function_is_told_on_commit(tmp_path: Path, source: str) -> None:
    """A contract may serve any name, and tell what it likes; a caller need not submit to ask under a false one."""
    session = session_with(tmp_path, source)
    assert reveal(session, "anything") == REVEAL_ON_COMMIT
    assert reveal(session, "C:anything") == REVEAL_ON_COMMIT


def test_that_a_function_does_not_exist_is_told_at_once(tmp_path: Path) -> None:
    """The honest twin: no code of the contract's has run."""
    session = session_with(tmp_path, PLAIN)
    assert reveal(session, "known") == REVEAL_ON_COMMIT
    for name in ("anything", "C:anything", "Other:known", "C:"):
        assert reveal(session, name) == REVEAL_AT_ENDORSEMENT


@pytest.mark.parametrize(
    "source",
    [
        "class C(Contract):\n    @transaction(evaluate=True, reveal='on-commit')\n    def f(self) -> str: ...\n",
        (
            "class C(Contract):\n    def get_evaluate_transactions(self): return ['f']\n"
            "    @transaction(reveal='on-commit')\n    def f(self) -> str: ...\n"
        ),
    ],
    ids=["decorator", "list"],
)
def test_a_query_that_is_to_be_revealed_on_commit_is_refused(tmp_path: Path, source: str) -> None:
    """A query commits nothing, so it would tell at once what its author wanted to hold back."""
    with pytest.raises(UsageError, match="a query commits nothing"):
        session_with(tmp_path, source)


@pytest.mark.parametrize("spaces", ["('lot/')", "['']", "('lot/', '')", "['\\0lot']", "5", "[b'lot/']"])
def test_clear_key_spaces_that_lay_open_more_than_meant_are_refused(tmp_path: Path, spaces: str) -> None:
    """A forgotten comma makes text of a tuple: every key that begins with one of its letters would be in clear."""
    source = f"class C(Contract):\n    clear_key_spaces = {spaces}\n    def f(self) -> str: ...\n"
    with pytest.raises(UsageError, match="clear_key_spaces"):
        session_with(tmp_path, source)

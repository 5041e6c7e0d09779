"""A host that lies on command: one switch for each attack of the threat list (docs/security.md) that can be made here.

    channel = ConfidentialChannel(Auction)
    attack(channel, Attack.ROW_LEFT_OUT)
    with pytest.raises(CloisterError):
        await ann.submit("eval", "a")

A switch attacks wherever it can, from opportunity `after` on. It says by itself what it has won, if anything
(`findings`); whether a lie was believed, only the caller can tell: `assert_withstands` compares.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from cloister.client.confidential import ConfidentialResult

from .confidential import Call, ConfidentialChannel, Proceed, go_on
from .host import Behaviour


class Attack(Enum):
    """(row of the threat list, what is done)."""

    STALE_VALUE = ("A1", "an older value of one key")
    MIXED_SNAPSHOT = ("A2", "a value that was never true together with those before")
    OLD_SNAPSHOT = ("A3", "everything as it was a block ago")
    ABSENT_FOR_PRESENT = ("A4", "nothing, where there is a value")
    VALUE_FOR_ABSENT = ("A4", "a value, where there is none")
    ROW_LEFT_OUT = ("A5", "a range without one of its rows")
    ROW_ADDED = ("A5", "a range with one row more")
    ROW_DOUBLED = ("A5", "a range with one row twice")
    ROWS_REORDERED = ("A5", "a range in another order")
    ROW_STALE = ("A5", "a range with an older value in one row")
    CIPHERTEXT_OF_ANOTHER_KEY = ("A6", "another key's ciphertext")
    CIPHERTEXT_CHANGED = ("A6", "a ciphertext with one bit changed")
    VALUE_PUT_BACK = ("A7", "all endorsers put an old ciphertext back")
    VALUE_WRITTEN_AGAIN = ("A8", "all endorsers write a genuine ciphertext in a transaction of their own")
    WRITES_CUT = ("A8", "all endorsers leave a write out of the enclave's result")
    WRITES_ADDED = ("A8", "all endorsers add a write to the enclave's result")
    BLOCK_DROPPED = ("A9", "a block is withheld from the ledger enclave")
    BLOCK_REPEATED = ("A9", "a block is handed over twice")
    BLOCK_ALTERED = ("A9", "a block's transactions are altered under its own header")
    BLOCK_OF_A_PEER = ("A10", "a block is signed by who is no orderer")
    FORK = ("A11", "the ledger enclave is shown another block of the same number, signed by the orderer")
    FLAGS_FLIPPED = ("A12", "validation flags say the contrary")
    LEDGER_SET_BACK = ("A15", "the ledger enclave is replaced by one that stands a block lower")
    REQUEST_REPLAYED = ("B1", "a sealed request is sent again by another client")
    CREATOR_FORGED = ("B2", "a caller's certificate without its key, and one of a self-made authority")
    NEVER_SUBMITTED = ("B3", "a transaction is endorsed, looked at and never submitted")
    OPENED_BY_ANOTHER = ("B4", "another member opens a committed outcome")
    ORDERED_INVALID = ("B4", "a transaction is made invalid on its way, then opened")
    RUN_AGAIN = ("B5", "a proposal is run again, at every organisation")
    OTHER_SNAPSHOT = ("B6", "a proposal is run again on another snapshot")
    EVALUATED = ("B7", "a transaction function is evaluated")
    REQUEST_ALTERED = ("B8", "each part of a signed proposal is altered")
    KEYS_SWAPPED = ("B9", "the registry shows a request key of the attacker's")
    RESULT_SPLICED = ("B10", "an endorsement carries the answer of an earlier transaction")
    LEDGER_ANSWER_CHANGED = ("C11", "a sealed answer of the ledger enclave with one bit changed")
    LEDGER_ANSWER_REPLAYED = ("C11", "the ledger enclave's answer to another question")
    LEDGER_SILENT = ("E4", "the ledger enclave cannot be reached")
    LEDGER_BEHIND = ("E4", "the ledger enclave gets no more blocks")
    READS_STRIPPED = ("P1", "endorsers run on an old snapshot and leave out what was read")
    TWO_REQUESTS_ONE_ID = ("P2", "of two requests under one transaction id the harmless one is committed")
    EQUAL_REQUESTS = ("P3", "equal requests under one transaction id, ciphertexts compared")
    STEERED = ("P5", "a false answer, to watch what is read next")
    VALUE_DELETED = ("P6", "all endorsers delete a key")
    CALLED_THROUGH_ANOTHER = ("P10", "a request comes in a call of another chaincode")

    @property
    def row(self) -> str:
        """The threat list's row, such as A1."""
        return self.value[0]

    @property
    def description(self) -> str:
        """What the attacker does, in a few words."""
        return self.value[1]


@dataclass(frozen=True)
class Won:
    """What an attacker has won. `kind`: LEAKED or ACCEPTED."""

    kind: str
    what: str


class Adversary(Behaviour):
    """One attack. `opportunities`: how often there was something to attack; `struck`: how often it was attacked."""

    def __init__(self, after: int = 0) -> None:
        self.after = after
        self.opportunities = 0
        self.struck = 0
        self.findings: list[Won] = []
        self.channel: ConfidentialChannel

    def strikes(self) -> bool:
        """There is something to attack: is it to be?"""
        self.opportunities += 1
        if self.opportunities <= self.after:
            return False
        self.struck += 1
        return True

    def leaked(self, what: str) -> None:
        """The attacker has learnt something."""
        self.findings.append(Won("LEAKED", what))

    def accepted(self, what: str) -> None:
        """Something was accepted that must not be."""
        self.findings.append(Won("ACCEPTED", what))

    async def around(self, call: Call, proceed: Proceed) -> ConfidentialResult:
        """A client's call; the attacker may act before and after."""
        del call
        return await proceed()


def attack(channel: ConfidentialChannel, switch: Attack, *, after: int = 0) -> Adversary:
    """Switch an attack on. `after`: let so many opportunities pass. Replaces the one before."""
    from .switches import ADVERSARIES

    adversary = ADVERSARIES[switch](after)
    install(channel, adversary)
    return adversary


def install(channel: ConfidentialChannel, adversary: Adversary) -> None:
    """Have an adversary of one's own act on a channel."""
    adversary.channel = channel
    channel.behaviour = adversary
    channel.around = adversary.around


def cease(channel: ConfidentialChannel) -> None:
    """Honest again."""
    channel.behaviour = Behaviour()
    channel.around = go_on

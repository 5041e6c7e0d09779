"""Two members were shown two chains: the statements that enclaves signed for them prove it to a third, and nothing else
does."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.cli.main import _run as run_cli
from cloister.client.checkpoints import FileCheckpoints, Known, SignedCheckpoint, load_checkpoints, load_known
from cloister.client.fork_proof import find_forks, verify_signed_checkpoint
from cloister.errors import Refused
from cloister.testing import ConfidentialChannel
from cloister.trusted.attest.policy import AppraisalPolicy
from support.counter import Counter


class Members:
    """Two members of a channel, each with its own checkpoints in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.channel = ConfidentialChannel(Counter, patience_s=0.0)
        self.ann = self.channel.client("ann")
        self.bob = self.channel.client("bob", "Org2MSP")
        self.ann.checkpoints, self.bob.checkpoints = FileCheckpoints(folder / "ann"), FileCheckpoints(folder / "bob")

    def path(self, name: str) -> Path:
        return self.folder / name / f"{self.channel.forged.genesis_hash.hex()}.json"

    def known(self, name: str) -> Known:
        return load_known(self.path(name))

    async def fork(self) -> None:
        """The orderer signs two blocks of one number; Bob's organisation is shown the other one."""
        channel, other = self.channel, self.channel.new_ledger()
        other.follow(channel.forged.blocks[1:])
        elsewhere = channel.forged.make(channel.forged.put(("k", b"v"), chaincode="plain").build())
        channel.add_block(channel.forged.make(channel.forged.put(("k", b"w"), chaincode="plain").build()))
        other.follow([elsewhere])
        host = channel.hosts[1]
        host.ledger = other
        host.connect()
        await self.ann.evaluate("value", "n")
        await self.bob.evaluate("value", "n")


@pytest.fixture
async def members(tmp_path: Path) -> Members:
    members = Members(tmp_path)
    await members.ann.submit("increment", "n")
    await members.bob.evaluate("value", "n")
    return members


async def test_a11_honest_members_agree(members: Members) -> None:
    ours, theirs = members.known("ann"), members.known("bob")
    assert set(ours.checkpoints) & set(theirs.checkpoints)
    assert find_forks(ours, theirs, members.channel.trust) == []


async def test_a11_a_fork_is_proven_by_what_enclaves_signed(members: Members) -> None:
    await members.fork()
    ours, theirs = members.known("ann"), members.known("bob")
    (fork,) = find_forks(ours, theirs, members.channel.trust)
    assert fork.proven, fork.why
    assert fork.first == members.channel.ledger.hash_of_last()
    (unproven,) = find_forks(ours, theirs, None)
    assert not unproven.proven


async def test_a11_nobody_proves_a_fork_with_statements_of_his_own(members: Members) -> None:
    await members.fork()
    ours, theirs, trust = members.known("ann"), members.known("bob"), members.channel.trust
    (fork,) = find_forks(ours, theirs, trust)
    genuine = theirs.signed[fork.height]
    for forged, why in (
        (None, "no signed statement"),
        (replace(genuine, signature=bytes(64)), "signature does not match"),
        (replace(genuine, statement=genuine.statement[:-1] + b"x"), "signature does not match"),
        (ours.signed[fork.height], "names another checkpoint"),
        (replace(genuine, chaincode="other"), "differs|belongs|another"),
        (replace(genuine, answer=b"{}"), "incomplete"),
    ):
        signed = {fork.height: forged} if forged is not None else {}
        (found,) = find_forks(ours, Known(theirs.checkpoints, signed), trust)
        assert not found.proven
        assert any(word in found.why for word in why.split("|")), found.why


async def test_whoever_does_not_trust_the_enclaves_has_no_proof(members: Members) -> None:
    signed = next(iter(members.known("ann").signed.values()))
    trust = members.channel.trust
    assert verify_signed_checkpoint(signed, trust).height
    for stranger in (
        replace(trust, policy=AppraisalPolicy()),
        replace(trust, genesis_hash=bytes(32)),
        replace(trust, measurements=frozenset()),
    ):
        with pytest.raises(Refused):
            verify_signed_checkpoint(signed, stranger)


async def test_the_command_proves_a_fork_offline(members: Members, capsys: pytest.CaptureFixture[str]) -> None:
    await members.fork()
    policy = members.folder / "policy.json"
    policy.write_bytes(members.channel.policy.encode())
    paths = [str(members.path(name)) for name in ("ann", "bob")]
    trusted = ["--policy", str(policy), "--genesis", members.channel.forged.genesis_hash.hex()]
    trusted += ["--measurement", members.channel.measurement.hex()]
    assert run_cli(["checkpoint", "compare", *paths], debug=False) == 1
    assert "not proven: nothing was said to be trusted" in capsys.readouterr().out
    assert run_cli(["checkpoint", "compare", *trusted, "--json", *paths], debug=False) == 1
    (fork,) = json.loads(capsys.readouterr().out)["forks"]
    assert fork["proven"] is True
    assert run_cli(["checkpoint", "compare", paths[0], paths[0]], debug=False) == 0


def test_files_without_statements_still_load(tmp_path: Path) -> None:
    old = tmp_path / "old.json"
    old.write_text(json.dumps({"checkpoints": {"5": "11" * 32}}))
    assert load_checkpoints(old) == {5: b"\x11" * 32}
    assert load_known(old).signed == {}


async def test_the_file_stays_small(members: Members) -> None:
    for _ in range(70):
        await members.ann.submit("increment", "n")
    known = members.known("ann")
    assert len(known.signed) == 64
    assert isinstance(next(iter(known.signed.values())), SignedCheckpoint)
    assert members.path("ann").stat().st_size < 150_000

"""A channel whose configuration changes under it, each change with transactions that show what it means."""

from __future__ import annotations

from typing import Any

from fabric_protos.common import policies_pb2
from fabric_protos.msp import msp_config_pb2

from cloister.trusted.ledger.codes import Code

from .comparison import Bench, Progress
from .configs import batch_timeout, implicit_policy, members, msp_fields, organization, revocations
from .signers import Signer, Wanted, orderer_admin, stranger

APPLICATION, ORDERER = ["Application"], ["Orderer"]
_FAILS, _BAD = Code.ENDORSEMENT_POLICY_FAILURE, Code.BAD_CREATOR_SIGNATURE


async def play_configurations(bench: Bench, progress: Progress) -> None:
    """Policies, revocations, intermediate CAs, node OUs, organisations. The orderers have a story of their own."""
    for chapter in (_policies, _revocations, _roots, _intermediates, _administrators, _organisations):
        progress(f"configurations: {chapter.__name__[1:]}")
        await chapter(bench)


async def _policies(bench: Bench) -> None:
    cast, rules = bench.cast, policies_pb2.ImplicitMetaPolicy
    one = cast.peers[:1]
    await bench.expect_put("one peer under MAJORITY", _FAILS, endorsers=one)
    await bench.reconfigure(APPLICATION, implicit_policy("Endorsement", rules.ANY), cast.admins)
    await bench.expect_put("one peer under ANY", Code.VALID, endorsers=one)
    await bench.reconfigure(APPLICATION, implicit_policy("Endorsement", rules.ALL, "Readers"), cast.admins)
    await bench.expect_put("peers read, all organisations", Code.VALID)
    await bench.expect_put("peers read, one organisation", _FAILS, endorsers=one)
    await bench.reconfigure(APPLICATION, implicit_policy("Endorsement", rules.MAJORITY, "Nothing"), cast.admins)
    await bench.expect_put("a policy that no organisation has", _FAILS)
    await bench.reconfigure(APPLICATION, implicit_policy("Endorsement", rules.MAJORITY, "Endorsement"), cast.admins)
    await bench.expect_put("as before", Code.VALID)
    await bench.reconfigure(ORDERER, batch_timeout("150ms"), [orderer_admin(bench.network)])


async def _revocations(bench: Bench) -> None:
    cast, authority = bench.cast, bench.cast.authorities[1]
    path, admin = [*APPLICATION, "Org2MSP"], cast.admins[1:]
    client = authority.issue(Wanted("client", ("client",)))
    await bench.expect_put("a client of the second organisation", Code.VALID, client=client)
    gone = authority.revoke(cast.peers[1].certificate_pem, client.certificate_pem)
    await bench.reconfigure(path, revocations(gone), admin)
    await bench.expect_put("a revoked endorser", _FAILS)
    await bench.expect_put("a revoked creator", _BAD, client=client)
    await bench.expect_put("another peer instead", Code.VALID, endorsers=[cast.peers[0], authority.issue(Wanted("p"))])
    forged = stranger(authority).revoke(cast.peers[1].certificate_pem)
    await bench.reconfigure(path, revocations(forged), admin)
    await bench.expect_put("a list that another authority signed", Code.VALID)
    await bench.reconfigure(path, revocations(), admin)
    await bench.expect_put("pardoned", Code.VALID, client=client)


async def _roots(bench: Bench) -> None:
    """A second root CA; cryptogen has the first one certify the node OUs."""
    cast = bench.cast
    path, admin = [*APPLICATION, "Org2MSP"], cast.admins[1:]
    second = stranger(bench.cast.authorities[1])
    endorsers = [cast.peers[0], second.issue(Wanted("peer"))]
    await bench.expect_put("below an unknown root", _FAILS, endorsers=endorsers)
    await bench.reconfigure(path, msp_fields(lambda config: config.root_certs.append(second.pem)), admin)
    await bench.expect_put("a node OU that another root certifies", _FAILS, endorsers=endorsers)
    await bench.reconfigure(path, msp_fields(_any_certifier), admin)
    await bench.expect_put("a node OU that any root certifies", Code.VALID, endorsers=endorsers)
    await bench.reconfigure(path, msp_fields(lambda config: config.root_certs.pop()), admin)
    await bench.expect_put("the root is gone", _FAILS, endorsers=endorsers)


async def _intermediates(bench: Bench) -> None:
    cast, authority = bench.cast, bench.cast.authorities[1]
    path, admin = [*APPLICATION, "Org2MSP"], cast.admins[1:]
    below = authority.issue_authority("intermediate")
    peer = below.issue(Wanted("below"))
    await bench.expect_put("below an unknown intermediate", _FAILS, endorsers=[cast.peers[0], peer])
    await bench.reconfigure(path, msp_fields(lambda config: config.intermediate_certs.append(below.pem)), admin)
    await bench.expect_put("below the intermediate", Code.VALID, endorsers=[cast.peers[0], peer])
    await bench.expect_put("below the root, which is inner now", _FAILS)
    by = [below.issue(Wanted("admin", ("admin",)))]
    await bench.reconfigure(path, revocations(below.revoke(peer.certificate_pem)), by)
    await bench.expect_put("revoked by the intermediate", _FAILS, endorsers=[cast.peers[0], peer])
    await bench.reconfigure(path, revocations(authority.revoke(peer.certificate_pem)), by)
    await bench.expect_put("the root's list does not count", Code.VALID, endorsers=[cast.peers[0], peer])
    await bench.reconfigure(path, msp_fields(_no_intermediate), by)
    await bench.expect_put("as before", Code.VALID)


async def _administrators(bench: Bench) -> None:
    """A listed administrator counts as one even when revoked; as a creator it does not."""
    cast, authority = bench.cast, bench.cast.authorities[1]
    path, admin = [*APPLICATION, "Org2MSP"], cast.admins[1:]
    listed = authority.issue(Wanted("listed", ("client",)))
    await bench.reconfigure(path, msp_fields(_list_admin(listed)), admin)
    await bench.reconfigure(path, revocations(authority.revoke(listed.certificate_pem)), [listed])
    await bench.expect_put("a revoked administrator as creator", _BAD, client=listed)
    await bench.reconfigure(path, revocations(), [listed])
    await bench.expect_put("and pardoned by itself", Code.VALID, client=listed)
    await bench.reconfigure(path, msp_fields(_without_node_ous), [listed])
    await bench.expect_put("no peer without node OUs", _FAILS)
    await bench.reconfigure(path, msp_fields(_with_node_ous), [listed])
    await bench.expect_put("as before", Code.VALID)


async def _organisations(bench: Bench) -> None:
    cast = bench.cast
    third = stranger(bench.cast.authorities[0]).under("Org3MSP")
    newcomer = third.issue(Wanted("peer"))
    await bench.expect_put("an organisation that is none", _FAILS, endorsers=[cast.peers[0], newcomer])
    await bench.reconfigure(APPLICATION, members(Org3MSP=organization(third)), cast.admins)
    await bench.expect_put("two of three organisations", Code.VALID, endorsers=[cast.peers[0], newcomer])
    await bench.expect_put("a client of the third", Code.VALID, client=third.issue(Wanted("c", ("client",))))
    await bench.reconfigure(APPLICATION, members(Org3MSP=None), cast.admins)
    await bench.expect_put("gone again", _FAILS, endorsers=[cast.peers[0], newcomer])


def _any_certifier(config: msp_config_pb2.FabricMSPConfig) -> None:
    for role in ("client", "peer", "admin", "orderer"):
        getattr(config.fabric_node_ous, f"{role}_ou_identifier").ClearField("certificate")


def _no_intermediate(config: msp_config_pb2.FabricMSPConfig) -> None:
    del config.intermediate_certs[:]
    del config.revocation_list[:]


def _list_admin(signer: Signer) -> Any:
    return lambda config: config.admins.append(signer.certificate_pem)


def _without_node_ous(config: msp_config_pb2.FabricMSPConfig) -> None:
    config.fabric_node_ous.enable = False


def _with_node_ous(config: msp_config_pb2.FabricMSPConfig) -> None:
    config.fabric_node_ous.enable = True

"""A channel, as one client sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from .contract import Argument, Contract, build
from .proposal import Proposal
from .session import Session

if TYPE_CHECKING:
    from .gateway import Gateway


class Network:
    """A channel. Make it with `Gateway.network`."""

    def __init__(self, gateway: Gateway, session: Session, name: str) -> None:
        self.gateway = gateway
        self._session = session
        self._name = name

    @property
    def name(self) -> str:
        """The channel's name."""
        return self._name

    def contract(self, chaincode: str, contract: str = "") -> Contract:
        """A chaincode on this channel, and optionally one named contract in it."""
        return Contract(self._session, channel=self._name, chaincode=chaincode, contract=contract)

    def get_contract(self, chaincode: str, contract: str = "") -> Contract:
        """The same as `contract`, by the name that the other clients have."""
        return self.contract(chaincode, contract)

    def new_proposal(
        self,
        chaincode: str,
        arguments: Sequence[Argument],
        *,
        transient: Mapping[str, bytes] | None = None,
        endorsing_organizations: Sequence[str] = (),
        nonce: bytes | None = None,
    ) -> Proposal:
        """A proposal with exactly these arguments, the first one being what a contract takes for the function name."""
        return build(
            self._session,
            channel=self._name,
            chaincode=chaincode,
            arguments=arguments,
            transient=transient,
            organizations=endorsing_organizations,
            nonce=nonce,
        )

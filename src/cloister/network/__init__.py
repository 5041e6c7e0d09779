"""Fabric networks on this machine, real or embedded, without Docker: for development and tests only."""

from .binaries import FABRIC_VERSION, PROGRAMS, FabricBinaries, find_binaries
from .errors import NetworkFailed, NetworkNotThere
from .layout import Orderer, Organisation, UserFiles
from .network import Network, ProcessStatus
from .options import NetworkOptions, embedded_options

__all__ = [
    "FABRIC_VERSION",
    "PROGRAMS",
    "FabricBinaries",
    "Network",
    "NetworkFailed",
    "NetworkNotThere",
    "NetworkOptions",
    "Orderer",
    "Organisation",
    "ProcessStatus",
    "UserFiles",
    "embedded_options",
    "find_binaries",
]

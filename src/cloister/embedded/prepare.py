"""Everything that an embedded network's process finds in its folder when it starts."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from pathlib import Path

from cloister.errors import EnvironmentFailed
from cloister.network.binaries import FABRIC_VERSION, cache_folder
from cloister.network.client_files import write_client_files
from cloister.network.layout import Layout, make_layout
from cloister.network.options import NetworkOptions

from .genesis import make_genesis_block
from .material import generate_material

_PLAN = "embedded.json"
"""Written last: what it names is there."""
_PATIENCE_S, _POLL_S = 10.0, 0.005


def prepare(layout: Layout) -> None:
    """Keys, certificates, genesis block, files for clients, and what the process is to be like."""
    generate_material(layout)
    layout.genesis_block.write_bytes(make_genesis_block(layout))
    write_client_files(layout, cache_folder())
    plan = {"options": asdict(layout.options), "ports": list(layout.ports().values())}
    unfinished = layout.folder / f".{_PLAN}"
    unfinished.write_text(json.dumps(plan, indent=2) + "\n", "utf-8")
    unfinished.replace(layout.folder / _PLAN)


def read_plan(folder: Path) -> Layout:
    """The layout, as soon as everything is prepared. Raises: EnvironmentFailed."""
    path = folder / _PLAN
    deadline = time.monotonic() + _PATIENCE_S
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    try:
        plan = json.loads(path.read_text("utf-8"))
        return make_layout(folder, NetworkOptions(**plan["options"]), FABRIC_VERSION, list(plan["ports"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EnvironmentFailed(
            f"{path} cannot be read: {error}", hint="start the network with `cloister network up --embedded`"
        ) from error

"""`python -m cloister.embedded --dir DIR`: the process that `cloister network up --embedded` starts."""

from __future__ import annotations

import argparse
import asyncio
import logging
from pathlib import Path

from cloister.errors import CloisterError

from .prepare import read_plan
from .run import serve

LEDGER = "ledger"
"""Below the network's folder: one copy for all peers."""


def main() -> int:
    """Serve the network in a folder until it is told to stop. Exit code 0, or that of the error."""
    parser = argparse.ArgumentParser(prog="python -m cloister.embedded", description=__doc__)
    parser.add_argument("--dir", type=Path, required=True, help="the network's folder, made by `cloister network up`")
    parser.add_argument("--memory", action="store_true", help="keep blocks in memory only")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        layout = read_plan(arguments.dir)
        asyncio.run(serve(layout, None if arguments.memory else layout.folder / LEDGER))
    except CloisterError as error:
        logging.getLogger("cloister.embedded").error("%s", error)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Serve a contract: `python -m cloister.contract --contract FILE[:CLASS] --chaincode-id ID --address HOST:PORT`.

Options win over the environment (CORE_CHAINCODE_ID_NAME, CHAINCODE_SERVER_ADDRESS). Exit codes: `cloister.errors`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from cloister.errors import CloisterError, UsageError

from .load import load_contract
from .server import load_tls, serve


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except CloisterError as error:
        sys.stderr.write(f"error: {error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    return 0


def _run(options: argparse.Namespace) -> None:
    if not options.chaincode_id:
        raise UsageError("chaincode id missing", hint="give --chaincode-id or set CORE_CHAINCODE_ID_NAME")
    if not options.address:
        raise UsageError("server address missing", hint="give --address or set CHAINCODE_SERVER_ADDRESS")
    tls = load_tls(options.tls_key, options.tls_certificate, options.tls_client_ca)
    serve(load_contract(options.contract), options.chaincode_id, options.address, tls)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cloister.contract", description="Serve a contract as chaincode-as-a-service."
    )
    parser.add_argument("--contract", required=True, help="path/to/file.py[:Class] or package.module[:Class]")
    parser.add_argument(
        "--chaincode-id",
        default=os.environ.get("CHAINCODE_ID") or os.environ.get("CORE_CHAINCODE_ID_NAME"),
        help="package id that the peer has installed (label:hash)",
    )
    parser.add_argument(
        "--address", default=os.environ.get("CHAINCODE_SERVER_ADDRESS"), help="host:port, port 0 for a free one"
    )
    parser.add_argument("--tls-key", help="PEM file of the server's key; without it the connection is in clear")
    parser.add_argument("--tls-certificate", help="PEM file of the server's certificate chain")
    parser.add_argument("--tls-client-ca", help="PEM file of the CA of peers' client certificates (mutual TLS)")
    return parser


if __name__ == "__main__":
    sys.exit(main())

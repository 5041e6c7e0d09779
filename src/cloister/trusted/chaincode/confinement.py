"""Keeps a contract from doing, by accident, what would leak or make endorsers differ.

Trust level: trusted. While a message is handled, standard output and error lead nowhere, and audit events for files,
processes and sockets are refused. This guards authors against mistakes; a contract is approved code, and Python has
no sandbox: whoever can commit a hostile measurement has other means.
"""

from __future__ import annotations

import sys

_DENIED_PREFIXES = (
    "_thread.start",
    "ctypes.",
    "fcntl.",
    "ftplib.",
    "http.",
    "mmap.",
    "os.",
    "pty.",
    "shutil.",
    "signal.",
    "smtplib.",
    "socket.",
    "sqlite3.",
    "ssl.",
    "subprocess.",
    "syslog.",
    "tempfile.",
    "urllib.",
)
# Imports inside a contract's function list folders and stat files; they read only what is measured anyway.
_ALLOWED = frozenset({"os.listdir", "os.scandir"})
_SOURCE_SUFFIXES = (".py", ".pyc", ".so")


class ConfinementError(RuntimeError):
    """A contract tried to reach outside the enclave."""


class _Nowhere:
    """A text stream that keeps nothing."""

    def write(self, text: str) -> int:
        """Forget it."""
        return len(text)

    def flush(self) -> None:
        """Nothing to do."""


class _State:
    active = False
    installed = False


def _audit(event: str, arguments: tuple[object, ...]) -> None:
    if not _State.active:
        return
    if event == "open":
        path = arguments[0] if arguments else None
        mode = arguments[1] if len(arguments) > 1 else None
        reading = mode is None or (isinstance(mode, str) and not set(mode) & set("wax+"))
        if reading and isinstance(path, str) and path.endswith(_SOURCE_SUFFIXES):
            return
        raise ConfinementError("files cannot be opened inside an enclave")
    if event.startswith(_DENIED_PREFIXES) and event not in _ALLOWED:
        raise ConfinementError("a contract cannot reach outside the enclave")


def install() -> None:
    """Install the audit hook, once per process. It cannot be removed again."""
    if not _State.installed:
        _State.installed = True
        sys.addaudithook(_audit)


class confined:  # noqa: N801 - used as a function; one for each message, so no generator
    """While inside: output leads nowhere and, if installed, the hook refuses."""

    __slots__ = ("_saved",)

    def __enter__(self) -> None:
        self._saved = (sys.stdout, sys.stderr)
        sys.stdout = sys.stderr = _Nowhere()
        _State.active = True

    def __exit__(self, *_: object) -> None:
        _State.active = False
        sys.stdout, sys.stderr = self._saved

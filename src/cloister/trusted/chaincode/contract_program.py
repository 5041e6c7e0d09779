"""A contract's code, compiled once from the bytes that were measured, and loaded anew for every execution.

Trust level: trusted. Module variables, attributes of classes and contracts, default arguments, caches of functions: all
that a contract can keep by accident ends with the execution. So one that is never committed leaves nothing behind for a
later one to tell, executions that run side by side share nothing, and endorsers agree whatever each has run before.
Not kept apart: what a contract changes inside the standard library's modules or on the classes of `cloister.contract`.
Imports of a contract are answered here: files measured with it, what of the standard library only computes,
`cloister.contract`. Anything else would run without being measured.
"""

from __future__ import annotations

import builtins
import functools
import sys
from collections.abc import Mapping
from contextvars import Context
from types import CodeType, ModuleType
from typing import Any

from cloister.errors import UsageError

API = "cloister.contract"
_SERVER = f"{API}.server"
_PREFIX = "cloister_contract_"
ALLOWED_IMPORTS = frozenset(
    """
    __future__ abc array ast base64 binascii bisect bz2 calendar cmath collections colorsys contextlib contextvars copy
    csv dataclasses datetime decimal difflib enum fnmatch fractions functools graphlib hashlib heapq hmac html ipaddress
    itertools json keyword logging lzma math numbers operator pprint re reprlib statistics string stringprep struct
    textwrap tomllib traceback types typing unicodedata xml zlib
    """.split()  # noqa: SIM905 - a list of fifty quoted words hides what is in it
)
"""Of the standard library: what computes and nothing else. Not what differs between endorsers, reaches outside (not all
of it raises audit events), lasts longer than an execution, or runs what a caller sends as code. A guard against
accidents: the code is approved anyway. `logging` is there because contracts do it; it leads nowhere."""
_WITHHELD = frozenset({"breakpoint", "compile", "eval", "exec", "input"})
"""Built-in functions that a contract does not find, for the same reasons."""

_BUILTINS = {name: value for name, value in vars(builtins).items() if name not in _WITHHELD}


@functools.lru_cache(maxsize=256)  # every execution imports the same; the answer depends on nothing else
def may_import(module: str, names: tuple[str, ...] = ()) -> bool:
    """Whether a contract may import a module that is no file of its own, or names from it."""
    top = module.partition(".")[0]
    if top == "cloister":
        found = (module, *(f"{module}.{name}" for name in names))
        return all(f"{item}.".startswith(f"{API}.") and not f"{item}.".startswith(f"{_SERVER}.") for item in found)
    return top in ALLOWED_IMPORTS


class ContractProgram:
    """`files`: sources by module name, `main` one of them. Raises: UsageError if one does not compile."""

    def __init__(self, files: Mapping[str, bytes], main: str) -> None:
        self._main = main
        self._codes = {name: _compile(name, source) for name, source in files.items()}

    def load(self) -> LoadedProgram:
        """Fresh modules. Raises: whatever the contract's modules raise."""
        return LoadedProgram(self._codes, self._main)


class LoadedProgram:
    """One execution's modules, and the context that it runs in."""

    def __init__(self, codes: Mapping[str, CodeType], main: str) -> None:
        self._codes = codes
        self._modules: dict[str, ModuleType] = {}
        self._builtins = {**_BUILTINS, "__import__": self._import}
        self.context = Context()
        """Empty: a decimal context, for instance, is the execution's own."""
        self.main = self.context.run(self._module, main)

    def enter(self) -> None:
        """Let the standard library find these modules by name, as it does for type hints given as text."""
        for name, module in self._modules.items():
            sys.modules[_PREFIX + name] = module

    def _module(self, name: str) -> ModuleType:
        module = self._modules.get(name)
        if module is None:
            module = self._modules[name] = ModuleType(_PREFIX + name)
            sys.modules[module.__name__] = module
            vars(module).update(__file__=f"{name}.py", __builtins__=self._builtins)
            try:
                exec(self._codes[name], vars(module))  # noqa: S102 - to run it is what an enclave is for
            except BaseException:
                del self._modules[name]
                raise
        return module

    def _import(
        self, name: str, _globals: Any = None, _locals: Any = None, fromlist: Any = (), level: int = 0
    ) -> ModuleType:
        if not level and may_import(name, tuple(fromlist or ())):
            return builtins.__import__(name, fromlist=fromlist or ())
        if not level and name in self._codes:
            return self._module(name)
        raise ImportError(f"a confidential contract cannot import {'.' * level}{name}")


def _compile(name: str, source: bytes) -> CodeType:
    try:
        return compile(source, f"{name}.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"contract: {name}.py: {error}") from error

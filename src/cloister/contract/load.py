"""Loading a contract from a file or a module.

Trust level: measured into enclaves: it runs the contract's own code, nothing else's.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from cloister.errors import UsageError

from .contract import Contract
from .contract_chaincode import ContractChaincode
from .errors import ContractInvalid
from .system_contract import SystemContract


def load_contract(reference: str) -> ContractChaincode:
    """Load "path/to/file.py", "path/to/file.py:Class", "package.module" or "package.module:Class".

    Without a class: the module's ContractChaincode object if it has one, else all contract classes that the module
    itself defines and that no other one of them derives from, the first being the default contract.
    The file's directory is added at the end of the import path, for modules next to it.
    Raises: UsageError if there is no such file, module or class; ContractInvalid if the contract cannot be served.
    """
    location, class_name = _split_reference(reference)
    module = _import_file(Path(location)) if location.endswith(".py") else _import_module(location)
    return chaincode_of(module, class_name, location)


def chaincode_of(module: ModuleType, class_name: str, location: str) -> ContractChaincode:
    """What a loaded module serves; see `load_contract`. Raises: UsageError, ContractInvalid."""
    found = contract_classes_of(module, class_name)
    if isinstance(found, ContractChaincode):
        return found
    if class_name and not found:
        known = ", ".join(contract.__name__ for contract in _contract_classes(module)) or "none"
        raise UsageError(f"{location}: no contract class {class_name}; contract classes there: {known}")
    return _instantiate(found, location)


def contract_classes_of(module: ModuleType, class_name: str) -> ContractChaincode | list[type[Contract]]:
    """The same without making objects: classes, none if there are none such, or an object that the module made."""
    if class_name:
        found = getattr(module, class_name, None)
        if isinstance(found, ContractChaincode):
            return found
        return [found] if isinstance(found, type) and issubclass(found, Contract) else []
    ready = [value for value in vars(module).values() if isinstance(value, ContractChaincode)]
    return ready[0] if ready else _contract_classes(module)


def _split_reference(reference: str) -> tuple[str, str]:
    location, colon, class_name = reference.rpartition(":")
    # A colon may also belong to the path (C:\auction.py); a class name is an identifier.
    return (location, class_name) if colon and class_name.isidentifier() else (reference, "")


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"no contract file at {path}", hint="give the path of a Python file, or package.module:Class")
    path = path.resolve()
    name = f"cloister_contract_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} is not a Python file")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look their module up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise ContractInvalid(f"contract {path.name} does not load: {_one_line(error)}") from error
    return module


def _import_module(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            raise UsageError(f"no module {name}", hint="a contract file is given by its path, ending in .py") from error
        raise ContractInvalid(f"contract module {name} does not load: {_one_line(error)}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"not a contract reference: {name!r}") from error
    except Exception as error:
        raise ContractInvalid(f"contract module {name} does not load: {_one_line(error)}") from error


def _contract_classes(module: ModuleType) -> list[type[Contract]]:
    own = [
        value
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Contract)
        and value.__module__ == module.__name__
        and not issubclass(value, SystemContract)
    ]
    distinct = list(dict.fromkeys(own))
    return [item for item in distinct if not any(other is not item and issubclass(other, item) for other in distinct)]


def _instantiate(classes: list[type[Contract]], location: str) -> ContractChaincode:
    if not classes:
        raise ContractInvalid(
            f"{location}: no contract class: expected a subclass of cloister.contract.Contract",
            hint="a contract for fabric-chaincode-python needs its import line changed to cloister.contract",
        )
    contracts = []
    for contract in classes:
        try:
            contracts.append(contract())
        except Exception as error:
            raise ContractInvalid(f"contract {contract.__name__} cannot be created: {_one_line(error)}") from error
    return ContractChaincode(*contracts)


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"

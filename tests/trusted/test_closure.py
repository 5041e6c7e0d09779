"""What is measured into an enclave: nothing more than it should be. Run with -s to see the trusted code's size."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cloister.trusted.attest.measurement import (
    ENTRY_POINT,
    LEDGER_ENTRY_POINT,
    MeasuredModule,
    trusted_modules,
)

ENTRY_POINTS = {"chaincode": ENTRY_POINT, "ledger": LEDGER_ENTRY_POINT}
SOCKET_MODULES = {"chaincode": "cloister.trusted.chaincode.serve", "ledger": "cloister.trusted.ledger.serve"}
"""The one module of each enclave that may touch a socket."""
FILE_MODULES = {
    "chaincode": {
        "cloister.trusted.attest.measurement",
        "cloister.trusted.chaincode.__main__",
        "cloister.trusted.chaincode.contract_image",
        "cloister.contract.load",
    },
    "ledger": {"cloister.trusted.attest.measurement", "cloister.trusted.ledger.__main__"},
}
"""Modules that read files while the enclave starts."""
RUNS_CODE = "cloister.trusted.chaincode.contract_program"
"""The one module that runs code which it was given: the measured contract's."""
THREADS = {
    "chaincode": set[str](),
    "ledger": {
        "cloister.trusted.ledger.__main__",
        "cloister.trusted.ledger.enclave",
        "cloister.trusted.ledger.serve",
    },
}
"""Modules that may know of threads: signatures are checked on all cores, questions are answered meanwhile."""
FORBIDDEN = {
    "asyncio", "ctypes", "ftplib", "grpc", "h2", "http", "logging", "multiprocessing", "requests", "smtplib",
    "socketserver", "ssl", "subprocess", "telnetlib", "urllib", "xmlrpc", "yaml", "rich", "click",
}  # fmt: skip
PACKAGES = {"errors", "wire", "fabric", "trusted", "contract"}
LARGEST = {"chaincode": 6600, "ledger": 6800}


@pytest.fixture(scope="module", params=sorted(ENTRY_POINTS))
def role(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def modules(role: str) -> tuple[MeasuredModule, ...]:
    return trusted_modules(ENTRY_POINTS[role])


def own(modules: tuple[MeasuredModule, ...]) -> list[MeasuredModule]:
    return [module for module in modules if module.name.split(".")[0] == "cloister"]


def lines_of_code(path: Path) -> int:
    """Lines that are neither blank, nor comment, nor docstring."""
    source = path.read_text("utf-8")
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            documented.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = [(number, line.strip()) for number, line in enumerate(source.splitlines(), start=1)]
    return sum(1 for number, line in lines if line and not line.startswith("#") and number not in documented)


def test_no_grpc_no_host_no_subprocess_no_network(modules: tuple[MeasuredModule, ...]) -> None:
    for module in modules:
        imported = {name.split(".")[0] for name in module.foreign}
        assert not imported & FORBIDDEN, f"{module.name} imports {sorted(imported & FORBIDDEN)}"
        assert not module.name.endswith("_grpc"), module.name


def test_only_expected_packages_are_measured(modules: tuple[MeasuredModule, ...]) -> None:
    names = [module.name for module in own(modules)]
    unexpected = [name for name in names if name != "cloister" and name.split(".")[1] not in PACKAGES]
    assert unexpected == []
    assert not [name for name in names if name.startswith("cloister.contract.server")]


def test_no_part_of_the_other_enclave_is_measured(role: str, modules: tuple[MeasuredModule, ...]) -> None:
    other = {"chaincode": "cloister.trusted.ledger", "ledger": "cloister.trusted.chaincode"}[role]
    assert [module.name for module in own(modules) if module.name.startswith(other)] == []


def test_one_module_touches_a_socket_and_few_read_files(role: str, modules: tuple[MeasuredModule, ...]) -> None:
    def importers(*wanted: str) -> set[str]:
        return {item.name for item in own(modules) if {name.split(".")[0] for name in item.foreign} & set(wanted)}

    assert importers("socket", "select", "selectors") == {SOCKET_MODULES[role]}
    assert importers("pathlib", "io", "tempfile") == FILE_MODULES[role]
    assert importers("threading", "concurrent") == THREADS[role]


def test_no_assert_no_print_no_clock_in_trusted_code(modules: tuple[MeasuredModule, ...]) -> None:
    for module in own(modules):
        imported = {name.split(".")[0] for name in module.foreign}
        assert not imported & {"time", "random", "secrets", "uuid"}, module.name
        for node in ast.walk(ast.parse(module.path.read_bytes())):
            assert not isinstance(node, ast.Assert), f"{module.name} line {node.lineno}: assert vanishes under -O"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                allowed = {"exec"} if module.name == RUNS_CODE else set[str]()
                assert node.func.id not in {"print", "eval", "exec"} - allowed, f"{module.name} line {node.lineno}"


def test_the_closure_is_what_a_real_interpreter_loads(role: str, modules: tuple[MeasuredModule, ...]) -> None:
    """Syntax tree and import system agree: nothing of ours is loaded that is not measured, and no gRPC at all."""
    program = f"import sys, {ENTRY_POINTS[role]}; print('\\n'.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()
    measured = {module.name for module in modules}
    ours = {name for name in loaded if name.split(".")[0] in {"cloister", "fabric_protos"}}
    assert ours <= measured | {ENTRY_POINTS[role]}
    assert not {name.split(".")[0] for name in loaded} & {"grpc", "asyncio", "subprocess", "ssl", "h2"}


def test_a_stray_import_would_be_found(tmp_path: Path) -> None:
    """The attack's twin: the same computation does see HTTP/2 where it is imported."""
    names = {module.name: module for module in trusted_modules("cloister.contract.server.server")}
    assert "h2" in {name.split(".")[0] for name in names["cloister.contract.server.grpc_connection"].foreign}


def test_size_of_the_trusted_code_is_told(
    role: str, modules: tuple[MeasuredModule, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {module.name: lines_of_code(module.path) for module in own(modules)}
    by_package: dict[str, int] = {}
    for name, size in sizes.items():
        parts = name.split(".")
        package = ".".join(parts[1:3] if "trusted" in parts else parts[1:2])
        by_package[package] = by_package.get(package, 0) + size
    with capsys.disabled():
        total = sum(sizes.values())
        packages = ", ".join(f"{package or 'root'} {size}" for package, size in sorted(by_package.items()))
        print(f"\n{role} enclave: {len(sizes)} modules, {total} lines without comments and docstrings ({packages})")
    assert total < LARGEST[role]

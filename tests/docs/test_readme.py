"""The README tells the truth: its contract runs as printed, its commands exist, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloister.cli.main import COMMANDS
from cloister.client.errors import ConfidentialCallFailed
from cloister.deploy.deploy import Plan, deploy
from cloister.network import Network
from confidential.conftest import Callers

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def code_blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


async def test_the_contract_of_the_readme_does_what_its_comments_say(embedded_network: Network, tmp_path: Path) -> None:
    contract = tmp_path / "vault.py"
    contract.write_text(code_blocks("python")[0])
    commands = dict(re.findall(r"^(cloister (?:submit|evaluate) .*?) +# (.*)$", README, re.MULTILINE))
    assert commands["cloister evaluate vault read"] == "the combination is 4711"
    assert "cloister network up --embedded" in README
    await deploy(embedded_network, Plan("vault", str(contract)))
    callers = Callers(embedded_network)
    assert await callers.submit("org1/User1", "vault", "store", "the combination is 4711") == "OK"
    assert await callers.evaluate("org1/User1", "vault", "read") == "the combination is 4711"
    with pytest.raises(ConfidentialCallFailed, match="nothing stored"):
        await callers.evaluate("org2/User1", "vault", "read")


def test_the_contract_is_twenty_lines_or_fewer() -> None:
    lines = [line for line in code_blocks("python")[0].splitlines() if line.strip()]
    assert len(lines) <= 20


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_commands_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        assert (document.parent / target).exists(), target
    for command in re.findall(r"(?:^|`)cloister ([a-z]+)", text, re.MULTILINE):
        assert command in COMMANDS, command
    for target in re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", text, re.MULTILINE):
        assert f"\n{next(filter(None, target))}:" in (ROOT / "Makefile").read_text("utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_tests_that_documents_name_exist(document: Path) -> None:
    text = document.read_text("utf-8")
    for path in re.findall(r"`(tests/[a-z_/]+\.py)`", text):
        assert (ROOT / path).exists(), path
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    for name in re.findall(r"`(test_[a-z_0-9]+)`", text):
        assert f"def {name}(" in sources, name

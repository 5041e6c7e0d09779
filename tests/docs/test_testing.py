"""docs/testing.md: its Python is run, block after block, in one module."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import ModuleType

import pytest

from cloister.testing import ConfidentialChannel

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
TESTS = re.findall(r"^async def (test_\w+)", PAGE.read_text("utf-8"), flags=re.MULTILINE)


@pytest.fixture(scope="module")
def page() -> ModuleType:
    module = ModuleType("docs_testing")
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    exec(compile("\n".join(blocks), str(PAGE), "exec"), module.__dict__)  # noqa: S102 - the project's own page
    return module


@pytest.mark.parametrize("name", TESTS)
async def test_the_examples_pass(page: ModuleType, name: str) -> None:
    function = getattr(page, name)
    await function(*([ConfidentialChannel] if inspect.signature(function).parameters else []))


def test_there_are_examples() -> None:
    assert len(TESTS) == 4

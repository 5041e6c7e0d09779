"""The version is stated once in the code and once in the package's metadata; the two agree."""

from importlib.metadata import version

import cloister


def test_version_of_code_and_metadata_agree() -> None:
    assert cloister.__version__ == version("cloister")

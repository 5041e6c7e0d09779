"""Coverage-guided fuzzing with Atheris: `make fuzz SECONDS=60`, or one input again: `make fuzz-again INPUT=FILE`.

Everything is kept below .fuzz/: the stage (keys and chain), each target's corpus, and findings as
.fuzz/TARGET/findings/KIND-HASH.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import subprocess
import sys
from pathlib import Path

import atheris

ROOT = Path(__file__).parents[2]
HOME = ROOT / ".fuzz"
NAMES = ("parsers", "blocks", "transactions", "results")
INPUT_SECONDS = 10
"""An input that takes longer counts as one that hangs."""
_MAX_BYTES = 65_536
_MEMORY_MB = 4096


def main() -> int:
    """Run the targets one after the other; 1 if one of them found something."""
    options = _options()
    if options.input:
        return _again(options.input)
    if options.target:
        _fuzz(options.target, options.seconds)
    failed = [name for name in NAMES if _run_apart(name, max(1, options.seconds // len(NAMES)))]
    for name in failed:
        for path in sorted(_findings(name).iterdir()):
            print(f"FOUND by {name}; again with: make fuzz-again INPUT={path.relative_to(ROOT)}")
    print("found something" if failed else "found nothing")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for all targets together")
    parser.add_argument("--target", choices=NAMES, help="only this one, in this process")
    parser.add_argument("--input", type=Path, help="run one input of .fuzz/TARGET/ again")
    return parser.parse_args()


def _run_apart(name: str, seconds: int) -> bool:
    """Fuzz one target in a process of its own: libFuzzer ends the process it runs in."""
    command = [sys.executable, "-m", "fuzz.run", "--target", name, "--seconds", str(seconds)]
    print(f"--- {name}, {seconds} s", flush=True)
    return subprocess.run(command, check=False).returncode != 0


def _again(path: Path) -> int:
    from fuzz.targets import TARGETS

    name = next(part for part in path.resolve().relative_to(HOME).parts if part in NAMES)
    TARGETS[name](HOME / "stage").run(path.read_bytes())
    print("nothing wrong with it")
    return 0


def _fuzz(name: str, seconds: int) -> None:
    with atheris.instrument_imports(include=["cloister.fabric", "cloister.wire", "cloister.trusted"]):
        from fuzz.fields import mutate
        from fuzz.parsers import modules, tags
        from fuzz.targets import TARGETS

        list(modules())
    target = TARGETS[name](HOME / "stage")
    corpus, findings = HOME / name / "corpus", _findings(name)
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    for seed in target.seeds:
        (corpus / hashlib.sha1(seed, usedforsecurity=False).hexdigest()).write_bytes(seed)
    words = HOME / name / "words"
    words.write_text("".join(f'"{_escaped(tag)}"\n' for tag in tags()))

    def change(data: bytes, max_size: int, seed: int) -> bytes:
        return mutate(data, lambda part: atheris.Mutate(part, max_size), random.Random(seed))[:max_size]

    arguments = [
        f"-max_total_time={seconds}",
        f"-timeout={INPUT_SECONDS}",
        f"-artifact_prefix={findings}{os.sep}",
        f"-dict={words}",
        f"-max_len={_MAX_BYTES}",
        f"-rss_limit_mb={_MEMORY_MB}",
        "-print_final_stats=1",
        "-verbosity=1",
    ]
    atheris.Setup([sys.argv[0], *arguments, str(corpus)], target.run, custom_mutator=change)
    atheris.Fuzz()


def _escaped(word: bytes) -> str:
    return "".join(f"\\x{byte:02x}" for byte in word)


def _findings(name: str) -> Path:
    return HOME / name / "findings"


if __name__ == "__main__":
    sys.exit(main())

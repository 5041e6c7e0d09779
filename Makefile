# Everything a newcomer needs: `make demo`, `make test`. Nothing has to be installed but Python 3.11+.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

# How long `make fuzz` runs, all targets together.
SECONDS ?= 60

.PHONY: help demo test test-3.1 check fuzz fuzz-again format types lint lock clean fabric

help:
	@echo "make demo    set up, run the sealed-bid auction on an embedded network: needs nothing but Python"
	@echo "make test    set up, run every test (real-Fabric ones included)"
	@echo "make test-3.1  the tests of BFT ordering: FABRIC_BIN has to name a folder with Fabric 3.1 programs"
	@echo "make check   format, lint, types, tests"
	@echo "make fuzz    fuzz the judge and every parser, for SECONDS=$(SECONDS)"
	@echo "make fabric  build the Fabric binaries into the user cache (demo and test do it when needed)"
	@echo "make lock    resolve requirements/*.txt anew"

$(STAMP): requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "cloister needs Python 3.11 or newer, found " + sys.version.split()[0] + ": set PYTHON=python3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

fabric: $(STAMP)
	$(BIN)/cloister fabric install

demo: $(STAMP)
	$(BIN)/cloister demo auction

test: fabric
	$(BIN)/python -m pytest

test-3.1: $(STAMP)
	$(BIN)/python -m pytest -m fabric31

fuzz: fabric
	$(BIN)/python -m pip install --quiet --require-hashes --only-binary :all: -r requirements/fuzz.txt
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --seconds $(SECONDS)

fuzz-again: $(STAMP)
	PYTHONPATH=tests $(BIN)/python -m fuzz.run --input $(INPUT)

check: lint types test

lint: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

types: $(STAMP)
	$(BIN)/mypy

lock: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links pyproject.toml -o requirements/runtime.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links pyproject.toml requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links requirements/fuzz.in -o requirements/fuzz.txt
	$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url \
	  --no-emit-find-links requirements/node.in -o requirements/node.txt

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

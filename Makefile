# Two commands for everyone: `make run` shows it, `make test` proves it. Both make .venv and install what they need.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: run test test-socketcan bench check mutate learn clean help

help:
	@echo "make run    close the loop over a CAN bus between three processes, beside its rivals; ends with a report"
	@echo "make test   the whole test suite"
	@echo "make test-socketcan  the bus tests on a real kernel's SocketCAN, in a small machine under qemu"
	@echo "make bench  the benchmarks (each is one script in benchmarks/; add --quick by hand)"
	@echo "make check  ruff, mypy --strict, pip-audit; leaves an SBOM in build/"
	@echo "make mutate coverage and mutation of envelope, gate, codec, integrity, supervisor; about an hour"
	@echo "make learn  add the CPU build of torch for training"
	@echo "make clean  remove .venv and caches"

run: $(VENV)/.run
	$(BIN)/evencoat demo

# What minds no company runs on all processors; the rest, with processes and patience, one test after the other.
APART := tests/controller tests/plant_sim tests/firmware_bridge \
  $(addprefix tests/evencoat/,alarms desk historian hmi league opcua recipes)

test: $(VENV)/.dev
	$(BIN)/python -m pytest -n auto --dist loadfile $(APART)
	$(BIN)/python -m pytest $(APART:%=--ignore=%)

test-socketcan: $(VENV)/.dev
	$(BIN)/python -m tests.socketcan.vm

bench: $(VENV)/.dev
	@for script in $$(grep -l __main__ benchmarks/*.py | grep -v _figure.py); do echo "== $$script"; $(BIN)/python $$script || exit 1; done

check: $(VENV)/.audit
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.supply_chain build

mutate: $(VENV)/.audit
	$(BIN)/python -m tests.mutate

learn: $(VENV)/.run
	$(PIP) -e '.[learn]'

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "evencoat needs Python 3.11 or newer; give one: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.run: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e '.[hmi]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.run

$(VENV)/.audit: $(VENV)/.dev
	$(PIP) -e '.[dev,audit]'
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build mutants

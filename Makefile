# The commands of this repository: make demo | test | lint | bench | clean
#
# Each makes .venv by itself. `make demo` installs only what a user of the library gets; the others add
# PostgreSQL's driver and the development tools. Nothing is installed again until pyproject.toml or
# constraints.txt change.

# The interpreter that .venv is made with: python3, unless it is too old and a newer one lies beside it.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

BIN := .venv/bin
CORE := .venv/.installed-core
DEV := .venv/.installed-dev
# Tools that build the package are pinned too; older and newer pips read different variables for that.
PINNED := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1
INSTALL := $(PINNED) $(BIN)/python -m pip install --quiet --constraint constraints.txt

.PHONY: help demo test lint bench clean

help:
	@echo "make demo    a shop: real Debezium changes in, read models out, in one SQLite file"
	@echo "make test    every test (PostgreSQL is started by the tests themselves)"
	@echo "make lint    style, types and the order of imports"
	@echo "make bench   measure against pyeventsourcing and against the raw databases"
	@echo "make clean   remove .venv, caches and what the demo left"

demo: $(CORE)
	@$(BIN)/python -m sample_app

test: $(DEV)
	$(BIN)/python -m pytest

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

bench: $(DEV)
	$(BIN)/python -m benchmarks

clean:
	rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	rm -f shop.db shop.db-wal shop.db-shm shop.db.lock
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
		echo "headwater needs Python 3.11 or newer, and no such python3 is in PATH." >&2; \
		echo "Install one, or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.11" >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "headwater needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." >&2; exit 1; fi
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments: its modules venv and ensurepip are missing." >&2; \
		echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; fi
	@echo "making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv

$(CORE): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing headwater"
	@$(INSTALL) --editable .
	@touch $@

$(DEV): pyproject.toml constraints.txt | $(BIN)/python
	@echo "installing headwater, PostgreSQL's driver and the development tools"
	@$(INSTALL) --editable ".[postgres,dev]"
	@touch $(CORE) $@

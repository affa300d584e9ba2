VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The first interpreter that runs and is new enough.
PYTHON ?= $(shell for candidate in python3.11 python3.12 python3.13 python3; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)

# Two processes, whole files each, so that a session fixture is built once per file's process. The order is random: a line at the start says
# the seed, and PYTEST_ADDOPTS=--randomly-seed=SEED repeats it. Long files begin first (tests/conftest.py), which xdist would start last.
PYTEST := $(BIN)/python -m pytest
PARALLEL := -n 2 --dist loadfile --no-loadscope-reorder
export POLARS_MAX_THREADS ?= 2
# Tests start hundreds of processes; without bytecode each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo test test-versions test-oldest lint format bench crash slow fuzz docs clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(STAMP) ## create .venv and install pointline with everything it can use

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "pointline needs Python 3.11 or newer; none was found on PATH" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "no virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }

$(STAMP): pyproject.toml constraints.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	@touch $@

demo: $(STAMP) ## run the whole path on a small simulated market
	$(BIN)/pointline demo

test: lint ## lint, check the types, run the tests and the examples in docstrings
	$(PYTEST) $(PARALLEL) -m "not slow and not crash" --doctest-modules src/pointline tests

# Each Python and the oldest dependencies get an environment of their own; `make test-versions PYTHONS=3.13 OLDEST=` tests one Python alone.
PYTHONS ?= 3.12 3.13
OLDEST ?= oldest

test-versions: $(addprefix test-python-,$(PYTHONS)) $(addprefix test-,$(OLDEST)) ## the tests on other Pythons and with the oldest dependencies

test-python-%:
	python$* -m venv .venv-$*
	.venv-$*/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[all,dev]'
	.venv-$*/bin/python -m pytest $(PARALLEL) -m "not slow and not crash" tests

test-oldest: # the lowest versions that pyproject.toml allows, which pip cannot choose
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --disable-pip-version-check uv
	.venv-oldest/bin/uv pip install --quiet --python .venv-oldest/bin/python --resolution lowest-direct -e '.[all,dev]'
	.venv-oldest/bin/python -m pytest $(PARALLEL) -m "not slow and not crash" tests

lint: $(STAMP) ## ruff and mypy, changing nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(STAMP) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP) ## measure against the floor and against others; BENCH="--days 1 --docs" adds options
	$(BIN)/python benchmarks/run.py $(BENCH)

crash: $(STAMP) ## kill a writing process again and again and look at what is left
	$(PYTEST) -m crash tests/crash

slow: $(STAMP) ## the tests that take longer than ten seconds
	$(PYTEST) $(PARALLEL) -m slow tests

fuzz: $(STAMP) ## the property tests with many more examples, new ones each time
	$(PYTEST) $(PARALLEL) -m "hypothesis and not crash" --hypothesis-profile=fuzz tests

docs: $(STAMP) ## build the documentation into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

clean: ## remove the environment, caches and everything that was built
	rm -rf $(VENV) .venv-* build dist site .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# `make demo` and `make test` set up all they need: Python 3.11 or newer and make are enough.
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null || echo .uv/bin/uv)
RUN := .venv/bin/python -m
export UV_PROJECT_ENVIRONMENT := .venv
# Two processes for the tests, each with one thread for its sums; TEST_PROCESSES= runs them one by one.
TEST_PROCESSES ?= -n 2
check test: export OMP_NUM_THREADS ?= 1
# A test starts many processes: none should compile its libraries again.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help sync demo up test check format bench

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

.uv/bin/uv:
	$(PYTHON) -m venv .uv
	.uv/bin/python -m pip install --quiet --disable-pip-version-check uv

.venv/.synced: pyproject.toml uv.lock | $(filter .uv/bin/uv,$(UV))
	$(UV) sync --frozen --all-extras --python $(shell $(PYTHON) -c 'import sys; print(sys.executable)') $(SYNC_ARGS)
	@touch $@

sync: .venv/.synced ## make .venv with everything in it

demo: sync ## the whole loop: market -> graph -> training -> recommendations (DATA=DIR, ARGS=--exit)
	.venv/bin/lsec demo $(DATA) $(ARGS)

up: sync ## start the embedded stack and stay
	.venv/bin/lsec up $(ARGS)

check: sync ## format, lint, types, architecture and the fast tests
	$(RUN) ruff format --check .
	$(RUN) ruff check .
	$(RUN) mypy
	.venv/bin/lint-imports
	$(RUN) pytest -q $(TEST_PROCESSES) -m fast tests/unit tests/test_layout.py tests/test_readme.py $(ARGS)

format: sync ## let ruff format and mend what it can
	$(RUN) ruff format .
	$(RUN) ruff check --fix .

test: sync ## every test, on a real stack of its own
	$(RUN) pytest $(TEST_PROCESSES) $(ARGS)

bench: sync ## the quick benchmarks, one after the other, and their tests
	for name in ingest serving training model foldin export publish collecting influence; do $(RUN) bench.$$name --quick --json bench/out/$$name.json || exit 1; done
	$(RUN) pytest -m bench

# Two commands on a fresh machine: `make demo` and `make test`. Python 3.11+, make and git are
# enough; uv is used when it is there.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
UV := $(shell command -v uv 2>/dev/null)

# Where Python may keep no bytecode, each of the hundreds of processes of a test run compiles
# every library anew, which takes longer than what they do.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help install demo test test-all wheel-test chaos compose-test bigquery-faults fuzz load bench bench-peers scaling cost flower site reference screenshots pictures audit lint lock clean

help:  ## What there is to make
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## Set up .venv from the lock file

demo: $(READY)  ## Repair a broken pipeline with a fleet, on this machine
	$(BIN)/planner demo

test: lint  ## Types, style, layers and the tests that take seconds
	$(BIN)/pytest -m "not slow" --numprocesses 3 --dist loadgroup

test-all: lint  ## Every test but the fault suite, with whole runs on real fleets and more examples
	$(BIN)/pytest --ignore tests/chaos --ignore tests/compose --hypothesis-profile many

# An environment of its own, with what the lock names: the wheel alone has to be enough.
wheel-test:  ## Build the wheel, install it elsewhere, and repair a pipeline with it
	rm -rf .wheel && mkdir .wheel
	$(PYTHON) -m pip wheel --quiet --no-deps --wheel-dir .wheel .
	$(PYTHON) -m venv .wheel/venv
	.wheel/venv/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	.wheel/venv/bin/python -m pip install --quiet --no-deps .wheel/*.whl
	cd .wheel && venv/bin/planner --version && BACKFILL_HOME=home venv/bin/planner demo >demo.log \
	  && tail -n 3 demo.log
	rm -rf .wheel

chaos: $(READY)  ## Hurt a real fleet in every way, and write docs/reliability.md (CHAOS_SEED=…)
	CHAOS_REPORT=docs/reliability.md $(BIN)/pytest -s -m slow tests/chaos

compose-test: $(READY)  ## Build the image, and run it on a Docker Engine (PYTHON_IMAGE=…, REDIS_IMAGE=…)
	$(BIN)/pytest -v -n 0 -m slow tests/compose

fuzz: $(READY)  ## Ten minutes of hostile input, and write docs/stress.md (FUZZ_SEED=…, FUZZ_SECONDS=…)
	$(BIN)/python -m tests.fuzz

load: $(READY)  ## Hundreds of commands, fifty workers, thousands of parked steps: docs/stress.md
	$(BIN)/python -m tests.load

bigquery-faults: $(READY)  ## Meet BigQuery's faults, and write docs/reliability-bigquery.md
	BIGQUERY_REPORT=docs/reliability-bigquery.md $(BIN)/pytest -n 0 -m "" \
	  tests/integration/test_bigquery_fault_table.py

bench: $(READY)  ## Measure what the bookkeeping costs beside its peers: docs/performance.md (ROWS=…)
	$(BIN)/python -m tests.bench $(ROWS)

# Environments of their own: these are peers, and no part of the product.
bench-peers: $(READY)  ## Measure a whole run beside Airflow and Dagster: docs/performance.md
	test -x .peers/airflow/bin/airflow || { $(PYTHON) -m venv .peers/airflow \
	  && .peers/airflow/bin/pip install --quiet apache-airflow==3.3.2; }
	test -x .peers/dagster/bin/dagster || { $(PYTHON) -m venv .peers/dagster \
	  && .peers/dagster/bin/pip install --quiet dagster==1.13.29; }
	$(BIN)/python -m tests.bench.peers .peers

scaling: $(READY)  ## Simulate a fleet of up to 1,000 slots, and write docs/scaling.md
	$(BIN)/python -m tests.scaling

flower: $(READY)  ## Write docs/flower.png: Flower with steps that fail, wait and are tried again
	FLOWER_SHOT=docs/flower.png $(BIN)/pytest -n 0 -m slow tests/integration/test_flower_page.py

cost: $(READY)  ## Count what a full gap scan asks of BigQuery, and write docs/cost.md
	$(BIN)/python -m tests.cost

reference: $(READY)  ## Write what the code says of commands, keys, settings, states and fields into docs
	$(BIN)/python -m tests.reference

pictures: $(READY)  ## Write docs/demo.svg, what the demo prints
	$(BIN)/python -m tests.pictures

# An environment of its own: a site is for readers, and no part of the product.
site:  ## Build the documents as a site in .site/html; a link to nothing is an error
	$(PYTHON) -m venv .site/venv
	.site/venv/bin/python -m pip install --quiet --require-hashes --requirement docs/site-requirements.txt
	.site/venv/bin/zensical build --strict

screenshots: $(READY)  ## Take the pictures of a run in docs, before, while and after a fleet works
	$(BIN)/python -m tests.screenshots

lint: $(READY)  ## Types, style and layers alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

# Strict: a package that cannot be looked up is a failure, not a clean bill.
audit: $(READY)  ## Look up the locked dependencies' known vulnerabilities
	@$(BIN)/pip-audit --strict --require-hashes --disable-pip --requirement requirements.lock || { \
	  echo 'Not audited, or with known vulnerabilities: the lines above say which. Each locked' \
	    'package is looked up in the index of packages, so this needs the network.' >&2; exit 1; }

lock:  ## Lock anew, for uv and for pip
	uv lock
	uv export --quiet --locked --all-extras --no-emit-project --no-header --output-file requirements.lock
	uv export --quiet --locked --all-extras --no-dev --no-emit-project --no-header --output-file runtime.lock

clean:  ## Remove what make made
	rm -rf $(VENV) .wheel .site .peers .backfill .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# Made in place of a half-made one: the mark is written when everything is there. The lock names
# every package, so nothing is resolved again: an older pip would look past it, and stumble over a
# release that is newer than the lock.
$(READY): pyproject.toml uv.lock requirements.lock
ifdef UV
	uv sync --locked --all-extras --quiet
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --editable .
endif
	@touch $@

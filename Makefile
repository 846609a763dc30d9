# Developer commands. Each target installs what it needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# 3 workers were the fastest on 2 cores, because many tests wait.
WORKERS := -n 3 --dist=worksteal
# Without bytecode files, each worker compiles all modules again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo demo-stack install test pythons scale cluster week soak fuzz coverage lint docs bench lock tools clean

demo: $(VENV)/.program  ## Run a simulated migration and an exporter until Ctrl-C
	@exec $(BIN)/python -m exporter demo

export PROMETHEUS ALERTMANAGER PROMETHEUS_ADDRESS ALERTMANAGER_ADDRESS
demo-stack: $(VENV)/.program  ## Run the demo with Prometheus and Alertmanager until Ctrl-C; PROMETHEUS names the program
	@deploy/demo/stack $(BIN)/python

install: $(VENV)/.runtime  ## Install the program into .venv; VENV chooses another folder
	$(PIP_INSTALL) .
	@rm -f $(VENV)/.program

test: $(VENV)/.development tools  ## Run the test suite; long tests are in `make scale`
	$(BIN)/pytest $(WORKERS)

pythons:  ## Test the installation, the demo and the quick tests on each supported Python
	tests/tools/pythons 3.11 3.12 3.13 3.14

scale: $(VENV)/.development tools  ## Run the long tests: 1,000 refreshes, 100,000 failures, a week of alerts, the image
	$(BIN)/pytest $(WORKERS) -m scale

cluster: $(VENV)/.development  ## Install the chart on a real API server; write the table of deploy/README.md
	@tests/tools/fetch cluster
	CLUSTER_PAGE=write $(BIN)/pytest -m cluster tests/cluster

week: $(VENV)/.development tools  ## Simulate a week of alerts; write the table of docs/alerting.md
	WEEK_PAGE=write $(BIN)/pytest -m scale tests/story/test_week.py

soak: $(VENV)/.development  ## Run random faults, churn and scrapes for 1 hour; set SOAK_SECONDS and SOAK_SEED to change it
	$(BIN)/python -m tests.soak

fuzz: $(VENV)/.development  ## Run each fuzz target for 60 seconds; set FUZZ_SECONDS to change it
	for target in answer headers exposition configuration web_configuration negotiation login request times; do \
	  $(BIN)/python -m tests.fuzz.run $$target $${FUZZ_SECONDS:-60} || exit 1; done

coverage: $(VENV)/.development tools  ## Run the test suite and report uncovered lines and branches
	$(BIN)/pytest $(WORKERS) --cov --cov-report=term:skip-covered

lint: $(VENV)/.development  ## Check style, types, lock files, workflows, known vulnerabilities and secrets
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.locks
	$(BIN)/zizmor --offline --quiet .github
	tests/tools/actionlint
	$(BIN)/python -m tests.audit

docs: $(VENV)/.development  ## Generate the references in docs/ and the dashboards in grafana/
	$(BIN)/python -m grafana.builder
	$(BIN)/python -m docs.build

bench: $(VENV)/.development  ## Run the benchmarks; write benchmarks/results.json and docs/performance.md
	$(BIN)/python -m benchmarks.run

LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras $(UPGRADE) \
  --no-emit-index-url --no-header --no-annotate
lock: $(VENV)/.development  ## Write the lock files from pyproject.toml; UPGRADE=--upgrade takes the newest versions
	$(LOCK) pyproject.toml -o requirements.lock
	$(LOCK) --group build -o requirements-build.lock
	$(LOCK) --group dev pyproject.toml -o requirements-dev.lock

tools:
	@tests/tools/fetch

clean:
	rm -rf $(VENV) .tools .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mms-exporter needs Python 3.11 or later")'
	$(PYTHON) -m venv $(VENV)

# With --no-deps pip resolves nothing: any version of it installs exactly what the lock lists. `make lint` checks that
# each lock is complete. Some dependencies are published as source only; the locked build tools build them.
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation

$(VENV)/.build: requirements-build.lock | $(VENV)/bin/python
	$(PIP_INSTALL) --require-hashes -r requirements-build.lock
	@touch $@

$(VENV)/.runtime: requirements.lock $(VENV)/.build
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	@touch $@

# For the commands that the demo and the alerts show. Editable, so that it is the program of this checkout.
$(VENV)/.program: pyproject.toml $(VENV)/.runtime
	$(PIP_INSTALL) --editable .
	@touch $@

$(VENV)/.development: requirements-dev.lock pyproject.toml $(VENV)/.build
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	$(PIP_INSTALL) --editable .
	@touch $@

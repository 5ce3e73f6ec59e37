# `make` lists the targets. Python is looked for as python3; another one: make demo PYTHON=python3.12
PYTHON ?= python3
STATE := .state
VENV := $(STATE)/venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
FUZZ_INSTALLED := $(VENV)/fuzz-installed
# Airflow has an environment of its own: the Spark provider's pyspark-client overwrites files of pyspark.
AIRFLOW_VENV := $(STATE)/airflow-venv
AIRFLOW_PYTHON := $(AIRFLOW_VENV)/bin/python
AIRFLOW_INSTALLED := $(AIRFLOW_VENV)/installed
UV_VERSION := 0.13.8
PIP_AUDIT_VERSION := 2.10.1

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-14s %s\n", $$1, $$2}'

.PHONY: demo
demo: $(INSTALLED) $(AIRFLOW_INSTALLED) ## run the whole pipeline on this machine until Ctrl-C; LIVE=1: with the real exchanges
	@$(BIN)/python -m local.demo

.PHONY: env
env: ## print addresses and credentials of the running demo as shell assignments
	@test -x $(BIN)/python || { echo "no demo is up: start one with make demo" >&2; exit 1; }
	@$(BIN)/python -m local.env

.PHONY: psql
psql: ## open the running demo's database, read-only
	@test -x $(BIN)/python || { echo "no demo is up: start one with make demo" >&2; exit 1; }
	@$(BIN)/python -m local.env --psql

.PHONY: test
test: lint test-dags ## lint, then all tests but the slow ones: half an hour on 2 cores
	$(BIN)/python -m pytest -m 'not slow' tests/unit tests/fuzz tests/integration tests/e2e tests/chaos

.PHONY: test-faults
test-faults: $(INSTALLED) $(AIRFLOW_INSTALLED) ## the slow tests: the DAGs in a real Airflow, and every part of it killed
	$(BIN)/python -m pytest -m slow tests/integration tests/e2e

# Of chaos and soak; another seed is another schedule.
SEED := 1
MINUTES := 20
SYMBOLS := 50
RATE := 3000
soak: MINUTES := 60
soak: RATE := 1000
# Of the chaos: some faults only, as "database killed,CPU starved", with the report in .state/chaos; empty: all.
FAULTS :=

.PHONY: chaos
chaos: $(INSTALLED) $(AIRFLOW_INSTALLED) ## let all faults loose on the demo under load: SEED, MINUTES, SYMBOLS, RATE; report in docs/chaos
	CHAOS_SEED=$(SEED) CHAOS_MINUTES=$(MINUTES) CHAOS_SYMBOLS=$(SYMBOLS) CHAOS_RATE=$(RATE) CHAOS_FAULTS="$(FAULTS)" $(BIN)/python -m pytest -m slow -o log_cli=true -o log_cli_level=INFO tests/chaos/test_chaos.py

.PHONY: test-chaos
test-chaos: $(INSTALLED) $(AIRFLOW_INSTALLED) ## a chaos of 3 minutes, always the same
	$(BIN)/python -m pytest -m 'not slow' tests/chaos

.PHONY: soak
soak: $(INSTALLED) $(AIRFLOW_INSTALLED) ## let the demo work for MINUTES at RATE, and see that nothing grows; report in docs/chaos
	SOAK_MINUTES=$(MINUTES) SOAK_SYMBOLS=$(SYMBOLS) SOAK_RATE=$(RATE) $(BIN)/python -m pytest -m slow tests/chaos/test_soak.py

# Of the fuzzers: how many inputs, and how many messages to the kernel.
INPUTS := 10000000
MESSAGES := 1000000

.PHONY: fuzz
fuzz: $(FUZZ_INSTALLED) ## look for inputs that break adapters, wire form or kernel: INPUTS, MESSAGES, SEED; half an hour
	cd tests && for target in binance kucoin wire; do ../$(BIN)/python -m fuzz.run $$target $$(($(INPUTS) / 3 + 1)) $(SEED) || exit; done
	cd tests && ../$(BIN)/python -m fuzz.run kernel $(MESSAGES) $(SEED)

.PHONY: test-compose
test-compose: $(INSTALLED) ## the containers, brought up for real, killed and upgraded: needs Docker; half an hour
	@docker compose version >/dev/null 2>&1 || { echo "docker compose is not there: install Docker with its compose plugin" >&2; exit 1; }
	$(BIN)/python -m pytest tests/compose

.PHONY: test-unit
test-unit: $(INSTALLED) ## only the offline tests: seconds
	$(BIN)/python -m pytest tests/unit

.PHONY: lint
lint: $(INSTALLED) ## check format, style and types
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy

.PHONY: bench
bench: $(INSTALLED) ## measure job, alternatives, producer and what grows with what, for an hour; writes docs/benchmarks
	$(BIN)/python -m benchmarks.run

.PHONY: clean
clean: ## forget what the demo has gathered; what is installed stays
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m local.clean; else rm -rf $(STATE)/demo; fi

.PHONY: distclean
distclean: clean ## forget also what is installed and fetched
	rm -rf $(STATE)

.PHONY: requirements
requirements: $(INSTALLED) ## pin what pyproject.toml asks for; UPGRADE=--upgrade: in the newest versions
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)
	$(BIN)/uv pip compile pyproject.toml --extra dev --output-file requirements/dev.txt $(UPGRADE) $(COMPILE)
	$(BIN)/uv pip compile pyproject.toml --extra producer --constraint requirements/dev.txt --output-file requirements/producer.txt $(COMPILE)
	$(BIN)/uv pip compile pyproject.toml --extra producer --extra spark --constraint requirements/dev.txt --output-file requirements/spark.txt $(COMPILE)
	$(BIN)/uv pip compile pyproject.toml --extra exchange --constraint requirements/dev.txt --output-file requirements/exchange.txt $(COMPILE)
	$(BIN)/uv pip compile pyproject.toml --extra fuzz --constraint requirements/dev.txt --output-file requirements/fuzz.txt $(COMPILE)
	$(BIN)/uv pip compile pyproject.toml --extra airflow --output-file requirements/airflow.txt $(UPGRADE) $(COMPILE)

# The tool has an environment of its own: its packages are none of the product's. It says "not found" of every package
# where a mirror answers that has packages and no advisories, so another service is asked, and then it is said.
AUDIT_VENV := $(STATE)/audit-venv
AUDIT := $(AUDIT_VENV)/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off
AUDIT_SERVICES := pypi osv

.PHONY: audit
audit: ## look for known vulnerabilities of all pinned packages; needs a service that tells of them
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 to 3.13, or name one: make PYTHON=..." >&2; exit 1; }
	@test -x $(AUDIT_VENV)/bin/python || $(PYTHON) -m venv $(AUDIT_VENV)
	@$(AUDIT_VENV)/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==$(PIP_AUDIT_VERSION)
	@for service in $(AUDIT_SERVICES); do \
		$(AUDIT) --vulnerability-service $$service $(patsubst %,-r %,$(wildcard requirements/*.txt)) >$(STATE)/audit.log 2>&1; status=$$?; \
		if [ $$status = 0 ] || grep -q '^Found .* known vulnerabilit' $(STATE)/audit.log; then cat $(STATE)/audit.log; exit $$status; fi; \
		echo "$$service: no answer: $$(tail -n 1 $(STATE)/audit.log)" >&2; \
	done; \
	echo "nothing was audited: no service with advisories is reached from here; run make audit where the internet is open" >&2; exit 2

COMPILE := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --quiet

# Done once for each content of the requirement file; pip's own configuration decides where packages come from.
$(INSTALLED): requirements/dev.txt pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not there: install Python 3.11 to 3.13, or name one: make PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { echo "$(PYTHON) is $$($(PYTHON) -V 2>&1), and this needs 3.11 to 3.13: name one, as make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || { echo "$(PYTHON) lacks venv: install it (on Debian the package python3-venv)" >&2; exit 1; }
	@echo "- installing packages into $(VENV) (the first time a few minutes)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(FUZZ_INSTALLED): requirements/fuzz.txt $(INSTALLED)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/fuzz.txt
	@touch $@

.PHONY: airflow-environment
airflow-environment: $(AIRFLOW_INSTALLED) ## install Airflow into its own environment

.PHONY: test-dags
test-dags: $(AIRFLOW_INSTALLED) ## check the DAGs and what they are made of, in Airflow's environment
	MYPYPATH=airflow/plugins $(BIN)/python -m mypy --python-executable $(AIRFLOW_PYTHON) airflow/plugins airflow/dags
	$(AIRFLOW_PYTHON) -m pytest tests/dags

$(AIRFLOW_INSTALLED): requirements/airflow.txt pyproject.toml $(INSTALLED)
	@echo "- installing Airflow into $(AIRFLOW_VENV) (the first time a few minutes)"
	@test -x $(AIRFLOW_PYTHON) || $(BIN)/python -m venv $(AIRFLOW_VENV)
	@$(AIRFLOW_PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/airflow.txt
	@$(AIRFLOW_PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

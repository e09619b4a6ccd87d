# Every target sets up .venv by itself where it is missing or constraints.txt changed. PYTHON=... names the Python, 3.11 to 3.13.
ifndef PYTHON
PYTHON := $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
endif
PIP_INSTALL := .venv/bin/python -m pip install --no-compile --disable-pip-version-check --quiet -c constraints.txt

unexport PYTHONSAFEPATH # with it Python does not find the modules of this folder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-long test-gpu test-engines test-fresh test-pythons check fix lock ui server

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: .venv/installed ## Set up .venv and nothing else

.venv/installed: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11, 3.12 or 3.13 was found: install one (Debian, Ubuntu: apt-get install python3-venv) or name it: make PYTHON=/path/to/python3.12" >&2; exit 2; }
	@echo "Setting up .venv with $(PYTHON): about two minutes, 3 GB of disk and the package index are needed; Python and pip report failures."
	@$(PYTHON) -m venv --clear .venv
	@$(PIP_INSTALL) -e '.[test]'
	@touch $@

demo: setup ## Train two variants of the RoI extractor on drawn shapes, then print their table and draw their curves
	.venv/bin/python run.py -m pre=conv5,conv3 post=attention
	.venv/bin/python -m analysis table --sweep last
	.venv/bin/python -m analysis figure --sweep last
	@echo "Look at the runs with 'make ui'; configurations, logs, tables and figures are in outputs/."

test: setup ## Run the tests, on two cores, but for those that take long
	.venv/bin/python -m pytest -n 2 --dist worksteal -m "not long"

test-long: setup ## Run the tests that kill trainings, simulate, or try many wrong values
	.venv/bin/python -m pytest -n 2 --dist worksteal -m long

test-gpu: setup ## Run the tests that need a GPU
	.venv/bin/python -m pytest -m gpu tests/gpu

test-engines: setup ## Run the tests on a real Slurm, Ray, PostgreSQL and browser, which it installs and starts (Debian, as root)
	@sh tests/engines/install.sh
	@$(PIP_INSTALL) -e '.[test,ray,slurm,server,browser]'
	.venv/bin/python -m pytest tests/engines

test-fresh: ## Follow the README in an empty Debian 13, which debootstrap makes (Debian, as root)
	@sh tests/fresh.sh

test-pythons: ## Set up and train with each of PYTHONS, such as make test-pythons PYTHONS="python3.12 python3.13"
	@sh tests/pythons.sh $(PYTHONS)

check: setup ## Lint, check the format, the types and the lock
	.venv/bin/python -m ruff check
	.venv/bin/python -m ruff format --check
	.venv/bin/python -m mypy groie experiments analysis hydra_plugins run.py
	.venv/bin/python -m uv lock --check --quiet

fix: setup ## Mend what the linter and the formatter can mend
	.venv/bin/python -m ruff check --fix
	.venv/bin/python -m ruff format

lock: setup ## Resolve all packages again, into uv.lock and constraints.txt; UPGRADE=--upgrade takes the newest
	.venv/bin/python -m uv lock $(UPGRADE)
	@{ echo "# Exact versions for pip, of the same resolution as uv.lock. 'make lock' writes this file."; \
	for name in $$(ls stand_ins); do echo "$$name @ file://\$${PWD}/stand_ins/$$name"; done; \
	.venv/bin/python -m uv export --quiet --no-hashes --no-annotate --no-header --all-extras --no-emit-project | grep -v "'none'"; \
	} > constraints.txt

ui server: export MLFLOW_HOST ?= 127.0.0.1
ui server: export MLFLOW_PORT ?= 5000
ui server: export MLFLOW_DISABLE_TELEMETRY ?= true
# Eight processes, which only language models need.
ui server: export MLFLOW_SERVER_ENABLE_JOB_EXECUTION ?= false
server: export MLFLOW_ARTIFACTS_DESTINATION ?= $(CURDIR)/outputs/server-artifacts

ui: setup ## Open MLflow on the recorded runs, on this machine only
	@case "$$MLFLOW_TRACKING_URI" in *[![:space:]]*) export MLFLOW_BACKEND_STORE_URI="$$MLFLOW_TRACKING_URI";; \
	*) export MLFLOW_BACKEND_STORE_URI=sqlite:///outputs/mlflow.db;; esac; \
	.venv/bin/python -m experiments.mlflow_store.serving && exec .venv/bin/python -m mlflow ui --workers 1

# The database's address stays in the environment, where `ps` does not show its password.
server: setup ## Serve MLflow's runs in a database to several machines: MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://...
	@if test -n "$$MLFLOW_AUTH_CONFIG_PATH"; then test -f "$$MLFLOW_AUTH_CONFIG_PATH" || { \
	echo "error: MLFLOW_AUTH_CONFIG_PATH=$$MLFLOW_AUTH_CONFIG_PATH is not a file; docs/tracking.md shows its content" >&2; exit 2; }; \
	else case "$$MLFLOW_HOST" in 127.*|localhost|::1) ;; *) \
	echo "note: everybody who reaches this port may read, change and delete every run; see docs/tracking.md, Passwords";; esac; fi; \
	.venv/bin/python -m experiments.mlflow_store.serving && \
	exec .venv/bin/python -m mlflow server $${MLFLOW_AUTH_CONFIG_PATH:+--app-name basic-auth}

# Every target sets up .venv by itself where it is missing or setup/requirements.lock changed; PYTHON=... names the Python.
ifndef PYTHON
PYTHON := $(shell for p in python3.11 python3.12 python3; do $$p -c '' 2>/dev/null && echo $$p && break; done)
endif
VENV_PYTHON := .venv/bin/python

unexport PYTHONSAFEPATH # with it Python does not find the modules of this folder

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-engines check fix ui server

help: ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: ## Set up .venv and nothing else
	@test -n "$(PYTHON)" || { echo "error: there is no Python: install Python 3.11 (Debian, Ubuntu: apt-get install python3.11 python3.11-venv python3.11-dev)" >&2; exit 2; }
	@$(PYTHON) -m setup.bootstrap

demo: setup ## Train two variants of the RoI extractor on drawn shapes, then print their table and draw their curves
	$(VENV_PYTHON) run.py -m pre=conv5,conv3 post=attention
	$(VENV_PYTHON) -m analysis table --sweep last
	$(VENV_PYTHON) -m analysis figure --sweep last
	@echo "Look at the runs with 'make ui'; configurations, logs, tables and figures are in outputs/."

test: setup ## Run the tests, on two cores
	$(VENV_PYTHON) -m pytest -n 2 --dist worksteal

test-engines: setup ## Run the tests on a real Slurm, Ray, PostgreSQL and browser, which it installs and starts (Debian, as root)
	@$(VENV_PYTHON) -m setup.engines
	$(VENV_PYTHON) -m pytest tests/engines

check: setup ## Lint, check the format and the types
	$(VENV_PYTHON) -m ruff check
	$(VENV_PYTHON) -m ruff format --check
	$(VENV_PYTHON) -m mypy groie experiments analysis

fix: setup ## Mend what the linter and the formatter can mend
	$(VENV_PYTHON) -m ruff check --fix
	$(VENV_PYTHON) -m ruff format

ui: setup ## Open MLflow on the recorded runs, on this machine only
	@$(VENV_PYTHON) -m experiments.record.serving ui

server: setup ## Serve MLflow's runs in a database to several machines: MLFLOW_BACKEND_STORE_URI=postgresql+psycopg://...
	@$(VENV_PYTHON) -m experiments.record.serving server

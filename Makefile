# Two commands do everything: `make quickstart` (no torch) and `make test` (sets up and passes the tests).
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CATALOG ?=

.PHONY: help quickstart test check format setup dev train-env clean

help:
	@echo "make quickstart [CATALOG=/path/to/images]   index a folder of images and search it"
	@echo "make test                                   set up and run every test"
	@echo "make check                                  ruff, mypy, import-linter"
	@echo "make format                                 let ruff rewrite what it can"
	@echo "make clean                                  remove .venv and caches (never your catalog)"

setup: $(VENV)/.worker

dev: $(VENV)/.dev

$(BIN)/python:
	@bash deploy/make-venv.sh "$(PYTHON)" "$(VENV)"

$(VENV)/.worker: pyproject.toml | $(BIN)/python
	@echo "Installing the indexer into $(VENV) (no torch; about half a minute, under 1 GB)..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e .
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing the indexer, the training extra (torch) and the test tools into $(VENV)..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -e ".[train,dev]"
	@touch $@ $(VENV)/.worker

quickstart: setup
	@bash deploy/quickstart.sh "$(BIN)" "$(CATALOG)"

test: dev
	@bash deploy/test-browser.sh
	@$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

check: dev
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build dist *.egg-info

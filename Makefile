# The everyday commands; `make` alone lists them. The environment is .venv, installed on first use and again when
# pyproject.toml or constraints.txt has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo test quick lint docs bench clean
.DELETE_ON_ERROR:

help: ## list these commands
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 10

install: .venv/.installed-dev ## create .venv with monosema and all that developing it needs

demo: .venv/.installed ## read activations, train two dictionaries, measure them, write runs/demo/report.html
	$(BIN)/monosema demo

test: .venv/.installed-dev ## run every test
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4

quick: .venv/.installed-dev ## run the tests that take seconds
	OMP_NUM_THREADS=1 $(BIN)/pytest -n auto --maxprocesses 4 -m "not slow"

lint: .venv/.installed-dev ## check style, format and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyright

docs: .venv/.installed-docs ## build the documentation into build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

bench: .venv/.installed ## run every benchmark that needs no GPU, one after another
	@for script in $(filter-out benchmarks/gpu_% %_worker.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; $(BIN)/python "$$script" || exit 1; done

clean: ## delete what can be made again; runs/ stays
	rm -rf .venv build dist .pytest_cache .ruff_cache .hypothesis src/*.egg-info
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "no python3 found: install Python 3.11, or say make PYTHON=/path/to/python"; exit 1; }
	$(PYTHON) -m venv .venv

.venv/.installed: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing monosema into .venv (PyTorch included: a few minutes the first time) ..."
	$(PIP) --editable .
	@touch $@

.venv/.installed-%: .venv/.installed
	@echo "Installing what '$*' needs into .venv ..."
	$(PIP) --editable '.[$*]'
	@touch $@

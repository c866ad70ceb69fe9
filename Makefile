# Each target does its own set-up; a second run installs nothing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# Nothing here needs a model hub. HF_HUB_OFFLINE=0 make demo lets hub names be fetched.
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test lint notebooks site bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv and install everything, offline models and data too

$(READY): pyproject.toml constraints.txt requirements/offline.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nlkit needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "'$(PYTHON)' cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	rm -f $(READY)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebooks,site,api,baselines,serving,dev]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/offline.txt
	$(BIN)/python -m ipykernel install --sys-prefix --name nlkit --display-name "Python (nlkit)"
	touch $(READY)

demo: setup  ## run notebooks/00_start_here and print its table
	$(BIN)/nlkit demo

lab: setup  ## open the course in JupyterLab
	cd notebooks && ../$(BIN)/jupyter lab

test: lint  ## lint, then all tests
	$(BIN)/python -m pytest

lint: setup  ## ruff (rules and format) and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: setup  ## make the student notebooks from notebooks/source and run them
	$(BIN)/python -m notebooks.build build

site: setup  ## write the executed notebooks as static pages to site/
	rm -rf build/site
	$(BIN)/sphinx-build -q -E -W --keep-going -d build/doctrees -c notebooks/build/site . build/site
	rm -rf site && mv build/site site
	@echo "written; open site/index.html"

bench: setup  ## run the benchmarks and write benchmarks/results
	$(BIN)/python benchmarks/run.py

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) build dist outputs site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Each target does its own set-up; a second run installs nothing.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.tools

# Nothing here needs a model hub. HF_HUB_OFFLINE=0 make demo lets hub names be fetched.
export HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.PHONY: help setup demo lab test lint notebooks site bench clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY)  ## create .venv and install what the course needs, offline models and data too

$(READY): pyproject.toml constraints.txt requirements/offline.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "nlkit needs Python 3.11 or newer; '$(PYTHON)' is not. Try: make setup PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' || \
	  { echo "'$(PYTHON)' cannot make virtual environments. On Debian or Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -c 'import platform as p, sys; v = p.mac_ver()[0]; \
	  sys.exit(bool(v) and (p.machine() != "arm64" or int(v.split(".")[0]) < 14))' || \
	  { echo "PyTorch has no builds for this Mac or this Python: it takes macOS 14 or newer on Apple silicon." >&2; exit 1; }
	rm -f $(READY)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt uv
	@# uv knows where PyTorch's builds for this machine's GPU, or for none, are; pip takes the usual ones.
	$(BIN)/uv pip install --quiet --python $(BIN)/python --torch-backend auto -c constraints.txt torch 2>/dev/null || \
	  $(BIN)/python -m pip install --quiet -c constraints.txt torch
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[notebooks,api,baselines]"
	$(BIN)/python -m pip install --quiet --no-deps -r requirements/offline.txt
	$(BIN)/python -m ipykernel install --sys-prefix --name nlkit --display-name "Python (nlkit)"
	touch $(READY)
	@du -sh $(VENV)

$(TOOLS): $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[site,grading,serving,ray,tracking,setfit,dev]"
	touch $(TOOLS)

demo: setup  ## run notebooks/00_start_here and print its table
	$(BIN)/nlkit demo

lab: setup  ## open the course in JupyterLab
	cd notebooks && ../$(BIN)/jupyter lab

test: lint  ## lint, then all tests
	$(BIN)/python -m pytest

lint: $(TOOLS)  ## ruff (rules and format) and mypy (strict)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: setup  ## make the student notebooks from notebooks/source and run them
	$(BIN)/python -m notebooks.build build

site: $(TOOLS)  ## write the executed notebooks as static pages to site/
	rm -rf build/site
	$(BIN)/sphinx-build -q -E -W --keep-going -d build/doctrees -c notebooks/build/site . build/site
	rm -rf site && mv build/site site
	@echo "written; open site/index.html"

bench: setup  ## run the benchmarks and write benchmarks/results
	$(BIN)/python benchmarks/run.py

clean:  ## remove the environment and everything generated
	rm -rf $(VENV) build dist outputs site *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

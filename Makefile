# make demo    sets everything up in .venv and runs the main job; ARGS=--quick for two minutes
# make test    sets everything up in .venv and runs the tests, in two processes (JOBS)
# make lint    formatting, lint and layers; make types: the type checker
# make slow    the tests that take long
#
# Packages come from wherever pip is configured to look (PIP_INDEX_URL and the like). On a Linux
# machine without a GPU, TORCH_INDEX=<PyTorch's index of CPU wheels> saves some GB of CUDA.

VENV ?= .venv
TORCH ?= torch>=2.11,<2.14
TORCH_INDEX ?=
ARGS ?=
JOBS ?= 2
PYTHON ?=
BIN := $(VENV)/bin
DEMO := $(VENV)/.installed-all
DEV := $(VENV)/.installed-dev
SHELL := /bin/sh

.PHONY: demo test slow lint types setup clean
.DEFAULT_GOAL := demo

demo: $(DEMO)
	$(BIN)/dreamdrive demo $(ARGS)

test: $(DEV)
	$(BIN)/pytest -m "not slow and not gpu" -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

slow: $(DEV)
	$(BIN)/pytest -m "slow and not gpu" $(ARGS)

lint: $(DEV)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(DEV)
	$(BIN)/mypy -p dreamdrive

setup: $(DEV)

$(VENV)/bin/pip:
	@found=; \
	for python in $(if $(PYTHON),$(PYTHON),python3 python3.12 python3.11); do \
	  if $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
	      2>/dev/null; then found=$$python; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "dreamdrive needs Python 3.11 or 3.12, and $(or $(PYTHON),python3) is" \
	    "$$($(or $(PYTHON),python3) --version 2>&1 | tail -n 1): install one of them and run" \
	    "'make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)'." >&2; exit 1; fi; \
	if ! $$found -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "Python's venv module is missing: install it (on Debian and Ubuntu:" \
	    "'apt install python3-venv') and run make again." >&2; exit 1; fi; \
	echo "Setting up $(VENV) with $$($$found --version)"; \
	$$found -m venv $(VENV)

# pip's warnings and errors go to a file, from which one sentence is made where it fails.
define install
	@echo "Installing dreamdrive[$(1)] into $(VENV) (once; some minutes)"
	@log=$(VENV)/setup.log; { \
	  $(BIN)/pip install --retries 2 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)' && \
	  $(BIN)/pip install --retries 2 --editable '.[$(1)]'; } 2>$$log || { \
	  if grep -qiE 'connection|name resolution|timed out|unreachable|proxy' $$log; then \
	    echo "The package index cannot be reached: connect to a network, or set PIP_INDEX_URL to" \
	      "one that can, and run make again (details: $$log)." >&2; \
	  else cat $$log >&2; \
	    echo "The packages could not be installed: see above, then run make again." >&2; \
	  fi; exit 1; }
endef

$(DEMO): pyproject.toml | $(VENV)/bin/pip
	$(call install,all)
	@touch $@

$(DEV): pyproject.toml | $(VENV)/bin/pip
	$(call install,dev)
	@touch $@ $(DEMO)

clean:
	rm -rf $(VENV) build dist dreamdrive.egg-info

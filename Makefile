# Everything from a fresh clone. Needed on the machine: Python 3.11 or 3.12 with venv and pip, a C++ compiler, make.
# Every target can be interrupted and repeated. The installation is one file, $(INSTALLED), which comes last.

VENV      := .venv
BIN       := $(VENV)/bin
INSTALLED := $(VENV)/.installed
JOBS      ?= 2
PIP_FLAGS ?=

suitable   = import sys, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))
candidates := python3.11 python3.12 python3
PYTHON    ?= $(firstword $(foreach python,$(candidates),$(shell $(python) -c '$(suitable)' 2>/dev/null && echo $(python))))

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo install test soak lint types format check clean

help: ## Show what there is
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

$(INSTALLED): pyproject.toml requirements/pins.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or 3.12 with venv found; make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(PIP_FLAGS) -c requirements/pins.txt -e '.[dev]'
	touch $@

install: $(INSTALLED) ## Make the virtual environment .venv with the pinned dependencies

# A finished run is never overwritten: the second demo goes to runs/resnet34-2, and so on.
fresh_folder = $(shell out=$(1); n=1; while [ -e "$$out" ]; do n=$$((n + 1)); out=$(1)-$$n; done; echo "$$out")

demo: $(INSTALLED) ## The main job: make ResNet-34 faster on this processor
	$(BIN)/loopwright optimize resnet34 --target cpu --legality fisher --out $(call fresh_folder,runs/resnet34)

# Two processes test on few processors: threads that wait should sleep, not spin.
test soak: export OMP_WAIT_POLICY := passive
test soak: export OPENBLAS_NUM_THREADS := 1
test soak: export TVM_THREAD_POOL_SPIN_COUNT := 0
test: $(INSTALLED) ## All tests and the examples in docstrings
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder

soak: $(INSTALLED) ## The slow tests, and 20,000 drawn derivations: an hour or two of two cores
	$(BIN)/python -m pytest -n $(JOBS) -m slow
	$(BIN)/python -m scripts.soak --examples 20000

lint: $(INSTALLED) ## Format and lint, as a check
	$(BIN)/ruff format --check src tests scripts benchmarks
	$(BIN)/ruff check src tests scripts benchmarks

types: $(INSTALLED) ## Check the types
	$(BIN)/mypy

format: $(INSTALLED) ## Format, and mend what lint can mend
	$(BIN)/ruff format src tests scripts benchmarks
	$(BIN)/ruff check --fix src tests scripts benchmarks

check: lint types test ## What continuous integration runs

clean: ## Remove the virtual environment and caches; runs/ stays
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis src/*.egg-info

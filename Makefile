# The user's door. Every target sets up what it needs; nothing is done twice.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
STAMP := $(VENV)/.installed
TESTED := $(VENV)/.tested
BOOTSTRAP := $(or $(BOOTSTRAP_PYTHON),python3)
# The pinned packages of the Python that the environment is made with.
LOCK = envs/requirements-$(shell $(or $(wildcard $(PYTHON)),$(BOOTSTRAP)) -c 'import sys; print(f"{sys.version_info[0]}.{sys.version_info[1]}")').lock
# Every file of the project that is not ignored, and their folders, whose times show that files have gone.
FILES := $(wildcard $(shell git ls-files --cached --others --exclude-standard 2>/dev/null))
PYTHON := $(VENV)/bin/python
CORES ?= all
PROFILE ?= profiles/local
# Test files that run at a time.
WORKERS ?= 2
# What torch's CUDA builds bring by themselves and its CPU builds do not have.
CUDA := triton cuda-bindings cuda-pathfinder cuda-toolkit $(addprefix nvidia-,cublas cuda-cupti cuda-nvrtc cuda-runtime cudnn-cu13 cufft cufile \
	curand cusolver cusparse cusparselt-cu13 nccl-cu13 nvjitlink nvshmem-cu13 nvtx)
# Further snakemake options, e.g.  make demo ARGS="--config budgets='[0.02,0.05]'"
ARGS ?=

# snakemake on the embedded experiment; a killed run's lock is removed, a live run's is not.
RUN = PATH="$(CURDIR)/$(VENV)/bin:$$PATH" $(PYTHON) -m equipoise run --profile $(PROFILE) --cores $(CORES)

# A page of the first selectors, long before the end.
EARLY = report_partial all --prioritize report_partial

.PHONY: help install demo dry-run validate study report dag test test-fast test-now test-nightly test-slurm bench gpu-check coverage mutants audit lint format docs lock clean without-git

help: ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Make .venv from the pinned lock

$(STAMP): $(wildcard envs/*.lock) pyproject.toml
	@test -f $(LOCK) || { echo "no $(LOCK): use a Python of $(wildcard envs/*.lock)"; exit 2; }
	@test -x $(PYTHON) || $(BOOTSTRAP) -m venv $(VENV)
	@# An explicit == keeps pip from taking the newest torch as another package's dependency; it comes first for the same reason.
	$(PYTHON) -m pip install --quiet --disable-pip-version-check $$(grep '^torch==' $(LOCK))
	$(PYTHON) -m pip install --quiet --disable-pip-version-check -r $(LOCK)
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	@touch $@

demo: $(STAMP) ## Run the embedded miniature experiment end to end (CPU, no downloads)
	@$(RUN) $(EARLY) $(ARGS)

dry-run: $(STAMP) ## Show what `make demo` would do
	@$(RUN) $(EARLY) --dry-run $(ARGS)

validate: $(STAMP) ## What every estimator of influence is worth on the embedded experiment (ESTIMATORS="less, ekfac" picks some)
	@estimators="$${ESTIMATORS:-$$($(PYTHON) -c "from equipoise.estimators import ESTIMATORS, MATES; print(*(each.name for each in ESTIMATORS), MATES, sep=', ')")}"; \
	$(RUN) validation --config "validation={estimators: [$$estimators], removal: {tasks: [gsm, logic, know]}}" $(ARGS)

study: $(STAMP) ## The miniature on several pools; ARGS="--estimator less,ekfac_unit --selectors bids,round_robin" (docs/results.md)
	@$(PYTHON) -m equipoise miniature study --cores $(CORES) $(ARGS)

report: $(STAMP) ## Make the report of the embedded experiment again
	@$(RUN) --forcerun report $(ARGS)

dag: $(STAMP) ## Print the rule graph in mermaid form
	@$(PYTHON) -m snakemake --rulegraph mermaid-js

test: $(if $(ARGS),test-now,$(TESTED)) ## Run the tests, unless they passed on these very files
	@echo "Tests passed; nothing more to do until a file changes (make test-now runs them regardless)."

$(TESTED): $(STAMP) $(FILES) $(filter-out ./,$(sort $(dir $(FILES)))) $(if $(FILES),,without-git)
	@$(MAKE) --no-print-directory test-now
	@touch $@

test-now: $(STAMP) ## Run the tests; ARGS="-k select" picks some
	$(PYTHON) -m pytest -m "not slurm and not nightly" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(ARGS)

test-fast: $(STAMP) ## Run the unit tests: no processes, no servers, for every day
	$(PYTHON) -m pytest tests/unit -m "not nightly" -n $(WORKERS) --dist loadfile $(ARGS)

test-nightly: $(STAMP) ## Run the tests that take longer than CI can hold (there may be none)
	$(PYTHON) -m pytest -m nightly $(ARGS) || test $$? = 5

test-slurm: $(STAMP) ## Run the tests that need a Slurm (tests/integration/slurm/single_node.sh up makes one)
	$(PYTHON) -m pytest -m slurm tests/integration/slurm $(ARGS)

bench: $(STAMP) ## Run the benchmarks: ratios against baselines of the same run
	@# Without bytecode: a new folder among the tests would count as a change to them (see FILES).
	@for script in tests/benchmarks/bench_*.py; do echo "== $$script"; PYTHONDONTWRITEBYTECODE=1 $(PYTHON) $$script; done

gpu-check: $(STAMP) ## On a machine with a GPU: what must hold there, and how fast it is; no download, made for 8 minutes on an H100
	PYTHONPATH=tests $(PYTHON) -m gpu.check $(ARGS)

coverage: $(STAMP) ## Branch coverage of the package by its unit tests; fails below 90 %
	rm -rf .coverage; mkdir .coverage
	$(PYTHON) -m coverage run -m pytest tests/unit -m "not nightly" -n $(WORKERS) --dist loadfile -q $(ARGS)
	@$(PYTHON) -m coverage combine --quiet
	@$(PYTHON) -m coverage report

mutants: $(STAMP) ## Do tests notice faults? A sample of 400 mutants, in at most 90 minutes; goes on from tests/mutation/results.json
	PYTHONPATH=tests OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONDONTWRITEBYTECODE=1 \
		$(VENV)/bin/uv run --quiet --no-project --python $(PYTHON) --with mutmut python -m mutation.run $(ARGS)

audit: $(STAMP) ## Known faults of the pinned packages (needs the internet), and what the program must never do
	@$(VENV)/bin/uv run --quiet --no-project --with pip-audit pip-audit --requirement $(LOCK) --disable-pip --no-deps --progress-spinner off \
		|| echo "pip-audit: packages with known faults are named above; where it could ask nobody, nothing was checked"
	$(PYTHON) -m pytest -n 0 -q tests/unit/test_safety.py tests/integration/workflow/test_bring_your_own.py

lint: $(STAMP) ## Check style of Python and Snakemake files
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/snakefmt --check Snakefile workflow/Snakefile workflow/rules

format: $(STAMP) ## Format Python and Snakemake files
	$(VENV)/bin/ruff check --fix --quiet .
	$(VENV)/bin/ruff format --quiet .
	$(VENV)/bin/snakefmt Snakefile workflow/Snakefile workflow/rules

docs: $(STAMP) ## Build the documentation as a site (site/index.html), strictly
	NO_MKDOCS_2_WARNING=1 $(PYTHON) -m mkdocs build --quiet

lock: $(STAMP) ## Pin all packages anew for every Python; pins that still fit stay (ARGS=--upgrade: the newest of all but torch)
	@for version in 3.11 3.12 3.13; do \
		lock=envs/requirements-$$version.lock; test -f $$lock || cp envs/requirements-3.11.lock $$lock; \
		$(VENV)/bin/uv pip compile --quiet pyproject.toml --all-extras --python-version $$version --no-annotate --no-header \
			--constraint <(grep '^torch==' envs/requirements-3.11.lock) $(addprefix --no-emit-package ,$(CUDA)) --output-file $$lock $(ARGS); \
		sed -i "1i # All packages of the project, its tests and its tools, for Python $$version (make lock). torch brings CUDA where its build has it." $$lock; \
		grep -c == $$lock | xargs echo "$$lock: packages:"; \
	done

clean: ## Remove results of the embedded experiment
	rm -rf results/miniature resources/miniature

# Every target works from a clean clone: it first makes .venv/ (Python) and node_modules/ (the linter
# of the report's JavaScript) if they are missing or their lock has changed. `make help` lists the
# targets.

PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
# version of PyPI's idc-index-data, the index of the Imaging Data Commons
INDEX := 25.0.5
# torch's build and its CUDA packages depend on the machine: pip chooses them for the version that
# pyproject.toml pins, and they are not in the lock
CUDA := torch nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 \
	nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx \
	cuda-bindings cuda-pathfinder cuda-toolkit triton
# what a lock names and nothing else, compared with its hashes; nothing is built unless named
LOCKED := --quiet --disable-pip-version-check --no-deps --require-hashes --only-binary :all:

export PATH := $(CURDIR)/$(BIN):$(CURDIR)/node_modules/.bin:$(PATH)

.PHONY: help demo images check lint format test test-fast test-demo test-browser test-cluster bench \
	schema reference docs series lock

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: .venv/installed ## Run the whole pipeline on synthetic data: a report in minutes.
	snakemake --cores $(CORES) --configfile workflow/demo.yaml \
		--set-threads train=1 train_member=1 sample=1

images: .venv/installed ## Build the container images for a cluster's nodes on this machine.
	snakemake --cores $(CORES) images

check: lint docs test-fast ## Run this before each commit: style, types, documentation, fast tests.

lint: .venv/installed node_modules/.package-lock.json ## Check format, style, types, and the workflow.
	ruff format --check
	ruff check
	snakefmt --check Snakefile workflow/rules
	biome check --error-on-warnings
	mypy
	snakemake --lint --configfile workflow/demo.yaml

format: .venv/installed node_modules/.package-lock.json ## Format all files in place.
	ruff format
	ruff check --fix
	snakefmt Snakefile workflow/rules
	biome check --write

# one test for each core, so one thread for each test
test test-fast: export OMP_NUM_THREADS := 1
# each process takes neighbouring tests, which share fixtures, and an idle one takes half of the rest
XDIST := -n $(CORES) --dist worksteal

test: .venv/installed ## Run the fast and the slow tests.
	pytest $(XDIST)

test-fast: .venv/installed ## Run the tests that take at most seconds each.
	pytest $(XDIST) -m "not slow and not demo and not browser and not cluster"

test-demo: demo ## Check the results of `make demo`.
	pytest -m demo tests/demo

test-browser: demo ## Test the report in headless Chromium; on Debian, as root.
	sh tests/browser/install.sh
	pytest -n $(CORES) -m browser --reruns 2 --only-rerun TimeoutError tests/browser

test-cluster: .venv/installed ## Test the workflow on a real SLURM with containers; on Debian, as root.
	sh tests/cluster/install.sh
	pytest -m cluster tests/cluster

bench: .venv/installed demo ## Measure speed and memory, into benchmarks/results/.
	mkdir -p benchmarks/results
	python benchmarks/model.py --json benchmarks/results/model.json
	python benchmarks/ged.py --json benchmarks/results/ged.json
	python benchmarks/crops.py --json benchmarks/results/crops.json
	python benchmarks/scenes.py --json benchmarks/results/scenes.json
	python benchmarks/fetch.py --json benchmarks/results/fetch.json
	python benchmarks/prepare.py --json benchmarks/results/prepare.json
	python benchmarks/store.py --json benchmarks/results/store.json
	python benchmarks/report.py --demo . --json benchmarks/results/report.json
	python benchmarks/growth.py --json benchmarks/results/growth.json
	python benchmarks/workflow.py --json benchmarks/results/workflow.json
	python benchmarks/shared_machine.py --json benchmarks/results/shared_machine.json
	python benchmarks/flips.py --json benchmarks/results/flips.json
	python benchmarks/single_masks.py --json benchmarks/results/single_masks.json
	python benchmarks/time_to_ged.py --until 0.38 --json benchmarks/results/time_to_ged.json
	python benchmarks/places.py --json benchmarks/results/places.json

schema: .venv/installed ## Export the JSON schema of config.yaml.
	python -m probunet.study > workflow/schemas/config.schema.json

reference: .venv/installed ## Write the reference pages of configuration and commands.
	python docs/generate.py

docs: .venv/installed ## Build the documentation; a warning is an error.
	sphinx-build -W -n --keep-going docs docs/_build/html

series: ## Write the table of LIDC-IDRI's CT series from the publisher's index.
	@echo "workflow/scripts/lidc_series.lock in a temporary virtual environment"
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
		"$$folder/bin/pip" install $(LOCKED) --requirement workflow/scripts/lidc_series.lock && \
		"$$folder/bin/python" workflow/scripts/lidc_series.py

lock: .venv/installed ## Pin the newest versions of all packages, for Python 3.11 and newer.
	uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras \
		--no-header --no-annotate --generate-hashes --upgrade $(CUDA:%=--no-emit-package %) \
		--output-file requirements.lock pyproject.toml
	echo idc-index-data==$(INDEX) pyarrow | tr ' ' '\n' | uv pip compile --universal \
		--python-version 3.11 --no-header --no-annotate --generate-hashes \
		--constraint requirements.lock --output-file workflow/scripts/lidc_series.lock -
	python containers/lock.py

# the package itself, editable, and torch, the one dependency that the lock leaves to this machine;
# again when its metadata or the environment changes
.venv/installed: pyproject.toml .venv/requirements.lock
	pip install --quiet --disable-pip-version-check --no-build-isolation --editable '.[torch]'
	touch $@

# a new environment if the lock differs from the copy that the environment was made from; one package
# has no wheel, and the locked setuptools builds it
.venv/requirements.lock: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "probunet needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	cmp -s $< $@ || { rm -rf .venv && $(PYTHON) -m venv .venv && \
		awk '/^[^ ]/ { on = /^setuptools==/ } on' $< >.venv/setuptools.lock && \
		pip install $(LOCKED) --requirement .venv/setuptools.lock && \
		pip install $(LOCKED) --no-build-isolation --no-binary connection-pool --requirement $<; }
	cp $< $@

node_modules/.package-lock.json: package.json package-lock.json
	@npm --version >/dev/null 2>&1 || \
		{ echo "lint and format need Node.js with npm, for the report's JavaScript: install it."; exit 1; }
	npm ci --no-audit --no-fund --loglevel=error
	touch $@

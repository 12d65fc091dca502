# Every target works from a clean clone: .venv/ is made when it is missing or the lock has changed,
# and nothing else is used. `make help` lists the targets.

PYTHON ?= python3
CORES ?= 2
BIN := .venv/bin
# of PyPI's idc-index-data: the index of the Imaging Data Commons
INDEX := 25.0.5
# CUDA's packages are torch's own pins and belong to the machine, not to the lock
CUDA := nvidia-cublas nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 \
	nvidia-cufft nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse \
	nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx \
	cuda-bindings cuda-pathfinder cuda-toolkit triton

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help demo images test test-fast test-browser test-cluster lint format bench schema \
	reference docs series lock

help: ## List the targets.
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/installed ## Raw images to GED table and report on embedded synthetic data, in minutes.
	snakemake --cores $(CORES) --configfile workflow/demo.yaml \
		--set-threads train=1 train_member=1 sample=1

images: .venv/installed ## Build the container images, here, for the cluster's nodes.
	snakemake --cores $(CORES) images

# as many tests at once as there are cores: a thread each
test test-fast: export OMP_NUM_THREADS := 1

test: .venv/installed ## All tests, the slow ones too.
	pytest -n $(CORES) -m "not slow and not cluster and not browser"
	pytest -n $(CORES) -m "slow and not cluster and not browser"

test-fast: .venv/installed ## The tests that take seconds.
	pytest -n $(CORES) -m "not slow and not cluster and not browser"

test-browser: demo ## The demo's report and others in headless Chromium; Debian, as root.
	sh tests/browser/install.sh
	pytest -n $(CORES) -m browser --reruns 2 --only-rerun TimeoutError tests/browser

test-cluster: .venv/installed ## The workflow on a real SLURM with real containers; Debian, as root.
	sh tests/cluster/install.sh
	pytest -m cluster tests/cluster

lint: .venv/installed ## Format, style, types, and Snakemake's own best practices.
	ruff format --check
	ruff check
	mypy
	snakefmt --check Snakefile workflow/rules
	snakemake --lint --configfile workflow/demo.yaml

format: .venv/installed ## Format everything in place.
	ruff format
	ruff check --fix
	snakefmt Snakefile workflow/rules

bench: .venv/installed demo ## Ratios and times of what must be fast, into benchmarks/results/.
	mkdir -p benchmarks/results
	python benchmarks/model.py --json benchmarks/results/model.json
	python benchmarks/ged.py --json benchmarks/results/ged.json
	python benchmarks/scenes.py --json benchmarks/results/scenes.json
	python benchmarks/fetch.py --json benchmarks/results/fetch.json
	python benchmarks/prepare.py --json benchmarks/results/prepare.json
	python benchmarks/report.py --demo . --json benchmarks/results/report.json
	python benchmarks/workflow.py --json benchmarks/results/workflow.json
	python benchmarks/flips.py --json benchmarks/results/flips.json

schema: .venv/installed ## Export the JSON schema of config.yaml.
	python -m probunet.config > workflow/schemas/config.schema.json

reference: .venv/installed ## Write the reference of configuration and commands again.
	python docs/generate.py

docs: .venv/installed ## Build the documentation; a warning or a dead link is an error.
	sphinx-build -W -n --keep-going docs docs/_build/html

series: ## Make the frozen table of LIDC-IDRI's CT series again, from the publisher's index.
	@echo "idc-index-data==$(INDEX) into a virtual environment that is thrown away"
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
		"$$folder/bin/pip" install --quiet --disable-pip-version-check idc-index-data==$(INDEX) \
			$$(grep '^pyarrow==' requirements.lock) && \
		"$$folder/bin/python" workflow/scripts/lidc_series.py

lock: .venv/installed ## Pin all versions again, for Python 3.11 and newer.
	pip install --quiet uv
	uv pip compile --universal --fork-strategy fewest --python-version 3.11 --all-extras \
		--no-header --no-annotate --upgrade $(CUDA:%=--no-emit-package %) \
		--output-file requirements.lock pyproject.toml
	python containers/lock.py

.venv/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "probunet needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..."; exit 1; }
	rm -rf .venv
	$(PYTHON) -m venv .venv
	pip install --quiet --disable-pip-version-check --requirement requirements.lock
	pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

#!/usr/bin/env bash
# The package itself, from the project that the workflow was started with (workflow/rules/common.smk
# says where); editable, so that the environment need not be made again when the code changes.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --no-index --editable "${PROBUNET_PROJECT:-.}"

#!/usr/bin/env bash
# Install the package from the project of the running workflow (PROBUNET_PROJECT), editable: a change
# of code needs no new environment.
set -euo pipefail
python -m pip install --no-deps --no-build-isolation --no-index --editable "${PROBUNET_PROJECT:-.}"

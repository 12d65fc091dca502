#!/usr/bin/env bash
# Install the package from the project of the running workflow (PROBUNET_PROJECT), editable: a change
# of code needs no new environment. Of what it depends on, only torch is missing, whose build and CUDA
# packages depend on the machine.
set -euo pipefail
python -m pip install --no-build-isolation --editable "${PROBUNET_PROJECT:-.}[torch]"

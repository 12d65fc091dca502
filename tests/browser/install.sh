#!/bin/sh
# Install what the browser's tests need on Debian: Chromium and fonts with the letters of the report.
# Run as root. Elsewhere, a browser that Playwright has installed is used.
set -eu

fonts="fonts-dejavu-core fonts-liberation"
missing=""
command -v chromium >/dev/null || missing="chromium"
for package in $fonts; do
    ! command -v dpkg-query >/dev/null ||
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null |
        grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    python -c "
import os, sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    sys.exit(not os.path.exists(playwright.chromium.executable_path))" || {
        echo "tests/browser/install.sh: no apt-get here; run: playwright install chromium" >&2
        exit 1
    }
    exit 0
fi
[ "$(id -u)" = 0 ] || {
    echo "tests/browser/install.sh: become root to install:$missing" >&2
    exit 1
}
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install --yes -qq --no-install-recommends $missing >/dev/null || {
    echo "tests/browser/install.sh: apt-get could not install:$missing" >&2
    exit 1
}

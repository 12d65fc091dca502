#!/bin/sh
# Install what the cluster's tests need on Debian: SLURM with accounting, and what Apptainer and the
# building of its images want. Run as root. No service is started or left enabled: the tests start
# their own daemons, each cluster in a folder of its own.
set -eu

packages="slurmctld slurmd slurm-client slurmdbd mariadb-server munge
squashfs-tools uidmap squashfuse fuse-overlayfs patchelf mmdebstrap"

missing=""
for package in $packages; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null |
        grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null || {
    echo "tests/cluster/install.sh: no apt-get here; a Debian machine is needed for:$missing" >&2
    exit 1
}
[ "$(id -u)" = 0 ] || {
    echo "tests/cluster/install.sh: become root to install:$missing" >&2
    exit 1
}

# while this file says "forbidden", the packages' scripts start nothing (invoke-rc.d(8))
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
# shellcheck disable=SC2086
apt-get install --yes -qq --no-install-recommends $missing >/dev/null || {
    echo "tests/cluster/install.sh: apt-get could not install:$missing" >&2
    exit 1
}
# nor at the next start of the machine
for package in $missing; do
    case "$package" in
    slurmctld | slurmd | slurmdbd | mariadb-server | munge)
        ! command -v systemctl >/dev/null || systemctl --quiet disable "${package%-server}" || true
        ;;
    esac
done

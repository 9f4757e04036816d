# shellcheck shell=sh
# SPDX-License-Identifier: BSD-2-Clause
# Sourced by the scripts here: how to become root, and how to talk to apt without a terminal.

# Runs a command as root, or fails without asking where that is not possible.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        sudo "$@"
    else
        return 1
    fi
}

# Refreshes apt's lists: a fresh machine or container often has none.
apt_update() {
    echo "refreshing the package lists" >&2
    as_root apt-get -q=2 update </dev/null >&2
}

# Prints a package's candidate version, nothing where apt knows none.
apt_candidate() {
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -vFx '(none)' || true
}

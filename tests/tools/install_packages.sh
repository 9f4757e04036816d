#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Installs those of the named Debian packages that are missing; says nothing when none is.
# Where it may not install, it prints the command that would and fails.
set -eu
. "$(dirname "$0")/apt.sh"

missing=
if command -v dpkg-query >/dev/null; then
    for package in "$@"; do
        case $(dpkg-query -W -f='${db:Status-Abbrev}' "$package" 2>/dev/null) in
        ?i*) ;;
        *) missing="$missing $package" ;;
        esac
    done
else
    echo "This machine has no dpkg: please see to it that these Debian packages' programs are there:" >&2
    echo "   $*" >&2
    exit 0
fi
[ -n "$missing" ] || exit 0

command="apt-get install -y --no-install-recommends$missing"
refuse() {
    echo >&2
    echo "Bulkhead needs packages that could not be installed from here. As root, please run:" >&2
    echo >&2
    echo "    apt-get update && $command" >&2
    echo >&2
    exit 1
}

as_root true || refuse
echo "installing:$missing" >&2
fresh=no
for package in $missing; do
    [ -n "$(apt_candidate "$package")" ] || fresh=needed
done
[ "$fresh" = no ] || apt_update || refuse

# shellcheck disable=SC2086  # the list is words on purpose
install() {
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q=2 -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 \
        install -y --no-install-recommends $missing </dev/null >&2
}
# Stale lists name files that the mirror has dropped: then once more with new ones.
install || { [ "$fresh" = no ] && apt_update && install; } || refuse

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fetch_package.sh PACKAGE DIRECTORY [FOLDER...]: downloads a Debian package and unpacks it, or those folders of it
# (wildcards in quotes), into DIRECTORY. Nothing is installed. A meta package of a kernel is followed to the kernel it
# depends on.
set -eu
. "$(dirname "$0")/apt.sh"

package=$1
directory=$2
shift 2

[ -n "$(apt_candidate "$package")" ] || apt_update || {
    echo "apt knows no package $package; as root, please run: apt-get update" >&2
    exit 1
}
case $package in
linux-image-*amd64)
    depends=$(apt-cache show --no-all-versions "$package" |
        sed -n 's/^Depends: \(linux-image-[^ ,]*\).*/\1/p' | head -n 1)
    package=${depends:-$package}
    ;;
esac

work=$directory.partial
rm -rf "$work"
mkdir -p "$work"
download() {
    (cd "$work" && apt-get -q=2 -o APT::Sandbox::User=root download "$package" </dev/null >&2)
}
echo "fetching $package" >&2
# Stale lists name files that the mirror has dropped: then once more with new ones.
download || { apt_update && download; } || {
    echo "could not download $package" >&2
    exit 1
}
[ $# -gt 0 ] || set -- ""
for folder; do
    dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x --wildcards -C "$work" "./$folder"
done
rm -f "$work"/*.deb
rm -rf "$directory"
mv "$work" "$directory"

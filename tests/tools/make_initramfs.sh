#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# make_initramfs.sh BUSYBOX OUTPUT [KERNEL]: a Linux that fits into one static busybox, as a compressed cpio archive.
# KERNEL is the folder of an unpacked kernel package, whose drivers of the power button come along.
# Needs no root: the kernel's own initial archive has /dev/console, devtmpfs brings the rest.
set -eu

busybox=$(realpath "$1")
output=$(realpath "$2")
here=$(cd "$(dirname "$0")" && pwd)

rm -rf "$output.root"
mkdir -p "$output.root"
for directory in bin dev etc/acpi/PWRF lib/modules proc root sbin sys tmp usr/bin usr/sbin; do
    mkdir -p "$output.root/$directory"
done
cp "$busybox" "$output.root/bin/busybox"
cp "$here/initramfs/inittab" "$here/initramfs/profile" "$output.root/etc/"
cp "$here/initramfs/start" "$output.root/etc/start"
cp "$here/initramfs/power_button" "$output.root/etc/acpi/PWRF/00000080"
chmod 755 "$output.root/bin/busybox" "$output.root/etc/start" "$output.root/etc/acpi/PWRF/00000080"
if [ -n "${3:-}" ] && [ -d "$3/lib/modules" ]; then
    find "$3/lib/modules" '(' -name button.ko -o -name evdev.ko ')' -exec cp {} "$output.root/lib/modules/" ';'
fi
ln -s bin/busybox "$output.root/init"
"$busybox" --list-full | while read -r applet; do
    [ -e "$output.root/$applet" ] || ln -s /bin/busybox "$output.root/$applet"
done

# Names sorted, times and owners fixed: the same input gives the same archive.
find "$output.root" -exec touch -h -d @0 {} +
(cd "$output.root" && find . | LC_ALL=C sort | "$busybox" cpio -o -H newc -R 0:0 2>/dev/null) >"$output.cpio"
gzip -9n <"$output.cpio" >"$output.partial"
rm -rf "$output.root" "$output.cpio"
mv "$output.partial" "$output"

#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# make_iso.sh OUTPUT IMAGE OPTIONS MODULE...: a GRUB ISO for BIOS that boots IMAGE by multiboot 2.
# Each module keeps its base name, which is what the configuration calls it.
set -eu

output=$1
image=$2
options=$3
shift 3

tree=$output.tree
rm -rf "$tree"
mkdir -p "$tree/boot/grub"
cp "$image" "$tree/boot/bulkhead.elf"
{
    echo "set timeout=0"
    echo "menuentry \"Bulkhead\" {"
    echo "    multiboot2 /boot/bulkhead.elf $options"
    for module in "$@"; do
        name=$(basename "$module")
        cp "$module" "$tree/boot/$name"
        echo "    module2 /boot/$name $name"
    done
    echo "}"
} >"$tree/boot/grub/grub.cfg"
grub-mkrescue -d /usr/lib/grub/i386-pc -o "$output.partial" "$tree" 2>"$output.log" || {
    cat "$output.log" >&2
    exit 1
}
rm -rf "$tree" "$output.log"
mv "$output.partial" "$output"

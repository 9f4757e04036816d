# SPDX-License-Identifier: BSD-2-Clause
"""A small GRUB CD in a fraction of a second: one core image is made once, the rest is a plain ISO 9660."""

import fcntl
import os
import shutil
import subprocess
from pathlib import Path

from machine import ROOT, Boot

CORE = ROOT / "build/test-cache/eltorito.img"
CORE_MODULES = "biosdisk iso9660 normal multiboot multiboot2".split()
COMMANDS = {"multiboot1": ("multiboot", "module"), "multiboot2": ("multiboot2", "module2")}


def grub_core() -> Path:
    """GRUB's own part of every CD. Several workers may want it at once."""
    CORE.parent.mkdir(parents=True, exist_ok=True)
    with open(CORE.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not CORE.exists():
            partial = CORE.with_suffix(".partial")
            command = ["grub-mkimage", "-d", "/usr/lib/grub/i386-pc", "-O", "i386-pc-eltorito", "-p", "/boot/grub"]
            subprocess.run([*command, "-o", str(partial), *CORE_MODULES], check=True)
            partial.rename(CORE)
    return CORE


def make_iso(directory: Path, boot: Boot, modules: list[Path], protocol="multiboot2") -> Path:
    """Makes directory/boot.iso; QEMU and Bochs boot it from a CD drive."""
    tree = directory / "iso"
    (tree / "boot/grub").mkdir(parents=True)
    shutil.copy(grub_core(), tree / "boot/grub/eltorito.img")
    kernel_command, module_command = COMMANDS[protocol]
    os.symlink(boot.image.resolve(strict=True), tree / "boot/image.elf")
    lines = [f"{kernel_command} /boot/image.elf {boot.command_line}"]
    for path in modules:
        os.symlink(path.resolve(), tree / "boot" / path.name)
        lines.append(f"{module_command} /boot/{path.name} {path.name}")
    (tree / "boot/grub/grub.cfg").write_text("\n".join([*lines, "boot", ""]))
    image = directory / "boot.iso"
    command = ["xorriso", "-as", "mkisofs", "-quiet", "-R", "-f", "-b", "boot/grub/eltorito.img", "-no-emul-boot"]
    command += ["-boot-load-size", "4", "-boot-info-table", "-o", str(image), str(tree)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return image

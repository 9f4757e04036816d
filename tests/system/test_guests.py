# SPDX-License-Identifier: BSD-2-Clause
"""Kernels that know nothing of Linux or of us, as Debian ships them."""

import time

import expected
import payloads
import pytest
from machine import Boot


def configuration(name, boot, memory, cmdline):
    keys = f'cpus = [0]\nmemory = "{memory}"\nboot = "{boot}"\nkernel = "kernel"\ncmdline = "{cmdline}"\n'
    return f"[guest.{name}]\n{keys}"


@pytest.mark.machines("qemu-amd")
def test_memtest_finds_no_error(lab, machine_name):
    """Up to its test #4, or a later one: it draws its screen every two seconds only."""
    modules = {
        "test.toml": configuration("memtest", "linux", "64M", "console=ttyS0,115200"),
        "kernel": payloads.MEMTEST,
    }
    machine = lab.start(machine_name, Boot(modules=modules), limit_s=180)
    machine.expect(r"Memtest86\+", 30)
    machine.expect(r"#([4-9]|\d\d) +\[", 150)
    assert int(machine.expect(r"Errors: *(\d+)", 20)[1]) == 0


@pytest.mark.machines("qemu-amd")
def test_gnumach_asks_for_its_bootstrap(lab, machine_name):
    modules = {
        "test.toml": configuration("mach", "multiboot", "128M", "console=com0"),
        "kernel": payloads.gnumach(lab.directory),
    }
    machine = lab.start(machine_name, Boot(modules=modules), limit_s=90)
    machine.expect(r"GNU Mach", 30)
    machine.expect(r"No bootstrap code", 60)


@pytest.mark.machines("qemu-amd")
def test_grub_invaders_draw_their_screen(lab, machine_name):
    modules = {"test.toml": configuration("invaders", "multiboot", "16M", ""), "kernel": payloads.INVADERS}
    machine = lab.start(machine_name, Boot("console=com1 log=debug on_error=poweroff", modules))
    address = int(machine.expect(expected.VGA_TEXT_AT.format(name="invaders"))[1], 16)
    deadline = time.monotonic() + 20
    while machine.screen_text(address).count("-*-") < 10:
        assert time.monotonic() < deadline, f"the screen shows:\n{machine.screen_text(address)}"
        time.sleep(0.5)

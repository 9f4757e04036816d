# SPDX-License-Identifier: BSD-2-Clause
"""Guests with several CPUs, and several guests at once."""

import re

import expected
import payloads
from linux_shell import LinuxShell
from machine import Boot, End


def linux_table(name, cpus, memory="256M"):
    """One [guest.NAME] that boots Debian's Linux."""
    return f"""\
[guest.{name}]
cpus = {cpus}
memory = "{memory}"
boot = "linux"
kernel = "vmlinuz"
initrd = "initramfs"
cmdline = "console=ttyS0"
"""


def linux_modules(*tables):
    return {"test.toml": "\n".join(tables), "vmlinuz": payloads.VMLINUZ, "initramfs": payloads.INITRAMFS}


def test_linux_with_four_cpus(lab, machine_name):
    """All four come up, take work and interrupts, and see one time."""
    boot = Boot(modules=linux_modules(linux_table("linux", [0, 1, 2, 3], "512M")))
    machine = lab.start(machine_name, boot, cpus=4, memory_mb=1024, limit_s=120)
    shell = LinuxShell(machine).wait_prompt(60)
    assert shell.run("nproc") == "4"
    shell.run("for i in 0 1 2 3; do taskset -c $i sha256sum /bin/busybox >/tmp/s$i & done; wait", 60)
    assert len(set(shell.run("cat /tmp/s?").split("\n"))) == 1
    timers = re.search(r"^LOC:((?: +\d+){4})", shell.run("cat /proc/interrupts"), re.MULTILINE)
    assert all(int(count) > 0 for count in timers[1].split())
    assert "unstable" not in shell.run("dmesg | grep -i tsc")
    machine.send("poweroff\n")
    machine.expect(expected.GUEST_OFF.format(name="linux"), 30)
    assert machine.wait_end(20) is End.POWER_OFF


def test_four_guests_on_four_cpus(lab, machine_name):
    """Each says hello and ends; the machine goes off behind the last."""
    names = ("north", "east", "south", "west")
    table = '[guest.{name}]\ncpus = [{cpu}]\nmemory = "16M"\nboot = "flat"\nkernel = "hello.bin"\n'
    configuration = "\n".join(table.format(name=name, cpu=cpu) for cpu, name in enumerate(names))
    machine = lab.start(machine_name, Boot(modules={"test.toml": configuration, "hello.bin": payloads.HELLO}), cpus=4)
    text = machine.read_all(30)
    assert machine.end is End.POWER_OFF
    assert len(re.findall(expected.HELLO, text)) >= len(names)
    for name in names:
        assert re.search(expected.GUEST_STARTED.format(name=name), text, re.MULTILINE)
        assert re.search(expected.GUEST_OFF.format(name=name), text, re.MULTILINE)

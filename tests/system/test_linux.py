# SPDX-License-Identifier: BSD-2-Clause
"""Debian's Linux, unmodified, used through its shell. It is booted once on a machine, and most tests share it."""

import base64
import functools
import re
import subprocess
import time

import expected
import payloads
import pytest
from linux_shell import PROMPT, LinuxShell
from machine import Boot, End
from qemu import QemuAmd, QemuKvm

pytestmark = pytest.mark.machines("qemu-amd")

MEMORY_MB = 512
COMMAND_LINE = "console=ttyS0"
CONFIGURATION = f"""\
[hypervisor]
console = "com1"

[guest.linux]
cpus = [0]
memory = "{MEMORY_MB}M"
boot = "linux"
kernel = "vmlinuz"
initrd = "initramfs"
cmdline = "{COMMAND_LINE}"
"""
MODULES = {"test.toml": CONFIGURATION, "vmlinuz": payloads.VMLINUZ, "initramfs": payloads.INITRAMFS}


def boot_linux(lab, machine_name, limit_s=400):
    machine = lab.start(machine_name, Boot(modules=MODULES), memory_mb=1024, limit_s=limit_s)
    return LinuxShell(machine).wait_prompt(60)


@pytest.fixture(scope="module")
def linux(shared_lab, machine_name):
    return boot_linux(shared_lab, machine_name)


def test_reaches_its_prompt_in_time(linux, machine_name):
    assert linux.machine.seconds() < (90 if machine_name.startswith("bochs") else 60)


def test_takes_what_is_typed(linux):
    assert linux.run("echo $((6 * 7)) | tr 0-9 a-j") == "ec"
    assert linux.run("uname -m") == "x86_64"
    # A line longer than any FIFO, typed at once, arrives whole.
    digits = "0123456789" * 40
    assert linux.run(f"echo {digits} | md5sum") == linux.run(f"printf '%s\\n' {digits} | md5sum")
    assert linux.run(f"echo {digits} | wc -c") == "401"


def test_control_c_and_job_control(linux):
    linux.machine.send("sleep 1000\n")
    time.sleep(0.5)
    linux.machine.send("\x03")
    linux.machine.expect(PROMPT, 10)
    assert "job control" not in linux.machine.console.text


def test_writes_a_lot_without_loss(linux):
    """Back-pressure: 60 KB at once go through a UART that is slower than the guest."""
    lines = linux.run("seq 1 10000", 60).split("\n")
    assert lines == [str(number) for number in range(1, 10001)]


def test_has_the_configured_processor_and_memory(linux):
    assert linux.run("nproc") == "1"
    total = int(re.search(r"Mem: +(\d+)", linux.run("free -m"))[1])
    assert MEMORY_MB * 0.85 <= total <= MEMORY_MB


def test_counts_timer_interrupts(linux):
    def ticks():
        table = linux.run("cat /proc/interrupts")
        return sum(int(n) for n in re.findall(r"^ *(?:0|LOC): +(\d+).*(?:timer|Local timer)", table, re.MULTILINE))

    before = ticks()
    linux.run("sleep 2")
    assert ticks() > before
    assert int(re.search(r"^ERR: +(\d+)", linux.run("cat /proc/interrupts"), re.MULTILINE)[1]) == 0


NO_CLOCK = pytest.mark.cannot(
    "bochs-intel", "bochs-amd", why="a second there is 100 million instructions, so that runs repeat, not one of the host's"
)


@NO_CLOCK
def test_clock_agrees_with_the_hosts(linux):
    def clocks():
        sent = time.time()
        guest = linux.run("date +%s; cut -d' ' -f1 /proc/uptime").split()
        return sent, int(guest[0]), float(guest[1])

    host, wall, uptime = clocks()
    assert abs(wall - host) < 3
    time.sleep(20)
    later_host, later_wall, later_uptime = clocks()
    assert abs((later_uptime - uptime) - (later_host - host)) < 0.6
    assert abs((later_wall - wall) - (later_host - host)) < 2


@NO_CLOCK
def test_sleeps_as_long_as_asked(linux):
    before = time.monotonic()
    linux.run("sleep 5")
    assert 4.9 < time.monotonic() - before < 7


# What plain QEMU shows too, but only when its host is busy enough to delay the timer that Linux measures with.
BUSY_HOST = {"tsc: Unable to calibrate against PIT"}


def complaints(shell) -> set[str]:
    """The kernel's warnings and errors, without their times and numbers."""
    lines = re.findall(r"^<[0-4]>\[ *[\d.]+\] (.*)", shell.run("dmesg -r"), re.MULTILINE)
    return {re.sub(r"0x[0-9a-f]+|\d+", "N", line) for line in lines}


# A plain machine by the vendor of its processor.
PLAIN = {"amd": (QemuAmd, {}), "intel": (QemuAmd, {"cpu": "Haswell-noTSX"}), "host": (QemuKvm, {})}


@functools.cache
def plain_complaints(vendor):
    """What the same kernel complains of on such a processor without us."""
    kind, arguments = PLAIN[vendor]
    linux = (payloads.VMLINUZ, payloads.INITRAMFS, COMMAND_LINE)
    machine = kind(Boot(), linux=linux, memory_mb=MEMORY_MB, limit_s=120, **arguments).start()
    try:
        return complaints(LinuxShell(machine).wait_prompt(60))
    finally:
        machine.close()


def test_kernel_complains_of_nothing_new(linux):
    assert complaints(linux) - plain_complaints(linux.machine.vendor) - BUSY_HOST == set()


def iasl(directory, *arguments) -> str:
    """Runs iasl, which must succeed, and returns what it said."""
    command = ["iasl", *arguments]
    result = subprocess.run(command, cwd=directory, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert result.returncode == 0, result.stdout
    return result.stdout


def test_iasl_accepts_the_acpi_tables(linux, tmp_path):
    linux.run("mkdir -p /tmp/t; for t in /sys/firmware/acpi/tables/*; do [ -f $t ] && cat $t >/tmp/t/${t##*/}; done")
    archive = linux.run("tar -C /tmp/t -cz . | base64", 60)
    subprocess.run(["tar", "-C", str(tmp_path), "-xz"], input=base64.b64decode(archive), check=True)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert {"APIC", "DSDT", "FACP"} <= set(names)
    for name in names:
        words = iasl(tmp_path, "-d", name)
        assert not re.search(r"error|warning|incorrect|invalid", words, re.I), f"{name}:\n{words}"
    words = iasl(tmp_path, "DSDT.dsl")
    assert "0 Errors" in words, words


@pytest.mark.machines("bochs-intel", "bochs-amd")
def test_reaches_its_prompt_elsewhere(lab, machine_name):
    """The other vendor and the other emulator: a boot, its timer, typed commands, and the end."""
    shell = boot_linux(lab, machine_name, limit_s=80)
    assert shell.run("nproc") == "1"
    assert int(re.search(r"^LOC: +(\d+)", shell.run("cat /proc/interrupts"), re.MULTILINE)[1]) > 100
    shell.machine.send("poweroff\n")
    shell.machine.expect(expected.GUEST_OFF.format(name="linux"), 30)
    assert shell.machine.wait_end(20) is End.POWER_OFF


def test_reboots_and_powers_off(lab, machine_name):
    shell = boot_linux(lab, machine_name)
    shell.machine.send("reboot\n")
    shell.machine.expect(r"Linux version", 60)
    shell.wait_prompt(60)
    assert shell.run("nproc") == "1"
    shell.machine.send("poweroff\n")
    shell.machine.expect(expected.GUEST_OFF.format(name="linux"), 30)
    assert shell.machine.wait_end(20) is End.POWER_OFF

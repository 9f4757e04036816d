# SPDX-License-Identifier: BSD-2-Clause
"""Whatever a user gets wrong: one clear line, nothing started, and the machine goes off."""

import re

import expected
import payloads
import pytest
from conftest import flat_configuration
from machine import Boot, End
from qemu import EPYC

GUEST = """\
# a comment, so that the guest's header is not the first line
[guest.one]
cpus = [0]
memory = "16M"
boot = "flat"
kernel = "hello.bin"
"""
SECOND = """
[guest.two]
cpus = [0]
memory = "16M"
boot = "flat"
kernel = "hello.bin"
"""

# name: (configuration, the line that is expected)
CONFIGURATIONS = {
    "unknown-key": (GUEST.replace("memory =", "memmory ="), expected.UNKNOWN_KEY),
    "wrong-type": (GUEST.replace('"16M"', "true"), expected.WRONG_TYPE),
    "cpu-twice": (GUEST + SECOND, expected.CPU_TWICE),
    "cpu-twice-in-a-list": (GUEST.replace("[0]", "[0, 0]"), expected.CPU_TWICE_IN_LIST),
    "cpu-that-is-not-there": (GUEST.replace("[0]", "[7]"), expected.CPU_LACKING),
    "more-memory-than-there-is": (GUEST.replace("16M", "900G"), expected.MEMORY_LACKING),
    "module-that-is-not-there": (GUEST.replace("hello.bin", "nowhere.bin"), expected.MODULE_LACKING),
    "two-guests-of-one-name": (GUEST + SECOND.replace("two", "one"), expected.NAME_TWICE),
    "no-guests": ('[hypervisor]\nconsole = "com1"\n', expected.NO_GUESTS),
    "empty-file": ("", expected.NO_GUESTS),
}


def refused(machine, pattern) -> str:
    """The machine must go off by itself, have said `pattern` in one line, and have started nothing."""
    text = machine.read_all(20)
    assert machine.end is End.POWER_OFF
    lines = [line for line in text.splitlines() if re.search(pattern, line)]
    assert len(lines) == 1, f"{len(lines)} lines match {pattern!r}"
    assert not re.search(expected.ANY_GUEST_STARTED, text, re.MULTILINE)
    return text


@pytest.mark.machines("qemu-amd", "bochs-intel")
@pytest.mark.parametrize("mistake", CONFIGURATIONS)
def test_configuration(lab, machine_name, mistake):
    configuration, pattern = CONFIGURATIONS[mistake]
    machine = lab.start(machine_name, Boot(modules={"test.toml": configuration, "hello.bin": payloads.HELLO}))
    text = refused(machine, pattern)
    assert len(re.findall(expected.POSITION, text)) <= 1, "one mistake, one message"


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_every_mistake_of_a_file_is_reported(lab, machine_name):
    configuration = GUEST.replace("memory =", "memmory =").replace('"flat"', '"flatt"') + 'devices = ["serial"]\n'
    machine = lab.start(machine_name, Boot(modules={"test.toml": configuration, "hello.bin": payloads.HELLO}))
    text = refused(machine, expected.UNKNOWN_KEY)
    assert re.search(r'test\.toml:5:\d+: .*"flatt"', text)
    assert re.search(r'test\.toml:7:\d+: .*"serial"', text)


def test_no_configuration(lab, machine_name):
    """An inventory and a configuration that would be valid; the console needs no configuration either."""
    machine = lab.start(machine_name, Boot(modules={"hello.bin": payloads.HELLO}))
    text = refused(machine, expected.NO_CONFIGURATION)
    assert re.search(expected.STARTER_GUEST, text, re.MULTILINE)


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_no_module_at_all(lab, machine_name):
    refused(lab.start(machine_name, Boot()), expected.NO_CONFIGURATION)


KERNELS = {
    "text-is-no-bzimage": ("linux", "64M", lambda: b"just a text\n" * 1000, expected.NOT_BZIMAGE),
    "empty-is-no-bzimage": ("linux", "64M", lambda: b"\0", expected.NOT_BZIMAGE),
    "multiboot-kernel-is-no-bzimage": ("linux", "64M", payloads.INVADERS.read_bytes, expected.NOT_BZIMAGE),
    "bzimage-cut-short": ("linux", "512M", lambda: payloads.VMLINUZ.read_bytes()[:100_000], expected.CUT_SHORT),
    "bzimage-larger-than-memory": ("linux", "16M", payloads.VMLINUZ.read_bytes, expected.TOO_LARGE),
    "bzimage-is-no-multiboot": ("multiboot", "64M", payloads.VMLINUZ.read_bytes, expected.NOT_MULTIBOOT),
    "text-is-no-multiboot": ("multiboot", "64M", lambda: b"just a text\n" * 1000, expected.NOT_MULTIBOOT),
    "multiboot-cut-short": ("multiboot", "64M", lambda: payloads.INVADERS.read_bytes()[:1000], expected.CUT_SHORT),
    "multiboot-larger-than-memory": ("multiboot", "1M", payloads.INVADERS.read_bytes, expected.TOO_LARGE),
    "flat-larger-than-memory": ("flat", "1M", lambda: b"\xf4" * 1_100_000, expected.TOO_LARGE),
}


@pytest.mark.machines("qemu-amd", "bochs-intel")
@pytest.mark.parametrize("mistake", KERNELS)
def test_kernel(lab, machine_name, mistake):
    boot, memory, kernel, pattern = KERNELS[mistake]
    configuration = f'[guest.one]\ncpus = [0]\nmemory = "{memory}"\nboot = "{boot}"\nkernel = "kernel.bin"\n'
    modules = {"test.toml": configuration, "kernel.bin": kernel()}
    refused(lab.start(machine_name, Boot(modules=modules), memory_mb=1024), pattern)


# Processors without virtualization, and Intel ones that lack what Bulkhead needs of it.
@pytest.mark.parametrize(
    "machine_name, arguments",
    [
        ("qemu-amd", {"cpu": EPYC.replace("+svm,+npt", "-svm")}),
        ("qemu-amd", {"cpu": "qemu64,-svm"}),
        ("bochs-intel", {"model": "core2_penryn_t9600"}),
        ("bochs-intel", {"model": "athlon64_clawhammer"}),
    ],
    ids=["qemu-epyc", "qemu-qemu64", "bochs-no-ept", "bochs-athlon64"],
)
def test_processor_without_virtualization(lab, machine_name, arguments):
    modules = {"test.toml": flat_configuration(), "hello.bin": payloads.HELLO}
    pattern = expected.NO_EPT if arguments.get("model") == "core2_penryn_t9600" else expected.NO_VIRTUALIZATION
    refused(lab.start(machine_name, Boot(modules=modules), **arguments), pattern)

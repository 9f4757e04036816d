# SPDX-License-Identifier: BSD-2-Clause
"""Intel processors that lack something, and firmware that has switched VT-x off or left it open: one clear line each."""

import re
import struct

import expected
import payloads
import pytest
from machine import Boot, End

pytestmark = pytest.mark.cannot(
    "qemu-amd", "bochs-amd", "qemu-kvm", why="Bochs alone has Intel processors that lack something, and such a BIOS"
)

# It leaves IA32_FEATURE_CONTROL at 0, unlocked, where the other one locks VT-x on; and it has no ACPI tables, so the
# machine cannot be switched off.
UNLOCKED_BIOS = "BIOS-bochs-legacy"

LOCKED_OFF = expected.LINE + r"the firmware has locked VT-x off"
SMX_ONLY = expected.LINE + r"the firmware allows VT-x inside SMX only"
NO_EPT = expected.LINE + r"the processor's VT-x has no EPT"
NO_UNRESTRICTED = expected.LINE + r"the processor's VT-x has no unrestricted guest mode"
STAYS_ON = expected.LINE + r"it is safe to switch it off now"
SMALL_PAGES = expected.LINE + r"iTLB multihit fault"


def assert_refused(text, pattern):
    """`pattern` was said in one line, and nothing has started."""
    assert len(re.findall(pattern, text, re.MULTILINE)) == 1
    assert not re.search(expected.ANY_GUEST_STARTED, text, re.MULTILINE)


def write_feature_control(value: int) -> bytes:
    """mov esi, eax; mov ecx, 0x3a; mov eax, VALUE; xor edx, edx; wrmsr; mov eax, esi"""
    return b"\x89\xc6\xb9\x3a\0\0\0\xb8" + struct.pack("<I", value) + b"\x31\xd2\x0f\x30\x89\xf0"


def test_firmware_that_left_vt_x_unlocked(lab, machine_name, hello_guest):
    machine = lab.start(machine_name, Boot(modules=hello_guest), bios=UNLOCKED_BIOS)
    machine.expect(expected.HELLO)
    machine.expect(STAYS_ON)


@pytest.mark.parametrize("value, pattern", [(1, LOCKED_OFF), (3, SMX_ONLY)], ids=["off", "inside-smx-only"])
def test_firmware_that_locked_vt_x(lab, machine_name, hello_guest, value, pattern):
    image = payloads.behind_code(lab.directory, write_feature_control(value), lab.image)
    boot = Boot(modules=hello_guest, image=image)
    machine = lab.start(machine_name, boot, bios=UNLOCKED_BIOS, loader="multiboot1")
    machine.expect(STAYS_ON)
    assert_refused(machine.transcript(), pattern)


@pytest.mark.parametrize(
    "model, pattern",
    [("core2_penryn_t9600", NO_EPT), ("corei5_lynnfield_750", NO_UNRESTRICTED)],
    ids=["no-ept", "no-unrestricted-guest"],
)
def test_processor_that_lacks_a_control(lab, machine_name, hello_guest, model, pattern):
    machine = lab.start(machine_name, Boot(modules=hello_guest), model=model)
    assert_refused(machine.read_all(20), pattern)
    assert machine.end is End.POWER_OFF


@pytest.mark.parametrize("model", ["corei7_haswell_4770", "corei7_sandy_bridge_2600k", "corei7_skylake_x"])
def test_processor_with_the_multihit_fault(lab, machine_name, hello_guest, model):
    machine = lab.start(machine_name, Boot(modules=hello_guest), model=model)
    machine.expect(SMALL_PAGES)
    machine.expect(expected.HELLO)
    assert machine.wait_end() is End.POWER_OFF

# SPDX-License-Identifier: BSD-2-Clause
"""A state that no processor enters a guest with: what is wrong is told rule by rule, and only that guest ends."""

import re

import expected
import payloads
from conftest import flat_configuration
from machine import Boot, End

# (start of the line behind the guest's name, the manuals' titles)
BREACHES = [
    (r"CR4 is 0x[0-9a-f]*8[0-9a-f]{7}, wrong in bit 31: ", r"Guest Control Registers|Consistency Checks"),
    (r"DR7 is 0x10000000400, wrong in bit 40: ", r"Guest Control Registers|Consistency Checks"),
]


def test_refused_state_is_explained(lab, machine_name):
    image = payloads.PLANTED / "wrong_entry_state.elf"
    configuration = flat_configuration("broken", 0) + flat_configuration("whole", 1)
    boot = Boot(modules={"test.toml": configuration, "hello.bin": payloads.HELLO}, image=image)
    machine = lab.start(machine_name, boot, cpus=2)
    text = machine.read_all(20)
    assert machine.end is End.POWER_OFF
    lines = re.findall(expected.STATE_REFUSED.format(name="broken") + "(.*)", text, re.MULTILINE)
    assert len(lines) == len(BREACHES), lines
    for said, (start, title) in zip(lines, BREACHES, strict=True):
        assert re.match(start, said), said
        assert re.search(rf'\((SDM vol\. 3|APM vol\. 2), ".*({title}).*"\)$', said), said
    assert re.search(expected.GUEST_STOPS.format(name="broken"), text, re.MULTILINE)
    assert re.search(r"^bulkhead: +rip +0000000000007c00  rflags 0000000000000002 ", text, re.MULTILINE)
    assert not expected.PANIC.search(text)
    # The other guest ran to its end, and this one not one instruction.
    assert re.search(expected.GUEST_OFF.format(name="whole"), text, re.MULTILINE)
    assert not re.search(expected.GUEST_OFF.format(name="broken"), text, re.MULTILINE)

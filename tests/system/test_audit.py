# SPDX-License-Identifier: BSD-2-Clause
"""Images with a hole in a wall: the audit finds it, and no guest is started."""

import re

import expected
import payloads
import pytest
from conftest import flat_configuration
from machine import Boot, End

FAULTS = {
    "audit_foreign_page": r'guest "east": address 0x40000000 leads to 0x[0-9a-f]+-0x[0-9a-f]+: memory of guest west$',
    "audit_foreign_stack": r"CPU 1: address 0xffff8[0-9a-f]+ leads to 0x[0-9a-f]+-0x[0-9a-f]+: a part of the page pool "
    r"that belongs to no one here$",
    "audit_missing_intercept": r'guest "west", vCPU 0: an intercept is missing$',
}


@pytest.mark.parametrize("fault", FAULTS)
def test_planted_faults_are_found(lab, machine_name, fault):
    configuration = flat_configuration("west", 0) + flat_configuration("east", 1)
    modules = {"test.toml": configuration, "hello.bin": payloads.HELLO}
    machine = lab.start(machine_name, Boot(modules=modules, image=payloads.PLANTED / f"{fault}.elf"), cpus=2)
    text = machine.read_all(20)
    assert machine.end is End.POWER_OFF
    assert re.search("^bulkhead: audit: " + FAULTS[fault], text, re.MULTILINE)
    assert re.search(expected.AUDIT_REFUSES, text, re.MULTILINE)
    assert not re.search(expected.ANY_GUEST_STARTED, text, re.MULTILINE)

# SPDX-License-Identifier: BSD-2-Clause
"""Hypercalls as a guest makes them."""

import re

import expected
import payloads
from machine import Boot, End

CONFIGURATION = '[guest.caller-1]\ncpus = [0]\nmemory = "16M"\nboot = "multiboot"\nkernel = "hypercall.elf"\n'


def test_hypercalls(lab, machine_name):
    """All calls answer; the guest starts over by one of them and goes off by another."""
    modules = {"test.toml": CONFIGURATION, "hypercall.elf": payloads.HYPERCALL}
    text = lab.start(machine_name, Boot(modules=modules)).read_all()
    assert lab.machines[0].end is End.POWER_OFF
    assert "FAILED" not in text
    assert text.count('hypercall: guest 0 is "caller-1"\n') == 2
    assert text.count("hypercall: this line came by a hypercall\n") == 2
    assert len(re.findall(r"^hypercall: all \d+ checks passed$", text, re.MULTILINE)) == 2
    for message in (expected.GUEST_RESET, expected.GUEST_OFF):
        line = re.search(message.format(name="caller-1") + ".*", text, re.MULTILINE)
        assert line and line[0].endswith("(hypercall)")

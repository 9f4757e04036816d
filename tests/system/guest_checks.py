# SPDX-License-Identifier: BSD-2-Clause
"""Guests of ours that check the processor from inside: one line for each thing tried, "TITLE: NAME ok"."""

import re

from machine import ROOT, Boot, End


def names_of(guest, *defined):
    """What the guest's source tries, in its order, with these macros defined."""
    names, skipping = [], False
    for line in (ROOT / f"guests/{guest}.S").read_text().splitlines():
        if line.startswith("#ifdef"):
            skipping = line.split()[1] not in defined
        elif line.startswith("#endif"):
            skipping = False
        elif match := re.match(r'\s*begin "(.*)"', line):
            names += [] if skipping else [match[1]]
    return names


def run_checks(lab, machine_name, image, title, names, deviations=()):
    """Boots build/guests/IMAGE.bin; all must be ok, but for what this machine is known to get wrong without us too."""
    configuration = '[guest.checks]\ncpus = [0]\nmemory = "16M"\nboot = "flat"\nkernel = "checks.bin"\n'
    modules = {"test.toml": configuration, "checks.bin": ROOT / f"build/guests/{image}.bin"}
    machine = lab.start(machine_name, Boot(modules=modules))
    machine.expect(f"^{title}: all done$")
    assert machine.wait_end() is End.POWER_OFF
    lines = re.findall(rf"^{title}: (.*?) (ok|FAILED, line \d+)$", machine.transcript(), re.MULTILINE)
    assert [name for name, _ in lines] == names
    assert {name: said for name, said in lines if said != "ok" and name not in deviations} == {}

# SPDX-License-Identifier: BSD-2-Clause
"""Instructions that a hypervisor seldom sees, and what it must refuse: the same on every machine."""

import pytest
from guest_checks import names_of, run_checks

# What the machines get wrong by themselves. QEMU: INT1 returns to itself, there is neither DR7.GD nor an alignment
# check. Bochs' AMD-V: an intercepted #DB does not reach DR6 first, as APM vol. 2, "#DB (Debug)" has it.
DEVIATIONS = {
    "qemu-amd": {"INT1", "debug registers guarded", "alignment check"},
    "bochs-amd": {"DR6 of single steps"},
}


def test_corners(lab, machine_name):
    names = names_of("corners")
    run_checks(lab, machine_name, "corners", "corners", names, DEVIATIONS.get(machine_name, ()))


@pytest.mark.cannot("qemu-amd", why="QEMU's guests can write control-register bits that take them down")
def test_corners_strictly(lab, machine_name):
    """With the control-register writes that QEMU does not refuse."""
    names = names_of("corners", "STRICT")
    run_checks(lab, machine_name, "corners_strict", "corners", names, DEVIATIONS.get(machine_name, ()))

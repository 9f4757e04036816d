# SPDX-License-Identifier: BSD-2-Clause
"""Hardware task switches: AMD-V does them in the guest, on VT-x they are the hypervisor's. No difference may show."""

import pytest
from guest_checks import names_of, run_checks

# What the machines get wrong by themselves. QEMU, with or without a hypervisor in it: a fault does not set RF in what
# it saves, a bad segment of a new task faults with the old task's EIP, and the T bit is ignored. Bochs' AMD-V: an
# intercepted #DB does not reach DR6 first, as APM vol. 2, "#DB (Debug)" has it.
DEVIATIONS = {
    "qemu-amd": {"RF in the task that faulted", "invalid TSS", "T bit"},
    "bochs-amd": {"T bit"},
}


def test_task_switches(lab, machine_name):
    names = names_of("taskswitch")
    run_checks(lab, machine_name, "taskswitch", "task switch", names, DEVIATIONS.get(machine_name, ()))


@pytest.mark.cannot("bochs-amd", why="it panics when a guest exits from virtual-8086 mode to a 64-bit host")
def test_task_switches_with_virtual_8086_mode(lab, machine_name):
    names = names_of("taskswitch", "WITH_VIRTUAL_8086")
    run_checks(lab, machine_name, "taskswitch_v86", "task switch", names, DEVIATIONS.get(machine_name, ()))

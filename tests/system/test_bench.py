# SPDX-License-Identifier: BSD-2-Clause
"""Hot exits stay short: budgets in retired instructions, the measuring loop included. tests/bench shows all figures."""

import figures
import pytest

BUDGETS = {
    "qemu-amd": {
        "CPUID": 700,  # fetched and decoded: this processor does not tell an instruction's length
        "CPUID, 64-bit, as a program": 700,
        "CPUID, 32-bit without paging": 700,
        "CPUID, real mode": 700,
        "CPUID, leaf 1": 700,
        "hypercall": 800,
        "UART register read": 400,
        "UART register write": 400,
        "CR0.WP toggle": 20,  # no exit
    },
    "bochs-intel": {
        "CPUID": 250,
        "CPUID, leaf 1": 250,
        "hypercall": 350,
        "UART register read": 400,
        "UART register write": 400,
        "CR0.WP toggle": 20,
    },
    "bochs-amd": {
        "CPUID": 300,
        "CPUID, leaf 1": 300,
        "hypercall": 400,
        "UART register read": 400,
        "UART register write": 400,
        "CR0.WP toggle": 20,
    },
}


@pytest.mark.cannot("qemu-kvm", why="it counts instructions, and only an emulator's TSC does")
def test_hot_exits_stay_within_their_budgets(lab, machine_name):
    machine = lab.start(machine_name, figures.boot_bench(), **figures.EXACT[machine_name])
    measured = figures.read_figures(machine)
    over = {name: (measured[name], limit) for name, limit in BUDGETS[machine_name].items() if measured[name] > limit}
    assert not over, f"(instructions, budget): {over}"

# SPDX-License-Identifier: BSD-2-Clause
"""Processors of one guest, as guests/smp.c sees them."""

import payloads
import pytest
from machine import Boot, End


def boot_smp(cpus):
    keys = f'cpus = {list(range(cpus))}\nmemory = "16M"\nboot = "multiboot"\nkernel = "smp.elf"\n'
    return Boot(modules={"test.toml": f"[guest.smp]\n{keys}", "smp.elf": payloads.SMP})


def check_smp(lab, machine_name, cpus):
    machine = lab.start(machine_name, boot_smp(cpus), cpus=cpus)
    machine.expect(rf"^smp: {cpus} CPUs?, (all \d+ checks passed|.*failed)$", 50)
    assert machine.wait_end() is End.POWER_OFF
    assert "FAILED" not in machine.transcript()


def test_four_processors(lab, machine_name):
    check_smp(lab, machine_name, 4)


@pytest.mark.machines("qemu-amd")
@pytest.mark.parametrize("cpus", (1, 2, 6))
def test_other_numbers_of_processors(lab, machine_name, cpus):
    check_smp(lab, machine_name, cpus)

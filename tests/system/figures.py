# SPDX-License-Identifier: BSD-2-Clause
"""What exits cost, in retired instructions, as guests/bench.S measures and prints them."""

import re

import payloads
from machine import Boot, End

# Arguments of the machines under which a TSC tick is an instruction; Bochs' configuration says so for all runs.
EXACT = {"qemu-amd": {"icount": True}, "bochs-intel": {}, "bochs-amd": {}}

FIGURE = re.compile(r"^(?!bulkhead:)([^:\n]+): (\d+)$", re.MULTILINE)
CONFIGURATION = '[guest.bench]\ncpus = [0]\nmemory = "16M"\nboot = "flat"\nkernel = "bench.bin"\n'


def boot_bench() -> Boot:
    return Boot(modules={"bench.toml": CONFIGURATION, "bench.bin": payloads.BENCH})


def read_figures(machine) -> dict[str, int]:
    """Waits for a machine that boots boot_bench() and returns its table, in the order of the measurements."""
    machine.expect(r"^bench: done$", 60)
    assert machine.wait_end() is End.POWER_OFF
    return {name: int(figure) for name, figure in FIGURE.findall(machine.console.text)}

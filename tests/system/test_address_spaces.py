# SPDX-License-Identifier: BSD-2-Clause
"""The hypervisor's own address spaces, read out of a running machine: what each CPU can reach, and what it cannot."""

import re
import struct
from dataclasses import dataclass

import expected
import pytest
from machine import Boot

# The audit looks at the same tables on every machine at each start.
pytestmark = pytest.mark.cannot("bochs-intel", "bochs-amd", why="only QEMU's monitor tells CR3 of a halted CPU")

HALT = b"\xfa\xf4\xeb\xfd"  # cli; hlt; jmp to the hlt: the CPU then waits in the hypervisor
CPU_WINDOW = 0xFFFFFFFFC0000000
WRITABLE, LARGE, NO_EXECUTE = 1 << 1, 1 << 7, 1 << 63
ADDRESS = 0x000FFFFFFFFFF000
CPUS = {"west": [0], "east": [1, 2]}  # CPU 3 is the monitor's

CONFIGURATION = "\n".join(
    f'[guest.{name}]\ncpus = {cpus}\nmemory = "16M"\nboot = "flat"\nkernel = "halt.bin"\n' for name, cpus in CPUS.items()
)


@dataclass
class Leaf:
    address: int
    physical: int
    size: int
    writable: bool
    executable: bool

    def touches(self, start, end):
        return self.physical < end and start < self.physical + self.size


def walk(machine, table, level, address, writable, executable, tables, leaves):
    tables.add(table)
    entries = struct.unpack("<512Q", machine.read_physical(table, 4096))
    for index, entry in enumerate(entries):
        if not entry & 1:
            continue
        at = address | index << 12 + 9 * level
        if level == 3 and index >= 256:
            at |= 0xFFFF << 48
        may_write = writable and bool(entry & WRITABLE)
        may_execute = executable and not entry & NO_EXECUTE
        if level == 0 or (level < 3 and entry & LARGE):
            size = 4096 << 9 * level
            leaves.append(Leaf(at, entry & ADDRESS & -size, size, may_write, may_execute))
        else:
            walk(machine, entry & ADDRESS, level - 1, at, may_write, may_execute, tables, leaves)


@pytest.fixture
def spaces(lab, machine_name):
    """Leaves and page tables of every CPU, and the host memory of every guest."""
    boot = Boot("console=com1 log=debug on_error=poweroff", {"test.toml": CONFIGURATION, "halt.bin": HALT})
    machine = lab.start(machine_name, boot, cpus=4)
    for _ in CPUS:
        machine.expect(expected.HALTED_FOR_GOOD)
    ram = {name: [] for name in CPUS}
    for name, size_from, size_to, host in re.findall(expected.RAM_AT, machine.transcript(), re.MULTILINE):
        start = int(host, 16)
        ram[name].append((start, start + int(size_to, 16) + 1 - int(size_from, 16)))
    machine.monitor.command("stop")
    roots = [int(root, 16) for root in re.findall(r"CR3=([0-9a-f]+)", machine.hmp("info registers -a"))]
    assert len(roots) == 4
    leaves, tables = [], []
    for root in roots:
        tables.append(set())
        leaves.append([])
        walk(machine, root, 3, 0, True, True, tables[-1], leaves[-1])
    return leaves, tables, ram


def test_what_each_cpu_reaches(spaces):
    leaves, tables, ram = spaces
    assert len({frozenset(t) for t in tables}) == 4
    stacks = [[leaf for leaf in space if leaf.address >= CPU_WINDOW] for space in leaves]
    for cpu, space in enumerate(leaves):
        assert any(leaf.executable for leaf in space) and len(stacks[cpu]) >= 4
        for leaf in space:
            assert not (leaf.writable and leaf.executable), f"CPU {cpu}: {leaf}"
            for table in set().union(*tables):
                assert not leaf.touches(table, table + 4096), f"CPU {cpu} reaches a page table: {leaf}"
            for other, foreign in enumerate(stacks):
                for stack in foreign:
                    own = other == cpu and leaf == stack
                    reached = leaf.touches(stack.physical, stack.physical + stack.size)
                    assert own or not reached, f"CPU {cpu} reaches a stack of CPU {other}: {leaf}"
        for name, pieces in ram.items():
            for start, end in pieces:
                reached = any(leaf.touches(start, end) for leaf in space)
                assert reached == (cpu in CPUS[name]), f"CPU {cpu}, memory of {name}"

# SPDX-License-Identifier: BSD-2-Clause
"""Machines whose cores have two threads each, and whose memory is on two nodes: who may own what, and what goes where."""

import re

import expected
import payloads
import pytest
from conftest import flat_configuration
from machine import Boot, End
from test_bad_input import refused

# Four CPUs, two to a core, as each emulator wants to be told.
QEMU_TWO_CORES = "4,sockets=1,cores=2,threads=2"
TWO_CORES = {"qemu-amd": QEMU_TWO_CORES, "qemu-kvm": QEMU_TWO_CORES, "bochs-intel": "1:2:2", "bochs-amd": "1:2:2"}

# Half of the memory, and one package, to each node.
NODES = [f"-object memory-backend-ram,id=memory{node},size=256M".split() for node in (0, 1)]
NODES += [f"-numa node,nodeid={node},memdev=memory{node},cpus={2 * node}-{2 * node + 1}".split() for node in (0, 1)]
TWO_NODES = {"cpus": "4,sockets=2,cores=1,threads=2", "memory_mb": 512, "options": sum(NODES, [])}
NODE_SIZE = 256 << 20
NO_NODES = pytest.mark.cannot("bochs-intel", "bochs-amd", why="Bochs' machine has one node")


def guests(one, two, more="", memory="16M"):
    """Two guests on these CPUs; the second one begins in line 6 when nothing more is said."""
    text = flat_configuration("one", one) + more + flat_configuration("two", two) + more
    return {"test.toml": text.replace("16M", memory), "hello.bin": payloads.HELLO}


def debug(modules):
    return Boot(modules=modules, command_line="console=com1 on_error=poweroff log=debug")


def test_siblings_in_two_guests(lab, machine_name):
    refused(lab.start(machine_name, Boot(modules=guests(2, 3)), cpus=TWO_CORES[machine_name]), expected.SIBLINGS)


def test_siblings_that_may_share(lab, machine_name):
    """Both guests run; the monitor is on the other core."""
    boot = debug(guests(1, 0, more="allow_shared_core = true\n"))
    machine = lab.start(machine_name, boot, cpus=TWO_CORES[machine_name])
    assert machine.wait_end() is End.POWER_OFF
    text = machine.console.text
    assert re.search(expected.CORE_SHARED.format(one="two", two="one"), text, re.MULTILINE)
    monitor = expected.OWNER.format(cpu=2, core=1, node=0, owner="the hypervisor, which watches the guests")
    assert re.search(monitor, text, re.MULTILINE)
    assert len(re.findall(expected.ANY_GUEST_STARTED, text, re.MULTILINE)) == 2


@NO_NODES
def test_memory_is_near_its_guest(lab, machine_name):
    machine = lab.start(machine_name, debug(guests(2, 1)), **TWO_NODES)
    one = machine.expect(expected.MEMORY_AT.format(name="one"))
    two = machine.expect(expected.MEMORY_AT.format(name="two"))
    assert machine.wait_end() is End.POWER_OFF
    assert int(one[1], 16) >= NODE_SIZE > int(two[1], 16)
    owner = expected.OWNER.format(cpu=2, core=1, node=1, owner='guest "one", its CPU 0')
    assert re.search(owner, machine.console.text, re.MULTILINE)
    assert not re.search(expected.MEMORY_FAR.format(name=".*", size=".*", far=".", near="."), machine.console.text)


@NO_NODES
def test_memory_that_does_not_fit_near(lab, machine_name):
    """Most of node 1 is the second guest's, so the first one's memory is on node 0, and a line says so."""
    modules = guests(2, 3, more="allow_shared_core = true\n", memory="140M")
    machine = lab.start(machine_name, debug(modules), **TWO_NODES)
    machine.expect(expected.MEMORY_FAR.format(name="two", size="140 MiB", far=0, near=1))
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_more_memory_than_there_is(lab, machine_name):
    machine = lab.start(machine_name, Boot(modules=guests(0, 1, memory="300M")), cpus=2)
    text = refused(machine, expected.MEMORY_SUM)
    assert len(re.findall(expected.POSITION, text)) == 1, "one sum, one message"


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_more_cpus_than_there_are(lab, machine_name):
    text = refused(lab.start(machine_name, Boot(modules=guests(0, 1)), cpus=1), expected.CPU_SUM)
    assert len(re.findall(expected.POSITION, text)) == 1, "one sum, one message"


@NO_NODES
def test_inventory_shows_cores_and_nodes(lab, machine_name):
    text = refused(lab.start(machine_name, Boot(), **TWO_NODES), expected.NO_CONFIGURATION)
    assert "package 0, core 0: CPU 0 and CPU 1, node 0" in text
    assert re.search(r"node 1: \d+ MiB are free, the largest piece has \d+ MiB", text)
    assert "cpus    = [2]" in text, "the starter leaves the first core to the hypervisor"

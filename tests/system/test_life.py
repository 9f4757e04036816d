# SPDX-License-Identifier: BSD-2-Clause
"""Guests that crash, hang, reset themselves and come back, with tiny flat kernels; and what others see of it."""

import re

import expected
import payloads
import pytest
from machine import Boot, End

ON_BOTH = pytest.mark.machines("qemu-amd", "bochs-intel")


def table(name, cpu, kernel, *keys):
    """One [guest.NAME] with a flat kernel of 1 MiB of memory."""
    lines = [f"[guest.{name}]", f"cpus = {[cpu] if isinstance(cpu, int) else cpu}", 'memory = "1M"', 'boot = "flat"']
    return "\n".join([*lines, f'kernel = "{kernel}"', *keys, ""])


def boot(tables, **kernels):
    return Boot(modules={"test.toml": "\n".join(tables)} | {f"{name}.bin": code for name, code in kernels.items()})


@ON_BOTH
def test_a_crash_stops_one_guest_alone(lab, machine_name):
    """The reason, the registers and the last exits; the neighbour says hello all the same."""
    tables = [table("bad", 0, "bad.bin"), table("good", 1, "good.bin").replace('"1M"', '"16M"')]
    machine = lab.start(machine_name, boot(tables, bad=payloads.JUMP_NOWHERE, good=payloads.HELLO), cpus=2)
    text = machine.read_all(30)
    assert machine.end is End.POWER_OFF
    assert re.search(expected.GUEST_OFF.format(name="good"), text, re.MULTILINE)
    report = text[re.search(expected.GUEST_STOPS.format(name="bad"), text, re.MULTILINE).start() :].splitlines()
    assert "0xa0000, where it has no memory" in report[0]
    end = next(i for i, line in enumerate(report) if "exits, oldest first" in line)
    assert all(line.startswith("bulkhead:   ") for line in report[1 : end + 2]), "lines of one crash stand together"


@ON_BOTH
def test_restart_after_a_crash(lab, machine_name):
    """Each life begins like the first: the kernel counts its lives in memory, and comes to one each time."""
    tables = [table("phoenix", 0, "phoenix.bin", 'on_crash = "restart"')]
    machine = lab.start(machine_name, boot(tables, phoenix=payloads.COUNTS_LIVES), limit_s=90)
    for _ in range(3):
        machine.expect(expected.GUEST_STARTED.format(name="phoenix"))
        assert machine.expect(r"life (.)")[1] == "1"
        machine.expect(expected.GUEST_STOPS.format(name="phoenix"))
        machine.expect(expected.GUEST_STARTS_AGAIN.format(name="phoenix"))


def test_restarts_end(lab, machine_name):
    """Five restarts, and the guest stays stopped; on CPU 0, which serves the console all the while."""
    tables = [table("phoenix", 0, "phoenix.bin", 'on_crash = "restart"')]
    machine = lab.start(machine_name, boot(tables, phoenix=payloads.COUNTS_LIVES), limit_s=90)
    text = machine.read_all(80)
    assert machine.end is End.POWER_OFF
    assert len(re.findall("life 1", text)) == 6
    assert re.findall(r"starts again in (\d+) s", text) == ["1", "2", "4", "8", "10"]
    assert re.search(expected.GUEST_STAYS_STOPPED.format(name="phoenix"), text, re.MULTILINE)


@ON_BOTH
def test_a_reset_loop_does_not_fill_the_log(lab, machine_name):
    """Thousands of resets, few lines; and the neighbour's lines are all there."""
    tables = [table("storm", 1, "storm.bin"), table("good", 0, "good.bin").replace('"1M"', '"16M"')]
    machine = lab.start(machine_name, boot(tables, storm=payloads.RESETS, good=payloads.HELLO), cpus=2)
    machine.expect(expected.GUEST_OFF.format(name="good"))
    machine.expect(expected.LINES_LEFT_OUT.format(name="storm"))
    resets = re.findall(expected.GUEST_RESET.format(name="storm"), machine.console.text, re.MULTILINE)
    assert 16 <= len(resets) < 40


@pytest.mark.machines("qemu-amd")
def test_a_storm_of_output_is_slowed(lab, machine_name):
    """A guest that writes without end, and without an end of line: the neighbour, which speaks again after each of its
    crashes, and the hypervisor are still heard."""
    tables = [table("storm", 0, "storm.bin"), table("good", 1, "good.bin", 'on_crash = "restart"')]
    machine = lab.start(machine_name, boot(tables, storm=payloads.BABBLES, good=payloads.COUNTS_LIVES), cpus=2)
    machine.expect(r"x{100}")
    for _ in range(2):
        machine.expect(expected.GUEST_STARTS_AGAIN.format(name="good"))
        machine.expect(expected.GUEST_STARTED.format(name="good"))
        machine.expect(r"life 1")
    machine.expect(r"x{100}")


def test_all_cpus_of_a_guest_stop_and_start_again(lab, machine_name):
    """The last of three crashes while the others spin; memory, registers and start-up are as in the first life."""
    configuration = """\
[guest.lives]
cpus = [0, 1, 2]
memory = "32M"
boot = "multiboot"
kernel = "lives.elf"
on_crash = "restart"
"""
    modules = {"test.toml": configuration, "lives.elf": payloads.LIVES}
    machine = lab.start(machine_name, Boot(modules=modules), cpus=3, limit_s=90)
    for _ in range(2):
        machine.expect(r"^lives: 3 processors, a new life")
        machine.expect(r"^lives: processor 2: a new life")
        machine.expect(expected.GUEST_STOPS.format(name="lives") + "it runs code at physical address 0xa0000")
        machine.expect(expected.ON_ITS_CPU.format(cpu=2))
        machine.expect(expected.GUEST_STARTS_AGAIN.format(name="lives"))


def stops_with(lab, machine_name, code, reason):
    machine = lab.start(machine_name, boot([table("bad", 0, "bad.bin")], bad=code))
    machine.expect(expected.GUEST_STOPS.format(name="bad") + reason)
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.cannot("bochs-amd", why="it knows no intercept of shutdown, and ends itself")
def test_a_triple_fault_is_a_crash(lab, machine_name):
    stops_with(lab, machine_name, payloads.TRIPLE_FAULTS, "triple fault: ")


def test_an_endless_delivery_is_a_crash(lab, machine_name):
    """A breakpoint on the first instruction of the #DB handler."""
    stops_with(lab, machine_name, payloads.DEBUG_LOOP, "delivering exception 1 at 0x7c1f never ends")


@pytest.mark.cannot("bochs-amd", why="no interrupt ends a stay there while the guest has its own off")
def test_watchdog_ends_what_spins(lab, machine_name):
    """With interrupts off, on the CPU that serves the console; and it starts again."""
    tables = [table("stuck", 0, "stuck.bin", 'watchdog = "1500ms"', 'on_crash = "restart"')]
    machine = lab.start(machine_name, boot(tables, stuck=payloads.SPINS))
    for _ in range(2):
        machine.expect(expected.GUEST_STOPS.format(name="stuck") + "watchdog: no heartbeat for 1500 ms")
        machine.expect(expected.GUEST_STARTS_AGAIN.format(name="stuck"))


def test_watchdog_notices_sleep_for_good(lab, machine_name):
    """At once, whatever its time is; a guest without a watchdog may sleep on."""
    tables = [table("lazy", 0, "lazy.bin"), table("watched", 1, "lazy.bin", 'watchdog = "3600s"')]
    machine = lab.start(machine_name, boot(tables, lazy=payloads.SLEEPS), cpus=2)
    stops = expected.GUEST_STOPS.format(name="watched") + "watchdog: " + expected.SLEEPS_FOR_GOOD
    sleeps = expected.GUEST_SLEEPS.format(name="lazy")
    machine.expect(f"(?s:(?=.*?{sleeps})(?=.*?{stops}))")  # in any order
    assert not re.search(expected.GUEST_STOPS.format(name="lazy"), machine.console.text, re.MULTILINE)

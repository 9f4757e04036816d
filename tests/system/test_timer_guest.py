# SPDX-License-Identifier: BSD-2-Clause
"""The guest with a deadline, alone and beside another: what it sees of time and of its memory."""

import re

import payloads
from machine import Boot, End

LINE = re.compile(
    r"^timer: (?P<ticks>\d+) ticks \((?P<mode>periodic|deadline)\), lateness p50 (?P<p50>\d+) p99 (?P<p99>\d+)"
    r" max (?P<max>\d+) TSC ticks, (?P<missed>\d+) missed, memory ok, clock ok$",
    re.MULTILINE,
)
# On Bochs a tick of the TSC is an instruction and the emulated machine waits for nobody: 200 us of a tick each ms.
LATE_MAX = 20000


def table(name, cpus, kernel, cmdline):
    keys = f'cpus = {cpus}\nmemory = "16M"\nboot = "multiboot"\nkernel = "{kernel}"\ncmdline = "{cmdline}"\n'
    return f"[guest.{name}]\n{keys}\n"


def check_timer(machine_name, text, lines):
    """It has passed its own checks; where time is exact, no tick was missed or late."""
    assert "FAILED" not in text and "WRONG" not in text
    assert re.search(r"^timer: \d+ ticks, all \d+ checks passed$", text, re.MULTILINE)
    found = [match.groupdict() for match in LINE.finditer(text)]
    assert [line["mode"] for line in found] == ["periodic", "deadline"] * (lines // 2)
    if machine_name.startswith("bochs"):
        assert all(int(line["max"]) <= LATE_MAX and line["missed"] == "0" for line in found)


def test_ticks_memory_and_clocks(lab, machine_name):
    modules = {"test.toml": table("timer", [0], "timer.elf", "ticks=2000"), "timer.elf": payloads.TIMER}
    text = lab.start(machine_name, Boot(modules=modules)).read_all()
    assert lab.machines[0].end is End.POWER_OFF
    check_timer(machine_name, text, 2)


def test_heartbeats_keep_the_watchdog_quiet(lab, machine_name):
    """Two seconds of ticks under a watchdog of less."""
    configuration = table("timer", [0], "timer.elf", "ticks=2000 memory_kib=256").rstrip() + '\nwatchdog = "1500ms"\n'
    text = lab.start(machine_name, Boot(modules={"test.toml": configuration, "timer.elf": payloads.TIMER})).read_all()
    assert lab.machines[0].end is End.POWER_OFF
    assert re.search(r"^timer: a tick each .* heartbeat$", text, re.MULTILINE)
    check_timer(machine_name, text, 2)


def test_another_guest_changes_nothing(lab, machine_name):
    """Beside it, a guest sends every interrupt message there is, and starts its processors again and again."""
    modules = {
        "test.toml": table("timer", [0], "timer.elf", "ticks=2000") + table("smp", [1, 2, 3], "smp.elf", ""),
        "timer.elf": payloads.TIMER,
        "smp.elf": payloads.SMP,
    }
    machine = lab.start(machine_name, Boot(modules=modules), cpus=4)
    machine.read_all(60)
    assert machine.end is End.POWER_OFF
    assert re.search(r"^smp: 3 CPUs, all \d+ checks passed$", machine.text_of("smp"), re.MULTILINE)
    check_timer(machine_name, machine.text_of("timer"), 2)

# SPDX-License-Identifier: BSD-2-Clause
"""The shell, typed at: each command once, and what a guest that is not asked for notices of it, which is nothing."""

import re

import expected
import payloads
import pytest
from linux_shell import LinuxShell
from machine import ROOT, Boot, End

ON_BOTH = pytest.mark.machines("qemu-amd", "bochs-intel")


def table(name, cpus, kernel="counts.bin"):
    return f'[guest.{name}]\ncpus = {cpus}\nmemory = "1M"\nboot = "flat"\nkernel = "{kernel}"\n'


class Shell:
    """Opened with Ctrl-] h; `run` types a line and returns what it printed, up to the next prompt."""

    def __init__(self, machine):
        self.machine = machine
        machine.send(f"{expected.KEY}h")
        machine.expect("The shell of Bulkhead.*\n" + expected.SHELL_PROMPT)

    def run(self, line, logged=None, timeout_s=20):
        """`logged`: a line of the hypervisor's log that comes before or behind that prompt."""
        self.machine.send(line + "\r")
        self.machine.expect(re.escape(line) + "\n", timeout_s)
        start = self.machine.console.position
        match = self.machine.expect(expected.SHELL_PROMPT, timeout_s)
        if logged is not None:
            self.machine.console.position = start
            self.machine.expect(logged, timeout_s)
        return self.machine.console.text[start : match.start()]

    def wait_state(self, name, state):
        """A reset or start is told before the guest is loaded."""
        for _ in range(100):
            if match := re.search(rf"^\d  {name} +{state} .*", self.run("guests"), re.MULTILINE):
                return match[0]
        raise AssertionError(f"guest {name} never was {state}")

    def quit(self):
        self.machine.send("quit\r")


def start(lab, machine_name, *tables, cpus=3):
    kernels = {"counts.bin": payloads.COUNTS, "obeys.bin": payloads.OBEYS_POWER_BUTTON}
    machine = lab.start(machine_name, Boot(modules={"test.toml": "\n".join(tables)} | kernels), cpus=cpus, limit_s=120)
    for name in re.findall(r"guest\.(\w+)", "".join(tables)):
        machine.expect(expected.GUEST_STARTED.format(name=name))
        machine.console.position = 0
    return machine


def letters(text, name):
    """What a guest of COUNTS wrote where all are shown."""
    return re.findall(rf"^{name} *\| ([a-p])\n", text, re.MULTILINE)


def is_unbroken(text):
    """Each letter is the one behind the last: nothing was lost, and the guest never started over."""
    return all((ord(b) - ord(a)) % 16 == 1 for a, b in zip(text, text[1:]))


@ON_BOTH
def test_looking(lab, machine_name):
    """Every command that only looks. The monitor has a CPU of its own."""
    machine = start(lab, machine_name, table("north", [0]), table("south", [1]))
    machine.expect(r"^south\| b\n", 60)  # it exits for the first time
    shell = Shell(machine)
    guests = shell.run("guests")
    assert re.search(r"^1  north +running +0 +1 MiB +1 +\d+ s ago$", guests, re.MULTILINE)
    assert re.search(r"^2  south +running +1 +1 MiB +1 +\d+ s ago$", guests, re.MULTILINE)
    assert re.search(r"^stats \[GUEST\]", shell.run("help"), re.MULTILINE)
    assert "CPU 1, core 1: guest \"south\"" in shell.run("map")
    assert re.search(r'^  2  the hypervisor +the shell and the console$', shell.run("cpus"), re.MULTILINE)
    exit_line = r"^  0x7c\w\w  (port 0x3f8 \(uart\): writes 1 byte|host interrupt) \(reason 0x\w+\)$"
    assert re.search(exit_line, shell.run("exits south"), re.MULTILINE)
    assert len(re.findall(exit_line, shell.run("exits south 1"), re.MULTILINE)) == 1
    registers = shell.run("regs north")
    assert re.search(r"^  rip    0000000000007c[0-9a-f]{2}  rflags", registers, re.MULTILINE)
    assert re.search(r"^  cs   0000  base 0000000000000000  limit 0000ffff", registers, re.MULTILINE)
    assert re.search(r"^  idtr       base 0000000000000000  limit 0000[0-9a-f]{4}$", registers, re.MULTILINE)
    log = shell.run("log 1000")
    times = [float(time) for time in re.findall(r"^\[ *(\d+\.\d{3})\] ", log, re.MULTILINE)]
    assert re.search(r'^\[ +\d+\.\d{3}\] guest "south": started$', log, re.MULTILINE)
    assert times[0] == 0 and 0 < times[-1] < 100 and "console:" not in log
    assert '[guest.south]\ncpus = [1]\n' in shell.run("config")
    row = r"^south +0 +\d+\.\d +\d+\.\d +0\.0 +\d+ +\d+ +0  (port|host interrupt)$"
    assert re.search(row, shell.run("stats"), re.MULTILINE)
    assert re.search(r"^port +\d+ +\d+\.\d +\d+ +\d+ +\d+$", shell.run("stats south"), re.MULTILINE)
    assert 'did you mean "north"?' in shell.run("stats nroth")
    # Watched: of each second, until a key.
    machine.send("stats -w\r")
    machine.expect(r"since each guest's start; .*any key ends it\n(.*\n){2}south +0 ", 30)
    for _ in range(3):
        machine.expect(r"of the last second; any key ends it\n(.*\n){2}south +0 ", 30)
    machine.send("x")
    machine.expect(expected.SHELL_PROMPT)
    assert "north" in shell.run("guests")


@ON_BOTH
@pytest.mark.cannot("bochs-amd", why="no interrupt ends a stay there while the guest has its own off")
def test_reset_of_one_guest(lab, machine_name):
    """One is reset, paused, stopped, started: the other counts on, without a gap."""
    machine = start(lab, machine_name, table("north", [0]), table("south", [1]), cpus=2)
    machine.expect(r"north\| c\n", 60)
    shell = Shell(machine)
    shell.run("reset south", expected.RESET_BY_SHELL.format(name="south"))
    shell.wait_state("south", "running")
    shell.run("pause south", expected.PAUSED.format(name="south"))
    shell.wait_state("south", "paused")
    assert re.search(r"^  rip    0000000000007c", shell.run("regs south"), re.MULTILINE)
    shell.quit()
    machine.expect(expected.CONSOLE_ALL.format(name="north"))
    machine.expect(r"^(north\| [a-p]\n){8}", 60)  # a paused guest writes nothing in between
    shell = Shell(machine)
    shell.run("resume south", expected.RESUMED.format(name="south"))
    shell.run("stop south now", expected.STOPPED_HARD.format(name="south", why=""))
    shell.run("start south", expected.STARTED_AGAIN.format(name="south"))
    assert re.search(r"running +1 +1 MiB +3 ", shell.wait_state("south", "running"))
    shell.quit()
    machine.expect(expected.CONSOLE_ALL.format(name="north"))
    for _ in range(3):
        machine.expect(r"south\| ")
        machine.expect(r"north\| ")
    north = letters(machine.console.text, "north")
    assert len(north) > 10 and north[0] == "b" and is_unbroken(north)
    assert not is_unbroken(letters(machine.console.text, "south"))


@ON_BOTH
def test_stop_by_the_power_button(lab, machine_name):
    """A guest that listens to the button ends by itself, one that does not is stopped; the shell keeps the machine."""
    machine = start(lab, machine_name, table("meek", [0], "obeys.bin"), table("deaf", [1]))
    shell = Shell(machine)
    shell.run("stop meek", expected.BUTTON_PRESSED.format(name="meek"))
    machine.expect(expected.OFF_BY_ITSELF.format(name="meek"))
    shell.run("stop deaf", expected.STOPPED_HARD.format(name="deaf", why=": it does not listen to a power button"))
    shell.wait_state("meek", "powered off")
    shell.wait_state("deaf", "stopped by the shell")
    shell.run("start meek", expected.STARTED_AGAIN.format(name="meek"))
    shell.run("start deaf", expected.STARTED_AGAIN.format(name="deaf"))
    shell.wait_state("meek", "running")
    shell.wait_state("deaf", "running")
    machine.send("shutdown\r")
    machine.expect(expected.MACHINE_OFF, 40)
    assert machine.wait_end(20) is End.POWER_OFF
    assert len(re.findall(r'"meek": powered off \(ACPI S5\)', machine.console.text)) == 2
    assert not re.search(expected.BUTTON_PRESSED.format(name="deaf"), machine.console.text, re.MULTILINE)


@pytest.mark.machines("qemu-amd")
def test_linux_obeys_the_power_button(lab, machine_name):
    """The demo's Linux powers itself off, with stop and with shutdown."""
    modules = {"linux.toml": ROOT / "guests/linux.toml", "vmlinuz": payloads.VMLINUZ, "initramfs": payloads.INITRAMFS}
    machine = lab.start(machine_name, Boot(modules=modules), cpus=2, memory_mb=1024, limit_s=240)
    LinuxShell(machine).wait_prompt(100)
    shell = Shell(machine)
    shell.run("stop linux", expected.BUTTON_PRESSED.format(name="linux"))
    machine.expect(expected.OFF_BY_ITSELF.format(name="linux"), 60)
    shell.wait_state("linux", "powered off")
    shell.run("start linux", expected.STARTED_AGAIN.format(name="linux"))
    shell.quit()
    LinuxShell(machine).wait_prompt(100)
    shell = Shell(machine)
    machine.send("shutdown\r")
    machine.expect(expected.OFF_BY_ITSELF.format(name="linux"), 60)
    assert machine.wait_end(20) is End.POWER_OFF


@ON_BOTH
def test_leaving_when_all_have_stopped(lab, machine_name):
    """One guest and one CPU: the shell works between its exits. Leaving it ends the machine."""
    machine = start(lab, machine_name, table("only", [0]), cpus=1)
    shell = Shell(machine)
    shell.run("stop now", expected.STOPPED_HARD.format(name="only", why=""))
    machine.expect(expected.ONLY_THE_SHELL)
    shell.wait_state("only", "stopped by the shell")
    shell.quit()
    machine.expect(expected.MACHINE_OFF)
    assert machine.wait_end(20) is End.POWER_OFF


@ON_BOTH
@pytest.mark.cannot("bochs-amd", why="no interrupt ends a stay there while the guest has its own off")
@pytest.mark.parametrize("shown", ["all", "north"])
def test_the_machine_keeps_nothing_to_itself(lab, machine_name, shown):
    """What guests wrote while the shell was open, or unseen, comes before the power goes off. No prompt is left over."""
    tables = [f'[hypervisor]\nfocus = "{shown}"\n', table("north", [0]), table("south", [1])]
    machine = start(lab, machine_name, *tables, cpus=2)
    machine.expect(r"^(north\| )?c\n", 60)
    shell = Shell(machine)
    for name in ("north", "south"):
        shell.run(f"stop {name} now", expected.STOPPED_HARD.format(name=name, why=""))
    shell.run("start north", expected.STARTED_AGAIN.format(name="north"))
    machine.send("stats -w\r")
    for _ in range(3):  # it writes a letter each second
        machine.expect("any key ends it", 30)
    machine.send("x")
    machine.expect(expected.SHELL_PROMPT)
    shell.run("stop north now", expected.STOPPED_HARD.format(name="north", why=""))
    machine.expect(expected.ONLY_THE_SHELL)
    shell.quit()
    machine.expect(r"^quit\n|bulkhead> quit\n")
    kept_from = machine.console.position
    assert machine.wait_end(20) is End.POWER_OFF
    kept = machine.console.text[kept_from:]
    if shown == "all":
        assert letters(kept, "north") and not re.search(expected.UNSEEN, kept, re.MULTILINE)
    else:
        assert letters(kept, "south") and re.search(r"^[a-p]\n", kept)
        assert re.search(expected.UNSEEN, kept, re.MULTILINE)
    assert re.search(expected.MACHINE_OFF, kept, re.MULTILINE)
    assert expected.SHELL_PROMPT_LEFT not in machine.console.raw

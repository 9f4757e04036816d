# SPDX-License-Identifier: BSD-2-Clause
"""Every configuration in guests/ boots as it is shipped, with the modules and CPUs that the checker says it needs; and
the checker says of a wrong one what the machine says."""

import re
import subprocess

import expected
import payloads
import pytest
from machine import ROOT, Boot, End

CHECKER = ROOT / "build/bulkhead-check"
LINUX_IS_UP = r"runs here as a guest of Bulkhead: {cpus} CPU"
PROMPT = r"bulkhead-demo:/# "
TIMER_IS_RIGHT = r"timer: \d+ ticks .* memory ok, clock ok"
ATTACKER_IS_INSIDE = r"attacker: .*, still inside"

# name of the file: what comes on the console, in any order, each as often as it stands here
CONFIGURATIONS = {
    "cage": [LINUX_IS_UP.format(cpus=1), PROMPT, ATTACKER_IS_INSIDE],
    "linux": [LINUX_IS_UP.format(cpus=1), PROMPT],
    "linux-and-timer": [LINUX_IS_UP.format(cpus=2), PROMPT, TIMER_IS_RIGHT],
    "linux-smp": [LINUX_IS_UP.format(cpus=2), PROMPT],
    "two-linuxes": [LINUX_IS_UP.format(cpus=1), PROMPT] * 2,
}
# and what comes once more when the first guest has been switched off
OTHERS_GO_ON = {"cage": ATTACKER_IS_INSIDE, "linux-and-timer": TIMER_IS_RIGHT}
FILES = {path.stem: path for path in sorted((ROOT / "guests").glob("*.toml"))}


def checker(*arguments):
    """What the checker prints; it must find nothing wrong."""
    return subprocess.run([CHECKER, *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def module_file(name):
    """Where make puts a module."""
    return next(path for path in (payloads.DEMO / name, ROOT / "build/guests" / name) if path.exists())


def test_every_configuration_has_its_test():
    assert set(FILES) == set(CONFIGURATIONS)


def expect_each(machine, patterns, timeout_s):
    """Waits for all of these on the whole console."""
    for pattern in dict.fromkeys(patterns):
        machine.console.position = 0
        for _ in range(patterns.count(pattern)):
            machine.expect(pattern, timeout_s)


def boot(lab, machine_name, name):
    """All guests of the file come up; what is typed goes to its first one, a Linux, which is switched off."""
    path = FILES[name]
    modules = {path.name: path}
    modules.update((module, module_file(module)) for module in checker("--list-modules", path).split())
    cpus = int(checker("--count-cpus", path))
    machine = lab.start(machine_name, Boot(modules=modules), cpus=cpus, memory_mb=1024, limit_s=150)
    guests = re.findall(r"^\[guest\.([\w-]+)\]", path.read_text(), re.MULTILINE)
    expect_each(machine, [expected.GUEST_STARTED.format(name=guest) for guest in guests], 30)
    expect_each(machine, CONFIGURATIONS[name], 100)
    machine.send("poweroff\n")
    machine.expect(expected.GUEST_OFF.format(name=guests[0]), 60)
    if name in OTHERS_GO_ON:
        machine.expect(OTHERS_GO_ON[name], 60)
    if len(guests) == 1:
        assert machine.wait_end(20) is End.POWER_OFF


@pytest.mark.machines("qemu-amd")
@pytest.mark.parametrize("name", [name for name in FILES if name != "linux-and-timer"])
def test_boots(lab, machine_name, name):
    boot(lab, machine_name, name)


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_linux_and_timer_boot(lab, machine_name):
    """The one of which the other vendor tells most: several CPUs, several guests, a deadline, a heartbeat."""
    boot(lab, machine_name, "linux-and-timer")


WRONG = """\
[guest.one]
cpus = [7]
memory = "900G"
boot = "flat"
kernel = "hallo.bin"

[guest.two]
cpus = [0]
memory = "16M"
boot = "multiboot"
kernel = "hello.bin"
modules = ["hello.bin", "more"]
"""


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_checker_says_what_the_machine_says(lab, machine_name, tmp_path):
    """About a file whose mistakes only the machine shows: the same lines, to the letter, the sizes of memory aside."""
    (tmp_path / "test.toml").write_text(WRONG)
    options = ["--cpus", "2", "--memory", "512M", "--module", "hello.bin"]
    result = subprocess.run([CHECKER, *options, "test.toml"], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1
    machine = lab.start(machine_name, Boot(modules={"test.toml": WRONG, "hello.bin": payloads.HELLO}), cpus=2)
    said = re.findall(r"^bulkhead: (test\.toml:\d.*)", machine.read_all(30), re.MULTILINE)
    assert machine.end is End.POWER_OFF
    free = re.compile(r"\d+ MiB (?=are free)|(?<=piece has )\d+ MiB")
    assert [free.sub("", line) for line in result.stderr.splitlines()[:-1]] == [free.sub("", line) for line in said]
    assert len(said) >= 4

# SPDX-License-Identifier: BSD-2-Clause
"""One console for several guests: names, keys, what is kept; and with one guest nothing but its serial line."""

import re

import expected
import payloads
import pytest
from linux_shell import LinuxShell
from machine import Boot, End
from test_several import linux_modules, linux_table

HELLO_TABLE = '[guest.{name}]\ncpus = [{cpu}]\nmemory = "16M"\nboot = "flat"\nkernel = "hello.bin"\n'


@pytest.mark.machines("qemu-amd", "bochs-intel")
def test_two_linuxes_share_the_console(lab, machine_name):
    """Type commands in one, switch, type in the other, and see what the first wrote meanwhile."""
    boot = Boot(modules=linux_modules(linux_table("north", [0]), linux_table("south", [1])))
    machine = lab.start(machine_name, boot, cpus=2, memory_mb=1024, limit_s=200)
    machine.expect(expected.CONSOLE_ALL.format(name="north"), 60)
    machine.expect(expected.GUEST_STARTED.format(name="south"), 60)
    north, south = LinuxShell(machine, "north"), LinuxShell(machine, "south")
    machine.expect_of("south", "bulkhead-demo:/# ", 120)
    for name in ("north", "south"):
        assert re.search(r"Linux version 6\.1", machine.text_of(name))
    assert "panic" not in machine.console.text

    # Each has its own memory, its own prompt and its own keys.
    north.wait_prompt(60)
    north.run("hostname north")
    south.wait_prompt()
    south.run("hostname south")
    assert north.run("hostname") == "north"
    assert south.run("hostname") == "south"

    # What a guest writes out of focus comes when it is looked at. It did not wait for that, though its ring holds less.
    north.run("(sleep 1; seq 1 1100; echo end''ed at $(cut -d. -f1 /proc/uptime)) & true")
    south.run("sleep 8", 60)
    assert not re.search(r"^ended", machine.console.text, re.MULTILINE)
    north.select()
    kept_from = machine.console.position
    ended_at = int(machine.expect(r"^ended at (\d+)\n", 30)[1])
    kept = re.findall(r"^\d+$", machine.console.text[kept_from:], re.MULTILINE)
    assert kept == [str(number) for number in range(int(kept[0]), 1101)] and int(kept[0]) < 100
    assert int(north.run("cut -d. -f1 /proc/uptime")) > ended_at + 1

    # The prompt that was seen stands there whenever the guest gets the screen, without a key.
    for _ in range(2):
        south.wait_prompt(5)
        north.wait_prompt(5)

    # All together again: both in one picture, and what is typed goes to the last that was alone.
    machine.send(f"{expected.KEY}0")
    machine.expect(expected.CONSOLE_ALL.format(name="north"))
    machine.send("ec")
    machine.expect_of("north", "bulkhead-demo:/# ec")
    machine.send(f"{expected.KEY}?")  # whose answer comes behind what is typed so far
    machine.expect(expected.CONSOLE_NUMBER.format(name="south"))
    machine.send("ho again\n")
    machine.expect_of("north", "bulkhead-demo:/# echo again\n")
    machine.send("\necho typed''here\n")
    machine.expect_of("north", "typedhere")
    assert not re.search("typedhere", machine.text_of("south"))
    machine.send("poweroff\n")
    machine.expect(expected.GUEST_OFF.format(name="north"), 60)
    south.select()
    machine.send("poweroff\n")
    machine.expect(expected.GUEST_OFF.format(name="south"), 60)
    assert machine.wait_end(30) is End.POWER_OFF


def hello_boot(*names, focus=None):
    tables = [HELLO_TABLE.format(name=name, cpu=cpu) for cpu, name in enumerate(names)]
    head = f'[hypervisor]\nfocus = "{focus}"\n' if focus else ""
    return Boot(modules={"test.toml": head + "\n".join(tables), "hello.bin": payloads.HELLO})


def test_all_guests_behind_their_names(lab, machine_name):
    machine = lab.start(machine_name, hello_boot("east", "southwest"), cpus=2)
    text = machine.read_all(30)
    assert machine.end is End.POWER_OFF
    for name in ("east     ", "southwest"):
        assert re.search(rf"^{name}\| .*{expected.HELLO}", text, re.MULTILINE)
    raw = machine.console.raw
    colours = {name: re.search(rf"(\x1b\[\d\dm){name} *\| ", raw)[1] for name in ("east", "southwest")}
    assert colours["east"] != colours["southwest"]
    assert not re.search(r"\x1b\[\d+m[^\r]*bulkhead:", raw)


def test_focus_shows_one_guest(lab, machine_name):
    """The one that the file names, byte for byte; of the other only what the hypervisor says."""
    machine = lab.start(machine_name, hello_boot("east", "west", focus="west"), cpus=2)
    text = machine.read_all(30)
    assert machine.end is End.POWER_OFF
    assert re.search(expected.CONSOLE_ALONE.format(name="west"), text, re.MULTILINE)
    assert re.search(expected.GUEST_OFF.format(name="east"), text, re.MULTILINE)
    assert len(re.findall(rf"^{expected.HELLO}", text, re.MULTILINE)) == 1


@pytest.mark.machines("qemu-amd")
def test_one_guest_has_the_line(lab, machine_name):
    """Nothing is added to what one guest writes, and Ctrl-] typed twice is Ctrl-]."""
    boot = Boot(modules=linux_modules(linux_table("linux", [0])))
    machine = lab.start(machine_name, boot, memory_mb=512, limit_s=80)
    machine.expect(expected.CONSOLE_ONLY.format(name="linux"), 60)
    shell = LinuxShell(machine).wait_prompt(60)
    assert "linux| " not in machine.console.raw
    machine.send(f"od -An -tx1 -N 2\n{expected.KEY}{expected.KEY}\n")
    machine.expect(r"^ *1d 0a\n", 10)
    machine.send(f"{expected.KEY}z{expected.KEY}h")
    machine.expect(expected.CONSOLE_NO_KEY)
    machine.expect(expected.SHELL_PROMPT)
    machine.send("quit\r")
    machine.expect(expected.CONSOLE_ONLY.format(name="linux"))
    shell.run("printf 'RAW\\033[31mred\\033[mRAW\\n'")
    assert "RAW\x1b[31mred\x1b[mRAW\r\n" in machine.console.raw

# SPDX-License-Identifier: BSD-2-Clause
"""What make says of a wrong variable: one line, before it does anything. And what it tells the hypervisor."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def make(*arguments):
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    return subprocess.run(["make", *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)


def dry_run(*arguments):
    return make("-n", *arguments)


@pytest.mark.parametrize(
    "argument, sentence",
    [
        ("VENDOR=foo", "VENDOR=foo: write VENDOR=amd (QEMU) or VENDOR=intel (Bochs)"),
        ("CONFIG=absent.toml", "CONFIG=absent.toml: there is no such file; write CONFIG=path/to/NAME.toml"),
        ("CONFIG=README.md", "CONFIG=README.md: the name of a configuration ends in .toml"),
        ("MODULES=README.md /nowhere/x", 'MODULES: there is no file /nowhere/x; write MODULES="path/to/file ..."'),
        ("KERNEL=/nowhere/k", "KERNEL=/nowhere/k: there is no such file; write KERNEL=path/to/vmlinuz"),
        ("MEMORY_MB=1G", "MEMORY_MB=1G: write a whole number of MiB, such as 1024"),
        ("MEMORY_MB=0", "MEMORY_MB=0: write a whole number of MiB, such as 1024"),
        ("CPUS=two", "CPUS=two: write a whole number"),
        ("CPUS=", "CPUS=: write a whole number"),
    ],
)
@pytest.mark.parametrize("goal", ["run", "debug", "iso", "demo"])
def test_wrong_variable(goal, argument, sentence):
    done = dry_run(goal, argument)
    assert (done.returncode, done.stdout) == (2, "")
    assert [line.split("*** ")[-1] for line in done.stderr.splitlines()] == [f"{sentence}.  Stop."]


def test_right_variables():
    arguments = ["VENDOR=intel", "CONFIG=guests/linux.toml", "MODULES=README.md build/guests/hello.bin", "CPUS=10"]
    done = dry_run("run", "KERNEL=README.md", "MEMORY_MB=2048", *arguments)
    assert (done.returncode, done.stderr) == (0, "")


def test_other_goals_do_not_care():
    assert dry_run("check-format", "CONFIG=absent.toml").returncode == 0


def test_only_an_emulator_powers_off_after_a_mistake():
    """Its terminal keeps the message. HV_OPTIONS comes behind, so that a user has the last word."""
    assert make("build/bulkhead-check").returncode == 0
    lines = dry_run("boot-debug", "boot-intel", "CONFIG=guests/linux.toml", "HV_OPTIONS=on_error=halt").stdout.splitlines()
    assert any('-append "on_error=poweroff on_error=halt"' in line for line in lines)
    assert any('build/run.iso build/bulkhead.elf "on_error=poweroff on_error=halt"' in line for line in lines)
    lines = dry_run("build/bulkhead.iso", "CONFIG=guests/linux.toml").stdout.splitlines()
    assert any('build/bulkhead.iso build/bulkhead.elf "console=com1"' in line for line in lines)

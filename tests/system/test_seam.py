# SPDX-License-Identifier: BSD-2-Clause
"""From the loader to a guest of our own and back to a machine that is off, on every machine."""

import expected
import payloads
import pytest
from machine import Boot, End
from qemu import EPYC


def test_flat_guest_says_hello(lab, machine_name, hello_guest):
    machine = lab.start(machine_name, Boot(modules=hello_guest))
    machine.expect(expected.GUEST_STARTED.format(name="hello"))
    machine.expect(expected.HELLO)
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.machines("qemu-amd", "bochs-intel")
@pytest.mark.parametrize("loader, protocol", [("multiboot1", "multiboot 1"), ("multiboot2", "multiboot 2")])
def test_grub_loads_the_image(lab, machine_name, hello_guest, loader, protocol):
    machine = lab.start(machine_name, Boot(modules=hello_guest), loader=loader)
    machine.expect(expected.LOADED_BY.format(protocol=protocol))
    machine.expect(expected.HELLO)
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.machines("qemu-amd")
@pytest.mark.cannot("bochs-intel", "bochs-amd", why="Bochs boots a CD; it has no multiboot loader of its own")
def test_qemu_loads_the_image_by_multiboot_1(lab, machine_name, hello_guest):
    machine = lab.start(machine_name, Boot(modules=hello_guest))
    machine.expect(expected.LOADED_BY.format(protocol="multiboot 1"))
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.cannot("bochs-intel", "bochs-amd", "qemu-kvm", why="the models are those of QEMU's emulation")
@pytest.mark.parametrize("machine_type", ["pc", "q35"])
@pytest.mark.parametrize("cpu", ["max", EPYC], ids=["max", "EPYC"])
def test_hello_on_other_machines(lab, machine_name, hello_guest, cpu, machine_type):
    machine = lab.start(machine_name, Boot(modules=hello_guest), cpu=cpu, machine=machine_type, cpus=3)
    machine.expect(expected.HELLO)
    assert machine.wait_end() is End.POWER_OFF


@pytest.mark.machines("qemu-amd")
def test_started_by_something_that_is_no_multiboot_loader(lab, machine_name, hello_guest):
    image = payloads.without_loader(lab.directory, lab.image)
    boot = Boot(modules=hello_guest, image=image)
    machine = lab.start(machine_name, boot, loader="multiboot1" if machine_name.startswith("bochs") else "kernel")
    try:
        machine.expect(expected.NO_LOADER, 5)
    except AssertionError:  # then on the screen, the only device that needs no set-up
        assert "multiboot" in machine.screen_text()
    assert machine.end in (None, End.POWER_OFF), "it shall halt or power off, not reset"

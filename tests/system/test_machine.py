# SPDX-License-Identifier: BSD-2-Clause
"""What the other tests rely on: an emulator that does not start is told at once, with its own words."""

import time

import pytest


@pytest.mark.cannot("qemu-amd", "bochs-amd", "qemu-kvm", why="one Bochs is enough, and QEMU makes its sockets itself")
def test_bochs_that_ends_before_it_connects(lab, machine_name):
    before = time.monotonic()
    with pytest.raises(ConnectionError, match="cpu directive malformed"):
        lab.start(machine_name, model="no-such-model")
    assert time.monotonic() - before < 10

#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Runs a CD image in Bochs with its first serial line on this terminal, as QEMU's "-serial mon:stdio" does.

Ctrl-A X ends the emulator, Ctrl-A Ctrl-A sends one Ctrl-A.
"""

import argparse
import contextlib
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import termios
import tty
from pathlib import Path

from bochs import accept_uart, listen_for_uart, port_of, read_bochs_end, write_configuration
from machine import End

ESCAPE = b"\x01"


@contextlib.contextmanager
def raw_terminal(fd):
    """Every key goes to the machine, also Ctrl-C; the terminal is as before afterwards."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    try:
        tty.setraw(fd)
        mode = termios.tcgetattr(fd)
        mode[1] |= termios.OPOST  # as QEMU does: a bare line feed still begins a line
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def without_escapes(data: bytes, escaped: bool):
    """What of the typed bytes the machine gets, whether Ctrl-A is pending, and whether Ctrl-A X was typed."""
    out = b""
    for byte in (data[i : i + 1] for i in range(len(data))):
        if escaped and byte in b"xX":
            return out, False, True
        if byte == ESCAPE and not escaped:
            escaped = True
            continue
        escaped = False
        out += byte
    return out, escaped, False


def bridge(channel, source, sink):
    """Carries bytes both ways until the machine is gone (True) or Ctrl-A X was typed (False)."""
    readers = [channel, source]
    escaped = False
    while True:
        ready = select.select(readers, [], [])[0]
        if channel in ready:
            try:
                data = channel.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                return True
            os.write(sink, data)
        if source in ready:
            data = os.read(source, 4096)
            if not data:
                readers.remove(source)
                continue
            typed, escaped, leave = without_escapes(data, escaped)
            channel.sendall(typed)
            if leave:
                return False


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--iso", required=True, type=Path)
    parser.add_argument("--memory", type=int, default=1024, help="MiB")
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--model", default="corei7_haswell_4770")
    options = parser.parse_args()

    directory = Path(tempfile.mkdtemp(prefix="bulkhead-bochs-"))
    listener = listen_for_uart()
    command = write_configuration(
        directory,
        options.iso.resolve(strict=True),
        model=options.model,
        cpus=options.cpus,
        memory_mb=options.memory,
        port=port_of(listener),
        clock="slowdown",  # never faster than real time, or the guest's clock would race while it idles
        start="utc",
        bios="BIOS-bochs-latest",
    )
    with open(directory / "emulator.out", "wb") as out:
        process = subprocess.Popen(
            command, cwd=directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        channel = accept_uart(listener, process, directory)
        with raw_terminal(sys.stdin.fileno()):
            ended = bridge(channel, sys.stdin.fileno(), sys.stdout.fileno())
        if not ended:
            return 0
        process.wait(10)
        end = read_bochs_end(directory)
        if end is not End.POWER_OFF:
            print(f"\nBochs ended: {end.value}\n{(directory / 'emulator.out').read_text()[-1000:]}", file=sys.stderr)
            return 1
        return 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-2-Clause
"""Bochs: VT-x and AMD-V without hardware. It boots from a GRUB CD; its UART is a TCP connection to us."""

import os
import re
import select
import signal
import socket
import subprocess
import time
from pathlib import Path

from iso import make_iso
from machine import End, Machine

# A line of the debugger's answer to "xp": an address, and up to eight bytes.
DUMP_LINE = re.compile(r"^0x[0-9a-f]+ <.*?>:((?:\t0x[0-9a-f]{2}){1,8})$", re.MULTILINE)

# What each model needs besides its name.
MODELS = {
    "corei7_haswell_4770": "ignore_bad_msrs=1",
    "ryzen": "ignore_bad_msrs=1, mwait_is_nop=1",
}

CONFIGURATION = """\
config_interface: textconfig
display_library: rfb, options="timeout=0"
cpu: model={model}, count={cpus}, ips=100000000, reset_on_triple_fault=0, {options}
memory: guest={memory}, host={host_memory}
romimage: file=/usr/share/bochs/{bios}, options=fastboot
vgaromimage: file=/usr/share/bochs/VGABIOS-lgpl-latest
vga: extension=vbe, update_freq=1, realtime=0
pci: enabled=1, chipset=i440fx
clock: sync={clock}, time0={start}
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=cdrom, path={iso}, status=inserted
boot: cdrom
mouse: enabled=0
plugin_ctrl: speaker=0
sound: driver=dummy
com1: enabled=1, mode=socket-client, dev=127.0.0.1:{port}
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
log: bochs.log
"""


def write_configuration(directory, iso, *, model, cpus, memory_mb, port, clock="none", start="1000000000", bios):
    """Writes Bochs' two files into `directory` and returns the command that runs them there."""
    text = CONFIGURATION.format(
        model=model,
        options=MODELS.get(model, "ignore_bad_msrs=1"),
        cpus=cpus,
        memory=memory_mb,
        host_memory=min(memory_mb, 2048),
        iso=iso,
        port=port,
        clock=clock,
        start=start,
        bios=bios,
    )
    (directory / "bochsrc").write_text(text)
    (directory / "debugger").write_text("c\n")  # the packaged Bochs starts in its debugger: continue
    return ["bochs", "-q", "-f", "bochsrc", "-rc", "debugger"]


def listen_for_uart() -> socket.socket:
    """A listening socket at a port that is ours before Bochs starts: a port that is only known to be free can be taken."""
    return socket.create_server(("127.0.0.1", 0), backlog=1)


def port_of(listener: socket.socket) -> int:
    return listener.getsockname()[1]


def accept_uart(listener: socket.socket, process: subprocess.Popen, directory, timeout_s=20) -> socket.socket:
    """Waits until Bochs connects its UART, which it does at its start; tells at once when it has ended instead."""
    deadline = time.monotonic() + timeout_s
    with listener:
        while not select.select([listener], [], [], 0.05)[0]:
            ended = process.poll() is not None
            if ended or time.monotonic() > deadline:
                what = f"ended with status {process.returncode}" if ended else f"did not connect within {timeout_s} s"
                words = (directory / "emulator.out").read_text(errors="replace").strip()[-1000:]
                raise ConnectionError(f"Bochs {what}; its last words:\n{words}")
        return listener.accept()[0]


def read_bochs_end(directory) -> End:
    """How Bochs ended, from what it wrote into its directory: its exit status does not say."""
    words = ""
    for name in ("emulator.out", "bochs.log"):
        path = directory / name
        words += path.read_text(errors="replace") if path.exists() else ""
    if "3rd (13) exception" in words:
        return End.TRIPLE_FAULT
    if "ACPI control: soft power off" in words or "Shutdown port: shutdown requested" in words:
        return End.POWER_OFF
    return End.EMULATOR_FAILED


class Bochs(Machine):
    slowness = 5
    standard_input = subprocess.PIPE  # the debugger's

    def __init__(self, boot, *, model="corei7_haswell_4770", loader="multiboot2", bios="BIOS-bochs-latest", **common):
        super().__init__(boot, **common)
        self.model = model
        self.vendor = "amd" if model == "ryzen" else "intel"
        self.loader = "multiboot2" if loader == "kernel" else loader
        self.bios = bios

    def name(self):
        return f"Bochs {self.model}"

    def emulator_command(self):
        modules = self.boot.write_modules(self.directory / "modules")
        iso = make_iso(self.directory, self.boot, modules, protocol=self.loader)
        self.listener = listen_for_uart()
        return write_configuration(
            self.directory,
            iso.name,
            model=self.model,
            cpus=self.cpus,
            memory_mb=self.memory_mb,
            port=port_of(self.listener),
            bios=self.bios,
        )

    def connect(self):
        return accept_uart(self.listener, self.process, self.directory)

    def read_end(self, status):
        return read_bochs_end(self.directory)

    def read_physical(self, address, size):
        """Stops the machine in Bochs' debugger for as long as that prints the bytes."""
        output = self.directory / "emulator.out"
        before = output.stat().st_size
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        os.kill(int(children), signal.SIGINT)  # the one child of timeout(1)
        self.process.stdin.write(f"xp /{size}bx {address:#x}\nc\n".encode())
        self.process.stdin.flush()
        deadline = time.monotonic() + 10
        content = b""
        while len(content) < size:
            if time.monotonic() > deadline:
                raise TimeoutError(f"Bochs' debugger printed {len(content)} of {size} bytes")
            time.sleep(0.05)
            lines = DUMP_LINE.findall(output.read_bytes()[before:].decode(errors="replace"))
            content = bytes(int(byte, 16) for line in lines for byte in line.split())
        return content

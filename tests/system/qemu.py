# SPDX-License-Identifier: BSD-2-Clause
"""QEMU's TCG: the AMD-V machine. It is started halted, so that no event is missed, and watched through QMP."""

import json
import os
import socket
import threading
import time
from pathlib import Path

from iso import make_iso
from machine import End, Machine

# What TCG lacks of an EPYC: named, or QEMU warns about each.
ABSENT = "rdseed sha-ni fxsr-opt misalignsse 3dnowprefetch osvw topoext nrip-save xsavec".split()
EPYC = "EPYC,+svm,+npt" + "".join(f",-{name}" for name in ABSENT)
# One TSC tick an instruction, and every run like the other.
DETERMINISTIC = "-icount shift=0,sleep=off -rtc base=2026-01-01T00:00:00,clock=vm -seed 42".split()

SHUTDOWN_ENDS = {
    "guest-shutdown": End.POWER_OFF,
    "guest-reset": End.RESET,
    "guest-panic": End.TRIPLE_FAULT,
    "host-signal": End.KILLED,
    "host-qmp-quit": End.KILLED,
}


def connect_unix(path: Path, process, timeout_s=10):
    """Connects to a socket that a process has yet to make."""
    deadline = time.monotonic() + timeout_s
    while True:
        channel = socket.socket(socket.AF_UNIX)
        try:
            channel.connect(str(path))
            return channel
        except OSError:
            channel.close()
            if time.monotonic() > deadline or process.poll() is not None:
                raise
            time.sleep(0.02)


class Monitor:
    """QEMU's machine protocol: commands with answers, and the events that came meanwhile."""

    def __init__(self, channel):
        self._lines = channel.makefile("rw", encoding="utf-8")
        self._answer = None
        self._arrived = threading.Condition()
        self.shutdown_reason = None
        self.closed = False
        self._lines.readline()  # the greeting
        threading.Thread(target=self._read, daemon=True).start()
        self.command("qmp_capabilities")

    def _read(self):
        try:
            for line in self._lines:
                message = json.loads(line)
                with self._arrived:
                    if message.get("event") == "SHUTDOWN":
                        self.shutdown_reason = message["data"]["reason"]
                    elif "event" not in message:
                        self._answer = message
                    self._arrived.notify_all()
        except (OSError, ValueError):
            pass
        with self._arrived:
            self.closed = True
            self._arrived.notify_all()

    def command(self, name, **arguments):
        self._answer = None
        self._lines.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self._lines.flush()
        with self._arrived:
            if not self._arrived.wait_for(lambda: self._answer or self.closed, 10) or not self._answer:
                raise RuntimeError(f"QEMU's monitor did not answer {name}")
        if "error" in self._answer:
            raise RuntimeError(f"QEMU's monitor: {self._answer['error']['desc']}")
        return self._answer["return"]

    def wait_closed(self):
        with self._arrived:
            self._arrived.wait_for(lambda: self.closed, 2)


class QemuAmd(Machine):
    vendor = "amd"
    accelerator = "tcg"

    def __init__(self, boot, *, cpu=EPYC, machine="pc", loader="kernel", icount=False, linux=None, options=(), **common):
        """loader: "kernel" (QEMU's multiboot 1), "multiboot1" or "multiboot2" (GRUB from a CD).
        options: more of QEMU's own, such as those that make nodes of memory.
        linux: (kernel, initrd, command line) runs that Linux with no hypervisor at all."""
        super().__init__(boot, **common)
        self.cpu = cpu
        self.machine = machine
        self.loader = loader
        self.icount = icount
        self.linux = linux
        self.options = list(options)
        self.monitor = None

    def emulator_command(self):
        command = ["qemu-system-x86_64", "-S", "-accel", self.accelerator, "-machine", self.machine, "-cpu", self.cpu]
        command += ["-m", str(self.memory_mb), "-smp", str(self.cpus), "-nic", "none", "-display", "none"]
        command += ["-no-reboot", "-no-user-config"]
        command += ["-chardev", "socket,id=com1,path=com1,server=on,wait=off", "-serial", "chardev:com1"]
        command += ["-qmp", "unix:qmp,server=on,wait=off"]
        if self.icount:
            command += DETERMINISTIC
        return command + self.options + self._boot_options()

    def _boot_options(self):
        if self.linux:
            kernel, initrd, command_line = self.linux
            return ["-kernel", str(kernel), "-initrd", str(initrd), "-append", command_line]
        modules = self.boot.write_modules(self.directory / "modules")
        if self.loader != "kernel":
            image = make_iso(self.directory, self.boot, modules, protocol=self.loader)
            return ["-cdrom", str(image), "-boot", "d"]
        options = ["-kernel", str(self.boot.image), "-append", self.boot.command_line]
        if modules:
            options += ["-initrd", ",".join(f"modules/{path.name}" for path in modules)]
        return options

    def connect(self):
        channel = connect_unix(self.directory / "com1", self.process)
        self.monitor = Monitor(connect_unix(self.directory / "qmp", self.process))
        self.monitor.command("cont")
        return channel

    def read_end(self, status):
        if self.monitor:
            self.monitor.wait_closed()
        return SHUTDOWN_ENDS.get(self.monitor and self.monitor.shutdown_reason, End.EMULATOR_FAILED)

    # -- a look inside

    def hmp(self, line) -> str:
        """A command of QEMU's human monitor, such as "info registers"."""
        return self.monitor.command("human-monitor-command", **{"command-line": line})

    def read_physical(self, address, size):
        path = self.directory / "memory"
        self.monitor.command("pmemsave", val=address, size=size, filename=str(path))
        return path.read_bytes()


def kvm_is_nested() -> bool:
    """Whether this machine's own KVM offers its guests virtualization."""
    offers = [path.read_text().strip() in ("Y", "1") for path in Path("/sys/module").glob("kvm_*/parameters/nested")]
    return any(offers) and os.access("/dev/kvm", os.R_OK | os.W_OK)


class QemuKvm(QemuAmd):
    """The processor of the machine that runs the tests, of whichever vendor, through nested KVM."""

    vendor = "host"
    accelerator = "kvm"

    def __init__(self, boot, **common):
        super().__init__(boot, **{"cpu": "host", **common})

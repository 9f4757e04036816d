# SPDX-License-Identifier: BSD-2-Clause
"""A machine under test: it boots an image with modules, has a console in both directions, and ends somehow.

qemu.py and bochs.py say how one is started. Whatever a test does, a machine is gone after its time limit.
"""

import enum
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
IMAGE = ROOT / "build/bulkhead.elf"

# Complete terminal control sequences and carriage returns, which no expectation wants to know of.
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78cM]|[\r\0\a\x0f\x18]")
CONTROL_CUT = re.compile(r"\r?\x1b(\[[0-9;?]*[ -/]*|[()])?\Z|\r\Z")

# The row so far is erased, as the shell's prompt when a line of the log comes: the text keeps it, as a line of its own.
ROW_ERASED = re.compile(r"(?<!\n)\r\x1b\[K")


class End(enum.Enum):
    """How a machine ended."""

    POWER_OFF = "powered off"
    RESET = "reset"
    TRIPLE_FAULT = "triple fault"
    TIME_LIMIT = "still running at its time limit"
    KILLED = "ended by the test"
    EMULATOR_FAILED = "the emulator failed"


class ConsoleError(AssertionError):
    """What was waited for did not come; the message has the end of the console."""


@dataclass
class Boot:
    """What a machine boots: an image, its command line, and modules by the name the configuration uses."""

    command_line: str = "console=com1 on_error=poweroff"
    modules: dict[str, Path | bytes | str] = field(default_factory=dict)
    image: Path = IMAGE

    def write_modules(self, directory: Path) -> list[Path]:
        """Puts every module into `directory` under its name."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for name, content in self.modules.items():
            path = directory / name
            if isinstance(content, Path):
                path.symlink_to(content.resolve(strict=True))
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
            paths.append(path)
        return paths


class Console:
    """Text as it came, text without control sequences, and a position up to which tests have read."""

    def __init__(self):
        self.raw = ""
        self.text = ""
        self.position = 0
        self.closed = False
        self.changed = threading.Condition()
        self._pending = ""

    def feed(self, data: bytes):
        with self.changed:
            piece = data.decode("latin-1")
            self.raw += piece
            self._pending += piece
            cut = CONTROL_CUT.search(self._pending)
            whole = self._pending[: cut.start()] if cut else self._pending
            self._pending = self._pending[len(whole) :]
            rows = ROW_ERASED.sub("\n", (self.text[-1:] or "\n") + whole)[1:]
            self.text += CONTROL.sub("", rows)
            self.changed.notify_all()

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Machine:
    """Base of all machines. A subclass gives vendor, start_emulator, connect, and read_end."""

    vendor = ""
    slowness = 1  # every time limit is for the fastest machine and multiplied by this
    forbidden = None  # a pattern that ends every wait at once, such as that of a panic
    standard_input = subprocess.DEVNULL

    def __init__(self, boot: Boot, *, memory_mb=512, cpus=1, limit_s=120):
        self.boot = boot
        self.memory_mb = memory_mb
        self.cpus = cpus
        self.limit_s = limit_s * self.slowness
        self.console = Console()
        self.directory = Path(tempfile.mkdtemp(prefix="bulkhead-test-"))
        self.process = None
        self.end = None
        self.started_at = time.monotonic()
        self._time_is_up = False
        self._stopping = False
        self._channel = None
        self._timer = threading.Timer(self.limit_s, self._time_up)
        self._timer.daemon = True

    # -- for subclasses

    def emulator_command(self) -> list[str]:
        """The command that runs the machine; may write files into self.directory."""
        raise NotImplementedError

    def connect(self):
        """Returns the socket of the console."""
        raise NotImplementedError

    def read_end(self, status: int) -> End:
        """How the machine ended, once its process has."""
        raise NotImplementedError

    # -- life

    def start(self):
        with open(self.directory / "emulator.out", "wb") as out:
            # The time limit holds even if this process dies: timeout(1) is the parent.
            command = ["timeout", "--kill-after=1", str(self.limit_s + 5), *self.emulator_command()]
            self.process = subprocess.Popen(
                command,
                stdin=self.standard_input,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.directory,
            )
        self.started_at = time.monotonic()
        self._timer.start()
        try:
            self._channel = self.connect()
        except BaseException:
            self.close()
            raise
        threading.Thread(target=self._read_console, daemon=True).start()
        return self

    def _read_console(self):
        try:
            while data := self._channel.recv(65536):
                self.console.feed(data)
        except OSError:
            pass
        self.console.close()

    def _time_up(self):
        self._time_is_up = True
        self._kill()

    def _kill(self):
        if self.process and self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass

    def wait_end(self, timeout_s=30) -> End:
        """Waits until the machine has ended by itself and says how; TIME_LIMIT when it does not."""
        if self.end is None:
            try:
                status = self.process.wait(timeout_s * self.slowness)
            except subprocess.TimeoutExpired:
                self._time_up()
                status = self.process.wait()
            self._timer.cancel()
            with self.console.changed:
                self.console.changed.wait_for(lambda: self.console.closed, 2)
            if self._time_is_up:
                self.end = End.TIME_LIMIT
            elif self._stopping:
                self.end = End.KILLED
            else:
                self.end = self.read_end(status)
        return self.end

    def close(self):
        """Ends the machine if it still runs, and removes its files."""
        self._stopping = True
        self._kill()
        if self.process:
            self.process.wait()
        self._timer.cancel()
        if self._channel:
            self._channel.close()
        if self.process and self.process.stdin:
            self.process.stdin.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- a look inside

    def read_physical(self, address: int, size: int) -> bytes:
        """The machine's physical memory, as no CPU's page tables see it."""
        raise NotImplementedError

    def screen_text(self, address=0xB8000) -> str:
        """The 80 by 25 characters of a VGA text screen at a physical address."""
        text = self.read_physical(address, 80 * 25 * 2)[::2].decode("cp437")
        return "\n".join(text[row * 80 : row * 80 + 80].replace("\0", " ").rstrip() for row in range(25))

    # -- console

    def send(self, text: str):
        """Types text on the console."""
        self._channel.sendall(text.encode("latin-1"))

    def expect(self, pattern: str, timeout_s=30) -> re.Match:
        """Waits for a pattern after what was read so far; reads up to its end."""
        wanted = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout_s * self.slowness
        with self.console.changed:
            while True:
                match = wanted.search(self.console.text, self.console.position)
                if match:
                    self.console.position = match.end()
                    return match
                if self.forbidden and (bad := self.forbidden.search(self.console.text)):
                    raise self._error(f"{bad[0]!r} came while waiting for {pattern!r}")
                if self.console.closed:
                    break
                left = deadline - time.monotonic()
                if left <= 0:
                    raise self._error(f"no {pattern!r} within {timeout_s * self.slowness} s")
                self.console.changed.wait(left)
        raise self._error(f"no {pattern!r} before the machine ended: {self.wait_end(5).value}")

    def expect_of(self, guest: str, pattern: str, timeout_s=30) -> re.Match:
        """Waits for a pattern in a guest's line, where the console shows all guests; reads up to its end."""
        return self.expect(rf"^{guest} *\| .*{pattern}", timeout_s)

    def text_of(self, guest: str) -> str:
        """What a guest wrote while the console showed all guests."""
        return "\n".join(re.findall(rf"^{guest} *\| (.*)$", self.console.text, re.MULTILINE))

    def read_all(self, timeout_s=30) -> str:
        """Everything the console said until the machine ended by itself."""
        self.wait_end(timeout_s)
        return self.console.text

    def _error(self, what):
        return ConsoleError(f"{self.name()}: {what}{self.emulator_output()}")

    def emulator_output(self) -> str:
        """What the emulator itself had to say, for a failure's message."""
        try:
            text = (self.directory / "emulator.out").read_text(errors="replace").strip()
        except OSError:
            return ""
        return f"\nthe emulator's last words:\n{text[-1000:]}" if text and self.console.closed else ""

    def name(self) -> str:
        return type(self).__name__

    def transcript(self) -> str:
        return CONTROL.sub("", self.console.raw)

    def seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self.started_at

# SPDX-License-Identifier: BSD-2-Clause
"""A Linux that is used through its shell: wait for the prompt, type commands, take what they print."""

import itertools
import re

import expected

PROMPT = r"bulkhead-demo:[^\n]*# $"
KERNEL_LINE = re.compile(r"^\[ *\d+\.\d+\] .*\n?", re.MULTILINE)


class LinuxShell:
    """One of several guests is named, and has the console to itself while it is used."""

    def __init__(self, machine, guest=None):
        self.machine = machine
        self.guest = guest
        self._key = None
        self._numbers = itertools.count(1)

    def select(self):
        """Gives this guest the console and the keys, by its number in the list that Ctrl-] ? prints."""
        if self.guest is None:
            return
        if self._key is None:
            self.machine.send(f"{expected.KEY}?")
            self._key = self.machine.expect(expected.CONSOLE_NUMBER.format(name=self.guest))[1]
        self.machine.send(f"{expected.KEY}{self._key}")
        self.machine.expect(expected.CONSOLE_ALONE.format(name=self.guest))

    def wait_prompt(self, timeout_s=60):
        self.select()
        if "panic" in self.machine.expect(rf"{PROMPT}|Kernel panic - .*", timeout_s)[0]:
            raise AssertionError("Linux panicked before its prompt")
        return self

    def run(self, command: str, timeout_s=20) -> str:
        """Types a command and returns what it printed. The marks around it are typed so that their echo differs."""
        self.select()
        number = next(self._numbers)
        self.machine.send(f"echo BEG''IN{number}; {command}; echo EN''D{number}\n")
        self.machine.expect(rf"^BEGIN{number}\n", timeout_s)
        start = self.machine.console.position
        match = self.machine.expect(rf"^END{number}\n", timeout_s)
        self.machine.expect(PROMPT, timeout_s)
        return KERNEL_LINE.sub("", self.machine.console.text[start : match.start()]).strip("\n")

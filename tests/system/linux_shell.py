# SPDX-License-Identifier: BSD-2-Clause
"""A Linux that is used through its shell: wait for the prompt, type commands, take what they print."""

import itertools
import re

PROMPT = r"bulkhead-demo:[^\n]*# $"
KERNEL_LINE = re.compile(r"^\[ *\d+\.\d+\] .*\n?", re.MULTILINE)


class LinuxShell:
    def __init__(self, machine):
        self.machine = machine
        self._numbers = itertools.count(1)

    def wait_prompt(self, timeout_s=60):
        if "panic" in self.machine.expect(rf"{PROMPT}|Kernel panic - .*", timeout_s)[0]:
            raise AssertionError("Linux panicked before its prompt")
        return self

    def run(self, command: str, timeout_s=20) -> str:
        """Types a command and returns what it printed. The marks around it are typed so that their echo differs."""
        number = next(self._numbers)
        self.machine.send(f"echo BEG''IN{number}; {command}; echo EN''D{number}\n")
        self.machine.expect(rf"^BEGIN{number}\n", timeout_s)
        start = self.machine.console.position
        match = self.machine.expect(rf"^END{number}\n", timeout_s)
        self.machine.expect(PROMPT, timeout_s)
        return KERNEL_LINE.sub("", self.machine.console.text[start : match.start()]).strip("\n")

# SPDX-License-Identifier: BSD-2-Clause
"""Every text of Bulkhead that a system test waits for, as regular expressions. Nothing else here knows its wording."""

import re

LINE = r"^bulkhead: .*"

# A bug of ours. Ends every wait of every test at once.
PANIC = re.compile(r"^bulkhead: panic\b.*", re.MULTILINE | re.IGNORECASE)

# A guest's first instruction is about to run.
GUEST_STARTED = LINE + r'guest "{name}": started\b'
ANY_GUEST_STARTED = GUEST_STARTED.format(name="[^\"]*")

# A guest has ended, and why.
GUEST_OFF = LINE + r'guest "{name}": .*(powered|switched) .*off'
GUEST_RESET = LINE + r'guest "{name}": .*reset'
GUEST_STOPS = LINE + r'guest "{name}" stops: '
ON_ITS_CPU = r"^bulkhead:   on its CPU {cpu}:"
GUEST_STARTS_AGAIN = LINE + r'guest "{name}": starts again in \d+ s'
GUEST_STAYS_STOPPED = LINE + r'guest "{name}": .*stays stopped'
SLEEPS_FOR_GOOD = r"it has halted with interrupts off"
GUEST_SLEEPS = LINE + r'guest "{name}": ' + SLEEPS_FOR_GOOD
LINES_LEFT_OUT = LINE + r'guest "{name}": (\d+) more lines about it are left out'

# The processor refuses to enter a guest: one line for each rule that its state breaks.
STATE_REFUSED = LINE + r'guest "{name}": the processor refuses its state: '

# The last guest has stopped and the machine goes off; also after a refused start with on_error=poweroff.
MACHINE_OFF = LINE + r"power"

# How the image was loaded.
LOADED_BY = LINE + r"{protocol}\b"  # "multiboot 1", "multiboot 2"

# Printed with no configuration module: an inventory and a configuration that would be valid here.
NO_CONFIGURATION = LINE + r"no configuration"
STARTER_GUEST = r"^(bulkhead: )?\s*\[guest\."

# The console, its escape key and what it answers.
KEY = "\x1d"
CONSOLE_ALL = LINE + r'console: all guests; what is typed goes to guest "{name}"'
CONSOLE_ALONE = LINE + r'console: guest "{name}" alone'
CONSOLE_ONLY = LINE + r'console: the serial line of guest "{name}", the only one'
CONSOLE_NUMBER = LINE + r'(\d) +show guest "{name}" alone'
CONSOLE_NO_KEY = LINE + r"console: that key means nothing"

# The flat guest of our own.
HELLO = r"hello"

# With log=debug: where the host keeps a guest's VGA text memory. The number is whole only when its line is.
VGA_TEXT_AT = LINE + r'guest "{name}": memory 0xb8000 to 0x[0-9a-f]+ is host 0x([0-9a-f]+)\n'

# With log=debug: each piece of a guest's memory.
RAM_AT = r'^bulkhead: guest "([^"]*)": memory 0x([0-9a-f]+) to 0x([0-9a-f]+) is host 0x([0-9a-f]+)$'

# Nothing can wake this guest any more.
HALTED_FOR_GOOD = LINE + r"has halted with interrupts off"

# Something that is not a multiboot loader jumped to the entry point: seen on the serial line or on the screen.
NO_LOADER = r"multiboot"

# A refused configuration: FILE:LINE:COLUMN: what is wrong. There is one such line for one mistake; what this version
# does not support yet may be said beside it.
POSITION = r"test\.toml:\d+:\d+: (?!not yet)"

# What the planner remarks without refusing it.
CORE_SHARED = LINE + r'guests "{one}" and "{two}" share core \d+ \(CPU \d+ and CPU \d+\), as both allow$'
MEMORY_FAR = LINE + r'guest "{name}": {size} of its memory are on node {far}, its CPUs on node {near}$'

# With log=debug: the owner of a CPU, and where the host keeps a guest's memory from address 0 on.
OWNER = LINE + r"CPU {cpu}, core {core}(, node {node})?: {owner}"
MEMORY_AT = LINE + r'guest "{name}": memory 0x0 to 0x[0-9a-f]+ is host 0x([0-9a-f]+)\n'

# Bad input: a piece of the one line that says what is wrong.
UNKNOWN_KEY = r'test\.toml:4:1: unknown key "memmory" in \[guest\.one\]; did you mean "memory"\?'
WRONG_TYPE = r"test\.toml:4:\d+: .*memory.*\b(string|size)\b"
CPU_TWICE = r'test\.toml:9:\d+: guest "two": CPU 0 already belongs to guest "one" \(line 3\)'
CPU_TWICE_IN_LIST = r"test\.toml:3:\d+: .*CPU 0 .*(twice|already)"
CPU_LACKING = r"test\.toml:3:\d+: .*\bCPU 7\b"
MEMORY_LACKING = r"test\.toml:4:\d+: .*\bmemory\b"
SIBLINGS = (
    r'test\.toml:7:9: guest "two": CPU 3 is a hardware thread of core 1, as is CPU 2 of guest "one" \(line 2\); '
    r"take CPU 0, or write allow_shared_core = true in both guests"
)
CPU_SUM = r'test\.toml:7:9: guest "two": CPU 1 does not exist; this machine has CPU 0 only; the file asks for 2 in all, 1 '
MEMORY_SUM = (
    r'test\.toml:8:10: guest "two": memory 300 MiB is more than is left: all guests together ask for 600 MiB, and '
    r"\d+ MiB are free: \d+ MiB too much"
)
MODULE_LACKING = r'test\.toml:6:\d+: .*"nowhere\.bin"'
NAME_TWICE = r"test\.toml:8:\d+: .*\[?guest\.one\]?.* \(line 2\)"
NO_GUESTS = r"test\.toml(:\d+:\d+)?: .*\bno guest"
NOT_BZIMAGE = r'kernel "kernel\.bin" is no bzImage\b'
NOT_MULTIBOOT = r'kernel "kernel\.bin" is no multiboot image\b'
CUT_SHORT = r'kernel "kernel\.bin" is cut short\b'
TOO_LARGE = r'kernel "kernel\.bin" (needs .*; the guest has|needs .* the guest \(.*\) has no free RAM|.* does not fit)'
NO_VIRTUALIZATION = r"\bSVM\b.*\bVMX\b|\bVMX\b.*\bSVM\b|AMD-V.*VT-x|VT-x.*AMD-V"
NO_EPT = r"\bEPT\b"

# At the shell, when the last guest has stopped; and before the machine goes off, what nobody has seen.
ONLY_THE_SHELL = LINE + r"all guests have stopped; leaving the shell switches the machine off"
UNSEEN = LINE + r"console: what guests wrote unseen:"

# The shell.
SHELL_PROMPT = r"bulkhead> "
SHELL_PROMPT_LEFT = "bulkhead> \r\n"  # as it came: an empty one that stays above a line of the log
PAUSED = LINE + r'guest "{name}": paused \(by the shell\)'
RESUMED = LINE + r'guest "{name}": resumed \(by the shell\)'
RESET_BY_SHELL = LINE + r'guest "{name}": reset \(by the shell\)'
BUTTON_PRESSED = LINE + r'guest "{name}": its power button was pressed'
STOPPED_HARD = LINE + r'guest "{name}": powered off \(hard, by the shell{why}\)'
OFF_BY_ITSELF = LINE + r'guest "{name}": powered off \(ACPI S5\)'
STARTED_AGAIN = LINE + r'guest "{name}": started again'

# The audit has found something.
AUDIT_REFUSES = r"^bulkhead: audit: .*: no guest is started$"

#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""Rules of the house that no compiler knows: which layer may include which, what hv and the models must not contain,
and the first lines of a file. check_tree.py FILE... prints one line for each breach and fails when there is any."""

import re
import sys
from pathlib import Path

# For files below a folder (the first that matches): the folders that they may include from, and behind those what they
# may not. boot/, guests/ and tests/ may include all.
LAYERS = [
    ("hv/", ("hv/",)),
    ("drivers/virtual/", ("hv/", "drivers/virtual/")),
    ("arch/vmx/", ("hv/", "arch/"), "arch/svm/"),
    ("arch/svm/", ("hv/", "arch/"), "arch/vmx/"),
    ("arch/virt.c", ("hv/", "arch/")),  # the only place that knows both backends
    ("arch/", ("hv/", "arch/"), "arch/vmx/", "arch/svm/"),
    ("drivers/host/", ("hv/", "arch/", "drivers/host/")),
]
# The one part of hv's contract with the hardware that is inline stands where assembly may.
INLINE = ("hv/machine.h", "arch/machine_inline.h")
# Includes that are no file of the tree but made by the build.
GENERATED = {"dsdt.hex"}
# What a freestanding compiler provides.
STANDARD = {"stdarg.h", "stdbool.h", "stddef.h", "stdint.h", "stdalign.h", "stdnoreturn.h", "limits.h"}
PURE = ("hv/", "drivers/virtual/")
FREESTANDING = ("hv/", "drivers/", "arch/", "boot/", "guests/")
HOSTED = "guests/check/"  # a program of the build machine

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
CONDITIONAL = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b")
ASSEMBLY = re.compile(r"\b(asm|__asm|__asm__)\b\s*(volatile|__volatile__|goto)?\s*[({]")
GUARD = re.compile(r"^#ifndef (\w+_H)\n#define \1\n", re.MULTILINE)
SPDX = "SPDX-License-Identifier: BSD-2-Clause"
COMMENTS = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL)


def layer_of(path):
    return next((layer for layer in LAYERS if path.startswith(layer[0])), None)


def without_comments(text):
    """Comments and strings become blanks, so that lines keep their numbers; includes are read from the raw text."""
    return COMMENTS.sub(lambda match: re.sub(r"[^\n]", " ", match.group()), text)


def check_includes(path, text):
    layer = layer_of(path)
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        kind, name = match.groups()
        if kind == "<":
            if path.startswith(FREESTANDING) and not path.startswith(HOSTED) and name not in STANDARD:
                yield number, f"<{name}> is not there in a freestanding program"
            continue
        if name in GENERATED:
            continue
        if not Path(name).is_file():
            yield number, f'"{name}" is not a path from the root of the tree'
        if layer and (path, name) != INLINE and (not name.startswith(layer[1]) or name.startswith(layer[2:])):
            yield number, f'{layer[0]} must not include "{name}"'


def check_purity(path, text):
    """hv and the models compile natively and everywhere alike."""
    text = GUARD.sub("\n\n", without_comments(text), count=1)
    for number, line in enumerate(text.splitlines(), 1):
        if ASSEMBLY.search(line):
            yield number, "assembly belongs into arch/"
        if CONDITIONAL.match(line):
            yield number, f"conditional compilation ({line.strip()}); only an include guard may be there"


def check_guard(path, text):
    if not GUARD.search(text):
        yield 1, "the header has no include guard"


def check_opening(path, text):
    lines = text.splitlines()
    if not lines or SPDX not in "\n".join(lines[:2]):
        yield 1, f"the first line must be: {SPDX}"
    elif path.endswith((".c", ".h", ".S")) and (len(lines) < 2 or not lines[1].startswith(("/*", "//"))):
        yield 2, "the file's idea is missing: one to five lines behind the SPDX line"


def check(path):
    text = Path(path).read_text(encoding="utf-8")
    found = list(check_opening(path, text))
    if path.endswith((".c", ".h", ".S")):
        found += check_includes(path, text)
    if path.startswith(PURE) and path.endswith((".c", ".h")):
        found += check_purity(path, text)
    if path.endswith(".h"):
        found += check_guard(path, text)
    return found


def main(paths):
    breaches = [f"{path}:{number}: {what}" for path in paths for number, what in check(path)]
    print("\n".join(breaches), end="\n" if breaches else "")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

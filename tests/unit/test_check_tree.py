# SPDX-License-Identifier: BSD-2-Clause
"""The checker of the house's rules sees each breach, and passes a file that keeps them."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("check_tree", ROOT / "tests/tools/check_tree.py")
check_tree = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(check_tree)

OPENING = "/* SPDX-License-Identifier: BSD-2-Clause */\n/*\n * An idea.\n */\n"
HEADER = OPENING + "#ifndef HV_A_H\n#define HV_A_H\n\nint a; /* asm(x) and #if 0 are only words here */\n\n#endif\n"


@pytest.fixture
def breaches(tmp_path, monkeypatch):
    """check(path, text): the complaints about a file of that text, in a tree that has one header in each folder."""
    monkeypatch.chdir(tmp_path)
    for folder in ("hv", "arch", "arch/vmx", "arch/svm", "drivers/virtual", "drivers/host", "boot", "guests/check"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "there.h").write_text("")

    def check(path, text):
        (tmp_path / path).write_text(text)
        return [f"{number}: {what}" for number, what in check_tree.check(path)]

    return check


def test_good_files_pass(breaches):
    assert breaches("hv/a.h", HEADER) == []
    assert breaches("hv/a.c", OPENING + '#include "hv/there.h"\n#include <stdint.h>\nconst char *s = "asm(";\n') == []
    assert breaches("guests/check/a.c", OPENING + "#include <stdio.h>\n") == []
    assert breaches("arch/a.c", OPENING + '#ifdef X\nasm volatile("nop");\n#endif\n') == []


ALLOWED = {
    "hv/a.c": ["hv"],
    "drivers/virtual/a.c": ["hv", "drivers/virtual"],
    "arch/a.c": ["hv", "arch"],
    "arch/virt.c": ["hv", "arch", "arch/vmx", "arch/svm"],
    "arch/vmx/a.c": ["hv", "arch", "arch/vmx"],
    "arch/svm/a.c": ["hv", "arch", "arch/svm"],
    "drivers/host/a.c": ["hv", "arch", "arch/vmx", "arch/svm", "drivers/host"],
    "boot/a.c": ["hv", "arch", "arch/vmx", "arch/svm", "drivers/host", "drivers/virtual", "boot"],
}


@pytest.mark.parametrize("path", ALLOWED)
def test_layers(breaches, path):
    for folder in ALLOWED["boot/a.c"]:
        found = breaches(path, OPENING + f'#include "{folder}/there.h"\n')
        assert bool(found) == (folder not in ALLOWED[path]), f"{path} includes {folder}"


def test_inline_part_of_the_hardware_contract(breaches, tmp_path):
    (tmp_path / "arch/machine_inline.h").write_text("")
    text = OPENING + '#include "arch/machine_inline.h"\n'
    assert breaches("hv/machine.h", HEADER.replace("HV_A_H", "HV_MACHINE_H").replace("\nint a;", text[len(OPENING):])) == []
    assert breaches("hv/a.c", text) != []
    assert breaches("hv/machine.h", HEADER.replace("\nint a;", '#include "arch/there.h"\n')) != []


@pytest.mark.parametrize(
    "path, text, line",
    [
        ("hv/a.c", OPENING + "/* why\n */ int x; asm volatile(\"hlt\");\n", 6),
        ("hv/a.c", OPENING + "#if 0\n#endif\n", 5),
        ("hv/a.h", HEADER.replace("int a;", "\n#ifdef X\nint a;\n#endif\n"), 9),
        ("hv/a.h", HEADER.replace("#define HV_A_H", "#define HV_B_H"), 1),
        ("hv/a.c", OPENING + "#include <stdio.h>\n", 5),
        ("guests/a.c", OPENING + "#include <stdio.h>\n", 5),
        ("hv/a.c", OPENING + '#include "there.h"\n', 5),
        ("hv/a.c", OPENING + '#include "hv/absent.h"\n', 5),
        ("hv/a.c", "int x;\n", 1),
        ("hv/a.c", OPENING.splitlines()[0] + "\nint x;\n", 2),
        ("boot/a.S", "nop\n", 1),
    ],
)
def test_breaches(breaches, path, text, line):
    assert any(found.startswith(f"{line}: ") for found in breaches(path, text))

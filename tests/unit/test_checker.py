# SPDX-License-Identifier: BSD-2-Clause
"""bulkhead-check, built with sanitizers: what it says, its status, and that the lists of keys in the READMEs are whole."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = "build/unit/bulkhead-check"
GUEST = '[guest.a]\ncpus = [0]\nmemory = "16M"\nboot = "flat"\nkernel = "a.bin"\n'
VALID = "{file}: valid for a machine with {machine}\n"


@pytest.fixture(scope="module")
def program():
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")}
    subprocess.run(["make", "-s", PROGRAM], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)
    return ROOT / PROGRAM


@pytest.fixture
def check(program, tmp_path):
    """check(text, *options): (status, stdout, stderr) for a file of that text, which they call f.toml."""

    def run(text, *options, stdin=b""):
        if text is not None:
            (tmp_path / "f.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
        command = [str(program), *options, *(["f.toml"] if text is not None else [])]
        done = subprocess.run(command, cwd=tmp_path, input=stdin, capture_output=True, timeout=60)
        assert b"Sanitizer" not in done.stderr and b"runtime error" not in done.stderr, done.stderr
        return done.returncode, done.stdout.decode(), done.stderr.decode("ascii")

    return run


def refused(result, *lines):
    """Status 1, nothing on stdout, and these lines."""
    assert result == (1, "", "".join(line + "\n" for line in lines))


# ---- What it says


def test_valid_file(check):
    machine = "1 CPU, 1024G of memory and the boot modules that it names"
    assert check(GUEST) == (0, VALID.format(file="f.toml", machine=machine), "")
    machine = "4 CPUs, 1G of memory and 1 boot module"
    result = check(GUEST, "--cpus", "4", "--memory", "1G", "--module", "a.bin")
    assert result == (0, VALID.format(file="f.toml", machine=machine), "")


def test_all_mistakes_of_a_file(check):
    refused(
        check(GUEST.replace("memory", "memmory").replace('"flat"', '"flatt"')),
        'f.toml:3:1: unknown key "memmory" in [guest.a]; did you mean "memory"?',
        'f.toml:4:8: guest "a": boot "flatt": it must be "linux", "multiboot" or "flat"; did you mean "flat"?',
    )


def test_what_the_machine_lacks(check):
    options = ["--cpus", "1", "--memory", "256M", "--module", "b.bin"]
    status, out, errors = check(GUEST.replace("[0]", "[3]").replace("16M", "1G"), *options)
    assert (status, out) == (1, "")
    lines = errors.split("\n")
    assert lines[0].startswith('f.toml:2:9: guest "a": CPU 3 does not exist; this machine has CPU 0 only')
    assert re.match(r'f\.toml:3:10: guest "a": memory 1 GiB is more than there is: 242 MiB are free', lines[1])
    assert lines[2] == (
        'f.toml:5:10: guest "a": there is no boot module "a.bin"; did you mean "b.bin"? '
        'the loader brought "f.toml", "b.bin"'
    )
    assert lines[3:] == ["f.toml: this was checked for a machine with 1 CPU, 256M of memory and 1 boot module", ""]


def test_unknown_device(check):
    status, _, errors = check(GUEST + 'devices = ["vga", "uarts"]\n')
    assert status == 1
    assert errors.startswith('f.toml:6:19: guest "a": there is no device "uarts"; did you mean "uart"? the devices are')


def test_hardware_threads(check):
    two = GUEST + GUEST.replace("guest.a", "guest.b").replace("[0]", "[1]")
    assert check(two)[0] == 0
    status, _, errors = check(two, "--threads", "2")
    assert status == 1
    assert errors.startswith('f.toml:7:9: guest "b": CPU 1 is a hardware thread of core 0, as is CPU 0 of guest "a"')
    status, out, _ = check(two.replace('kernel = "a.bin"\n', 'kernel = "a.bin"\nallow_shared_core = true\n'), "--threads=2")
    assert status == 0
    assert 'remark: guests "a" and "b" share core 0 (CPU 0 and CPU 1), as both allow\n' in out


@pytest.mark.parametrize("memory, status", [("1009M", 0), ("1011M", 1)])
def test_the_hypervisor_needs_room_too(check, memory, status):
    """Of 1 GiB it takes 10 MiB for its pages, 3 for its image and the first, and some for the firmware's tables."""
    assert check(GUEST.replace("16M", memory), "--memory", "1G")[0] == status


def test_memory_that_holds_nothing(check):
    for memory in ("1K", "2M", "3M"):
        refused(
            check(GUEST, "--memory", memory),
            f"f.toml: {memory} of memory has no room for the hypervisor and the boot modules",
        )


def test_explain(check):
    text = GUEST + GUEST.replace("guest.a", "guest.b").replace("[0]", "[2, 1]") + 'devices = ["uart"]\n'
    status, out, errors = check(text, "--explain", "--cpus", "4", "--memory", "1G", "--module", "a.bin")
    assert (status, errors) == (0, "")
    lines = out.split("\n")
    assert lines[1:5] == [
        '  CPU 0: guest "a", its CPU 0',
        '  CPU 1: guest "b", its CPU 1',
        '  CPU 2: guest "b", its CPU 0',
        "  CPU 3: the hypervisor, which watches the guests there",
    ]
    assert '  memory 0x000000400000-0x0000013fffff: guest "a" (its memory from 0)' in lines
    assert "  memory 0x00003f400000-0x00003fdfffff: the hypervisor (the page pool)" in lines
    assert lines[-3:] == ['  models for guest "a": the whole PC', '  models for guest "b": uart', ""]


@pytest.mark.parametrize(
    "options, assumed",
    [
        ([], "1 CPU (--cpus), 1024G of memory (--memory), boot modules without a size (--modules-from)"),
        (["--memory", "1G"], "1 CPU (--cpus), boot modules without a size (--modules-from)"),
        (["--cpus", "2", "--module", "a.bin"], "1024G of memory (--memory)"),
        (["--cpus", "2", "--memory", "1G", "--module", "a.bin"], None),
    ],
)
def test_explain_tells_what_it_assumed(check, options, assumed):
    status, out, _ = check(GUEST, "--explain", *options)
    lines = [line for line in out.splitlines() if "assumed" in line]
    assert (status, lines) == (0, [f"  assumed, as no option says otherwise: {assumed}"] if assumed else [])
    assert "assumed" not in check(GUEST, *options)[1]


def test_mistakes_are_not_explained(check):
    refused(check(GUEST.replace("[0]", "[0, 0]"), "--explain"), 'f.toml:2:12: guest "a": CPU 0 is there twice; name each CPU once')


def test_lists_for_scripts(check):
    text = (
        GUEST
        + '[guest.b]\ncpus = [5]\nmemory = "16M"\nboot = "multiboot"\nkernel = "b"\nmodules = ["c", "a.bin", "c"]\n'
        + '[guest.c]\ncpus = [2]\nmemory = "16M"\nboot = "linux"\nkernel = "b"\ninitrd = "d"\n'
    )
    assert check(text, "--list-modules") == (0, "a.bin\nb\nc\nd\n", "")
    assert check(text, "--count-cpus") == (0, "6\n", "")
    assert check(text + "x", "--list-modules")[:2] == (1, "")


# ---- Modules of a directory


def test_modules_from_a_directory(check, tmp_path):
    """More files than a loader can bring: those that are named count, the others help to guess."""
    (tmp_path / "d" / "folder").mkdir(parents=True)
    for number in range(50):
        (tmp_path / "d" / f"m{number}").write_bytes(b"x" * 5000)
    text = GUEST.replace("a.bin", "m9")
    assert check(text, "--modules-from", "d")[0] == 0
    out = check(text, "--modules-from", "d", "--explain")[1]
    assert "  memory 0x000000300000-0x000000301387: the hypervisor (m9)\n" in out
    errors = check(text.replace("m9", "m88"), "--modules-from", "d")[2]
    assert 'there is no boot module "m88"; did you mean "m' in errors
    errors = check(text.replace("m9", "folder"), "--modules-from", "d")[2]
    assert 'there is no boot module "folder"; ' in errors
    errors = check(text, "--modules-from", "d", "--modules-from", "d")[2]
    assert 'the loader brought 2 boot modules named "m9"' in errors


# ---- Its status


def test_the_worst_file_decides(check, tmp_path):
    (tmp_path / "good.toml").write_text(GUEST)
    assert check("x", "good.toml") == (1, check(None, "good.toml")[1], check("x")[2])
    assert check("x", "absent.toml")[0] == 2
    assert check(GUEST, "absent.toml", "good.toml")[0] == 2


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "usage: "),
        (["--frob", "f.toml"], "usage: "),
        (["--cpus"], "usage: "),
        (["--cpus", "0", "f.toml"], "--cpus 0: it must be a number from 1 to 64"),
        (["--cpus", "65", "f.toml"], "--cpus 65: it must be"),
        (["--cpus", "-1", "f.toml"], "--cpus -1: it must be"),
        (["--cpus", "18446744073709551617", "f.toml"], "it must be"),
        (["--threads", "two", "f.toml"], "--threads two: it must be"),
        (["--memory", "1m", "f.toml"], "--memory 1m: the unit must be K, M or G"),
        (["--modules-from", "absent", "f.toml"], "absent cannot be read: No such file or directory"),
        (["absent.toml"], "absent.toml cannot be read: No such file or directory"),
        (["."], ". cannot be read: Is a directory"),
    ],
)
def test_what_cannot_be_used(check, tmp_path, arguments, words):
    (tmp_path / "f.toml").write_text(GUEST)
    status, out, errors = check(None, *arguments)
    assert (status, out) == (2, "")
    assert words in errors


def test_help(check):
    status, out, errors = check(None, "--help")
    assert (status, errors) == (0, "")
    assert out.startswith("usage: ")


# ---- Hostile files


def test_what_is_no_configuration_at_all(check):
    """Twenty lines are enough to see that; the last one counts the rest."""
    status, out, errors = check("just a text\n" * 100)
    lines = errors.splitlines()
    assert (status, out, len(lines)) == (1, "", 21)
    assert lines[0].startswith("f.toml:1:1: ")
    assert lines[20] == "f.toml:10:6: ... 181 more mistakes are left out"
    assert check("just a text\n" * 9)[2].count("\n") == 19
    assert check("just a text\n" * 10 + GUEST + "x = 1\n")[2].endswith("f.toml:16:1: ... 1 more mistake is left out\n")


def test_standard_input(check):
    status, out, _ = check(None, "-", stdin=GUEST.encode())
    assert (status, out.split(":")[0]) == (0, "<stdin>")
    assert check(None, "-", stdin=b"")[2].startswith("<stdin>:1:1: there is no guest")


def test_huge_files(check, tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    refused(check(None, "huge"), f"huge:1:1: the file has {1 << 40} bytes; 1048576 are the most")
    assert check(None, "/dev/zero")[0] == 1
    most = GUEST.encode().ljust(1 << 20, b"\n")
    assert check(most)[0] == 0
    refused(check(most + b"\n"), "f.toml:1:1: the file has 1048577 bytes; 1048576 are the most")


NO_TEXT = {
    "a zero": b"\0",
    "a zero at the end": GUEST.encode() + b"\0",
    "every byte": bytes(range(256)) * 100,
    "no UTF-8": b"\xff" * 70000,
    "only brackets": b"[" * 1000,
}


@pytest.mark.parametrize("text", NO_TEXT.values(), ids=NO_TEXT)
def test_bytes_that_are_no_text(check, text):
    status, out, errors = check(text)
    assert (status, out) == (1, "")
    assert re.fullmatch(r"(f\.toml:\d+:\d+: [ -~]+\n)+", errors)


def test_corpus(check):
    """What the fuzzers found: each gets a verdict, and only a file with messages is refused."""
    folder = ROOT / "tests/fuzz/corpus/config"
    paths = sorted(path for path in folder.iterdir() if path.is_file())
    verdicts = []
    for path in paths:
        status, _, errors = check(path.read_bytes(), "--explain")
        assert (status, errors == "") in ((0, True), (1, False)), path
        verdicts.append(status)
    assert set(verdicts) == {0, 1}


# ---- The READMEs' lists of keys


TABLES = {"hypervisor": "[hypervisor]\nx = 1\n" + GUEST, "guest": GUEST + "x = 1\n"}


def keys_of(check, table):
    """The keys that the parser knows, by its own words."""
    return set(re.search(r"the keys are ([\w, ]+)\n", check(TABLES[table])[2])[1].split(", "))


def section_rows(path):
    """{table: {key: the cells of its row, its own included}} of a README whose rows begin with a key in backticks."""
    tables, current = {"hypervisor": {}, "guest": {}}, None
    for line in (ROOT / path).read_text().splitlines():
        header = re.match(r"(?:### |\| \*\*)`\[(hypervisor|guest)", line)
        if header:
            current = tables[header[1]]
        elif line.startswith("#"):
            current = None
        row = re.match(r"\| `(\w+)` \|", line)
        if row and current is not None:
            assert row[1] not in current, f"{path} lists {row[1]} twice"
            current[row[1]] = [cell.strip() for cell in line.strip("|").split("|")]
    return tables


@pytest.mark.parametrize("path", ["guests/README.md", "README.md"])
@pytest.mark.parametrize("table", TABLES)
def test_readme_lists_every_key(check, path, table):
    supported = {key for key, cells in section_rows(path)[table].items() if "not yet" not in cells}
    assert supported == keys_of(check, table)


def test_readme_lists_every_device(check):
    named = re.search(r"the devices are (.*)", check(GUEST + 'devices = ["zzzzzzzz"]\n')[2])[1]
    row = section_rows("guests/README.md")["guest"]["devices"]
    assert set(re.findall(r"`(\w+)`", row[2])) == set(re.findall(r'"(\w+)"', named))


# What an example needs beside itself.
BOOTS = {"modules": "multiboot", "initrd": "linux", "cmdline": "linux"}
BESIDE = {"0x10000": 'entry = "1000:0000"\n'}


def test_examples_of_the_readme_are_valid(check):
    """Each example of each key is taken; a key without one is not yet supported."""
    tried = 0
    for table, rows in section_rows("guests/README.md").items():
        for key, cells in rows.items():
            examples = re.findall(r"`([^`]+)`", cells[4])
            assert examples or "not yet" in cells[2], key
            for example in examples:
                status, _, errors = check(example_file(table, key, example))
                assert status == 0, f"{key} = {example}: {errors}"
                tried += 1
    assert tried > 20


def example_file(table, key, example):
    if table == "hypervisor":
        return f"[hypervisor]\n{key} = {example}\n" + GUEST.replace("guest.a", "guest.linux")
    guest = GUEST.replace('"flat"', f'"{BOOTS.get(key, "flat")}"')
    guest = re.sub(rf"^{key} = .*\n", "", guest, flags=re.MULTILINE)
    return guest + f"{key} = {example}\n" + BESIDE.get(example, "")

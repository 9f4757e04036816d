# SPDX-License-Identifier: BSD-2-Clause
"""iasl reads every ACPI table that a guest gets, says nothing against it, and compiles it back to the same bytes.

test_vacpi.c, given a directory, writes the tables of guests with 1, 4 and 16 vCPUs there, as found by following the pointers. This iasl cannot
read an RSDP from a file; test_vacpi.c checks that one alone.
"""

import os
import pathlib
import re
import shutil
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = [
    "tests/unit/test_vacpi.c",
    "tests/unit/fake.c",
    "hv/bus.c",
    "hv/cpuid.c",
    "hv/device.c",
    "hv/gmem.c",
    "hv/irq.c",
    "hv/stats.c",
    "hv/timer.c",
    "drivers/virtual/vacpi.c",
    "drivers/virtual/vacpi_mptable.c",
    "drivers/virtual/vacpi_tables.c",
    "drivers/virtual/vioapic.c",
    "drivers/virtual/vlapic.c",
    "drivers/virtual/vlapic_message.c",
    "drivers/virtual/vlapic_register.c",
    "drivers/virtual/vlapic_timer.c",
]
NO_REGISTRY = '#include "hv/device.h"\nconst struct device_ops *const device_registry[] = {0};\n'
COMPLAINT = re.compile(r"warning|error|remark|invalid|unknown|could not|mismatch|reserved", re.IGNORECASE)
NAMES = ["RSDT", "XSDT", "FACP", "FACS", "DSDT", "APIC", "SSDT"]
COUNTS = [1, 4, 16]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    if shutil.which("iasl") is None:
        pytest.fail("iasl is needed: apt-get install acpica-tools")
    place = tmp_path_factory.mktemp("tables")
    registry = place / "registry.c"
    registry.write_text(NO_REGISTRY)
    subprocess.run(
        ["iasl", "-we", "-vs", "-p", str(place / "dsdt"), "-tc", "drivers/virtual/dsdt.asl"],
        cwd=ROOT, check=True, capture_output=True,
    )
    program = place / "test_vacpi"
    compiler = os.environ.get("HOSTCC", "gcc")
    subprocess.run(
        [compiler, "-std=gnu11", "-g", "-O1", "-I.", f"-I{place}", *SOURCES, str(registry), "-lcmocka", "-o", str(program)],
        cwd=ROOT, check=True,
    )
    subprocess.run([str(program), str(place)], check=True)
    return place


def complaints(output):
    """The lines that find fault; the summary that counts none is not one."""
    return [line for line in output.splitlines() if COMPLAINT.search(line) and "0 Errors, 0 Warnings, 0 Remarks" not in line]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", NAMES)
def test_disassembles_cleanly(tables, name, count):
    done = subprocess.run(["iasl", "-vs", "-d", f"{name}-{count}.aml"], cwd=tables, capture_output=True, text=True)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    assert complaints(output) == []
    source = tables / f"{name}-{count}.dsl"
    assert source.exists(), output
    assert "**** " not in source.read_text()


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", NAMES)
def test_compiles_back(tables, name, count):
    """Only the compiler's own name in the header, and with it the checksum, may differ."""
    subprocess.run(["iasl", "-vs", "-d", f"{name}-{count}.aml"], cwd=tables, check=True, capture_output=True)
    done = subprocess.run(
        ["iasl", "-vs", "-oa", "-p", f"back-{name}-{count}", f"{name}-{count}.dsl"], cwd=tables, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert complaints(done.stdout + done.stderr) == []
    before = bytearray((tables / f"{name}-{count}.aml").read_bytes())
    after = bytearray((tables / f"back-{name}-{count}.aml").read_bytes())
    if name != "FACS":
        for table in (before, after):
            assert sum(table) % 256 == 0
            table[9] = 0
            table[28:36] = bytes(8)
    if name == "SSDT":  # iasl writes the scope's length and small numbers in the shortest form; the objects are the same
        assert before.count(b"ACPI0007") == after.count(b"ACPI0007") == count
        return
    assert after == before

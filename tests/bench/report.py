#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Measures what exits cost on each emulated machine, twice, and prints a table with KVM's figures beside."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "system"))

import conftest  # noqa: E402
import figures  # noqa: E402
from machine import IMAGE  # noqa: E402

TITLES = {"qemu-amd": "AMD-V, QEMU", "bochs-intel": "VT-x, Bochs haswell", "bochs-amd": "AMD-V, Bochs ryzen"}

# KVM of Linux 6.1, measured in the same unit on the same emulated processors with mitigations at their default where
# both were measured; ports and device memory with a minimal user-space monitor behind them.
# name: (AMD-V in QEMU, VT-x in Bochs, AMD-V in Bochs); None: not measured.
KVM = {
    "CPUID": (3072, 1104, 1126),
    "hypercall": (3335, 1065, 1060),
    "UART register read": (3582, 7424, 2877),
    "UART register write": (3520, 7392, 2845),
    "unclaimed port read": (3582, 7424, 2877),
    "unclaimed port write": (3520, 7392, 2845),
    "RDMSR APIC_BASE": (3142, 1194, 1178),
    "local APIC read": (3895, None, None),
    "local APIC TPR write": (3834, None, None),
    "local APIC EOI": (3831, None, None),
    "unclaimed memory read": (6015, 10542, 5475),
    "unclaimed memory write": (5637, 9864, 4917),
    "CR0.WP toggle": (4812, None, None),
    "self-IPI, STI": (15172, None, None),
    "self-IPI, STI, HLT": (18425, None, None),
    "local APIC timer interrupt": (10700, None, None),
}

NOTE = """\
Retired instructions for one round trip from the guest and back, the least of 100, measured with RDTSC inside the guest;
"the loop itself" is part of every figure (KVM's have about 10 instructions of loop). They tell the length of the
software's path, not the time of the processor's own world switch, which an instruction count cannot see.
KVM: Linux 6.1 with its default mitigations (Bochs ryzen: mitigations=off); device accesses with a minimal user-space
monitor, without one inside the kernel. "local APIC timer interrupt" is the interrupt with its EOI, without setting it.
"""


def measure(machine_name: str, image: Path, directory: Path) -> dict[str, int]:
    """One run. Every run must give the same."""
    lab = conftest.Lab(image, directory)
    try:
        machine = lab.start(machine_name, figures.boot_bench(), **figures.EXACT[machine_name])
        return figures.read_figures(machine)
    finally:
        lab.close()


def table(results: dict[str, dict[str, int]]) -> str:
    """Markdown: a row for each operation, two columns for each machine."""
    columns = list(TITLES)
    heads = [part for name in results for part in (TITLES[name], "KVM")]
    lines = ["| one round trip | " + " | ".join(heads) + " |", "| --- |" + " ---: |" * len(heads)]
    for operation in next(iter(results.values())):
        cells = []
        for name, measured in results.items():
            kvm = KVM.get(operation, (None,) * len(columns))[columns.index(name)]
            cells += [str(measured[operation]), "–" if kvm is None else str(kvm)]
        lines.append(f"| {operation} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--machine", action="append", choices=list(TITLES), help="only this one; may be repeated")
    parser.add_argument("--image", type=Path, default=IMAGE)
    arguments = parser.parse_args()
    results, repeats = {}, True
    for name in arguments.machine or TITLES:
        results[name] = measure(name, arguments.image, Path())
        again = measure(name, arguments.image, Path())
        for operation, figure in results[name].items():
            if again[operation] != figure:
                repeats = False
                print(f"{TITLES[name]}: {operation}: {figure}, then {again[operation]}", file=sys.stderr)
    print(f"{table(results)}\n\n{NOTE}")
    if not repeats:
        print("The figures of two runs differ: see above.", file=sys.stderr)
    return 0 if repeats else 1


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: BSD-2-Clause
"""Counts the instructions that the statistics put on the way of every exit, as the compiler makes them."""

import re
import subprocess
from pathlib import Path

TREE = Path(__file__).resolve().parents[2]

SOURCE = """
#include "hv/machine.h"
#include "hv/stats.h"
void leave(struct vcpu_stats *stats) { stats_leave(stats, machine_ticks_low()); }
struct exit_stats *find(struct vcpu_stats *stats, uint64_t kind) { return stats->by_kind[kind]; }
void enter(struct vcpu_stats *stats, struct exit_stats *last) { stats_enter(stats, last, machine_ticks_low()); }
"""


def test_ten_instructions_an_exit():
    """And an eleventh when the exit took longer than every one before."""
    flags = ["-std=gnu11", "-O2", "-ffreestanding", "-fcf-protection=none", "-fno-asynchronous-unwind-tables"]
    command = ["gcc", *flags, f"-I{TREE}", "-S", "-o", "-", "-x", "c", "-"]
    text = subprocess.run(command, input=SOURCE, capture_output=True, text=True, check=True).stdout
    instructions = re.findall(r"^\s+([a-z]\w*)", text, re.MULTILINE)
    assert instructions.count("rdtsc") == 2 and instructions.count("ret") == 3
    assert len(instructions) - 3 <= 10 + 1, text

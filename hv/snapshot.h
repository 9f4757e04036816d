/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's registers at one moment, in memory that other CPUs may read, and in words.
 */
#ifndef HV_SNAPSHOT_H
#define HV_SNAPSHOT_H

#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

struct snapshot {
    uint64_t gpr[GPR_COUNT];
    uint64_t rip, rflags, cr0, cr2, cr3, cr4, efer;
    struct segment_register segments[SEGMENT_COUNT];
    struct table_register gdtr, idtr;
};

/* On the vCPU's own CPU. */
void snapshot_take(struct vcpu *vcpu, struct snapshot *snapshot);

/* The text: SNAPSHOT_LINES lines of it, each under 80 characters. */
#define SNAPSHOT_LINES 18u
struct snapshot_text {
    char text[80];
};
struct snapshot_text snapshot_line(const struct snapshot *snapshot, uint32_t number);

#endif

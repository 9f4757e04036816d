/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two halves of a task switch share: the tasks and their structures (task_switch.c), and the segments that a
 * task loads (task_segment.c).
 */
#ifndef HV_TASK_INTERNAL_H
#define HV_TASK_INTERNAL_H

#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

#define SELECTOR_RPL   3u
#define SELECTOR_TABLE 4u /* in the LDT */

#define DESCRIPTOR_TYPE_SHIFT 40u
#define DESCRIPTOR_ACCESS     5u /* the byte that holds the type */
#define DESCRIPTOR_S          BIT(44)
#define DESCRIPTOR_P          BIT(47)
#define DESCRIPTOR_G          BIT(55)

/* Where in guest memory a few bytes lie, over at most one page end: found once, with all faults, before anything is
 * written. */
struct task_bytes {
    gpa_t parts[2];
    uint32_t first; /* bytes in the first part */
    uint32_t size;
};

struct task_descriptor {
    gva_t address; /* of its 8 bytes */
    uint64_t raw;
};

struct task_switch {
    struct vcpu *vcpu;
    /* EXT in the error codes of all that goes wrong: an event, not an instruction of the program, caused the switch. */
    uint16_t external;
    bool committed; /* the new task's registers are loaded: there is no way back */
};

/*
 * Find `size` (up to a page) bytes of a system structure at a linear address. `access` as for gwalk_translate. Returns
 * 0, or an error with the guest's fault raised, or with the guest stopped, or (E_BUSY, never once committed) with
 * nothing done: enter again.
 */
int task_reach(struct task_switch *task, gva_t linear, uint32_t size, unsigned access, struct task_bytes *bytes);
/* Copy all of them. */
void task_bytes_read(struct task_switch *task, const struct task_bytes *bytes, void *to);
void task_bytes_write(struct task_switch *task, const struct task_bytes *bytes, const void *from);

/* Raise a fault that names a selector; always returns an error. */
int task_raise(struct task_switch *task, enum vector vector, uint16_t selector);

/* Fetch the descriptor that a selector names; `vector` is raised when it lies outside of its table. */
int task_descriptor_read(struct task_switch *task, uint16_t selector, enum vector vector,
                         struct task_descriptor *descriptor);

/* A descriptor as a segment register holds it. */
struct segment_register task_segment(uint16_t selector, uint64_t raw);

/*
 * Load the local descriptor table and the segment registers of the new task. `segments` has six selectors in the order
 * of enum segment. Every selector is in its register before the first check, as the processor does it.
 */
int task_load_segments(struct task_switch *task, uint16_t ldt, const uint16_t *segments);

#endif

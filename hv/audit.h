/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Proof before the first guest runs, read back from what the processor will use: the second-stage tables, the
 * hypervisor's own address spaces, and each vCPU's intercepts and permission maps do what the plan says and nothing
 * else. Each function counts into one result; audit_finish says how it ended.
 */
#ifndef HV_AUDIT_H
#define HV_AUDIT_H

#include "hv/extents.h"
#include "hv/pagetable.h"
#include "hv/plan.h"

struct vcpu;

struct audit_result {
    uint32_t guests, spaces, vcpus; /* that were looked at */
    uint64_t mappings;              /* leaves of second-stage tables that were walked */
    uint64_t overlaps;      /* leaves that reach another guest's memory, and pieces that the plan gave to two guests */
    uint64_t reserved;      /* leaves and pieces that reach the hypervisor, its page pool or a boot module */
    uint64_t outside;       /* leaves that lead anywhere else than the guest's own RAM, or to a wrong place in it */
    uint64_t missing_bytes; /* RAM of guests that no leaf leads to: were these the right tables? */
    uint64_t space_faults;  /* what a CPU's own address space must not have */
    uint64_t vcpu_faults;   /* what a vCPU could do without an exit, but must not */
    uint32_t faults;        /* all together */
};

/* Whose pages are whose, outside of guests' RAM: host-physical addresses. */
struct audit_layout {
    const struct plan *plan;
    const struct plan_machine *machine;
    struct extent image, text;        /* the hypervisor, and of it the part that may be executed */
    struct extent arenas[GUESTS_MAX]; /* of the page pool: vCPUs, models and control blocks of each guest */
    struct extent windows[CPUS_MAX];  /* and stacks and variables of each CPU */
};

/*
 * Walk the second-stage tables of all guests of `plan`, `tables[i]` those of guest i; compare the plan's pieces with
 * each other as well. Takes time in proportion to the mappings, and no memory.
 */
void audit_stage2(const struct plan *plan, const struct plan_machine *machine, const struct pagetable *tables,
                  struct audit_result *result);

/*
 * Walk the address space that the hypervisor itself has on a CPU, from its finished table: nothing both writable and
 * executable, no page of another guest or CPU, no page table, no memory that nobody owns.
 */
void audit_space(const struct audit_layout *layout, uint32_t cpu, const struct pagetable *table,
                 struct audit_result *result);

/* Arenas and windows belong to one owner each, and lie in the page pool. */
void audit_layout(const struct audit_layout *layout, struct audit_result *result);

/*
 * What a vCPU may do without an exit: its intercepts, each port, each model-specific register, and the second-stage
 * table that its control block names. On the vCPU's own CPU.
 */
void audit_vcpu(struct vcpu *vcpu, struct audit_result *result);

/* Writes one line with the counts, a second one if there was any fault. Returns 0, or E_FAULT: then no guest may run.
 */
int audit_finish(const struct audit_result *result);

/*
 * For the functions above: count a fault, and log it as "audit: ..." when it is one of the first few. `count` is the
 * field of `result` that counts its kind.
 */
void audit_fault(struct audit_result *result, uint64_t *count, const char *format, ...) PRINTF_LIKE(3, 4);

/* The guest but `self` (PLAN_NOBODY: none) whose RAM has a part of the range, or NULL. */
const struct plan_guest *audit_find_owner(const struct plan *plan, uint32_t self, struct extent range);

/* Do the two share a byte? Does the second hold all of the first? */
static inline bool extent_touches(struct extent range, struct extent other)
{
    return range.base < other.end && other.base < range.end;
}

static inline bool extent_inside(struct extent range, struct extent other)
{
    return other.base <= range.base && range.end <= other.end;
}

#endif

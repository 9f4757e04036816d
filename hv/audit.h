/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Proof before the first guest runs: the finished stage-2 tables, as the processor will walk them, lead where the plan
 * says and nowhere else.
 */
#ifndef HV_AUDIT_H
#define HV_AUDIT_H

#include "hv/pagetable.h"
#include "hv/plan.h"

struct audit_result {
    uint32_t guests;
    uint64_t mappings;      /* leaves that were walked */
    uint64_t overlaps;      /* leaves that reach another guest's memory, and pieces that the plan gave to two guests */
    uint64_t reserved;      /* leaves and pieces that reach the hypervisor, its page pool or a boot module */
    uint64_t outside;       /* leaves that lead anywhere else than the guest's own RAM, or to a wrong place in it */
    uint64_t missing_bytes; /* RAM of guests that no leaf leads to: were these the right tables? */
};

/*
 * Walk the tables of all guests of `plan`, `tables[i]` those of guest i. Writes one line with the counts, and one line
 * for each of the first faults. Returns 0, or E_FAULT when there was any: then no guest may run. Takes time in
 * proportion to the mappings, and no memory.
 */
int audit_stage2(const struct plan *plan, const struct plan_machine *machine, const struct pagetable *tables,
                 struct audit_result *result);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Deliveries of an exception that raise the next one, without end: the guest never executes an instruction again. The
 * intercepts of #DB and #AC keep the processor itself out of such a loop; this notices it.
 */
#ifndef HV_EXCEPTION_LOOP_H
#define HV_EXCEPTION_LOOP_H

#include "hv/types.h"

struct vcpu;
struct vmexit;

/* So many deliveries in a row, none of which came to an instruction, are endless. */
#define EXCEPTION_LOOP_MAX 1000u

/* What a vCPU remembers of it. */
struct exception_loop {
    uint64_t rip;
    uint32_t count;
};

/*
 * An intercepted exception has come, and nothing has been done about it yet. Returns true when it is one of an endless
 * row.
 */
bool exception_loops(struct vcpu *vcpu, const struct vmexit *exit);

#endif

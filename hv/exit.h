/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What happens at each kind of exit: one table of handlers for both vendors.
 */
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include "hv/types.h"
#include "hv/virt.h"

struct vcpu;

/* What the run loop does next. A guest that has to stop asks for it with a request, which the top of the loop serves.
 */
enum verdict {
    RESUME,       /* enter again where RIP is */
    RESUME_AFTER, /* ... behind the instruction */
    BLOCK,        /* ... behind it, but not before an event comes */
};

/* By kind of exit. */
extern enum verdict (*const exit_handlers[EXIT_KIND_COUNT])(struct vcpu *vcpu, struct vmexit *exit);

/* Serve one exit. */
static inline enum verdict exit_handle(struct vcpu *vcpu, struct vmexit *exit)
{
    return exit_handlers[exit->kind](vcpu, exit);
}

/* The name of a kind of exit, for traces and statistics. */
const char *exit_name(enum exit_kind kind);

#endif

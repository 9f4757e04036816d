/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A finished plan in words: who owns what, and what of it a user may not expect.
 */
#ifndef HV_PLAN_DESCRIBE_H
#define HV_PLAN_DESCRIBE_H

#include "hv/plan.h"

/*
 * Write, one `line` a call (printable ASCII, no line end, under 200 characters), the owner of each CPU, of all memory
 * in the order of its addresses, of the ports, and of the devices. `plan` is one that plan_make made for `machine`.
 */
void plan_describe(const struct plan *plan, const struct plan_machine *machine,
                   void (*line)(void *context, const char *text), void *context);

/*
 * Write, in the same way, only what is worth a look: guests whose memory is far from their CPUs, guests that share a
 * core, and a monitor CPU that shares one. Nothing on a machine of one node whose cores have one thread each.
 */
void plan_remarks(const struct plan *plan, const struct plan_machine *machine,
                  void (*line)(void *context, const char *text), void *context);

#endif

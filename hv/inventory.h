/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For a user who has no configuration yet: what the machine has, and a file to start with.
 */
#ifndef HV_INVENTORY_H
#define HV_INVENTORY_H

#include "hv/plan.h"

/*
 * Write, one `line` a call (printable ASCII, no line end, under 200 characters): the CPUs, the memory and the boot
 * modules of the machine, then a configuration of one guest. plan_make takes that on this machine, when it has a module
 * for a kernel and memory enough for a guest; where it has not, a line says so.
 */
void plan_describe_machine(const struct plan_machine *machine, void (*line)(void *context, const char *text),
                           void *context);

#endif

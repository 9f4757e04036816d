/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell: commands typed at the console to look at guests and to control them. It belongs to the monitor's CPU,
 * works in small steps between that CPU's other duties, and asks something of a guest only when a command names that
 * guest.
 */
#ifndef HV_SHELL_H
#define HV_SHELL_H

#include "hv/config.h"
#include "hv/plan.h"
#include "hv/types.h"

/* Before guests run: offer the shell to the console. What it is given stays valid, and as it is, for good. */
void shell_init(const struct config *config, const struct plan *plan, const struct plan_machine *machine);

/* On the monitor's CPU, behind each console_poll: do what is due. Returns true when more is to be done soon. */
bool shell_serve(void);

/* Is someone there? On the monitor's CPU. */
bool shell_is_open(void);

#endif

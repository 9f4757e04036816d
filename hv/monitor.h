/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the hypervisor does besides running guests: it serves the console and the shell, and notices when all guests
 * have stopped, which ends the machine unless someone is at the shell. One CPU does it, whatever else that CPU is at:
 * between exits of its own guest, while that guest rests, or with nothing else to do.
 */
#ifndef HV_MONITOR_H
#define HV_MONITOR_H

#include "hv/types.h"

/* Which CPU it is; until then, the one that booted. Before guests run. */
void monitor_init(uint32_t cpu);

/*
 * Do what is due. From any CPU, often; on others than the monitor's nothing ever is. Returns the tick at which
 * something is due next, TIMER_NEVER there.
 */
uint64_t monitor_serve(void);

/*
 * As machine_wait, until `deadline_ticks` at most, with the CPU's timer set for that; the monitor's work goes on. May
 * return for no reason.
 */
void monitor_wait(const uint32_t *stop_when_set, uint64_t deadline_ticks);

/* Serve until every guest has stopped, and nobody is at the shell who might start one again. On the monitor's CPU, when
 * it runs no guest. */
void monitor_run(void);

#endif

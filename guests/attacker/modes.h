/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Steps outside of 64-bit mode, for stages that pass and for those that end the guest. modes.S has them.
 */
#ifndef GUESTS_ATTACKER_MODES_H
#define GUESTS_ATTACKER_MODES_H

#include "hv/types.h"

/* Run a step in 32-bit mode without paging, interrupts off; an exception ends it. Not within a probe. */
void mode_step(void (*step)(void));

/* How many steps have ended in an exception. */
uint32_t mode_step_faults(void);

/* modes.S; only mode_step calls it. */
void mode_trip(void (*step)(void));

void step_ports(void);
void step_memory(void);
void step_registers(void);
void step_cr4(void);
void step_task_call(void);
void step_task_gate(void);
void step_task_tiny(void);
void step_task_lost(void);
void step_task_busy(void);
void step_task_return(void);
void step_task_far(void);
void step_long_mode_16(void);
void step_far(void);
void step_v86(void);
void step_real(void);

#endif

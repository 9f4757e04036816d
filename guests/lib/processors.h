/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's processors: how many, which one runs, how another is started and given work. A processor's number
 * is its APIC id, 0 to LIB_CPUS_MAX - 1; 0 is the boot processor.
 */
#ifndef GUESTS_LIB_PROCESSORS_H
#define GUESTS_LIB_PROCESSORS_H

#include "hv/types.h"

#define LIB_CPUS_MAX 16u /* CPUS in start.S */

/* The MADT's count, at most LIB_CPUS_MAX. */
uint32_t processor_count(void);

/* The processor that runs this; from the task register, so that no MSR changes it. */
uint32_t processor_number(void);

/*
 * INIT, start-up IPI, and wait until the processor says that it is there, for a second at most. Returns whether it
 * is. One that has started waits for processor_call.
 */
bool processor_start(uint32_t number);
/* All others; returns how many run then, the boot processor included. */
uint32_t processor_start_all(void);

/* Run `function` on another processor that has started: give it and go on; wait until it has returned. */
void processor_call(uint32_t number, void (*function)(void *argument), void *argument);
void processor_wait(uint32_t number);

/* How often the processor has come out of its trampoline. An INIT takes it back to waiting for a start-up IPI. */
uint32_t processor_starts(uint32_t number);

/* Put the start-up code into page `page` (0 to 0xff), which is then the vector of a start-up IPI; TRAMPOLINE_PAGE has
 * it. */
#define TRAMPOLINE_PAGE 0x08u
void processor_place_trampoline(uint8_t page);

#endif

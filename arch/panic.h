/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of the hypervisor: a bug of ours. Registers, a backtrace with names, and what each CPU was doing.
 */
#ifndef ARCH_PANIC_H
#define ARCH_PANIC_H

#include "hv/types.h"

struct trap_frame;

/* An exception that nothing expected. */
_Noreturn void panic_trap(const struct trap_frame *frame);

/* From the NMI handler: when another CPU panicked, note where this one was and stop here. */
void panic_stop_if_asked(uint64_t rip);

/* What to do once all is said (default: halt). Runs with interrupts off. */
void panic_set_end(void (*end)(void));

/* The function that holds an address of the image, and the offset in it; NULL when it is none. */
const char *symbol_find(uint64_t address, uint64_t *offset);

#endif

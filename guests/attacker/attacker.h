/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the attacker's stages share.
 */
#ifndef GUESTS_ATTACKER_ATTACKER_H
#define GUESTS_ATTACKER_ATTACKER_H

#include "guests/lib/lib.h"

/* A stage: `run` returns how many of `what` it did. Those that end the guest do not return when all is well. */
struct attack {
    const char *name;
    const char *what; /* "ports read and written" */
    uint64_t (*run)(void);
};

/* By file; each ends with an entry without a name. */
extern const struct attack attacks_on_registers[], attacks_on_instructions[], attacks_on_memory[], attacks_on_code[],
    attacks_on_interrupts[], attacks_on_ports[], attacks_by_load[], attacks_by_mode[];
extern const struct attack attacks_that_end[];

extern bool attacker_quick; /* do a sample of each sweep */
extern bool attacker_quiet; /* leave the console to others */

/* Once: page tables for windows, handlers. memory.c. */
void attacker_prepare(void);

/* RAM that is free for stages, up to memory_end(). */
uint64_t attacker_scratch(void);

uint64_t attacker_random(void);

#define NO_FAULT (-1)

/*
 * Call a function in ring 0, or in ring 3, and return the vector of the exception that it raised, or NO_FAULT.
 * `result` (or NULL) gets what it returned.
 */
int attacker_try(uint64_t (*function)(uint64_t argument), uint64_t argument, uint64_t *result);
int attacker_try_user(uint64_t (*function)(uint64_t argument), uint64_t argument);

/*
 * A page of linear addresses for each processor of which it alone has the tables, far from all else. map shows a
 * physical page there (with PAGE_* bits of the entry, or 0: not present); returns the linear address.
 */
#define WINDOW_PAGES  8u
#define PAGE_PRESENT  BIT(0)
#define PAGE_WRITE    BIT(1)
#define PAGE_USER     BIT(2)
#define PAGE_UNCACHED (BIT(3) | BIT(4))
#define PAGE_ALL      (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)
uint64_t window_map(unsigned page, uint64_t physical, uint64_t bits);
uint64_t *window_entry(unsigned page); /* its page-table entry */

/* Take what comes on these vectors, with an EOI, and count it. */
#define VECTOR_COUNTED 0xf0u
extern uint32_t interrupts_counted, nmis_counted;
void interrupts_count(uint8_t vector);

/* What a sweep of ports or messages may have left behind: UART, PICs, timers, local APIC as at the start. */
void attacker_repair(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the library's own files: what start.S calls and offers.
 */
#ifndef GUESTS_LIB_INTERNAL_H
#define GUESTS_LIB_INTERNAL_H

#include "guests/lib/lib.h"

#define LIB_STACK_SIZE 0x4000u /* STACK_SIZE in start.S */

/* Where C begins, on the boot processor and on the others; start.S calls them. */
_Noreturn void lib_main(void);
_Noreturn void lib_other_main(uint32_t number);

/* Descriptor tables of this processor: GDT, task register, IDT. The boot processor goes first. */
void processor_load_tables(uint32_t number);

void interrupt_dispatch(struct interrupt_frame *frame);

struct probe {
    uint64_t stack; /* first: start.S writes it */
    struct probe *outer;
    struct fault fault;
};
bool probe_enter(struct probe *probe, void (*function)(void *argument), void *argument);
void probe_leave(void); /* no function: where the dispatcher returns to */

uint64_t user_enter(uint64_t (*function)(uint64_t argument), uint64_t argument, uint64_t stack_top,
                    uint64_t *kernel_stack);
void user_leave(void); /* an interrupt's entry */

/* The code of vector N is at 16 * N. */
extern const uint8_t interrupt_entries[256][16];
extern const uint8_t trampoline[], trampoline_end[];
extern uint8_t stacks[][LIB_STACK_SIZE];
extern uint32_t boot_information; /* EBX as the loader gave it */
extern const uint8_t image_end[];

/* The local APIC of this processor: which mode it is in, and software-enabled. */
void apic_start(void);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What our own guests are written with: a console, checks, options, exceptions that are expected, ring 3, the end.
 * A guest defines guest_name and guest_main, and runs in 64-bit mode, ring 0, interrupts off, with the first 4 GiB
 * where they are. More: guests/lib/apic.h, processors.h, clock.h, tables.h, hypercall.h; instructions are in
 * arch/x86.h.
 */
#ifndef GUESTS_LIB_LIB_H
#define GUESTS_LIB_LIB_H

#include "hv/multiboot.h"
#include "hv/types.h"

/* ---- What a guest defines ---- */

extern const char guest_name[]; /* "smp": in front of the library's own lines */
void guest_main(void);          /* on the boot processor; when it returns, the machine goes off */

/* ---- Console: COM1, polled. Lines of several processors do not mix. ---- */

/* At most 511 characters at a time; the formats of hv/format.h. End lines with "\n". */
void print(const char *format, ...) PRINTF_LIKE(1, 2);

/* ---- Checks, from any processor ---- */

/* Count a check; one that fails prints "NAME: FAILED: " and the text. Returns `passed`. */
bool check(bool passed, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same for two numbers, which the line of a failure shows. */
bool check_equal(uint64_t found, uint64_t expected, const char *format, ...) PRINTF_LIKE(3, 4);

uint32_t checks_made(void);
uint32_t checks_failed(void);

/* ---- Options: the command line has words NAME and NAME=VALUE ---- */

bool option_given(const char *name);
/* Decimal, or hexadecimal behind 0x; `otherwise` when it is not given or no number. */
uint64_t option_number(const char *name, uint64_t otherwise);
/* Copy the value, cut to `size` - 1 characters. Returns false when it is not given. */
bool option_text(const char *name, char *value, size_t size);

/* ---- The machine ---- */

extern const struct multiboot_info *boot_info; /* as the loader left it */
/* Nothing of ours lies from memory_free() up to memory_end(), the end of RAM below 4 GiB. */
uint64_t memory_free(void);
uint64_t memory_end(void);
/* A sum over bytes in which their places count; `size` is a multiple of 8. */
uint64_t memory_checksum(const void *bytes, size_t size);

extern uint64_t page_root[512]; /* CR3 of all processors. Tables for 4 GiB follow: 2 MiB pages, open to ring 3 */
extern uint64_t page_pointers[512];
extern uint64_t page_directories[4 * 512];

_Noreturn void power_off(void);                                 /* ACPI S5 */
_Noreturn void reset(void);                                     /* the reset register of the FADT */
_Noreturn void fail(const char *format, ...) PRINTF_LIKE(1, 2); /* "NAME: " and the text, then power_off */
_Noreturn void halt_for_good(void);                             /* CLI; HLT on this processor */

/* ---- Interrupts and exceptions ---- */

struct interrupt_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error_code;
    uint64_t rip, cs, rflags, rsp, ss;
};
typedef void interrupt_handler(struct interrupt_frame *frame);

/*
 * Who handles a vector, on all processors; NULL takes it away. A handler may change the frame; the EOI is its own to
 * send. An exception without a handler, outside of a probe, ends in fail(); an interrupt without one is an EOI.
 */
void interrupt_handle(uint8_t vector, interrupt_handler *handler);

#define LIB_VECTOR_USER_END 0x80u /* the library's own */

void interrupts_on(void); /* STI; the way back is interrupts_off of arch/x86.h */

/* ---- Faults that are expected ---- */

struct fault {
    uint8_t vector;
    uint32_t error_code;
    uint64_t rip;
    uint64_t address; /* CR2 */
};

/*
 * Call `function`; when it raises an exception that nobody handles, give it up where it is and return true with what
 * it was. Registers, stack and RFLAGS are then those of the caller; control registers, segments, MSRs are as
 * it left them. Probes nest, and each processor has its own.
 */
bool probe(void (*function)(void *argument), void *argument, struct fault *fault);

/* A register access in a probe: false when it faults. */
bool probe_msr_read(uint32_t msr, uint64_t *value);
bool probe_msr_write(uint32_t msr, uint64_t value);

/* ---- Ring 3 ---- */

/*
 * Call `function` in ring 3, on a stack of its own, interrupts off; returns what it returns. It may read and write all
 * memory. In a probe, its exceptions end it as any. Not from within itself.
 */
uint64_t user_call(uint64_t (*function)(uint64_t argument), uint64_t argument);

#endif

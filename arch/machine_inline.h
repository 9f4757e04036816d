/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The part of hv/machine.h that has to be inline, because every exit passes through it: unprivileged instructions
 * without memory operands, so that the unit tests run them as they are.
 */
#ifndef ARCH_MACHINE_INLINE_H
#define ARCH_MACHINE_INLINE_H

#include "hv/types.h"

/* The low half of machine_ticks(). */
static inline uint32_t machine_ticks_low(void)
{
    uint32_t low;

    __asm__ volatile("rdtsc" : "=a"(low) : : "edx");
    return low;
}

/*
 * The number of the highest set bit, 0 for 0: of a source that is 0, BSR leaves its destination alone, which is the
 * same register here (Intel SDM vol. 2A, "BSR—Bit Scan Reverse"; AMD APM vol. 3, "BSR"). A compiler's builtin leaves
 * that result undefined, and the test around it would cost each exit two instructions.
 */
static inline uint64_t machine_highest_bit(uint64_t value)
{
    __asm__("bsr %0, %0" : "+r"(value) : : "cc");
    return value;
}

#endif

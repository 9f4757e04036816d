/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks by sheer number: exits of the cheapest and the dearest kind, output without end, all caches and all of the
 * memory bandwidth.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "hv/string.h"

/* With interrupts off, so that nothing but the hypervisor's own timer comes in between. */
static uint64_t exit_storm(void)
{
    uint32_t count = attacker_quick ? 20000 : 200000;
    uint32_t eax, ebx, ecx, edx;
    uint64_t value;

    for (uint32_t i = 0; i < count; i++) {
        switch (i % 4) {
        case 0: cpuid(0, 0, &eax, &ebx, &ecx, &edx); break;
        case 1: out8(0x80, (uint8_t)i); break;
        case 2: value = msr_read(MSR_APIC_BASE); break;
        default: (void)*(volatile uint32_t *)(uintptr_t)0xfee00020; break;
        }
    }
    value = cr0_read();
    return count + (value == 0);
}

/* Printable text: it goes to a person's terminal. */
static uint64_t output_storm(void)
{
    uint32_t count = attacker_quiet ? 0 : attacker_quick ? 200 : 2000;

    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t column = 0; column < 60; column++)
            out8(0x3f8, (uint8_t)('a' + (i + column) % 26)); /* without a look whether there is room */
        out8(0x3f8, '\n');
    }
    if (!attacker_quiet)
        print("\n");
    return count;
}

static uint64_t memory_storm(void)
{
    volatile uint64_t *words = (volatile uint64_t *)(uintptr_t)attacker_scratch();
    size_t count = min_u64(memory_end() - attacker_scratch(), MIB(attacker_quick ? 2 : 16)) / sizeof(*words);
    uint64_t sum = 0;

    for (size_t i = 0; i < count; i += 8)
        words[i] = i;
    for (size_t i = 0; i + 8 < count; i += 8) {
        if (i % 4096 == 0) /* a locked access across a cache line */
            __asm__ volatile("lock addl $0, 62(%0)" : : "r"(&words[i]) : "memory", "cc");
        sum += words[i] != i;
    }
    check_equal(sum, 0, "words of our own memory that have changed");
    return count;
}

const struct attack attacks_by_load[] = {
    {"exit-storm", "exits with interrupts off", exit_storm},
    {"output-storm", "lines written at once", output_storm},
    {"memory-storm", "words written and read", memory_storm},
    {NULL, NULL, NULL},
};

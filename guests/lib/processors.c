/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The other processors: INIT, start-up IPI, and work for those that run.
 */
#include "guests/lib/processors.h"

#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/internal.h"
#include "guests/lib/tables.h"
#include "hv/string.h"

#define START_TRIES   10000u
#define START_WAIT_US 100u

/* What one processor asks of another; a line of the cache for each. */
struct work {
    ALIGNED(64) void (*function)(void *argument); /* NULL: none */
    void *argument;
    uint32_t starts;
};
static struct work work[LIB_CPUS_MAX];

uint32_t processor_count(void)
{
    static uint32_t count;
    uint32_t ids[LIB_CPUS_MAX];

    if (count == 0)
        count = (uint32_t)min_u64(max_u64(tables_madt(ids, LIB_CPUS_MAX), 1), LIB_CPUS_MAX);
    return count;
}

uint32_t processor_starts(uint32_t number)
{
    return __atomic_load_n(&work[number].starts, __ATOMIC_ACQUIRE);
}

_Noreturn void lib_other_main(uint32_t number)
{
    processor_load_tables(number);
    apic_start();
    work[number].function = NULL;
    __atomic_store_n(&work[number].starts, work[number].starts + 1, __ATOMIC_RELEASE);
    for (;;) {
        void (*function)(void *) = __atomic_load_n(&work[number].function, __ATOMIC_ACQUIRE);
        if (function == NULL) {
            cpu_relax();
            continue;
        }
        function(work[number].argument);
        __atomic_store_n(&work[number].function, NULL, __ATOMIC_RELEASE);
    }
}

void processor_place_trampoline(uint8_t page)
{
    memcpy((void *)((uintptr_t)page << PAGE_SHIFT), trampoline, (size_t)(trampoline_end - trampoline));
}

bool processor_start(uint32_t number)
{
    uint32_t before = processor_starts(number);

    processor_place_trampoline(TRAMPOLINE_PAGE);
    apic_send(number, APIC_INIT | APIC_ASSERT);
    apic_send(number, APIC_STARTUP | APIC_ASSERT | TRAMPOLINE_PAGE);
    for (uint32_t tries = 0; tries < START_TRIES; tries++) {
        if (processor_starts(number) != before)
            return true;
        clock_wait_us(START_WAIT_US);
    }
    return false;
}

uint32_t processor_start_all(void)
{
    uint32_t running = 1;

    for (uint32_t number = 1; number < processor_count(); number++) {
        if (processor_start(number))
            running++;
    }
    return running;
}

void processor_call(uint32_t number, void (*function)(void *argument), void *argument)
{
    processor_wait(number);
    work[number].argument = argument;
    __atomic_store_n(&work[number].function, function, __ATOMIC_RELEASE);
}

void processor_wait(uint32_t number)
{
    while (__atomic_load_n(&work[number].function, __ATOMIC_ACQUIRE) != NULL)
        cpu_relax();
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest with several processors tries what operating systems do with them: names and counts, every order of INIT and
 * start-up IPI, every kind of interrupt message in xAPIC and x2APIC mode, one time, one memory. It ends with
 * "smp: N CPUs, all M checks passed". Option: rounds=N does it all N times.
 */
#include "guests/smp/smp.h"
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/lib/lib.h"
#include "guests/lib/processors.h"
#include "guests/lib/tables.h"

const char guest_name[] = "smp";

#define LOCK_ROUNDS 5000u
#define TSC_ROUNDS  5000u

uint32_t cpus;

/* ---- Names and counts ---- */

static uint32_t cpuid_count(void)
{
    uint32_t eax, ebx, ecx, edx;

    cpuid(1, 0, &eax, &ebx, &ecx, &edx);
    return ebx >> 16 & 0xff;
}

static void check_tables(void)
{
    uint32_t ids[LIB_CPUS_MAX], mp_ids[LIB_CPUS_MAX];

    check_equal(tables_madt(ids, LIB_CPUS_MAX), cpus, "processors in the MADT");
    check_equal(tables_mp(mp_ids, LIB_CPUS_MAX), cpus, "processors in the MP table");
    for (uint32_t i = 0; i < cpus; i++) {
        check_equal(ids[i], i, "APIC id in the MADT");
        check_equal(mp_ids[i], i, "APIC id in the MP table");
    }
    check_equal(cpuid_count(), cpus, "processors in CPUID leaf 1");
}

/* On each processor: all that tells its id agrees. */
static void check_own_id(void *expected)
{
    uint32_t number = (uint32_t)(uintptr_t)expected, eax, ebx, ecx, edx, levels = 0, count = 1, package = 0;

    check_equal(processor_number(), number, "processor");
    check_equal(apic_id(), number, "APIC id register");
    cpuid(1, 0, &eax, &ebx, &ecx, &edx);
    check_equal(ebx >> 24, number, "APIC id in CPUID leaf 1");
    cpuid(0, 0, &eax, &ebx, &ecx, &edx);
    for (uint32_t highest = eax; highest >= 0xb; levels++) {
        cpuid(0xb, levels, &eax, &ebx, &ecx, &edx);
        check_equal(edx, number, "x2APIC id in CPUID leaf 0xb, level %u", levels);
        if ((ecx >> 8 & 0xff) == 0)
            break;
        count = ebx & 0xffff;
        package = number >> eax;
    }
    if (levels > 0)
        check_equal(count, cpus, "processors in CPUID leaf 0xb");
    check_equal(package, 0, "package of processor %u by CPUID leaf 0xb", number);
    check_equal(msr_read(MSR_APIC_BASE) >> 8 & 1, number == 0, "boot processor's mark of %u", number);
}

void on_each(void (*function)(void *argument))
{
    for (uint32_t i = 1; i < cpus; i++)
        processor_call(i, function, (void *)(uintptr_t)i);
    function((void *)0);
    for (uint32_t i = 1; i < cpus; i++)
        processor_wait(i);
}

/* ---- One time, one memory ---- */

static struct {
    uint32_t taken;
    uint64_t last_tsc;
    uint64_t backwards, worst;
    uint64_t plain;
    uint64_t added;
} shared;

static void take(void)
{
    while (__atomic_exchange_n(&shared.taken, 1, __ATOMIC_ACQUIRE) != 0)
        cpu_relax();
}

static void give(void)
{
    __atomic_store_n(&shared.taken, 0, __ATOMIC_RELEASE);
}

/* Whoever has the lock looks at the clock: it must not be before its last holder's look. */
static void watch_tsc(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < TSC_ROUNDS; i++) {
        take();
        __asm__ volatile("lfence" : : : "memory");
        uint64_t now = tsc_read();
        if (now < shared.last_tsc) {
            shared.backwards++;
            shared.worst = max_u64(shared.worst, shared.last_tsc - now);
        }
        shared.last_tsc = now;
        give();
    }
}

static void add(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < LOCK_ROUNDS; i++) {
        __atomic_fetch_add(&shared.added, 1, __ATOMIC_SEQ_CST); /* LOCK XADD or LOCK ADD */
        take();
        shared.plain++;
        give();
    }
}

static void check_time_and_memory(void)
{
    shared.last_tsc = shared.backwards = shared.worst = shared.plain = shared.added = 0;
    on_each(watch_tsc);
    check_equal(shared.backwards, 0, "steps of the TSC backwards between processors (the worst: %llu ticks)",
                (unsigned long long)shared.worst);
    on_each(add);
    check_equal(shared.added, (uint64_t)cpus * LOCK_ROUNDS, "locked additions");
    check_equal(shared.plain, (uint64_t)cpus * LOCK_ROUNDS, "additions under a lock");
}

static void use_xapic(void *number)
{
    (void)number;
    apic_use_xapic();
}

static void check_x2apic(void)
{
    if (!apic_x2apic_offered())
        return;
    check_x2apic_messages();
    on_each(check_own_id);
    check_starts();
    on_each(check_own_id);
    check(apic_is_x2apic(), "x2APIC mode of the boot processor");
    check_time_and_memory();
    on_each(use_xapic);
    on_each(check_own_id);
}

void guest_main(void)
{
    cpus = processor_count();
    for (uint64_t round = option_number("rounds", 1); round > 0; round--) {
        check_tables();
        check_equal(processor_start_all(), cpus, "processors that start");
        if (checks_failed() != 0)
            fail("no use to go on");
        on_each(check_own_id);
        check_starts();
        on_each(check_own_id);
        check_messages();
        check_time_and_memory();
        check_x2apic();
    }
    if (checks_failed() == 0)
        print("smp: %u %s, all %u checks passed\n", cpus, cpus == 1 ? "CPU" : "CPUs", checks_made());
    else
        print("smp: %u CPUs, %u of %u checks failed\n", cpus, checks_failed(), checks_made());
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * INIT and start-up IPIs in every order that operating systems send them, without pauses. Intel SDM vol. 3, "MP
 * Initialization Protocol Algorithm".
 */
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/smp/smp.h"

static uint32_t alive[LIB_CPUS_MAX];

static void count_for_ever(void *argument)
{
    (void)argument;
    for (;;)
        __atomic_fetch_add(&alive[processor_number()], 1, __ATOMIC_RELAXED);
}

static void sleep_for_good(void *argument)
{
    (void)argument;
    halt_for_good();
}

static void sleep_with_interrupts(void *argument)
{
    (void)argument;
    for (;;) {
        interrupts_on();
        cpu_halt();
    }
}

static void send_init(uint32_t target)
{
    apic_send(target, APIC_INIT | APIC_ASSERT);
}

static void send_startup(uint32_t target, uint8_t page)
{
    apic_send(target, APIC_STARTUP | APIC_ASSERT | page);
}

/* It has started once more since `before`, and not twice. */
static void check_start(uint32_t target, uint32_t before, const char *how)
{
    for (uint32_t waited = 0; processor_starts(target) == before; waited += STEP_US) {
        if (waited > PATIENCE_US)
            fail("processor %u does not start by %s", target, how);
        clock_wait_us(STEP_US);
    }
    clock_wait_us(SETTLE_US);
    check_equal(processor_starts(target), before + 1, "starts of processor %u by %s", target, how);
}

/* Pages 0 and others, without a pause between the two messages; a second start-up IPI changes nothing. */
static void check_start_orders(uint32_t target)
{
    static const uint8_t pages[] = {0, TRAMPOLINE_PAGE, 0x70};
    uint32_t before;

    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
        processor_place_trampoline(pages[i]);
        before = processor_starts(target);
        send_init(target);
        send_startup(target, pages[i]);
        check_start(target, before, i == 0 ? "INIT, SIPI at once, page 0" : "INIT, SIPI at once");
    }
    before = processor_starts(target);
    send_init(target);
    send_startup(target, 0);
    send_startup(target, 0);
    check_start(target, before, "INIT, SIPI, SIPI at once");

    before = processor_starts(target);
    apic_send(target, APIC_INIT | APIC_ASSERT | APIC_LEVEL);
    apic_send(target, APIC_INIT | APIC_LEVEL);
    clock_wait_us(SETTLE_US);
    check_equal(processor_starts(target), before, "starts of processor %u by INIT alone", target);
    send_startup(target, TRAMPOLINE_PAGE);
    clock_wait_us(SETTLE_US);
    send_startup(target, TRAMPOLINE_PAGE);
    check_start(target, before, "INIT, its de-assert, SIPI, pause, SIPI");

    before = processor_starts(target);
    send_init(target);
    send_init(target);
    send_startup(target, TRAMPOLINE_PAGE);
    check_start(target, before, "INIT, INIT, SIPI at once");
}

/* A processor that waits for its start-up IPI does nothing else, whatever it is sent. */
static void check_waiting(uint32_t target)
{
    uint32_t before;

    processor_call(target, count_for_ever, NULL);
    check(moves(&alive[target]), "processor %u runs", target);
    before = processor_starts(target);
    send_startup(target, TRAMPOLINE_PAGE);
    clock_wait_us(SETTLE_US);
    check_equal(processor_starts(target), before, "starts of processor %u by SIPI while it runs", target);
    check(moves(&alive[target]), "processor %u runs on behind a SIPI", target);

    send_init(target);
    check(rests(&alive[target]), "processor %u stops by INIT", target);
    apic_send(target, APIC_FIXED | APIC_ASSERT | VECTOR_IPI);
    clock_wait_us(SETTLE_US);
    check_equal(processor_starts(target), before, "starts of processor %u by an IPI while it waits", target);
    uint32_t ipis_before = load(&ipis[target]);
    send_startup(target, TRAMPOLINE_PAGE);
    check_start(target, before, "INIT while it ran, IPI, SIPI");
    check(rests(&alive[target]), "processor %u has forgotten what it did before INIT", target);
    check_equal(load(&ipis[target]), ipis_before, "IPIs of processor %u from before its start", target);
}

static void check_sleepers(uint32_t target)
{
    static void (*const sleeps[])(void *argument) = {sleep_for_good, sleep_with_interrupts};

    for (unsigned i = 0; i < ARRAY_SIZE(sleeps); i++) {
        uint32_t before = processor_starts(target);
        processor_call(target, sleeps[i], NULL);
        clock_wait_us(SETTLE_US);
        send_init(target);
        send_startup(target, TRAMPOLINE_PAGE);
        check_start(target, before, i == 0 ? "INIT, SIPI in CLI; HLT" : "INIT, SIPI in STI; HLT");
    }
}

/* One INIT and one start-up IPI for all others, at once. */
static void check_start_of_all(uint8_t page)
{
    uint32_t before[LIB_CPUS_MAX];

    for (uint32_t i = 1; i < cpus; i++)
        before[i] = processor_starts(i);
    processor_place_trampoline(page);
    apic_send(0, APIC_INIT | APIC_ASSERT | APIC_TO_OTHERS);
    apic_send(0, APIC_STARTUP | APIC_ASSERT | APIC_TO_OTHERS | page);
    for (uint32_t i = 1; i < cpus; i++)
        check_start(i, before[i], page == 0 ? "all-but-self INIT, SIPI, page 0" : "all-but-self INIT, SIPI");
}

void check_starts(void)
{
    for (uint32_t i = 1; i < cpus; i++) {
        check_start_orders(i);
        check_waiting(i);
        check_sleepers(i);
    }
    check_start_of_all(0);
    check_start_of_all(TRAMPOLINE_PAGE);
}

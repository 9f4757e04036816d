/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt messages: each kind of destination and delivery, from the boot processor and from another, to processors
 * that sleep. Intel SDM vol. 3, "Issuing Interprocessor Interrupts" and "Lowest Priority Delivery Mode".
 */
#include "arch/x86.h"
#include "guests/lib/apic.h"
#include "guests/smp/smp.h"

uint32_t ipis[LIB_CPUS_MAX];
static uint32_t nmis[LIB_CPUS_MAX];
static uint32_t stop_listening;

static void count_ipi(struct interrupt_frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&ipis[processor_number()], 1, __ATOMIC_RELEASE);
    apic_eoi();
}

static void count_nmi(struct interrupt_frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&nmis[processor_number()], 1, __ATOMIC_RELEASE);
}

static void ignore_wake(struct interrupt_frame *frame)
{
    (void)frame;
    apic_eoi();
}

/* Sleep, and be woken by whatever comes, until told to stop. */
static void listen(void *argument)
{
    (void)argument;
    while (load(&stop_listening) == 0) {
        __asm__ volatile("sti; hlt; cli" : : : "memory");
    }
}

/*
 * Send, and check that exactly the processors of `mask` count one more. The sender is not HLTed: it waits with
 * interrupts on.
 */
static void check_message(const char *what, uint32_t destination, uint32_t command, uint32_t mask, uint32_t *counts)
{
    uint32_t before[LIB_CPUS_MAX];

    for (uint32_t i = 0; i < cpus; i++)
        before[i] = load(&counts[i]);
    apic_send(destination, command | APIC_ASSERT);
    interrupts_on();
    for (uint32_t i = 0; i < cpus; i++) {
        if ((mask >> i & 1) != 0)
            (void)becomes(&counts[i], before[i] + 1);
    }
    clock_wait_us(SETTLE_US / 4);
    interrupts_off();
    for (uint32_t i = 0; i < cpus; i++)
        check_equal(load(&counts[i]), before[i] + (mask >> i & 1), "from processor %u, %s (destination 0x%x), at %u",
                    processor_number(), what, destination, i);
}

static void check_fixed(const char *what, uint32_t destination, uint32_t command, uint32_t mask)
{
    check_message(what, destination, command | APIC_FIXED | VECTOR_IPI, mask, ipis);
}

static uint32_t all_processors(void)
{
    return (1u << cpus) - 1;
}

static uint32_t ipis_of_all(void)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < cpus; i++)
        sum += load(&ipis[i]);
    return sum;
}

/* One of them takes it, whichever. */
static void check_lowest_among_equals(uint32_t destination)
{
    uint32_t before = ipis_of_all();

    apic_send(destination, APIC_LOWEST | APIC_LOGICAL | APIC_ASSERT | VECTOR_IPI);
    interrupts_on();
    for (uint32_t waited = 0; ipis_of_all() == before && waited < PATIENCE_US; waited += STEP_US)
        clock_wait_us(STEP_US);
    clock_wait_us(SETTLE_US);
    interrupts_off();
    check_equal(ipis_of_all(), before + 1, "lowest priority among equals (destination 0x%x)", destination);
}

static void check_shorthands_and_nmis(uint32_t broadcast)
{
    uint32_t self = processor_number(), others = all_processors() & ~(1u << self);

    check_fixed("shorthand self", 0, APIC_TO_SELF, 1u << self);
    check_fixed("shorthand all", 0, APIC_TO_ALL, all_processors());
    check_fixed("shorthand others", 0, APIC_TO_OTHERS, others);
    check_fixed("physical broadcast", broadcast, 0, all_processors());
    check_message("NMI to others", 0, APIC_NMI | APIC_TO_OTHERS, others, nmis);
    check_message("NMI broadcast", broadcast, APIC_NMI, all_processors(), nmis);
    for (uint32_t i = 0; i < cpus; i++) {
        check_fixed("physical", i, 0, 1u << i);
        check_message("NMI", i, APIC_NMI, 1u << i, nmis);
    }
    check_fixed("physical, to nobody", cpus, 0, 0);
}

/* `logical` names a processor in a logical destination; an even one and the next lie in one cluster, in all modes. */
static void check_logical(const char *what, uint32_t (*logical)(uint32_t number))
{
    for (uint32_t i = 0; i < cpus; i++)
        check_fixed(what, logical(i), APIC_LOGICAL, 1u << i);
    for (uint32_t i = 0; i + 1 < cpus; i += 2)
        check_fixed(what, logical(i) | logical(i + 1), APIC_LOGICAL, 3u << i);
}

static uint32_t flat_id(uint32_t number)
{
    return 1u << number;
}

static uint32_t cluster_id(uint32_t number)
{
    return number / 4 << 4 | 1u << number % 4;
}

static uint32_t x2apic_id(uint32_t number)
{
    return number / 16 << 16 | 1u << number % 16;
}

/* An illegal vector is told to its sender. "Error Handling" */
static void check_illegal_vector(void)
{
    apic_write(APIC_ESR, 0);
    apic_write(APIC_ESR, 0);
    check_equal(apic_read(APIC_ESR), 0, "error status before");
    apic_send(0, APIC_FIXED | APIC_ASSERT | APIC_TO_OTHERS | 5);
    apic_write(APIC_ESR, 0);
    check_equal(apic_read(APIC_ESR) & 0x20, 0x20, "error status behind an illegal vector");
    apic_write(APIC_ESR, 0);
}

static void use_flat(void *number)
{
    apic_write(APIC_DFR, APIC_DFR_FLAT);
    apic_write(APIC_LDR, flat_id((uint32_t)(uintptr_t)number) << 24);
}

static void use_cluster(void *number)
{
    apic_write(APIC_DFR, APIC_DFR_CLUSTER);
    apic_write(APIC_LDR, cluster_id((uint32_t)(uintptr_t)number) << 24);
}

static void use_x2apic(void *number)
{
    (void)number;
    apic_use_x2apic();
}

static void raise_tpr(void *number)
{
    (void)number;
    apic_write(APIC_TPR, 0x20);
}

static void lower_tpr(void *number)
{
    (void)number;
    apic_write(APIC_TPR, 0);
}

/* All but the sender sleep; the sender does its checks, and at last wakes the others. */
static void with_sender(uint32_t sender, void (*checks)(void *argument))
{
    __atomic_store_n(&stop_listening, 0, __ATOMIC_RELEASE);
    for (uint32_t i = 1; i < cpus; i++)
        processor_call(i, i == sender ? checks : listen, NULL);
    if (sender == 0) {
        checks(NULL);
    } else {
        listen(NULL);
    }
    for (uint32_t i = 1; i < cpus; i++)
        processor_wait(i);
}

static void done_sending(void)
{
    __atomic_store_n(&stop_listening, 1, __ATOMIC_RELEASE);
    apic_send(0, APIC_FIXED | APIC_ASSERT | APIC_TO_OTHERS | VECTOR_WAKE);
}

static void flat_checks(void *argument)
{
    (void)argument;
    check_shorthands_and_nmis(APIC_BROADCAST8);
    if (cpus <= 8) {
        check_logical("logical, flat", flat_id);
        check_fixed("logical, flat, all", APIC_BROADCAST8, APIC_LOGICAL, all_processors());
        check_lowest_among_equals(APIC_BROADCAST8);
    }
    check_illegal_vector();
    done_sending();
}

static void cluster_checks(void *argument)
{
    (void)argument;
    check_logical("logical, cluster", cluster_id);
    check_fixed("logical, cluster of none", 0xe1, APIC_LOGICAL, 0);
    check_lowest_among_equals(cpus >= 4 ? 0x0f : all_processors());
    done_sending();
}

static void x2apic_checks(void *argument)
{
    uint32_t self = processor_number(), before = load(&ipis[self]);

    (void)argument;
    check_shorthands_and_nmis(UINT32_MAX);
    check_logical("logical, x2APIC", x2apic_id);
    check_fixed("logical, x2APIC, all", all_processors(), APIC_LOGICAL, all_processors());
    check_fixed("logical, x2APIC, cluster of none", 0x00050001, APIC_LOGICAL, 0);
    check_lowest_among_equals(all_processors());
    before = load(&ipis[self]);
    apic_write(APIC_SELF_IPI, VECTOR_IPI);
    interrupts_on();
    check(becomes(&ipis[self], before + 1), "self-IPI register of processor %u", self);
    interrupts_off();
    check_illegal_vector();
    done_sending();
}

/* With every other one busier, the boot processor is the least busy, and then the last one. */
static void check_lowest(uint32_t destination)
{
    for (uint32_t chosen = 0; chosen<cpus; chosen += cpus> 1 ? cpus - 1 : 1) {
        on_each(raise_tpr);
        if (chosen == 0)
            lower_tpr(NULL);
        else
            processor_call(chosen, lower_tpr, NULL);
        for (uint32_t i = 1; i < cpus; i++)
            processor_wait(i);
        uint32_t before[LIB_CPUS_MAX];
        for (uint32_t i = 0; i < cpus; i++)
            before[i] = load(&ipis[i]);
        apic_send(destination, APIC_LOWEST | APIC_LOGICAL | APIC_ASSERT | VECTOR_IPI);
        on_each(lower_tpr);
        __atomic_store_n(&stop_listening, 0, __ATOMIC_RELEASE);
        for (uint32_t i = 1; i < cpus; i++)
            processor_call(i, listen, NULL);
        interrupts_on();
        (void)becomes(&ipis[chosen], before[chosen] + 1);
        clock_wait_us(SETTLE_US);
        interrupts_off();
        done_sending();
        for (uint32_t i = 0; i < cpus; i++)
            check_equal(load(&ipis[i]), before[i] + (i == chosen), "lowest priority is that of %u; IPIs of %u", chosen,
                        i);
        for (uint32_t i = 1; i < cpus; i++)
            processor_wait(i);
    }
}

void check_messages(void)
{
    uint32_t last = cpus - 1;

    interrupt_handle(VECTOR_IPI, count_ipi);
    interrupt_handle(VECTOR_WAKE, ignore_wake);
    interrupt_handle(VECTOR_NMI, count_nmi);
    on_each(use_flat);
    with_sender(0, flat_checks);
    if (cpus > 1)
        with_sender(last, flat_checks);
    if (cpus <= 8)
        check_lowest(APIC_BROADCAST8);
    on_each(use_cluster);
    with_sender(0, cluster_checks);
    if (cpus > 1)
        with_sender(last, cluster_checks);
    on_each(use_flat);
}

void check_x2apic_messages(void)
{
    on_each(use_x2apic);
    with_sender(0, x2apic_checks);
    if (cpus > 1)
        with_sender(cpus - 1, x2apic_checks);
    check_lowest(all_processors());
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks through the interrupt controllers: messages to every id in every mode, IOAPIC entries of every kind, a local
 * APIC that is moved and switched off, timers that never stop. What would end the guest (an INIT to its own boot
 * processor) is left out; see fatal.c.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/lib/apic.h"
#include "guests/lib/clock.h"
#include "guests/lib/processors.h"
#include "hv/virt.h"

uint32_t interrupts_counted, nmis_counted;

static void on_counted(struct interrupt_frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&interrupts_counted, 1, __ATOMIC_RELAXED);
    apic_eoi();
}

static void on_nmi(struct interrupt_frame *frame)
{
    (void)frame;
    __atomic_fetch_add(&nmis_counted, 1, __ATOMIC_RELAXED);
}

void interrupts_count(uint8_t vector)
{
    interrupt_handle(vector, on_counted);
    interrupt_handle(VECTOR_NMI, on_nmi);
}

/* ---- Putting things right ---- */

#define IOAPIC_SELECT (*(volatile uint32_t *)(uintptr_t)0xfec00000)
#define IOAPIC_WINDOW (*(volatile uint32_t *)(uintptr_t)0xfec00010)
#define IOAPIC_PINS   24u
#define PIN_MASKED    BIT(16)

static void ioapic_write(uint32_t index, uint32_t value)
{
    IOAPIC_SELECT = index;
    IOAPIC_WINDOW = value;
}

/* Initialisation words, then everything masked. Intel 8259A data sheet, "Initialization Command Words". */
static void mask_pics(void)
{
    static const uint8_t words[][2] = {{0x11, 0x11}, {0x20, 0x28}, {0x04, 0x02}, {0x01, 0x01}, {0xff, 0xff}};

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        out8(i == 0 ? 0x20 : 0x21, words[i][0]);
        out8(i == 0 ? 0xa0 : 0xa1, words[i][1]);
    }
}

void attacker_repair(void)
{
    out8(0x3fb, 0x03); /* UART: 8 bits, no divisor latch */
    out8(0x3f9, 0);    /* no interrupts */
    out8(0x3fc, 0x0b);
    mask_pics();
    out8(0x43, 0x34); /* 8254: channel 0, mode 2, 18.2 Hz */
    out8(0x40, 0);
    out8(0x40, 0);
    for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++)
        ioapic_write(0x10 + 2 * pin, (uint32_t)PIN_MASKED);
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT0, APIC_LVT_MASKED);
    apic_write(APIC_LVT_LINT1, APIC_LVT_MASKED);
    apic_write(APIC_LVT_ERROR, APIC_LVT_MASKED);
}

/* What has come by now is taken. */
static void drain(void)
{
    interrupts_on();
    for (unsigned i = 0; i < 100; i++)
        (void)in8(0x80);
    interrupts_off();
}

/* ---- Messages ---- */

#define IDS       256u
#define BROADCAST 0xffu

/* Those that would reset our own boot processor, or start another somewhere. */
static bool is_left_out(uint32_t command, uint32_t destination)
{
    uint32_t mode = command & 0x700, shorthand = command & 0xc0000;

    if (mode == APIC_STARTUP)
        return true;
    if (mode != APIC_INIT)
        return false;
    return shorthand != 0 || (command & APIC_LOGICAL) != 0 || destination < processor_count() ||
           destination >= BROADCAST;
}

static uint64_t send_all(void)
{
    uint64_t count = 0;

    for (uint32_t destination = 0; destination < IDS; destination += attacker_quick && destination >= 8 ? 31 : 1) {
        for (uint32_t mode = 0; mode < 8; mode++) {
            for (uint32_t kind = 0; kind < 8; kind++) { /* logical, level, assert */
                uint32_t command = VECTOR_COUNTED | mode << 8 | (kind & 1) << 11 | (kind & 2) << 14 | (kind & 4) << 12;
                if (is_left_out(command, destination))
                    continue;
                apic_send(destination, command);
                count++;
            }
        }
    }
    for (uint32_t shorthand = 1; shorthand < 4; shorthand++) {
        for (uint32_t mode = 0; mode < 8; mode++) {
            uint32_t command = VECTOR_COUNTED | mode << 8 | shorthand << 18;
            if (is_left_out(command, 0))
                continue;
            apic_send(0, command);
            count++;
        }
    }
    for (uint32_t vector = 0; vector < 16; vector++, count++) /* illegal ones: an error, no interrupt */
        apic_send(apic_id(), vector);
    return count;
}

static uint64_t messages(void)
{
    uint64_t count;

    interrupts_count(VECTOR_COUNTED);
    nmis_counted = interrupts_counted = 0;
    count = send_all();
    drain();
    check(interrupts_counted > 0, "no interrupt of our own came");
    check(nmis_counted > 0, "no NMI of our own came");
    if (!apic_x2apic_offered())
        return count;
    apic_use_x2apic();
    count += send_all();
    static const uint32_t wide[] = {0x100, 0xffff, 0x10000, 0x10001, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};
    for (unsigned i = 0; i < ARRAY_SIZE(wide); i++) {
        for (uint32_t mode = 0; mode < 5; mode++, count += 2) {
            apic_send(wide[i], VECTOR_COUNTED | mode << 8);
            apic_send(wide[i], VECTOR_COUNTED | mode << 8 | APIC_LOGICAL);
        }
    }
    drain();
    apic_use_xapic();
    return count;
}

/* INIT, and start-up IPIs behind it, at once and doubled, to another processor of ours; it comes back each time. */
static uint64_t init_of_others(void)
{
    unsigned rounds = attacker_quick ? 5 : 50;

    if (processor_count() < 2)
        return 0;
    for (unsigned i = 0; i < rounds; i++) {
        uint32_t starts = processor_starts(1);
        apic_send(1, APIC_INIT | APIC_ASSERT);
        for (unsigned n = 0; n <= i % 3; n++)
            apic_send(1, APIC_INIT | APIC_LEVEL | (n & 1 ? APIC_ASSERT : 0));
        for (unsigned n = 0; n < 1 + i % 4; n++)
            apic_send(1, APIC_STARTUP | TRAMPOLINE_PAGE);
        for (unsigned n = 0; n < 100000 && processor_starts(1) == starts; n++)
            (void)in8(0x80);
        check(processor_starts(1) != starts, "processor 1 does not come back from INIT %u", i);
    }
    return rounds;
}

/* ---- The local APIC itself ---- */

static uint64_t apic_base(void)
{
    uint64_t before = msr_read(MSR_APIC_BASE), count = 0;

    for (unsigned bit = 12; bit < 64; bit++, count++)
        check(!probe_msr_write(MSR_APIC_BASE, before ^ BIT(bit)), "the local APIC moves by bit %u", bit);
    for (unsigned bit = 0; bit < 12; bit++, count++) {
        if ((BIT(bit) & (APIC_BASE_ENABLED | APIC_BASE_X2APIC)) == 0)
            (void)probe_msr_write(MSR_APIC_BASE, before ^ BIT(bit));
        (void)probe_msr_write(MSR_APIC_BASE, before);
    }
    check(!probe_msr_write(MSR_APIC_BASE, (before & ~APIC_BASE_ENABLED) | APIC_BASE_X2APIC), "x2APIC without APIC");
    for (unsigned i = 0; i < 10; i++, count++) {
        msr_write(MSR_APIC_BASE, before & ~APIC_BASE_ENABLED);
        (void)*(volatile uint32_t *)(uintptr_t)(APIC_PAGE + APIC_ID);
        *(volatile uint32_t *)(uintptr_t)(APIC_PAGE + APIC_ICR) = VECTOR_COUNTED;
        msr_write(MSR_APIC_BASE, before);
    }
    apic_write(APIC_SVR, APIC_SVR_ENABLED | APIC_SPURIOUS);
    return count;
}

/* Every register, with values at random: as page and as MSRs. */
static uint64_t apic_registers(void)
{
    uint64_t count = 0, ignored;

    for (uint32_t offset = 0; offset < PAGE_SIZE; offset += 4, count++) {
        if (offset == APIC_ICR)
            continue;
        *(volatile uint32_t *)(uintptr_t)(APIC_PAGE + offset) = (uint32_t)attacker_random();
        (void)*(volatile uint8_t *)(uintptr_t)(APIC_PAGE + offset + 1);
        (void)*(volatile uint64_t *)(uintptr_t)(APIC_PAGE + offset);
    }
    /* switched off and on: what waits in the IRR and ISR is gone */
    apic_use_xapic();
    if (apic_x2apic_offered()) {
        apic_use_x2apic();
        for (uint32_t msr = 0x800; msr < 0x900; msr++, count++) {
            (void)probe_msr_read(msr, &ignored);
            if (msr != 0x830)
                (void)probe_msr_write(msr, attacker_random() & UINT32_MAX);
        }
        apic_use_xapic();
    }
    attacker_repair();
    return count;
}

/* ---- Storms ---- */

#define STORM_US    20000u
#define STORM_ENTRY 20u   /* of one IOAPIC entry */
#define STORM_MOST  3000u /* interrupts; a storm that leaves no time for anything else is ended by its own handler */

static void on_storm(struct interrupt_frame *frame)
{
    on_counted(frame);
    if (interrupts_counted >= STORM_MOST)
        frame->rflags &= ~RFLAGS_IF;
}

/* ---- The IOAPIC: all kinds of entries under lines that move ---- */

static uint64_t ioapic_entries(void)
{
    uint64_t count = 0, came = 0;

    interrupts_count(VECTOR_COUNTED);
    interrupt_handle(VECTOR_COUNTED, on_storm);
    out8(0x43, 0x34); /* 8254: some thousand ticks a second */
    out8(0x40, 0);
    out8(0x40, 1);
    for (uint32_t pin = 0; pin < IOAPIC_PINS; pin++) {
        for (uint32_t kind = 0; kind < 64; kind++, count++) { /* mode, level, logical, polarity */
            uint32_t mode = kind & 7;
            uint32_t low = VECTOR_COUNTED | mode << 8 | (kind & 8) << 12 | (kind & 16) << 7 | (kind & 32) << 8;
            /* INIT and start-up go where nobody is */
            ioapic_write(0x11 + 2 * pin, mode == 5 || mode == 6 ? 0x70000000 : 0);
            ioapic_write(0x10 + 2 * pin, low);
            /* The UART's line rises, as its transmitter is empty, and stays: an entry for levels makes that a storm. */
            interrupts_counted = STORM_MOST - STORM_ENTRY;
            out8(0x3f9, 2);
            drain();
            out8(0x3f9, 0);
            came += interrupts_counted - (STORM_MOST - STORM_ENTRY);
            ioapic_write(0x10 + 2 * pin, low | (uint32_t)PIN_MASKED);
        }
    }
    for (uint32_t index = 0; index < 0x100; index++, count++) {
        if (index < 0x10 || index >= 0x10 + 2 * IOAPIC_PINS)
            ioapic_write(index, UINT32_MAX);
    }
    ioapic_write(0, 0);
    check(came > 0, "no interrupt came through the IOAPIC");
    attacker_repair();
    return count;
}

/* ---- Timers that want all of the processor ---- */

static uint64_t timer_storm(void)
{
    uint64_t until;

    interrupts_count(VECTOR_COUNTED);
    interrupt_handle(VECTOR_COUNTED, on_storm);
    interrupts_counted = 0;
    apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_PERIODIC | VECTOR_COUNTED);
    apic_write(APIC_INITIAL_COUNT, 1);
    out8(0x43, 0x34); /* the 8254 through the IOAPIC's pin 2 */
    out8(0x40, 2);
    out8(0x40, 0);
    ioapic_write(0x15, 0);
    ioapic_write(0x14, VECTOR_COUNTED);
    out8(0x70, 0x0b); /* the RTC, 8192 Hz, through pin 8 */
    out8(0x71, 0x42);
    ioapic_write(0x21, 0);
    ioapic_write(0x20, VECTOR_COUNTED);
    interrupts_on();
    for (until = tsc_read() + clock_hz() / 1000000 * STORM_US;
         tsc_read() < until && *(volatile uint32_t *)&interrupts_counted < STORM_MOST;)
        cpu_relax();
    interrupts_off();
    attacker_repair();
    apic_write(APIC_INITIAL_COUNT, 0);
    check(interrupts_counted > 10, "only %u interrupts of three timers", interrupts_counted);
    if (!apic_deadline_offered())
        return interrupts_counted;
    apic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_DEADLINE | VECTOR_COUNTED);
    interrupts_on();
    for (unsigned i = 0; i < 1000; i++)
        msr_write(MSR_TSC_DEADLINE, i % 2 == 0 ? 1 : tsc_read() + 1);
    msr_write(MSR_TSC_DEADLINE, UINT64_MAX);
    msr_write(MSR_TSC_DEADLINE, 0);
    interrupts_off();
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    return interrupts_counted;
}

static uint64_t nmi_storm(void)
{
    unsigned count = attacker_quick ? 500 : 5000;

    interrupts_count(VECTOR_COUNTED);
    nmis_counted = 0;
    for (unsigned i = 0; i < count; i++) {
        apic_send(apic_id(), APIC_NMI);
        if (i % 3 == 0)
            apic_send(0, APIC_NMI | APIC_TO_OTHERS);
    }
    check(nmis_counted > count / 4, "only %u of %u NMIs came", nmis_counted, count);
    return count;
}

const struct attack attacks_on_interrupts[] = {
    {"messages", "messages sent to every id", messages},
    {"inits", "INITs of another processor", init_of_others},
    {"apic-base", "moves of the local APIC", apic_base},
    {"apic-registers", "registers with random values", apic_registers},
    {"ioapic", "IOAPIC entries", ioapic_entries},
    {"timer-storm", "interrupts taken", timer_storm},
    {"nmi-storm", "NMIs sent", nmi_storm},
    {NULL, NULL, NULL},
};

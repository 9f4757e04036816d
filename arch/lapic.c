/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The physical local APIC. Intel SDM vol. 3, "Advanced Programmable Interrupt Controller (APIC)"; AMD APM vol. 2,
 * "Advanced Programmable Interrupt Controller". Register offsets are those of the memory-mapped form; x2APIC has each
 * at MSR 0x800 + offset / 16.
 */
#include "arch/lapic.h"

#include "arch/cpu.h"
#include "arch/hostmap.h"
#include "arch/msr.h"
#include "arch/x86.h"
#include "hv/error.h"
#include "hv/machine.h"

#define LAPIC_ID            0x020u
#define LAPIC_VERSION       0x030u
#define LAPIC_TPR           0x080u
#define LAPIC_EOI           0x0b0u
#define LAPIC_SPURIOUS      0x0f0u
#define LAPIC_ISR           0x100u
#define LAPIC_ESR           0x280u
#define LAPIC_LVT_CMCI      0x2f0u
#define LAPIC_ICR_LOW       0x300u
#define LAPIC_ICR_HIGH      0x310u
#define LAPIC_LVT_TIMER     0x320u
#define LAPIC_LVT_THERMAL   0x330u
#define LAPIC_LVT_PMC       0x340u
#define LAPIC_LVT_LINT0     0x350u
#define LAPIC_LVT_LINT1     0x360u
#define LAPIC_LVT_ERROR     0x370u
#define LAPIC_TIMER_INITIAL 0x380u
#define LAPIC_TIMER_CURRENT 0x390u
#define LAPIC_TIMER_DIVIDE  0x3e0u

#define LVT_MASKED       BIT(16)
#define LVT_TSC_DEADLINE BIT(18)
#define SPURIOUS_ENABLE  BIT(8)
#define DIVIDE_BY_1      0xbu

#define ICR_NMI     0x0400u
#define ICR_INIT    0x0500u
#define ICR_STARTUP 0x0600u
#define ICR_ASSERT  0x4000u
#define ICR_PENDING 0x1000u

#define APIC_BASE_ENABLE  BIT(11)
#define APIC_BASE_EXTEND  BIT(10)
#define APIC_BASE_ADDRESS UINT64_C(0x000ffffffffff000)

#define CALIBRATION_HZ 100u /* a hundredth of a second */
#define ICR_PATIENCE   1000000u

static volatile uint32_t *registers; /* NULL in x2APIC mode */
static bool x2apic;
static bool deadline_mode;
static uint64_t timer_hz;
static uint64_t ticks_hz;

static uint32_t lapic_read(uint32_t offset)
{
    return x2apic ? (uint32_t)msr_read(MSR_X2APIC_BASE + offset / 16) : registers[offset / 4];
}

static void lapic_write(uint32_t offset, uint32_t value)
{
    if (x2apic)
        msr_write(MSR_X2APIC_BASE + offset / 16, value);
    else
        registers[offset / 4] = value;
}

/* x2APIC is entered from an enabled xAPIC only. Intel SDM vol. 3, "x2APIC State Transitions". */
static int lapic_enable(void)
{
    struct cpuid_result features = machine_cpuid(1, 0);
    uint64_t base;

    if ((features.edx & BIT(9)) == 0)
        return E_NOSYS;
    base = msr_read(MSR_APIC_BASE);
    x2apic = (features.ecx & BIT(21)) != 0;
    if ((base & APIC_BASE_ENABLE) == 0) {
        base |= APIC_BASE_ENABLE;
        msr_write(MSR_APIC_BASE, base);
    }
    if (x2apic && (base & APIC_BASE_EXTEND) == 0)
        msr_write(MSR_APIC_BASE, base | APIC_BASE_EXTEND);
    if (!x2apic && registers == NULL) {
        registers = hostmap_map_device(lapic_base(), PAGE_SIZE);
        if (registers == NULL)
            return E_NOMEM;
    }
    deadline_mode = (features.ecx & BIT(24)) != 0;
    return 0;
}

int lapic_init(void)
{
    static const uint16_t lvts[] = {LAPIC_LVT_TIMER, LAPIC_LVT_LINT0, LAPIC_LVT_LINT1,
                                    LAPIC_LVT_ERROR, LAPIC_LVT_PMC,   LAPIC_LVT_THERMAL};
    int error = lapic_enable();

    if (error != 0)
        return error;
    /* The number of LVT entries minus one tells which of the later ones exist. */
    unsigned entries = (lapic_read(LAPIC_VERSION) >> 16 & 0xff) + 1;
    for (unsigned i = 0; i < ARRAY_SIZE(lvts) && i < entries; i++)
        lapic_write(lvts[i], LVT_MASKED);
    if (entries > ARRAY_SIZE(lvts))
        lapic_write(LAPIC_LVT_CMCI, LVT_MASKED);
    lapic_write(LAPIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_HOST_SPURIOUS);
    lapic_write(LAPIC_TPR, 0);
    /* What firmware left in service would hold our own vectors back. One EOI each. */
    for (unsigned i = 0; i < 256; i++) {
        uint32_t in_service = 0;
        for (uint32_t bank = 0; bank < 8; bank++)
            in_service |= lapic_read(LAPIC_ISR + bank * 16);
        if (in_service == 0)
            break;
        lapic_eoi();
    }
    lapic_write(LAPIC_TIMER_DIVIDE, DIVIDE_BY_1);
    lapic_write(LAPIC_TIMER_INITIAL, 0);
    if (timer_hz != 0)
        lapic_write(LAPIC_LVT_TIMER, VECTOR_HOST_TIMER | (deadline_mode ? LVT_TSC_DEADLINE : 0));
    this_cpu.timer_deadline = UINT64_MAX;
    return 0;
}

hpa_t lapic_base(void)
{
    return msr_read(MSR_APIC_BASE) & APIC_BASE_ADDRESS;
}

uint32_t lapic_id(void)
{
    uint32_t id = lapic_read(LAPIC_ID);

    return x2apic ? id : id >> 24;
}

void lapic_eoi(void)
{
    lapic_write(LAPIC_EOI, 0);
}

static void lapic_send(uint32_t apic_id, uint32_t command)
{
    if (x2apic) {
        msr_write(MSR_X2APIC_BASE + LAPIC_ICR_LOW / 16, (uint64_t)apic_id << 32 | command);
        return;
    }
    for (uint32_t i = 0; i < ICR_PATIENCE && (lapic_read(LAPIC_ICR_LOW) & ICR_PENDING) != 0; i++)
        cpu_relax();
    lapic_write(LAPIC_ICR_HIGH, apic_id << 24);
    lapic_write(LAPIC_ICR_LOW, command);
}

void lapic_send_nmi(uint32_t apic_id)
{
    lapic_send(apic_id, ICR_NMI | ICR_ASSERT);
}

void lapic_send_init(uint32_t apic_id)
{
    lapic_send(apic_id, ICR_INIT | ICR_ASSERT);
}

void lapic_send_startup(uint32_t apic_id, uint8_t vector)
{
    lapic_send(apic_id, ICR_STARTUP | ICR_ASSERT | vector);
}

void lapic_timer_calibrate(uint64_t tsc_hz)
{
    ticks_hz = tsc_hz;
    if (deadline_mode) {
        timer_hz = tsc_hz;
    } else {
        uint64_t begin = tsc_read();
        lapic_write(LAPIC_LVT_TIMER, LVT_MASKED);
        lapic_write(LAPIC_TIMER_INITIAL, UINT32_MAX);
        uint64_t start = tsc_read();
        while (tsc_read() - start < tsc_hz / CALIBRATION_HZ)
            cpu_relax();
        uint64_t before = tsc_read();
        uint32_t left = lapic_read(LAPIC_TIMER_CURRENT);
        uint64_t after = tsc_read();
        lapic_write(LAPIC_TIMER_INITIAL, 0);
        /* The middle of each pair of readings stands for the access between them. */
        uint64_t ticks = (before + after) / 2 - (begin + start) / 2;
        timer_hz = max_u64((UINT32_MAX - left) * tsc_hz / ticks, 1);
    }
    lapic_write(LAPIC_LVT_TIMER, VECTOR_HOST_TIMER | (deadline_mode ? LVT_TSC_DEADLINE : 0));
}

void lapic_timer_set(uint64_t deadline_ticks)
{
    if (this_cpu.timer_deadline == deadline_ticks)
        return;
    this_cpu.timer_deadline = deadline_ticks;
    if (deadline_mode) {
        msr_write(MSR_TSC_DEADLINE, deadline_ticks == UINT64_MAX ? 0 : max_u64(deadline_ticks, 1));
        return;
    }
    uint64_t now = tsc_read();
    uint64_t count = 0;
    if (deadline_ticks != UINT64_MAX) {
        /* Far deadlines come in steps: the counter has 32 bits, and an early interrupt only looks at the clock again.
         */
        uint64_t ticks = deadline_ticks > now ? deadline_ticks - now : 0;
        ticks = min_u64(ticks, ticks_hz);
        count = min_u64(max_u64(ticks * timer_hz / ticks_hz, 1), UINT32_MAX);
    }
    lapic_write(LAPIC_TIMER_INITIAL, (uint32_t)count);
}

bool lapic_timer_due(void)
{
    if (tsc_read() < this_cpu.timer_deadline)
        return false;
    lapic_write(LAPIC_TPR, 0); /* any write to it makes QEMU weigh anew what is pending */
    interrupts_let_in();
    return true;
}

const char *lapic_mode_name(void)
{
    if (x2apic)
        return deadline_mode ? "x2APIC, TSC deadline timer" : "x2APIC, one-shot timer";
    return deadline_mode ? "xAPIC, TSC deadline timer" : "xAPIC, one-shot timer";
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The local APIC, through its page or through its MSRs. Which of them is in use is remembered, so that a register
 * access costs one exit.
 */
#include "guests/lib/apic.h"

#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/lib/internal.h"
#include "guests/lib/processors.h"

#define CPUID_X2APIC   BIT(21) /* leaf 1, ECX */
#define CPUID_DEADLINE BIT(24)
#define DELIVERY_BUSY  BIT(12)
#define BUSY_TRIES     100000u

static bool x2apic[LIB_CPUS_MAX];

static uint32_t features(void)
{
    uint32_t eax, ebx, ecx, edx;

    cpuid(1, 0, &eax, &ebx, &ecx, &edx);
    return ecx;
}

bool apic_x2apic_offered(void)
{
    return (features() & CPUID_X2APIC) != 0;
}

bool apic_deadline_offered(void)
{
    return (features() & CPUID_DEADLINE) != 0;
}

bool apic_is_x2apic(void)
{
    return x2apic[processor_number()];
}

void apic_start(void)
{
    x2apic[processor_number()] = (msr_read(MSR_APIC_BASE) & APIC_BASE_X2APIC) != 0;
    apic_write(APIC_SVR, APIC_SVR_ENABLED | APIC_SPURIOUS);
}

void apic_use_x2apic(void)
{
    msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | APIC_BASE_X2APIC);
    apic_start();
}

/* "x2APIC State Transitions": there is no straight way back. */
void apic_use_xapic(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE) & ~(APIC_BASE_X2APIC | APIC_BASE_ENABLED);

    msr_write(MSR_APIC_BASE, base);
    msr_write(MSR_APIC_BASE, base | APIC_BASE_ENABLED);
    apic_start();
}

uint32_t apic_read(uint32_t offset)
{
    if (apic_is_x2apic())
        return (uint32_t)msr_read(APIC_MSR_X2APIC + offset / 16);
    return *(const volatile uint32_t *)(uintptr_t)(APIC_PAGE + offset);
}

void apic_write(uint32_t offset, uint32_t value)
{
    if (apic_is_x2apic())
        msr_write(APIC_MSR_X2APIC + offset / 16, value);
    else
        *(volatile uint32_t *)(uintptr_t)(APIC_PAGE + offset) = value;
}

uint32_t apic_id(void)
{
    return apic_is_x2apic() ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_send(uint32_t destination, uint32_t command)
{
    if (apic_is_x2apic()) {
        msr_write(APIC_MSR_X2APIC + APIC_ICR / 16, (uint64_t)destination << 32 | command);
        return;
    }
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, command);
    for (uint32_t tries = 0; tries < BUSY_TRIES && (apic_read(APIC_ICR) & DELIVERY_BUSY) != 0; tries++)
        cpu_relax();
}

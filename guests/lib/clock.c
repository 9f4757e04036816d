/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The TSC and its frequency, from the hypervisor's timing leaf or from channel 2 of the 8254 (Intel 82C54 data sheet,
 * "Mode 0: Interrupt on Terminal Count"), gated and read back through port 61H.
 */
#include "guests/lib/clock.h"

#include "arch/x86.h"
#include "drivers/virtual/vacpi.h"
#include "hv/cpuid.h"

#define PIT_HZ             UINT64_C(1193182)
#define PIT_CHANNEL_2      0x42u
#define PIT_COMMAND        0x43u
#define PIT_ONCE           0xb0u /* channel 2, low byte then high, mode 0 */
#define SPEAKER_PORT       0x61u
#define SPEAKER_GATE       0x01u
#define SPEAKER_DATA       0x02u
#define SPEAKER_OUT        0x20u
#define MEASURE_PER_SECOND 20u

static uint64_t frequency;

static struct cpuid_result timing(void)
{
    struct cpuid_result result;

    cpuid(CPUID_SIGNATURE, 0, &result.eax, &result.ebx, &result.ecx, &result.edx);
    if (result.eax < CPUID_TIMING || result.ebx != CPUID_SIGNATURE_EBX)
        return (struct cpuid_result){0, 0, 0, 0};
    cpuid(CPUID_TIMING, 0, &result.eax, &result.ebx, &result.ecx, &result.edx);
    return result;
}

uint64_t clock_hz(void)
{
    if (frequency == 0)
        frequency = UINT64_C(1000) * timing().eax;
    if (frequency == 0)
        frequency = clock_hz_measured();
    return frequency;
}

uint64_t clock_apic_hz(void)
{
    return UINT64_C(1000) * timing().ebx;
}

uint64_t clock_hz_measured(void)
{
    uint32_t counts = (uint32_t)(PIT_HZ / MEASURE_PER_SECOND);

    out8(SPEAKER_PORT, (uint8_t)((in8(SPEAKER_PORT) & ~SPEAKER_DATA) | SPEAKER_GATE));
    out8(PIT_COMMAND, PIT_ONCE);
    out8(PIT_CHANNEL_2, (uint8_t)counts);
    out8(PIT_CHANNEL_2, (uint8_t)(counts >> 8));
    uint64_t start = tsc_read();
    while ((in8(SPEAKER_PORT) & SPEAKER_OUT) == 0)
        cpu_relax();
    return (tsc_read() - start) * MEASURE_PER_SECOND;
}

void clock_wait_us(uint64_t us)
{
    uint64_t start = tsc_read(), ticks = clock_hz() * us / 1000000;

    while (tsc_read() - start < ticks)
        cpu_relax();
}

uint32_t clock_pm_timer(void)
{
    return in32(VACPI_PM_TIMER);
}

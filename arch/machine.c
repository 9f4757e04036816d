/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * hv/machine.h on real hardware.
 */
#include "hv/machine.h"

#include "arch/cpu.h"
#include "arch/hostmap.h"
#include "arch/lapic.h"
#include "arch/machine.h"
#include "arch/smp.h"
#include "arch/x86.h"

void wait_for_interrupt(const uint32_t *stop_when_set);
void fpu_reset(void);

/* Set once at start-up. */
static uint64_t ticks_hz;
static int64_t epoch_s;

void machine_init_clock(uint64_t hz, int64_t now_s)
{
    ticks_hz = hz;
    epoch_s = now_s - (int64_t)(tsc_read() / hz);
}

uint64_t machine_ticks(void)
{
    return tsc_read();
}

uint64_t machine_ticks_hz(void)
{
    return ticks_hz;
}

int64_t machine_epoch_s(void)
{
    return epoch_s;
}

void machine_timer_set(uint64_t deadline_ticks)
{
    lapic_timer_set(deadline_ticks);
}

uint32_t machine_cpu(void)
{
    return this_cpu.number;
}

void machine_kick(uint32_t cpu)
{
    if (cpu < smp_cpu_count())
        lapic_send_nmi(smp_apic_id(cpu));
}

void machine_wait(const uint32_t *stop_when_set)
{
    if (!lapic_timer_due())
        wait_for_interrupt(stop_when_set);
}

void machine_relax(void)
{
    cpu_relax();
}

void *machine_pointer(hpa_t address)
{
    return (void *)(uintptr_t)(HOSTMAP_RAM_BASE + address);
}

struct cpuid_result machine_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result;

    cpuid(leaf, subleaf, &result.eax, &result.ebx, &result.ecx, &result.edx);
    return result;
}

int machine_msr_read(uint32_t msr, uint64_t *value)
{
    return msr_read_safe(msr, value);
}

int machine_msr_write(uint32_t msr, uint64_t value)
{
    return msr_write_safe(msr, value);
}

int machine_xcr0_write(uint64_t value)
{
    return xcr0_write_safe(value);
}

void machine_reset_registers(void)
{
    fpu_reset();
    if ((cr4_read() & CR4_OSXSAVE) != 0)
        (void)xcr0_write_safe(1);
    machine_init_registers();
}

void machine_init_registers(void)
{
    cr2_write(0);
    dr0_write(0);
    dr1_write(0);
    dr2_write(0);
    dr3_write(0);
    dr6_write(DR6_RESET);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Time: the TSC, what CPUID says of it, and the clocks of the PC to compare it with.
 */
#ifndef GUESTS_LIB_CLOCK_H
#define GUESTS_LIB_CLOCK_H

#include "hv/types.h"

/* TSC ticks a second: as the hypervisor's leaf says, else measured with the 8254 once. */
uint64_t clock_hz(void);
/* Measured now with channel 2 of the 8254, for 1/20 s. */
uint64_t clock_hz_measured(void);
/* Local APIC timer counts a second at divisor 1, as the hypervisor's leaf says; 0 when it does not. */
uint64_t clock_apic_hz(void);

/* Wait on the TSC. */
void clock_wait_us(uint64_t us);

/* The 32-bit PM timer of ACPI, and how often it counts in a second. */
#define CLOCK_PM_HZ 3579545u /* ACPI 6.4, section 4.8.2.1 */
uint32_t clock_pm_timer(void);

#endif

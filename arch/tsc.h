/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time stamp counter's frequency, measured once against a clock whose frequency is known.
 */
#ifndef ARCH_TSC_H
#define ARCH_TSC_H

#include "hv/types.h"

/*
 * Measure against the ACPI PM timer at I/O port `pm_timer_port` (0: there is none), else against the 8254, else ask
 * CPUID. Returns ticks a second, or 0 when nothing answers. Takes a tenth of a second.
 */
uint64_t tsc_measure_hz(uint16_t pm_timer_port);

/* Read the host's CMOS clock: seconds since 1970-01-01 UTC. 0 when it holds no valid date. */
int64_t cmos_clock_read_s(void);

#endif

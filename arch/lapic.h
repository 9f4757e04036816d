/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The physical CPU's local APIC as the hypervisor uses it: its timer, and NMIs, INITs and SIPIs to other CPUs.
 */
#ifndef ARCH_LAPIC_H
#define ARCH_LAPIC_H

#include "hv/types.h"

/* Switch this CPU's local APIC on, mask its LVTs. x2APIC where the CPU has it. Returns 0, or E_NOSYS when there is
 * none. */
int lapic_init(void);

/* Where its registers are in memory, unless it is in x2APIC mode. The same for all CPUs. */
hpa_t lapic_base(void);

uint32_t lapic_id(void);
void lapic_eoi(void);

/* Interprocessor messages by APIC id. They wait until the ICR is free, bounded. */
void lapic_send_nmi(uint32_t apic_id);
void lapic_send_init(uint32_t apic_id);
void lapic_send_startup(uint32_t apic_id, uint8_t vector);

/* Measure the timer's frequency against `tsc_hz`, on the boot CPU, once; all CPUs' timers run alike. */
void lapic_timer_calibrate(uint64_t tsc_hz);

/* Arm the one-shot timer for `deadline_ticks` of the TSC; UINT64_MAX switches off. */
void lapic_timer_set(uint64_t deadline_ticks);

/*
 * Looks at the clock whether this CPU's timer is due, and takes its interrupt if so. Emulators need this: QEMU may lose
 * the signal of an interrupt that comes at the same time as a VMRUN or #VMEXIT, and Bochs holds it while a guest runs
 * with IF=0. The caller has interrupts off.
 */
bool lapic_timer_due(void);

/* "xAPIC" or "x2APIC", and how the timer is armed. */
const char *lapic_mode_name(void);

#endif

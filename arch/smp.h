/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All CPUs of the machine: started one after the other, parked, and given work.
 */
#ifndef ARCH_SMP_H
#define ARCH_SMP_H

#include "arch/topology.h"
#include "hv/types.h"

/*
 * Start the CPUs with these APIC ids (the boot CPU's own among them or not). `low_page` is a free page below 640 KiB
 * for the trampoline. The boot CPU becomes number 0, the others follow in the order given. Returns how many CPUs run.
 */
uint32_t smp_start(const uint32_t *apic_ids, uint32_t count, hpa_t low_page);

/* CPUs that run. */
uint32_t smp_cpu_count(void);

/* The APIC id of a running CPU. */
uint32_t smp_apic_id(uint32_t cpu);

/* The core and package of a running CPU, numbered from 0 on. */
const struct topology *smp_topology(uint32_t cpu);

/* Have a parked CPU call `function(argument)`, once. It parks again when that returns. */
void smp_run(uint32_t cpu, void (*function)(void *argument), void *argument);

/* True while a CPU works on what smp_run gave it. */
bool smp_busy(uint32_t cpu);

/* Where a started CPU begins, on its own stack. From hostmap.S. */
_Noreturn void smp_main(uint32_t number);

#endif

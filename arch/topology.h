/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which CPUs are hardware threads of one core, as CPUID tells each of them. Pure, so that unit tests play processors.
 */
#ifndef ARCH_TOPOLOGY_H
#define ARCH_TOPOLOGY_H

#include "hv/machine.h"
#include "hv/types.h"

/* Numbers that CPUs of one core, and of one package, have in common. Both are unique in the machine. */
struct topology {
    uint32_t core;
    uint32_t package;
};

/*
 * Where the CPU lies whose CPUID `answer` gives. Takes leaf 1FH or 0BH where there is one, else what older processors
 * of each vendor have. Whatever is answered, the result is some place, and a doubtful one rather on the core of others.
 */
struct topology topology_read(struct cpuid_result (*answer)(uint32_t leaf, uint32_t subleaf));

/* Give cores and packages numbers from 0 on, in the order of their first CPUs: for people. `count` up to CPUS_MAX. */
void topology_number(struct topology *cpus, uint32_t count);

#endif

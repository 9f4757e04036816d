/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A CPU made ready for the hypervisor: descriptors, then the control register bits that it wants.
 */
#include "arch/cpu.h"

#include "arch/hostmap_format.h"
#include "arch/msr.h"
#include "arch/x86.h"
#include "hv/machine.h"

/*
 * SMEP, SMAP and UMIP cost nothing where no user code ever runs, and turn a stray jump or pointer into a fault. OSFXSR
 * and OSXSAVE are for resetting a guest's extended state, which otherwise stays untouched in the processor.
 */
static uint64_t wanted_cr4(void)
{
    struct cpuid_result one = machine_cpuid(1, 0), seven = {0, 0, 0, 0};
    uint64_t cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_MCE;

    if (machine_cpuid(0, 0).eax >= 7)
        seven = machine_cpuid(7, 0);
    if ((one.ecx & BIT(26)) != 0)
        cr4 |= CR4_OSXSAVE;
    if ((seven.ebx & BIT(7)) != 0)
        cr4 |= CR4_SMEP;
    if ((seven.ebx & BIT(20)) != 0)
        cr4 |= CR4_SMAP;
    if ((seven.ecx & BIT(2)) != 0)
        cr4 |= CR4_UMIP;
    return cr4;
}

void cpu_init(uint32_t number)
{
    this_cpu.number = number;
    descriptor_init();
    cr0_write((cr0_read() | CR0_NE | CR0_MP | CR0_WP) & ~(CR0_EM | CR0_TS));
    cr4_write(wanted_cr4());
    msr_write(MSR_PAT, HOST_PAT);
}

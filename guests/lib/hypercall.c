/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * VMCALL or VMMCALL, whichever this processor has.
 */
#include "guests/lib/hypercall.h"

#include "arch/x86.h"
#include "hv/cpuid.h"
#include "hv/string.h"

static bool vendor_is_amd(void)
{
    uint32_t eax, name[3];

    cpuid(0, 0, &eax, &name[0], &name[2], &name[1]);
    return memcmp(name, "AuthenticAMD", sizeof(name)) == 0 || memcmp(name, "HygonGenuine", sizeof(name)) == 0;
}

bool hypercall_offered(void)
{
    uint32_t eax, ebx, ecx, edx;

    cpuid(CPUID_SIGNATURE, 0, &eax, &ebx, &ecx, &edx);
    if (eax < HYPERCALL_CPUID_LEAF || ebx != CPUID_SIGNATURE_EBX || ecx != CPUID_SIGNATURE_ECX ||
        edx != CPUID_SIGNATURE_EDX)
        return false;
    cpuid(HYPERCALL_CPUID_LEAF, 0, &eax, &ebx, &ecx, &edx);
    return eax == HYPERCALL_VERSION && ebx == HYPERCALL_INTERFACE;
}

void hypercall_raw(struct hypercall_registers *registers)
{
    struct hypercall_registers r = *registers;

    if (vendor_is_amd())
        __asm__ volatile("vmmcall" : "+a"(r.rax), "+b"(r.rbx), "+c"(r.rcx), "+d"(r.rdx) : : "memory");
    else
        __asm__ volatile("vmcall" : "+a"(r.rax), "+b"(r.rbx), "+c"(r.rcx), "+d"(r.rdx) : : "memory");
    *registers = r;
}

int64_t hypercall(enum hypercall number, uint64_t rbx, uint64_t rcx, uint64_t *answer)
{
    struct hypercall_registers registers = {(uint64_t)number, rbx, rcx, 0};

    hypercall_raw(&registers);
    if (answer != NULL)
        *answer = registers.rbx;
    return (int64_t)registers.rax;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks on what a processor says and keeps: CPUID, MSRs, control and debug registers, XCR0.
 */
#include "arch/msr.h"
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "hv/virt.h"

/* ---- CPUID ---- */

#define LEAVES_OF_A_BLOCK 0x200u
#define SUBLEAVES         40u

static uint64_t every_leaf(void)
{
    static const uint32_t blocks[] = {0, 0x40000000, 0x80000000, 0x8fffff00, 0xc0000000, 0xffffff00};
    uint32_t eax, ebx, ecx, edx;
    uint64_t count = 0;

    for (unsigned block = 0; block < ARRAY_SIZE(blocks); block++) {
        for (uint32_t i = 0; i < (attacker_quick ? 0x24 : LEAVES_OF_A_BLOCK); i++) {
            for (uint32_t subleaf = 0; subleaf < (i < 0x20 ? SUBLEAVES : 1); subleaf++, count++)
                cpuid(blocks[block] + i, subleaf == SUBLEAVES - 1 ? UINT32_MAX : subleaf, &eax, &ebx, &ecx, &edx);
        }
    }
    cpuid(1, 0, &eax, &ebx, &ecx, &edx);
    check_equal(ecx & (BIT(5) | BIT(6)), 0, "CPUID 1 offers VMX or SMX");
    check((ecx & BIT(31)) != 0, "CPUID 1 does not tell of a hypervisor");
    cpuid(0x80000001, 0, &eax, &ebx, &ecx, &edx);
    check_equal(ecx & (BIT(2) | BIT(12)), 0, "CPUID 80000001 offers SVM or SKINIT");
    cpuid(0x8000000a, 0, &eax, &ebx, &ecx, &edx);
    check_equal(eax | ebx | ecx | edx, 0, "CPUID 8000000A tells of SVM");
    return count;
}

/* ---- MSRs ---- */

struct msr_range {
    uint32_t first, count;
};
static const struct msr_range msr_ranges[] = {
    {0, 0x2000}, {0x40000000, 0x200}, {0x4b564d00, 8}, {0xc0000000, 0x2000}, {0xc0010000, 0x2000}, {0xfffffff0, 0x10},
};

/* The local APIC's have a stage of their own; without this one the guest would not come back to its stack. */
static bool is_left_out(uint32_t msr)
{
    return msr == MSR_APIC_BASE || (msr >= 0x800 && msr < 0x900);
}

static void attack_msr(uint32_t msr)
{
    static const uint64_t values[] = {UINT64_MAX, 0, UINT64_C(0x8000000000000000), 1};
    uint64_t value, ignored;
    bool readable = probe_msr_read(msr, &value);

    if (readable)
        (void)probe_msr_write(msr, value);
    for (unsigned i = 0; i < (attacker_quick ? 2 : ARRAY_SIZE(values)); i++) {
        (void)probe_msr_write(msr, values[i]);
        if (readable)
            (void)probe_msr_write(msr, value);
    }
    if (readable)
        (void)probe_msr_read(msr, &ignored);
}

static uint64_t every_msr(void)
{
    uint64_t count = 0, value;

    for (unsigned range = 0; range < ARRAY_SIZE(msr_ranges); range++) {
        for (uint32_t i = 0; i < msr_ranges[range].count; i += attacker_quick && i >= 0x400 ? 0x1d : 1) {
            if (is_left_out(msr_ranges[range].first + i))
                continue;
            attack_msr(msr_ranges[range].first + i);
            count++;
        }
    }
    /* What would open a door. */
    check(probe_msr_read(MSR_EFER, &value), "EFER cannot be read");
    check(!probe_msr_write(MSR_EFER, value | EFER_SVME), "EFER.SVME can be set");
    if (probe_msr_read(MSR_FEATURE_CONTROL, &value))
        check((value & 5) == 1, "FEATURE_CONTROL 0x%llx does not say: VMX locked off", (unsigned long long)value);
    check(!probe_msr_write(MSR_FEATURE_CONTROL, 5), "FEATURE_CONTROL can be written");
    check(!probe_msr_read(0xc0010117, &value), "VM_HSAVE_PA can be read");
    check(!probe_msr_write(0xc0010117, 0x1000), "VM_HSAVE_PA can be written");
    check(!probe_msr_write(0x480, 0), "VMX_BASIC can be written");
    return count;
}

/* ---- Control registers ---- */

static uint64_t write_cr0(uint64_t value)
{
    cr0_write(value);
    return cr0_read();
}

static uint64_t write_cr3(uint64_t value)
{
    cr3_write(value);
    return 0;
}

static uint64_t write_cr4(uint64_t value)
{
    cr4_write(value);
    return cr4_read();
}

static uint64_t write_cr8(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
    return 0;
}

/* QEMU's TCG takes these, and is then in a state that it cannot go on from: only where "strict" is given. */
static void attack_cr0_strictly(uint64_t before)
{
    static const uint64_t bad[] = {CR0_NW, BIT(32), BIT(63)}; /* NW without CD, the upper half */

    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        check_equal((uint64_t)attacker_try(write_cr0, (before & ~CR0_CD) | bad[i], NULL), VECTOR_GP,
                    "CR0 takes bit 0x%llx", (unsigned long long)bad[i]);
    check_equal((uint64_t)attacker_try(write_cr0, before & ~CR0_PG, NULL), VECTOR_GP, "64-bit mode without paging");
    check_equal((uint64_t)attacker_try(write_cr0, before & ~CR0_PE, NULL), VECTOR_GP, "paging without protection");
}

static void attack_cr0(void)
{
    uint64_t before = cr0_read();

    if (option_given("strict"))
        attack_cr0_strictly(before);
    /* Caches off, all reserved bits, no write protection, no numeric errors: allowed, for us alone. */
    (void)attacker_try(write_cr0, before | CR0_CD, NULL);
    (void)attacker_try(write_cr0, before | CR0_CD | CR0_NW, NULL);
    (void)attacker_try(write_cr0, (before | UINT64_C(0x1ffaffc0)) & ~(CR0_WP | CR0_NE), NULL);
    (void)attacker_try(write_cr0, before & ~(CR0_ET | CR0_NE), NULL);
    cr0_write(before);
    check_equal(cr0_read(), before, "CR0 does not come back");
}

/* SMEP and SMAP would take the floor away: the library's pages are open to ring 3. */
static void attack_cr4(void)
{
    uint64_t before = cr4_read(), left_out = CR4_SMEP | CR4_SMAP;

    if (!option_given("strict")) /* it takes all */
        left_out |= CR4_PAE | ~(CR4_UMIP - 1);
    for (unsigned bit = 0; bit < 64; bit++) {
        if ((BIT(bit) & left_out) != 0)
            continue;
        (void)attacker_try(write_cr4, before ^ BIT(bit), NULL);
        cr4_write(before);
    }
    if (option_given("strict"))
        check_equal((uint64_t)attacker_try(write_cr4, before & ~CR4_PAE, NULL), VECTOR_GP, "64-bit mode without PAE");
    check_equal(cr4_read() & CR4_VMXE, 0, "CR4.VMXE is set");
    check_equal(cr4_read(), before, "CR4 does not come back");
}

static uint64_t control_registers(void)
{
    uint64_t cr3 = cr3_read();

    attack_cr0();
    attack_cr4();
    for (unsigned bit = 52; bit < 63 && option_given("strict"); bit++) {
        (void)attacker_try(write_cr3, cr3 | BIT(bit), NULL);
        cr3_write(cr3);
    }
    for (unsigned i = 16; i < 64 && option_given("strict"); i++)
        check_equal((uint64_t)attacker_try(write_cr8, i < 32 ? i : BIT(i), NULL), VECTOR_GP, "CR8 takes %u", i);
    (void)attacker_try(write_cr8, 0, NULL);
    check_equal((uint64_t)attacker_try_user(write_cr0, cr0_read()), VECTOR_GP, "ring 3 writes CR0");
    check_equal((uint64_t)attacker_try_user(write_cr4, cr4_read()), VECTOR_GP, "ring 3 writes CR4");
    return 5 + 4 + 64 + 11 + 48 + 2;
}

/* ---- XCR0 ---- */

static uint32_t xcr_number;

static uint64_t write_xcr(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(xcr_number), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
    return 0;
}

static uint64_t extended_control_register(void)
{
    static const uint64_t bad[] = {0, 2, 4, 5, 0x20, 0x40, 0x80, 0xe1, BIT(62), BIT(63), UINT64_MAX};
    uint64_t before = cr4_read();
    uint32_t eax, ebx, ecx, edx;

    xcr_number = 0;
    cpuid(1, 0, &eax, &ebx, &ecx, &edx);
    int expected = (ecx & BIT(26)) != 0 ? VECTOR_GP : VECTOR_UD;
    if (expected == VECTOR_GP)
        cr4_write(before | CR4_OSXSAVE);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++)
        check_equal((uint64_t)attacker_try(write_xcr, bad[i], NULL), (uint64_t)expected, "XCR0 takes 0x%llx",
                    (unsigned long long)bad[i]);
    check_equal((uint64_t)attacker_try_user(write_xcr, 1), (uint64_t)expected, "ring 3 writes XCR0");
    for (xcr_number = 1; xcr_number != 0; xcr_number <<= 1)
        check_equal((uint64_t)attacker_try(write_xcr, 1, NULL), (uint64_t)expected, "there is an XCR %u", xcr_number);
    cr4_write(before);
    return ARRAY_SIZE(bad) + 1 + 32;
}

/* ---- Debug registers: breakpoints that are to hit the hypervisor, on whatever way it is when we exit ---- */

static uint32_t breakpoint_hits;

static void on_debug(struct interrupt_frame *frame)
{
    breakpoint_hits++;
    frame->rflags |= RFLAGS_RF;
    frame->rflags &= ~RFLAGS_TF;
}

static uint64_t breakpoints(void)
{
    static const uint64_t kinds[] = {0, 1,
                                     3}; /* instruction, write, access. SDM vol. 3, "Debug Control Register (DR7)" */
    uint64_t host = option_number("host", UINT64_C(0xffffffff80100000));
    uint32_t eax, ebx, ecx, edx;
    uint64_t count = 0;

    interrupt_handle(1, on_debug);
    for (unsigned kind = 0; kind < ARRAY_SIZE(kinds); kind++) {
        uint64_t enabled = 0xff;
        for (unsigned i = 0; i < 4; i++)
            enabled |= (kinds[kind] | (kinds[kind] == 0 ? 0 : UINT64_C(2) << 2)) << (16 + 4 * i);
        dr0_write(host);
        dr1_write(host + 1);
        dr2_write(UINT64_C(0xffffffffc0000000)); /* where each CPU's stack and variables begin */
        dr3_write(UINT64_C(0xffff800000000000));
        dr7_write(enabled | 0x400);
        for (unsigned i = 0; i < 100; i++, count++) {
            cpuid(i, 0, &eax, &ebx, &ecx, &edx);
            (void)in8(0x80);
            (void)msr_read(MSR_APIC_BASE);
        }
        dr7_write(0x400);
    }
    interrupt_handle(1, NULL);
    check_equal(breakpoint_hits, 0, "a breakpoint at addresses of the hypervisor hits here");
    return count;
}

const struct attack attacks_on_registers[] = {
    {"cpuid", "leaves read", every_leaf},
    {"msrs", "MSRs read and written", every_msr},
    {"control-registers", "bad values tried", control_registers},
    {"xcr0", "bad values tried", extended_control_register},
    {"breakpoints", "exits under breakpoints on the hypervisor", breakpoints},
    {NULL, NULL, NULL},
};

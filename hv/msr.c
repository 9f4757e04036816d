/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers as guests see them: one row a register, or range, with its reason. What has no row gives #GP
 * and one log line. Intel SDM vol. 4, "Architectural MSRs"; AMD APM vol. 2, appendix A "MSR Cross-Reference"; AMD BKDG
 * and PPR for the C001_xxxx ones.
 */
#include "hv/msr.h"

#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/paravirt_clock.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define EFER_SCE   BIT(0)
#define EFER_LME   BIT(8)
#define EFER_LMA   BIT(10)
#define EFER_NXE   BIT(11)
#define EFER_FFXSR BIT(14)
#define CR0_PG     BIT(31)

/* Live in the control block, or stay in the processor, which no other guest ever uses. */
const uint32_t msr_direct[] = {
    0x00000174, 0x00000175, 0x00000176,             /* SYSENTER_CS, _ESP, _EIP */
    0xc0000081, 0xc0000082, 0xc0000083, 0xc0000084, /* STAR, LSTAR, CSTAR, SFMASK */
    0xc0000100, 0xc0000101, 0xc0000102,             /* FS_BASE, GS_BASE, KERNEL_GS_BASE */
};
const uint32_t msr_direct_count = ARRAY_SIZE(msr_direct);

#define MSR_TSC 0x10u

bool msr_is_direct(uint32_t msr, bool write)
{
    for (uint32_t i = 0; i < msr_direct_count; i++) {
        if (msr_direct[i] == msr)
            return true;
    }
    return msr == MSR_TSC && !write;
}

enum msr_kind {
    MSR_FIXED,     /* reads `value`, writes are swallowed */
    MSR_READONLY,  /* reads `value`, writes give #GP */
    MSR_ABSENT,    /* #GP, without a log line: operating systems probe for it */
    MSR_HOST_READ, /* the processor's own value; writes are swallowed */
    MSR_HANDLED,   /* its own functions */
};

struct msr_row {
    uint32_t first, last;
    uint8_t kind;
    uint64_t value;
    int (*read)(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
    int (*write)(struct vcpu *vcpu, uint32_t msr, uint64_t value);
    const char *reason;
};

static int tsc_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = machine_ticks() + vcpu_read(vcpu, VCPU_TSC_OFFSET);
    return 0;
}

static int tsc_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    (void)msr;
    vcpu_write(vcpu, VCPU_TSC_OFFSET, value - machine_ticks());
    paravirt_clock_tsc_set(vcpu);
    return 0;
}

static int apic_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    return vcpu->irq->msr_read(vcpu, msr, value);
}

/* An x2APIC write may send to other vCPUs and reach the IOAPIC (EOI). */
static int apic_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    guest_devices_lock(vcpu->guest);
    int error = vcpu->irq->msr_write(vcpu, msr, value);
    guest_devices_unlock(vcpu->guest);
    return error;
}

static bool pat_valid(uint64_t pat)
{
    for (unsigned i = 0; i < 8; i++) {
        uint64_t type = pat >> (8 * i) & 0xff;
        if (type > 7 || type == 2 || type == 3)
            return false;
    }
    return true;
}

static int pat_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = vcpu_read(vcpu, VCPU_PAT);
    return 0;
}

static int pat_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    (void)msr;
    if (!pat_valid(value))
        return E_INVAL;
    vcpu_write(vcpu, VCPU_PAT, value);
    return 0;
}

static int efer_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    (void)msr;
    *value = vcpu_read(vcpu, VCPU_EFER);
    return 0;
}

/* Bits follow what CPUID offers; LMA is the processor's, and LME stays while paging is on. AMD APM vol. 2, "Extended
 * Feature Enable Register (EFER)". */
static int efer_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    uint64_t old = vcpu_read(vcpu, VCPU_EFER);
    uint64_t allowed = EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE;

    (void)msr;
    if ((cpuid_policy(vcpu, 0x80000001, 0).edx & BIT(25)) != 0)
        allowed |= EFER_FFXSR;
    if ((value & ~allowed) != 0)
        return E_INVAL;
    if (((value ^ old) & EFER_LME) != 0 && (vcpu_read(vcpu, VCPU_CR0) & CR0_PG) != 0)
        return E_INVAL;
    vcpu_write(vcpu, VCPU_EFER, (value & ~EFER_LMA) | (old & EFER_LMA));
    return 0;
}

/* TSC_AUX stays in the processor; where there is none, so has the guest. */
static int tsc_aux_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    if ((cpuid_policy(vcpu, 0x80000001, 0).edx & BIT(27)) == 0)
        return E_INVAL;
    return machine_msr_read(msr, value) == 0 ? 0 : E_INVAL;
}

static int tsc_aux_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    if ((cpuid_policy(vcpu, 0x80000001, 0).edx & BIT(27)) == 0 || value > UINT32_MAX)
        return E_INVAL;
    return machine_msr_write(msr, value) == 0 ? 0 : E_INVAL;
}

/* Intel SDM vol. 3, "Memory Type Range Registers (MTRRs)": 8 variable pairs, fixed ranges, write combining. */
#define MTRR_PAIRS      8u
#define MTRR_CAPABILITY (MTRR_PAIRS | BIT(8) | BIT(10))
#define MTRR_VALID      BIT(11)

static bool mtrr_type_valid(uint64_t type)
{
    return type < 7 && type != 2 && type != 3;
}

/* Where vcpu->mtrrs keeps a register: the default type, the fixed ranges, the pairs. */
static uint64_t *mtrr_slot(struct vcpu *vcpu, uint32_t msr)
{
    if (msr == 0x2ff)
        return &vcpu->mtrrs.default_type;
    if (msr >= 0x200 && msr < 0x200 + 2 * MTRR_PAIRS)
        return &vcpu->mtrrs.variable[msr - 0x200];
    if (msr == 0x250)
        return &vcpu->mtrrs.fixed[0];
    return msr == 0x258 || msr == 0x259 ? &vcpu->mtrrs.fixed[msr - 0x258 + 1] : &vcpu->mtrrs.fixed[msr - 0x268 + 3];
}

static int mtrr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    *value = *mtrr_slot(vcpu, msr);
    return 0;
}

/* The guest's own memory is write-back to the processor whatever they say (PAT can still lower it); they are kept as
 * written. */
static int mtrr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    uint64_t address = BIT(cpuid_physical_bits()) - PAGE_SIZE;

    if (msr == 0x2ff) {
        if ((value & ~(UINT64_C(0xc00) | 0xff)) != 0 || !mtrr_type_valid(value & 0xff))
            return E_INVAL;
    } else if (msr < 0x250 && (msr & 1) == 0) {
        if ((value & ~(address | 0xff)) != 0 || !mtrr_type_valid(value & 0xff))
            return E_INVAL;
    } else if (msr < 0x250) {
        if ((value & ~(address | MTRR_VALID)) != 0)
            return E_INVAL;
    } else {
        for (unsigned i = 0; i < 8; i++) {
            if (!mtrr_type_valid(value >> (8 * i) & 0xff))
                return E_INVAL;
        }
    }
    *mtrr_slot(vcpu, msr) = value;
    return 0;
}

/* Sorted by first register. */
static const struct msr_row rows[] = {
    {0x00000000, 0x00000001, MSR_FIXED, 0, NULL, NULL, "P5_MC_ADDR, P5_MC_TYPE: no machine checks"},
    {0x00000010, 0x00000010, MSR_HANDLED, 0, tsc_read, tsc_write, "TSC, with the guest's offset"},
    {0x00000017, 0x00000017, MSR_READONLY, 0, NULL, NULL, "PLATFORM_ID: only microcode loaders ask"},
    {0x0000001b, 0x0000001b, MSR_HANDLED, 0, apic_read, apic_write, "APIC_BASE: the local APIC model's"},
    {0x00000034, 0x00000034, MSR_ABSENT, 0, NULL, NULL, "SMI_COUNT: there are none"},
    {0x0000003a, 0x0000003a, MSR_READONLY, 1, NULL, NULL, "FEATURE_CONTROL: locked, VMX off"},
    {0x0000008b, 0x0000008b, MSR_HOST_READ, 0, NULL, NULL, "microcode revision; loading one is not for guests"},
    {0x000000ce, 0x000000ce, MSR_READONLY, 0, NULL, NULL, "PLATFORM_INFO: no ratio, no CPUID faulting"},
    {0x000000fe, 0x000000fe, MSR_READONLY, MTRR_CAPABILITY, NULL, NULL, "MTRRCAP"},
    {0x0000010a, 0x0000010a, MSR_ABSENT, 0, NULL, NULL, "ARCH_CAPABILITIES: not offered by CPUID"},
    {0x00000122, 0x00000123, MSR_ABSENT, 0, NULL, NULL, "TSX_CTRL, MCU_OPT_CTRL: not offered by CPUID"},
    {0x00000140, 0x00000140, MSR_ABSENT, 0, NULL, NULL, "MISC_FEATURES_ENABLES: no CPUID faulting"},
    {0x00000179, 0x00000179, MSR_READONLY, 0, NULL, NULL, "MCG_CAP: no machine check banks"},
    {0x0000017a, 0x0000017a, MSR_FIXED, 0, NULL, NULL, "MCG_STATUS"},
    {0x00000186, 0x00000189, MSR_ABSENT, 0, NULL, NULL, "PERFEVTSEL: no performance counters"},
    {0x00000198, 0x0000019c, MSR_ABSENT, 0, NULL, NULL, "PERF_STATUS to THERM_STATUS: no power management"},
    {0x000001a0, 0x000001a0, MSR_FIXED, BIT(0) | BIT(11) | BIT(12), NULL, NULL,
     "MISC_ENABLE: fast strings, no branch trace, no PEBS"},
    {0x000001d9, 0x000001d9, MSR_FIXED, 0, NULL, NULL, "DEBUGCTL: no branch records"},
    {0x00000200, 0x0000020f, MSR_HANDLED, 0, mtrr_read, mtrr_write, "variable MTRRs"},
    {0x00000250, 0x00000250, MSR_HANDLED, 0, mtrr_read, mtrr_write, "fixed MTRR"},
    {0x00000258, 0x00000259, MSR_HANDLED, 0, mtrr_read, mtrr_write, "fixed MTRRs"},
    {0x00000268, 0x0000026f, MSR_HANDLED, 0, mtrr_read, mtrr_write, "fixed MTRRs"},
    {0x00000277, 0x00000277, MSR_HANDLED, 0, pat_read, pat_write, "PAT: the guest's own"},
    {0x000002ff, 0x000002ff, MSR_HANDLED, 0, mtrr_read, mtrr_write, "MTRR default type"},
    {0x00000345, 0x00000345, MSR_ABSENT, 0, NULL, NULL, "PERF_CAPABILITIES: no performance counters"},
    {0x0000038d, 0x00000390, MSR_ABSENT, 0, NULL, NULL, "fixed counters: none"},
    {0x00000606, 0x00000648, MSR_ABSENT, 0, NULL, NULL, "RAPL: no power management"},
    {0x000006e0, 0x000006e0, MSR_HANDLED, 0, apic_read, apic_write, "TSC_DEADLINE: the local APIC model's"},
    {0x00000800, 0x000008ff, MSR_HANDLED, 0, apic_read, apic_write, "x2APIC: the local APIC model's"},
    {PARAVIRT_CLOCK_MSR_WALL, PARAVIRT_CLOCK_MSR_SYSTEM, MSR_HANDLED, 0, paravirt_clock_read, paravirt_clock_write,
     "KVM's WALL_CLOCK_NEW, SYSTEM_TIME_NEW: the paravirtual clock"},
    {0xc0000080, 0xc0000080, MSR_HANDLED, 0, efer_read, efer_write, "EFER"},
    {0xc0000103, 0xc0000103, MSR_HANDLED, 0, tsc_aux_read, tsc_aux_write, "TSC_AUX: stays in the processor"},
    {0xc0000104, 0xc0000104, MSR_ABSENT, 0, NULL, NULL, "TSC ratio: SVM is ours"},
    {0xc0010000, 0xc0010007, MSR_ABSENT, 0, NULL, NULL, "performance counters: none"},
    {0xc0010010, 0xc0010010, MSR_FIXED, 0, NULL, NULL, "SYSCFG: no TOM2, no memory encryption"},
    {0xc0010015, 0xc0010015, MSR_FIXED, BIT(24), NULL, NULL, "HWCR: the TSC counts at the P0 frequency"},
    {0xc001001a, 0xc001001d, MSR_FIXED, 0, NULL, NULL, "TOP_MEM, TOM2: the memory map says it"},
    {0xc001001f, 0xc001001f, MSR_FIXED, 0, NULL, NULL, "NB_CFG"},
    {0xc0010055, 0xc0010055, MSR_FIXED, 0, NULL, NULL, "interrupt pending message: no C1E"},
    {0xc0010111, 0xc0010113, MSR_FIXED, 0, NULL, NULL, "SMM base and mask: no SMM"},
    {0xc0010114, 0xc0010114, MSR_READONLY, BIT(3) | BIT(4), NULL, NULL, "VM_CR: SVM disabled and locked"},
    {0xc0010117, 0xc0010117, MSR_ABSENT, 0, NULL, NULL, "VM_HSAVE_PA: SVM is ours"},
    {0xc0010140, 0xc0010141, MSR_ABSENT, 0, NULL, NULL, "OSVW: not offered by CPUID"},
    {0xc0010200, 0xc001020b, MSR_ABSENT, 0, NULL, NULL, "performance counters: none"},
    {0xc0011000, 0xc00110ff, MSR_FIXED, 0, NULL, NULL, "model-specific configuration: none changes what a guest sees"},
};

static const struct msr_row *find_row(uint32_t msr)
{
    uint32_t low = 0, high = ARRAY_SIZE(rows);

    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (rows[middle].last < msr)
            low = middle + 1;
        else
            high = middle;
    }
    return low < ARRAY_SIZE(rows) && rows[low].first <= msr ? &rows[low] : NULL;
}

/* One line for each of the first registers, not for each access. Two vCPUs at once may say a line twice. */
static int refuse_unknown(struct vcpu *vcpu, uint32_t msr, const char *verb)
{
    struct guest *guest = vcpu->guest;
    uint32_t count = (uint32_t)min_u64(__atomic_load_n(&guest->unknown_msr_count, __ATOMIC_RELAXED),
                                       ARRAY_SIZE(guest->unknown_msrs));

    for (uint32_t i = 0; i < count; i++) {
        if (guest->unknown_msrs[i] == msr)
            return E_INVAL;
    }
    if (count < ARRAY_SIZE(guest->unknown_msrs)) {
        guest->unknown_msrs[count] = msr;
        __atomic_store_n(&guest->unknown_msr_count, count + 1, __ATOMIC_RELAXED);
    }
    guest_log(guest, "%s MSR 0x%x, which it does not have: #GP", verb, msr);
    return E_INVAL;
}

int msr_policy_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    const struct msr_row *row = find_row(msr);

    if (row == NULL)
        return refuse_unknown(vcpu, msr, "reads");
    switch (row->kind) {
    case MSR_FIXED:
    case MSR_READONLY: *value = row->value; return 0;
    case MSR_HOST_READ:
        if (machine_msr_read(msr, value) != 0)
            *value = 0;
        return 0;
    case MSR_HANDLED: return row->read(vcpu, msr, value);
    default: return E_INVAL;
    }
}

int msr_policy_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    const struct msr_row *row = find_row(msr);

    if (row == NULL)
        return refuse_unknown(vcpu, msr, "writes");
    switch (row->kind) {
    case MSR_FIXED:
    case MSR_HOST_READ: return 0;
    case MSR_HANDLED: return row->write(vcpu, msr, value);
    default: return E_INVAL;
    }
}

/* What firmware leaves: RAM write-back by default, the hole below 4 GiB and the adapters' area uncached. Intel SDM vol.
 * 3, "MTRR Initialization". */
void msr_reset(struct vcpu *vcpu)
{
    uint64_t address = BIT(cpuid_physical_bits()) - 1;

    memset(&vcpu->mtrrs, 0, sizeof(vcpu->mtrrs));
    vcpu->mtrrs.default_type = BIT(11) | BIT(10) | 6;
    for (unsigned i = 0; i < ARRAY_SIZE(vcpu->mtrrs.fixed); i++)
        vcpu->mtrrs.fixed[i] = UINT64_C(0x0606060606060606);
    vcpu->mtrrs.fixed[2] = 0; /* 0xa0000-0xbffff */
    vcpu->mtrrs.variable[0] = GUEST_LOW_RAM_MAX;
    vcpu->mtrrs.variable[1] = (address & ~(GIB(1) - 1)) | MTRR_VALID;
    (void)machine_msr_write(0xc0000103, 0);
    paravirt_clock_reset(vcpu);
}

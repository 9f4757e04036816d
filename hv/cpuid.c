/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID as guests see it. Leaves without a row read zero; a row lets bits of the processor's own answer through and
 * says why. What depends on the vCPU (ids, topology, CR4.OSXSAVE, XCR0) is filled in when asked. Intel SDM vol. 2,
 * "CPUID—CPU Identification"; AMD APM vol. 3, appendix E "Obtaining Processor Information Via the CPUID Instruction".
 */
#include "hv/cpuid.h"

#include "hv/guest.h"
#include "hv/hypercall.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define ANY  UINT32_MAX
#define NONE 0u

#define LEAVES_MAX  0x20u /* kept of each block */
#define BASIC_MAX   0x1fu
#define EXTENDED    0x80000000u
#define SUBLEAF_ALL 0xffu

/* Leaf 1 ECX that a guest may use: SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 x2APIC MOVBE POPCNT TSC-deadline AES XSAVE
 * OSXSAVE AVX F16C RDRAND. Hidden: DTES64 MONITOR DS-CPL VMX SMX EIST TM2 SDBG xTPR PDCM PCID DCA. */
#define LEAF1_ECX                                                                                                      \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(17) | BIT(19) | BIT(20) | BIT(21) | BIT(22) | BIT(23) |        \
     BIT(24) | BIT(25) | BIT(26) | BIT(28) | BIT(29) | BIT(30))
/* Leaf 1 EDX. Hidden: DS, ACPI thermal, SS (self-snoop is harmless and stays), HTT (set by topology), TM, PBE. */
#define LEAF1_EDX                                                                                                      \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BIT(12) |     \
     BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(27))
/* Leaf 7 EBX: FSGSBASE BMI1 AVX2 SMEP BMI2 ERMS AVX-512 F, DQ, IFMA, CD, BW, VL, RDSEED ADX SMAP CLFLUSHOPT CLWB SHA.
 * INVPCID (see cpuid_policy_hide). Hidden: TSC_ADJUST SGX HLE RTM RDT MPX PT. */
#define LEAF7_EBX                                                                                                      \
    (BIT(0) | BIT(3) | BIT(5) | BIT(7) | BIT(8) | BIT(9) | BIT(10) | BIT(13) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | \
     BIT(20) | BIT(21) | BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* Leaf 7 ECX: AVX-512 VBMI, UMIP, VBMI2, GFNI, VAES, VPCLMULQDQ, VNNI, BITALG, VPOPCNTDQ, RDPID. Hidden: PKU (emulated
 * operands do not check keys), LA57 (stage 2 has four levels), WAITPKG, CET, bus-lock detection, key locker, ENQCMD. */
#define LEAF7_ECX (BIT(1) | BIT(2) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | BIT(22))
/* Leaf 7 EDX: FSRM and the facts about speculation that need no MSR: MD_CLEAR, SERIALIZE. Hidden with their MSRs:
 * SPEC_CTRL, STIBP, SSBD, ARCH_CAPABILITIES. */
#define LEAF7_EDX (BIT(2) | BIT(3) | BIT(4) | BIT(10) | BIT(14))
/* 8000_0001 ECX: LAHF ALTMOVCR8 ABM SSE4A MISALIGNSSE 3DNOWPREFETCH XOP FMA4 TBM. Hidden: SVM EXTAPIC OSVW IBS SKINIT
 * WDT LWP NODEID TOPOEXT (topology is generated elsewhere) PERFCTR. */
#define EXTENDED1_ECX (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
/* 8000_0001 EDX: as leaf 1, SYSCALL NX MMXEXT FXSR FFXSR PAGE1GB RDTSCP LM 3DNOW. */
#define EXTENDED1_EDX                                                                                                  \
    (BIT(0) | BIT(1) | BIT(2) | BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BIT(12) |     \
     BIT(13) | BIT(14) | BIT(15) | BIT(16) | BIT(17) | BIT(20) | BIT(22) | BIT(23) | BIT(24) | BIT(25) | BIT(26) |     \
     BIT(27) | BIT(29) | BIT(30) | BIT(31))

struct cpuid_row {
    uint32_t leaf;
    uint8_t subleaf;             /* or SUBLEAF_ALL */
    uint32_t eax, ebx, ecx, edx; /* bits that pass */
    const char *reason;
};

static const struct cpuid_row rows[] = {
    {0x00000000, 0, ANY, ANY, ANY, ANY, "vendor; highest leaf, limited to those with a row"},
    {0x00000001, 0, ANY, 0xff00, LEAF1_ECX, LEAF1_EDX, "model and features; ids are the guest's own"},
    {0x00000002, 0, ANY, ANY, ANY, ANY, "cache descriptors, facts of the hardware"},
    {0x00000004, SUBLEAF_ALL, 0x3ff, ANY, ANY, ANY, "caches; who shares them is the guest's own topology"},
    {0x00000006, 0, BIT(2), NONE, NONE, NONE, "ARAT: the local APIC timer never stops; no power management"},
    {0x00000007, 0, 0, LEAF7_EBX, LEAF7_ECX, LEAF7_EDX, "features"},
    {0x0000000d, SUBLEAF_ALL, ANY, ANY, ANY, ANY, "extended state, as far as XCR0 may enable it"},
    {0x80000000, 0, ANY, ANY, ANY, ANY, "vendor; highest extended leaf"},
    {0x80000001, 0, ANY, ANY, EXTENDED1_ECX, EXTENDED1_EDX, "features; SVM is ours"},
    {0x80000002, 0, ANY, ANY, ANY, ANY, "brand"},
    {0x80000003, 0, ANY, ANY, ANY, ANY, "brand"},
    {0x80000004, 0, ANY, ANY, ANY, ANY, "brand"},
    {0x80000005, 0, ANY, ANY, ANY, ANY, "caches and TLBs, facts of the hardware"},
    {0x80000006, 0, ANY, ANY, ANY, ANY, "caches and TLBs, facts of the hardware"},
    {0x80000007, 0, NONE, NONE, NONE, BIT(8), "invariant TSC; no power management"},
    {0x80000008, 0, 0xffff, BIT(0) | BIT(2) | BIT(9), NONE, NONE, "address widths; number of cores is the guest's own"},
};

/* Components of XCR0 that are offered: x87 SSE AVX, AVX-512 (3). MPX, PKRU, CET, AMX are hidden with their features. */
#define XCR0_OFFERED UINT64_C(0xe7)

static struct cpuid_result basic[LEAVES_MAX], extended[LEAVES_MAX];
static uint32_t vendor_is_amd;
static uint32_t tsc_khz, apic_timer_khz;

static const struct cpuid_row *find_row(uint32_t leaf)
{
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        if (rows[i].leaf == leaf)
            return &rows[i];
    }
    return NULL;
}

static struct cpuid_result filtered(const struct cpuid_row *row, uint32_t subleaf)
{
    struct cpuid_result result = machine_cpuid(row->leaf, subleaf);

    result.eax &= row->eax;
    result.ebx &= row->ebx;
    result.ecx &= row->ecx;
    result.edx &= row->edx;
    return result;
}

void cpuid_policy_init(uint64_t apic_timer_hz)
{
    uint32_t basic_limit = machine_cpuid(0, 0).eax, extended_limit = machine_cpuid(EXTENDED, 0).eax;

    memset(basic, 0, sizeof(basic));
    memset(extended, 0, sizeof(extended));
    for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
        const struct cpuid_row *row = &rows[i];
        bool is_extended = (row->leaf & EXTENDED) != 0;
        if (row->leaf > (is_extended ? extended_limit : basic_limit))
            continue;
        (is_extended ? extended : basic)[row->leaf % LEAVES_MAX] = filtered(row, 0);
    }
    basic[0].eax = (uint32_t)min_u64(basic_limit, BASIC_MAX);
    extended[0].eax = (uint32_t)min_u64(extended_limit, EXTENDED + 8);
    vendor_is_amd = basic[0].ecx == 0x444d4163 || basic[0].ecx == 0x656e6975; /* "cAMD", "uine" of HygonGenuine */
    basic[1].ecx |= (uint32_t)BIT(31);                                        /* a hypervisor is present */
    basic[1].ecx |= (uint32_t)BIT(24); /* the local APIC model has TSC-deadline mode whatever the processor's own has */
    if (basic_limit >= 6)
        basic[6].eax |= (uint32_t)BIT(2);
    tsc_khz = (uint32_t)(machine_ticks_hz() / 1000);
    apic_timer_khz = (uint32_t)(apic_timer_hz / 1000);
}

void cpuid_policy_hide(enum cpuid_feature feature)
{
    switch (feature) {
    case CPUID_FEATURE_RDTSCP:
        extended[1].edx &= ~(uint32_t)BIT(27);
        basic[7].ecx &= ~(uint32_t)BIT(22); /* RDPID reads the same MSR */
        break;
    case CPUID_FEATURE_INVPCID: basic[7].ebx &= ~(uint32_t)BIT(10); break;
    case CPUID_FEATURE_XSAVES: break; /* never offered: see leaf_extended_state */
    }
}

uint8_t cpuid_physical_bits(void)
{
    uint8_t bits = (uint8_t)extended[8].eax;

    return bits != 0 ? bits : 36;
}

/* Leaf 0BH and 1FH: one level of cores, no threads. Intel SDM vol. 3, "Hierarchical Mapping of Shared Resources". */
static struct cpuid_result leaf_topology(const struct vcpu *vcpu, uint32_t subleaf)
{
    uint32_t count = vcpu->guest->vcpu_count, shift = 0;

    while ((1u << shift) < count)
        shift++;
    struct cpuid_result result = {0, 0, subleaf & 0xff, vcpu->number};
    if (subleaf == 0) {
        result.ebx = 1;
        result.ecx |= 1 << 8; /* SMT level */
    } else if (subleaf == 1) {
        result.eax = shift;
        result.ebx = count;
        result.ecx |= 2 << 8; /* core level */
    }
    return result;
}

#define XSAVE_HEADER_END 576u /* the legacy region and the header come before all other components */
#define XSAVEC           BIT(1)
#define COMPACT_ALIGNED  BIT(1) /* ECX of a component: in the compacted format it begins at a multiple of 64 */

/* Bytes that XSAVE (standard format) or XSAVEC (compacted) writes for these components. Intel SDM vol. 1, "XSAVE Area".
 */
static uint32_t xsave_size(uint64_t components, bool compacted)
{
    uint32_t end = XSAVE_HEADER_END;

    for (uint32_t i = 2; i < 32; i++) {
        if ((components & BIT(i)) == 0)
            continue;
        struct cpuid_result component = machine_cpuid(0xd, i);
        if (!compacted)
            end = (uint32_t)max_u64(end, (uint64_t)component.eax + component.ebx);
        else
            end = ((component.ecx & COMPACT_ALIGNED) != 0 ? (uint32_t)ALIGN_UP(end, 64) : end) + component.eax;
    }
    return end;
}

static struct cpuid_result leaf_extended_state(const struct vcpu *vcpu, const struct cpuid_row *row, uint32_t subleaf)
{
    struct cpuid_result result = {0, 0, 0, 0};

    if (subleaf >= 2 && (subleaf >= 64 || (XCR0_OFFERED & BIT(subleaf)) == 0))
        return result;
    result = filtered(row, subleaf);
    if (subleaf == 0) {
        /* EBX follows XCR0, which is the guest's own while it runs here; ECX is the size with all that is offered. */
        result.eax &= (uint32_t)XCR0_OFFERED;
        result.edx = 0;
        result.ecx = xsave_size(result.eax, false);
    } else if (subleaf == 1) {
        /* XSAVEOPT, XSAVEC, XGETBV(1); no supervisor states. EBX: what XSAVEC writes now. */
        result = (struct cpuid_result){result.eax & 7, 0, 0, 0};
        if ((result.eax & XSAVEC) != 0)
            result.ebx = xsave_size(vcpu->guest_xcr0, true);
    }
    return result;
}

/*
 * A second hypervisor, as it were: guests look for one in steps of 100H from 40000000H, and most of them know KVM. Two
 * things follow for them: a clock that needs no calibration (under emulation an exit takes so long that none succeeds),
 * and x2APIC without interrupt remapping, which Linux refuses under a hypervisor that it does not know. Only what is
 * implemented is offered; port accesses need no pause after them, and one to port 80H costs an exit. Linux
 * Documentation/virt/kvm/x86/cpuid.rst, "KVM CPUID bits".
 */
#define KVM_SIGNATURE                  0x40000100u
#define KVM_FEATURES                   0x40000101u
#define KVM_SIGNATURE_EBX              0x4b4d564bu /* "KVMK" */
#define KVM_SIGNATURE_ECX              0x564b4d56u /* "VMKV" */
#define KVM_SIGNATURE_EDX              0x0000004du /* "M" */
#define KVM_FEATURE_NOP_IO_DELAY       BIT(1)
#define KVM_FEATURE_CLOCKSOURCE2       BIT(3)
#define KVM_FEATURE_CLOCKSOURCE_STABLE BIT(24)
#define KVM_FEATURES_OFFERED           (KVM_FEATURE_NOP_IO_DELAY | KVM_FEATURE_CLOCKSOURCE2 | KVM_FEATURE_CLOCKSOURCE_STABLE)

static __attribute__((noinline)) struct cpuid_result leaf_hypervisor(uint32_t leaf)
{
    switch (leaf) {
    case CPUID_SIGNATURE:
        return (struct cpuid_result){CPUID_TIMING, CPUID_SIGNATURE_EBX, CPUID_SIGNATURE_ECX, CPUID_SIGNATURE_EDX};
    case HYPERCALL_CPUID_LEAF: return (struct cpuid_result){HYPERCALL_VERSION, HYPERCALL_INTERFACE, 0, 0};
    case CPUID_TIMING: return (struct cpuid_result){tsc_khz, apic_timer_khz, 0, 0};
    case KVM_SIGNATURE:
        return (struct cpuid_result){KVM_FEATURES, KVM_SIGNATURE_EBX, KVM_SIGNATURE_ECX, KVM_SIGNATURE_EDX};
    case KVM_FEATURES: return (struct cpuid_result){KVM_FEATURES_OFFERED, 0, 0, 0};
    default: return (struct cpuid_result){0, 0, 0, 0};
    }
}

#define LEAF1_EDX_APIC          BIT(9)
#define LEAF1_EDX_HTT           BIT(28)
#define LEAF1_ECX_OSXSAVE_SHIFT 27

void cpuid_features_update(struct vcpu *vcpu, bool has_apic)
{
    uint32_t count = vcpu->guest->vcpu_count;
    struct cpuid_result result = basic[1];

    result.ebx |= (uint32_t)vcpu->number << 24 | count << 16;
    if (count > 1)
        result.edx |= (uint32_t)LEAF1_EDX_HTT;
    if (!has_apic)
        result.edx &= ~(uint32_t)LEAF1_EDX_APIC;
    vcpu->features = result;
}

static inline uint32_t features_ecx(const struct vcpu *vcpu)
{
    return vcpu->features.ecx | (uint32_t)vcpu->os_xsave << LEAF1_ECX_OSXSAVE_SHIFT;
}

static struct cpuid_result leaf_features(const struct vcpu *vcpu)
{
    struct cpuid_result result = vcpu->features;

    result.ecx = features_ecx(vcpu);
    return result;
}

static struct cpuid_result leaf_caches(const struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = filtered(find_row(leaf), subleaf);

    if ((result.eax & 0x1f) != 0)
        result.eax |= (vcpu->guest->vcpu_count - 1) << 26;
    return result;
}

/* Leaves, by their low five bits, whose answer is not just the kept one: it depends on the subleaf or the vCPU. */
#define LEAVES_DYNAMIC (BIT(0x1) | BIT(0x4) | BIT(0x7) | BIT(0x8) | BIT(0xb) | BIT(0xd) | BIT(0x1f))

static struct cpuid_result leaf_dynamic(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf, struct cpuid_result result)
{
    uint32_t count = vcpu->guest->vcpu_count;

    switch (leaf) {
    case 0x1: return leaf_features(vcpu);
    case 0x4: return leaf_caches(vcpu, leaf, subleaf);
    case 0x7: return subleaf == 0 ? result : (struct cpuid_result){0, 0, 0, 0};
    case 0xb:
    case 0x1f: return leaf_topology(vcpu, subleaf);
    case 0xd: return leaf_extended_state(vcpu, find_row(leaf), subleaf);
    case 0x80000001:
        if (count > 1 && vendor_is_amd)
            result.ecx |= (uint32_t)BIT(1); /* CMP_LEGACY: cores, no threads */
        return result;
    case 0x80000008:
        if (vendor_is_amd)
            result.ecx |= count - 1;
        return result;
    default: return result;
    }
}

/* The block that keeps a leaf, NULL for those of hypervisors. */
static inline const struct cpuid_result *block_of(uint32_t leaf)
{
    if (leaf < LEAVES_MAX)
        return basic;
    return leaf - EXTENDED < LEAVES_MAX ? extended : NULL;
}

static inline bool is_dynamic(uint32_t leaf)
{
    return (LEAVES_DYNAMIC >> leaf % LEAVES_MAX & 1) != 0;
}

struct cpuid_result cpuid_policy(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
    const struct cpuid_result *block = block_of(leaf);

    if (block == NULL)
        return leaf_hypervisor(leaf);
    /* Beyond the last leaf: AMD reads zero, Intel the last basic leaf, which is zero here as well. */
    if (leaf > block[0].eax)
        return (struct cpuid_result){0, 0, 0, 0};
    const struct cpuid_result *kept = &block[leaf % LEAVES_MAX];
    return is_dynamic(leaf) ? leaf_dynamic(vcpu, leaf, subleaf, *kept) : *kept;
}

static inline enum verdict answer(struct vcpu *vcpu, const struct cpuid_result *result)
{
    vcpu->gpr[GPR_RAX] = result->eax;
    vcpu->gpr[GPR_RBX] = result->ebx;
    vcpu->gpr[GPR_RCX] = result->ecx;
    vcpu->gpr[GPR_RDX] = result->edx;
    return RESUME_AFTER;
}

static __attribute__((noinline)) enum verdict answer_slowly(struct vcpu *vcpu, uint32_t leaf)
{
    struct cpuid_result result = cpuid_policy(vcpu, leaf, (uint32_t)vcpu->gpr[GPR_RCX]);

    return answer(vcpu, &result);
}

/* The leaves that programs ask most, in as few instructions as can be. Of the others a call would make this one save
 * registers. A kept leaf beyond the last is zero. */
enum verdict cpuid_exit(struct vcpu *vcpu, struct vmexit *exit)
{
    uint32_t leaf = (uint32_t)vcpu->gpr[GPR_RAX];
    const struct cpuid_result *block = block_of(leaf);

    exit->cpuid.leaf = leaf;
    exit->cpuid.subleaf = (uint32_t)vcpu->gpr[GPR_RCX];
    if (block != NULL && !is_dynamic(leaf))
        return answer(vcpu, &block[leaf % LEAVES_MAX]);
    if (leaf != 1)
        return answer_slowly(vcpu, leaf);
    uint32_t ecx = features_ecx(vcpu);
    (void)answer(vcpu, &vcpu->features);
    vcpu->gpr[GPR_RCX] = ecx;
    return RESUME_AFTER;
}

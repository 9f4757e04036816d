/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Why a processor cannot run guests with VT-x, as a pure function of what CPUID and the capability MSRs say.
 */
#include "arch/virt.h"

/* SDM vol. 3, "Enabling and Entering VMX Operation". */
#define FEATURE_CONTROL_LOCKED      BIT(0)
#define FEATURE_CONTROL_INSIDE_SMX  BIT(1)
#define FEATURE_CONTROL_OUTSIDE_SMX BIT(2)

/* SDM vol. 3, appendix A.3.3 "Secondary Processor-Based VM-Execution Controls": the upper half has what may be set. */
#define ALLOWS_EPT          BIT(32 + 1)
#define ALLOWS_UNRESTRICTED BIT(32 + 7)

/* SDM vol. 3, appendix A.10 "VPID and EPT Capabilities". */
#define EPT_WALK_4     BIT(6)
#define EPT_WRITE_BACK BIT(14)
#define INVEPT         BIT(20)
#define INVEPT_SINGLE  BIT(25)
#define INVEPT_ALL     BIT(26)

/* SDM vol. 3, appendix A.1 "Basic VMX Information". */
#define BASIC_MEMORY_TYPE(basic) ((basic) >> 50 & 0xf)
#define MEMORY_TYPE_WRITE_BACK   6u

static const char *diagnose_feature_control(uint64_t value)
{
    if (!(value & FEATURE_CONTROL_LOCKED) || (value & FEATURE_CONTROL_OUTSIDE_SMX))
        return NULL;
    if (value & FEATURE_CONTROL_INSIDE_SMX)
        return "the firmware allows VT-x inside SMX only (IA32_FEATURE_CONTROL); enable VT-x without TXT in its set-up";
    return "the firmware has locked VT-x off (IA32_FEATURE_CONTROL); enable it in the firmware's set-up";
}

uint64_t vmx_feature_control(const struct vmx_facts *facts)
{
    uint64_t on = FEATURE_CONTROL_OUTSIDE_SMX | (facts->is_smx ? FEATURE_CONTROL_INSIDE_SMX : 0);

    if (!facts->feature_control_readable || (facts->feature_control & FEATURE_CONTROL_LOCKED))
        return 0;
    return facts->feature_control | on | FEATURE_CONTROL_LOCKED;
}

/* SDM vol. 4, "IA32_ARCH_CAPABILITIES": IF_PSCHANGE_MC_NO. */
#define CAPABILITY_NO_MULTIHIT BIT(6)

/*
 * Intel names the Core and Xeon families as affected, up to those that say they are not; of family 6 the Atom cores and
 * Xeon Phi never were. So all others that do not say so count as affected: a list of them would miss some.
 */
static const uint8_t unaffected_models[] = {
    0x1c, 0x26, 0x27, 0x35, 0x36,             /* Bonnell, Saltwell */
    0x37, 0x4a, 0x4c, 0x4d, 0x5a, 0x5d, 0x75, /* Silvermont, Airmont */
    0x57, 0x85,                               /* Xeon Phi */
    0x5c, 0x5f, 0x7a,                         /* Goldmont, Goldmont Plus */
};

bool vmx_has_multihit(bool is_intel, uint32_t signature, uint64_t capabilities)
{
    uint32_t family = signature >> 8 & 0xf, model = (signature >> 4 & 0xf) | (signature >> 12 & 0xf0);

    if (!is_intel || family != 6 || (capabilities & CAPABILITY_NO_MULTIHIT) != 0)
        return false;
    for (size_t i = 0; i < ARRAY_SIZE(unaffected_models); i++) {
        if (unaffected_models[i] == model)
            return false;
    }
    return true;
}

const char *vmx_diagnose(const struct vmx_facts *facts)
{
    if (!facts->is_vmx)
        return "the processor has no VT-x (CPUID 1, ECX bit 5)";
    if (facts->feature_control_readable) {
        const char *problem = diagnose_feature_control(facts->feature_control);
        if (problem)
            return problem;
    }
    if (BASIC_MEMORY_TYPE(facts->basic) != MEMORY_TYPE_WRITE_BACK)
        return "the processor does not take control blocks in write-back memory (IA32_VMX_BASIC)";
    if (!(facts->secondary & ALLOWS_EPT))
        return "the processor's VT-x has no EPT (second-level page tables), which Bulkhead needs";
    if (!(facts->secondary & ALLOWS_UNRESTRICTED))
        return "the processor's VT-x has no unrestricted guest mode, which Bulkhead needs";
    if (!(facts->ept_vpid & EPT_WALK_4) || !(facts->ept_vpid & EPT_WRITE_BACK))
        return "the processor's EPT has no 4-level tables in write-back memory";
    if (!(facts->ept_vpid & INVEPT) || !(facts->ept_vpid & (INVEPT_SINGLE | INVEPT_ALL)))
        return "the processor has no INVEPT instruction, which Bulkhead needs";
    return NULL;
}

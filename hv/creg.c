/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control registers, for the accesses that a backend cannot leave to the processor: the checks of MOV to CR, then the
 * backend's write. Intel SDM vol. 3, "Control Registers"; vol. 2, "MOV—Move to/from Control Registers".
 */
#include "hv/creg.h"

#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/vcpu.h"

#define CR0_PE BIT(0)
#define CR0_TS BIT(3)
#define CR0_ET BIT(4)
#define CR0_NW BIT(29)
#define CR0_CD BIT(30)
#define CR0_PG BIT(31)
/* PE MP EM TS ET NE WP AM NW CD PG: the others read zero and are ignored on write. */
#define CR0_KNOWN UINT64_C(0xe005003f)

#define CR4_PAE   BIT(5)
#define CR4_LA57  BIT(12)
#define CR4_PCIDE BIT(17)
/* VME to OSXMMEXCPT: every processor that Bulkhead runs on has them. */
#define CR4_ALWAYS UINT64_C(0x7ff)

#define TYPE_TSS_32 BIT(3) /* of a TSS's type; clear in 16-bit ones */

#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

/* CR4 bits that follow a CPUID bit of leaf 1 or 7. */
static uint64_t cr4_allowed(struct vcpu *vcpu)
{
    struct cpuid_result one = cpuid_policy(vcpu, 1, 0), seven = cpuid_policy(vcpu, 7, 0);
    uint64_t allowed = CR4_ALWAYS;

    if ((seven.ecx & BIT(2)) != 0)
        allowed |= BIT(11); /* UMIP */
    if ((seven.ebx & BIT(0)) != 0)
        allowed |= BIT(16); /* FSGSBASE */
    if ((one.ecx & BIT(17)) != 0)
        allowed |= CR4_PCIDE;
    if ((one.ecx & BIT(26)) != 0)
        allowed |= BIT(18); /* OSXSAVE */
    if ((seven.ebx & BIT(7)) != 0)
        allowed |= BIT(20); /* SMEP */
    if ((seven.ebx & BIT(20)) != 0)
        allowed |= BIT(21); /* SMAP */
    return allowed;
}

/*
 * Paging and EFER.LME together switch long mode on, which wants PAE, a code segment that is not of 64 bits yet, and no
 * 16-bit task. No processor enters a guest that has long mode without. Intel SDM vol. 2, MOV to CR, "#GP(0)"; vol. 3,
 * "Initializing IA-32e Mode".
 */
static bool can_enter_long_mode(struct vcpu *vcpu)
{
    struct segment_register cs, tr;

    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    virt->read_segment(vcpu, SEGMENT_TR, &tr);
    return (vcpu_read(vcpu, VCPU_CR4) & CR4_PAE) != 0 && (cs.attributes & SEGMENT_L) == 0 &&
           (tr.attributes & TYPE_TSS_32) != 0;
}

static int cr0_write(struct vcpu *vcpu, uint64_t value)
{
    uint64_t old = vcpu_read(vcpu, VCPU_CR0), cr4 = vcpu_read(vcpu, VCPU_CR4);
    uint64_t efer = vcpu_read(vcpu, VCPU_EFER);
    struct segment_register cs;

    if (value >> 32 != 0)
        return E_INVAL;
    value = (value & CR0_KNOWN) | CR0_ET;
    if ((value & CR0_PG) != 0 && (value & CR0_PE) == 0)
        return E_INVAL;
    if ((value & CR0_NW) != 0 && (value & CR0_CD) == 0)
        return E_INVAL;
    if ((value & CR0_PG) != 0 && (old & CR0_PG) == 0 && (efer & EFER_LME) != 0 && !can_enter_long_mode(vcpu))
        return E_INVAL;
    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if ((value & CR0_PG) == 0 && (old & CR0_PG) != 0 &&
        ((cr4 & CR4_PCIDE) != 0 || ((efer & EFER_LMA) != 0 && (cs.attributes & SEGMENT_L) != 0)))
        return E_INVAL;
    vcpu_write(vcpu, VCPU_CR0, value);
    return 0;
}

static int cr4_write(struct vcpu *vcpu, uint64_t value)
{
    uint64_t old = vcpu_read(vcpu, VCPU_CR4), efer = vcpu_read(vcpu, VCPU_EFER);

    if ((value & ~cr4_allowed(vcpu)) != 0)
        return E_INVAL;
    if ((efer & EFER_LMA) != 0 && ((value & CR4_PAE) == 0 || ((value ^ old) & CR4_LA57) != 0))
        return E_INVAL;
    if ((value & CR4_PCIDE) != 0 && (old & CR4_PCIDE) == 0 &&
        ((efer & EFER_LMA) == 0 || (vcpu_read(vcpu, VCPU_CR3) & 0xfff) != 0))
        return E_INVAL;
    vcpu_write(vcpu, VCPU_CR4, value);
    return 0;
}

static int control_write(struct vcpu *vcpu, unsigned number, uint64_t value)
{
    switch (number) {
    case 0: return cr0_write(vcpu, value);
    case 3: vcpu_write(vcpu, VCPU_CR3, value & ~BIT(63)); return 0;
    case 4: return cr4_write(vcpu, value);
    case 8:
        if (value > 15)
            return E_INVAL;
        vcpu->tpr = (uint8_t)(value << 4);
        return 0;
    default: return E_NOSYS;
    }
}

static int control_read(struct vcpu *vcpu, unsigned number, uint64_t *value)
{
    switch (number) {
    case 0: *value = vcpu_read(vcpu, VCPU_CR0); return 0;
    case 3: *value = vcpu_read(vcpu, VCPU_CR3); return 0;
    case 4: *value = vcpu_read(vcpu, VCPU_CR4); return 0;
    case 8: *value = vcpu->tpr >> 4; return 0;
    default: return E_NOSYS;
    }
}

/* Without decode assists only the instruction knows its operand. Returns false when it is none of this kind (any more).
 */
static bool find_operand(struct vcpu *vcpu, struct vmexit *exit)
{
    uint8_t bytes[INSTRUCTION_LENGTH_MAX];
    unsigned available;
    enum decode_mode mode;
    struct instruction instruction;

    if (vcpu_fetch(vcpu, bytes, &available, &mode) != 0 || decode(bytes, available, mode, &instruction) != 0)
        return false;
    if (instruction.operation == OPERATION_MOV_CONTROL)
        exit->reg.gpr = exit->reg.write ? instruction.source.number : instruction.destination.number;
    exit->length = instruction.length;
    return exit->reg.gpr != EXIT_GPR_UNKNOWN;
}

enum verdict creg_access(struct vcpu *vcpu, struct vmexit *exit)
{
    unsigned size = vcpu_mode(vcpu) == MODE_LONG_64 ? 8 : 4;
    uint64_t value = 0;
    int error;

    /* The guest changed the instruction meanwhile, or cannot be read any more: let the processor look again. */
    if (exit->reg.gpr == EXIT_GPR_UNKNOWN && !find_operand(vcpu, exit))
        return RESUME;
    if (exit->reg.write) {
        error = control_write(vcpu, exit->reg.number, vcpu_gpr_part(vcpu, exit->reg.gpr, size, false));
    } else {
        error = control_read(vcpu, exit->reg.number, &value);
        if (error == 0)
            vcpu_set_gpr_part(vcpu, exit->reg.gpr, size, false, value);
    }
    if (error == 0)
        return RESUME_AFTER;
    if (error == E_NOSYS)
        event_raise(vcpu, VECTOR_UD);
    else
        event_raise_error(vcpu, VECTOR_GP, 0);
    return RESUME;
}

enum verdict creg_clts(struct vcpu *vcpu, struct vmexit *exit)
{
    (void)exit;
    vcpu_write(vcpu, VCPU_CR0, vcpu_read(vcpu, VCPU_CR0) & ~CR0_TS);
    return RESUME_AFTER;
}

/* The operand is in exit->reg.lmsw. LMSW sets PE, MP, EM and TS, and cannot clear PE. */
enum verdict creg_lmsw(struct vcpu *vcpu, struct vmexit *exit)
{
    uint64_t old = vcpu_read(vcpu, VCPU_CR0);

    vcpu_write(vcpu, VCPU_CR0, (old & ~UINT64_C(0xe)) | (exit->reg.lmsw & 0xf));
    return RESUME_AFTER;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A vCPU's registers as instructions see them: operand sizes, high bytes, the processor's mode, and the step behind an
 * emulated instruction.
 */
#include "hv/decode.h"
#include "hv/error.h"
#include "hv/exit.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/vcpu.h"

#define CR0_PE    BIT(0)
#define EFER_LMA  BIT(10)
#define RFLAGS_TF BIT(8)
#define RFLAGS_RF BIT(16)
#define RFLAGS_VM BIT(17)
#define DR6_BS    BIT(14)

uint64_t vcpu_gpr(struct vcpu *vcpu, unsigned number)
{
    return number == GPR_RSP ? vcpu_read(vcpu, VCPU_RSP) : vcpu->gpr[number];
}

void vcpu_set_gpr(struct vcpu *vcpu, unsigned number, uint64_t value)
{
    if (number == GPR_RSP)
        vcpu_write(vcpu, VCPU_RSP, value);
    else
        vcpu->gpr[number] = value;
}

uint64_t vcpu_gpr_part(struct vcpu *vcpu, unsigned number, unsigned size, bool high)
{
    if (high)
        return vcpu_gpr(vcpu, number & 3) >> 8 & 0xff;
    return vcpu_gpr(vcpu, number) & UINT64_MAX >> (64 - 8 * size);
}

void vcpu_set_gpr_part(struct vcpu *vcpu, unsigned number, unsigned size, bool high, uint64_t value)
{
    unsigned target = high ? number & 3 : number;
    unsigned shift = high ? 8 : 0;
    uint64_t mask = (UINT64_MAX >> (64 - 8 * size)) << shift;
    uint64_t old = size >= 4 ? 0 : vcpu_gpr(vcpu, target);

    vcpu_set_gpr(vcpu, target, (old & ~mask) | (value << shift & mask));
}

enum vcpu_mode vcpu_mode(struct vcpu *vcpu)
{
    struct segment_register cs;

    /* No other mode has instruction pointers above 4 GiB, and 64-bit kernels nearly always do. */
    if (vcpu_read(vcpu, VCPU_RIP) > UINT32_MAX)
        return MODE_LONG_64;
    if ((vcpu_read(vcpu, VCPU_CR0) & CR0_PE) == 0)
        return MODE_REAL;
    if ((vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_VM) != 0)
        return MODE_VIRTUAL_8086;
    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if ((vcpu_read(vcpu, VCPU_EFER) & EFER_LMA) != 0 && (cs.attributes & SEGMENT_L) != 0)
        return MODE_LONG_64;
    return (cs.attributes & SEGMENT_DB) != 0 ? MODE_PROTECTED_32 : MODE_PROTECTED_16;
}

unsigned vcpu_privilege_level(struct vcpu *vcpu)
{
    struct segment_register ss;

    if ((vcpu_read(vcpu, VCPU_CR0) & CR0_PE) == 0)
        return 0;
    if ((vcpu_read(vcpu, VCPU_RFLAGS) & RFLAGS_VM) != 0)
        return 3;
    virt->read_segment(vcpu, SEGMENT_SS, &ss);
    return ss.attributes >> SEGMENT_DPL_SHIFT & 3;
}

static enum decode_mode decode_mode_of(enum vcpu_mode mode)
{
    return mode == MODE_LONG_64 ? DECODE_64 : mode == MODE_PROTECTED_32 ? DECODE_32 : DECODE_16;
}

static int fetch_code(struct vcpu *vcpu, uint8_t *bytes, unsigned *available)
{
    struct gwalk_fault fault;
    int error = gwalk_fetch(vcpu, bytes, INSTRUCTION_LENGTH_MAX, available, &fault);

    if (error == E_FAULT) {
        event_raise_page_fault(vcpu, fault.address, fault.error_code);
    } else if (error == E_RANGE) { /* beyond the code segment */
        event_raise_error(vcpu, VECTOR_GP, 0);
        error = E_FAULT;
    }
    return error;
}

int vcpu_fetch(struct vcpu *vcpu, uint8_t *bytes, unsigned *available, enum decode_mode *mode)
{
    int error = fetch_code(vcpu, bytes, available);

    *mode = error == 0 ? decode_mode_of(vcpu_mode(vcpu)) : DECODE_64;
    return error;
}

/*
 * Instructions without operands, whose length no mode changes, by the exits that they cause (VMCALL's is told by the
 * processor). OPERATION_UNKNOWN: decode whatever is there.
 */
static const uint8_t exit_operations[EXIT_KIND_COUNT] = {
    [EXIT_CPUID] = OPERATION_CPUID,     [EXIT_HLT] = OPERATION_HLT,       [EXIT_MSR_READ] = OPERATION_RDMSR,
    [EXIT_MSR_WRITE] = OPERATION_WRMSR, [EXIT_XSETBV] = OPERATION_XSETBV, [EXIT_HYPERCALL] = OPERATION_VMMCALL,
};

/* A guest that changes its instructions under our hands is tried again; one whose instruction never is what its exit
 * says is not. */
#define LENGTH_TRIES_MAX 1000u

static __attribute__((noinline)) unsigned decode_length(struct vcpu *vcpu, enum operation operation)
{
    uint8_t bytes[INSTRUCTION_LENGTH_MAX];
    unsigned available;
    struct instruction instruction;

    if (fetch_code(vcpu, bytes, &available) != 0)
        return 0;
    if (operation != OPERATION_UNKNOWN)
        return decode_length_known(operation, bytes, available, DECODE_64);
    if (decode(bytes, available, decode_mode_of(vcpu_mode(vcpu)), &instruction) != 0)
        return 0;
    return instruction.length;
}

/* The length of the instruction at RIP on a processor that does not tell; 0 when the guest has changed it meanwhile. */
static unsigned fetch_length(struct vcpu *vcpu, enum exit_kind kind)
{
    enum operation operation = (enum operation)exit_operations[kind];
    uint32_t head = 0;
    const uint8_t *code = gwalk_code(vcpu, sizeof(head));

    if (code != NULL)
        __builtin_memcpy(&head, code, sizeof(head));
    unsigned length = code != NULL ? decode_length_usual(operation, head) : 0;
    return length != 0 ? length : decode_length(vcpu, operation);
}

/* A trap behind the instruction. Intel SDM vol. 3, "Single-Step Exception Condition". */
void vcpu_raise_single_step(struct vcpu *vcpu)
{
    vcpu_write(vcpu, VCPU_DR6, vcpu_read(vcpu, VCPU_DR6) | DR6_BS);
    event_raise(vcpu, VECTOR_DB);
}

/* Behind the instruction RF ends, and a single step is due. */
static __attribute__((noinline)) void end_instruction(struct vcpu *vcpu, uint64_t rflags)
{
    if ((rflags & RFLAGS_RF) != 0)
        vcpu_write(vcpu, VCPU_RFLAGS, rflags & ~RFLAGS_RF);
    if ((rflags & RFLAGS_TF) != 0)
        vcpu_raise_single_step(vcpu);
}

static inline void advance_by(struct vcpu *vcpu, uint64_t from, unsigned length)
{
    uint64_t rip = from + length;

    /* Across 4 GiB, where 16 and 32-bit instruction pointers wrap. */
    if ((from ^ rip) >> 32 != 0 && from <= UINT32_MAX && vcpu_mode(vcpu) != MODE_LONG_64)
        rip = (uint32_t)rip;
    uint64_t rflags = virt->advance(vcpu, rip);
    if ((rflags & (RFLAGS_RF | RFLAGS_TF)) != 0)
        end_instruction(vcpu, rflags);
}

static __attribute__((noinline)) void advance_fetched(struct vcpu *vcpu, const struct vmexit *exit)
{
    unsigned length = fetch_length(vcpu, exit->kind);

    if (length != 0) {
        vcpu->length_tries = 0;
        advance_by(vcpu, exit->rip, length);
        return;
    }
    /* The bytes are another instruction by now, or cannot be fetched: that is what happens next, and nothing has been
     * stepped over. */
    if (++vcpu->length_tries > LENGTH_TRIES_MAX)
        guest_crash(vcpu, "the instruction at 0x%lx is not the one that its exit names (reason 0x%lx)",
                    vcpu_read(vcpu, VCPU_RIP), exit->reason);
}

void vcpu_advance(struct vcpu *vcpu, const struct vmexit *exit)
{
    if (exit->length != 0)
        advance_by(vcpu, exit->rip, exit->length);
    else
        advance_fetched(vcpu, exit);
}

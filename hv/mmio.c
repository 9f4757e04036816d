/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction that touched device memory: fetched, decoded, carried out on the bus. The device side's address is
 * the exit's own; other operands (a string's second side, the stack) go through the guest's page tables.
 */
#include "hv/mmio.h"

#include "hv/alu.h"
#include "hv/decode.h"
#include "hv/error.h"
#include "hv/format.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/operand.h"
#include "hv/string_instruction.h"
#include "hv/vcpu.h"

/* The instruction at work, and what a message would say of it. */
struct emulation {
    struct vcpu *vcpu;
    const struct vmexit *exit;
    const char *where; /* "device memory", "port" */
    uint64_t address;  /* the exit's */
    uint8_t bytes[INSTRUCTION_LENGTH_MAX];
    unsigned available;
    struct instruction instruction;
};

#define UNKNOWN_TRIES_MAX 100u

/*
 * `count`: the instruction's length, or as many bytes as there are when that is not known either. Where another vCPU
 * may have changed the instruction since it exited, the processor looks again, a number of times.
 */
static enum mmio_result crash_unknown(const struct emulation *work, unsigned count)
{
    char text[3 * INSTRUCTION_LENGTH_MAX + 1] = "";
    size_t at = 0;

    if (work->vcpu->guest->vcpu_count > 1 && ++work->vcpu->unknown_tries <= UNKNOWN_TRIES_MAX)
        return MMIO_PARTLY;
    for (unsigned i = 0; i < count; i++)
        at += format_text(text + at, sizeof(text) - at, i == 0 ? "%02x" : " %02x", work->bytes[i]);
    guest_crash(work->vcpu, "the instruction %s at 0x%lx, on %s 0x%lx, is not one that Bulkhead can carry out", text,
                vcpu_read(work->vcpu, VCPU_RIP), work->where, work->address);
    return MMIO_CRASHED;
}

static enum mmio_result crash_no_code(struct vcpu *vcpu, uint64_t address)
{
    guest_crash(vcpu, "it runs at 0x%lx, where it has no memory", address);
    return MMIO_CRASHED;
}

/* The linear address of the code byte at `rip`. Returns 0, or E_FAULT after raising #GP. */
static int code_linear(struct vcpu *vcpu, uint64_t rip, gva_t *linear)
{
    struct segment_register cs;

    if (vcpu_mode(vcpu) == MODE_LONG_64)
        return operand_linear(vcpu, SEGMENT_CS, rip, 1, false, linear);
    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if (rip > cs.limit) {
        event_raise_error(vcpu, VECTOR_GP, 0);
        return E_FAULT;
    }
    *linear = (uint32_t)(cs.base + rip);
    return 0;
}

/* The bytes end before the instruction does: take what stops the fetch of the next one. */
static enum mmio_result fetch_stopped(struct vcpu *vcpu, unsigned available)
{
    uint64_t next = vcpu_read(vcpu, VCPU_RIP) + available;
    unsigned access = GWALK_FETCH | (vcpu_privilege_level(vcpu) == 3 ? GWALK_USER : 0);
    struct gwalk_fault fault;
    gva_t linear;
    gpa_t physical;

    if (code_linear(vcpu, next, &linear) != 0)
        return MMIO_FAULT;
    switch (gwalk_translate(vcpu, linear, access, &physical, &fault)) {
    case 0: return gmem_is_ram(vcpu->guest, physical, 1) ? MMIO_PARTLY : crash_no_code(vcpu, next);
    case E_BUSY: return MMIO_PARTLY;
    case E_FAULT: event_raise_page_fault(vcpu, fault.address, fault.error_code); return MMIO_FAULT;
    default: return crash_no_code(vcpu, next);
    }
}

/* Fetch and decode at RIP. MMIO_DONE: the instruction is valid; anything else is the result of the whole emulation. */
static enum mmio_result fetch_instruction(struct emulation *work)
{
    struct vcpu *vcpu = work->vcpu;
    enum decode_mode mode;
    int error = vcpu_fetch(vcpu, work->bytes, &work->available, &mode);

    if (error == E_FAULT)
        return MMIO_FAULT;
    if (error == E_BUSY)
        return MMIO_PARTLY;
    if (error != 0)
        return crash_no_code(vcpu, vcpu_read(vcpu, VCPU_RIP));
    switch (decode(work->bytes, work->available, mode, &work->instruction)) {
    case 0: return MMIO_DONE;
    case E_RANGE: return fetch_stopped(vcpu, work->available);
    case E_INVAL: event_raise(vcpu, (enum vector)work->instruction.fault); return MMIO_FAULT;
    default: return crash_unknown(work, work->available);
    }
}

static enum mmio_result result_of(int error)
{
    return error == 0 ? MMIO_DONE : error == E_BUSY ? MMIO_PARTLY : MMIO_FAULT;
}

/*
 * Where the memory operand is: at the exit's own address, or, where that is not the whole truth, behind the guest's
 * page tables at a linear address.
 */
struct place {
    bool walked;
    gpa_t physical;
    gva_t linear;
};

/* By the instruction's addressing. */
static int operand_address(const struct emulation *work, unsigned size, gva_t *linear)
{
    const struct instruction *instruction = &work->instruction;
    const struct memory_operand *memory = &instruction->memory;
    struct vcpu *vcpu = work->vcpu;
    uint64_t base = memory->base != REGISTER_NONE ? vcpu_gpr(vcpu, memory->base) : 0;
    uint64_t index = memory->index != REGISTER_NONE ? vcpu_gpr(vcpu, memory->index) : 0;
    uint64_t offset;

    if (instruction->operation == OPERATION_POP && memory->base == GPR_RSP)
        base += size;
    offset = instruction_offset(instruction, base, index, vcpu_read(vcpu, VCPU_RIP) + instruction->length);
    if (instruction->family == FAMILY_BIT && instruction->source.kind == OPERAND_REGISTER)
        offset += (uint64_t)instruction_bit_displacement(instruction, vcpu_gpr(vcpu, instruction->source.number));
    return operand_linear(vcpu, (enum segment)memory->segment, offset & size_mask(instruction->address_size), size,
                          (instruction->access & MEMORY_WRITE) != 0, linear);
}

/*
 * The exit's address is that of the first byte in device memory: not of the operand, when that begins in the page
 * before (the address is then at its page's start) or ends in the one behind. And it speaks for a read only, when the
 * operand is to be written as well. `is_other`: the exit came of another operand (the stack).
 */
static int place_find(const struct emulation *work, unsigned size, bool is_other, struct place *place)
{
    const struct exit_memory *memory = &work->exit->memory;
    uint64_t offset = memory->address & PAGE_MASK;
    bool only_read = (work->instruction.access & MEMORY_WRITE) != 0 && !memory->write;

    *place = (struct place){.walked = is_other || only_read || offset + size > PAGE_SIZE, .physical = memory->address};
    if (!place->walked && offset != 0)
        return 0;
    int error = operand_address(work, size, &place->linear);
    if (error != 0)
        return error;
    place->walked |= (place->linear & PAGE_MASK) != offset;
    /* A fault of the write must not come after the read, which the device would notice twice. */
    return place->walked && (work->instruction.access & MEMORY_WRITE) != 0
               ? operand_check_write(work->vcpu, place->linear, size)
               : 0;
}

static int place_read(const struct emulation *work, const struct place *place, unsigned size, uint64_t *value)
{
    if (place->walked)
        return operand_read(work->vcpu, place->linear, size, value);
    *value = operand_bus_read(work->vcpu, place->physical, size);
    return 0;
}

static int place_write(const struct emulation *work, const struct place *place, unsigned size, uint64_t value)
{
    if (place->walked)
        return operand_write(work->vcpu, place->linear, size, value);
    operand_bus_write(work->vcpu, place->physical, size, value);
    return 0;
}

/* MOV, arithmetic, bits, exchanges: one memory operand, read and stored as the decoder says. */
static enum mmio_result emulate_plain(const struct emulation *work)
{
    const struct instruction *instruction = &work->instruction;
    const struct operand *memory = instruction_memory_operand(instruction);
    const struct operand *reg = instruction_register_operand(instruction);
    struct vcpu *vcpu = work->vcpu;
    struct alu_step step = {.rflags = vcpu_read(vcpu, VCPU_RFLAGS)};
    uint64_t rflags = step.rflags;
    struct place place = {.walked = false};
    int error;

    if (memory == NULL)
        return crash_unknown(work, work->instruction.length);
    error = place_find(work, memory->size, false, &place);
    if (error == 0 && (instruction->access & MEMORY_READ) != 0)
        error = place_read(work, &place, memory->size, &step.memory);
    if (error != 0)
        return result_of(error);
    if (reg != NULL)
        step.reg = vcpu_gpr_part(vcpu, reg->number, reg->size, reg->high);
    step.accumulator = vcpu_gpr_part(vcpu, GPR_RAX, memory->size, false);
    if (alu_execute(instruction, &step) != 0)
        return crash_unknown(work, work->instruction.length);
    if (step.write_memory)
        error = place_write(work, &place, memory->size, step.memory);
    if (error != 0)
        return result_of(error);
    if (step.write_register)
        vcpu_set_gpr_part(vcpu, reg->number, reg->size, reg->high, step.reg);
    if (step.write_accumulator)
        vcpu_set_gpr_part(vcpu, GPR_RAX, memory->size, false, step.accumulator);
    if (step.rflags != rflags)
        vcpu_write(vcpu, VCPU_RFLAGS, step.rflags);
    return MMIO_DONE;
}

/* CMPXCHG8B; the 16-byte form is no device access that any hardware answers. */
static enum mmio_result emulate_pair(const struct emulation *work)
{
    struct vcpu *vcpu = work->vcpu;
    uint64_t memory = 0, rflags = vcpu_read(vcpu, VCPU_RFLAGS);
    struct place place = {.walked = false};
    int error;

    if (work->instruction.operand_size == 8)
        return crash_unknown(work, work->instruction.length);
    error = place_find(work, 8, false, &place);
    if (error == 0)
        error = place_read(work, &place, 8, &memory);
    if (error != 0)
        return result_of(error);
    if (memory == (vcpu_gpr(vcpu, GPR_RDX) << 32 | (uint32_t)vcpu_gpr(vcpu, GPR_RAX))) {
        error = place_write(work, &place, 8, vcpu_gpr(vcpu, GPR_RCX) << 32 | (uint32_t)vcpu_gpr(vcpu, GPR_RBX));
        if (error != 0)
            return result_of(error);
        rflags |= ALU_ZF;
    } else {
        rflags &= ~ALU_ZF;
        vcpu_set_gpr_part(vcpu, GPR_RAX, 4, false, memory);
        vcpu_set_gpr_part(vcpu, GPR_RDX, 4, false, memory >> 32);
    }
    vcpu_write(vcpu, VCPU_RFLAGS, rflags);
    return MMIO_DONE;
}

/* Bytes of the stack pointer that count: by SS.B, or all in 64-bit mode. */
static unsigned stack_size(struct vcpu *vcpu)
{
    struct segment_register ss;

    if (vcpu_mode(vcpu) == MODE_LONG_64)
        return 8;
    virt->read_segment(vcpu, SEGMENT_SS, &ss);
    return (ss.attributes & SEGMENT_DB) != 0 ? 4 : 2;
}

/* The stack's page is looked at before the operand is read: a device must not notice that twice. */
static int push(const struct emulation *work, uint64_t rsp, unsigned size)
{
    struct place place = {.walked = false};
    uint64_t value;
    gva_t linear;
    int error = operand_linear(work->vcpu, SEGMENT_SS, rsp, size, true, &linear);

    if (error == 0)
        error = operand_check_write(work->vcpu, linear, size);
    if (error == 0)
        error = place_find(work, size, work->exit->memory.write, &place);
    if (error == 0)
        error = place_read(work, &place, size, &value);
    return error != 0 ? error : operand_write(work->vcpu, linear, size, value);
}

static int pop(const struct emulation *work, uint64_t rsp, unsigned size)
{
    struct place place = {.walked = false};
    uint64_t value;
    gva_t linear;
    int error = operand_linear(work->vcpu, SEGMENT_SS, rsp, size, false, &linear);

    if (error == 0)
        error = place_find(work, size, !work->exit->memory.write, &place);
    if (error == 0)
        error = operand_read(work->vcpu, linear, size, &value);
    return error != 0 ? error : place_write(work, &place, size, value);
}

/* PUSH m and POP m: the exit came of a read or of a write, which tells whether the operand or the stack is in device
 * memory. */
static enum mmio_result emulate_stack(const struct emulation *work)
{
    struct vcpu *vcpu = work->vcpu;
    unsigned size = work->instruction.operand_size;
    unsigned width = stack_size(vcpu);
    uint64_t rsp = vcpu_gpr_part(vcpu, GPR_RSP, width, false);
    int error;

    if (instruction_memory_operand(&work->instruction) == NULL)
        return crash_unknown(work, work->instruction.length);
    if (work->instruction.operation == OPERATION_PUSH) {
        rsp = (rsp - size) & size_mask(width);
        error = push(work, rsp, size);
    } else {
        error = pop(work, rsp, size);
        rsp += size;
    }
    if (error == 0)
        vcpu_set_gpr_part(vcpu, GPR_RSP, width, false, rsp);
    return result_of(error);
}

/* MOV m, Sreg always; MOV Sreg, m where loading is a shift (real and virtual-8086 mode). */
static enum mmio_result emulate_segment(const struct emulation *work)
{
    const struct instruction *instruction = &work->instruction;
    struct vcpu *vcpu = work->vcpu;
    bool store = instruction->destination.kind == OPERAND_MEMORY;
    enum segment segment = (enum segment)(store ? instruction->source.number : instruction->destination.number);
    enum vcpu_mode mode = vcpu_mode(vcpu);
    struct segment_register reg;
    struct place place = {.walked = false};
    uint64_t selector = 0;
    int error;

    if (instruction_memory_operand(instruction) == NULL || (!store && mode != MODE_REAL && mode != MODE_VIRTUAL_8086))
        return crash_unknown(work, work->instruction.length);
    error = place_find(work, 2, false, &place);
    if (error != 0)
        return result_of(error);
    virt->read_segment(vcpu, segment, &reg);
    if (store)
        return result_of(place_write(work, &place, 2, reg.selector));
    error = place_read(work, &place, 2, &selector);
    if (error == 0) {
        reg.selector = (uint16_t)selector;
        reg.base = (uint64_t)reg.selector << 4;
        virt->write_segment(vcpu, segment, &reg);
    }
    return result_of(error);
}

/*
 * What reads and writes its operand does both without another vCPU of the guest in between: with LOCK, or as XCHG, it
 * must; without, it may. SDM vol. 3, "Locked Atomic Operations".
 */
static enum mmio_result emulate_operand(const struct emulation *work)
{
    bool is_pair = work->instruction.family == FAMILY_PAIR;
    bool holds = (work->instruction.access & (MEMORY_READ | MEMORY_WRITE)) == (MEMORY_READ | MEMORY_WRITE);

    if (holds)
        operand_bus_hold(work->vcpu);
    enum mmio_result result = is_pair ? emulate_pair(work) : emulate_plain(work);
    if (holds)
        operand_bus_release(work->vcpu);
    return result;
}

static enum mmio_result emulate(const struct emulation *work)
{
    switch (work->instruction.family) {
    case FAMILY_STRING: return string_emulate(work->vcpu, &work->instruction, work->address, work->exit->memory.write);
    case FAMILY_MOVE:
    case FAMILY_BINARY:
    case FAMILY_UNARY:
    case FAMILY_SHIFT:
    case FAMILY_BIT:
    case FAMILY_EXCHANGE:
    case FAMILY_PAIR: return emulate_operand(work);
    case FAMILY_STACK: return emulate_stack(work);
    case FAMILY_SEGMENT: return emulate_segment(work);
    case FAMILY_CACHE: return MMIO_DONE; /* nothing of a device is cached */
    default: return crash_unknown(work, work->instruction.length);
    }
}

enum mmio_result mmio_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length)
{
    gpa_t address = exit->memory.address;
    struct emulation work = {.vcpu = vcpu, .exit = exit, .where = "device memory", .address = address};
    enum mmio_result result;

    /* No instruction did it: the interrupt table, the task state or the stack is where no memory is. */
    if (exit->memory.delivering) {
        guest_crash(vcpu, "the delivery of vector %u reached device memory at 0x%lx", vcpu->events.interrupted.vector,
                    address);
        return MMIO_CRASHED;
    }
    result = fetch_instruction(&work);
    if (result != MMIO_DONE)
        return result;
    *length = work.instruction.length;
    result = emulate(&work);
    if (result == MMIO_DONE)
        vcpu->unknown_tries = 0;
    return result;
}

enum mmio_result pio_string_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length)
{
    struct emulation work = {.vcpu = vcpu, .exit = exit, .where = "port", .address = exit->io.port};
    enum mmio_result result = fetch_instruction(&work);

    if (result != MMIO_DONE)
        return result;
    *length = work.instruction.length;
    /* Another vCPU may have changed the instruction since it exited: then run what is there now. */
    if (work.instruction.operation != OPERATION_INS && work.instruction.operation != OPERATION_OUTS)
        return MMIO_PARTLY;
    return string_emulate(vcpu, &work.instruction, 0, false);
}

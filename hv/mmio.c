/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The instruction that touched device memory: fetched, decoded, carried out on the bus. The device side's address is the exit's own; other
 * operands (a string's second side, the stack) go through the guest's page tables.
 */
#include "hv/mmio.h"

#include "hv/alu.h"
#include "hv/decode.h"
#include "hv/error.h"
#include "hv/format.h"
#include "hv/guest.h"
#include "hv/gwalk.h"
#include "hv/operand.h"
#include "hv/string_instruction.h"
#include "hv/vcpu.h"

/* "0f b6 07": for messages. */
static void format_bytes(char *text, size_t size, const uint8_t *bytes, unsigned count)
{
    size_t at = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < count && at + 4 < size; i++)
        at += format_text(text + at, size - at, i == 0 ? "%02x" : " %02x", bytes[i]);
}

static enum mmio_result crash_unknown(struct vcpu *vcpu, const uint8_t *bytes, unsigned available, const char *where,
                                      uint64_t address)
{
    char text[3 * INSTRUCTION_LENGTH_MAX + 1];

    format_bytes(text, sizeof(text), bytes, available);
    guest_crash(vcpu, "the instruction %s at 0x%lx, on %s 0x%lx, is not one that Bulkhead can carry out", text,
                vcpu_read(vcpu, VCPU_RIP), where, address);
    return MMIO_CRASHED;
}

/* The bytes end before the instruction does: the next one cannot be fetched, and that is the guest's fault to take. */
static enum mmio_result fetch_rest_fault(struct vcpu *vcpu, unsigned available)
{
    struct segment_register cs;
    struct gwalk_fault fault;
    gpa_t physical;
    uint64_t base = 0;
    unsigned access = GWALK_FETCH | (vcpu_privilege_level(vcpu) == 3 ? GWALK_USER : 0);

    virt->read_segment(vcpu, SEGMENT_CS, &cs);
    if (vcpu_mode(vcpu) != MODE_LONG_64)
        base = cs.base;
    if (gwalk_translate(vcpu, base + vcpu_read(vcpu, VCPU_RIP) + available, access, &physical, &fault) == E_FAULT)
        event_raise_page_fault(vcpu, fault.address, fault.error_code);
    else
        event_raise_error(vcpu, VECTOR_GP, 0);
    return MMIO_FAULT;
}

/* Fetch and decode at RIP. MMIO_DONE: `instruction` is valid; anything else is the result of the whole emulation. */
static enum mmio_result fetch_instruction(struct vcpu *vcpu, const char *where, uint64_t address,
                                          struct instruction *instruction)
{
    uint8_t bytes[INSTRUCTION_LENGTH_MAX];
    unsigned available = 0;
    enum decode_mode mode;
    int error = vcpu_fetch(vcpu, bytes, &available, &mode);

    if (error == E_FAULT)
        return MMIO_FAULT;
    if (error == E_BUSY)
        return MMIO_PARTLY;
    if (error != 0) {
        guest_crash(vcpu, "it runs at 0x%lx, where it has no memory", vcpu_read(vcpu, VCPU_RIP));
        return MMIO_CRASHED;
    }
    switch (decode(bytes, available, mode, instruction)) {
    case 0: return MMIO_DONE;
    case E_RANGE: return fetch_rest_fault(vcpu, available);
    case E_INVAL:
        event_raise(vcpu, (enum vector)instruction->fault);
        return MMIO_FAULT;
    default: return crash_unknown(vcpu, bytes, available, where, address);
    }
}

static enum mmio_result result_of(int error)
{
    return error == 0 ? MMIO_DONE : error == E_BUSY ? MMIO_PARTLY : MMIO_FAULT;
}

/* MOV, arithmetic, bits, exchanges: one memory operand, read and stored as the decoder says. */
static enum mmio_result emulate_plain(struct vcpu *vcpu, gpa_t address, const struct instruction *instruction)
{
    const struct operand *memory = instruction_memory_operand(instruction);
    const struct operand *reg = instruction_register_operand(instruction);
    struct alu_step step = {.rflags = vcpu_read(vcpu, VCPU_RFLAGS)};
    uint64_t rflags = step.rflags;

    if ((instruction->access & MEMORY_READ) != 0)
        step.memory = operand_bus_read(vcpu, address, memory->size);
    if (reg != NULL)
        step.reg = vcpu_gpr_part(vcpu, reg->number, reg->size, reg->high);
    step.accumulator = vcpu_gpr_part(vcpu, GPR_RAX, memory->size, false);
    if (alu_execute(instruction, &step) != 0)
        return MMIO_CRASHED;
    if (step.write_memory)
        operand_bus_write(vcpu, address, memory->size, step.memory);
    if (step.write_register)
        vcpu_set_gpr_part(vcpu, reg->number, reg->size, reg->high, step.reg);
    if (step.write_accumulator)
        vcpu_set_gpr_part(vcpu, GPR_RAX, memory->size, false, step.accumulator);
    if (step.rflags != rflags)
        vcpu_write(vcpu, VCPU_RFLAGS, step.rflags);
    return MMIO_DONE;
}

/* CMPXCHG8B; the 16-byte form is no device access that any hardware answers. */
static enum mmio_result emulate_pair(struct vcpu *vcpu, gpa_t address, const struct instruction *instruction)
{
    uint64_t memory, expected, rflags = vcpu_read(vcpu, VCPU_RFLAGS);

    if (instruction->operand_size == 8)
        return MMIO_CRASHED;
    memory = operand_bus_read(vcpu, address, 8);
    expected = vcpu_gpr(vcpu, GPR_RDX) << 32 | (uint32_t)vcpu_gpr(vcpu, GPR_RAX);
    if (memory == expected) {
        rflags |= ALU_ZF;
        operand_bus_write(vcpu, address, 8, vcpu_gpr(vcpu, GPR_RCX) << 32 | (uint32_t)vcpu_gpr(vcpu, GPR_RBX));
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

/* PUSH m and POP m with the operand in device memory and the stack in RAM. */
static enum mmio_result emulate_stack(struct vcpu *vcpu, gpa_t address, const struct instruction *instruction)
{
    unsigned size = instruction->operand_size;
    unsigned width = stack_size(vcpu);
    uint64_t rsp = vcpu_gpr_part(vcpu, GPR_RSP, width, false);
    uint64_t value;
    gva_t linear;
    int error;

    if (instruction->operation == OPERATION_PUSH) {
        rsp = (rsp - size) & size_mask(width);
        error = operand_linear(vcpu, SEGMENT_SS, rsp, size, true, &linear);
        if (error == 0)
            error = operand_write(vcpu, linear, size, operand_bus_read(vcpu, address, size));
    } else if (instruction->operation == OPERATION_POP) {
        error = operand_linear(vcpu, SEGMENT_SS, rsp, size, false, &linear);
        if (error == 0)
            error = operand_read(vcpu, linear, size, &value);
        if (error == 0)
            operand_bus_write(vcpu, address, size, value);
        rsp += size;
    } else {
        return MMIO_CRASHED;
    }
    if (error == 0)
        vcpu_set_gpr_part(vcpu, GPR_RSP, width, false, rsp);
    return result_of(error);
}

/* MOV m, Sreg always; MOV Sreg, m where loading is a shift (real and virtual-8086 mode). */
static enum mmio_result emulate_segment(struct vcpu *vcpu, gpa_t address, const struct instruction *instruction)
{
    enum vcpu_mode mode = vcpu_mode(vcpu);
    struct segment_register reg;

    if (instruction->destination.kind == OPERAND_MEMORY) {
        virt->read_segment(vcpu, (enum segment)instruction->source.number, &reg);
        operand_bus_write(vcpu, address, 2, reg.selector);
        return MMIO_DONE;
    }
    if (mode != MODE_REAL && mode != MODE_VIRTUAL_8086)
        return MMIO_CRASHED;
    virt->read_segment(vcpu, (enum segment)instruction->destination.number, &reg);
    reg.selector = (uint16_t)operand_bus_read(vcpu, address, 2);
    reg.base = (uint64_t)reg.selector << 4;
    virt->write_segment(vcpu, (enum segment)instruction->destination.number, &reg);
    return MMIO_DONE;
}

enum mmio_result mmio_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length)
{
    struct instruction instruction;
    gpa_t address = exit->memory.address;
    enum mmio_result result = fetch_instruction(vcpu, "device memory", address, &instruction);

    if (result != MMIO_DONE)
        return result;
    *length = instruction.length;
    switch (instruction.family) {
    case FAMILY_STRING: return string_emulate(vcpu, &instruction, address, exit->memory.write);
    case FAMILY_PAIR: result = emulate_pair(vcpu, address, &instruction); break;
    case FAMILY_STACK: result = emulate_stack(vcpu, address, &instruction); break;
    case FAMILY_SEGMENT: result = emulate_segment(vcpu, address, &instruction); break;
    case FAMILY_CACHE: return MMIO_DONE; /* nothing of a device is cached */
    default:
        result = instruction_memory_operand(&instruction) != NULL ? emulate_plain(vcpu, address, &instruction)
                                                                  : MMIO_CRASHED;
        break;
    }
    if (result == MMIO_CRASHED)
        guest_crash(vcpu, "the instruction at 0x%lx (operation %u) on device memory 0x%lx is not one that Bulkhead can carry out",
                    vcpu_read(vcpu, VCPU_RIP), instruction.operation, address);
    return result;
}

enum mmio_result pio_string_emulate(struct vcpu *vcpu, const struct vmexit *exit, uint8_t *length)
{
    struct instruction instruction;
    enum mmio_result result = fetch_instruction(vcpu, "port", exit->io.port, &instruction);

    if (result != MMIO_DONE)
        return result;
    *length = instruction.length;
    /* Another vCPU may have changed the instruction since it exited: then run what is there now. */
    if (instruction.operation != OPERATION_INS && instruction.operation != OPERATION_OUTS)
        return MMIO_PARTLY;
    return string_emulate(vcpu, &instruction, 0, false);
}

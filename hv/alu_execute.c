/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A decoded instruction with a memory operand, as arithmetic: takes the operands' values, says what to store where.
 */
#include "hv/alu.h"
#include "hv/error.h"

static uint64_t operand_value(const struct instruction *instruction, const struct operand *operand,
                              const struct alu_step *step)
{
    switch (operand->kind) {
    case OPERAND_MEMORY: return step->memory & size_mask(operand->size);
    case OPERAND_REGISTER: return step->reg & size_mask(operand->size);
    default: return (uint64_t)instruction->immediate;
    }
}

static void store(const struct operand *operand, uint64_t value, struct alu_step *step)
{
    if (operand->kind == OPERAND_MEMORY) {
        step->memory = value;
        step->write_memory = true;
    } else {
        step->reg = value;
        step->write_register = true;
    }
}

/* A CMOV whose condition fails still writes its register: with 4 bytes that clears the upper half. */
static void execute_move(const struct instruction *instruction, struct alu_step *step)
{
    const struct operand *destination = &instruction->destination;
    const struct operand *source = &instruction->source;
    bool holds = alu_condition(instruction->condition, step->rflags);

    switch (instruction->operation) {
    case OPERATION_SET: store(destination, holds ? 1 : 0, step); break;
    case OPERATION_CMOV:
        store(destination, operand_value(instruction, holds ? source : destination, step), step);
        break;
    default:
        /* An immediate is sign-extended already, so it has the destination's size. */
        store(destination,
              alu_move(instruction->operation, destination->size,
                       source->kind == OPERAND_IMMEDIATE ? destination->size : source->size,
                       operand_value(instruction, source, step)),
              step);
        break;
    }
}

/* The r/m operand is the destination, the register operand the source. CMPXCHG always writes its destination. */
static void execute_exchange(const struct instruction *instruction, struct alu_step *step)
{
    unsigned size = instruction->destination.size;
    uint64_t old = operand_value(instruction, &instruction->destination, step);
    uint64_t source = operand_value(instruction, &instruction->source, step);

    switch (instruction->operation) {
    case OPERATION_XCHG:
        store(&instruction->destination, source, step);
        store(&instruction->source, old, step);
        break;
    case OPERATION_XADD:
        store(&instruction->destination, alu_binary(OPERATION_XADD, size, old, source, &step->rflags), step);
        store(&instruction->source, old, step);
        break;
    default:
        if (alu_compare_exchange(size, step->accumulator, old, &step->rflags)) {
            store(&instruction->destination, source, step);
        } else {
            store(&instruction->destination, old, step);
            step->accumulator = old;
            step->write_accumulator = true;
        }
        break;
    }
}

int alu_execute(const struct instruction *instruction, struct alu_step *step)
{
    const struct operand *destination = &instruction->destination;
    enum operation operation = instruction->operation;
    uint64_t value, source;

    step->write_memory = false;
    step->write_register = false;
    step->write_accumulator = false;
    if (instruction_memory_operand(instruction) == NULL)
        return E_NOSYS;
    value = operand_value(instruction, destination, step);
    source = operand_value(instruction, &instruction->source, step);

    switch (instruction->family) {
    case FAMILY_MOVE: execute_move(instruction, step); return 0;
    case FAMILY_EXCHANGE: execute_exchange(instruction, step); return 0;
    case FAMILY_BINARY: value = alu_binary(operation, destination->size, value, source, &step->rflags); break;
    case FAMILY_UNARY: value = alu_unary(operation, destination->size, value, &step->rflags); break;
    case FAMILY_SHIFT: value = alu_shift(operation, destination->size, value, source, &step->rflags); break;
    case FAMILY_BIT: value = alu_bit(operation, destination->size, value, source, &step->rflags); break;
    default: return E_NOSYS;
    }
    if (operation != OPERATION_CMP && operation != OPERATION_TEST && operation != OPERATION_BT)
        store(destination, value, step);
    return 0;
}

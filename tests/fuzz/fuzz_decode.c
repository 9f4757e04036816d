/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes into the decoder, and what comes out into the arithmetic. Byte 0 of an input chooses the mode, bytes 1 to 4
 * are mixed into the operands' values, the rest is the instruction.
 */
#include <stdlib.h>
#include <string.h>

#include "hv/alu.h"
#include "hv/decode.h"
#include "hv/error.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

/* Decode out of a block that ends where the bytes end, so that reading on is seen. */
static int decode_exact(const uint8_t *bytes, unsigned count, enum decode_mode mode, struct instruction *out)
{
    uint8_t *copy = malloc(count + 1u);
    int error;

    REQUIRE(copy != NULL);
    memcpy(copy + 1, bytes, count);
    error = decode(copy + 1, count, mode, out);
    free(copy);
    return error;
}

static void check_operand(const struct operand *operand)
{
    REQUIRE(operand->kind <= OPERAND_PORT && operand->number < GPR_COUNT && operand->size <= 16);
    REQUIRE(!operand->high ||
            (operand->kind == OPERAND_REGISTER && operand->size == 1 && operand->number >= 4 && operand->number < 8));
    REQUIRE(operand->kind != OPERAND_SEGMENT || operand->number <= SEGMENT_GS);
}

static void check_instruction(const struct instruction *i)
{
    REQUIRE(i->operation != OPERATION_UNKNOWN && i->operation < OPERATION_COUNT && i->family != FAMILY_NONE);
    REQUIRE(i->operand_size == 2 || i->operand_size == 4 || i->operand_size == 8);
    REQUIRE(i->address_size == 2 || i->address_size == 4 || i->address_size == 8);
    REQUIRE(i->memory.base < GPR_COUNT || i->memory.base == REGISTER_NONE);
    REQUIRE(i->memory.index < GPR_COUNT || i->memory.index == REGISTER_NONE);
    REQUIRE(i->memory.segment <= SEGMENT_GS && i->condition < 16);
    REQUIRE((i->access != 0) <= (instruction_memory_operand(i) != NULL));
    check_operand(&i->destination);
    check_operand(&i->source);
}

static void check_execution(const struct instruction *i, uint64_t seed)
{
    struct alu_step step = {.memory = seed * UINT64_C(0x9e3779b97f4a7c15),
                            .reg = seed * UINT64_C(0xc2b2ae3d27d4eb4f),
                            .accumulator = seed << 7,
                            .rflags = seed};
    uint64_t offset = instruction_offset(i, step.reg, step.memory, step.accumulator);

    REQUIRE((offset & ~size_mask(i->address_size)) == 0);
    (void)instruction_bit_displacement(i, step.reg);
    if (alu_execute(i, &step) != 0)
        return;
    if (step.write_memory)
        REQUIRE((step.memory & ~size_mask(instruction_memory_operand(i)->size)) == 0 &&
                (i->access & MEMORY_WRITE) != 0);
    if (step.write_register)
        REQUIRE((step.reg & ~size_mask(instruction_register_operand(i)->size)) == 0);
}

/* By fields: what lies between them may differ. */
static bool instruction_same(const struct instruction *a, const struct instruction *b)
{
    return a->length == b->length && a->operation == b->operation && a->access == b->access &&
           a->operand_size == b->operand_size && a->immediate == b->immediate && a->selector == b->selector &&
           memcmp(&a->destination, &b->destination, sizeof(a->destination)) == 0 &&
           memcmp(&a->source, &b->source, sizeof(a->source)) == 0 && a->memory.base == b->memory.base &&
           a->memory.index == b->memory.index && a->memory.displacement == b->memory.displacement;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct instruction i, again;
    enum decode_mode mode;
    uint32_t seed;
    unsigned available;
    int error;

    if (size < 5)
        return 0;
    mode = data[0] % 3;
    memcpy(&seed, data + 1, sizeof(seed));
    available = (unsigned)min_u64(size - 5, 64);
    error = decode_exact(data + 5, available, mode, &i);
    REQUIRE(error == 0 || error == E_RANGE || error == E_INVAL || error == E_NOTYET);
    REQUIRE(error != E_INVAL || i.fault == VECTOR_UD || i.fault == VECTOR_GP);
    REQUIRE(error != E_RANGE || available < INSTRUCTION_LENGTH_MAX);
    if (error != 0)
        return 0;

    REQUIRE(i.length >= 1 && i.length <= INSTRUCTION_LENGTH_MAX && i.length <= available);
    check_instruction(&i);
    check_execution(&i, seed);
    REQUIRE(decode_exact(data + 5, i.length, mode, &again) == 0 && instruction_same(&i, &again));
    for (unsigned shorter = 0; shorter < i.length; shorter++)
        REQUIRE(decode_exact(data + 5, shorter, mode, &again) == E_RANGE);
    REQUIRE(decode_length_known(i.operation, data + 5, available, mode) == i.length);
    return 0;
}

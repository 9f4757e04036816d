/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Integer arithmetic with exact flags. Carries out of every bit are found from the operands and the result, so that no
 * wider type is needed for 8-byte operands.
 */
#include "hv/alu.h"
#include "hv/error.h"

#define RESULT_FLAGS     (ALU_PF | ALU_ZF | ALU_SF)
#define ARITHMETIC_FLAGS (ALU_CF | ALU_PF | ALU_AF | ALU_ZF | ALU_SF | ALU_OF)

static uint64_t sign_bit(unsigned size)
{
    return BIT(size * 8u - 1);
}

static void flags_replace(uint64_t *rflags, uint64_t which, uint64_t values)
{
    *rflags = (*rflags & ~which) | (values & which);
}

static uint64_t flag_if(bool condition, uint64_t flag)
{
    return condition ? flag : 0;
}

/* PF, ZF and SF. PF looks at the low byte alone: the constant holds the parity of each half byte. */
static uint64_t result_flags(unsigned size, uint64_t result)
{
    unsigned folded = (unsigned)((result ^ (result >> 4)) & 0xf);

    return flag_if(((0x9669u >> folded) & 1) != 0, ALU_PF) | flag_if(result == 0, ALU_ZF) |
           flag_if((result & sign_bit(size)) != 0, ALU_SF);
}

static uint64_t add(unsigned size, uint64_t a, uint64_t b, uint64_t carry, uint64_t *rflags)
{
    uint64_t sign = sign_bit(size);
    uint64_t result = (a + b + carry) & size_mask(size);
    uint64_t carries = (a & b) | ((a | b) & ~result);
    uint64_t flags = result_flags(size, result);

    flags |= flag_if((carries & sign) != 0, ALU_CF) | flag_if((carries & 0x8) != 0, ALU_AF) |
             flag_if(((a ^ result) & (b ^ result) & sign) != 0, ALU_OF);
    flags_replace(rflags, ARITHMETIC_FLAGS, flags);
    return result;
}

static uint64_t subtract(unsigned size, uint64_t a, uint64_t b, uint64_t borrow, uint64_t *rflags)
{
    uint64_t sign = sign_bit(size);
    uint64_t result = (a - b - borrow) & size_mask(size);
    uint64_t borrows = (~a & b) | ((~a | b) & result);
    uint64_t flags = result_flags(size, result);

    flags |= flag_if((borrows & sign) != 0, ALU_CF) | flag_if((borrows & 0x8) != 0, ALU_AF) |
             flag_if(((a ^ b) & (a ^ result) & sign) != 0, ALU_OF);
    flags_replace(rflags, ARITHMETIC_FLAGS, flags);
    return result;
}

/* AND, OR, XOR, TEST: CF and OF are cleared, and so is AF, which is undefined. */
static uint64_t logic(unsigned size, uint64_t result, uint64_t *rflags)
{
    flags_replace(rflags, ARITHMETIC_FLAGS, result_flags(size, result));
    return result;
}

uint64_t alu_binary(enum operation operation, unsigned size, uint64_t destination, uint64_t source, uint64_t *rflags)
{
    uint64_t a = destination & size_mask(size);
    uint64_t b = source & size_mask(size);
    uint64_t carry = *rflags & ALU_CF;

    switch (operation) {
    case OPERATION_ADD:
    case OPERATION_XADD: return add(size, a, b, 0, rflags);
    case OPERATION_ADC: return add(size, a, b, carry, rflags);
    case OPERATION_SUB:
    case OPERATION_CMP: return subtract(size, a, b, 0, rflags);
    case OPERATION_SBB: return subtract(size, a, b, carry, rflags);
    case OPERATION_OR: return logic(size, a | b, rflags);
    case OPERATION_AND:
    case OPERATION_TEST: return logic(size, a & b, rflags);
    case OPERATION_XOR: return logic(size, a ^ b, rflags);
    default: return a;
    }
}

uint64_t alu_unary(enum operation operation, unsigned size, uint64_t value, uint64_t *rflags)
{
    uint64_t carry = *rflags & ALU_CF;
    uint64_t result = value & size_mask(size);

    switch (operation) {
    case OPERATION_INC:
        result = add(size, result, 1, 0, rflags);
        flags_replace(rflags, ALU_CF, carry);
        return result;
    case OPERATION_DEC:
        result = subtract(size, result, 1, 0, rflags);
        flags_replace(rflags, ALU_CF, carry);
        return result;
    case OPERATION_NEG: return subtract(size, 0, result, 0, rflags);
    case OPERATION_NOT: return ~result & size_mask(size);
    default: return result;
    }
}

/* One step of a rotation through the carry flag; returns the new carry. */
static bool rotate_carry(bool left, unsigned size, uint64_t *value, bool carry)
{
    uint64_t sign = sign_bit(size);
    bool out = (*value & (left ? sign : 1)) != 0;

    if (left)
        *value = ((*value << 1) & size_mask(size)) | (carry ? 1 : 0);
    else
        *value = (*value >> 1) | (carry ? sign : 0);
    return out;
}

/*
 * Rotations change CF and OF only. OF is defined for a count of 1; other counts get the same formula. `count` is masked
 * and not zero. A count that is a multiple of the width still sets CF; through the carry, only a count that moves
 * something does.
 */
static uint64_t rotate(enum operation operation, unsigned size, uint64_t value, unsigned count, uint64_t *rflags)
{
    unsigned bits = size * 8;
    bool left = operation == OPERATION_ROL || operation == OPERATION_RCL;
    bool through_carry = operation == OPERATION_RCL || operation == OPERATION_RCR;
    bool carry = (*rflags & ALU_CF) != 0;
    bool sign, overflow;

    count %= through_carry ? bits + 1 : bits;
    if (through_carry) {
        for (unsigned i = 0; i < count; i++)
            carry = rotate_carry(left, size, &value, carry);
    } else {
        if (count != 0 && left)
            value = ((value << count) | (value >> (bits - count))) & size_mask(size);
        else if (count != 0)
            value = ((value >> count) | (value << (bits - count))) & size_mask(size);
        carry = (value & (left ? 1 : sign_bit(size))) != 0;
    }
    sign = (value & sign_bit(size)) != 0;
    overflow = left ? sign != carry : sign != ((value & (sign_bit(size) >> 1)) != 0);
    flags_replace(rflags, ALU_CF | ALU_OF, flag_if(carry, ALU_CF) | flag_if(overflow, ALU_OF));
    return value;
}

/* `count` is masked and not zero; for the small sizes it may exceed the width, CF being undefined then. */
static uint64_t shift(enum operation operation, unsigned size, uint64_t value, unsigned count, uint64_t *rflags)
{
    unsigned bits = size * 8;
    uint64_t sign = sign_bit(size);
    uint64_t result;
    bool carry, overflow;

    if (operation == OPERATION_SHL) {
        carry = count <= bits && ((value >> (bits - count)) & 1) != 0;
        result = count < bits ? (value << count) & size_mask(size) : 0;
        overflow = ((result & sign) != 0) != carry;
    } else {
        uint64_t filled = value;

        if (operation == OPERATION_SAR && (value & sign) != 0)
            filled |= ~size_mask(size);
        carry = ((filled >> (count - 1)) & 1) != 0;
        result = filled >> count;
        if (operation == OPERATION_SAR && (value & sign) != 0)
            result |= ~(UINT64_MAX >> count);
        result &= size_mask(size);
        overflow = operation == OPERATION_SHR && (value & sign) != 0;
    }
    flags_replace(rflags, ARITHMETIC_FLAGS,
                  result_flags(size, result) | flag_if(carry, ALU_CF) | flag_if(overflow, ALU_OF));
    return result;
}

uint64_t alu_shift(enum operation operation, unsigned size, uint64_t value, uint64_t count, uint64_t *rflags)
{
    unsigned masked = (unsigned)(count & (size == 8 ? 63 : 31));

    value &= size_mask(size);
    if (masked == 0)
        return value;
    switch (operation) {
    case OPERATION_ROL:
    case OPERATION_ROR:
    case OPERATION_RCL:
    case OPERATION_RCR: return rotate(operation, size, value, masked, rflags);
    case OPERATION_SHL:
    case OPERATION_SHR:
    case OPERATION_SAR: return shift(operation, size, value, masked, rflags);
    default: return value;
    }
}

uint64_t alu_bit(enum operation operation, unsigned size, uint64_t value, uint64_t bit_offset, uint64_t *rflags)
{
    uint64_t bit = BIT(bit_offset & (size * 8u - 1));

    value &= size_mask(size);
    switch (operation) {
    case OPERATION_BT:
    case OPERATION_BTS:
    case OPERATION_BTR:
    case OPERATION_BTC: flags_replace(rflags, ALU_CF, flag_if((value & bit) != 0, ALU_CF)); break;
    default: return value;
    }
    if (operation == OPERATION_BTS)
        return value | bit;
    if (operation == OPERATION_BTR)
        return value & ~bit;
    return operation == OPERATION_BTC ? value ^ bit : value;
}

uint64_t alu_move(enum operation operation, unsigned size, unsigned source_size, uint64_t value)
{
    uint64_t sign = sign_bit(source_size);
    uint64_t reversed = 0;

    value &= size_mask(source_size);
    if (operation == OPERATION_MOVSX)
        return ((value ^ sign) - sign) & size_mask(size);
    if (operation != OPERATION_MOVBE)
        return value & size_mask(size);
    for (unsigned i = 0; i < source_size; i++)
        reversed = reversed << 8 | ((value >> (i * 8)) & 0xff);
    return reversed & size_mask(size);
}

bool alu_compare_exchange(unsigned size, uint64_t accumulator, uint64_t destination, uint64_t *rflags)
{
    return alu_binary(OPERATION_CMP, size, accumulator, destination, rflags) == 0;
}

bool alu_condition(unsigned condition, uint64_t rflags)
{
    bool less = ((rflags & ALU_SF) != 0) != ((rflags & ALU_OF) != 0);
    bool holds;

    switch (condition >> 1 & 7) {
    case 0: holds = (rflags & ALU_OF) != 0; break;
    case 1: holds = (rflags & ALU_CF) != 0; break;
    case 2: holds = (rflags & ALU_ZF) != 0; break;
    case 3: holds = (rflags & (ALU_CF | ALU_ZF)) != 0; break;
    case 4: holds = (rflags & ALU_SF) != 0; break;
    case 5: holds = (rflags & ALU_PF) != 0; break;
    case 6: holds = less; break;
    default: holds = less || (rflags & ALU_ZF) != 0; break;
    }
    return holds != ((condition & 1) != 0);
}

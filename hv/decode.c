/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Decode one instruction: prefixes, the opcode's row, ModRM, then the operands that the row names, and last the rules
 * that make an encoding invalid. Every byte is read through decode_byte, which alone knows where the bytes end.
 */
#include "hv/decode.h"
#include "hv/decode_internal.h"
#include "hv/error.h"

enum place {
    PLACE_NONE,
    PLACE_RM,
    PLACE_RM_REGISTER, /* the r/m field whatever mod says */
    PLACE_REG,
    PLACE_SEGMENT,
    PLACE_CONTROL,
    PLACE_DEBUG,
    PLACE_IMMEDIATE,
    PLACE_UNSIGNED,
    PLACE_FAR,
    PLACE_ONE,
    PLACE_OFFSET,
    PLACE_FIXED, /* a general register that the opcode implies */
    PLACE_STRING,
    PLACE_PORT,
};

/* Widths of 1 to 16 stand for themselves. */
enum width {
    WIDTH_V = 32,         /* the operand size */
    WIDTH_Z,              /* the operand size, at most 4 */
    WIDTH_Y,              /* 8 with REX.W, else 4 */
    WIDTH_N,              /* 8 in 64-bit mode, else 4 */
    WIDTH_WORD_IN_MEMORY, /* 2 in memory, the operand size in a register */
    WIDTH_PAIR,           /* 16 with REX.W, else 8 */
    WIDTH_FAR,            /* the operand size and 2 */
    WIDTH_TABLE,          /* 10 in 64-bit mode, else 6 */
};

static const struct {
    uint8_t place, width, number;
} codes[CODE_COUNT] = {
    [CODE_Eb] = {PLACE_RM, 1, 0},
    [CODE_Ew] = {PLACE_RM, 2, 0},
    [CODE_Ez] = {PLACE_RM, WIDTH_Z, 0},
    [CODE_Ev] = {PLACE_RM, WIDTH_V, 0},
    [CODE_Ey] = {PLACE_RM, WIDTH_Y, 0},
    [CODE_En] = {PLACE_RM, WIDTH_N, 0},
    [CODE_MwRv] = {PLACE_RM, WIDTH_WORD_IN_MEMORY, 0},
    [CODE_M] = {PLACE_RM, 0, 0},
    [CODE_Mq] = {PLACE_RM, 8, 0},
    [CODE_Mdq] = {PLACE_RM, 16, 0},
    [CODE_Mpair] = {PLACE_RM, WIDTH_PAIR, 0},
    [CODE_Mfar] = {PLACE_RM, WIDTH_FAR, 0},
    [CODE_Mtable] = {PLACE_RM, WIDTH_TABLE, 0},
    [CODE_Gb] = {PLACE_REG, 1, 0},
    [CODE_Gv] = {PLACE_REG, WIDTH_V, 0},
    [CODE_Gy] = {PLACE_REG, WIDTH_Y, 0},
    [CODE_Gn] = {PLACE_REG, WIDTH_N, 0},
    [CODE_Sw] = {PLACE_SEGMENT, 2, 0},
    [CODE_Cn] = {PLACE_CONTROL, WIDTH_N, 0},
    [CODE_Dn] = {PLACE_DEBUG, WIDTH_N, 0},
    [CODE_Rn] = {PLACE_RM_REGISTER, WIDTH_N, 0},
    [CODE_Ib] = {PLACE_IMMEDIATE, 1, 0},
    [CODE_Iz] = {PLACE_IMMEDIATE, WIDTH_Z, 0},
    [CODE_Ub] = {PLACE_UNSIGNED, 1, 0},
    [CODE_Uw] = {PLACE_UNSIGNED, 2, 0},
    [CODE_Ap] = {PLACE_FAR, WIDTH_Z, 0},
    [CODE_one] = {PLACE_ONE, 1, 0},
    [CODE_Ob] = {PLACE_OFFSET, 1, 0},
    [CODE_Ov] = {PLACE_OFFSET, WIDTH_V, 0},
    [CODE_AL] = {PLACE_FIXED, 1, GPR_RAX},
    [CODE_rAX] = {PLACE_FIXED, WIDTH_V, GPR_RAX},
    [CODE_eAX] = {PLACE_FIXED, WIDTH_Z, GPR_RAX},
    [CODE_CL] = {PLACE_FIXED, 1, GPR_RCX},
    [CODE_DX] = {PLACE_PORT, 2, GPR_RDX},
    [CODE_Xb] = {PLACE_STRING, 1, GPR_RSI},
    [CODE_Xv] = {PLACE_STRING, WIDTH_V, GPR_RSI},
    [CODE_Xz] = {PLACE_STRING, WIDTH_Z, GPR_RSI},
    [CODE_Yb] = {PLACE_STRING, 1, GPR_RDI},
    [CODE_Yv] = {PLACE_STRING, WIDTH_V, GPR_RDI},
    [CODE_Yz] = {PLACE_STRING, WIDTH_Z, GPR_RDI},
};

static uint8_t width_bytes(const struct decoder *decoder, unsigned width)
{
    const struct instruction *out = decoder->out;
    bool long_mode = decoder->mode == DECODE_64;

    switch (width) {
    case WIDTH_V: return out->operand_size;
    case WIDTH_Z: return out->operand_size == 2 ? 2 : 4;
    case WIDTH_Y: return (out->rex & 0x8) != 0 ? 8 : 4;
    case WIDTH_N: return long_mode ? 8 : 4;
    case WIDTH_WORD_IN_MEMORY: return decoder->modrm >= 0xc0 ? out->operand_size : 2;
    case WIDTH_PAIR: return (out->rex & 0x8) != 0 ? 16 : 8;
    case WIDTH_FAR: return (uint8_t)(out->operand_size + 2);
    case WIDTH_TABLE: return long_mode ? 10 : 6;
    default: return (uint8_t)width;
    }
}

static bool code_needs_modrm(unsigned code)
{
    return codes[code].place >= PLACE_RM && codes[code].place <= PLACE_DEBUG;
}

static void operand_register(const struct decoder *decoder, struct operand *operand, unsigned number)
{
    operand->kind = OPERAND_REGISTER;
    operand->number = (uint8_t)number;
    operand->high = operand->size == 1 && decoder->out->rex == 0 && number >= 4;
}

/* Not every number of the register field names a register. */
static void operand_special(struct decoder *decoder, struct operand *operand, unsigned place)
{
    bool rex_r = (decoder->out->rex & 0x4) != 0;
    unsigned number = (decoder->modrm >> 3) & 7;

    operand->number = (uint8_t)number;
    if (place == PLACE_SEGMENT) {
        operand->kind = OPERAND_SEGMENT;
        if (number > SEGMENT_GS)
            decode_fault(decoder, VECTOR_UD);
    } else if (place == PLACE_CONTROL) {
        /* AMD's way to CR8 outside of 64-bit mode is a LOCK prefix. AMD APM vol. 3, "MOV CRn". */
        if (rex_r || decoder->out->lock)
            operand->number = (uint8_t)(number + 8);
        operand->kind = OPERAND_CONTROL;
        if ((BIT(operand->number) & (BIT(0) | BIT(2) | BIT(3) | BIT(4) | BIT(8))) == 0)
            decode_fault(decoder, VECTOR_UD);
    } else {
        operand->kind = OPERAND_DEBUG;
        if (rex_r)
            decode_fault(decoder, VECTOR_UD);
    }
}

static void operand_constant(struct decoder *decoder, struct operand *operand, unsigned place)
{
    struct instruction *out = decoder->out;
    uint64_t value = place == PLACE_ONE ? 1 : decode_bytes(decoder, operand->size);

    operand->kind = OPERAND_IMMEDIATE;
    if (place == PLACE_IMMEDIATE && operand->size == 1)
        out->immediate = (int8_t)value;
    else if (place == PLACE_IMMEDIATE && operand->size == 2)
        out->immediate = (int16_t)value;
    else if (place == PLACE_IMMEDIATE)
        out->immediate = (int32_t)value;
    else
        out->immediate = (int64_t)value;
    if (place == PLACE_FAR)
        out->selector = (uint16_t)decode_bytes(decoder, 2);
}

static void operand_decode(struct decoder *decoder, struct operand *operand, unsigned code)
{
    struct instruction *out = decoder->out;
    unsigned place = codes[code].place;

    if (place == PLACE_NONE)
        return;
    operand->size = width_bytes(decoder, codes[code].width);
    switch (place) {
    case PLACE_RM:
        if (decoder->modrm < 0xc0) {
            operand->kind = OPERAND_MEMORY;
            break;
        }
        /* fall through */
    case PLACE_RM_REGISTER:
        operand_register(decoder, operand, (decoder->modrm & 7u) | ((out->rex & 0x1u) != 0 ? 8 : 0));
        break;
    case PLACE_REG:
        operand_register(decoder, operand, ((decoder->modrm >> 3) & 7u) | ((out->rex & 0x4u) != 0 ? 8 : 0));
        break;
    case PLACE_SEGMENT:
    case PLACE_CONTROL:
    case PLACE_DEBUG: operand_special(decoder, operand, place); break;
    case PLACE_OFFSET:
        operand->kind = OPERAND_MEMORY;
        out->memory.displacement = (int64_t)decode_bytes(decoder, out->address_size);
        break;
    case PLACE_FIXED: operand_register(decoder, operand, codes[code].number); break;
    case PLACE_STRING:
        operand->kind = OPERAND_STRING;
        operand->number = codes[code].number;
        break;
    case PLACE_PORT:
        operand->kind = OPERAND_PORT;
        operand->number = codes[code].number;
        break;
    default: operand_constant(decoder, operand, place); break;
    }
}

static void decode_operand_size(struct decoder *decoder, unsigned row_flags)
{
    struct instruction *out = decoder->out;

    if (decoder->mode == DECODE_64 && (out->rex & 0x8) != 0)
        out->operand_size = 8;
    else if (decoder->mode == DECODE_64 && (row_flags & ROW_STACK) != 0)
        out->operand_size = decoder->operand_prefix ? 2 : 8;
    else
        out->operand_size = decoder->operand_prefix == (decoder->mode != DECODE_16) ? 2 : 4;
}

/* What the row says about validity, beyond what the operands showed. */
static void row_check(struct decoder *decoder, const struct opcode_row *row)
{
    const struct instruction *out = decoder->out;
    bool rm_register = decoder->has_modrm && decoder->modrm >= 0xc0;
    bool lockable = (row->flags & ROW_LOCK) != 0 && out->destination.kind == OPERAND_MEMORY;

    if ((row->flags & ROW_MEMORY) != 0 && rm_register)
        decode_fault(decoder, VECTOR_UD);
    if (out->lock && !lockable && row->operation != OPERATION_MOV_CONTROL)
        decode_fault(decoder, VECTOR_UD);
    if (row->operation == OPERATION_MOV_SEGMENT && out->destination.kind == OPERAND_SEGMENT &&
        out->destination.number == SEGMENT_CS)
        decode_fault(decoder, VECTOR_UD);
}

static void operands_decode(struct decoder *decoder, const struct opcode_row *row)
{
    struct instruction *out = decoder->out;

    decode_operand_size(decoder, row->flags);
    if (code_needs_modrm(row->destination) || code_needs_modrm(row->source)) {
        bool always_register = row->destination == CODE_Rn || row->source == CODE_Rn;

        decode_modrm(decoder);
        if (decoder->modrm < 0xc0 && !always_register)
            decode_memory(decoder);
    }
    operand_decode(decoder, &out->destination, row->destination);
    operand_decode(decoder, &out->source, row->source);
    if (out->destination.kind == OPERAND_MEMORY)
        out->access = (uint8_t)operation_access(row->operation);
    else if (out->source.kind == OPERAND_MEMORY && out->source.size != 0)
        out->access = MEMORY_READ;
    if ((row->flags & ROW_CONDITION) != 0)
        out->condition = decoder->opcode & 0xf;
}

int decode(const uint8_t *bytes, unsigned available, enum decode_mode mode, struct instruction *out)
{
    struct decoder decoder = {
        .bytes = bytes, .available = (unsigned)min_u64(available, INSTRUCTION_LENGTH_MAX), .mode = mode, .out = out};
    struct opcode_row row;

    *out = (struct instruction){.memory = {.base = REGISTER_NONE, .index = REGISTER_NONE, .scale = 1}};
    decode_prefixes(&decoder);
    if (decoder.error != 0)
        return decoder.error;
    out->memory.segment = out->segment_override != SEGMENT_COUNT ? out->segment_override : SEGMENT_DS;

    row = decode_opcode(&decoder);
    if (decoder.error != 0)
        return decoder.error;
    if ((row.flags & ROW_INVALID) != 0 || ((row.flags & ROW_NOT_64) != 0 && mode == DECODE_64)) {
        decode_fault(&decoder, VECTOR_UD);
        return decoder.error;
    }
    if (row.operation == OPERATION_UNKNOWN || ((row.flags & ROW_ONLY_64) != 0 && mode != DECODE_64))
        return E_NOTYET;

    operands_decode(&decoder, &row);
    if (decoder.error != 0)
        return decoder.error;
    if ((row.flags & ROW_MEMORY_ONLY) != 0 && decoder.modrm >= 0xc0)
        return E_NOTYET;
    row_check(&decoder, &row);
    out->operation = row.operation;
    out->family = (uint8_t)operation_family(row.operation);
    out->length = (uint8_t)decoder.position;
    return decoder.error;
}

const struct operand *instruction_memory_operand(const struct instruction *instruction)
{
    if (instruction->destination.kind == OPERAND_MEMORY)
        return &instruction->destination;
    return instruction->source.kind == OPERAND_MEMORY ? &instruction->source : NULL;
}

const struct operand *instruction_register_operand(const struct instruction *instruction)
{
    if (instruction->destination.kind == OPERAND_REGISTER)
        return &instruction->destination;
    return instruction->source.kind == OPERAND_REGISTER ? &instruction->source : NULL;
}

uint64_t instruction_offset(const struct instruction *instruction, uint64_t base, uint64_t index, uint64_t next_rip)
{
    const struct memory_operand *memory = &instruction->memory;
    uint64_t offset = (uint64_t)memory->displacement;

    if (memory->base != REGISTER_NONE)
        offset += base;
    if (memory->index != REGISTER_NONE)
        offset += index * memory->scale;
    if (memory->rip_relative)
        offset += next_rip;
    return offset & size_mask(instruction->address_size);
}

int64_t instruction_bit_displacement(const struct instruction *instruction, uint64_t bit_offset)
{
    unsigned size = instruction->destination.size;
    uint64_t sign;
    int64_t bit;

    if (instruction->family != FAMILY_BIT || instruction->source.kind != OPERAND_REGISTER)
        return 0;
    sign = BIT(size * 8u - 1);
    bit = (int64_t)(((bit_offset & size_mask(size)) ^ sign) - sign);
    return (bit >> 3) & -(int64_t)size;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The frame around an opcode: a cursor that cannot leave the bytes it was given, prefixes before, and ModRM, SIB and
 * displacement behind. Intel SDM vol. 2, "Instruction Format"; AMD APM vol. 3, "Instruction Encoding".
 */
#include "hv/decode_internal.h"
#include "hv/error.h"

#define REX_B 0x1u
#define REX_X 0x2u
#define REX_R 0x4u

void decode_fault(struct decoder *decoder, enum vector fault)
{
    if (decoder->error == 0) {
        decoder->error = E_INVAL;
        decoder->out->fault = (uint8_t)fault;
    }
}

/* The next byte; 0 and an error when there is none. An instruction that wants a 16th byte is too long, not cut short.
 */
uint8_t decode_byte(struct decoder *decoder)
{
    if (decoder->position < decoder->available)
        return decoder->bytes[decoder->position++];
    if (decoder->available >= INSTRUCTION_LENGTH_MAX)
        decode_fault(decoder, VECTOR_GP);
    else if (decoder->error == 0)
        decoder->error = E_RANGE;
    return 0;
}

/* A little-endian number of `count` (0 to 8) bytes; the error is decode_byte's when they are not all there. */
uint64_t decode_bytes(struct decoder *decoder, unsigned count)
{
    const uint8_t *bytes = decoder->bytes + decoder->position;
    uint64_t value = 0;

    if (count > decoder->available - decoder->position) {
        decoder->position = decoder->available;
        return decode_byte(decoder);
    }
    decoder->position += count;
    switch (count) {
    case 1: return bytes[0];
    case 4: return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    default: break;
    }
    for (unsigned i = 0; i < count; i++)
        value |= (uint64_t)bytes[i] << (i * 8);
    return value;
}

static int64_t decode_signed(struct decoder *decoder, unsigned count)
{
    uint64_t value = decode_bytes(decoder, count);

    switch (count) {
    case 1: return (int8_t)value;
    case 2: return (int16_t)value;
    default: return (int32_t)value;
    }
}

/* In 64-bit mode only FS and GS can be asked for; the other four prefixes do nothing, not even cancel an earlier one.
 */
static void override_segment(struct decoder *decoder, enum segment segment)
{
    if (decoder->mode != DECODE_64 || segment >= SEGMENT_FS)
        decoder->out->segment_override = (uint8_t)segment;
}

static bool decode_legacy_prefix(struct decoder *decoder, uint8_t byte)
{
    struct instruction *out = decoder->out;

    switch (byte) {
    case 0x26: override_segment(decoder, SEGMENT_ES); return true;
    case 0x2e: override_segment(decoder, SEGMENT_CS); return true;
    case 0x36: override_segment(decoder, SEGMENT_SS); return true;
    case 0x3e: override_segment(decoder, SEGMENT_DS); return true;
    case 0x64: override_segment(decoder, SEGMENT_FS); return true;
    case 0x65: override_segment(decoder, SEGMENT_GS); return true;
    case 0x66: decoder->operand_prefix = true; return true;
    case 0x67: decoder->address_prefix = true; return true;
    case 0xf0: out->lock = true; return true;
    case 0xf2: out->repeat = REPEAT_NOT_EQUAL; return true;
    case 0xf3: out->repeat = REPEAT_EQUAL; return true;
    default: return false;
    }
}

/* All prefixes and the first opcode byte. A REX prefix counts only directly before the opcode. */
void decode_prefixes(struct decoder *decoder)
{
    struct instruction *out = decoder->out;
    bool short_address = decoder->mode != DECODE_16;

    out->segment_override = SEGMENT_COUNT;
    for (;;) {
        uint8_t byte = decode_byte(decoder);

        if (decoder->error != 0)
            return;
        if (decoder->mode == DECODE_64 && (byte & 0xf0) == 0x40) {
            out->rex = byte;
        } else if (decode_legacy_prefix(decoder, byte)) {
            out->rex = 0;
        } else {
            decoder->opcode = byte;
            break;
        }
    }

    if (decoder->mode == DECODE_64)
        out->address_size = decoder->address_prefix ? 4 : 8;
    else
        out->address_size = decoder->address_prefix == short_address ? 2 : 4;
}

void decode_modrm(struct decoder *decoder)
{
    if (!decoder->has_modrm) {
        decoder->modrm = decode_byte(decoder);
        decoder->has_modrm = true;
    }
}

/* Intel SDM vol. 2, table "16-Bit Addressing Forms with the ModR/M Byte". */
static void decode_memory_16(struct decoder *decoder)
{
    static const struct {
        uint8_t base, index;
    } forms[8] = {
        {GPR_RBX, GPR_RSI},       {GPR_RBX, GPR_RDI},       {GPR_RBP, GPR_RSI},       {GPR_RBP, GPR_RDI},
        {GPR_RSI, REGISTER_NONE}, {GPR_RDI, REGISTER_NONE}, {GPR_RBP, REGISTER_NONE}, {GPR_RBX, REGISTER_NONE},
    };
    struct memory_operand *memory = &decoder->out->memory;
    unsigned mod = decoder->modrm >> 6;
    unsigned rm = decoder->modrm & 7;

    if (mod == 0 && rm == 6) {
        memory->displacement = decode_signed(decoder, 2);
        return;
    }
    memory->base = forms[rm].base;
    memory->index = forms[rm].index;
    if (memory->base == GPR_RBP)
        memory->segment = SEGMENT_SS;
    if (mod != 0)
        memory->displacement = decode_signed(decoder, mod);
}

static void decode_sib(struct decoder *decoder)
{
    struct memory_operand *memory = &decoder->out->memory;
    unsigned rex = decoder->out->rex;
    unsigned sib = decode_byte(decoder);
    unsigned index = ((sib >> 3) & 7) | ((rex & REX_X) != 0 ? 8 : 0);

    memory->base = (uint8_t)((sib & 7) | ((rex & REX_B) != 0 ? 8 : 0));
    if (index != GPR_RSP) {
        memory->index = (uint8_t)index;
        memory->scale = (uint8_t)(1u << (sib >> 6));
    }
    if ((sib & 7) == GPR_RBP && decoder->modrm >> 6 == 0) {
        memory->base = REGISTER_NONE;
        memory->displacement = decode_signed(decoder, 4);
    }
}

/* "32-Bit Addressing Forms with the ModR/M Byte", and the same with the SIB byte; 64-bit addresses use them too. */
static void decode_memory_32(struct decoder *decoder)
{
    struct memory_operand *memory = &decoder->out->memory;
    unsigned mod = decoder->modrm >> 6;
    unsigned rm = decoder->modrm & 7;

    if (rm == GPR_RSP) {
        decode_sib(decoder);
    } else if (mod == 0 && rm == GPR_RBP) {
        memory->rip_relative = decoder->mode == DECODE_64;
        memory->displacement = decode_signed(decoder, 4);
    } else {
        memory->base = (uint8_t)(rm | ((decoder->out->rex & REX_B) != 0 ? 8 : 0));
    }
    if (memory->base == GPR_RSP || memory->base == GPR_RBP)
        memory->segment = SEGMENT_SS;
    if (mod != 0)
        memory->displacement = decode_signed(decoder, mod == 1 ? 1 : 4);
}

/* The memory operand that the ModRM byte (mod not 3) asks for. */
void decode_memory(struct decoder *decoder)
{
    struct instruction *out = decoder->out;

    if (out->address_size == 2)
        decode_memory_16(decoder);
    else
        decode_memory_32(decoder);
    if (out->segment_override != SEGMENT_COUNT)
        out->memory.segment = out->segment_override;
}

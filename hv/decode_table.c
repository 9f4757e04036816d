/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The opcode maps, one row an instruction; what stands in no row is unknown. A group shares an opcode and is told apart
 * by the register field of its ModRM byte. Intel SDM vol. 2, appendix A "Opcode Map"; AMD APM vol. 3, appendix A
 * "Opcode and Operand Encodings".
 */
#include "hv/decode_internal.h"
#include "hv/error.h"

enum opcode_group {
    GROUP_ARITHMETIC,    /* 80-83 */
    GROUP_POP,           /* 8F */
    GROUP_SHIFT,         /* C0, C1, D0-D3 */
    GROUP_MOV,           /* C6, C7 */
    GROUP_TEST_BYTE,     /* F6 */
    GROUP_TEST,          /* F7 */
    GROUP_INC_BYTE,      /* FE */
    GROUP_INC,           /* FF */
    GROUP_LOCAL_TABLE,   /* 0F 00 */
    GROUP_SYSTEM_MEMORY, /* 0F 01 with a memory operand */
    GROUP_FENCE,         /* 0F AE */
    GROUP_BIT,           /* 0F BA */
    GROUP_PAIR,          /* 0F C7 */
    GROUP_COUNT,
};

#define ROW(operation, destination, source, flags)                                                                     \
    {                                                                                                                  \
        OPERATION_##operation, CODE_##destination, CODE_##source, (flags)                                              \
    }
#define SIMPLE(operation) ROW(operation, NONE, NONE, 0)
#define GROUP(group, destination, source)                                                                              \
    {                                                                                                                  \
        GROUP_##group, CODE_##destination, CODE_##source, ROW_GROUP                                                    \
    }
#define INVALID ROW(UNKNOWN, NONE, NONE, ROW_INVALID)

/* The six encodings of an arithmetic operation, from opcode `first` on. */
#define ARITHMETIC(first, operation, flags)                                                                            \
    [(first)] = ROW(operation, Eb, Gb, flags), [(first) + 1] = ROW(operation, Ev, Gv, flags),                          \
    [(first) + 2] = ROW(operation, Gb, Eb, 0), [(first) + 3] = ROW(operation, Gv, Ev, 0),                              \
    [(first) + 4] = ROW(operation, AL, Ib, 0), [(first) + 5] = ROW(operation, rAX, Iz, 0)

static const struct opcode_row one_byte[256] = {
    ARITHMETIC(0x00, ADD, ROW_LOCK),
    ARITHMETIC(0x08, OR, ROW_LOCK),
    ARITHMETIC(0x10, ADC, ROW_LOCK),
    ARITHMETIC(0x18, SBB, ROW_LOCK),
    ARITHMETIC(0x20, AND, ROW_LOCK),
    ARITHMETIC(0x28, SUB, ROW_LOCK),
    ARITHMETIC(0x30, XOR, ROW_LOCK),
    ARITHMETIC(0x38, CMP, 0),
    [0x63] = ROW(MOVSX, Gv, Ez, ROW_ONLY_64),
    [0x6c] = ROW(INS, Yb, DX, 0),
    [0x6d] = ROW(INS, Yz, DX, 0),
    [0x6e] = ROW(OUTS, DX, Xb, 0),
    [0x6f] = ROW(OUTS, DX, Xz, 0),
    [0x80] = GROUP(ARITHMETIC, Eb, Ib),
    [0x81] = GROUP(ARITHMETIC, Ev, Iz),
    [0x82] = {GROUP_ARITHMETIC, CODE_Eb, CODE_Ib, ROW_GROUP | ROW_NOT_64},
    [0x83] = GROUP(ARITHMETIC, Ev, Ib),
    [0x84] = ROW(TEST, Eb, Gb, 0),
    [0x85] = ROW(TEST, Ev, Gv, 0),
    [0x86] = ROW(XCHG, Eb, Gb, ROW_LOCK),
    [0x87] = ROW(XCHG, Ev, Gv, ROW_LOCK),
    [0x88] = ROW(MOV, Eb, Gb, 0),
    [0x89] = ROW(MOV, Ev, Gv, 0),
    [0x8a] = ROW(MOV, Gb, Eb, 0),
    [0x8b] = ROW(MOV, Gv, Ev, 0),
    [0x8c] = ROW(MOV_SEGMENT, MwRv, Sw, 0),
    [0x8e] = ROW(MOV_SEGMENT, Sw, Ew, 0),
    [0x8f] = GROUP(POP, Ev, NONE),
    [0x90] = SIMPLE(NOP),
    [0x9a] = ROW(CALL_FAR, Ap, NONE, ROW_NOT_64),
    [0x9c] = ROW(PUSHF, NONE, NONE, ROW_STACK),
    [0x9d] = ROW(POPF, NONE, NONE, ROW_STACK),
    [0xa0] = ROW(MOV, AL, Ob, 0),
    [0xa1] = ROW(MOV, rAX, Ov, 0),
    [0xa2] = ROW(MOV, Ob, AL, 0),
    [0xa3] = ROW(MOV, Ov, rAX, 0),
    [0xa4] = ROW(MOVS, Yb, Xb, 0),
    [0xa5] = ROW(MOVS, Yv, Xv, 0),
    [0xa6] = ROW(CMPS, Xb, Yb, 0),
    [0xa7] = ROW(CMPS, Xv, Yv, 0),
    [0xa8] = ROW(TEST, AL, Ib, 0),
    [0xa9] = ROW(TEST, rAX, Iz, 0),
    [0xaa] = ROW(STOS, Yb, AL, 0),
    [0xab] = ROW(STOS, Yv, rAX, 0),
    [0xac] = ROW(LODS, AL, Xb, 0),
    [0xad] = ROW(LODS, rAX, Xv, 0),
    [0xae] = ROW(SCAS, AL, Yb, 0),
    [0xaf] = ROW(SCAS, rAX, Yv, 0),
    [0xc0] = GROUP(SHIFT, Eb, Ub),
    [0xc1] = GROUP(SHIFT, Ev, Ub),
    [0xc6] = GROUP(MOV, Eb, Ib),
    [0xc7] = GROUP(MOV, Ev, Iz),
    [0xca] = ROW(RET_FAR, NONE, Uw, 0),
    [0xcb] = SIMPLE(RET_FAR),
    [0xcc] = SIMPLE(INT3),
    [0xcd] = ROW(INT, NONE, Ub, 0),
    [0xce] = ROW(INTO, NONE, NONE, ROW_NOT_64),
    [0xcf] = SIMPLE(IRET),
    [0xd0] = GROUP(SHIFT, Eb, one),
    [0xd1] = GROUP(SHIFT, Ev, one),
    [0xd2] = GROUP(SHIFT, Eb, CL),
    [0xd3] = GROUP(SHIFT, Ev, CL),
    [0xe4] = ROW(IN, AL, Ub, 0),
    [0xe5] = ROW(IN, eAX, Ub, 0),
    [0xe6] = ROW(OUT, Ub, AL, 0),
    [0xe7] = ROW(OUT, Ub, eAX, 0),
    [0xea] = ROW(JMP_FAR, Ap, NONE, ROW_NOT_64),
    [0xec] = ROW(IN, AL, DX, 0),
    [0xed] = ROW(IN, eAX, DX, 0),
    [0xee] = ROW(OUT, DX, AL, 0),
    [0xef] = ROW(OUT, DX, eAX, 0),
    [0xf1] = SIMPLE(INT1),
    [0xf4] = SIMPLE(HLT),
    [0xf6] = GROUP(TEST_BYTE, Eb, NONE),
    [0xf7] = GROUP(TEST, Ev, NONE),
    [0xfe] = GROUP(INC_BYTE, Eb, NONE),
    [0xff] = GROUP(INC, Ev, NONE),
};

static const struct opcode_row two_byte[256] = {
    [0x00] = GROUP(LOCAL_TABLE, NONE, NONE),
    [0x01] = GROUP(SYSTEM_MEMORY, NONE, NONE),
    [0x06] = SIMPLE(CLTS),
    [0x08] = SIMPLE(INVD),
    [0x09] = SIMPLE(WBINVD),
    [0x0b] = INVALID, /* UD2 */
    [0x20] = ROW(MOV_CONTROL, Rn, Cn, 0),
    [0x21] = ROW(MOV_DEBUG, Rn, Dn, 0),
    [0x22] = ROW(MOV_CONTROL, Cn, Rn, 0),
    [0x23] = ROW(MOV_DEBUG, Dn, Rn, 0),
    [0x30] = SIMPLE(WRMSR),
    [0x31] = SIMPLE(RDTSC),
    [0x32] = SIMPLE(RDMSR),
    [0x33] = SIMPLE(RDPMC),
    [0x37] = SIMPLE(GETSEC),
    [0x40 ... 0x4f] = ROW(CMOV, Gv, Ev, ROW_CONDITION),
    [0x78] = ROW(VMREAD, En, Gn, 0),
    [0x79] = ROW(VMWRITE, Gn, En, 0),
    [0x90 ... 0x9f] = ROW(SET, Eb, NONE, ROW_CONDITION),
    [0xa2] = SIMPLE(CPUID),
    [0xa3] = ROW(BT, Ev, Gv, 0),
    [0xaa] = SIMPLE(RSM),
    [0xab] = ROW(BTS, Ev, Gv, ROW_LOCK),
    [0xae] = GROUP(FENCE, NONE, NONE),
    [0xb0] = ROW(CMPXCHG, Eb, Gb, ROW_LOCK),
    [0xb1] = ROW(CMPXCHG, Ev, Gv, ROW_LOCK),
    [0xb3] = ROW(BTR, Ev, Gv, ROW_LOCK),
    [0xb6] = ROW(MOVZX, Gv, Eb, 0),
    [0xb7] = ROW(MOVZX, Gv, Ew, 0),
    [0xb9] = INVALID, /* UD1 */
    [0xba] = GROUP(BIT, Ev, Ub),
    [0xbb] = ROW(BTC, Ev, Gv, ROW_LOCK),
    [0xbe] = ROW(MOVSX, Gv, Eb, 0),
    [0xbf] = ROW(MOVSX, Gv, Ew, 0),
    [0xc0] = ROW(XADD, Eb, Gb, ROW_LOCK),
    [0xc1] = ROW(XADD, Ev, Gv, ROW_LOCK),
    [0xc3] = ROW(MOVNTI, Ey, Gy, ROW_MEMORY),
    [0xc7] = GROUP(PAIR, NONE, NONE),
    [0xff] = INVALID, /* UD0 */
};

/* Rows that name no operands take those of the opcode. */
static const struct opcode_row groups[GROUP_COUNT][8] = {
    [GROUP_ARITHMETIC] = {ROW(ADD, NONE, NONE, ROW_LOCK), ROW(OR, NONE, NONE, ROW_LOCK), ROW(ADC, NONE, NONE, ROW_LOCK),
                          ROW(SBB, NONE, NONE, ROW_LOCK), ROW(AND, NONE, NONE, ROW_LOCK),
                          ROW(SUB, NONE, NONE, ROW_LOCK), ROW(XOR, NONE, NONE, ROW_LOCK), SIMPLE(CMP)},
    [GROUP_POP] = {ROW(POP, NONE, NONE, ROW_STACK)},
    [GROUP_SHIFT] = {SIMPLE(ROL), SIMPLE(ROR), SIMPLE(RCL), SIMPLE(RCR), SIMPLE(SHL), SIMPLE(SHR), SIMPLE(SHL),
                     SIMPLE(SAR)},
    [GROUP_MOV] = {SIMPLE(MOV), INVALID, INVALID, INVALID, INVALID, INVALID, INVALID},
    [GROUP_TEST_BYTE] = {ROW(TEST, Eb, Ib, 0), ROW(TEST, Eb, Ib, 0), ROW(NOT, NONE, NONE, ROW_LOCK),
                         ROW(NEG, NONE, NONE, ROW_LOCK)},
    [GROUP_TEST] = {ROW(TEST, Ev, Iz, 0), ROW(TEST, Ev, Iz, 0), ROW(NOT, NONE, NONE, ROW_LOCK),
                    ROW(NEG, NONE, NONE, ROW_LOCK)},
    [GROUP_INC_BYTE] = {ROW(INC, NONE, NONE, ROW_LOCK), ROW(DEC, NONE, NONE, ROW_LOCK), INVALID, INVALID, INVALID,
                        INVALID, INVALID, INVALID},
    [GROUP_INC] = {[0] = ROW(INC, NONE, NONE, ROW_LOCK),
                   [1] = ROW(DEC, NONE, NONE, ROW_LOCK),
                   [3] = ROW(CALL_FAR, NONE, Mfar, ROW_MEMORY),
                   [5] = ROW(JMP_FAR, NONE, Mfar, ROW_MEMORY),
                   [6] = ROW(PUSH, NONE, Ev, ROW_STACK),
                   [7] = INVALID},
    [GROUP_LOCAL_TABLE] = {ROW(SLDT, MwRv, NONE, 0), ROW(STR, MwRv, NONE, 0), ROW(LLDT, NONE, Ew, 0),
                           ROW(LTR, NONE, Ew, 0)},
    [GROUP_SYSTEM_MEMORY] = {[0] = ROW(SGDT, Mtable, NONE, 0),
                             [1] = ROW(SIDT, Mtable, NONE, 0),
                             [2] = ROW(LGDT, NONE, Mtable, 0),
                             [3] = ROW(LIDT, NONE, Mtable, 0),
                             [4] = ROW(SMSW, MwRv, NONE, 0),
                             [6] = ROW(LMSW, NONE, Ew, 0),
                             [7] = ROW(INVLPG, NONE, M, 0)},
    [GROUP_FENCE] = {[7] = ROW(CLFLUSH, NONE, M, ROW_MEMORY_ONLY)},
    [GROUP_BIT] = {[0 ... 3] = INVALID,
                   [4] = SIMPLE(BT),
                   [5] = ROW(BTS, NONE, NONE, ROW_LOCK),
                   [6] = ROW(BTR, NONE, NONE, ROW_LOCK),
                   [7] = ROW(BTC, NONE, NONE, ROW_LOCK)},
    [GROUP_PAIR] = {[1] = ROW(CMPXCHG_PAIR, Mpair, NONE, ROW_LOCK | ROW_MEMORY),
                    [6] = ROW(VMPTRLD, NONE, Mq, ROW_MEMORY_ONLY),
                    [7] = ROW(VMPTRST, Mq, NONE, ROW_MEMORY_ONLY)},
};

/* 0F 01 with a ModRM byte of C0 to FF. */
static const struct opcode_row system_register[64] = {
    [0x01] = SIMPLE(VMCALL),
    [0x02] = SIMPLE(VMLAUNCH),
    [0x03] = SIMPLE(VMRESUME),
    [0x04] = SIMPLE(VMXOFF),
    [0x08] = SIMPLE(MONITOR),
    [0x09] = SIMPLE(MWAIT),
    [0x10] = SIMPLE(XGETBV),
    [0x11] = SIMPLE(XSETBV),
    [0x14] = SIMPLE(VMFUNC),
    [0x18] = SIMPLE(VMRUN),
    [0x19] = SIMPLE(VMMCALL),
    [0x1a] = SIMPLE(VMLOAD),
    [0x1b] = SIMPLE(VMSAVE),
    [0x1c] = SIMPLE(STGI),
    [0x1d] = SIMPLE(CLGI),
    [0x1e] = SIMPLE(SKINIT),
    [0x1f] = SIMPLE(INVLPGA),
    [0x20 ... 0x27] = ROW(SMSW, MwRv, NONE, 0),
    [0x30 ... 0x37] = ROW(LMSW, NONE, Ew, 0),
    [0x38] = ROW(SWAPGS, NONE, NONE, ROW_ONLY_64),
    [0x39] = SIMPLE(RDTSCP),
    [0x3a] = SIMPLE(MONITORX),
    [0x3b] = SIMPLE(MWAITX),
    [0x3d] = SIMPLE(RDPRU),
};

static const struct opcode_row row_unknown;

/* Opcodes behind 0F 38. MOVBE with F2 would be CRC32; the others need 66. */
static struct opcode_row opcode_0f38(const struct decoder *decoder, uint8_t opcode)
{
    static const struct opcode_row movbe_load = ROW(MOVBE, Gv, Ev, ROW_MEMORY);
    static const struct opcode_row movbe_store = ROW(MOVBE, Ev, Gv, ROW_MEMORY);
    static const struct opcode_row invalidate[3] = {
        ROW(INVEPT, Gn, Mdq, ROW_MEMORY),
        ROW(INVVPID, Gn, Mdq, ROW_MEMORY),
        ROW(INVPCID, Gn, Mdq, ROW_MEMORY),
    };

    if (decoder->out->repeat != REPEAT_NONE)
        return row_unknown;
    if (opcode >= 0x80 && opcode <= 0x82 && decoder->operand_prefix)
        return invalidate[opcode - 0x80];
    if (opcode == 0xf0)
        return movbe_load;
    return opcode == 0xf1 ? movbe_store : row_unknown;
}

/* The instructions that a prefix turns into others. */
static void row_apply_prefix(const struct decoder *decoder, struct opcode_row *row)
{
    bool operand_prefix = decoder->operand_prefix;
    enum repeat repeat = decoder->out->repeat;

    switch (row->operation) {
    case OPERATION_NOP: /* with REX.B it exchanges R8 and RAX */
        if ((decoder->out->rex & 1) != 0)
            *row = row_unknown;
        else if (repeat == REPEAT_EQUAL)
            row->operation = OPERATION_PAUSE;
        break;
    case OPERATION_MOVNTI:
        if (operand_prefix || repeat != REPEAT_NONE)
            row->flags |= ROW_INVALID;
        break;
    case OPERATION_CLFLUSH: /* F3: another group of instructions */
        if (repeat != REPEAT_NONE)
            *row = row_unknown;
        break;
    case OPERATION_VMPTRLD:
        if (repeat == REPEAT_EQUAL)
            row->operation = OPERATION_VMXON;
        else if (operand_prefix)
            row->operation = OPERATION_VMCLEAR;
        break;
    case OPERATION_VMREAD:
    case OPERATION_VMWRITE: /* with 66 or F2: EXTRQ, INSERTQ */
        if (operand_prefix || repeat != REPEAT_NONE)
            *row = row_unknown;
        break;
    default: break;
    }
}

/* 66 0F AE /6 is CLWB, the rest of /6 is not known here. */
static struct opcode_row group_row(struct decoder *decoder, const struct opcode_row *opcode)
{
    static const struct opcode_row clwb = ROW(CLFLUSH, NONE, M, ROW_MEMORY_ONLY);
    unsigned number = (decoder->modrm >> 3) & 7;
    struct opcode_row row = groups[opcode->operation][number];

    if (opcode->operation == GROUP_SYSTEM_MEMORY && decoder->modrm >= 0xc0)
        return system_register[decoder->modrm & 0x3f];
    if (opcode->operation == GROUP_FENCE && number == 6 && decoder->operand_prefix)
        return clwb;
    if (row.destination == CODE_NONE && row.source == CODE_NONE) {
        row.destination = opcode->destination;
        row.source = opcode->source;
    }
    row.flags = (uint16_t)(row.flags | (opcode->flags & ~ROW_GROUP));
    return row;
}

struct opcode_row decode_opcode(struct decoder *decoder)
{
    struct opcode_row row;

    if (decoder->opcode != 0x0f) {
        row = one_byte[decoder->opcode];
    } else {
        decoder->opcode = decode_byte(decoder);
        row = decoder->opcode == 0x38 ? opcode_0f38(decoder, decode_byte(decoder)) : two_byte[decoder->opcode];
    }
    if ((row.flags & ROW_GROUP) != 0) {
        decode_modrm(decoder);
        row = group_row(decoder, &row);
    }
    row_apply_prefix(decoder, &row);
    if (decoder->error != 0)
        return row_unknown;
    return row;
}

static const uint8_t families[OPERATION_COUNT] = {
    [OPERATION_MOV... OPERATION_SET] = FAMILY_MOVE,
    [OPERATION_ADD... OPERATION_TEST] = FAMILY_BINARY,
    [OPERATION_INC... OPERATION_NEG] = FAMILY_UNARY,
    [OPERATION_ROL... OPERATION_SAR] = FAMILY_SHIFT,
    [OPERATION_BT... OPERATION_BTC] = FAMILY_BIT,
    [OPERATION_XCHG... OPERATION_CMPXCHG] = FAMILY_EXCHANGE,
    [OPERATION_CMPXCHG_PAIR] = FAMILY_PAIR,
    [OPERATION_MOV_SEGMENT] = FAMILY_SEGMENT,
    [OPERATION_PUSH... OPERATION_POPF] = FAMILY_STACK,
    [OPERATION_MOVS... OPERATION_OUTS] = FAMILY_STRING,
    [OPERATION_IN... OPERATION_OUT] = FAMILY_PORT,
    [OPERATION_MOV_CONTROL... OPERATION_CLTS] = FAMILY_CONTROL,
    [OPERATION_LGDT... OPERATION_STR] = FAMILY_TABLE,
    [OPERATION_INT... OPERATION_RET_FAR] = FAMILY_BRANCH,
    [OPERATION_INVD... OPERATION_CLFLUSH] = FAMILY_CACHE,
    [OPERATION_CPUID... OPERATION_INVVPID] = FAMILY_SYSTEM,
};

enum operation_family operation_family(enum operation operation)
{
    return families[operation];
}

unsigned operation_access(enum operation operation)
{
    switch (operation_family(operation)) {
    case FAMILY_BINARY:
        return operation == OPERATION_CMP || operation == OPERATION_TEST ? MEMORY_READ : MEMORY_READ | MEMORY_WRITE;
    case FAMILY_BIT: return operation == OPERATION_BT ? MEMORY_READ : MEMORY_READ | MEMORY_WRITE;
    case FAMILY_UNARY:
    case FAMILY_SHIFT:
    case FAMILY_EXCHANGE:
    case FAMILY_PAIR: return MEMORY_READ | MEMORY_WRITE;
    default: return MEMORY_WRITE;
    }
}

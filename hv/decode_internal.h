/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the decoder's own files only: the cursor over the bytes, and the opcode rows. Operands are written as in
 * the manual's opcode map: a letter says where (E the r/m operand, G the register field, I immediate, O moffs, X and Y
 * strings), the next the width. Intel SDM vol. 2, appendix A "Opcode Map", "Codes for Addressing Method" and "Codes for
 * Operand Type".
 */
#ifndef HV_DECODE_INTERNAL_H
#define HV_DECODE_INTERNAL_H

#include "hv/decode.h"
#include "hv/types.h"

enum operand_code {
    CODE_NONE,
    CODE_Eb,
    CODE_Ew,
    CODE_Ez, /* never 8 bytes */
    CODE_Ev,
    CODE_Ey,     /* 8 bytes with REX.W, else 4 */
    CODE_En,     /* 8 bytes in 64-bit mode, else 4 */
    CODE_MwRv,   /* 2 bytes in memory, the operand size in a register */
    CODE_M,      /* an address, nothing read */
    CODE_Mq,     /* 8 bytes */
    CODE_Mdq,    /* 16 bytes */
    CODE_Mpair,  /* twice 4 or 8 bytes */
    CODE_Mfar,   /* offset of the operand size, then a selector */
    CODE_Mtable, /* limit, then a base of 4 bytes, or 8 in 64-bit mode */
    CODE_Gb,
    CODE_Gv,
    CODE_Gy,
    CODE_Gn,
    CODE_Sw,
    CODE_Cn,
    CODE_Dn,
    CODE_Rn, /* the r/m field, always a register */
    CODE_Ib,
    CODE_Iz, /* 2 or 4 bytes */
    CODE_Ub, /* one byte, not sign-extended */
    CODE_Uw, /* two bytes, not sign-extended */
    CODE_Ap, /* offset and selector */
    CODE_one,
    CODE_Ob,
    CODE_Ov,
    CODE_AL,
    CODE_rAX,
    CODE_eAX, /* never 8 bytes */
    CODE_CL,
    CODE_DX, /* the port in DX */
    CODE_Xb,
    CODE_Xv,
    CODE_Xz, /* never 8 bytes */
    CODE_Yb,
    CODE_Yv,
    CODE_Yz,
    CODE_COUNT,
};

enum row_flag {
    ROW_GROUP = 1 << 0,       /* `operation` is an enum opcode_group; the ModRM register field selects the row */
    ROW_LOCK = 1 << 1,        /* may be locked when the destination is memory */
    ROW_MEMORY = 1 << 2,      /* #UD when the r/m operand is a register */
    ROW_MEMORY_ONLY = 1 << 3, /* an unknown instruction when the r/m operand is a register */
    ROW_STACK = 1 << 4,       /* the operand size is 8 in 64-bit mode, whatever REX.W says */
    ROW_NOT_64 = 1 << 5,      /* #UD in 64-bit mode */
    ROW_ONLY_64 = 1 << 6,     /* an unknown instruction outside of 64-bit mode */
    ROW_INVALID = 1 << 7,     /* #UD */
    ROW_CONDITION = 1 << 8,   /* the opcode's low four bits are a condition */
};

/* One instruction of the opcode map. All zero: unknown. */
struct opcode_row {
    uint8_t operation;   /* enum operation */
    uint8_t destination; /* enum operand_code */
    uint8_t source;
    uint16_t flags;
};

struct decoder {
    const uint8_t *bytes;
    unsigned available;
    unsigned position;
    enum decode_mode mode;
    int error; /* the first one; kept so that callers may check once for several bytes */
    bool operand_prefix;
    bool address_prefix;
    bool has_modrm;
    uint8_t opcode;
    uint8_t modrm;
    struct instruction *out;
};

/* decode_prefix.c: bytes, prefixes, ModRM, SIB and displacement. */
uint8_t decode_byte(struct decoder *decoder);
uint64_t decode_bytes(struct decoder *decoder, unsigned count);
void decode_fault(struct decoder *decoder, enum vector fault);
void decode_prefixes(struct decoder *decoder);
void decode_modrm(struct decoder *decoder);
void decode_memory(struct decoder *decoder);

/* decode_table.c: find the row; all zero, or decoder->error set, when there is none. May read the ModRM byte. */
struct opcode_row decode_opcode(struct decoder *decoder);
enum operation_family operation_family(enum operation operation);
/* How an operation uses a memory operand that is its destination. */
unsigned operation_access(enum operation operation);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x86 instruction decoder: bytes in, a description out. It never touches a guest, so the fuzzer and the unit tests
 * run the same code. It knows the instructions that software uses on device memory, and those whose exits come without
 * a length on processors that do not tell it. Intel SDM vol. 2, "Instruction Format" and "Opcode Map"; AMD APM vol. 3.
 */
#ifndef HV_DECODE_H
#define HV_DECODE_H

#include "hv/types.h"
#include "hv/virt.h"

#define INSTRUCTION_LENGTH_MAX 15u

/* Default operand and address size, from CS.D and CS.L (real and virtual-8086 mode: 16). */
enum decode_mode {
    DECODE_16,
    DECODE_32,
    DECODE_64,
};

/* What kind of work an operation is: mmio.c and alu.c switch on this first. */
enum operation_family {
    FAMILY_NONE,
    FAMILY_MOVE,     /* MOV, MOVZX, MOVSX, MOVSXD, MOVBE, MOVNTI, CMOVcc, SETcc */
    FAMILY_BINARY,   /* ADD, OR, ADC, SBB, AND, SUB, XOR, CMP, TEST */
    FAMILY_UNARY,    /* INC, DEC, NOT, NEG */
    FAMILY_SHIFT,    /* ROL, ROR, RCL, RCR, SHL, SHR, SAR; the source is the count */
    FAMILY_BIT,      /* BT, BTS, BTR, BTC; the source is the bit offset */
    FAMILY_EXCHANGE, /* XCHG, XADD, CMPXCHG */
    FAMILY_PAIR,     /* CMPXCHG8B, CMPXCHG16B: compares rDX:rAX, stores rCX:rBX */
    FAMILY_SEGMENT,  /* MOV to and from a segment register */
    FAMILY_STACK,    /* PUSH m, POP m, PUSHF, POPF */
    FAMILY_STRING,   /* MOVS, CMPS, STOS, LODS, SCAS, INS, OUTS */
    FAMILY_PORT,     /* IN, OUT */
    FAMILY_CONTROL,  /* MOV to and from control and debug registers, LMSW, SMSW, CLTS */
    FAMILY_TABLE,    /* LGDT, SGDT, LIDT, SIDT, LLDT, SLDT, LTR, STR */
    FAMILY_BRANCH,   /* INT n, INT3, INTO, INT1, IRET, far CALL, JMP and RET */
    FAMILY_CACHE,    /* INVD, WBINVD, INVLPG, INVPCID, CLFLUSH: no data moves */
    FAMILY_SYSTEM,   /* what else exits */
};

enum operation {
    OPERATION_UNKNOWN,
    /* FAMILY_MOVE */
    OPERATION_MOV,
    OPERATION_MOVZX,
    OPERATION_MOVSX, /* and MOVSXD */
    OPERATION_MOVBE,
    OPERATION_MOVNTI,
    OPERATION_CMOV,
    OPERATION_SET,
    /* FAMILY_BINARY, the first eight in the order of their opcodes */
    OPERATION_ADD,
    OPERATION_OR,
    OPERATION_ADC,
    OPERATION_SBB,
    OPERATION_AND,
    OPERATION_SUB,
    OPERATION_XOR,
    OPERATION_CMP,
    OPERATION_TEST,
    /* FAMILY_UNARY */
    OPERATION_INC,
    OPERATION_DEC,
    OPERATION_NOT,
    OPERATION_NEG,
    /* FAMILY_SHIFT */
    OPERATION_ROL,
    OPERATION_ROR,
    OPERATION_RCL,
    OPERATION_RCR,
    OPERATION_SHL,
    OPERATION_SHR,
    OPERATION_SAR,
    /* FAMILY_BIT */
    OPERATION_BT,
    OPERATION_BTS,
    OPERATION_BTR,
    OPERATION_BTC,
    /* FAMILY_EXCHANGE, FAMILY_PAIR */
    OPERATION_XCHG,
    OPERATION_XADD,
    OPERATION_CMPXCHG,
    OPERATION_CMPXCHG_PAIR,
    /* FAMILY_SEGMENT */
    OPERATION_MOV_SEGMENT,
    /* FAMILY_STACK */
    OPERATION_PUSH,
    OPERATION_POP,
    OPERATION_PUSHF,
    OPERATION_POPF,
    /* FAMILY_STRING */
    OPERATION_MOVS,
    OPERATION_CMPS,
    OPERATION_STOS,
    OPERATION_LODS,
    OPERATION_SCAS,
    OPERATION_INS,
    OPERATION_OUTS,
    /* FAMILY_PORT */
    OPERATION_IN,
    OPERATION_OUT,
    /* FAMILY_CONTROL */
    OPERATION_MOV_CONTROL,
    OPERATION_MOV_DEBUG,
    OPERATION_LMSW,
    OPERATION_SMSW,
    OPERATION_CLTS,
    /* FAMILY_TABLE */
    OPERATION_LGDT,
    OPERATION_SGDT,
    OPERATION_LIDT,
    OPERATION_SIDT,
    OPERATION_LLDT,
    OPERATION_SLDT,
    OPERATION_LTR,
    OPERATION_STR,
    /* FAMILY_BRANCH */
    OPERATION_INT,
    OPERATION_INT3,
    OPERATION_INTO,
    OPERATION_INT1,
    OPERATION_IRET,
    OPERATION_CALL_FAR,
    OPERATION_JMP_FAR,
    OPERATION_RET_FAR,
    /* FAMILY_CACHE */
    OPERATION_INVD,
    OPERATION_WBINVD, /* and WBNOINVD */
    OPERATION_INVLPG,
    OPERATION_INVPCID,
    OPERATION_CLFLUSH, /* and CLFLUSHOPT, CLWB */
    /* FAMILY_SYSTEM */
    OPERATION_CPUID,
    OPERATION_HLT,
    OPERATION_RDMSR,
    OPERATION_WRMSR,
    OPERATION_RDTSC,
    OPERATION_RDTSCP,
    OPERATION_RDPMC,
    OPERATION_RDPRU,
    OPERATION_XGETBV,
    OPERATION_XSETBV,
    OPERATION_MONITOR,
    OPERATION_MWAIT,
    OPERATION_MONITORX,
    OPERATION_MWAITX,
    OPERATION_PAUSE,
    OPERATION_NOP,
    OPERATION_SWAPGS,
    OPERATION_RSM,
    OPERATION_GETSEC,
    OPERATION_VMCALL,
    OPERATION_VMMCALL,
    OPERATION_VMRUN,
    OPERATION_VMLOAD,
    OPERATION_VMSAVE,
    OPERATION_STGI,
    OPERATION_CLGI,
    OPERATION_SKINIT,
    OPERATION_INVLPGA,
    OPERATION_VMLAUNCH,
    OPERATION_VMRESUME,
    OPERATION_VMXOFF,
    OPERATION_VMXON,
    OPERATION_VMCLEAR,
    OPERATION_VMPTRLD,
    OPERATION_VMPTRST,
    OPERATION_VMREAD,
    OPERATION_VMWRITE,
    OPERATION_VMFUNC,
    OPERATION_INVEPT,
    OPERATION_INVVPID,
    OPERATION_COUNT,
};

enum operand_kind {
    OPERAND_NONE,
    OPERAND_REGISTER,  /* number: enum gpr; `high` for AH, CH, DH, BH, whose numbers stay 4 to 7 as encoded */
    OPERAND_MEMORY,    /* instruction.memory */
    OPERAND_IMMEDIATE, /* instruction.immediate; for a far branch the offset, and instruction.selector */
    OPERAND_STRING,    /* number GPR_RSI: at memory.segment:rSI; GPR_RDI: at ES:rDI, which no prefix overrides */
    OPERAND_SEGMENT,   /* number: enum segment */
    OPERAND_CONTROL,   /* number 0, 2, 3, 4 or 8 */
    OPERAND_DEBUG,     /* number 0 to 7; 4 and 5 depend on CR4.DE */
    OPERAND_PORT,      /* the port number is in DX */
};

struct operand {
    uint8_t kind; /* enum operand_kind */
    uint8_t number;
    uint8_t size; /* bytes; 0 where only an address is formed (INVLPG) */
    bool high;
};

#define REGISTER_NONE 0xffu

/* Where an OPERAND_MEMORY is: segment base + ((base + index * scale + displacement) truncated to the address size). */
struct memory_operand {
    uint8_t base;      /* enum gpr or REGISTER_NONE */
    uint8_t index;     /* enum gpr or REGISTER_NONE */
    uint8_t scale;     /* 1, 2, 4, 8 */
    uint8_t segment;   /* enum segment, the override applied */
    bool rip_relative; /* add the address of the next instruction */
    int64_t displacement;
};

enum repeat {
    REPEAT_NONE,
    REPEAT_EQUAL,     /* F3: REP, REPE */
    REPEAT_NOT_EQUAL, /* F2: REPNE; the same as REP for anything but CMPS and SCAS */
};

/* What happens to the memory operand (not to a string operand, where `destination` is written and `source` is read). */
#define MEMORY_READ  0x1u
#define MEMORY_WRITE 0x2u

/*
 * A decoded instruction. Two-operand forms have their result in `destination`; CMP, TEST, CMPS, SCAS and BT only look
 * at it. XCHG, XADD and CMPXCHG have the r/m operand as destination. CMPS compares [rSI] (destination) with [rDI]
 * (source), as the flags need it.
 */
struct instruction {
    uint8_t length;           /* bytes, 1 to 15 */
    uint8_t operation;        /* enum operation */
    uint8_t family;           /* enum operation_family */
    uint8_t access;           /* MEMORY_READ, MEMORY_WRITE */
    uint8_t operand_size;     /* bytes: 2, 4, 8; byte forms have it in their operands' sizes only */
    uint8_t address_size;     /* bytes: 2, 4, 8 */
    uint8_t repeat;           /* enum repeat, as the prefixes say; it means something to FAMILY_STRING only */
    uint8_t condition;        /* CMOV, SET: 0 to 15, for alu_condition */
    uint8_t rex;              /* the REX prefix in effect, 0 when none */
    uint8_t segment_override; /* enum segment; SEGMENT_COUNT when none is in effect */
    uint8_t fault;            /* on E_INVAL: the exception that the processor raises, enum vector */
    bool lock;
    uint16_t selector; /* of a far branch to an immediate address */
    struct operand destination;
    struct operand source;
    int64_t immediate; /* sign-extended; port numbers, vectors, shift counts and RET's byte count are not */
    struct memory_operand memory;
};

/*
 * Decode the instruction at the start of `bytes`, of which `available` (more than 15 counts as 15) can be read. The
 * mode is that of the code segment. Whether the processor would allow it at this privilege level, or in real mode, is
 * not looked at. Returns 0; E_RANGE when the bytes end before the instruction does (fetch more, across the page end,
 * and call again); E_INVAL when it raises an exception whatever its operands hold, out->fault saying which (#UD; #GP
 * when longer than 15 bytes); E_NOTYET when it is not one of those above. On an error nothing but out->fault and the
 * prefixes may be looked at.
 */
int decode(const uint8_t *bytes, unsigned available, enum decode_mode mode, struct instruction *out);

/*
 * The length of an instruction that the exit has already named, for processors that do not report it. The usual
 * encoding without prefixes costs one comparison; anything else is decoded. Returns 1 to 15, or 0 when the bytes are
 * not (or not wholly) that instruction: then another CPU changed them, or more must be fetched.
 * decode_length_usual makes that comparison alone, with the first four bytes as a little-endian number: 0 means decode.
 */
unsigned decode_length_usual(enum operation operation, uint32_t head);
unsigned decode_length_known(enum operation operation, const uint8_t *bytes, unsigned available, enum decode_mode mode);

/* The operand that is OPERAND_MEMORY, or NULL. */
const struct operand *instruction_memory_operand(const struct instruction *instruction);

/* The operand that is OPERAND_REGISTER, or NULL; the destination first when both are. */
const struct operand *instruction_register_operand(const struct instruction *instruction);

/*
 * The offset of `memory` in its segment, truncated to the address size. `base` and `index` are the whole registers'
 * values (ignored where there is none), `next_rip` the address behind the instruction. POP m counts with RSP as it is
 * after the pop.
 */
uint64_t instruction_offset(const struct instruction *instruction, uint64_t base, uint64_t index, uint64_t next_rip);

/*
 * FAMILY_BIT with a register source reaches beyond its operand: how many bytes from instruction_offset the unit with
 * the bit is. `bit_offset` is the source register's value at the operand's size, taken as signed. 0 for any other
 * instruction.
 */
int64_t instruction_bit_displacement(const struct instruction *instruction, uint64_t bit_offset);

/* All ones in as many bytes (1 to 8) as an operand or address has. */
static inline uint64_t size_mask(unsigned size_bytes)
{
    return size_bytes >= 8 ? UINT64_MAX : BIT(size_bytes * 8u) - 1;
}

#endif

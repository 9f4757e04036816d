/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The processor's integer arithmetic as pure functions: values and RFLAGS in, values and RFLAGS out. Flags that the
 * manual calls undefined are left as they were or cleared; all others are exact. Intel SDM vol. 1, "EFLAGS Register",
 * and each instruction in vol. 2.
 */
#ifndef HV_ALU_H
#define HV_ALU_H

#include "hv/decode.h"
#include "hv/types.h"

#define ALU_CF BIT(0)
#define ALU_PF BIT(2)
#define ALU_AF BIT(4)
#define ALU_ZF BIT(6)
#define ALU_SF BIT(7)
#define ALU_OF BIT(11)

/*
 * All sizes are 1, 2, 4 or 8 bytes. Values above the size are ignored on input and zero in results. An operation that
 * does not belong to the function's family gives the destination back and changes no flag.
 */

/* FAMILY_BINARY, and OPERATION_XADD as ADD. For CMP and TEST the result is not to be stored. */
uint64_t alu_binary(enum operation operation, unsigned size, uint64_t destination, uint64_t source, uint64_t *rflags);

/* FAMILY_UNARY. */
uint64_t alu_unary(enum operation operation, unsigned size, uint64_t value, uint64_t *rflags);

/* FAMILY_SHIFT; the count is masked as the processor does. */
uint64_t alu_shift(enum operation operation, unsigned size, uint64_t value, uint64_t count, uint64_t *rflags);

/* FAMILY_BIT, on the unit that holds the bit; of the offset only the part inside the operand counts. BT gives the value
 * back. */
uint64_t alu_bit(enum operation operation, unsigned size, uint64_t value, uint64_t bit_offset, uint64_t *rflags);

/* FAMILY_MOVE but CMOV and SET: a value of source_size, extended or turned around to size. */
uint64_t alu_move(enum operation operation, unsigned size, unsigned source_size, uint64_t value);

/* CMPXCHG: true when the accumulator equals the destination, which then takes the source; else the accumulator takes
 * the destination. */
bool alu_compare_exchange(unsigned size, uint64_t accumulator, uint64_t destination, uint64_t *rflags);

/* Whether a condition (0 to 15, as in the low bits of Jcc, SETcc and CMOVcc) holds. */
bool alu_condition(unsigned condition, uint64_t rflags);

/* The operands' values of one instruction, before and after. Registers are whole values at their operand's size. */
struct alu_step {
    uint64_t memory;      /* in when access has MEMORY_READ */
    uint64_t reg;         /* the register operand, when there is one */
    uint64_t accumulator; /* rAX, for CMPXCHG */
    uint64_t rflags;
    bool write_memory;      /* out: `memory` is to be stored */
    bool write_register;    /* out: `reg` is to be stored */
    bool write_accumulator; /* out: `accumulator` is to be stored */
};

/*
 * Carry out a decoded instruction with one OPERAND_MEMORY and at most one OPERAND_REGISTER beside it, of the families
 * MOVE, BINARY, UNARY, SHIFT, BIT and EXCHANGE. The caller reads the operands before and stores what the step says
 * afterwards, so nothing is changed when a bus refuses. Returns 0, or E_NOSYS for any other instruction.
 */
int alu_execute(const struct instruction *instruction, struct alu_step *step);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arithmetic against the processor that runs the test: each instruction form is decoded and carried out by
 * alu_execute, and also executed for real, with the same random registers, memory and flags. Flags that the manual
 * calls undefined are not compared.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "hv/alu.h"
#include "hv/error.h"

#define ALL_FLAGS (ALU_CF | ALU_PF | ALU_AF | ALU_ZF | ALU_SF | ALU_OF)
#define TRIALS    300u

/* What an instruction under test may read and change; RSI points to `memory`. The offsets are known to native_run. */
struct machine {
    uint64_t rax, rcx, rdx, rbx, r8, r9;
    uint64_t rflags;
    uint64_t memory;
};

void native_run(struct machine *machine, const void *code);

__asm__(".text\n"
        ".globl native_run\n"
        ".type native_run, @function\n"
        "native_run:\n"
        "    push %rbx\n"
        "    push %rbp\n"
        "    push %r12\n"
        "    mov %rdi, %rbp\n"
        "    mov %rsi, %r12\n"
        "    lea 56(%rbp), %rsi\n"
        "    mov 0(%rbp), %rax\n"
        "    mov 8(%rbp), %rcx\n"
        "    mov 16(%rbp), %rdx\n"
        "    mov 24(%rbp), %rbx\n"
        "    mov 32(%rbp), %r8\n"
        "    mov 40(%rbp), %r9\n"
        "    push 48(%rbp)\n"
        "    popf\n"
        "    call *%r12\n"
        "    pushf\n"
        "    pop 48(%rbp)\n"
        "    mov %rax, 0(%rbp)\n"
        "    mov %rcx, 8(%rbp)\n"
        "    mov %rdx, 16(%rbp)\n"
        "    mov %rbx, 24(%rbp)\n"
        "    mov %r8, 32(%rbp)\n"
        "    mov %r9, 40(%rbp)\n"
        "    pop %r12\n"
        "    pop %rbp\n"
        "    pop %rbx\n"
        "    ret\n"
        ".size native_run, . - native_run\n");

_Static_assert(offsetof(struct machine, rflags) == 48, "native_run");
_Static_assert(offsetof(struct machine, memory) == 56, "native_run");

static uint64_t random_state = 0x9e3779b97f4a7c15;

static uint64_t random_bits(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

/* Mostly the values around which carries and signs change. */
static uint64_t random_value(void)
{
    static const uint64_t edges[] = {0,          1,          2,
                                     0x0f,       0x10,       0x7f,
                                     0x80,       0xff,       0x7fff,
                                     0x8000,     0xffff,     0x7fffffff,
                                     0x80000000, 0xffffffff, UINT64_C(0x7fffffffffffffff),
                                     BIT(63),    UINT64_MAX, UINT64_C(0x8080808080808080)};
    uint64_t choice = random_bits();

    if (choice % 3 == 0)
        return random_bits();
    return edges[(choice >> 8) % ARRAY_SIZE(edges)];
}

/* NULL for a register that struct machine does not have. */
static uint64_t *machine_register(struct machine *machine, const struct operand *operand)
{
    switch (operand->number - (operand->high ? 4u : 0u)) {
    case GPR_RAX: return &machine->rax;
    case GPR_RCX: return &machine->rcx;
    case GPR_RDX: return &machine->rdx;
    case GPR_RBX: return &machine->rbx;
    case GPR_R8: return &machine->r8;
    case GPR_R8 + 1: return &machine->r9;
    default: return NULL;
    }
}

static void part_write(uint64_t *whole, unsigned size, bool high, uint64_t value)
{
    uint64_t mask = size_mask(size) << (high ? 8 : 0);

    if (size == 4)
        *whole = value;
    else
        *whole = (*whole & ~mask) | ((value << (high ? 8 : 0)) & mask);
}

/* What mmio.c does around alu_execute, with a machine in place of a vCPU and a bus. */
static void emulate(const struct instruction *i, struct machine *machine)
{
    const struct operand *reg = instruction_register_operand(i);
    const struct operand *memory = instruction_memory_operand(i);
    uint64_t *whole = reg == NULL ? NULL : machine_register(machine, reg);
    struct alu_step step = {.rflags = machine->rflags};

    assert_non_null(memory);
    step.accumulator = machine->rax & size_mask(memory->size);
    if ((i->access & MEMORY_READ) != 0)
        step.memory = machine->memory & size_mask(memory->size);
    else
        step.memory = 0x5555555555555555; /* must not matter */
    if (reg != NULL)
        step.reg = (*whole >> (reg->high ? 8 : 0)) & size_mask(reg->size);

    assert_int_equal(alu_execute(i, &step), 0);
    assert_true(!step.write_memory || (i->access & MEMORY_WRITE) != 0);
    machine->rflags = step.rflags;
    if (step.write_memory) {
        uint64_t mask = size_mask(memory->size);

        assert_int_equal(step.memory & ~mask, 0);
        machine->memory = (machine->memory & ~mask) | step.memory;
    }
    if (step.write_register)
        part_write(whole, reg->size, reg->high, step.reg);
    if (step.write_accumulator)
        part_write(&machine->rax, memory->size, false, step.accumulator);
}

/* The flags that the manual defines after this instruction. */
static uint64_t defined_flags(const struct instruction *i, const struct machine *before)
{
    unsigned bits = i->destination.size * 8u;
    uint64_t count = i->source.kind == OPERAND_IMMEDIATE ? (uint64_t)i->immediate : before->rcx;
    uint64_t flags = ALL_FLAGS;

    switch (i->operation) {
    case OPERATION_AND:
    case OPERATION_OR:
    case OPERATION_XOR:
    case OPERATION_TEST: return ALL_FLAGS & ~ALU_AF;
    default: break;
    }
    if (i->family == FAMILY_BIT)
        return ALU_CF | ALU_ZF;
    if (i->family != FAMILY_SHIFT)
        return ALL_FLAGS;
    count &= i->destination.size == 8 ? 63 : 31;
    if (count == 0)
        return ALL_FLAGS;
    if (count != 1)
        flags &= ~ALU_OF;
    if (i->operation == OPERATION_SHL || i->operation == OPERATION_SHR || i->operation == OPERATION_SAR)
        flags &= ~ALU_AF;
    if (count >= bits && (i->operation == OPERATION_SHL || i->operation == OPERATION_SHR))
        flags &= ~ALU_CF;
    return flags;
}

static void machine_randomize(struct machine *machine, const struct instruction *i)
{
    const struct operand *memory = instruction_memory_operand(i);

    machine->rax = random_value();
    machine->rcx = random_value();
    machine->rdx = random_value();
    machine->rbx = random_value();
    machine->r8 = random_value();
    machine->r9 = random_value();
    machine->memory = random_value();
    machine->rflags = (random_bits() & ALL_FLAGS) | 0x202;
    if (random_bits() % 4 == 0)
        machine->memory = machine->rax; /* CMPXCHG shall succeed now and then */
    if (i->family == FAMILY_SHIFT && random_bits() % 4 != 0)
        machine->rcx = random_bits() % 70;
    if (i->family == FAMILY_BIT && i->source.kind == OPERAND_REGISTER)
        *machine_register(machine, &i->source) = random_bits() % (memory->size * 8u);
}

static uint8_t *code_page;
static unsigned forms_run;

static void form_compare(const uint8_t *bytes, unsigned count)
{
    struct instruction i;
    struct machine machine;
    const struct operand *reg;

    if (decode(bytes, count, DECODE_64, &i) == E_INVAL) {
        assert_true(bytes[0] == 0x66 && bytes[count - 2] == 0xc3); /* MOVNTI */
        return;
    }
    assert_int_equal(i.length, count);
    reg = instruction_register_operand(&i);
    if (reg != NULL && machine_register(&machine, reg) == NULL)
        return;
    memcpy(code_page, bytes, count);
    code_page[count] = 0xc3;
    forms_run++;
    for (unsigned trial = 0; trial < TRIALS; trial++) {
        struct machine before, native, emulated;
        uint64_t mask;

        machine_randomize(&before, &i);
        native = before;
        emulated = before;
        native_run(&native, code_page);
        emulate(&i, &emulated);
        mask = defined_flags(&i, &before);
        if ((emulated.rflags ^ before.rflags) & ~(uint64_t)ALL_FLAGS)
            fail_msg("operation %u touches other flags", i.operation);
        native.rflags &= mask;
        emulated.rflags &= mask;
        if (memcmp(&native, &emulated, sizeof(native)) != 0) {
            print_error("bytes %02x %02x %02x %02x, rax %lx rcx %lx memory %lx flags %lx\n", bytes[0], bytes[1],
                        bytes[2], bytes[3], before.rax, before.rcx, before.memory, before.rflags);
            print_error("native memory %lx flags %lx, emulated memory %lx flags %lx\n", native.memory, native.rflags,
                        emulated.memory, emulated.rflags);
            fail_msg("operation %u size %u differs", i.operation, i.destination.size);
        }
    }
}

/*
 * An opcode of up to three bytes with a ModRM byte for [RSI], its register field, and immediate bytes (`sized`: as many
 * as the operand size asks for), under all useful prefixes.
 */
static void opcode_compare(uint32_t opcode, unsigned opcode_bytes, unsigned reg, unsigned immediate_bytes, bool sized)
{
    static const uint8_t prefixes[][2] = {{0, 0}, {0x66, 0}, {0x40, 0}, {0x48, 0}, {0x44, 0}, {0x4c, 0}, {0x66, 0x48}};

    for (size_t n = 0; n < ARRAY_SIZE(prefixes); n++) {
        uint8_t bytes[16];
        unsigned count = 0;
        unsigned width = prefixes[n][0] == 0x66 && prefixes[n][1] == 0 ? 2 : 4;

        for (unsigned k = 0; k < 2; k++) {
            if (prefixes[n][k] != 0)
                bytes[count++] = prefixes[n][k];
        }
        for (unsigned k = 0; k < opcode_bytes; k++)
            bytes[count++] = (uint8_t)(opcode >> (8 * (opcode_bytes - 1 - k)));
        bytes[count++] = (uint8_t)(reg << 3 | GPR_RSI);
        for (unsigned k = 0; k < (sized ? width : immediate_bytes); k++)
            bytes[count++] = (uint8_t)random_value();
        form_compare(bytes, count);
    }
}

/* r/m and register forms; 4 to 7 name AH to BH in byte-sized ones without REX and are skipped in the others. */
static void register_compare(uint32_t opcode, unsigned opcode_bytes)
{
    for (unsigned reg = 0; reg < 8; reg++)
        opcode_compare(opcode, opcode_bytes, reg, 0, false);
}

static void arithmetic_matches_the_processor(void **state)
{
    (void)state;
    for (uint32_t first = 0; first < 0x40; first += 8) {
        register_compare(first, 1);
        register_compare(first + 1, 1);
        register_compare(first + 2, 1);
        register_compare(first + 3, 1);
    }
    for (unsigned repeat = 0; repeat < 4; repeat++) {
        for (unsigned digit = 0; digit < 8; digit++) {
            opcode_compare(0x80, 1, digit, 1, false);
            opcode_compare(0x81, 1, digit, 4, true);
            opcode_compare(0x83, 1, digit, 1, false);
        }
        opcode_compare(0xf6, 1, repeat & 1, 1, false);
        opcode_compare(0xf7, 1, repeat & 1, 4, true);
    }
    register_compare(0x84, 1);
    register_compare(0x85, 1);
}

static void unary_matches_the_processor(void **state)
{
    (void)state;
    for (unsigned digit = 0; digit < 2; digit++) {
        opcode_compare(0xfe, 1, digit, 0, false);
        opcode_compare(0xff, 1, digit, 0, false);
        opcode_compare(0xf6, 1, 2 + digit, 0, false);
        opcode_compare(0xf7, 1, 2 + digit, 0, false);
    }
}

static void shifts_match_the_processor(void **state)
{
    (void)state;
    for (unsigned digit = 0; digit < 8; digit++) {
        for (uint32_t opcode = 0xd0; opcode <= 0xd3; opcode++)
            opcode_compare(opcode, 1, digit, 0, false);
        for (unsigned count = 0; count < 70; count++) {
            uint8_t byte_form[] = {0xc0, (uint8_t)(digit << 3 | GPR_RSI), (uint8_t)count};
            uint8_t word_form[] = {0x66, 0xc1, (uint8_t)(digit << 3 | GPR_RSI), (uint8_t)count};
            uint8_t long_form[] = {0x48, 0xc1, (uint8_t)(digit << 3 | GPR_RSI), (uint8_t)count};

            form_compare(byte_form, 3);
            form_compare(word_form, 4);
            form_compare(word_form + 1, 3);
            form_compare(long_form, 4);
        }
    }
}

static void bits_match_the_processor(void **state)
{
    (void)state;
    for (uint32_t opcode = 0x0fa3; opcode <= 0x0fbb; opcode += 8)
        register_compare(opcode, 2);
    for (unsigned repeat = 0; repeat < 8; repeat++) {
        for (unsigned digit = 4; digit < 8; digit++)
            opcode_compare(0x0fba, 2, digit, 1, false);
    }
}

static void exchanges_match_the_processor(void **state)
{
    (void)state;
    register_compare(0x86, 1);
    register_compare(0x87, 1);
    register_compare(0x0fb0, 2);
    register_compare(0x0fb1, 2);
    register_compare(0x0fc0, 2);
    register_compare(0x0fc1, 2);
}

static void moves_match_the_processor(void **state)
{
    unsigned eax, ebx, ecx, edx;

    (void)state;
    register_compare(0x88, 1);
    register_compare(0x89, 1);
    register_compare(0x8a, 1);
    register_compare(0x8b, 1);
    opcode_compare(0xc6, 1, 0, 1, false);
    opcode_compare(0xc7, 1, 0, 4, true);
    register_compare(0x63, 1);
    register_compare(0x0fb6, 2);
    register_compare(0x0fb7, 2);
    register_compare(0x0fbe, 2);
    register_compare(0x0fbf, 2);
    for (uint32_t condition = 0; condition < 16; condition++) {
        register_compare(0x0f40 + condition, 2);
        opcode_compare(0x0f90 + condition, 2, 0, 0, false);
    }
    register_compare(0x0fc3, 2);
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_MOVBE) != 0) {
        register_compare(0x0f38f0, 3);
        register_compare(0x0f38f1, 3);
    }
}

/* What alu_execute cannot do is refused, and an operation of another family changes nothing. */
static void other_families_are_refused(void **state)
{
    static const uint8_t others[][3] = {
        {0xa4}, {0xff, 0x36}, {0x8f, 0x06}, {0x8c, 0x1e}, {0x89, 0xc8}, {0xf4}, {0x0f, 0xc7, 0x0e}, {0x0f, 0x01, 0x3e},
    };
    uint64_t rflags = ALL_FLAGS;

    (void)state;
    for (size_t n = 0; n < ARRAY_SIZE(others); n++) {
        struct alu_step step = {.memory = 1, .reg = 2, .rflags = ALL_FLAGS};
        struct instruction i;

        assert_int_equal(decode(others[n], 3, DECODE_64, &i), 0);
        assert_int_equal(alu_execute(&i, &step), E_NOSYS);
        assert_true(step.memory == 1 && step.reg == 2 && step.rflags == ALL_FLAGS);
        assert_true(!step.write_memory && !step.write_register && !step.write_accumulator);
    }
    assert_int_equal(alu_binary(OPERATION_MOV, 1, 0x1234, 1, &rflags), 0x34);
    assert_int_equal(alu_unary(OPERATION_ADD, 2, 0x12345, &rflags), 0x2345);
    assert_int_equal(alu_shift(OPERATION_BT, 4, 5, 1, &rflags), 5);
    assert_int_equal(alu_bit(OPERATION_SHL, 8, 5, 1, &rflags), 5);
    assert_int_equal(rflags, ALL_FLAGS);
}

/* Fixed values, so that a mistake shows without the processor's help too. */
static void known_results(void **state)
{
    uint64_t rflags = 0x202;

    (void)state;
    assert_int_equal(alu_binary(OPERATION_ADD, 1, 0xff, 1, &rflags), 0);
    assert_int_equal(rflags, 0x202 | ALU_CF | ALU_PF | ALU_AF | ALU_ZF);
    assert_int_equal(alu_binary(OPERATION_ADC, 4, 0x7fffffff, 0, &rflags), 0x80000000);
    assert_int_equal(rflags, 0x202 | ALU_PF | ALU_AF | ALU_SF | ALU_OF);
    assert_int_equal(alu_unary(OPERATION_NEG, 2, 0x8000, &rflags), 0x8000);
    assert_int_equal(rflags, 0x202 | ALU_CF | ALU_PF | ALU_SF | ALU_OF);
    assert_int_equal(alu_shift(OPERATION_RCR, 8, 1, 1, &rflags), BIT(63));
    assert_true((rflags & ALU_CF) != 0);
    assert_int_equal(alu_move(OPERATION_MOVSX, 8, 1, 0x80), UINT64_C(0xffffffffffffff80));
    assert_int_equal(alu_move(OPERATION_MOVBE, 4, 4, 0x11223344), 0x44332211);
    assert_false(alu_compare_exchange(4, 1, 2, &rflags));
    assert_true(alu_compare_exchange(1, 0x101, 0x201, &rflags));
    assert_true(alu_condition(0x4, ALU_ZF) && !alu_condition(0x5, ALU_ZF) && alu_condition(0xc, ALU_OF));
}

static int page_create(void **state)
{
    (void)state;
    code_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return code_page == MAP_FAILED ? -1 : 0;
}

static int page_remove(void **state)
{
    (void)state;
    print_message("%u forms compared with the processor\n", forms_run);
    return munmap(code_page, 4096);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_results),
        cmocka_unit_test(arithmetic_matches_the_processor),
        cmocka_unit_test(unary_matches_the_processor),
        cmocka_unit_test(shifts_match_the_processor),
        cmocka_unit_test(bits_match_the_processor),
        cmocka_unit_test(exchanges_match_the_processor),
        cmocka_unit_test(moves_match_the_processor),
        cmocka_unit_test(other_families_are_refused),
    };

    return cmocka_run_group_tests_name("alu", tests, page_create, page_remove);
}

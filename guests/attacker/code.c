/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that the hypervisor fetches and decodes: across page ends, at the end of canonical addresses, changed by
 * another processor between the exit and the look, single-stepped.
 */
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/lib/processors.h"
#include "hv/string.h"
#include "hv/virt.h"

#define NOTHING GIB(5) /* a physical address where a guest of less than 2 GiB has no memory */

typedef uint64_t code_function(uint64_t argument);

/* ---- Across the end of a page ---- */

struct piece {
    const char *name;
    uint8_t size;
    uint8_t bytes[11];
};
/* Each exits; RDI is an address in nothing, RCX and RDX are free. */
static const struct piece pieces[] = {
    {"CPUID", 2, {0x0f, 0xa2}},
    {"IN", 2, {0xe4, 0x80}},
    {"OUT", 2, {0xe6, 0x80}},
    {"MOV from memory", 2, {0x8b, 0x07}},
    {"MOV from memory, 7 bytes", 7, {0x48, 0x8b, 0x87, 0, 0, 0, 0}},
    {"MOV to memory, 11 bytes", 11, {0x48, 0xc7, 0x87, 0, 0, 0, 0, 1, 2, 3, 4}},
    {"LOCK CMPXCHG", 5, {0xf0, 0x48, 0x0f, 0xb1, 0x17}},
    {"MOV from CR0", 3, {0x0f, 0x20, 0xc0}},
    {"WBINVD", 2, {0x0f, 0x09}},
};

/* CPUID changes RBX, which the caller keeps. */
static const uint8_t save_rbx[] = {0x53}, restore_rbx[] = {0x5b, 0xc3};

static uint64_t page_ends(void)
{
    uint8_t *code = (uint8_t *)(uintptr_t)attacker_scratch();
    uint64_t linear = window_map(0, (uintptr_t)code, PAGE_ALL), target = window_map(2, NOTHING, PAGE_ALL), count = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        const struct piece *piece = &pieces[i];
        for (unsigned before = 1; before < piece->size; before++, count += 2) {
            uint8_t *at = code + PAGE_SIZE - before;
            memcpy(at - sizeof(save_rbx), save_rbx, sizeof(save_rbx));
            memcpy(at, piece->bytes, piece->size);
            memcpy(at + piece->size, restore_rbx, sizeof(restore_rbx));
            code_function *function = (code_function *)(uintptr_t)(linear + PAGE_SIZE - before - sizeof(save_rbx));
            (void)window_map(1, (uintptr_t)code + PAGE_SIZE, PAGE_ALL);
            int vector = attacker_try(function, target, NULL);
            check(vector == NO_FAULT, "%s with %u bytes before a page end: exception %d", piece->name, before, vector);
            (void)window_map(1, 0, 0);
            struct fault fault;
            bool faulted = probe((void (*)(void *))(uintptr_t)function, (void *)(uintptr_t)target, &fault);
            /* Bochs keeps the translation of an instruction's second page, and faults behind the instruction. */
            check(faulted && fault.vector == VECTOR_PF && ALIGN_DOWN(fault.address, PAGE_SIZE) == linear + PAGE_SIZE,
                  "%s with %u bytes before a page that is not there: exception %d, address 0x%llx", piece->name, before,
                  faulted ? fault.vector : NO_FAULT, (unsigned long long)fault.address);
        }
    }
    return count;
}

/* CPUID as the last bytes of canonical addresses: what is behind them is no code. */
static uint64_t canonical_end(void)
{
    static uint64_t pointers[512] ALIGNED(PAGE_SIZE), directory[512] ALIGNED(PAGE_SIZE), table[512] ALIGNED(PAGE_SIZE);
    uint8_t *code = (uint8_t *)(uintptr_t)attacker_scratch();
    struct fault fault;

    page_root[255] = (uintptr_t)pointers | PAGE_ALL;
    pointers[511] = (uintptr_t)directory | PAGE_ALL;
    directory[511] = (uintptr_t)table | PAGE_ALL;
    table[511] = (uintptr_t)code | PAGE_ALL;
    cr3_write(cr3_read());
    for (unsigned i = 0; i < ARRAY_SIZE(pieces); i++) {
        const struct piece *piece = &pieces[i];
        memcpy(code + PAGE_SIZE - piece->size, piece->bytes, piece->size);
        uint64_t function = UINT64_C(0x800000000000) - piece->size;
        bool faulted =
            probe((void (*)(void *))(uintptr_t)function, (void *)(uintptr_t)window_map(2, NOTHING, PAGE_ALL), &fault);
        check(faulted && fault.vector == VECTOR_GP, "%s at the canonical end: exception %d", piece->name,
              faulted ? fault.vector : NO_FAULT);
    }
    page_root[255] = 0;
    cr3_write(cr3_read());
    return ARRAY_SIZE(pieces);
}

/* ---- Changed by another processor ---- */

/* Two bytes each: one store changes the whole instruction. All end in a RET, or in an exception. */
static const uint16_t variants[] = {
    0x078b, /* mov (%rdi), %eax */
    0x0789, /* mov %eax, (%rdi) */
    0x0787, /* xchg %eax, (%rdi) */
    0x0701, /* add %eax, (%rdi) */
    0x9090, /* two NOPs */
    0x0b0f, /* UD2 */
    0xa20f, /* CPUID */
    0x80e6, /* out %al, $0x80 */
    0x6ef3, /* rep outsb */
    0xa4f3, /* rep movsb */
    0xc3c3, /* RET */
};

static uint32_t changing;

/* Runs on the second processor until told otherwise. */
static void change_code(void *argument)
{
    volatile uint16_t *code = argument;
    uint64_t *entry = window_entry(2);

    for (unsigned i = 0; __atomic_load_n(&changing, __ATOMIC_RELAXED) != 0; i++) {
        *code = variants[i % ARRAY_SIZE(variants)];
        /* and the operand's page: nothing, RAM, not there, read-only */
        static const uint64_t bits[] = {PAGE_ALL, PAGE_ALL, 0, PAGE_PRESENT};
        uint64_t physical = i % 4 == 1 ? attacker_scratch() + 2 * PAGE_SIZE : NOTHING;
        __atomic_store_n(entry, bits[i % 4] == 0 ? 0 : physical | bits[i % 4], __ATOMIC_RELAXED);
    }
}

static uint64_t changed_code(uint64_t target)
{
    uint64_t code = attacker_scratch() + PAGE_SIZE / 2, count = 4, source = attacker_scratch() + 3 * PAGE_SIZE;

    __asm__ volatile("push %%rbx; call *%3; pop %%rbx"
                     : "+D"(target), "+c"(count), "+S"(source)
                     : "r"(code), "d"(0x80)
                     : "rax", "memory", "cc");
    return 0;
}

static uint64_t changing_code(void)
{
    volatile uint16_t *code = (volatile uint16_t *)(uintptr_t)(attacker_scratch() + PAGE_SIZE / 2);
    uint64_t tries = attacker_quick ? 2000 : 20000, linear = window_map(2, NOTHING, PAGE_ALL);

    if (processor_count() < 2)
        return 0;
    code[0] = variants[0];
    code[1] = 0xc3;
    changing = 1;
    processor_call(1, change_code, (void *)(uintptr_t)(uintptr_t)code);
    for (uint64_t i = 0; i < tries; i++) {
        tlb_flush_page(linear);
        (void)attacker_try(changed_code, linear, NULL);
    }
    __atomic_store_n(&changing, 0, __ATOMIC_RELAXED);
    processor_wait(1);
    return tries;
}

/* ---- One step at a time ---- */

static uint32_t steps;

static void on_step(struct interrupt_frame *frame)
{
    (void)frame;
    steps++;
}

/* TF over everything that exits; a string traps behind each element. */
static uint64_t stepped(uint64_t target)
{
    uint64_t count = 5, from = target;

    __asm__ volatile("push %%rbx\n\t"
                     "pushfq\n\t"
                     "orl $0x100, (%%rsp)\n\t"
                     "popfq\n\t"
                     "xor %%eax, %%eax\n\t"
                     "cpuid\n\t"
                     "in $0x80, %%al\n\t"
                     "out %%al, $0x80\n\t"
                     "mov (%%rdi), %%eax\n\t"
                     "mov $5, %%ecx\n\t"
                     "rep lodsb\n\t"
                     "mov $0x1b, %%ecx\n\t"
                     "rdmsr\n\t"
                     "wbinvd\n\t"
                     "pushfq\n\t"
                     "andl $0xfffffeff, (%%rsp)\n\t"
                     "popfq\n\t"
                     "pop %%rbx"
                     : "+c"(count), "+S"(from)
                     : "D"(target)
                     : "rax", "rdx", "memory", "cc");
    return from - target;
}

static uint64_t single_steps(void)
{
    uint64_t target = window_map(2, NOTHING, PAGE_ALL), moved = 0;

    steps = 0;
    interrupt_handle(VECTOR_DB, on_step);
    check_equal((uint64_t)attacker_try(stepped, target, &moved), (uint64_t)NO_FAULT, "exceptions while stepping");
    interrupt_handle(VECTOR_DB, NULL);
    check_equal(moved, 5, "a string under single steps");
    check(steps >= 12, "only %u steps over 17 instructions", steps);
    return steps;
}

const struct attack attacks_on_code[] = {
    {"page-ends", "instructions across page ends", page_ends},
    {"canonical-end", "instructions at the canonical end", canonical_end},
    {"changing-code", "instructions changed under the hypervisor's eyes", changing_code},
    {"single-steps", "single steps", single_steps},
    {NULL, NULL, NULL},
};

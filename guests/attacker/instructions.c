/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that are the hypervisor's own, or that reach beyond one processor: from ring 0 and ring 3, as bytes, so
 * that no assembler has to know them.
 */
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "hv/string.h"
#include "hv/virt.h"

struct instruction_case {
    const char *name;
    uint8_t size;
    uint8_t bytes[8];
};

/* In ring 0 each of these is undefined here, or refused: #UD or #GP. RAX, RCX and RDX hold a page of ours. */
static const struct instruction_case refused[] = {
    {"VMXON", 4, {0xf3, 0x0f, 0xc7, 0x30}},
    {"VMPTRLD", 3, {0x0f, 0xc7, 0x30}},
    {"VMPTRST", 3, {0x0f, 0xc7, 0x38}},
    {"VMCLEAR", 4, {0x66, 0x0f, 0xc7, 0x30}},
    {"VMREAD", 3, {0x0f, 0x78, 0xc8}},
    {"VMWRITE", 3, {0x0f, 0x79, 0xc8}},
    {"VMLAUNCH", 3, {0x0f, 0x01, 0xc2}},
    {"VMRESUME", 3, {0x0f, 0x01, 0xc3}},
    {"VMXOFF", 3, {0x0f, 0x01, 0xc4}},
    {"INVEPT", 5, {0x66, 0x0f, 0x38, 0x80, 0x00}},
    {"INVVPID", 5, {0x66, 0x0f, 0x38, 0x81, 0x00}},
    {"VMFUNC", 3, {0x0f, 0x01, 0xd4}},
    {"VMRUN", 3, {0x0f, 0x01, 0xd8}},
    {"VMLOAD", 3, {0x0f, 0x01, 0xda}},
    {"VMSAVE", 3, {0x0f, 0x01, 0xdb}},
    {"STGI", 3, {0x0f, 0x01, 0xdc}},
    {"CLGI", 3, {0x0f, 0x01, 0xdd}},
    {"SKINIT", 3, {0x0f, 0x01, 0xde}},
    {"INVLPGA", 3, {0x0f, 0x01, 0xdf}},
    {"GETSEC", 2, {0x0f, 0x37}},
    {"RSM", 2, {0x0f, 0xaa}},
    {"ENCLS", 3, {0x0f, 0x01, 0xcf}},
    {"ENCLU", 3, {0x0f, 0x01, 0xd7}},
    {"ENCLV", 3, {0x0f, 0x01, 0xc0}},
    {"PCONFIG", 3, {0x0f, 0x01, 0xc5}},
    {"SEAMCALL", 4, {0x66, 0x0f, 0x01, 0xcf}},
    {"TDCALL", 4, {0x66, 0x0f, 0x01, 0xcc}},
    {"INVLPGB", 3, {0x0f, 0x01, 0xfe}},
    {"TLBSYNC", 3, {0x0f, 0x01, 0xff}},
    {"MCOMMIT", 4, {0xf3, 0x0f, 0x01, 0xfa}},
    {"PVALIDATE", 4, {0xf2, 0x0f, 0x01, 0xff}},
    {"RMPUPDATE", 4, {0xf2, 0x0f, 0x01, 0xfe}},
    {"PSMASH", 4, {0xf3, 0x0f, 0x01, 0xff}},
    {"MONITOR", 3, {0x0f, 0x01, 0xc8}},
    {"MWAIT", 3, {0x0f, 0x01, 0xc9}},
    {"MONITORX", 3, {0x0f, 0x01, 0xfa}},
    {"MWAITX", 3, {0x0f, 0x01, 0xfb}},
    {"RDPRU", 3, {0x0f, 0x01, 0xfd}},
    {"RDPMC", 2, {0x0f, 0x33}},
    {"HRESET", 6, {0xf3, 0x0f, 0x3a, 0xf0, 0xc0, 0x00}},
};

/* These do what they say, or nothing; in ring 3 they are refused. */
static const struct instruction_case privileged[] = {
    {"INVD", 2, {0x0f, 0x08}},
    {"WBINVD", 2, {0x0f, 0x09}},
    {"WBNOINVD", 3, {0xf3, 0x0f, 0x09}},
    {"CLTS", 2, {0x0f, 0x06}},
    {"HLT", 1, {0xf4}},
    {"LMSW", 3, {0x0f, 0x01, 0xf0}},
    {"RDMSR", 2, {0x0f, 0x32}},
    {"WRMSR", 2, {0x0f, 0x30}},
    {"INVLPG", 3, {0x0f, 0x01, 0x38}},
    {"CLI", 1, {0xfa}},
    {"IN", 2, {0xe4, 0x80}},
    {"OUT", 2, {0xe6, 0x80}},
    {"LIDT", 3, {0x0f, 0x01, 0x18}},
};

/* mov %rdi, %rax; mov %rdi, %rcx; mov %rdi, %rdx */
static const uint8_t prologue[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf9, 0x48, 0x89, 0xfa};

typedef uint64_t code_function(uint64_t argument);

/* The instruction as a function of one argument, which is in RAX, RCX and RDX. */
static code_function *build(const struct instruction_case *instruction)
{
    uint8_t *code = (uint8_t *)(uintptr_t)attacker_scratch();

    memcpy(code, prologue, sizeof(prologue));
    memcpy(code + sizeof(prologue), instruction->bytes, instruction->size);
    code[sizeof(prologue) + instruction->size] = 0xc3; /* ret */
    return (code_function *)(uintptr_t)code;
}

static bool is_refusal(int vector)
{
    return vector == VECTOR_UD || vector == VECTOR_GP;
}

static uint64_t instructions(void)
{
    uint64_t page = attacker_scratch() + PAGE_SIZE;

    memset((void *)(uintptr_t)page, 0, PAGE_SIZE);
    for (unsigned i = 0; i < ARRAY_SIZE(refused); i++) {
        int vector = attacker_try(build(&refused[i]), page, NULL);
        check(is_refusal(vector), "%s in ring 0 gives exception %d", refused[i].name, vector);
        vector = attacker_try_user(build(&refused[i]), page);
        check(is_refusal(vector), "%s in ring 3 gives exception %d", refused[i].name, vector);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(privileged); i++) {
        int vector = attacker_try_user(build(&privileged[i]), page);
        check(is_refusal(vector), "%s in ring 3 gives exception %d", privileged[i].name, vector);
    }
    return 2 * ARRAY_SIZE(refused) + ARRAY_SIZE(privileged);
}

/* ---- Hypercalls: numbers and registers at random; whatever comes, we go on ---- */

#define HYPERCALLS 2000u

static uint64_t hypercall_vmcall(uint64_t number)
{
    __asm__ volatile("vmcall"
                     : "+a"(number)
                     : "b"(attacker_random()), "c"(attacker_random()), "d"(attacker_random()), "S"(attacker_random())
                     : "memory");
    return number;
}

static uint64_t hypercall_vmmcall(uint64_t number)
{
    __asm__ volatile("vmmcall"
                     : "+a"(number)
                     : "b"(attacker_random()), "c"(attacker_random()), "d"(attacker_random()), "S"(attacker_random())
                     : "memory");
    return number;
}

/* Neither may one of them end the guest by chance: numbers of calls that do so are documented, and left out. */
static uint64_t hypercalls(void)
{
    for (unsigned i = 0; i < HYPERCALLS; i++) {
        uint64_t number = attacker_random() | BIT(31);
        (void)attacker_try(hypercall_vmcall, number, NULL);
        (void)attacker_try(hypercall_vmmcall, number, NULL);
    }
    (void)attacker_try_user(hypercall_vmcall, UINT64_MAX);
    (void)attacker_try_user(hypercall_vmmcall, UINT64_MAX);
    return 2 * HYPERCALLS + 2;
}

/* ---- Caches ---- */

#define CACHE_TEST_BYTES KIB(256)

/* INVD that reached the processor would lose what is written here and not yet in memory. */
static uint64_t caches(void)
{
    volatile uint64_t *words = (volatile uint64_t *)(uintptr_t)attacker_scratch();
    size_t count = CACHE_TEST_BYTES / sizeof(*words);
    uint64_t cr0 = cr0_read(), wrong = 0;

    for (unsigned round = 0; round < 20; round++) {
        for (size_t i = 0; i < count; i++)
            words[i] = i * UINT64_C(0x9e3779b97f4a7c15) + round;
        if (round % 2 != 0)
            cr0_write(cr0 | CR0_CD);
        __asm__ volatile("invd" : : : "memory");
        __asm__ volatile("wbinvd" : : : "memory");
        __asm__ volatile("invd" : : : "memory");
        cr0_write(cr0);
        for (size_t i = 0; i < count; i++)
            wrong += words[i] != i * UINT64_C(0x9e3779b97f4a7c15) + round;
    }
    check_equal(wrong, 0, "words lost by INVD");
    return 60;
}

const struct attack attacks_on_instructions[] = {
    {"instructions", "instructions tried", instructions},
    {"hypercalls", "hypercalls at random", hypercalls},
    {"caches", "caches flushed or dropped", caches},
    {NULL, NULL, NULL},
};

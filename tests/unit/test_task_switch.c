/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Task switches as the manual tells them: what the old TSS holds afterwards, what the new task starts with, which bits
 * of which descriptors change, and for each thing that can be wrong the fault, its error code, and in whose context it
 * comes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/task_switch.h"
#include "tests/unit/fake_paging.h"

#define GDT    UINT64_C(0x1000)
#define LDT    UINT64_C(0x2000)
#define TSS_A  UINT64_C(0x3000) /* 32-bit, the running one */
#define TSS_B  UINT64_C(0x4000) /* 32-bit */
#define TSS_C  UINT64_C(0x5000) /* 16-bit */
#define TABLES UINT64_C(0x200000)

enum {
    CODE = 0x08,
    DATA = 0x10,
    USER_CODE = 0x1b,
    USER_DATA = 0x23,
    SELECTOR_A = 0x28,
    SELECTOR_B = 0x30,
    SELECTOR_C = 0x38,
    SELECTOR_LDT = 0x40,
    DATA_16 = 0x48,
    CONFORMING = 0x50,
    ABSENT_DATA = 0x58,
    READ_ONLY = 0x60,
    EXECUTE_ONLY = 0x68,
    ABSENT_CODE = 0x70,
    DOWNWARD = 0x78,
    FRESH_DATA = 0x80, /* not accessed */
    ABSENT_LDT = 0x88,
    SMALL_CODE = 0x90,
    LIMITED = 0x98,
    GDT_ENTRIES = 0xa0 / 8,
};

enum source {
    CALL,
    IRET,
    JMP,
    GATE,
};

/* Offsets in the two forms, written down a second time. Intel SDM vol. 3, "Task-State Segment (TSS)" and "16-Bit
 * Task-State Segment (TSS)". */
enum {
    T32_CR3 = 0x1c,
    T32_EIP = 0x20,
    T32_EFLAGS = 0x24,
    T32_EAX = 0x28,
    T32_ESP = 0x38,
    T32_ES = 0x48,
    T32_CS = 0x4c,
    T32_SS = 0x50,
    T32_DS = 0x54,
    T32_FS = 0x58,
    T32_GS = 0x5c,
    T32_LDT = 0x60,
    T32_TRAP = 0x64,
    T32_SIZE = 0x68,
    T16_IP = 0x0e,
    T16_FLAGS = 0x10,
    T16_AX = 0x12,
    T16_SP = 0x1a,
    T16_ES = 0x22,
    T16_CS = 0x24,
    T16_SS = 0x26,
    T16_DS = 0x28,
    T16_LDT = 0x2a,
    T16_SIZE = 0x2c,
};

#define FLAG_NT (1u << 14)
#define FLAG_RF (1u << 16)
#define FLAG_VM (1u << 17)

static struct guest *guest;
static struct vcpu *vcpu;
static struct fake_backend *backend;

static uint64_t descriptor_of(uint32_t base, uint32_t limit, uint32_t access, uint32_t flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 0xf) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static void put(gpa_t at, uint64_t value, unsigned size)
{
    assert_int_equal(gmem_write(guest, at, &value, size), 0);
}

static uint32_t get(gpa_t at, unsigned size)
{
    uint32_t value = 0;

    assert_int_equal(gmem_read(guest, at, &value, size), 0);
    return value;
}

static void set_descriptor(unsigned selector, uint64_t raw)
{
    put(GDT + (selector & 0xfff8u), raw, 8);
}

static uint32_t access_of(unsigned selector)
{
    return get(GDT + (selector & 0xfff8u) + 5, 1);
}

static uint32_t number(unsigned i)
{
    return 0x11110000u + 0x0101u * (i + 1);
}

/* A 32-bit TSS whose task is fine. */
static void write_tss_32(gpa_t at)
{
    put(at, 0, 4); /* the link */
    put(at + T32_CR3, TABLES, 4);
    put(at + T32_EIP, 0x8000, 4);
    put(at + T32_EFLAGS, 0x202, 4);
    for (unsigned i = 0; i < 8; i++)
        put(at + T32_EAX + 4 * i, 0xb0000000u + i, 4);
    put(at + T32_ESP, 0x9000, 4);
    put(at + T32_ES, DATA, 4);
    put(at + T32_CS, CODE, 4);
    put(at + T32_SS, DATA, 4);
    put(at + T32_DS, DATA, 4);
    put(at + T32_FS, 0, 4);
    put(at + T32_GS, DATA, 4);
    put(at + T32_LDT, 0, 4);
    put(at + T32_TRAP, 0x680000, 4);
}

static void write_tss_16(gpa_t at)
{
    put(at + T16_IP, 0x8000, 2);
    put(at + T16_FLAGS, 0x202, 2);
    for (unsigned i = 0; i < 8; i++)
        put(at + T16_AX + 2 * i, 0xc000u + i, 2);
    put(at + T16_SP, 0x9000, 2);
    put(at + T16_ES, DATA, 2);
    put(at + T16_CS, CODE, 2);
    put(at + T16_SS, DATA, 2);
    put(at + T16_DS, DATA, 2);
    put(at + T16_LDT, 0, 2);
}

static void write_gdt(void)
{
    static const uint8_t flat[] = {CODE,         0x9b,       DATA,        0x93,        USER_CODE,  0xfb,      USER_DATA,
                                   0xf3,         CONFORMING, 0x9f,        ABSENT_DATA, 0x13,       READ_ONLY, 0x91,
                                   EXECUTE_ONLY, 0x99,       ABSENT_CODE, 0x1b,        FRESH_DATA, 0x92};

    for (unsigned i = 0; i < ARRAY_SIZE(flat); i += 2)
        set_descriptor(flat[i], descriptor_of(0, 0xfffff, flat[i + 1], 0xc));
    set_descriptor(SELECTOR_A, descriptor_of((uint32_t)TSS_A, T32_SIZE - 1, 0x8b, 0));
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x89, 0));
    set_descriptor(SELECTOR_C, descriptor_of((uint32_t)TSS_C, T16_SIZE - 1, 0x81, 0));
    set_descriptor(SELECTOR_LDT, descriptor_of((uint32_t)LDT, 0xf, 0x82, 0));
    set_descriptor(ABSENT_LDT, descriptor_of((uint32_t)LDT, 0xf, 0x02, 0));
    set_descriptor(DATA_16, descriptor_of(0, 0xffff, 0x93, 0));
    set_descriptor(DOWNWARD, descriptor_of(0, 0x8ff, 0x97, 0));
    set_descriptor(LIMITED, descriptor_of(0, 0x8fff, 0x93, 4));
    set_descriptor(SMALL_CODE, descriptor_of(0, 0x7fff, 0x9b, 4));
    put(LDT + 8, descriptor_of(0x10000, 0xfff, 0x93, 4), 8);
    backend->gdtr = (struct table_register){GDT, GDT_ENTRIES * 8 - 1};
}

/* A task of its own in 32-bit protected mode, without paging. */
static void enter(enum fake_mode mode)
{
    fake_enter_mode(vcpu, mode, TABLES);
    memset(&vcpu->events, 0, sizeof(vcpu->events));
    vcpu->requests = 0;
    guest->action = GUEST_GO_ON;
    write_gdt();
    write_tss_32(TSS_A);
    write_tss_32(TSS_B);
    write_tss_16(TSS_C);
    backend->segments[SEGMENT_TR] = (struct segment_register){TSS_A, T32_SIZE - 1, 0x8b, SELECTOR_A};
    backend->segments[SEGMENT_LDTR].attributes = SEGMENT_UNUSABLE;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        backend->segments[i].selector = (uint16_t)(0x1000 + i);
    for (unsigned i = 0; i < 8; i++)
        vcpu_set_gpr(vcpu, i, number(i));
    backend->registers[VCPU_RIP] = 0x7000;
    backend->registers[VCPU_RFLAGS] = 0x246 | FLAG_NT;
    backend->registers[VCPU_DR6] = 0xffff0ff0;
    backend->registers[VCPU_DR7] = 0x000027ff;
    backend->blocking.shadow_mov_ss = true;
}

/* The first 64 KiB at their own addresses, one page with other rights. */
static struct fake_paging map_identity(gpa_t special, uint64_t flags)
{
    struct fake_paging paging = {guest, TABLES, TABLES + PAGE_SIZE, 2, 4};

    for (gpa_t page = 0; page < 0x10000; page += PAGE_SIZE)
        fake_map(&paging, page, page, page == special && page != 0 ? flags : PTE_P | PTE_W);
    return paging;
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(8), 1);
    vcpu = guest->vcpus[0];
    backend = fake_backend(vcpu);
    enter(FAKE_PROTECTED_32);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static void switch_to(uint16_t selector, enum source source)
{
    struct vmexit exit = {.kind = EXIT_TASK_SWITCH, .length = 7, .task_switch = {selector, (uint8_t)source}};

    assert_int_equal(task_switch(vcpu, &exit), RESUME);
}

/* As an event through a task gate. */
static void deliver(uint16_t selector, struct event event)
{
    vcpu->events.interrupted = event;
    switch_to(selector, GATE);
}

static const struct event page_fault = {EVENT_EXCEPTION, VECTOR_PF, 0, true, 0x12345};
static const struct event protection = {EVENT_EXCEPTION, VECTOR_GP, 0, true, 0x38};
static const struct event undefined = {EVENT_EXCEPTION, VECTOR_UD, 0, false, 0};
static const struct event interrupt = {EVENT_INTERRUPT, 0x20, 0, false, 0};
static const struct event software = {EVENT_SOFTWARE_INTERRUPT, 0x80, 7, false, 0};

static void expect_fault(uint8_t vector, uint32_t error_code)
{
    assert_int_equal(vcpu->events.exception.type, EVENT_EXCEPTION);
    assert_int_equal(vcpu->events.exception.vector, vector);
    assert_true(vcpu->events.exception.has_error_code);
    assert_int_equal(vcpu->events.exception.error_code, error_code);
}

static void expect_no_fault(void)
{
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    assert_int_equal(vcpu->events.interrupted.type, EVENT_NONE);
    assert_int_equal(vcpu->requests, 0);
}

/* Nothing has happened yet: registers, descriptors and the TSS that would be written are as they were. */
static void expect_old_task(void)
{
    assert_int_equal(backend->segments[SEGMENT_TR].selector, SELECTOR_A);
    assert_int_equal(backend->registers[VCPU_RIP], 0x7000);
    assert_int_equal(backend->registers[VCPU_CR0] & 8, 0);
    assert_int_equal(vcpu_gpr(vcpu, 1), number(1));
    assert_int_equal(get(TSS_A + T32_EIP, 4), 0x8000);
    assert_int_equal(access_of(SELECTOR_A), 0x8b);
    assert_int_equal(access_of(SELECTOR_B) & 2, 0);
    assert_int_equal(get(TSS_B, 2), 0);
}

static void expect_new_task(uint16_t selector)
{
    assert_int_equal(backend->segments[SEGMENT_TR].selector, selector);
    assert_int_equal(backend->registers[VCPU_RIP], 0x8000);
    assert_int_equal(backend->registers[VCPU_CR0] & 8, 8);
    assert_int_equal(backend->registers[VCPU_DR7], 0x000027ff & ~0x155u);
    assert_false(backend->blocking.shadow_mov_ss);
}

static void expect_saved_32(gpa_t tss, uint32_t eip, uint32_t eflags)
{
    assert_int_equal(get(tss + T32_EIP, 4), eip);
    assert_int_equal(get(tss + T32_EFLAGS, 4), eflags);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(get(tss + T32_EAX + 4 * i, 4), number(i));
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(get(tss + T32_ES + 4 * i, 2), 0x1000 + i);
}

static void expect_segment(enum segment segment, uint64_t base, uint32_t limit, uint32_t attributes, uint16_t selector)
{
    assert_int_equal(backend->segments[segment].base, base);
    assert_int_equal(backend->segments[segment].limit, limit);
    assert_int_equal(backend->segments[segment].attributes, attributes);
    assert_int_equal(backend->segments[segment].selector, selector);
}

/* ---- Switches that succeed ---- */

static void test_jmp_32(void **state)
{
    (void)state;
    put(TSS_A + T32_ES + 2, 0xabcd, 2);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    expect_new_task(SELECTOR_B);
    expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
    assert_int_equal(get(TSS_A + T32_ES + 2, 2), 0xabcd);
    assert_int_equal(get(TSS_A + T32_LDT, 2), 0);
    assert_int_equal(get(TSS_A + T32_CR3, 4), TABLES);
    assert_int_equal(access_of(SELECTOR_A), 0x89);
    assert_int_equal(access_of(SELECTOR_B), 0x8b);
    assert_int_equal(get(TSS_B, 2), 0);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x202);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(vcpu_gpr(vcpu, i), i == GPR_RSP ? 0x9000 : 0xb0000000u + i);
    expect_segment(SEGMENT_TR, TSS_B, T32_SIZE - 1, 0x8b, SELECTOR_B);
    expect_segment(SEGMENT_CS, 0, UINT32_MAX, 0xc09b, CODE);
    expect_segment(SEGMENT_SS, 0, UINT32_MAX, 0xc093, DATA);
    expect_segment(SEGMENT_GS, 0, UINT32_MAX, 0xc093, DATA);
    assert_true(backend->segments[SEGMENT_FS].attributes & SEGMENT_UNUSABLE);
    assert_true(backend->segments[SEGMENT_LDTR].attributes & SEGMENT_UNUSABLE);
}

static void test_call_and_iret_32(void **state)
{
    (void)state;
    switch_to(SELECTOR_B, CALL);
    expect_no_fault();
    expect_new_task(SELECTOR_B);
    expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
    assert_int_equal(get(TSS_B, 2), SELECTOR_A);
    assert_int_equal(access_of(SELECTOR_A), 0x8b);
    assert_int_equal(access_of(SELECTOR_B), 0x8b);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x202 | FLAG_NT);

    put(TSS_A + T32_CS, CODE, 2);
    for (unsigned at = T32_ES; at <= T32_GS; at += 4)
        put(TSS_A + at, at == T32_CS ? CODE : DATA, 2);
    switch_to(SELECTOR_A, IRET);
    expect_no_fault();
    assert_int_equal(backend->segments[SEGMENT_TR].selector, SELECTOR_A);
    assert_int_equal(get(TSS_B + T32_EFLAGS, 4), 0x202);
    assert_int_equal(get(TSS_B + T32_EIP, 4), 0x8007);
    assert_int_equal(access_of(SELECTOR_A), 0x8b);
    assert_int_equal(access_of(SELECTOR_B), 0x89);
    assert_int_equal(backend->registers[VCPU_RIP], 0x7007);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x246 | FLAG_NT);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(vcpu_gpr(vcpu, i), number(i));
}

/* A task that returns to itself finds what it saved. */
static void test_iret_to_itself(void **state)
{
    (void)state;
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++)
        backend->segments[i].selector = i == SEGMENT_CS ? CODE : DATA;
    switch_to(SELECTOR_A, IRET);
    expect_no_fault();
    assert_int_equal(backend->registers[VCPU_RIP], 0x7007);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x246);
    assert_int_equal(vcpu_gpr(vcpu, 1), number(1));
    assert_int_equal(access_of(SELECTOR_A), 0x89);
}

static void test_16_bit_tasks(void **state)
{
    (void)state;
    switch_to(SELECTOR_C, CALL);
    expect_no_fault();
    expect_new_task(SELECTOR_C);
    expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
    assert_int_equal(get(TSS_C, 2), SELECTOR_A);
    assert_int_equal(access_of(SELECTOR_C), 0x83);
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(vcpu_gpr(vcpu, i), i == GPR_RSP ? 0xffff9000 : 0xffffc000u + i);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x202 | FLAG_NT);
    assert_true(backend->segments[SEGMENT_FS].attributes & SEGMENT_UNUSABLE);
    assert_true(backend->segments[SEGMENT_GS].attributes & SEGMENT_UNUSABLE);

    backend->registers[VCPU_RIP] = 0x12348765;
    vcpu_set_gpr(vcpu, GPR_RDX, 0x55556666);
    put(TSS_C + T16_LDT, 0x7777, 2);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    assert_int_equal(get(TSS_C + T16_IP, 2), 0x876c);
    assert_int_equal(get(TSS_C + T16_FLAGS, 2), 0x202 | FLAG_NT);
    assert_int_equal(get(TSS_C + T16_AX + 4, 2), 0x6666);
    assert_int_equal(get(TSS_C + T16_DS, 2), DATA);
    assert_int_equal(get(TSS_C + T16_LDT, 2), 0x7777);
    assert_int_equal(access_of(SELECTOR_C), 0x81);
}

/* A 16-bit TSS has no CR3, and without paging none is loaded. */
static void test_page_tables_change(void **state)
{
    (void)state;
    put(TSS_B + T32_CR3, 0x345000, 4);
    switch_to(SELECTOR_B, JMP);
    assert_int_equal(backend->registers[VCPU_CR3], TABLES);

    for (unsigned wide = 0; wide < 2; wide++) {
        enter(FAKE_PAGED_2);
        struct fake_paging paging = {guest, TABLES, TABLES + PAGE_SIZE, 2, 4};
        struct fake_paging other = {guest, TABLES + MIB(1), TABLES + MIB(1) + PAGE_SIZE, 2, 4};
        for (gpa_t page = 0; page < 0x10000; page += PAGE_SIZE) {
            fake_map(&paging, page, page, PTE_P | PTE_W);
            fake_map(&other, page, page, PTE_P | PTE_W);
        }
        /* The new task's page tables show another GDT. */
        put(0x10000 + DATA, descriptor_of(0x5000, 0xfffff, 0x93, 0xc), 8);
        put(0x10000 + CODE, descriptor_of(0x6000, 0xfffff, 0x9b, 0xc), 8);
        fake_map(&other, GDT, 0x10000, PTE_P | PTE_W);
        put(TSS_B + T32_CR3, TABLES + MIB(1), 4);
        switch_to(wide ? SELECTOR_B : SELECTOR_C, JMP);
        expect_no_fault();
        assert_int_equal(backend->registers[VCPU_CR3], TABLES + (wide ? MIB(1) : 0));
        assert_int_equal(backend->segments[SEGMENT_DS].base, wide ? 0x5000 : 0);
        assert_int_equal(backend->segments[SEGMENT_CS].base, wide ? 0x6000 : 0);
    }
}

static void test_local_descriptors(void **state)
{
    (void)state;
    put(TSS_B + T32_LDT, SELECTOR_LDT, 2);
    put(TSS_B + T32_FS, 0x0c, 2); /* LDT entry 1 */
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    expect_segment(SEGMENT_LDTR, LDT, 0xf, 0x82, SELECTOR_LDT);
    expect_segment(SEGMENT_FS, 0x10000, 0xfff, 0x4093, 0x0c);
}

static void test_accessed_bit(void **state)
{
    (void)state;
    put(TSS_B + T32_ES, FRESH_DATA, 2);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    assert_int_equal(access_of(FRESH_DATA), 0x93);
    assert_int_equal(backend->segments[SEGMENT_ES].attributes, 0xc093);
}

static void test_virtual_8086_task(void **state)
{
    (void)state;
    put(TSS_B + T32_EFLAGS, 0x3202 | FLAG_VM, 4);
    for (unsigned i = 0; i < 6; i++)
        put(TSS_B + T32_ES + 4 * i, 0x1230 + i, 2);
    switch_to(SELECTOR_B, CALL);
    expect_no_fault();
    for (unsigned i = 0; i < 6; i++)
        expect_segment((enum segment)i, (0x1230 + i) << 4, 0xffff, 0xf3, (uint16_t)(0x1230 + i));
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x3202 | FLAG_VM | FLAG_NT);
    assert_int_equal(vcpu_privilege_level(vcpu), 3);

    /* And back: the old task was in virtual-8086 mode. */
    for (unsigned at = T32_ES; at <= T32_GS; at += 4)
        put(TSS_A + at, at == T32_CS ? CODE : DATA, 2);
    switch_to(SELECTOR_A, IRET);
    expect_no_fault();
    assert_int_equal(get(TSS_B + T32_EFLAGS, 4), 0x3202 | FLAG_VM);
    assert_int_equal(get(TSS_B + T32_CS, 2), 0x1230 + SEGMENT_CS);
}

/* A virtual-8086 task is whole when its LDT is refused: entries look at every segment. */
static void test_virtual_8086_task_with_a_bad_ldt(void **state)
{
    (void)state;
    put(TSS_B + T32_EFLAGS, 0x3202 | FLAG_VM, 4);
    put(TSS_B + T32_LDT, DATA, 2);
    for (unsigned i = 0; i < 6; i++)
        put(TSS_B + T32_ES + 4 * i, 0x1230 + i, 2);
    switch_to(SELECTOR_B, JMP);
    expect_fault(VECTOR_TS, DATA);
    for (unsigned i = 0; i < 6; i++)
        expect_segment((enum segment)i, (0x1230 + i) << 4, 0xffff, 0xf3, (uint16_t)(0x1230 + i));
}

static void test_user_task(void **state)
{
    (void)state;
    put(TSS_B + T32_CS, USER_CODE, 2);
    for (unsigned at = T32_SS; at <= T32_GS; at += 4)
        put(TSS_B + at, USER_DATA, 2);
    put(TSS_B + T32_ES, 3, 2); /* null, whatever its RPL */
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    assert_int_equal(vcpu_privilege_level(vcpu), 3);
    assert_true(backend->segments[SEGMENT_ES].attributes & SEGMENT_UNUSABLE);
}

static void test_conforming_code(void **state)
{
    (void)state;
    put(TSS_B + T32_CS, CONFORMING | 3, 2);
    for (unsigned at = T32_SS; at <= T32_GS; at += 4)
        put(TSS_B + at, USER_DATA, 2);
    put(TSS_B + T32_ES, CONFORMING | 3, 2);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    assert_int_equal(backend->segments[SEGMENT_CS].attributes, 0xc09f);
}

/* RFLAGS bits that do not exist stay clear; all others are the new task's own, IOPL and IF too. */
static void test_flags(void **state)
{
    (void)state;
    put(TSS_B + T32_EFLAGS, 0xffffffff & ~FLAG_VM, 4);
    switch_to(SELECTOR_B, JMP);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x3d7fd7);
}

static void test_large_tss(void **state)
{
    (void)state;
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, 0xfffff, 0x89, 8));
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    expect_segment(SEGMENT_TR, TSS_B, UINT32_MAX, 0x808b, SELECTOR_B);
}

/* ---- Through a gate ---- */

static void test_interrupt_gate(void **state)
{
    (void)state;
    deliver(SELECTOR_B, interrupt);
    expect_no_fault();
    expect_new_task(SELECTOR_B);
    expect_saved_32(TSS_A, 0x7000, 0x246 | FLAG_NT); /* not the instruction's length: there is none */
    assert_int_equal(get(TSS_B, 2), SELECTOR_A);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x202 | FLAG_NT);
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0x9000);
}

static void test_software_interrupt_gate(void **state)
{
    (void)state;
    deliver(SELECTOR_B, software);
    expect_no_fault();
    expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
}

static void test_exception_gate(void **state)
{
    (void)state;
    deliver(SELECTOR_B, undefined);
    expect_no_fault();
    expect_saved_32(TSS_A, 0x7000, 0x246 | FLAG_NT | FLAG_RF);
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0x9000);

    enter(FAKE_PROTECTED_32);
    deliver(SELECTOR_B, (struct event){EVENT_EXCEPTION, VECTOR_DB, 0, false, 0});
    expect_saved_32(TSS_A, 0x7000, 0x246 | FLAG_NT);

    enter(FAKE_PROTECTED_32);
    deliver(SELECTOR_B, (struct event){EVENT_SOFTWARE_EXCEPTION, VECTOR_BP, 1, false, 0});
    expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
}

static void test_error_code_on_the_new_stack(void **state)
{
    (void)state;
    put(0x8ff0, 0, 8);
    put(0x8ff8, 0, 8);
    deliver(SELECTOR_B, page_fault);
    expect_no_fault();
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0x8ffc);
    assert_int_equal(get(0x8ffc, 4), 0x12345);

    /* 16-bit stack segment: the upper half of ESP stays and does not count. */
    enter(FAKE_PROTECTED_32);
    put(TSS_B + T32_SS, DATA_16, 2);
    put(TSS_B + T32_ESP, 0x56780002, 4);
    deliver(SELECTOR_B, page_fault);
    expect_fault(VECTOR_DF, 0); /* a push over the top of the segment: #SS, and #PF then #SS is #DF */

    enter(FAKE_PROTECTED_32);
    put(TSS_B + T32_SS, DATA_16, 2);
    put(TSS_B + T32_ESP, 0x56780000, 4);
    deliver(SELECTOR_B, protection);
    expect_no_fault();
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0x5678fffc);
    assert_int_equal(get(0xfffc, 4), 0x38);

    /* 16-bit TSS: two bytes. */
    enter(FAKE_PROTECTED_32);
    put(0x8ffc, 0xffffffff, 4);
    put(TSS_C + T16_SS, DATA_16, 2);
    deliver(SELECTOR_C, protection);
    expect_no_fault();
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0xffff8ffe);
    assert_int_equal(get(0x8ffc, 4), 0x0038ffff);
}

/* A benign exception has no error code; a task gate gets one with #AC. */
static void test_error_code_limits(void **state)
{
    static const struct event alignment = {EVENT_EXCEPTION, VECTOR_AC, 0, true, 0};
    static const struct {
        uint16_t ss;
        uint32_t esp;
        bool fits;
    } cases[] = {
        {DATA_16, 0xfffe, true}, {DATA_16, 2, false},      {DOWNWARD, 0x904, true}, {DOWNWARD, 0x903, false},
        {DOWNWARD, 0, true},     {DOWNWARD, 1, false},     {DATA, 0x9000, true},    {DATA, 2, false},
        {LIMITED, 0x9000, true}, {LIMITED, 0x9001, false},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        enter(FAKE_PROTECTED_32);
        put(TSS_B + T32_SS, cases[i].ss, 2);
        put(TSS_B + T32_ESP, cases[i].esp, 4);
        deliver(SELECTOR_B, alignment);
        if (cases[i].fits) {
            expect_no_fault();
        } else {
            expect_fault(VECTOR_SS, 1); /* EXT */
            assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), cases[i].esp);
        }
        expect_new_task(SELECTOR_B);
    }
}

static void test_error_code_in_user_memory(void **state)
{
    (void)state;
    for (unsigned user = 0; user < 2; user++) {
        enter(FAKE_PAGED_2);
        map_identity(0x8000, user ? PTE_ALL : PTE_P | PTE_W);
        put(TSS_B + T32_CS, USER_CODE, 2);
        for (unsigned at = T32_SS; at <= T32_GS; at += 4)
            put(TSS_B + at, USER_DATA, 2);
        put(TSS_B + T32_ES, 0, 2);
        vcpu->events.exception.type = EVENT_NONE;
        deliver(SELECTOR_B, (struct event){EVENT_EXCEPTION, VECTOR_AC, 0, true, 0});
        if (user) {
            expect_no_fault();
        } else {
            expect_fault(VECTOR_PF, 7); /* present, write, user */
            assert_int_equal(backend->registers[VCPU_CR2], 0x8ffc);
        }
    }
}

/* ---- The debug trap ---- */

static void test_trap_bit(void **state)
{
    (void)state;
    put(TSS_B + T32_TRAP, 0x00010001, 4);
    backend->registers[VCPU_DR7] = 0x27ff;
    switch_to(SELECTOR_B, JMP);
    assert_int_equal(vcpu->events.exception.vector, VECTOR_DB);
    assert_int_equal(vcpu->events.exception.type, EVENT_EXCEPTION);
    assert_false(vcpu->events.exception.has_error_code);
    assert_int_equal(backend->registers[VCPU_DR6], 0xffff8ff0);
    assert_int_equal(backend->registers[VCPU_DR7], 0x27ff & ~0x155u & ~0x2000u);
    assert_int_equal(backend->registers[VCPU_RIP], 0x8000);
}

/* ---- Faults before the point of no return: the old task's ---- */

static void refuse(uint16_t selector, enum source source, uint8_t vector, uint32_t error_code)
{
    vcpu->events.exception.type = EVENT_NONE;
    switch_to(selector, source);
    expect_fault(vector, error_code);
    expect_old_task();
}

static void test_new_tss_is_checked(void **state)
{
    (void)state;
    refuse(SELECTOR_B | 4, JMP, VECTOR_GP, SELECTOR_B | 4); /* in the LDT */
    refuse(SELECTOR_B | 4, IRET, VECTOR_TS, SELECTOR_B | 4);
    refuse(GDT_ENTRIES * 8, CALL, VECTOR_GP, GDT_ENTRIES * 8);
    refuse(0xfff8, CALL, VECTOR_GP, 0xfff8);
    backend->gdtr.limit = SELECTOR_B + 6;
    refuse(SELECTOR_B, CALL, VECTOR_GP, SELECTOR_B);
    backend->gdtr.limit = GDT_ENTRIES * 8 - 1;
    refuse(0xfffb, IRET, VECTOR_TS, 0xfff8);
    refuse(0, CALL, VECTOR_GP, 0);
    refuse(3, IRET, VECTOR_TS, 0);
    refuse(DATA, JMP, VECTOR_GP, DATA);
    refuse(SELECTOR_LDT, JMP, VECTOR_GP, SELECTOR_LDT);
    refuse(SELECTOR_A, JMP, VECTOR_GP, SELECTOR_A);  /* busy */
    refuse(SELECTOR_B, IRET, VECTOR_TS, SELECTOR_B); /* not busy */
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x09, 0));
    refuse(SELECTOR_B, JMP, VECTOR_NP, SELECTOR_B);
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 2, 0x89, 0));
    refuse(SELECTOR_B, JMP, VECTOR_TS, SELECTOR_B);
    set_descriptor(SELECTOR_C, descriptor_of((uint32_t)TSS_C, T16_SIZE - 2, 0x81, 0));
    refuse(SELECTOR_C, CALL, VECTOR_TS, SELECTOR_C);
}

static void test_types_that_are_no_tss(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 32; type++) {
        unsigned busy = type == 3 || type == 0xb;
        set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x80 | type, 0));
        if (type != 1 && type != 9) {
            vcpu->events.exception.type = EVENT_NONE;
            switch_to(SELECTOR_B, GATE);
            expect_fault(VECTOR_GP, SELECTOR_B);
        }
        if (!busy) {
            vcpu->events.exception.type = EVENT_NONE;
            switch_to(SELECTOR_B, IRET);
            expect_fault(VECTOR_TS, SELECTOR_B);
        }
    }
}

static void test_old_tss_has_room(void **state)
{
    (void)state;
    backend->segments[SEGMENT_TR].limit = 0x5e;
    refuse(SELECTOR_B, JMP, VECTOR_TS, SELECTOR_A);
    backend->segments[SEGMENT_TR].limit = 0x5f;
    vcpu->events.exception.type = EVENT_NONE;
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
}

static void test_external_faults_say_so(void **state)
{
    static const struct {
        struct event event;
        uint32_t external;
    } cases[] = {
        {{EVENT_INTERRUPT, 0x20, 0, false, 0}, 1},
        {{EVENT_NMI, 2, 0, false, 0}, 1},
        {{EVENT_EXCEPTION, VECTOR_UD, 0, false, 0}, 1},
        {{EVENT_SOFTWARE_INTERRUPT, 0x80, 2, false, 0}, 0},
        {{EVENT_SOFTWARE_EXCEPTION, VECTOR_BP, 1, false, 0}, 0},
        {{EVENT_SOFTWARE_EXCEPTION, VECTOR_OF, 1, false, 0}, 0},
        {{EVENT_SOFTWARE_EXCEPTION, VECTOR_DB, 1, false, 0}, 1}, /* INT1 */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        enter(FAKE_PROTECTED_32);
        set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x09, 0));
        vcpu->events.exception.type = EVENT_NONE;
        deliver(SELECTOR_B, cases[i].event);
        expect_fault(VECTOR_NP, SELECTOR_B | cases[i].external);
        expect_old_task();

        /* And the same behind the point of no return. */
        enter(FAKE_PROTECTED_32);
        put(TSS_B + T32_DS, ABSENT_DATA, 2);
        vcpu->events.exception.type = EVENT_NONE;
        deliver(SELECTOR_B, cases[i].event);
        expect_fault(VECTOR_NP, ABSENT_DATA | cases[i].external);
        expect_new_task(SELECTOR_B);
        assert_int_equal(vcpu->events.interrupted.type, EVENT_NONE);
    }
}

/* An interrupt that has left its controller follows a fault that kept it from its task; INT is done again. */
static void test_what_becomes_of_the_event(void **state)
{
    (void)state;
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x09, 0));
    deliver(SELECTOR_B, interrupt);
    assert_int_equal(vcpu->events.interrupted.type, EVENT_INTERRUPT);
    assert_int_equal(vcpu->events.interrupted.vector, 0x20);
    vcpu->events.exception.type = EVENT_NONE;
    deliver(SELECTOR_B, software);
    assert_int_equal(vcpu->events.interrupted.type, EVENT_NONE);
}

static void test_double_fault(void **state)
{
    static const struct event double_fault = {EVENT_EXCEPTION, VECTOR_DF, 0, true, 0};

    (void)state;
    /* The descriptor is not there: contributory twice. */
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)TSS_B, T32_SIZE - 1, 0x09, 0));
    deliver(SELECTOR_B, protection);
    expect_fault(VECTOR_DF, 0);
    expect_old_task();
    assert_int_equal(vcpu->requests, 0);

    /* A bad segment in the new task. */
    enter(FAKE_PROTECTED_32);
    put(TSS_B + T32_SS, 0, 2);
    deliver(SELECTOR_B, protection);
    expect_fault(VECTOR_DF, 0);
    expect_new_task(SELECTOR_B);

    /* The double fault's own task: three are too many. */
    enter(FAKE_PROTECTED_32);
    put(TSS_B + T32_SS, 0, 2);
    deliver(SELECTOR_B, double_fault);
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    assert_int_equal(guest->action, GUEST_CRASH);
}

/* ---- Faults behind it: the new task's, with all its selectors in place ---- */

static void test_bad_segments(void **state)
{
    static const struct {
        uint8_t offset;
        uint16_t selector;
        uint8_t vector;
        uint32_t error_code;
    } cases[] = {
        {T32_LDT, SELECTOR_LDT | 4, VECTOR_TS, SELECTOR_LDT | 4},
        {T32_LDT, DATA, VECTOR_TS, DATA},
        {T32_LDT, SELECTOR_B, VECTOR_TS, SELECTOR_B},
        {T32_LDT, ABSENT_LDT, VECTOR_TS, ABSENT_LDT},
        {T32_LDT, 0xfff8, VECTOR_TS, 0xfff8},
        {T32_CS, 0, VECTOR_TS, 0},
        {T32_CS, 3, VECTOR_TS, 0},
        {T32_CS, DATA, VECTOR_TS, DATA},
        {T32_CS, SELECTOR_B, VECTOR_TS, SELECTOR_B},
        {T32_CS, CODE | 3, VECTOR_TS, CODE},
        {T32_CS, USER_CODE & ~3, VECTOR_TS, USER_CODE & ~3},
        {T32_CS, ABSENT_CODE, VECTOR_NP, ABSENT_CODE},
        {T32_CS, 0xffff, VECTOR_TS, 0xfffc},
        {T32_SS, 0, VECTOR_TS, 0},
        {T32_SS, CODE, VECTOR_TS, CODE},
        {T32_SS, READ_ONLY, VECTOR_TS, READ_ONLY},
        {T32_SS, ABSENT_DATA, VECTOR_SS, ABSENT_DATA},
        {T32_SS, DATA | 3, VECTOR_TS, DATA},
        {T32_SS, USER_DATA & ~3, VECTOR_TS, USER_DATA & ~3},
        {T32_SS, 0x0c, VECTOR_TS, 0x0c}, /* no LDT */
        {T32_DS, EXECUTE_ONLY, VECTOR_TS, EXECUTE_ONLY},
        {T32_DS, ABSENT_DATA, VECTOR_NP, ABSENT_DATA},
        {T32_DS, DATA | 3, VECTOR_TS, DATA},
        {T32_ES, SELECTOR_LDT, VECTOR_TS, SELECTOR_LDT},
        {T32_FS, GDT_ENTRIES * 8, VECTOR_TS, GDT_ENTRIES * 8},
        {T32_GS, 0xfffc, VECTOR_TS, 0xfffc},
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        enter(FAKE_PROTECTED_32);
        put(TSS_B + cases[i].offset, cases[i].selector, 2);
        switch_to(SELECTOR_B, CALL);
        expect_fault(cases[i].vector, cases[i].error_code);
        expect_new_task(SELECTOR_B);
        expect_saved_32(TSS_A, 0x7007, 0x246 | FLAG_NT);
        for (unsigned segment = 0; segment < 6; segment++)
            assert_int_equal(backend->segments[segment].selector, get(TSS_B + T32_ES + 4 * segment, 2));
        /* What an entry wants to see. SDM vol. 3, "Checks on Guest Segment Registers". */
        const struct segment_register *cs = &backend->segments[SEGMENT_CS], *ss = &backend->segments[SEGMENT_SS];
        assert_int_equal(cs->attributes & 0x99, 0x99);
        assert_int_equal(ss->attributes & 0x9b, 0x93);
        assert_int_equal(cs->attributes >> SEGMENT_DPL_SHIFT & 3, ss->attributes >> SEGMENT_DPL_SHIFT & 3);
        assert_int_equal(ss->attributes >> SEGMENT_DPL_SHIFT & 3, cs->selector & 3);
    }
}

static void test_eip_beyond_code(void **state)
{
    (void)state;
    put(TSS_B + T32_CS, SMALL_CODE, 2);
    switch_to(SELECTOR_B, JMP);
    expect_fault(VECTOR_GP, 0);
    expect_new_task(SELECTOR_B);
    enter(FAKE_PROTECTED_32);
    put(TSS_B + T32_CS, SMALL_CODE, 2);
    put(TSS_B + T32_EIP, 0x7fff, 4);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
}

/* ---- Memory ---- */

/* Each structure over a page end whose two sides lie apart. */
static void test_over_page_ends(void **state)
{
    (void)state;
    for (gva_t start = 0x20f98; start <= 0x21000; start++) {
        enter(FAKE_PAGED_2);
        struct fake_paging paging = map_identity(0, 0);
        fake_map(&paging, 0x20000, 0x40000, PTE_P | PTE_W);
        fake_map(&paging, 0x21000, 0x60000, PTE_P | PTE_W);
        fake_map(&paging, 0x22000, 0x50000, PTE_P | PTE_W);
        uint8_t tss[T32_SIZE];
        assert_int_equal(gmem_read(guest, TSS_B, tss, sizeof(tss)), 0);
        unsigned first = (unsigned)min_u64(0x21000 - start, T32_SIZE);
        assert_int_equal(gmem_write(guest, 0x40000 + (start & PAGE_MASK), tss, first), 0);
        assert_int_equal(gmem_write(guest, 0x60000, tss + first, T32_SIZE - first), 0);
        set_descriptor(SELECTOR_B, descriptor_of((uint32_t)start, T32_SIZE - 1, 0x89, 0));
        switch_to(SELECTOR_B, CALL);
        expect_no_fault();
        expect_new_task(SELECTOR_B);
        assert_int_equal(vcpu_gpr(vcpu, GPR_RDI), 0xb0000007);
        assert_int_equal(backend->segments[SEGMENT_GS].selector, DATA);
        uint8_t link[2];
        gpa_t low = start < 0x21000 ? 0x40000 + (start & PAGE_MASK) : 0x60000;
        gpa_t high = start + 1 < 0x21000 ? low + 1 : 0x60000 + (start + 1 - 0x21000);
        link[0] = (uint8_t)get(low, 1);
        link[1] = (uint8_t)get(high, 1);
        assert_int_equal(link[0] | link[1] << 8, SELECTOR_A);
        /* And out of it again. */
        vcpu_set_gpr(vcpu, GPR_RDX, 0x13579bdf);
        for (unsigned at = T32_ES; at <= T32_GS; at += 4)
            put(TSS_A + at, at == T32_CS ? CODE : DATA, 2);
        switch_to(SELECTOR_A, IRET);
        expect_no_fault();
        uint32_t saved = 0;
        for (unsigned i = 0; i < 4; i++) {
            gva_t at = start + T32_EAX + 8 + i;
            saved |= get(at < 0x21000 ? 0x40000 + (at & PAGE_MASK) : 0x60000 + (at - 0x21000), 1) << 8 * i;
        }
        assert_int_equal(saved, 0x13579bdf);
    }
}

/* A page that lacks or may not be written: nothing has changed then. Read-only matters, CR0.WP is set. */
static void test_page_faults(void **state)
{
    static const struct {
        gpa_t page;
        uint64_t flags;
        enum source source;
        uint64_t address;
        uint32_t error_code;
    } cases[] = {
        {TSS_A, 0, JMP, TSS_A + T32_EIP, 2},
        {TSS_A, PTE_P, JMP, TSS_A + T32_EIP, 3},
        {TSS_B, 0, JMP, TSS_B, 0},
        {TSS_B, 0, CALL, TSS_B, 0},
        {TSS_B, PTE_P, CALL, TSS_B, 3}, /* the link */
        {GDT, 0, JMP, GDT + SELECTOR_B, 0},
        {GDT, PTE_P, JMP, GDT + SELECTOR_A + 5, 3},  /* not busy any more */
        {GDT, PTE_P, CALL, GDT + SELECTOR_B + 5, 3}, /* busy */
    };

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        enter(FAKE_PAGED_2);
        map_identity(cases[i].page, cases[i].flags);
        switch_to(SELECTOR_B, cases[i].source);
        expect_fault(VECTOR_PF, cases[i].error_code);
        assert_int_equal(backend->registers[VCPU_CR2], cases[i].address);
        expect_old_task();
    }
    /* A new TSS that is read-only may be jumped to. */
    enter(FAKE_PAGED_2);
    map_identity(TSS_B, PTE_P);
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
}

/* User pages: SMAP checks such accesses whatever RFLAGS.AC says; without it they pass. */
static void test_supervisor_access(void **state)
{
    (void)state;
    for (unsigned smap = 0; smap < 2; smap++) {
        enter(FAKE_PAGED_2);
        backend->registers[VCPU_CR4] |= smap ? UINT64_C(1) << 21 : 0;
        backend->registers[VCPU_RFLAGS] |= 1u << 18;
        map_identity(TSS_B, PTE_ALL);
        vcpu->events.exception.type = EVENT_NONE;
        switch_to(SELECTOR_B, JMP);
        if (smap)
            expect_fault(VECTOR_PF, 1);
        else
            expect_no_fault();
    }
}

/* In the new task: its page tables lack the GDT. */
static void test_page_fault_in_the_new_task(void **state)
{
    (void)state;
    enter(FAKE_PAGED_2);
    map_identity(0, 0);
    put(TSS_B + T32_CR3, 0x400000, 4);
    switch_to(SELECTOR_B, JMP);
    expect_fault(VECTOR_PF, 0);
    assert_int_equal(backend->registers[VCPU_CR2], GDT + CODE);
    expect_new_task(SELECTOR_B);
}

/* The guest has stopped, and no fault is on its way. */
static void expect_crash(void)
{
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    assert_int_equal(guest->action, GUEST_CRASH);
}

static void test_tss_outside_of_memory(void **state)
{
    (void)state;
    set_descriptor(SELECTOR_B, descriptor_of(0xf0000000, T32_SIZE - 1, 0x89, 0));
    switch_to(SELECTOR_B, JMP);
    expect_crash();
    expect_old_task();
}

static void test_tss_over_the_end_of_memory(void **state)
{
    (void)state;
    set_descriptor(SELECTOR_B, descriptor_of((uint32_t)MIB(8) - 50, T32_SIZE - 1, 0x89, 0));
    switch_to(SELECTOR_B, JMP);
    expect_crash();
    expect_old_task();
}

static void test_old_tss_outside_of_memory(void **state)
{
    (void)state;
    backend->segments[SEGMENT_TR].base = 0xffffffc0; /* and around the end of the address space */
    switch_to(SELECTOR_B, JMP);
    expect_crash();
}

static void test_page_tables_outside_of_memory(void **state)
{
    (void)state;
    enter(FAKE_PAGED_2);
    backend->registers[VCPU_CR3] = 0xf0000000;
    switch_to(SELECTOR_B, JMP);
    expect_crash();
}

/* ---- Other processors ---- */

static uint8_t *taken_byte;
static unsigned pointers;

static void take_task(void *pointer)
{
    /* The second processor wins between check and use. */
    if (pointer == taken_byte && pointers++ == 0)
        *taken_byte |= 2;
}

static void test_task_taken_meanwhile(void **state)
{
    (void)state;
    taken_byte = gmem_pointer(guest, GDT + SELECTOR_B + 5, 1);
    pointers = 0;
    fake_machine.on_pointer = take_task;
    vcpu->events.interrupted = interrupt;
    switch_to(SELECTOR_B, GATE);
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    assert_int_equal(vcpu->events.interrupted.type, EVENT_INTERRUPT); /* the processor shall find it out itself */
    assert_int_equal(backend->segments[SEGMENT_TR].selector, SELECTOR_A);
    assert_int_equal(access_of(SELECTOR_A), 0x8b);
}

static bool only_committed;
static unsigned changes_left;
static void *ram_pointer;

/* Changes whatever page-table entry is looked at: marking it accessed never succeeds. */
static void change_entry(void *pointer)
{
    static uint32_t turn;
    uint8_t *tables = ram_pointer;

    if (changes_left == 0 || (only_committed && (backend->registers[VCPU_CR0] & 8) == 0))
        return;
    if ((uint8_t *)pointer >= tables && (uint8_t *)pointer < tables + 2 * PAGE_SIZE)
        *(uint32_t *)pointer = (*(uint32_t *)pointer & ~0xe20u) | (turn++ & 7) << 9;
    changes_left--;
}

/* While the switch can wait it does; then it must not be left half done. */
static void test_page_tables_change_without_end(void **state)
{
    (void)state;
    for (unsigned late = 0; late < 2; late++) {
        enter(FAKE_PAGED_2);
        map_identity(0, 0);
        ram_pointer = gmem_pointer(guest, TABLES, 1);
        only_committed = late;
        changes_left = UINT32_MAX;
        fake_machine.on_pointer = change_entry;
        vcpu->events.interrupted = interrupt;
        switch_to(SELECTOR_B, GATE);
        if (late) {
            expect_crash();
        } else {
            assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
            assert_int_equal(vcpu->events.interrupted.type, EVENT_INTERRUPT);
            assert_int_equal(guest->action, GUEST_GO_ON);
            expect_old_task();
        }
        fake_machine.on_pointer = NULL;
    }
    enter(FAKE_PAGED_2);
    map_identity(0, 0);
    changes_left = 100;
    fake_machine.on_pointer = change_entry;
    switch_to(SELECTOR_B, JMP);
    expect_no_fault();
    expect_new_task(SELECTOR_B);
}

/* ---- Anything at all ---- */

static uint32_t random_state = 1;

static uint32_t random_number(void)
{
    random_state = random_state * 1664525 + 1013904223;
    return random_state >> 8;
}

static void test_hostile_structures(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        enter(round % 2 ? FAKE_PROTECTED_32 : FAKE_PAGED_2);
        struct fake_paging paging = {guest, TABLES, TABLES + PAGE_SIZE, 2, 4};
        for (gpa_t page = 0; page < 0x10000 && round % 2 == 0; page += PAGE_SIZE)
            fake_map(&paging, page, page, random_number() % 20 == 0 ? random_number() : PTE_ALL);
        for (unsigned i = random_number() % 8; i > 0; i--)
            put(TSS_B + random_number() % T32_SIZE, random_number(), 2);
        for (unsigned i = random_number() % 4; i > 0; i--)
            put(GDT + random_number() % (GDT_ENTRIES * 8), random_number(), 1);
        if (random_number() % 4 == 0)
            backend->gdtr.limit = random_number() & 0xffff;
        struct event event = {(enum event_type)(random_number() % 6), (uint8_t)(random_number() & 31), 2,
                              (random_number() & 1) != 0, random_number()};
        vcpu->events.interrupted = event;
        uint16_t selector = (uint16_t)(random_number() % 4 == 0 ? random_number() : SELECTOR_B + random_number() % 12);
        switch_to(selector, (enum source)(random_number() & 3));
        /* Never an entry that the processor refuses. */
        const struct segment_register *tr = &backend->segments[SEGMENT_TR];
        assert_int_equal(tr->attributes & 0x97, 0x83);
        if (tr->selector == SELECTOR_A)
            continue;
        const struct segment_register *cs = &backend->segments[SEGMENT_CS], *ss = &backend->segments[SEGMENT_SS];
        if ((backend->registers[VCPU_RFLAGS] & FLAG_VM) != 0) {
            expect_segment(SEGMENT_CS, (uint64_t)cs->selector << 4, 0xffff, 0xf3, cs->selector);
            continue;
        }
        assert_int_equal(cs->attributes & 0x99, 0x99);
        assert_int_equal(ss->attributes & 0x9b, 0x93);
        assert_true((cs->attributes >> 5 & 3) <= (ss->attributes >> 5 & 3));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_jmp_32),
        TEST(test_call_and_iret_32),
        TEST(test_iret_to_itself),
        TEST(test_16_bit_tasks),
        TEST(test_page_tables_change),
        TEST(test_local_descriptors),
        TEST(test_accessed_bit),
        TEST(test_virtual_8086_task),
        TEST(test_virtual_8086_task_with_a_bad_ldt),
        TEST(test_user_task),
        TEST(test_conforming_code),
        TEST(test_flags),
        TEST(test_large_tss),
        TEST(test_interrupt_gate),
        TEST(test_software_interrupt_gate),
        TEST(test_exception_gate),
        TEST(test_error_code_on_the_new_stack),
        TEST(test_error_code_limits),
        TEST(test_error_code_in_user_memory),
        TEST(test_trap_bit),
        TEST(test_new_tss_is_checked),
        TEST(test_types_that_are_no_tss),
        TEST(test_old_tss_has_room),
        TEST(test_external_faults_say_so),
        TEST(test_what_becomes_of_the_event),
        TEST(test_double_fault),
        TEST(test_bad_segments),
        TEST(test_eip_beyond_code),
        TEST(test_over_page_ends),
        TEST(test_page_faults),
        TEST(test_supervisor_access),
        TEST(test_page_fault_in_the_new_task),
        TEST(test_tss_outside_of_memory),
        TEST(test_tss_over_the_end_of_memory),
        TEST(test_old_tss_outside_of_memory),
        TEST(test_page_tables_outside_of_memory),
        TEST(test_task_taken_meanwhile),
        TEST(test_page_tables_change_without_end),
        TEST(test_hostile_structures),
    };

    return cmocka_run_group_tests_name("task_switch", tests, NULL, NULL);
}

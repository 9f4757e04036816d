/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory operands: segment and canonical checks, both pages of one that crosses, RAM and the bus.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/operand.h"
#include "tests/unit/fake_calls.h"
#include "tests/unit/fake_paging.h"

#define TABLES MIB(2)
#define DATA   UINT64_C(0x600000)
#define DEVICE UINT64_C(0xfed00000)

static struct guest *guest;
static struct vcpu *vcpu;
static struct fake_paging paging;
static char crash[256];
static uint8_t device[2 * PAGE_SIZE];

void guest_crash(struct vcpu *who, const char *format, ...)
{
    va_list arguments;

    (void)who;
    va_start(arguments, format);
    vsnprintf(crash, sizeof(crash), format, arguments);
    va_end(arguments);
}

static uint64_t device_read(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size)
{
    uint64_t value = 0;

    (void)unused;
    (void)who;
    assert_true((size & (size - 1)) == 0);
    memcpy(&value, &device[offset], size);
    return value;
}

static void device_write(struct device *unused, struct vcpu *who, uint64_t offset, unsigned size, uint64_t value)
{
    (void)unused;
    (void)who;
    assert_true((size & (size - 1)) == 0);
    memcpy(&device[offset], &value, size);
}

static void enter(enum fake_mode mode)
{
    memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
    paging = fake_enter_mode(vcpu, mode, TABLES);
    vcpu->events.exception.type = EVENT_NONE;
}

static int setup(void **state)
{
    static const struct bus_ops ops = {device_read, device_write};
    const struct bus_region region = {DEVICE, sizeof(device), &ops, NULL, 4};

    (void)state;
    guest = fake_guest(MIB(8), 2); /* two: the device lock is real */
    vcpu = guest->vcpus[0];
    crash[0] = '\0';
    assert_int_equal(bus_claim(&guest->memory, &region), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    assert_int_equal(guest->devices_lock.next, guest->devices_lock.serving);
    fake_guest_free(guest);
    return 0;
}

static void assert_linear(enum segment segment, uint64_t offset, unsigned size, bool write, gva_t expected)
{
    gva_t linear = 0;

    assert_int_equal(operand_linear(vcpu, segment, offset, size, write, &linear), 0);
    assert_int_equal(linear, expected);
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
}

static void assert_refused(enum segment segment, uint64_t offset, unsigned size, bool write)
{
    gva_t linear;

    assert_int_equal(operand_linear(vcpu, segment, offset, size, write, &linear), E_FAULT);
    assert_int_equal(vcpu->events.exception.type, EVENT_EXCEPTION);
    assert_int_equal(vcpu->events.exception.vector, segment == SEGMENT_SS ? VECTOR_SS : VECTOR_GP);
    assert_int_equal(vcpu->events.exception.error_code, 0);
    vcpu->events.exception.type = EVENT_NONE;
}

static void long_mode_has_bases_only_for_fs_and_gs(void **state)
{
    (void)state;
    enter(FAKE_LONG_4);
    for (unsigned i = SEGMENT_ES; i <= SEGMENT_GS; i++) {
        if (i != SEGMENT_CS)
            fake_segment(vcpu, (enum segment)i, 0x1000, 0, (uint32_t)SEGMENT_UNUSABLE);
    }
    assert_linear(SEGMENT_DS, 0x5000, 8, true, 0x5000);
    assert_linear(SEGMENT_SS, 0x5000, 8, true, 0x5000);
    assert_linear(SEGMENT_FS, 0x5000, 8, true, 0x6000);
    assert_linear(SEGMENT_GS, UINT64_MAX, 1, false, 0xfff);
}

static void addresses_are_canonical_to_their_last_byte(void **state)
{
    (void)state;
    enter(FAKE_LONG_4);
    assert_linear(SEGMENT_DS, UINT64_C(0x7ffffffffff8), 8, false, UINT64_C(0x7ffffffffff8));
    assert_refused(SEGMENT_DS, UINT64_C(0x7ffffffffff9), 8, false);
    assert_refused(SEGMENT_SS, UINT64_C(0x800000000000), 1, false);
    assert_refused(SEGMENT_DS, UINT64_C(0xffff7fffffffffff), 1, false);
    assert_refused(SEGMENT_DS, UINT64_C(0xffff7ffffffffffe), 4, false); /* ends in the canonical half */
    assert_linear(SEGMENT_DS, UINT64_C(0xffff800000000000), 8, true, UINT64_C(0xffff800000000000));
    assert_linear(SEGMENT_DS, UINT64_MAX - 3, 8, true, UINT64_MAX - 3); /* on to address 0 */
    enter(FAKE_LONG_5);
    assert_linear(SEGMENT_DS, UINT64_C(0x800000000000), 1, false, UINT64_C(0x800000000000));
    assert_refused(SEGMENT_DS, UINT64_C(0xfffffffffffff9), 8, false);
}

static void protected_mode_checks_type_and_limit(void **state)
{
    (void)state;
    enter(FAKE_PROTECTED_32);
    fake_segment(vcpu, SEGMENT_DS, 0xfffff000, 0x1fff, 0x4093);
    assert_linear(SEGMENT_DS, 0x1ffc, 4, true, 0xffc); /* base + offset wraps at 4 GiB */
    assert_refused(SEGMENT_DS, 0x1ffd, 4, true);
    assert_refused(SEGMENT_DS, 0x2000, 1, false);
    fake_segment(vcpu, SEGMENT_ES, 0, UINT32_MAX, 0xc091); /* read-only data */
    assert_linear(SEGMENT_ES, 0x10, 4, false, 0x10);
    assert_refused(SEGMENT_ES, 0x10, 4, true);
    fake_segment(vcpu, SEGMENT_CS, 0, UINT32_MAX, 0xc09b); /* readable code */
    assert_linear(SEGMENT_CS, 0x10, 4, false, 0x10);
    assert_refused(SEGMENT_CS, 0x10, 4, true);
    fake_segment(vcpu, SEGMENT_FS, 0, UINT32_MAX, 0xc099); /* execute-only */
    assert_refused(SEGMENT_FS, 0x10, 4, false);
    fake_segment(vcpu, SEGMENT_GS, 0, UINT32_MAX, 0xc093 | (uint32_t)SEGMENT_UNUSABLE);
    assert_refused(SEGMENT_GS, 0x10, 4, false);
    assert_refused(SEGMENT_GS, 0x10, 4, true);
    fake_segment(vcpu, SEGMENT_SS, 0, 0xfff, 0x4093);
    assert_refused(SEGMENT_SS, 0xffe, 4, true);
    /* expand-down: valid above the limit, up to 64 KiB or 4 GiB */
    fake_segment(vcpu, SEGMENT_DS, 0, 0xfff, 0x4097);
    assert_refused(SEGMENT_DS, 0xfff, 1, false);
    assert_linear(SEGMENT_DS, 0x1000, 4, true, 0x1000);
    assert_linear(SEGMENT_DS, 0xfffffffc, 4, true, 0xfffffffc);
    assert_refused(SEGMENT_DS, 0xfffffffd, 4, true);
    fake_segment(vcpu, SEGMENT_DS, 0, 0xfff, 0x97);
    assert_linear(SEGMENT_DS, 0xfffe, 2, false, 0xfffe);
    assert_refused(SEGMENT_DS, 0xffff, 2, false);
    assert_refused(SEGMENT_DS, 0x10000, 1, false);
}

static void real_and_virtual_8086_mode_check_the_limit(void **state)
{
    (void)state;
    for (unsigned virtual_8086 = 0; virtual_8086 < 2; virtual_8086++) {
        enter(FAKE_REAL);
        if (virtual_8086 == 1) {
            fake_backend(vcpu)->registers[VCPU_CR0] |= 1;
            fake_backend(vcpu)->registers[VCPU_RFLAGS] |= UINT64_C(1) << 17;
        }
        fake_segment(vcpu, SEGMENT_DS, 0xffff0, 0xffff, 0xf3);
        assert_linear(SEGMENT_DS, 0xfffe, 2, true, 0x10ffee);
        assert_refused(SEGMENT_DS, 0xffff, 2, true);
        assert_refused(SEGMENT_SS, 0xffff, 2, true);
        /* The type of a segment register left over from protected mode does not matter. */
        fake_segment(vcpu, SEGMENT_DS, 0, UINT32_MAX, 0x91);
        assert_linear(SEGMENT_DS, 0x12345678, 4, true, 0x12345678);
    }
}

/* Two pages that are neighbours only in linear memory: RAM and RAM, RAM and device, device and RAM, device and device.
 */
static void both_pages_of_an_operand(void **state)
{
    static const gpa_t pages[] = {DATA, DATA + 0x5000, DEVICE, DEVICE + PAGE_SIZE};
    uint64_t value;

    (void)state;
    for (unsigned a = 0; a < 4; a++) {
        for (unsigned b = 0; b < 4; b++) {
            enter(FAKE_LONG_4);
            fake_map(&paging, 0x700000, pages[a], PTE_ALL);
            fake_map(&paging, 0x701000, pages[b], PTE_ALL);
            for (unsigned size = 1; size <= 8; size *= 2) {
                for (unsigned before = 0; before <= size; before++) {
                    gva_t at = 0x701000 - before;
                    uint64_t wanted = UINT64_C(0x8877665544332211) & (UINT64_MAX >> (64 - 8 * size));
                    assert_int_equal(operand_write(vcpu, at, size, wanted), 0);
                    assert_int_equal(operand_read(vcpu, at, size, &value), 0);
                    assert_int_equal(value, wanted);
                    if (before > 0 && before < size && a != b) {
                        uint8_t byte = a < 2 ? *(uint8_t *)gmem_pointer(guest, pages[a] + 0xfff, 1)
                                             : device[pages[a] - DEVICE + 0xfff];
                        assert_int_equal(byte, (uint8_t)(wanted >> (8 * (before - 1))));
                    }
                }
            }
        }
    }
}

static void faults_name_the_page_at_fault(void **state)
{
    uint64_t value = 7;

    (void)state;
    enter(FAKE_LONG_4);
    uint8_t *ram = gmem_pointer(guest, DATA, PAGE_SIZE);
    memset(ram, 0x55, PAGE_SIZE);
    fake_map(&paging, 0x700000, DATA, PTE_ALL);
    fake_map(&paging, 0x701000, DATA + 0x1000, PTE_P | PTE_U);
    assert_int_equal(operand_write(vcpu, 0x700ffe, 4, 0), E_FAULT);
    assert_int_equal(fake_backend(vcpu)->registers[VCPU_CR2], 0x701000);
    assert_int_equal(vcpu->events.exception.error_code, 3);
    assert_int_equal(ram[0xffe], 0x55); /* nothing of it was written */
    vcpu->events.exception.type = EVENT_NONE;
    assert_int_equal(operand_check_write(vcpu, 0x700ffe, 4), E_FAULT);
    vcpu->events.exception.type = EVENT_NONE;
    assert_int_equal(operand_check_write(vcpu, 0x700ffc, 4), 0);
    assert_int_equal(operand_read(vcpu, 0x700ffe, 4, &value), 0);
    /* user */
    fake_backend(vcpu)->segments[SEGMENT_SS].attributes = 0xc0f3;
    fake_map(&paging, 0x700000, DATA, PTE_P | PTE_W);
    assert_int_equal(operand_read(vcpu, 0x700ffe, 4, &value), E_FAULT);
    assert_int_equal(vcpu->events.exception.error_code, 5);
    assert_int_equal(fake_backend(vcpu)->registers[VCPU_CR2], 0x700ffe);
}

static void page_tables_outside_of_ram_end_the_guest(void **state)
{
    uint64_t value;

    (void)state;
    enter(FAKE_LONG_4);
    fake_backend(vcpu)->registers[VCPU_CR3] = DEVICE;
    assert_int_equal(operand_read(vcpu, 0x1234, 4, &value), E_FAULT);
    assert_string_equal(crash, "its page tables for address 0x1234 lie outside of its memory");
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
}

static void thirty_two_bit_operands_wrap_at_4_gib(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        enter((enum fake_mode[]){FAKE_PAGED_2, FAKE_PAGED_PAE, FAKE_COMPATIBILITY}[i]);
        fake_map(&paging, 0xfffff000, DATA, PTE_ALL);
        fake_map(&paging, 0, DATA + 0x3000, PTE_ALL);
        assert_int_equal(operand_write(vcpu, 0xfffffffe, 4, 0x44332211), 0);
        assert_memory_equal(gmem_pointer(guest, DATA + 0xffe, 2), "\x11\x22", 2);
        assert_memory_equal(gmem_pointer(guest, DATA + 0x3000, 2), "\x33\x44", 2);
    }
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(long_mode_has_bases_only_for_fs_and_gs),
        WITH_GUEST(addresses_are_canonical_to_their_last_byte),
        WITH_GUEST(protected_mode_checks_type_and_limit),
        WITH_GUEST(real_and_virtual_8086_mode_check_the_limit),
        WITH_GUEST(both_pages_of_an_operand),
        WITH_GUEST(faults_name_the_page_at_fault),
        WITH_GUEST(page_tables_outside_of_ram_end_the_guest),
        WITH_GUEST(thirty_two_bit_operands_wrap_at_4_gib),
    };

    return cmocka_run_group_tests_name("operand", tests, NULL, NULL);
}

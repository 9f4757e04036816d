/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flat loader: where an image may lie, and what it finds when it starts.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/loader.h"
#include "tests/unit/fake.h"

/* Used when the run loop is not linked. */
__attribute__((weak)) void vcpu_state_reset(struct vcpu_state *state)
{
    memset(state, 0xee, sizeof(*state));
}

__attribute__((weak)) void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    vcpu->requests |= requests;
}

static struct guest *guest;
static struct vcpu_state state;
static struct loader_error error;

static int setup(void **context)
{
    (void)context;
    guest = fake_guest(MIB(2), 1);
    return 0;
}

static int teardown(void **context)
{
    (void)context;
    fake_guest_free(guest);
    return 0;
}

/* Load an image of `size` bytes 0x5a at the address. */
static int load(uint32_t address, uint64_t size, uint16_t segment, uint16_t offset)
{
    uint8_t *bytes = malloc(size);
    struct loader_input input = {.kernel = {"hello.bin", bytes, size},
                                 .load_address = address,
                                 .entry_segment = segment,
                                 .entry_offset = offset};

    memset(bytes, 0x5a, size);
    memset(&error, 0, sizeof(error));
    int result = flat_load(guest, &input, &state, &error);
    free(bytes);
    return result;
}

static uint64_t get(gpa_t address, unsigned size)
{
    uint64_t value = 0;

    assert_int_equal(gmem_read(guest, address, &value, size), 0);
    return value;
}

static void assert_words(const char *words)
{
    if (strstr(error.text, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", error.text, words);
}

static void test_state(void **context)
{
    (void)context;
    assert_int_equal(load(0x10000, 600, 0x1000, 0x20), 0);
    assert_int_equal(state.rip, 0x20);
    assert_int_equal(state.segments[SEGMENT_CS].base, 0x10000);
    assert_int_equal(state.segments[SEGMENT_CS].selector, 0x1000);
    assert_int_equal(state.segments[SEGMENT_CS].limit, 0xffff);
    assert_int_equal(state.segments[SEGMENT_CS].attributes, 0x9b);
    for (unsigned i = 0; i < 6; i++) {
        if (i == SEGMENT_CS)
            continue;
        assert_int_equal(state.segments[i].base, 0);
        assert_int_equal(state.segments[i].selector, 0);
        assert_int_equal(state.segments[i].limit, 0xffff);
        assert_int_equal(state.segments[i].attributes, 0x93);
    }
    assert_int_equal(state.cr0, 0x10);
    assert_int_equal(state.rflags, 2);
    for (unsigned i = 0; i < GPR_COUNT; i++)
        assert_int_equal(state.gpr[i], i == GPR_RSP ? 0x7c00 : 0);
}

static void test_memory(void **context)
{
    (void)context;
    assert_int_equal(gmem_fill(guest, 0, 0xff, 0x600), 0);
    assert_int_equal(load(0x7c00, 512, 0, 0x7c00), 0);
    assert_int_equal(get(0x7bff, 1), 0);
    assert_int_equal(get(0x7c00, 1), 0x5a);
    assert_int_equal(get(0x7dff, 2), 0x5a);
    assert_int_equal(get(0x400, 2), 0x3f8);
    assert_int_equal(get(0x40e, 2), 0); /* no EBDA */
    assert_int_equal(get(0x413, 2), 640);
    assert_int_equal(get(0x449, 1), 3);
    assert_int_equal(get(0x44a, 2), 80);
    assert_int_equal(get(0x463, 2), 0x3d4);
    assert_int_equal(get(0x484, 1), 24);
    assert_int_equal(get(0x485, 2), 16);
    assert_int_equal(get(0x500, 1), 0xff);
}

/* Where the far pointer of a vector leads. */
static gpa_t handler(unsigned vector)
{
    return (get(vector * 4 + 2, 2) << 4) + get(vector * 4, 2);
}

/* Bytes in hexadecimal. */
static void expect_code(gpa_t address, const char *code)
{
    for (; *code != '\0'; address++) {
        char digits[3] = {code[0], code[1], '\0'};
        assert_int_equal(get(address, 1), strtoul(digits, NULL, 16));
        code += 2 + (code[2] == ' ');
    }
}

/* Every vector leads to code: exceptions return, interrupts are ended at their controllers, services fail. */
static void test_vectors(void **context)
{
    (void)context;
    assert_int_equal(load(0x7c00, 512, 0, 0x7c00), 0);
    for (unsigned vector = 0; vector < 8; vector++)
        assert_int_equal(get(handler(vector), 1), 0xcf); /* iret */
    for (unsigned irq = 0; irq < 8; irq++) {
        expect_code(handler(0x08 + irq), "50 b020 e620 58 cf");
        expect_code(handler(0x70 + irq), "50 b020 e6a0 e620 58 cf");
    }
    assert_int_equal(handler(0x10), handler(0xff));
    expect_code(handler(0x15), "55 89e5 804e0641 5d b486 cf");
}

/* What real-mode code jumps to for a restart: out 0x64, 0xfe. */
static void test_reset_entry(void **context)
{
    (void)context;
    assert_int_equal(load(0x7c00, 512, 0, 0x7c00), 0);
    expect_code(0xffff0, "b0fe e664 f4 ebfd");
}

/* The image may lie over the vectors: then they are its own. */
static void test_limits(void **context)
{
    (void)context;
    assert_int_equal(load(0, 0xa0000, 0x9000, 0xffff), 0);
    assert_int_equal(get(0x400, 2), 0x5a5a);
    assert_int_equal(get(0x9ffff, 1), 0x5a);
    assert_int_equal(load(0, 0xa0001, 0, 0), E_NOMEM);
    assert_words("kernel \"hello.bin\" (641 KiB at 0x0) does not fit below 0xa0000");
    assert_int_equal(load(0x9ffff, 1, 0x9fff, 0xf), 0);
    assert_int_equal(load(0x9ffff, 2, 0x9fff, 0xf), E_NOMEM);
    assert_int_equal(load(0xa0000, 1, 0xa000, 0), E_NOMEM);
    assert_int_equal(load(0xb8000, 1, 0xb800, 0), E_NOMEM);
    assert_int_equal(load(0x100000, 1, 0xffff, 0x10), E_NOMEM);
    assert_int_equal(load(UINT32_MAX, 16, 0, 0), E_NOMEM);
    assert_int_equal(load(0x1000, 0, 0, 0x1000), E_INVAL);
    assert_words("is empty");
}

static void test_entry(void **context)
{
    (void)context;
    assert_int_equal(load(0x8000, 16, 0, 0x7fff), E_RANGE);
    assert_words("the entry 0000:7fff (0x7fff) is outside of kernel \"hello.bin\", which lies at 0x8000-0x800f");
    assert_int_equal(load(0x8000, 16, 0, 0x8010), E_RANGE);
    assert_int_equal(load(0x8000, 16, 0x800, 0xf), 0);
    assert_int_equal(load(0x8000, 16, 0xffff, 0xffff), E_RANGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(test_vectors, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reset_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(test_entry, setup, teardown),
    };

    return cmocka_run_group_tests_name("flat", tests, NULL, NULL);
}

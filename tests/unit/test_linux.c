/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Linux loader against images that are built here byte by byte, whole, cut at every length, and broken at random.
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

#define SETUP_SIZE 1536u /* boot sector and two sectors */
#define CODE_SIZE  1000u /* a multiple of 16 is 1008 */
#define IMAGE_SIZE (SETUP_SIZE + CODE_SIZE)

static void put(uint8_t *image, unsigned offset, uint64_t value, unsigned size)
{
    memcpy(image + offset, &value, size);
}

static uint64_t get(struct guest *guest, gpa_t address, unsigned size)
{
    uint64_t value = 0;

    assert_int_equal(gmem_read(guest, address, &value, size), 0);
    return value;
}

/* Protocol 2.15, relocatable, 8 MiB at 16 MiB. What lies behind the header is a pattern that must not reach the boot
 * parameters. */
static uint8_t *build(void)
{
    uint8_t *image = malloc(IMAGE_SIZE);

    assert_non_null(image);
    memset(image, 0xcc, SETUP_SIZE);
    memset(image + 0x1f1, 0, 0x26c - 0x1f1);
    for (unsigned i = 0; i < CODE_SIZE; i++)
        image[SETUP_SIZE + i] = (uint8_t)(i * 7 + 1);
    put(image, 0x1f1, 2, 1);
    put(image, 0x1f4, (CODE_SIZE + 15) / 16, 4);
    put(image, 0x1fe, 0xaa55, 2);
    put(image, 0x200, 0x6aeb, 2);
    put(image, 0x202, 0x53726448, 4);
    put(image, 0x206, 0x020f, 2);
    put(image, 0x211, 1, 1);
    put(image, 0x214, 0x100000, 4);
    put(image, 0x22c, 0x7fffffff, 4);
    put(image, 0x230, 0x200000, 4);
    put(image, 0x234, 1, 1);
    put(image, 0x235, 21, 1);
    put(image, 0x238, 2047, 4);
    put(image, 0x250, 0x1234, 8);
    put(image, 0x258, 0x1000000, 8);
    put(image, 0x260, 0x800000, 4);
    return image;
}

struct load {
    struct guest *guest;
    uint8_t *image;
    struct loader_input input;
    struct vcpu_state state;
    struct loader_error error;
};

static int setup(void **context)
{
    struct load *load = calloc(1, sizeof(*load));

    load->guest = fake_guest(MIB(64), 1);
    load->image = build();
    load->input.kernel = (struct loader_file){"vmlinuz", load->image, IMAGE_SIZE};
    load->input.command_line = "console=ttyS0";
    *context = load;
    return 0;
}

static int teardown(void **context)
{
    struct load *load = *context;

    fake_guest_free(load->guest);
    free(load->image);
    free(load);
    return 0;
}

static int run(struct load *load)
{
    memset(&load->error, 0, sizeof(load->error));
    return linux_load(load->guest, &load->input, &load->state, &load->error);
}

static void assert_refused(struct load *load, int code, const char *words)
{
    assert_int_equal(run(load), code);
    if (strstr(load->error.text, words) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", load->error.text, words);
}

static void flat(const struct segment_register *segment, unsigned selector, unsigned attributes)
{
    assert_int_equal(segment->base, 0);
    assert_int_equal(segment->limit, UINT32_MAX);
    assert_int_equal(segment->selector, selector);
    assert_int_equal(segment->attributes, attributes);
}

static void test_state(void **context)
{
    struct load *load = *context;
    const struct vcpu_state *state = &load->state;

    assert_int_equal(run(load), 0);
    assert_int_equal(state->rip, 0x1000000);
    assert_int_equal(state->rflags, 2);
    assert_int_equal(state->cr0, 0x11);
    for (unsigned i = 0; i < GPR_COUNT; i++) {
        if (i != GPR_RSI && i != GPR_RSP)
            assert_int_equal(state->gpr[i], 0);
    }
    /* Room for a stack, below everything that was placed. */
    assert_int_equal(state->gpr[GPR_RSP], 0x90000);
    flat(&state->segments[SEGMENT_CS], 0x10, 0xc09b);
    for (unsigned i = 0; i < 6; i++) {
        if (i != SEGMENT_CS)
            flat(&state->segments[i], 0x18, 0xc093);
    }
    assert_int_equal(state->gdtr.limit, 31);
    assert_int_equal(get(load->guest, state->gdtr.base + 0x10, 8), 0x00cf9b000000ffff);
    assert_int_equal(get(load->guest, state->gdtr.base + 0x18, 8), 0x00cf93000000ffff);
}

static void test_parameters(void **context)
{
    struct load *load = *context;
    struct guest *guest = load->guest;
    char text[14];

    assert_int_equal(run(load), 0);
    gpa_t base = load->state.gpr[GPR_RSI];
    assert_true(base + 4096 <= 0xa0000);
    assert_memory_equal(gmem_pointer(guest, 0x1000000, CODE_SIZE), load->image + SETUP_SIZE, CODE_SIZE);
    assert_int_equal(get(guest, 0x1000000 + CODE_SIZE, 8), 0);
    assert_int_equal(get(guest, base + 0x1ef, 1), 0); /* sentinel */
    assert_int_equal(get(guest, base + 0x202, 4), 0x53726448);
    assert_int_equal(get(guest, base + 0x210, 1), 0xff);
    assert_int_equal(get(guest, base + 0x211, 1), 0x81);
    assert_int_equal(get(guest, base + 0x1fa, 2), 0xffff);
    assert_int_equal(get(guest, base + 0x214, 4), 0x1000000);
    assert_int_equal(get(guest, base + 0x218, 8), 0);
    assert_int_equal(get(guest, base + 0x250, 8), 0);
    assert_int_equal(get(guest, base + 0x260, 4), 0x800000);
    assert_int_equal(get(guest, base + 0x26c, 4), 0); /* behind the header */
    assert_int_equal(gmem_read(guest, get(guest, base + 0x228, 4), text, sizeof(text)), 0);
    assert_string_equal(text, "console=ttyS0");
    assert_int_equal(get(guest, base + 0x006, 2), 80 << 8 | 3);
    assert_int_equal(get(guest, base + 0x00e, 2), 1 << 8 | 25);
    assert_int_equal(get(guest, base + 0x1e8, 1), 3);
    assert_int_equal(get(guest, base + 0x2d0, 8), 0);
    assert_int_equal(get(guest, base + 0x2d8, 8), 0xa0000);
    assert_int_equal(get(guest, base + 0x2e0, 4), 1);
    assert_int_equal(get(guest, base + 0x2e4, 8), 0xe0000);
    assert_int_equal(get(guest, base + 0x2f4, 4), 2);
    assert_int_equal(get(guest, base + 0x2f8, 8), 0x100000);
    assert_int_equal(get(guest, base + 0x300, 8), MIB(63));
    assert_int_equal(get(guest, base + 0x30c, 8), 0);
}

/* Fields that an older header does not have are code in it, and neither believed nor written. */
static void test_protocol_2_06(void **context)
{
    struct load *load = *context;

    put(load->image, 0x206, 0x0206, 2);
    put(load->image, 0x201, 0x23c - 0x202, 1);
    put(load->image, 0x234, 0, 1);
    memset(load->image + 0x23c, 0xcc, 0x26c - 0x23c);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x100000);
    assert_int_equal(get(load->guest, load->state.gpr[GPR_RSI] + 0x250, 8), 0);
    assert_int_equal(get(load->guest, load->state.gpr[GPR_RSI] + 0x260, 4), 0);
    put(load->image, 0x1f1, 0, 1); /* means 4 sectors */
    assert_refused(load, E_INVAL, "is cut short");
}

static void test_not_relocatable(void **context)
{
    struct load *load = *context;

    put(load->image, 0x234, 0, 1);
    put(load->image, 0x230, 0x1000, 4);
    put(load->image, 0x258, 0x100000, 8);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x100000);
    put(load->image, 0x214, 0x100010, 4);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x100010);
    assert_int_equal(get(load->guest, load->state.gpr[GPR_RSI] + 0x214, 4), 0x100010);
    put(load->image, 0x258, 0x90000, 8);
    assert_refused(load, E_NOMEM, "at 0x90000");
}

static void test_relocated(void **context)
{
    struct load *load = *context;

    put(load->image, 0x258, 0, 8);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x200000);
    put(load->image, 0x258, 0x1000001, 8);
    assert_int_equal(run(load), 0);
    assert_int_equal(load->state.rip, 0x1200000);
    put(load->image, 0x230, 0x300000, 4);
    assert_refused(load, E_INVAL, "power of two");
    put(load->image, 0x230, 0x200000, 4);
    put(load->image, 0x258, UINT64_MAX, 8);
    assert_refused(load, E_NOMEM, "needs 8 MiB");
}

static void test_initrd(void **context)
{
    struct load *load = *context;
    uint8_t *initrd = malloc(MIB(41));

    for (size_t i = 0; i < MIB(41); i++)
        initrd[i] = (uint8_t)(i ^ i >> 12);
    load->input.initrd = (struct loader_file){"initramfs", initrd, 5000};
    assert_int_equal(run(load), 0);
    gpa_t parameters = load->state.gpr[GPR_RSI];
    gpa_t base = get(load->guest, parameters + 0x218, 4);
    assert_int_equal(base, MIB(64) - 8192);
    assert_int_equal(get(load->guest, parameters + 0x21c, 4), 5000);
    assert_memory_equal(gmem_pointer(load->guest, base, 5000), initrd, 5000);

    put(load->image, 0x22c, 0x2ffffff, 4);
    assert_int_equal(run(load), 0);
    assert_int_equal(get(load->guest, parameters + 0x218, 4), 0x3000000 - 8192);

    put(load->image, 0x22c, 0xffffffff, 4);
    load->input.initrd.size = MIB(40);
    assert_int_equal(run(load), 0);
    assert_int_equal(get(load->guest, parameters + 0x218, 4), MIB(24));
    load->input.initrd.size = MIB(40) + 1;
    assert_refused(load, E_NOMEM, "initrd \"initramfs\" (41 MiB) does not fit");
    put(load->image, 0x22c, 0x100000, 4);
    load->input.initrd.size = 1;
    assert_refused(load, E_NOMEM, "initrd \"initramfs\" (1 byte) does not fit");
    load->input.initrd.size = 0;
    assert_refused(load, E_INVAL, "is empty");
    free(initrd);
}

static void test_command_line(void **context)
{
    struct load *load = *context;
    char text[32768];

    memset(text, 'x', sizeof(text));
    text[2047] = '\0';
    load->input.command_line = text;
    assert_int_equal(run(load), 0);
    text[2047] = 'x';
    text[2048] = '\0';
    assert_refused(load, E_RANGE, "has 2048 characters; kernel \"vmlinuz\" takes at most 2047");
    put(load->image, 0x238, UINT32_MAX, 4);
    assert_int_equal(run(load), 0);
    text[2048] = 'x';
    text[sizeof(text) - 1] = '\0';
    assert_refused(load, E_RANGE, "takes at most");
    load->input.command_line = NULL;
    assert_int_equal(run(load), 0);
}

static void test_refused(void **context)
{
    struct load *load = *context;

    put(load->image, 0x260, 52 << 20, 4);
    assert_refused(load, E_NOMEM, "kernel \"vmlinuz\" needs 52 MiB at 16 MiB; the guest has 64 MiB");
    put(load->image, 0x260, UINT32_MAX, 4);
    assert_refused(load, E_NOMEM, "needs 4096 MiB at 16 MiB");
    put(load->image, 0x260, 48 << 20, 4);
    assert_int_equal(run(load), 0);
    put(load->image, 0x1f4, UINT32_MAX, 4);
    assert_refused(load, E_INVAL, "is cut short: it has 2536 bytes");
    put(load->image, 0x1f4, 0, 4);
    assert_refused(load, E_INVAL, "no code");
    put(load->image, 0x1f1, 255, 1);
    put(load->image, 0x1f4, 1, 4);
    assert_refused(load, E_INVAL, "is cut short");
    put(load->image, 0x201, 0xff, 1);
    assert_refused(load, E_INVAL, "its header ends at");
    put(load->image, 0x201, 0x10, 1);
    assert_refused(load, E_INVAL, "its header ends at");
    put(load->image, 0x211, 0, 1);
    assert_refused(load, E_NOTYET, "is a zImage");
    put(load->image, 0x206, 0x0205, 2);
    assert_refused(load, E_NOTYET, "speaks boot protocol 2.05");
    put(load->image, 0x202, 0, 1);
    assert_refused(load, E_INVAL, "is no bzImage: it lacks the \"HdrS\" signature");
}

/* A buffer of exactly that size: the sanitizer sees a byte read too far. */
static void test_cut_at_each_length(void **context)
{
    struct load *load = *context;

    for (unsigned size = 0; size <= IMAGE_SIZE; size++) {
        uint8_t *cut = malloc(size);
        memcpy(cut, load->image, size);
        load->input.kernel = (struct loader_file){"vmlinuz", cut, size};
        int result = run(load);
        /* The header gives the size in units of 16 bytes, rounded up. */
        if (size + 15 < (IMAGE_SIZE - CODE_SIZE) + 1008) {
            assert_int_equal(result, E_INVAL);
            assert_non_null(strstr(load->error.text, "cut short"));
        } else {
            assert_int_equal(result, 0);
        }
        free(cut);
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void test_broken_at_random(void **context)
{
    struct load *load = *context;
    uint8_t whole[IMAGE_SIZE];
    uint64_t seed = 88172645463325252u;
    unsigned loaded = 0;

    memcpy(whole, load->image, IMAGE_SIZE);
    for (unsigned round = 0; round < 30000; round++) {
        memcpy(load->image, whole, IMAGE_SIZE);
        for (uint64_t changes = 1 + random_next(&seed) % 4; changes > 0; changes--)
            load->image[0x1f1 + random_next(&seed) % (0x26c - 0x1f1)] = (uint8_t)random_next(&seed);
        load->input.kernel.size = round % 3 == 0 ? random_next(&seed) % (IMAGE_SIZE + 1) : IMAGE_SIZE;
        if (run(load) == 0) {
            loaded++;
            assert_true(load->state.rip >= MIB(1) && load->state.rip < MIB(64));
        } else {
            assert_true(load->error.text[0] != '\0');
        }
    }
    assert_true(loaded > 1000);
}

static void test_memory_map(void **context)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    struct loader_map_entry map[LOADER_MAP_MAX];

    (void)context;
    guest->ram[0] = (struct guest_ram){0, 0, 0xa0000};
    guest->ram[1] = (struct guest_ram){0xb8000, 0xb8000, GIB(3) - 0xb8000};
    guest->ram[2] = (struct guest_ram){GIB(4), GIB(3), GIB(1)};
    guest->ram_count = 3;
    assert_int_equal(loader_memory_map(guest, map), 4);
    assert_true(map[2].base == MIB(1) && map[2].size == GIB(3) - MIB(1) && map[2].type == BOOT_MEMORY_RAM);
    assert_true(map[3].base == GIB(4) && map[3].size == GIB(1) && map[3].type == BOOT_MEMORY_RAM);
    guest->ram[0] = (struct guest_ram){0, 0, 0x200000};
    guest->ram_count = 1;
    assert_int_equal(loader_memory_map(guest, map), 3);
    assert_true(map[0].base == 0 && map[0].size == 0xa0000 && map[0].type == BOOT_MEMORY_RAM);
    assert_true(map[1].base == 0xe0000 && map[1].size == 0x20000 && map[1].type == BOOT_MEMORY_RESERVED);
    assert_true(map[2].base == MIB(1) && map[2].size == MIB(1));
    guest->ram[0].size = 0x80000;
    assert_int_equal(loader_memory_map(guest, map), 1);
    assert_int_equal(map[0].size, 0x80000);
    guest->ram_count = 0;
    assert_int_equal(loader_memory_map(guest, map), 0);
    free(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_state, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parameters, setup, teardown),
        cmocka_unit_test_setup_teardown(test_protocol_2_06, setup, teardown),
        cmocka_unit_test_setup_teardown(test_not_relocatable, setup, teardown),
        cmocka_unit_test_setup_teardown(test_relocated, setup, teardown),
        cmocka_unit_test_setup_teardown(test_initrd, setup, teardown),
        cmocka_unit_test_setup_teardown(test_command_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cut_at_each_length, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_at_random, setup, teardown),
        cmocka_unit_test(test_memory_map),
    };

    return cmocka_run_group_tests_name("linux", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Endless deliveries of #DB and #AC end in a crash, in every mode; a debugger's busy breakpoint does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/exit.h"
#include "tests/unit/fake_paging.h"

#define TABLES   MIB(2)
#define IDT      UINT64_C(0x5ffc) /* a gate crosses a page end */
#define HANDLER  UINT64_C(0x6543)
#define SELECTOR 0x18u
#define MANY     (10 * EXCEPTION_LOOP_MAX)

static struct guest *guest;
static struct vcpu *vcpu;
static struct fake_backend *backend;
static unsigned crashes;

void guest_crash(struct vcpu *who, const char *format, ...)
{
    assert_ptr_equal(who, vcpu);
    assert_non_null(strstr(format, "never ends"));
    crashes++;
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(8), 1);
    vcpu = guest->vcpus[0];
    backend = fake_backend(vcpu);
    crashes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* The descriptor of vector 1 in the mode, at IDT. */
static void write_gate(enum fake_mode mode, uint64_t handler)
{
    unsigned size = mode == FAKE_REAL ? 4 : mode >= FAKE_LONG_4 ? 16 : 8;
    uint64_t gate[2] = {(handler & 0xffff) | SELECTOR << 16, handler >> 32};

    if (mode != FAKE_REAL)
        gate[0] |= UINT64_C(0x8e00) << 32 | (handler & 0xffff0000) << 32;
    assert_int_equal(gmem_write(guest, IDT + size, gate, size), 0);
}

static void enter(enum fake_mode mode, uint64_t handler)
{
    memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
    struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
    if (mode >= FAKE_PAGED_2) {
        fake_map(&paging, IDT & ~UINT64_C(0xfff), IDT & ~UINT64_C(0xfff), PTE_ALL);
        fake_map(&paging, (IDT & ~UINT64_C(0xfff)) + PAGE_SIZE, (IDT & ~UINT64_C(0xfff)) + PAGE_SIZE, PTE_ALL);
    }
    backend->idtr = (struct table_register){IDT, 0xfff};
    backend->segments[SEGMENT_CS].selector = SELECTOR;
    write_gate(mode, handler);
    memset(&vcpu->exception_loop, 0, sizeof(vcpu->exception_loop));
    crashes = 0;
}

/* One exit, and what hv wants delivered for it, as the next entry takes it. */
static void exception(uint8_t vector, uint64_t rip, uint8_t length, uint8_t interrupted)
{
    struct vmexit exit = {.kind = EXIT_EXCEPTION, .rip = rip, .length = length, .exception = {.vector = vector}};

    vcpu->events.interrupted =
        (struct event){.type = interrupted != 0 ? EVENT_EXCEPTION : EVENT_NONE, .vector = interrupted};
    assert_int_equal(exit_handle(vcpu, &exit), RESUME);
    vcpu->events.exception.type = EVENT_NONE;
}

static unsigned exceptions_until_crash(uint8_t vector, uint64_t rip, uint8_t length, uint8_t interrupted)
{
    unsigned count = 0;

    while (crashes == 0 && count < MANY) {
        exception(vector, rip, length, interrupted);
        count++;
    }
    return count;
}

static void debug_exceptions_at_their_own_handler(void **state)
{
    (void)state;
    for (enum fake_mode mode = 0; mode < FAKE_MODE_COUNT; mode++) {
        bool wide = mode == FAKE_LONG_4 || mode == FAKE_LONG_5;
        uint64_t handler = mode == FAKE_REAL ? HANDLER
                           : wide            ? UINT64_C(0xffffffff81230000) + HANDLER
                                             : 0xc0000000 + HANDLER;
        enter(mode, handler);
        assert_int_equal(exceptions_until_crash(VECTOR_DB, handler, 0, 0), EXCEPTION_LOOP_MAX + 1);
        /* Elsewhere it is a debugger's work. */
        enter(mode, handler);
        assert_int_equal(exceptions_until_crash(VECTOR_DB, handler ^ 0x20, 0, 0), MANY);
        enter(mode, handler);
        backend->segments[SEGMENT_CS].selector = SELECTOR + 8;
        assert_int_equal(exceptions_until_crash(VECTOR_DB, handler, 0, 0), MANY);
        /* INT1 as the handler's first instruction: executed each time. */
        enter(mode, handler);
        assert_int_equal(exceptions_until_crash(VECTOR_DB, handler, 1, 0), MANY);
    }
}

static void exceptions_in_their_own_delivery(void **state)
{
    static const uint8_t interrupted[] = {VECTOR_AC, VECTOR_DB};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(interrupted); i++) {
        enter(FAKE_LONG_4, HANDLER);
        assert_int_equal(exceptions_until_crash(VECTOR_AC, 0x1000, 0, interrupted[i]), EXCEPTION_LOOP_MAX + 1);
    }
    /* An unaligned access in a loop, each time served. */
    enter(FAKE_LONG_4, HANDLER);
    assert_int_equal(exceptions_until_crash(VECTOR_AC, HANDLER, 0, 0), MANY);
}

/* Whatever comes in between is progress. */
static void rows_are_broken_by_progress(void **state)
{
    (void)state;
    enter(FAKE_PROTECTED_32, HANDLER);
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned n = 0; n < EXCEPTION_LOOP_MAX - 1; n++)
            exception(VECTOR_DB, HANDLER, 0, 0);
        exception(VECTOR_DB, HANDLER + 4, 0, 0);
    }
    for (unsigned i = 0; i < MANY; i++)
        exception(VECTOR_AC, 0x1000, 0, i % 100 == 0 ? 0 : VECTOR_AC);
    assert_int_equal(crashes, 0);
}

/* Where no descriptor can be read, none was. */
static void unreadable_tables(void **state)
{
    (void)state;
    enter(FAKE_LONG_4, HANDLER);
    backend->idtr.base = UINT64_C(0x7000000000);
    assert_int_equal(exceptions_until_crash(VECTOR_DB, HANDLER, 0, 0), MANY);
    backend->idtr.base = UINT64_C(0x8000000000000000); /* not canonical */
    assert_int_equal(exceptions_until_crash(VECTOR_DB, HANDLER, 0, 0), MANY);
    enter(FAKE_PROTECTED_32, HANDLER);
    backend->idtr.base = 0xfffffff8; /* no memory, and the address wraps */
    assert_int_equal(exceptions_until_crash(VECTOR_DB, HANDLER, 0, 0), MANY);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(debug_exceptions_at_their_own_handler),
        WITH_GUEST(exceptions_in_their_own_delivery),
        WITH_GUEST(rows_are_broken_by_progress),
        WITH_GUEST(unreadable_tables),
    };

    return cmocka_run_group_tests_name("exception_loop", tests, NULL, NULL);
}

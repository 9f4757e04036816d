/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events in the form of VMCS and VMCB, there and back.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hv/event_word.h"

static const struct {
    struct event event;
    uint32_t word;
} pairs[] = {
    {{EVENT_INTERRUPT, 0x20, 0, false, 0}, 0x80000020},
    {{EVENT_INTERRUPT, 0xff, 0, false, 0}, 0x800000ff},
    {{EVENT_NMI, VECTOR_NMI, 0, false, 0}, 0x80000202},
    {{EVENT_EXCEPTION, VECTOR_UD, 0, false, 0}, 0x80000306},
    {{EVENT_EXCEPTION, VECTOR_PF, 0, true, 0x17}, 0x80000b0e},
    {{EVENT_EXCEPTION, VECTOR_GP, 0, true, UINT32_MAX}, 0x80000b0d},
    {{EVENT_SOFTWARE_INTERRUPT, 0x80, 0, false, 0}, 0x80000480},
    {{EVENT_SOFTWARE_EXCEPTION, VECTOR_DB, 0, false, 0}, 0x80000501},
    {{EVENT_SOFTWARE_EXCEPTION, VECTOR_BP, 0, false, 0}, 0x80000603},
};

static void assert_event(const struct event *event, const struct event *expected)
{
    assert_int_equal(event->type, expected->type);
    assert_int_equal(event->vector, expected->vector);
    assert_int_equal(event->length, expected->length);
    assert_int_equal(event->has_error_code, expected->has_error_code);
    assert_int_equal(event->error_code, expected->error_code);
}

static void test_pairs(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct event event = event_word_decode(pairs[i].word, pairs[i].event.error_code);
        assert_int_equal(event_word_encode(&pairs[i].event), pairs[i].word);
        assert_event(&event, &pairs[i].event);
        assert_int_equal(event_word_vector(pairs[i].word), pairs[i].event.vector);
    }
}

/* AMD has no types of their own for INT3 and INTO: either way RIP is at the instruction still. */
static void test_software_exceptions_of_amd(void **state)
{
    (void)state;
    assert_int_equal(event_word_decode(0x80000303, 0).type, EVENT_SOFTWARE_EXCEPTION);
    assert_int_equal(event_word_decode(0x80000304, 0).type, EVENT_SOFTWARE_EXCEPTION);
    assert_int_equal(event_word_decode(0x80000301, 0).type, EVENT_EXCEPTION);
}

/* Bits without a meaning here change nothing, and an error code that the word does not speak of is none. */
static void test_what_does_not_count(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
        struct event event = event_word_decode(pairs[i].word | 0x7ffff000, pairs[i].event.error_code);
        assert_event(&event, &pairs[i].event);
    }
    assert_int_equal(event_word_decode(0x80000306, 0x1234).error_code, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_software_exceptions_of_amd),
        cmocka_unit_test(test_what_does_not_count),
    };

    return cmocka_run_group_tests_name("event_word", tests, NULL, NULL);
}

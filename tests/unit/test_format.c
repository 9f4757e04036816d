/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The formatter against the C library's, in everything that hv/format.h promises.
 */
#include <inttypes.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/format.h"

static int numbers_seen;

/* Both into buffers of every small size, and one that is large enough. */
#define SAME(...)                                                                                                      \
    do {                                                                                                               \
        for (size_t size = 0; size < 72; size++) {                                                                     \
            char ours[128], theirs[128];                                                                               \
            size_t room = size == 71 ? sizeof(ours) : size;                                                            \
            memset(ours, 0x7e, sizeof(ours));                                                                          \
            memset(theirs, 0x7e, sizeof(theirs));                                                                      \
            size_t length = format_text(ours, room, __VA_ARGS__);                                                      \
            assert_int_equal(length, snprintf(theirs, room, __VA_ARGS__));                                             \
            /* Behind the end neither may have written. */                                                             \
            assert_memory_equal(ours, theirs, sizeof(ours));                                                           \
        }                                                                                                              \
    } while (0)

/* The compiler would warn of what the tables hold. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-truncation"

static void numbers(void **state)
{
    static const int64_t values[] = {0,    1,     -1,    9,     10,      127,     128,        255,       256,
                                     -128, 32767, 65535, 65536, INT_MAX, INT_MIN, UINT32_MAX, INT64_MAX, INT64_MIN};
    static const char *const flags[] = {"", "-", "0", "-0", "00"};
    static const char *const widths[] = {"", "1", "5", "20", "40"};
    static const char conversions[] = "diuxX";
    static const char *const lengths[] = {"", "h", "hh", "l", "ll", "z"};

    (void)state;
    for (unsigned f = 0; f < ARRAY_SIZE(flags); f++) {
        for (unsigned w = 0; w < ARRAY_SIZE(widths); w++) {
            for (unsigned l = 0; l < ARRAY_SIZE(lengths); l++) {
                for (unsigned c = 0; c < 5; c++) {
                    char format[32];
                    snprintf(format, sizeof(format), "<%%%s%s%s%c>", flags[f], widths[w], lengths[l], conversions[c]);
                    for (unsigned v = 0; v < ARRAY_SIZE(values); v++) {
                        if (l < 3)
                            SAME(format, (int)values[v]);
                        else
                            SAME(format, (long)values[v]);
                    }
                }
            }
        }
    }
}

static void texts(void **state)
{
    static const char *const values[] = {"", "a", "hello", "a longer text with %d in it"};
    static const char *const formats[] = {"%s", "[%10s]", "[%-10s]", "%.3s", "[%-8.2s]", "[%8.0s]", "%.99s"};

    (void)state;
    for (unsigned f = 0; f < ARRAY_SIZE(formats); f++) {
        for (unsigned v = 0; v < ARRAY_SIZE(values); v++)
            SAME(formats[f], values[v]);
        for (int width = -12; width <= 12; width += 4) {
            for (int precision = -1; precision < 8; precision += 2)
                SAME("[%*.*s]", width, precision, values[f % ARRAY_SIZE(values)]);
            SAME("[%*d]", width, 42);
        }
    }
    /* A precision keeps the reader from a text that has no end. */
    const char endless[3] = {'x', 'y', 'z'};
    SAME("%.3s|%.1s", endless, endless);
}

static void the_rest(void **state)
{
    (void)state;
    SAME("plain");
    SAME("%s", "");
    SAME("100%% of %c%c", 'a', 'b');
    SAME("[%3c] [%-3c]", 'x', 'y');
    SAME("%p", (void *)(uintptr_t)0xdeadbeef);
    SAME("[%20p] [%-20p]", (void *)&numbers_seen, (void *)(uintptr_t)1);
    SAME("%u %d %lx %s %c %zu", 1u, -2, 0x123456789abcul, "five", '6', (size_t)7);
    SAME("%02x %08lx %4u|%-4u|", 0xau, 0xbeefUL, 12u, 13u);
}

static void odd_formats_do_no_harm(void **state)
{
    char text[16];
    const char *volatile cut = "%";

    (void)state;
    assert_int_equal(format_text(text, sizeof(text), cut), 0);
    assert_string_equal(text, "");
    cut = "ab%-5l";
    assert_int_equal(format_text(text, sizeof(text), cut), 2);
    assert_string_equal(text, "ab");
    cut = NULL;
    assert_int_equal(format_text(text, sizeof(text), "%s", cut), 6);
    assert_string_equal(text, "(null)");
    /* Wider than the buffer: counted, not written. */
    assert_int_equal(format_text(text, sizeof(text), "%100d", 5), 100);
    assert_int_equal(strlen(text), 15);
}
#pragma GCC diagnostic pop

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(texts),
        cmocka_unit_test(the_rest),
        cmocka_unit_test(odd_formats_do_no_harm),
    };

    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}

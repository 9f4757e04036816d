/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The lines that are kept of the log: the last ones, whole and with their times, however many there were.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/log_history.h"

static char text[LOG_HISTORY_LINE_MAX + 1];
static uint64_t ticks;

/* A time whose bytes are zeros, ones and between, that is the line's alone. */
static uint64_t time_of(unsigned number)
{
    return number % 2 == 0 ? (uint64_t)number << number % 50 : UINT64_MAX - number;
}

static void add(unsigned number)
{
    char line[64];

    sprintf(line, "%u%*s", number, (int)(number % 40), "");
    log_history_add(time_of(number), line);
}

/* The numbers of the last `lines` lines: from one to the other, each once. */
static void assert_last(uint32_t lines, unsigned first, unsigned last)
{
    uint64_t position = log_history_last(lines);
    unsigned number;

    for (unsigned i = first; i <= last; i++) {
        assert_true(log_history_next(&position, &ticks, text));
        assert_int_equal(sscanf(text, "%u", &number), 1);
        assert_int_equal(number, i);
        assert_int_equal(ticks, time_of(i));
    }
    assert_false(log_history_next(&position, &ticks, text));
}

/* The history lives as long as the program: one test after the other. */
static void lines_come_back(void **state)
{
    uint64_t position;

    (void)state;
    position = log_history_last(5);
    assert_false(log_history_next(&position, &ticks, text));
    for (unsigned i = 0; i < 10; i++)
        add(i);
    assert_last(3, 7, 9);
    assert_last(10, 0, 9);
    assert_last(UINT32_MAX, 0, 9);
    assert_last(0, 10, 9);
    assert_true(log_history_next(&position, &ticks, text)); /* what came since */
    assert_string_equal(text, "0");
}

static void the_oldest_are_lost(void **state)
{
    uint64_t old = log_history_last(10);
    unsigned oldest;

    (void)state;
    for (unsigned i = 10; i < 5000; i++)
        add(i);
    assert_last(100, 4900, 4999);
    uint64_t position = log_history_last(UINT32_MAX);
    assert_true(log_history_next(&position, &ticks, text));
    assert_int_equal(sscanf(text, "%u", &oldest), 1);
    assert_in_range(oldest, 3000, 4500);
    assert_last(UINT32_MAX, oldest, 4999);
    /* A reader who was overtaken goes on with the oldest that is there. */
    assert_true(log_history_next(&old, &ticks, text));
    assert_int_equal(old, position);
}

static void long_lines_are_cut(void **state)
{
    char line[3 * LOG_HISTORY_LINE_MAX];

    (void)state;
    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    for (unsigned i = 0; i < 100; i++)
        log_history_add(0, line);
    log_history_add(0, "");
    uint64_t position = log_history_last(2);
    assert_true(log_history_next(&position, &ticks, text));
    assert_int_equal(strlen(text), LOG_HISTORY_LINE_MAX);
    assert_true(log_history_next(&position, &ticks, text));
    assert_string_equal(text, "");
    assert_false(log_history_next(&position, &ticks, text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_come_back),
        cmocka_unit_test(the_oldest_are_lost),
        cmocka_unit_test(long_lines_are_cut),
    };

    return cmocka_run_group_tests_name("log_history", tests, NULL, NULL);
}

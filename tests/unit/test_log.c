/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines: how they look, which stay together, and which of a guest's are left out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/console.h"
#include "hv/log.h"
#include "hv/log_history.h"
#include "tests/unit/fake.h"

#define SECOND UINT64_C(1000000000)

static char written[1 << 16]; /* each text in brackets */
static unsigned texts;
static struct guest guests[2];

void console_write(const char *text, size_t size)
{
    texts++;
    sprintf(written + strlen(written), "[%.*s]", (int)size, text);
}

static int setup(void **state)
{
    (void)state;
    memset(&fake_machine, 0, sizeof(fake_machine));
    memset(guests, 0, sizeof(guests));
    guests[0].name = "one";
    guests[1].name = "two";
    written[0] = '\0';
    texts = 0;
    return 0;
}

static void a_line_is_one_text(void **state)
{
    (void)state;
    log_error("guest \"%s\" %u", "a\nbulkhead: b", 5);
    log_debug("not shown");
    assert_string_equal(written, "[bulkhead: guest \"a?bulkhead: b\" 5\n]");
}

/* What is kept of the log: not answers, nor what the level leaves out, and each line with its time. */
static void lines_are_kept(void **state)
{
    char text[LOG_HISTORY_LINE_MAX + 1];
    uint64_t position = 0, ticks;

    (void)state;
    fake_machine.ticks = 7 * SECOND;
    log_debug("not shown"); /* the clock of the log starts with it all the same */
    fake_machine.ticks += 5;
    log_info("one");
    log_set_level(LOG_ERROR);
    log_answer("%s", "an answer\n");
    log_info("not shown");
    fake_machine.ticks -= 6; /* on another CPU */
    log_error("two");
    log_set_level(LOG_INFO);
    assert_string_equal(written, "[bulkhead: one\n][bulkhead: an answer?\n][bulkhead: two\n]");
    assert_true(log_history_next(&position, &ticks, text));
    assert_string_equal(text, "one");
    assert_int_equal(ticks, 5);
    assert_true(log_history_next(&position, &ticks, text));
    assert_string_equal(text, "two");
    assert_int_equal(ticks, 0);
    assert_false(log_history_next(&position, &ticks, text));
}

static void lines_stay_together(void **state)
{
    char room[LOG_ROOM_MIN];

    (void)state;
    log_together(room, sizeof(room));
    log_info("a");
    fake_machine.cpu = 1; /* whose lines are its own */
    log_info("b");
    fake_machine.cpu = 0;
    log_info("c");
    assert_string_equal(written, "[bulkhead: b\n]");
    log_together_end();
    assert_string_equal(written, "[bulkhead: b\n][bulkhead: a\nbulkhead: c\n]");
    log_info("d");
    assert_int_equal(texts, 3);
    log_together_end(); /* without a beginning: as a panic does it */
    assert_int_equal(texts, 3);
}

/* Nothing is lost when the room is too small. */
static void a_full_room_is_written(void **state)
{
    char room[LOG_ROOM_MIN];
    unsigned lines = 0;

    (void)state;
    log_together(room, sizeof(room));
    for (unsigned i = 0; i < 50; i++)
        log_info("%0*u", (int)(i * 20), 7);
    log_together_end();
    assert_true(texts > 2);
    assert_true(texts < 50);
    for (const char *at = written; (at = strstr(at, "bulkhead: ")) != NULL; at++)
        lines++;
    assert_int_equal(lines, 50);
}

static unsigned log_many(struct guest *guest, unsigned count)
{
    unsigned before = texts;

    for (unsigned i = 0; i < count; i++)
        guest_log(guest, "line %u", i);
    return texts - before;
}

static void a_storm_is_slowed(void **state)
{
    (void)state;
    assert_int_equal(log_many(&guests[0], 1000), LOG_LIMIT_BURST);
    assert_null(strstr(written, "left out"));
    fake_machine.ticks += LOG_LIMIT_LINE_NS - 1;
    assert_int_equal(log_many(&guests[0], 1000), 0);
    fake_machine.ticks += 1;
    written[0] = '\0';
    assert_int_equal(log_many(&guests[0], 3), 2); /* one that says what is missing before the one that passes */
    assert_string_equal(written, "[bulkhead: guest \"one\": 1984 more lines about it are left out\n]"
                                 "[bulkhead: guest \"one\": line 0\n]");
    /* Others are not concerned. */
    assert_int_equal(log_many(&guests[1], LOG_LIMIT_BURST), LOG_LIMIT_BURST);
    /* Silence for a while, and all is as at first; not more. */
    fake_machine.ticks += 1000 * SECOND;
    assert_int_equal(log_many(&guests[0], 1000), LOG_LIMIT_BURST + 1);
}

/* When the guest has fallen silent, the number is told all the same. */
static void what_is_left_out_is_told(void **state)
{
    (void)state;
    guest_log_settle(&guests[0]);
    log_many(&guests[0], LOG_LIMIT_BURST);
    guest_log_settle(&guests[0]);
    assert_int_equal(texts, LOG_LIMIT_BURST);
    log_many(&guests[0], 5);
    guest_log_settle(&guests[0]); /* this line has to wait as well */
    assert_int_equal(texts, LOG_LIMIT_BURST);
    fake_machine.ticks += LOG_LIMIT_LINE_NS;
    written[0] = '\0';
    guest_log_settle(&guests[0]);
    guest_log_settle(&guests[0]);
    assert_string_equal(written, "[bulkhead: guest \"one\": 5 more lines about it are left out\n]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_are_kept, setup), /* first: it sees the log's first line */
        cmocka_unit_test_setup(a_line_is_one_text, setup),       cmocka_unit_test_setup(lines_stay_together, setup),
        cmocka_unit_test_setup(a_full_room_is_written, setup),   cmocka_unit_test_setup(a_storm_is_slowed, setup),
        cmocka_unit_test_setup(what_is_left_out_is_told, setup),
    };

    return cmocka_run_group_tests_name("log", tests, NULL, NULL);
}

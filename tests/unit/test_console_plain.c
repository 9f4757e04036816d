/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is left of a guest's bytes on a screen that it shares: whole texts in, whole texts out.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/console_plain.h"

static struct console_plain plain;
static char shown[4096];
static size_t shown_size;

static void feed(const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t characters[CONSOLE_PLAIN_STEP_MAX];
        size_t count = console_plain_step(&plain, (uint8_t)bytes[i], characters);
        assert_true(count <= CONSOLE_PLAIN_STEP_MAX && shown_size + count < sizeof(shown));
        memcpy(shown + shown_size, characters, count);
        shown_size += count;
    }
    shown[shown_size] = '\0';
}

/* The text of a literal, zeros included, from the start of a line. */
#define expect(bytes, text) expect_text(bytes, sizeof(bytes) - 1, text)
static void expect_text(const char *bytes, size_t size, const char *text)
{
    plain = (struct console_plain){0};
    shown_size = 0;
    feed(bytes, size);
    assert_string_equal(shown, text);
}

static void text_stays(void **state)
{
    (void)state;
    expect("", "");
    expect("[    0.000000] Linux ~ {x}\r\n# ", "[    0.000000] Linux ~ {x}\n# ");
    expect("\n\n", "\n\n");
    expect("a\r\r\nb\n", "a\nb\n");
    expect("\0a\a\v\f\x7f\x1c\035\x1e\x1f", "a");
}

static void tabs_are_spaces(void **state)
{
    (void)state;
    expect("\tx\ty", "        x       y");
    expect("1234567\tx", "1234567 x");
    expect("12345678\tx", "12345678        x");
}

static void return_begins_a_line(void **state)
{
    (void)state;
    expect("10%\r20%\r\n", "10%\n20%\n");
    expect("\rx", "x");
    expect("10%\r\033[K20%", "10%\n20%");
    expect("ab\r\tc", "ab\n        c");
}

static void backspace_stays_in_the_line(void **state)
{
    (void)state;
    expect("\b\b\bab\b \b", "ab\b \b");
    expect("a\b\b\bb", "a\bb");
    expect("ab\r\b\bc", "ab\nc");
    expect("ab\n\bc", "ab\nc");
}

static void sequences_are_gone(void **state)
{
    (void)state;
    expect("a\033[2Jb\033[1;31mc\033[?25ld\033[!pe\033[ qf", "abcdef");
    expect("a\0337b\0338c\033cd\033(Be\033#8f\033=g", "abcdefg");
    expect("a\033]0;title\ab\033]8;;http://x\033\\c\033Pq#0\033\\d\033_x\033\\e\033^y\033\\f\033Xz\033\\g", "abcdefg");
    expect("a\033[31\x18mb\033]0;x\x1a"
           "c",
           "ambc");
    expect("a\033\033[2Jb\033[1\033[2Jc\033]0;\033[2Jd", "abcd");
    expect("a\033[3\x7f"
           "1mb",
           "ab");
    expect("\033[31mbulkhead: panic", "bulkhead: panic");
}

/* What a terminal carries out inside a sequence, and what cuts one off. */
static void controls_inside_sequences(void **state)
{
    (void)state;
    expect("a\033[3\n1mb", "a\n1mb");
    expect("a\033[3\t1mb", "a       b");
    expect("a\033]0;never closed\nb", "a\nb");
    expect("a\033[3\xc3\xa9"
           "b",
           "a?b");
}

static void beyond_ascii(void **state)
{
    (void)state;
    expect("caf\xc3\xa9 \xe2\x97\x8f \xf0\x9f\x98\x80", "caf? ? ?");
    expect("\x9b"
           "2J\xc2\x9b"
           "2J\x80\xbf\xff\xfe",
           "2J?2J??");
}

static void long_lines_are_broken(void **state)
{
    char bytes[2 * CONSOLE_PLAIN_COLUMNS + 10], whole[CONSOLE_PLAIN_COLUMNS + 1] = "";

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    memset(whole, 'x', CONSOLE_PLAIN_COLUMNS);
    expect_text(bytes, CONSOLE_PLAIN_COLUMNS, whole);
    feed("\n", 1);
    assert_int_equal(shown_size, CONSOLE_PLAIN_COLUMNS + 1);
    feed(bytes, sizeof(bytes));
    assert_int_equal(shown[2 * CONSOLE_PLAIN_COLUMNS + 1], '\n');
    assert_int_equal(shown[3 * CONSOLE_PLAIN_COLUMNS + 2], '\n');
    assert_string_equal(shown + 3 * CONSOLE_PLAIN_COLUMNS + 3, "xxxxxxxxxx");
    memset(&plain, 0, sizeof(plain));
    shown_size = 0;
    feed(bytes, CONSOLE_PLAIN_COLUMNS - 3);
    feed("\t", 1);
    assert_string_equal(shown + CONSOLE_PLAIN_COLUMNS - 4, "x   ");
    feed("\t", 1);
    assert_string_equal(shown + CONSOLE_PLAIN_COLUMNS, "\n        ");
}

/* What came before it comes again, and is edited as if it had never been away. */
static void line_of_another_comes_between(void **state)
{
    (void)state;
    expect("# lx\b", "# lx\b");
    console_plain_break(&plain);
    console_plain_break(&plain);
    feed("\033[J\a", 4); /* shows nothing, and so begins nothing */
    assert_string_equal(shown, "# lx\b");
    feed("s", 1);
    assert_string_equal(shown, "# lx\b# ls");
    console_plain_break(&plain);
    feed("\b\b\b\b\tc", 6);
    assert_string_equal(shown, "# lx\b# ls# ls\b\b\b\b        c");
    console_plain_break(&plain);
    feed("\r\n", 2); /* its line has been ended already */
    assert_string_equal(shown, "# lx\b# ls# ls\b\b\b\b        c");
    feed("\r\n", 2);
    assert_string_equal(shown, "# lx\b# ls# ls\b\b\b\b        c\n");
    console_plain_break(&plain); /* at the start of a line nothing is ended */
    feed("\n", 1);
    assert_string_equal(shown, "# lx\b# ls# ls\b\b\b\b        c\n\n");
    /* A line that the guest begins anew from its first column is not shown again. */
    expect("10%\r", "10%");
    console_plain_break(&plain);
    feed("\b20%", 4);
    assert_string_equal(shown, "10%20%");
    console_plain_break(&plain);
    feed("!", 1);
    assert_string_equal(shown, "10%20%20%!");
}

/* Of a long line the end comes again. */
static void end_of_a_long_line(void **state)
{
    char bytes[CONSOLE_PLAIN_COLUMNS], end[CONSOLE_PLAIN_AGAIN_MAX + 2] = "";
    uint8_t unfinished[CONSOLE_PLAIN_AGAIN_MAX];

    (void)state;
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)('a' + i % 26);
    memcpy(end, bytes + sizeof(bytes) - CONSOLE_PLAIN_AGAIN_MAX, CONSOLE_PLAIN_AGAIN_MAX);
    expect_text(bytes, 0, "");
    feed(bytes, sizeof(bytes));
    assert_int_equal(console_plain_unfinished(&plain, unfinished), CONSOLE_PLAIN_AGAIN_MAX);
    assert_memory_equal(unfinished, end, CONSOLE_PLAIN_AGAIN_MAX);
    console_plain_break(&plain);
    feed("!", 1);
    end[CONSOLE_PLAIN_AGAIN_MAX] = '!';
    assert_string_equal(shown + sizeof(bytes), end);
    /* Its place is that of its characters: the line is broken where the screen's is, and then nothing is left of it. */
    feed(bytes, CONSOLE_PLAIN_COLUMNS - CONSOLE_PLAIN_AGAIN_MAX);
    assert_int_equal(shown[shown_size - 2], '\n');
    assert_int_equal(shown[shown_size - 1], bytes[CONSOLE_PLAIN_COLUMNS - CONSOLE_PLAIN_AGAIN_MAX - 1]);
    assert_int_equal(console_plain_unfinished(&plain, unfinished), 1);
    /* More is taken back than was remembered. */
    expect_text(bytes, 0, "");
    feed(bytes, 90);
    for (unsigned i = 0; i < 85; i++)
        feed("\b", 1);
    assert_int_equal(console_plain_unfinished(&plain, unfinished), 0);
    console_plain_break(&plain);
    shown_size = 0;
    feed("\bx", 2);
    assert_string_equal(shown, "x");
}

static void sequence_is_followed(void **state)
{
    const char *open[] = {"\033", "\033[", "\033[3", "\033]0;x", "\033(", "\033]0;\033", "x\033P"};
    const char *closed[] = {"", "x", "\033[m", "\033]0;x\a", "\033(B", "\033]0;\033\\", "\033[3\x18", "\033\x80"};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(open); i++) {
        plain = (struct console_plain){0};
        for (const char *byte = open[i]; *byte != '\0'; byte++)
            (void)console_sequence_step(&plain.sequence, (uint8_t)*byte);
        assert_true(console_sequence_open(&plain.sequence));
    }
    for (size_t i = 0; i < ARRAY_SIZE(closed); i++) {
        plain = (struct console_plain){0};
        for (const char *byte = closed[i]; *byte != '\0'; byte++)
            (void)console_sequence_step(&plain.sequence, (uint8_t)*byte);
        assert_false(console_sequence_open(&plain.sequence));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_stays),
        cmocka_unit_test(tabs_are_spaces),
        cmocka_unit_test(return_begins_a_line),
        cmocka_unit_test(backspace_stays_in_the_line),
        cmocka_unit_test(sequences_are_gone),
        cmocka_unit_test(controls_inside_sequences),
        cmocka_unit_test(beyond_ascii),
        cmocka_unit_test(long_lines_are_broken),
        cmocka_unit_test(line_of_another_comes_between),
        cmocka_unit_test(end_of_a_long_line),
        cmocka_unit_test(sequence_is_followed),
    };

    return cmocka_run_group_tests_name("console_plain", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell's line editor, seen through a terminal: whatever is typed, the row shows the line and the cursor's place.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/shell_line.h"
#include "tests/unit/fake_terminal.h"

#define UP        "\033[A"
#define DOWN      "\033[B"
#define RIGHT     "\033[C"
#define LEFT      "\033[D"
#define HOME      "\033[H"
#define END       "\033[F"
#define DELETE    "\033[3~"
#define BACKSPACE "\177"

static struct shell_line line;
static struct fake_terminal terminal;
static char before_seen[SHELL_LINE_MAX + 1];

static void write_terminal(const char *text, size_t size)
{
    fake_terminal_write_part(&terminal, text, size);
}

static const char *word(const char *before, uint32_t number)
{
    static const char *const first[] = {"pause", "regs", "reset", "resume", NULL};
    static const char *const second[] = {"linux", NULL};

    strcpy(before_seen, before);
    return before[0] == '\0' ? first[number] : second[number];
}

/* The last byte's event. After each byte the row is right. */
static enum shell_line_event type(const char *bytes)
{
    enum shell_line_event event = SHELL_LINE_EDITED;

    for (; *bytes != '\0'; bytes++) {
        char row[FAKE_TERMINAL_COLUMNS + 1];
        event = shell_line_byte(&line, (uint8_t)*bytes);
        assert_int_equal(strlen(line.text), line.length);
        assert_true(line.cursor <= line.length && line.length <= SHELL_LINE_MAX);
        if (event != SHELL_LINE_EDITED)
            continue;
        snprintf(row, sizeof(row), "> %s", line.text);
        assert_string_equal(terminal.row, row);
        assert_int_equal(terminal.cursor, 2 + line.cursor);
    }
    return event;
}

static void enter(const char *text)
{
    assert_int_equal(type(text), SHELL_LINE_EDITED);
    assert_int_equal(type("\r"), SHELL_LINE_ENTERED);
    shell_line_begin(&line);
}

static int setup(void **state)
{
    (void)state;
    memset(&line, 0, sizeof(line));
    memset(&terminal, 0, sizeof(terminal));
    line.prompt = "> ";
    line.write = write_terminal;
    line.word = word;
    shell_line_begin(&line);
    return 0;
}

static void typed_text_is_entered(void **state)
{
    (void)state;
    assert_int_equal(type("guests"), SHELL_LINE_EDITED);
    assert_string_equal(line.text, "guests");
    assert_int_equal(type("\r"), SHELL_LINE_ENTERED);
    assert_string_equal(line.text, "guests");
    assert_int_equal(terminal.rows, 1);
    shell_line_begin(&line);
    assert_string_equal(line.text, "");
    /* The newline of a CR LF is not a second line; a newline alone is one. */
    assert_int_equal(type("\n"), SHELL_LINE_EDITED);
    assert_int_equal(type("\n"), SHELL_LINE_ENTERED);
    assert_int_equal(terminal.bells, 0);
}

static void editing_in_the_middle(void **state)
{
    (void)state;
    type("reset linux");
    type(LEFT LEFT LEFT LEFT LEFT "x" RIGHT "y");
    assert_string_equal(line.text, "reset xlyinux");
    type(BACKSPACE "\010\010");
    assert_string_equal(line.text, "reset inux");
    type("l" HOME "a" END "z" HOME DELETE);
    assert_string_equal(line.text, "reset linuxz");
    type("\005" BACKSPACE "\001\006\006\004"); /* Ctrl-E, Ctrl-A, Ctrl-F, Ctrl-D */
    assert_string_equal(line.text, "reet linux");
    type("\002\002"
         "\013"); /* Ctrl-B, Ctrl-K */
    assert_string_equal(line.text, "");
    assert_int_equal(terminal.bells, 0);
    type("one two  three\027"); /* Ctrl-W */
    assert_string_equal(line.text, "one two  ");
    type("\027");
    assert_string_equal(line.text, "one ");
    type(LEFT "\025"); /* Ctrl-U */
    assert_string_equal(line.text, " ");
    type("\033[1~\033[4~\033[7~\033[8~\033OD\033OH\033[1;5C"); /* other terminals' keys */
    assert_int_equal(line.cursor, 1);
    assert_int_equal(terminal.bells, 0);
}

static void ends_ring_the_bell(void **state)
{
    static const char *const nothing_to_do[] = {BACKSPACE,
                                                DELETE,
                                                "\013",
                                                "\025",
                                                "\027",
                                                UP,
                                                DOWN,
                                                "\020",
                                                "\016",
                                                "\033[5~",
                                                "\033[Z",
                                                "\200",
                                                "\002"
                                                "\016",
                                                "\007"};

    (void)state;
    for (unsigned i = 0; i < sizeof(nothing_to_do) / sizeof(nothing_to_do[0]); i++) {
        terminal.bells = 0;
        assert_int_equal(type(nothing_to_do[i]), SHELL_LINE_EDITED);
        assert_int_equal(terminal.bells, 1);
        assert_string_equal(line.text, "");
    }
    type(LEFT RIGHT);
    assert_int_equal(line.cursor, 0);
}

/* A line never wraps. */
static void long_line_ends_at_the_row(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SHELL_LINE_MAX; i++)
        type("w");
    assert_int_equal(terminal.bells, 0);
    type("x" LEFT "x\t");
    assert_int_equal(line.length, SHELL_LINE_MAX);
    assert_null(strchr(line.text, 'x'));
    assert_int_equal(terminal.bells, 3);
    type(HOME DELETE "y");
    assert_int_equal(line.text[0], 'y');
    assert_int_equal(type("\r"), SHELL_LINE_ENTERED);
}

static void cancel_end_and_redraw(void **state)
{
    (void)state;
    type("abc");
    assert_int_equal(type("\003"), SHELL_LINE_CANCELLED);
    shell_line_begin(&line);
    assert_int_equal(line.history_count, 0);
    type("ab\002\014"); /* Ctrl-L */
    assert_int_equal(terminal.clears, 1);
    assert_string_equal(terminal.row, "> ab");
    type("\004"); /* Ctrl-D in a line deletes */
    assert_string_equal(line.text, "a");
    type(BACKSPACE);
    assert_int_equal(type("\004"), SHELL_LINE_ENDED);
    /* Another's text came; the line is drawn again below. */
    type("xy" LEFT);
    write_terminal("\r\nsomething\r\n", 13);
    shell_line_draw(&line);
    type("z");
    assert_string_equal(terminal.row, "> xzy");
}

static void history(void **state)
{
    (void)state;
    enter("first");
    enter("second");
    enter("second");
    enter("");
    type("unfinished" UP);
    assert_string_equal(line.text, "second");
    type(UP);
    assert_string_equal(line.text, "first");
    type(UP);
    assert_string_equal(line.text, "first");
    assert_int_equal(terminal.bells, 1);
    type(DOWN "!" DOWN);
    assert_string_equal(line.text, "unfinished");
    type(DOWN "\020\020"); /* Ctrl-P */
    assert_string_equal(line.text, "first");
    type("\016"); /* Ctrl-N */
    assert_string_equal(line.text, "second");
    /* What is shown may be changed and entered: that is a new line. */
    enter("!");
    type(UP);
    assert_string_equal(line.text, "second!");
    type(UP);
    assert_string_equal(line.text, "second");
}

static void history_forgets_the_oldest(void **state)
{
    char text[8];

    (void)state;
    for (unsigned i = 0; i < 2 * SHELL_HISTORY_MAX; i++) {
        snprintf(text, sizeof(text), "%u", i);
        enter(text);
    }
    for (unsigned i = 0; i < SHELL_HISTORY_MAX; i++)
        type(UP);
    snprintf(text, sizeof(text), "%u", SHELL_HISTORY_MAX);
    assert_string_equal(line.text, text);
    assert_int_equal(terminal.bells, 0);
    type(UP);
    assert_int_equal(terminal.bells, 1);
    assert_string_equal(line.text, text);
}

static void completion(void **state)
{
    (void)state;
    type("p\t");
    assert_string_equal(line.text, "pause ");
    type("li\t");
    assert_string_equal(before_seen, "pause ");
    assert_string_equal(line.text, "pause linux ");
    type("\025r\t");
    assert_string_equal(line.text, "re");
    assert_int_equal(terminal.rows, 0);
    type("\t");
    assert_int_equal(terminal.rows, 2);
    assert_string_equal(terminal.last_rows, "> re\nregs  reset  resume  \n");
    type("s\t");
    assert_string_equal(line.text, "res");
    type("e\t");
    assert_string_equal(line.text, "reset ");
    assert_int_equal(terminal.bells, 0);
    type("x\t");
    assert_string_equal(line.text, "reset x");
    assert_int_equal(terminal.bells, 1);
    /* In front of a word: no second blank. */
    type("\025pa linux" HOME RIGHT RIGHT "\t");
    assert_string_equal(line.text, "pause linux");
    assert_int_equal(line.cursor, 5);
}

/* Nothing is left of a key that another took, also when it comes in pieces; a key behind it counts. */
static void rest_of_anothers_key(void **state)
{
    static const char *const keys[] = {UP, DELETE, "\033OD", "\033[1;5C", "\033[[A", "\033\033[A", "q", "\033"};

    (void)state;
    enter("older");
    for (unsigned i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        shell_line_pass(&line, (uint8_t)keys[i][0]);
        shell_line_begin(&line);
        terminal.bells = 0;
        type(keys[i] + 1);
        assert_string_equal(line.text, "");
        assert_int_equal(terminal.bells, 0);
        assert_int_equal(type("guests"), SHELL_LINE_EDITED);
        assert_string_equal(line.text, "guests");
    }
    /* Only the first key was another's; the newline of its CR LF is. */
    shell_line_pass(&line, '\r');
    shell_line_begin(&line);
    assert_int_equal(type("\n" UP), SHELL_LINE_EDITED);
    assert_string_equal(line.text, "older");
    shell_line_pass(&line, '\033');
    shell_line_begin(&line);
    assert_int_equal(type("[1\r"), SHELL_LINE_ENTERED);
}

/* Cut, broken and endless control sequences are taken for what they are. */
static void hostile_sequences(void **state)
{
    (void)state;
    type("a\033[999999999999999999999999999~");
    type("\033[\033[D\033\033[C\033xb\033[12\005c");
    assert_string_equal(line.text, "abc");
    type("\033[;;;;;?:<=>H");
    assert_int_equal(line.cursor, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(typed_text_is_entered, setup),
        cmocka_unit_test_setup(editing_in_the_middle, setup),
        cmocka_unit_test_setup(ends_ring_the_bell, setup),
        cmocka_unit_test_setup(long_line_ends_at_the_row, setup),
        cmocka_unit_test_setup(cancel_end_and_redraw, setup),
        cmocka_unit_test_setup(history, setup),
        cmocka_unit_test_setup(history_forgets_the_oldest, setup),
        cmocka_unit_test_setup(completion, setup),
        cmocka_unit_test_setup(rest_of_anothers_key, setup),
        cmocka_unit_test_setup(hostile_sequences, setup),
    };

    return cmocka_run_group_tests_name("shell_line", tests, NULL, NULL);
}

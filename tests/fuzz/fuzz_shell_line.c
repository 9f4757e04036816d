/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes typed at the shell's line editor, with lines of others in between (byte 0xff): the terminal always shows
 * the line, and the cursor where the next character goes.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/shell_line.h"
#include "tests/unit/fake_terminal.h"

#define REQUIRE(condition) fake_terminal_require(condition, #condition)

static struct fake_terminal terminal;

static void write_terminal(const char *text, size_t size)
{
    REQUIRE(size < 256); /* the longest piece that it writes */
    fake_terminal_write_part(&terminal, text, size);
}

static const char *word(const char *before, uint32_t number)
{
    static const char *const words[] = {"a", "ab", "abc", "a-very-long-name-of-a-guest-here", "reset", NULL};

    REQUIRE(before[0] == '\0' || before[strlen(before) - 1] == ' ');
    return words[number];
}

static void check(const struct shell_line *line)
{
    char row[FAKE_TERMINAL_COLUMNS + 1];

    REQUIRE(line->length <= SHELL_LINE_MAX && strlen(line->text) == line->length && line->cursor <= line->length);
    snprintf(row, sizeof(row), "bulkhead> %s", line->text);
    REQUIRE(strcmp(terminal.row, row) == 0 && terminal.cursor == 10 + line->cursor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shell_line line = {.prompt = "bulkhead> ", .write = write_terminal, .word = word};

    memset(&terminal, 0, sizeof(terminal));
    shell_line_begin(&line);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == 0xff) {
            write_terminal("\r\nanother's line\r\n", 18);
            shell_line_draw(&line);
        } else if (shell_line_byte(&line, data[i]) != SHELL_LINE_EDITED) {
            REQUIRE(strlen(line.text) == line.length);
            shell_line_begin(&line);
        }
        check(&line);
    }
    return 0;
}

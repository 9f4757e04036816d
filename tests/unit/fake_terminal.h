/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A terminal of one row that counts: what the row shows and where the cursor stands, from the few control sequences
 * that the shell's line editor uses. Anything else in the stream fails the test.
 */
#ifndef TESTS_UNIT_FAKE_TERMINAL_H
#define TESTS_UNIT_FAKE_TERMINAL_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_TERMINAL_COLUMNS 80u

struct fake_terminal {
    char row[FAKE_TERMINAL_COLUMNS + 1];
    unsigned cursor, rows, bells, clears;
    char last_rows[4096]; /* those that were left, each with a newline */
};

static inline void fake_terminal_require(int holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "terminal: %s\n", what);
        abort();
    }
}

static inline void fake_terminal_character(struct fake_terminal *terminal, char character)
{
    size_t length = strlen(terminal->row);

    fake_terminal_require(character >= 0x20 && character < 0x7f, "a control character is shown");
    fake_terminal_require(terminal->cursor < FAKE_TERMINAL_COLUMNS - 1, "the row is full");
    fake_terminal_require(terminal->cursor <= length, "the cursor is behind the text");
    if (terminal->cursor == length)
        terminal->row[length + 1] = '\0';
    terminal->row[terminal->cursor++] = character;
}

static inline void fake_terminal_newline(struct fake_terminal *terminal)
{
    size_t used = strlen(terminal->last_rows);

    if (used + sizeof(terminal->row) + 2 > sizeof(terminal->last_rows))
        used = 0;
    snprintf(terminal->last_rows + used, sizeof(terminal->last_rows) - used, "%s\n", terminal->row);
    terminal->row[0] = '\0';
    terminal->rows++;
    fake_terminal_require(terminal->cursor == 0, "a newline without its return");
}

/* Returns how many bytes of the text it took. */
static inline size_t fake_terminal_sequence(struct fake_terminal *terminal, const char *text)
{
    if (strncmp(text, "\033[K", 3) == 0) {
        terminal->row[terminal->cursor] = '\0';
        return 3;
    }
    fake_terminal_require(strncmp(text, "\033[H\033[2J", 7) == 0, "an unknown control sequence");
    terminal->row[0] = '\0';
    terminal->cursor = 0;
    terminal->clears++;
    return 7;
}

/* `text` ends in a zero; control sequences are whole. */
static inline void fake_terminal_write(struct fake_terminal *terminal, const char *text)
{
    while (*text != '\0') {
        switch (*text) {
        case '\033': text += fake_terminal_sequence(terminal, text); continue;
        case '\a': terminal->bells++; break;
        case '\r': terminal->cursor = 0; break;
        case '\n': fake_terminal_newline(terminal); break;
        case '\b':
            fake_terminal_require(terminal->cursor > 0, "the cursor leaves the row");
            terminal->cursor--;
            break;
        default: fake_terminal_character(terminal, *text);
        }
        text++;
    }
}

/* The same for a text without its zero, as the line editor writes it. */
static inline void fake_terminal_write_part(struct fake_terminal *terminal, const char *text, size_t size)
{
    char copy[4096];

    fake_terminal_require(size < sizeof(copy), "more than the line editor ever writes at once");
    memcpy(copy, text, size);
    copy[size] = '\0';
    fake_terminal_write(terminal, copy);
}

#endif

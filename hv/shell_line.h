/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line that is typed at a terminal: editing, history, completion. A state machine over bytes; what the terminal shall
 * show goes to a callback, so that it knows nothing of consoles or commands.
 */
#ifndef HV_SHELL_LINE_H
#define HV_SHELL_LINE_H

#include "hv/types.h"

#define SHELL_LINE_MAX    64u /* characters: with the prompt they fit into one row of 80, so no line ever wraps */
#define SHELL_HISTORY_MAX 16u /* lines */

/* What a byte meant. */
enum shell_line_event {
    SHELL_LINE_EDITED,
    SHELL_LINE_ENTERED,   /* `text` is the line; shell_line_begin starts the next one */
    SHELL_LINE_CANCELLED, /* Ctrl-C, the same */
    SHELL_LINE_ENDED,     /* Ctrl-D on an empty line */
};

enum shell_line_escape {
    SHELL_LINE_PLAIN,
    SHELL_LINE_ESCAPE,  /* behind ESC */
    SHELL_LINE_CONTROL, /* behind ESC [ or ESC O */
};

/* All zero but for the first three, which stay as they are, is a fresh one. */
struct shell_line {
    const char *prompt;
    void (*write)(const char *text, size_t size);
    /* A word that may stand behind the words `before`: the one of that number, NULL behind the last. */
    const char *(*word)(const char *before, uint32_t number);

    char text[SHELL_LINE_MAX + 1]; /* ended by a zero; printable ASCII */
    uint32_t length, cursor;
    char history[SHELL_HISTORY_MAX]
                [SHELL_LINE_MAX + 1];    /* line n of all that were entered is at n % SHELL_HISTORY_MAX */
    uint32_t history_count;              /* lines entered so far */
    uint32_t history_back;               /* which line is shown: 0 the new one, 1 the last one entered, ... */
    char unfinished[SHELL_LINE_MAX + 1]; /* the new line, while an older one is shown */
    uint32_t escape;                     /* enum shell_line_escape */
    uint32_t parameter;                  /* of a control sequence */
    uint32_t foreign;                    /* the same, of a key that was another's: see shell_line_pass */
    bool behind_return;                  /* a newline that follows belongs to it */
};

/* Start an empty line and show the prompt. */
void shell_line_begin(struct shell_line *line);

/* Show the prompt and the line again, in a row that is empty or the line's own. */
void shell_line_draw(const struct shell_line *line);

/*
 * A byte that another took for himself: what follows of the same key (an arrow is three bytes) is not the line's
 * either, whenever it comes. Before shell_line_begin.
 */
void shell_line_pass(struct shell_line *line, uint8_t byte);

/* A typed byte, whatever it is. */
enum shell_line_event shell_line_byte(struct shell_line *line, uint8_t byte);

#endif

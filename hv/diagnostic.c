/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One line for each mistake, in the order of the file. The text of a message may quote hostile bytes, so this is the
 * one place that makes them harmless for a terminal.
 */
#include "hv/diagnostic.h"

#include <stdarg.h>

#include "hv/format.h"
#include "hv/string.h"

static void line_make_printable(char *line)
{
    for (; *line; line++) {
        if (*line < 0x20 || *line > 0x7e)
            *line = '?';
    }
}

static void PRINTF_LIKE(4, 0)
    line_format(char *line, const char *file, struct config_position position, const char *format, va_list arguments)
{
    size_t used = format_text(line, DIAGNOSTIC_LINE_SIZE, "%s:%u:%u: ", file, position.line, position.column);

    if (used < DIAGNOSTIC_LINE_SIZE)
        used += format_text_v(line + used, DIAGNOSTIC_LINE_SIZE - used, format, arguments);
    if (used >= DIAGNOSTIC_LINE_SIZE)
        memcpy(line + DIAGNOSTIC_LINE_SIZE - sizeof("..."), "...", sizeof("..."));
    line_make_printable(line);
}

static bool position_is_before(struct config_position a, struct config_position b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

static void message_drop(struct diagnostics *diagnostics, struct config_position position)
{
    if (diagnostics->dropped_count == 0 || position_is_before(position, diagnostics->first_dropped))
        diagnostics->first_dropped = position;
    diagnostics->dropped_count++;
}

/* A free place for a message at `position`, or NULL: with no room left, the last ones of the file go first. */
static struct diagnostic_line *held_insert(struct diagnostics *diagnostics, struct config_position position)
{
    unsigned at = diagnostics->held_count;

    while (at > 0 && position_is_before(position, diagnostics->held[at - 1].position))
        at--;
    if (at == DIAGNOSTICS_HELD_MAX) {
        message_drop(diagnostics, position);
        return NULL;
    }
    if (diagnostics->held_count == DIAGNOSTICS_HELD_MAX) {
        diagnostics->held_count--;
        message_drop(diagnostics, diagnostics->held[diagnostics->held_count].position);
    }
    struct diagnostic_line *line = &diagnostics->held[at];
    memmove(line + 1, line, (diagnostics->held_count - at) * sizeof(*line));
    diagnostics->held_count++;
    line->position = position;
    return line;
}

void diagnostic_at(struct diagnostics *diagnostics, const char *file, struct config_position position,
                   const char *format, ...)
{
    va_list arguments;

    diagnostics->errors++;
    va_start(arguments, format);
    if (diagnostics->holding) {
        struct diagnostic_line *line = held_insert(diagnostics, position);
        if (line)
            line_format(line->text, file, position, format, arguments);
    } else {
        char text[DIAGNOSTIC_LINE_SIZE];
        line_format(text, file, position, format, arguments);
        diagnostics->report(diagnostics, text);
    }
    va_end(arguments);
}

struct diagnostic_excerpt diagnostic_excerpt(const char *text, size_t length)
{
    struct diagnostic_excerpt excerpt = {{0}};
    size_t room = sizeof(excerpt.text) - sizeof("...");

    if (length <= room) {
        memcpy(excerpt.text, text, length);
    } else {
        memcpy(excerpt.text, text, room);
        memcpy(excerpt.text + room, "...", sizeof("..."));
    }
    return excerpt;
}

void sentence_add(struct sentence *sentence, const char *format, ...)
{
    va_list arguments;

    if (sentence->length >= sizeof(sentence->text))
        return;
    va_start(arguments, format);
    sentence->length +=
        format_text_v(sentence->text + sentence->length, sizeof(sentence->text) - sentence->length, format, arguments);
    va_end(arguments);
}

void diagnostics_hold(struct diagnostics *diagnostics)
{
    diagnostics->holding = true;
    diagnostics->held_count = 0;
    diagnostics->dropped_count = 0;
}

void diagnostics_release(struct diagnostics *diagnostics, const char *file)
{
    diagnostics->holding = false;
    for (unsigned i = 0; i < diagnostics->held_count; i++)
        diagnostics->report(diagnostics, diagnostics->held[i].text);
    diagnostics->held_count = 0;
    if (diagnostics->dropped_count == 0)
        return;

    unsigned errors = diagnostics->errors;
    diagnostic_at(diagnostics, file, diagnostics->first_dropped, "... %u more mistake%s left out",
                  diagnostics->dropped_count, diagnostics->dropped_count == 1 ? " is" : "s are");
    diagnostics->errors = errors; /* that line is no error of its own */
    diagnostics->dropped_count = 0;
}

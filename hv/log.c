/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One message, one line: the prefix, the text with control characters taken out (names come from files), a newline.
 */
#include "hv/log.h"

#include "hv/console.h"
#include "hv/format.h"
#include "hv/string.h"

#define LINE_TEXT_MAX 1000u

static const char prefix[] = "bulkhead: ";
static enum log_level highest = LOG_INFO;

void log_set_level(enum log_level level)
{
    highest = level;
}

void log_line(enum log_level level, const char *format, ...)
{
    char line[sizeof(prefix) + LINE_TEXT_MAX + 1];
    char *text = line + sizeof(prefix) - 1;
    va_list arguments;

    if (level > highest)
        return;
    memcpy(line, prefix, sizeof(prefix) - 1);
    va_start(arguments, format);
    size_t length = format_text_v(text, LINE_TEXT_MAX + 1, format, arguments);
    va_end(arguments);
    length = length < LINE_TEXT_MAX ? length : LINE_TEXT_MAX;
    for (size_t i = 0; i < length; i++) {
        if ((uint8_t)text[i] < ' ' || text[i] == 0x7f)
            text[i] = '?';
    }
    text[length] = '\n';
    console_write(line, sizeof(prefix) - 1 + length + 1);
}

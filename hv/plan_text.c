/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sizes and lines, for what the planner and the inventory say.
 */
#include <stdarg.h>

#include "hv/format.h"
#include "hv/plan_internal.h"

struct plan_text plan_size_text(uint64_t bytes)
{
    struct plan_text size = {""};

    if (bytes != 0 && IS_ALIGNED(bytes, GIB(1)))
        format_text(size.text, sizeof(size.text), "%llu GiB", (unsigned long long)(bytes >> 30));
    else if (bytes != 0 && IS_ALIGNED(bytes, MIB(1)))
        format_text(size.text, sizeof(size.text), "%llu MiB", (unsigned long long)(bytes >> 20));
    else
        format_text(size.text, sizeof(size.text), "%llu KiB", (unsigned long long)(bytes >> 10));
    return size;
}

struct plan_text plan_room_text(uint64_t bytes)
{
    return plan_size_text(bytes < MIB(1) ? bytes : ALIGN_DOWN(bytes, MIB(1)));
}

void write_line(const struct line_writer *writer, const char *format, ...)
{
    char text[200];
    va_list arguments;

    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    for (char *c = text; *c != '\0'; c++) {
        if (*c < 0x20 || *c > 0x7e)
            *c = '?';
    }
    writer->line(writer->context, text);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Lines about a guest that it can cause as often as it likes: a few at once, then slowly, so that they neither fill the
 * log nor push out what is said of others.
 */
#include <stdarg.h>

#include "hv/format.h"
#include "hv/guest.h"
#include "hv/log.h"

static void say_left_out(const struct guest *guest, uint32_t count)
{
    log_info("guest \"%s\": %u more lines about it are left out", guest->name, count);
}

void guest_log(struct guest *guest, const char *format, ...)
{
    char text[256];
    uint32_t left_out;
    va_list arguments;

    if (!log_limit_pass(&guest->log_limit, &left_out))
        return;
    if (left_out > 0)
        say_left_out(guest, left_out);
    va_start(arguments, format);
    format_text_v(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_info("guest \"%s\": %s", guest->name, text);
}

void guest_log_settle(struct guest *guest)
{
    uint32_t left_out;

    if (log_limit_tell(&guest->log_limit, &left_out))
        say_left_out(guest, left_out);
}

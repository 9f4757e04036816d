/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The log as one text. To be included by the one file of a test that has no fake machine.
 */
#ifndef TESTS_UNIT_RECORDED_LOG_H
#define TESTS_UNIT_RECORDED_LOG_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "hv/log.h"

static char output[1 << 13];

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(output);

    (void)level;
    va_start(arguments, format);
    vsnprintf(output + used, sizeof(output) - used, format, arguments);
    va_end(arguments);
    strcat(output, "\n");
}

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The hypervisor's own messages: plain sentences, one a line, behind the word "bulkhead: ".
 */
#ifndef HV_LOG_H
#define HV_LOG_H

#include "hv/types.h"

enum log_level {
    LOG_ERROR,
    LOG_INFO,
    LOG_DEBUG,
};

/* Lines above this level are not written (default LOG_INFO). */
void log_set_level(enum log_level level);

/* Write one line; the newline is added. Lines over 1000 characters are cut. Never waits for a guest. */
void log_line(enum log_level level, const char *format, ...) PRINTF_LIKE(2, 3);

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif

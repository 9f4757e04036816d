/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * printf for a freestanding program: %d %i %u %x %X %c %s %p %% with the flags 0 - and space-free width,
 * precision for %s, and the lengths h hh l ll z. No floating point.
 */
#ifndef HV_FORMAT_H
#define HV_FORMAT_H

#include <stdarg.h>

#include "hv/types.h"

/*
 * Write at most `size` - 1 characters and a zero (nothing when `size` is 0).
 * Returns the length that the whole text has, as the standard's snprintf does.
 */
size_t format_text(char *buffer, size_t size, const char *format, ...) PRINTF_LIKE(3, 4);
size_t format_text_v(char *buffer, size_t size, const char *format, va_list arguments) PRINTF_LIKE(3, 0);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few string functions that a freestanding program needs. The first four carry the standard's names
 * because the compiler calls them by itself; the unit tests take them from the C library.
 */
#ifndef HV_STRING_H
#define HV_STRING_H

#include "hv/types.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size);
void *memmove(void *to, const void *from, size_t size);
void *memset(void *to, int byte, size_t size);
int memcmp(const void *a, const void *b, size_t size);

size_t strlen(const char *text);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t size);

/*
 * Copy a text into a buffer of `size` bytes (>= 1), always ended by a zero.
 * Returns true when all of it fitted.
 */
bool string_copy(char *to, size_t size, const char *from);

#endif

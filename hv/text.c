/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * String helpers of our own, shared by the hypervisor and the native builds.
 */
#include "hv/string.h"

bool string_copy(char *to, size_t size, const char *from)
{
    size_t i = 0;

    for (; i + 1 < size && from[i] != '\0'; i++)
        to[i] = from[i];
    to[i] = '\0';
    return from[i] == '\0';
}

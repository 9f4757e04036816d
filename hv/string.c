/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The string functions of a freestanding program. Built for the hypervisor only: the unit tests use the C library's.
 */
#include "hv/string.h"

void *memcpy(void *restrict to, const void *restrict from, size_t size)
{
    return memmove(to, from, size);
}

/* Word by word where both sides agree on alignment; byte by byte at the ends. Start-up copies megabytes of guest images
 * with it. */
void *memmove(void *to, const void *from, size_t size)
{
    uint8_t *out = to;
    const uint8_t *in = from;

    if ((uintptr_t)out - (uintptr_t)in >= size) { /* forwards is safe */
        if ((((uintptr_t)out ^ (uintptr_t)in) & 7) == 0) {
            for (; size > 0 && ((uintptr_t)out & 7) != 0; size--)
                *out++ = *in++;
            for (; size >= 8; size -= 8, out += 8, in += 8)
                *(uint64_t *)(void *)out = *(const uint64_t *)(const void *)in;
        }
        while (size-- > 0)
            *out++ = *in++;
    } else {
        while (size-- > 0)
            out[size] = in[size];
    }
    return to;
}

void *memset(void *to, int byte, size_t size)
{
    uint8_t *out = to;
    uint64_t word = UINT64_C(0x0101010101010101) * (uint8_t)byte;

    for (; size > 0 && ((uintptr_t)out & 7) != 0; size--)
        *out++ = (uint8_t)byte;
    for (; size >= 8; size -= 8, out += 8)
        *(uint64_t *)(void *)out = word;
    while (size-- > 0)
        *out++ = (uint8_t)byte;
    return to;
}

int memcmp(const void *a, const void *b, size_t size)
{
    const uint8_t *left = a, *right = b;

    for (size_t i = 0; i < size; i++) {
        if (left[i] != right[i])
            return left[i] < right[i] ? -1 : 1;
    }
    return 0;
}

size_t strlen(const char *text)
{
    size_t length = 0;

    while (text[length] != '\0')
        length++;
    return length;
}

int strcmp(const char *a, const char *b)
{
    return strncmp(a, b, SIZE_MAX);
}

int strncmp(const char *a, const char *b, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i])
            return (uint8_t)a[i] < (uint8_t)b[i] ? -1 : 1;
        if (a[i] == '\0')
            return 0;
    }
    return 0;
}

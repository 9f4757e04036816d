/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The edit distance that counts a missing, an extra, a wrong and two swapped letters as one each (optimal string
 * alignment), capitals being the same as small letters. A longer word may differ in two places, a short one in one.
 */
#include "hv/similar.h"

#include "hv/string.h"

static char small_letter(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static uint32_t min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

/* Three rows of the classic table: the one being filled and the two before it. Both lengths are at most
 * SIMILAR_LENGTH_MAX. */
static uint32_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    uint32_t rows[3][SIMILAR_LENGTH_MAX + 1];
    uint32_t *older = rows[0], *old = rows[1], *row = rows[2];

    for (uint32_t j = 0; j <= b_length; j++)
        row[j] = j;
    for (uint32_t i = 1; i <= a_length; i++) {
        uint32_t *spare = older;
        older = old;
        old = row;
        row = spare;
        row[0] = i;
        char a_now = small_letter(a[i - 1]);
        for (uint32_t j = 1; j <= b_length; j++) {
            char b_now = small_letter(b[j - 1]);
            row[j] = min_u32(min_u32(old[j], row[j - 1]) + 1, old[j - 1] + (a_now != b_now));
            if (i > 1 && j > 1 && a_now == small_letter(b[j - 2]) && small_letter(a[i - 2]) == b_now)
                row[j] = min_u32(row[j], older[j - 2] + 1);
        }
    }
    return row[b_length];
}

void similar_begin(struct similar *similar, const char *word, size_t length)
{
    similar->word = word;
    similar->length = length;
    similar->best = NULL;
    similar->distance = length > 4 ? 3 : length > 1 ? 2 : 0; /* a candidate must be below */
}

void similar_offer(struct similar *similar, const char *name)
{
    size_t length = strlen(name);
    uint32_t distance;

    if (similar->length > SIMILAR_LENGTH_MAX || length > SIMILAR_LENGTH_MAX)
        return;
    distance = edit_distance(similar->word, similar->length, name, length);
    if (similar->length >= 3 && similar->length < length && memcmp(similar->word, name, similar->length) == 0)
        distance = min_u32(distance, 1); /* an abbreviation */
    if (distance < similar->distance) {
        similar->distance = distance;
        similar->best = name;
    }
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A sorted array: every operation is one pass over at most EXTENTS_MAX pieces.
 */
#include "hv/extents.h"

#include "hv/error.h"
#include "hv/string.h"

/* Replace `count` pieces from `first` on by one; with `count` 0 the caller has seen to the room. */
static void replace(struct extents *set, uint32_t first, uint32_t count, struct extent piece)
{
    struct extent *at = &set->items[first];

    memmove(at + 1, at + count, (set->count - first - count) * sizeof(*at));
    *at = piece;
    set->count = set->count + 1 - count;
}

int extents_add(struct extents *set, uint64_t base, uint64_t end)
{
    uint32_t first = 0, behind;

    if (base >= end)
        return 0;
    while (first < set->count && set->items[first].end < base)
        first++;
    for (behind = first; behind < set->count && set->items[behind].base <= end; behind++) {
        base = min_u64(base, set->items[behind].base);
        end = max_u64(end, set->items[behind].end);
    }
    if (behind == first && set->count == EXTENTS_MAX)
        return E_NOMEM;
    replace(set, first, behind - first, (struct extent){base, end});
    return 0;
}

int extents_remove(struct extents *set, uint64_t base, uint64_t end)
{
    uint32_t kept = 0;

    if (base >= end)
        return 0;
    for (uint32_t i = 0; i < set->count; i++) {
        struct extent piece = set->items[i];
        if (piece.base < base && end < piece.end) {
            bool is_full = set->count == EXTENTS_MAX;
            if (!is_full)
                replace(set, i + 1, 0, (struct extent){end, piece.end});
            set->items[i].end = base;
            return is_full ? E_NOMEM : 0; /* no other piece can be touched */
        }
        if (piece.base < end && base < piece.end) {
            if (piece.base < base)
                piece.end = base;
            else
                piece.base = min_u64(end, piece.end);
        }
        if (piece.base < piece.end)
            set->items[kept++] = piece;
    }
    set->count = kept;
    return 0;
}

void extents_align(struct extents *set, uint64_t alignment)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < set->count; i++) {
        struct extent piece = set->items[i];
        piece.end = ALIGN_DOWN(piece.end, alignment);
        if (piece.base >= piece.end || piece.end - piece.base < alignment)
            continue;
        piece.base = ALIGN_UP(piece.base, alignment);
        if (piece.base < piece.end)
            set->items[kept++] = piece;
    }
    set->count = kept;
}

uint64_t extents_total(const struct extents *set)
{
    uint64_t total = 0;

    for (uint32_t i = 0; i < set->count; i++)
        total += set->items[i].end - set->items[i].base;
    return total;
}

uint64_t extents_largest(const struct extents *set)
{
    uint64_t largest = 0;

    for (uint32_t i = 0; i < set->count; i++)
        largest = max_u64(largest, set->items[i].end - set->items[i].base);
    return largest;
}

const struct extent *extents_find(const struct extents *set, uint64_t base, uint64_t end)
{
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->items[i].base <= base && end <= set->items[i].end)
            return &set->items[i];
    }
    return NULL;
}

int extents_fit(const struct extents *set, uint64_t size, uint64_t alignment, uint64_t *base)
{
    uint64_t best = UINT64_MAX;
    int result = E_NOENT;

    for (uint32_t i = 0; i < set->count; i++) {
        const struct extent *piece = &set->items[i];
        uint64_t room = piece->end - piece->base;
        uint64_t skipped = (0 - piece->base) & (alignment - 1);
        if (skipped > room || size > room - skipped || room >= best)
            continue;
        best = room;
        *base = piece->base + skipped;
        result = 0;
    }
    return result;
}

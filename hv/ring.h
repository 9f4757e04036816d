/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A byte ring between one producer CPU and one consumer CPU; no lock. Positions run freely and are
 * reduced when used, so full and empty differ without a spare slot.
 */
#ifndef HV_RING_H
#define HV_RING_H

#include "hv/types.h"

#define RING_SIZE 4096u /* a power of two */

struct ring {
    uint32_t head; /* written by the producer */
    uint32_t tail; /* written by the consumer */
    uint8_t bytes[RING_SIZE];
};

/* Bytes that can be taken now. Exact for the consumer, a lower bound for others. */
static inline uint32_t ring_used(const struct ring *ring)
{
    return __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);
}

static inline uint32_t ring_free(const struct ring *ring)
{
    return RING_SIZE - ring_used(ring);
}

/* Producer: add one byte. Returns false, and changes nothing, when the ring is full. */
static inline bool ring_put(struct ring *ring, uint8_t byte)
{
    if (ring_free(ring) == 0)
        return false;
    uint32_t head = ring->head;
    ring->bytes[head % RING_SIZE] = byte;
    __atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
    return true;
}

/* Consumer: take one byte. Returns false when the ring is empty. */
static inline bool ring_take(struct ring *ring, uint8_t *byte)
{
    if (ring_used(ring) == 0)
        return false;
    uint32_t tail = ring->tail;
    *byte = ring->bytes[tail % RING_SIZE];
    __atomic_store_n(&ring->tail, tail + 1, __ATOMIC_RELEASE);
    return true;
}

#endif

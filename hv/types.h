/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The words every file speaks: address types, sizes, bits. The three kinds of address are numbers of
 * one size but never mixed; only named functions (machine_pointer, gmem_*, gwalk_*) convert between them.
 */
#ifndef HV_TYPES_H
#define HV_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t hpa_t; /* host-physical address */
typedef uint64_t gpa_t; /* guest-physical address */
typedef uint64_t gva_t; /* guest-virtual (linear) address */

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

#define PAGE_SIZE  4096u
#define PAGE_SHIFT 12u
#define PAGE_MASK  (PAGE_SIZE - 1u)

#define BIT(n) (UINT64_C(1) << (n))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Rounding to a power of two. */
#define ALIGN_DOWN(value, alignment) ((value) & ~((uint64_t)(alignment)-1))
#define ALIGN_UP(value, alignment)   (((value) + (uint64_t)(alignment)-1) & ~((uint64_t)(alignment)-1))
#define IS_ALIGNED(value, alignment) (((value) & ((uint64_t)(alignment)-1)) == 0)

#define PRINTF_LIKE(format_index, first_argument) __attribute__((format(printf, format_index, first_argument)))
#define PACKED                                    __attribute__((packed))
#define ALIGNED(n)                                __attribute__((aligned(n)))

/*
 * Limits of one hypervisor image. They size fixed arrays, so nothing is allocated while guests run.
 */
#define CPUS_MAX       64u /* physical CPUs that are started */
#define GUESTS_MAX     8u  /* guests that one configuration may name */
#define GUEST_CPUS_MAX 16u /* vCPUs of one guest */
#define MODULES_MAX    32u /* boot modules */

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif

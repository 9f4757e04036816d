/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything rests on entry_find: the entry, at whatever level, that decides about an address. It is a leaf or it is
 * empty.
 */
#include "hv/pagetable.h"

#include "hv/error.h"
#include "hv/machine.h"
#include "hv/pages.h"

#define LEVEL_ROOT       3u
#define ENTRIES          512u
#define ADDRESS_BITS     48u
#define ENTRY_ADDRESS    UINT64_C(0x000ffffffffff000) /* the same field in all three formats */
#define PHYSICAL_ADDRESS BIT(52)

static uint64_t level_size(unsigned level)
{
    return UINT64_C(1) << (PAGE_SHIFT + 9 * level);
}

static uint64_t *entry_of(hpa_t node, uint64_t address, unsigned level)
{
    uint64_t *entries = machine_pointer(node);

    return &entries[(address >> (PAGE_SHIFT + 9 * level)) % ENTRIES];
}

static bool is_present(const struct pagetable *table, uint64_t entry)
{
    return (entry & table->format->present_mask) != 0;
}

static bool is_leaf(const struct pagetable *table, uint64_t entry, unsigned level)
{
    return level == 0 || (level < LEVEL_ROOT && (entry & table->format->large_bit) != 0);
}

/* A processor may be walking the table: an entry changes in one store. */
static void entry_set(uint64_t *entry, uint64_t value)
{
    __atomic_store_n(entry, value, __ATOMIC_RELEASE);
}

static uint64_t leaf_encode(const struct pagetable *table, hpa_t hpa, unsigned level, unsigned access,
                            enum memory_type type)
{
    return hpa | (level > 0 ? table->format->large_bit : 0) | table->format->encode(access, type);
}

/* The address field of a large leaf has an attribute (PAT) in its lowest bits. */
static hpa_t leaf_hpa(uint64_t entry, unsigned level)
{
    return ALIGN_DOWN(entry & ENTRY_ADDRESS, level_size(level));
}

static uint64_t *entry_find(const struct pagetable *table, uint64_t address, unsigned *level)
{
    uint64_t *entry = entry_of(table->root, address, *level = LEVEL_ROOT);

    while (is_present(table, *entry) && !is_leaf(table, *entry, *level))
        entry = entry_of(*entry & ENTRY_ADDRESS, address, --*level);
    return entry;
}

static bool address_valid(const struct pt_format *format, uint64_t address)
{
    uint64_t above = address >> (ADDRESS_BITS - 1);

    return format->canonical ? above == 0 || above == UINT64_MAX >> (ADDRESS_BITS - 1) : above >> 1 == 0;
}

static int range_check(const struct pt_format *format, uint64_t address, uint64_t size)
{
    if (!IS_ALIGNED(address | size, PAGE_SIZE))
        return E_INVAL;
    if (size == 0)
        return 0;
    if (size > BIT(ADDRESS_BITS) || address + (size - 1) < address)
        return E_RANGE;
    uint64_t last = address + (size - 1);
    bool same_half = !format->canonical || (address ^ last) >> 63 == 0;
    return address_valid(format, address) && address_valid(format, last) && same_half ? 0 : E_RANGE;
}

/* How far the entry reaches from `address` on, within `size`. */
static uint64_t entry_reach(uint64_t address, unsigned level, uint64_t size)
{
    return min_u64(size, level_size(level) - (address & (level_size(level) - 1)));
}

/* True when every page of the range is mapped (or, with `mapped` false, when none is). */
static bool range_is(const struct pagetable *table, uint64_t address, uint64_t size, bool mapped)
{
    while (size > 0) {
        unsigned level;
        if (is_present(table, *entry_find(table, address, &level)) != mapped)
            return false;
        uint64_t reach = entry_reach(address, level, size);
        address += reach;
        size -= reach;
    }
    return true;
}

int pagetable_create(struct pagetable *table, const struct pt_format *format, uint64_t largest)
{
    hpa_t root = pages_allocate_hidden(1);

    if (root == 0)
        return E_NOMEM;
    *table = (struct pagetable){.format = format, .root = root, .largest = largest};
    return 0;
}

static int map_one(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t *size, unsigned access,
                   enum memory_type type)
{
    unsigned level;
    uint64_t *entry = entry_find(table, address, &level);

    while (level > 0 && (level_size(level) > table->largest || level_size(level) > *size ||
                         !IS_ALIGNED(address | hpa, level_size(level)))) {
        hpa_t node = pages_allocate_hidden(1);
        if (node == 0)
            return E_NOMEM;
        entry_set(entry, node | table->format->table_bits);
        entry = entry_of(node, address, --level);
    }
    entry_set(entry, leaf_encode(table, hpa, level, access, type));
    *size = level_size(level);
    return 0;
}

int pagetable_map(struct pagetable *table, uint64_t address, hpa_t hpa, uint64_t size, unsigned access,
                  enum memory_type type)
{
    int error = range_check(table->format, address, size);

    if (error != 0)
        return error;
    if (!IS_ALIGNED(hpa, PAGE_SIZE) || (access & ACCESS_READ) == 0 || (access & ~ACCESS_ALL) != 0)
        return E_INVAL;
    if (hpa >= PHYSICAL_ADDRESS || size > PHYSICAL_ADDRESS - hpa)
        return E_RANGE;
    if (!range_is(table, address, size, false))
        return E_BUSY;
    while (size > 0) {
        uint64_t done = size;
        error = map_one(table, address, hpa, &done, access, type);
        if (error != 0)
            return error;
        address += done;
        hpa += done;
        size -= done;
    }
    return 0;
}

/* Replace a large leaf by a table of the next smaller ones that says the same. */
static int leaf_split(const struct pagetable *table, uint64_t *entry, unsigned level)
{
    hpa_t node = pages_allocate_hidden(1);

    if (node == 0)
        return E_NOMEM;
    uint64_t *smaller = machine_pointer(node);
    unsigned access = table->format->decode_access(*entry);
    enum memory_type type = table->format->decode_type(*entry);
    hpa_t hpa = leaf_hpa(*entry, level);
    for (unsigned i = 0; i < ENTRIES; i++)
        smaller[i] = leaf_encode(table, hpa + i * level_size(level - 1), level - 1, access, type);
    entry_set(entry, node | table->format->table_bits);
    return 0;
}

/* Set the access of every leaf in the range, 0 for none at all; holes stay holes. */
static int range_change(struct pagetable *table, uint64_t address, uint64_t size, unsigned access)
{
    while (size > 0) {
        unsigned level;
        uint64_t *entry = entry_find(table, address, &level);
        uint64_t reach = entry_reach(address, level, size);
        if (is_present(table, *entry)) {
            if (reach < level_size(level)) {
                int error = leaf_split(table, entry, level);
                if (error != 0)
                    return error;
                continue;
            }
            enum memory_type type = table->format->decode_type(*entry);
            entry_set(entry, access == 0 ? 0 : leaf_encode(table, leaf_hpa(*entry, level), level, access, type));
        }
        address += reach;
        size -= reach;
    }
    return 0;
}

int pagetable_unmap(struct pagetable *table, uint64_t address, uint64_t size)
{
    int error = range_check(table->format, address, size);

    return error != 0 ? error : range_change(table, address, size, 0);
}

int pagetable_protect(struct pagetable *table, uint64_t address, uint64_t size, unsigned access)
{
    int error = range_check(table->format, address, size);

    if (error != 0)
        return error;
    if ((access & ACCESS_READ) == 0 || (access & ~ACCESS_ALL) != 0)
        return E_INVAL;
    return range_is(table, address, size, true) ? range_change(table, address, size, access) : E_NOENT;
}

static void leaf_describe(const struct pagetable *table, uint64_t address, uint64_t entry, unsigned level,
                          struct pagetable_mapping *mapping)
{
    *mapping = (struct pagetable_mapping){
        .address = ALIGN_DOWN(address, level_size(level)),
        .hpa = leaf_hpa(entry, level),
        .size = level_size(level),
        .access = table->format->decode_access(entry),
        .type = table->format->decode_type(entry),
    };
}

int pagetable_lookup(const struct pagetable *table, uint64_t address, struct pagetable_mapping *mapping)
{
    unsigned level;

    if (!address_valid(table->format, address))
        return E_RANGE;
    uint64_t entry = *entry_find(table, address, &level);
    if (!is_present(table, entry))
        return E_NOENT;
    leaf_describe(table, address, entry, level, mapping);
    return 0;
}

int pagetable_walk(const struct pagetable *table, int (*visit)(void *context, const struct pagetable_mapping *mapping),
                   void *context)
{
    uint64_t address = 0, half = BIT(ADDRESS_BITS - 1);

    while (address < BIT(ADDRESS_BITS)) {
        unsigned level;
        struct pagetable_mapping mapping;
        bool upper = table->format->canonical && address >= half;
        uint64_t entry = *entry_find(table, address, &level);
        if (is_present(table, entry)) {
            leaf_describe(table, upper ? address | ~(BIT(ADDRESS_BITS) - 1) : address, entry, level, &mapping);
            int result = visit(context, &mapping);
            if (result != 0)
                return result;
        }
        address += level_size(level);
    }
    return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A look for processors in the firmware tables, as an operating system does it: by signature and sum.
 */
#include "guests/lib/tables.h"

#include "hv/string.h"

#define SCAN_BASE UINT64_C(0xe0000)
#define SCAN_END  UINT64_C(0x100000)
#define SCAN_STEP 16u

#define RSDP_SUMMED 20u
#define RSDP_RSDT   16u
#define SDT_LENGTH  4u
#define SDT_HEADER  36u
#define MADT_FIRST  44u
#define MADT_LAPIC  0u
#define MADT_ID     3u
#define MADT_FLAGS  4u

#define MP_POINTER_SIZE 16u
#define MP_POINTER_TO   4u
#define MP_LENGTH       4u
#define MP_COUNT        34u
#define MP_FIRST        44u
#define MP_PROCESSOR    0u
#define MP_LONG_ENTRY   20u /* a processor's; all others have 8 bytes */
#define MP_SHORT_ENTRY  8u
#define MP_ID           1u
#define MP_FLAGS        3u

#define ENABLED 1u /* of both tables */

static uint32_t word_at(const uint8_t *bytes, size_t size)
{
    uint32_t word = 0;

    memcpy(&word, bytes, size);
    return word;
}

static const uint8_t *pointer_at(const uint8_t *bytes)
{
    return (const uint8_t *)(uintptr_t)word_at(bytes, 4);
}

static bool sum_is_right(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + bytes[i]);
    return sum == 0;
}

static const uint8_t *scan(const char *signature, size_t summed)
{
    for (uint64_t at = SCAN_BASE; at < SCAN_END; at += SCAN_STEP) {
        const uint8_t *bytes = (const uint8_t *)(uintptr_t)at;
        if (memcmp(bytes, signature, strlen(signature)) == 0 && sum_is_right(bytes, summed))
            return bytes;
    }
    return NULL;
}

static const uint8_t *find_madt(void)
{
    const uint8_t *rsdp = scan("RSD PTR ", RSDP_SUMMED);

    if (rsdp == NULL)
        return NULL;
    const uint8_t *rsdt = pointer_at(rsdp + RSDP_RSDT);
    uint32_t length = word_at(rsdt + SDT_LENGTH, 4);
    if (!sum_is_right(rsdt, length))
        return NULL;
    for (uint32_t at = SDT_HEADER; at < length; at += 4) {
        const uint8_t *table = pointer_at(rsdt + at);
        if (memcmp(table, "APIC", 4) == 0 && sum_is_right(table, word_at(table + SDT_LENGTH, 4)))
            return table;
    }
    return NULL;
}

uint32_t tables_madt(uint32_t *ids, uint32_t size)
{
    const uint8_t *madt = find_madt();
    uint32_t count = 0;

    if (madt == NULL)
        return 0;
    for (uint32_t at = MADT_FIRST; at < word_at(madt + SDT_LENGTH, 4) && madt[at + 1] != 0; at += madt[at + 1]) {
        if (madt[at] != MADT_LAPIC || (word_at(madt + at + MADT_FLAGS, 4) & ENABLED) == 0)
            continue;
        if (count < size)
            ids[count] = madt[at + MADT_ID];
        count++;
    }
    return count;
}

uint32_t tables_mp(uint32_t *ids, uint32_t size)
{
    const uint8_t *pointer = scan("_MP_", MP_POINTER_SIZE);
    const uint8_t *table = pointer != NULL ? pointer_at(pointer + MP_POINTER_TO) : NULL;
    uint32_t count = 0;

    if (table == NULL || memcmp(table, "PCMP", 4) != 0 || !sum_is_right(table, word_at(table + MP_LENGTH, 2)))
        return 0;
    const uint8_t *entry = table + MP_FIRST;
    for (uint32_t i = word_at(table + MP_COUNT, 2); i > 0; i--) {
        if (entry[0] == MP_PROCESSOR && (entry[MP_FLAGS] & ENABLED) != 0) {
            if (count < size)
                ids[count] = entry[MP_ID];
            count++;
        }
        entry += entry[0] == MP_PROCESSOR ? MP_LONG_ENTRY : MP_SHORT_ENTRY;
    }
    return count;
}

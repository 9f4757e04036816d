/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the loaders share: the guest's memory map, free places in it, and the state that 32-bit protocols start in.
 */
#include "hv/loader.h"

#include "hv/error.h"
#include "hv/format.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/loader_internal.h"
#include "hv/string.h"
#include "hv/vcpu.h"

int loader_fail(struct loader_error *error, int code, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    format_text_v(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
    return code;
}

struct loader_text loader_size_text(uint64_t bytes)
{
    struct loader_text size = {""};

    if (bytes >= MIB(1))
        format_text(size.text, sizeof(size.text), "%llu MiB",
                    (unsigned long long)((bytes >> 20) + ((bytes & (MIB(1) - 1)) != 0)));
    else if (bytes >= KIB(1))
        format_text(size.text, sizeof(size.text), "%llu KiB", (unsigned long long)(ALIGN_UP(bytes, KIB(1)) >> 10));
    else
        format_text(size.text, sizeof(size.text), "%llu byte%s", (unsigned long long)bytes, bytes == 1 ? "" : "s");
    return size;
}

struct loader_text loader_address_text(gpa_t address)
{
    struct loader_text where = {""};

    if (address != 0 && IS_ALIGNED(address, MIB(1)) && address < GIB(4))
        format_text(where.text, sizeof(where.text), "%llu MiB", (unsigned long long)(address >> 20));
    else
        format_text(where.text, sizeof(where.text), "0x%llx", (unsigned long long)address);
    return where;
}

static uint32_t map_add(struct loader_map_entry map[LOADER_MAP_MAX], uint32_t count, gpa_t base, gpa_t end,
                        uint32_t type)
{
    if (base < end && count < LOADER_MAP_MAX)
        map[count++] = (struct loader_map_entry){base, end - base, type};
    return count;
}

uint32_t loader_memory_map(const struct guest *guest, struct loader_map_entry map[LOADER_MAP_MAX])
{
    uint32_t count = 0;

    /* RAM between 640 KiB and 1 MiB is the VGA model's or holds the firmware's tables: no map offers it. */
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        gpa_t end = guest->ram[i].base + guest->ram[i].size;
        count = map_add(map, count, guest->ram[i].base, min_u64(end, GUEST_VGA_HOLE_BASE), BOOT_MEMORY_RAM);
    }
    if (gmem_is_ram(guest, GUEST_BIOS_BASE, GUEST_HIGH_MEMORY - GUEST_BIOS_BASE))
        count = map_add(map, count, GUEST_BIOS_BASE, GUEST_HIGH_MEMORY, BOOT_MEMORY_RESERVED);
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        gpa_t end = guest->ram[i].base + guest->ram[i].size;
        count = map_add(map, count, max_u64(guest->ram[i].base, GUEST_HIGH_MEMORY), end, BOOT_MEMORY_RAM);
    }
    return count;
}

bool loader_is_free_ram(const struct guest *guest, gpa_t base, uint64_t size)
{
    struct loader_map_entry map[LOADER_MAP_MAX];
    uint32_t count = loader_memory_map(guest, map);

    for (uint32_t i = 0; i < count; i++) {
        if (map[i].type == BOOT_MEMORY_RAM && map[i].base < GIB(4) && base >= map[i].base &&
            loader_range_within(map[i].size, base - map[i].base, size))
            return true;
    }
    return false;
}

gpa_t loader_low_ram_end(const struct guest *guest)
{
    struct loader_map_entry map[LOADER_MAP_MAX];
    uint32_t count = loader_memory_map(guest, map);

    for (uint32_t i = 0; i < count; i++) {
        if (map[i].type == BOOT_MEMORY_RAM && map[i].base == GUEST_HIGH_MEMORY)
            return map[i].base + map[i].size;
    }
    return GUEST_HIGH_MEMORY;
}

/* The selectors that the Linux boot protocol asks for; Multiboot leaves them open. */
#define CODE_SELECTOR 0x10u
#define DATA_SELECTOR 0x18u

/* Flat 4 GiB segments, present, accessed, 32-bit. Intel SDM vol. 3, "Segment Descriptors". */
static const uint64_t flat_gdt[] = {0, 0, UINT64_C(0x00cf9b000000ffff), UINT64_C(0x00cf93000000ffff)};
_Static_assert(sizeof(flat_gdt) == LOADER_GDT_SIZE, "GDT");
#define CODE_ATTRIBUTES 0xc09bu
#define DATA_ATTRIBUTES 0xc093u

#define CR0_PE       0x1u
#define CR0_ET       0x10u
#define RFLAGS_FIXED 0x2u

int loader_write_gdt(struct guest *guest, gpa_t gdt)
{
    return gmem_write(guest, gdt, flat_gdt, sizeof(flat_gdt));
}

void loader_state_protected(struct vcpu_state *state, gpa_t gdt, gpa_t entry)
{
    const struct segment_register data = {0, UINT32_MAX, DATA_ATTRIBUTES, DATA_SELECTOR};

    vcpu_state_reset(state);
    memset(state->gpr, 0, sizeof(state->gpr));
    state->rip = entry;
    state->rflags = RFLAGS_FIXED;
    state->cr0 = CR0_PE | CR0_ET; /* caches on, as firmware leaves them */
    state->segments[SEGMENT_CS] = (struct segment_register){0, UINT32_MAX, CODE_ATTRIBUTES, CODE_SELECTOR};
    state->segments[SEGMENT_DS] = data;
    state->segments[SEGMENT_ES] = data;
    state->segments[SEGMENT_FS] = data;
    state->segments[SEGMENT_GS] = data;
    state->segments[SEGMENT_SS] = data;
    state->gdtr = (struct table_register){gdt, LOADER_GDT_SIZE - 1};
}

int loader_layout_take(struct loader_layout *layout, gpa_t base, uint64_t size)
{
    if (layout->count == LOADER_EXTENTS_MAX)
        return E_NOMEM;
    layout->taken[layout->count].base = base;
    layout->taken[layout->count].size = size;
    layout->count++;
    return 0;
}

gpa_t loader_layout_end(const struct loader_layout *layout, gpa_t floor)
{
    gpa_t end = floor;

    for (uint32_t i = 0; i < layout->count; i++)
        end = max_u64(end, layout->taken[i].base + layout->taken[i].size);
    return end;
}

/* The end of something that [at, at + size) touches, or 0. */
static gpa_t layout_obstacle(const struct loader_layout *layout, gpa_t at, uint64_t size)
{
    for (uint32_t i = 0; i < layout->count; i++) {
        gpa_t end = layout->taken[i].base + layout->taken[i].size;
        if (at < end && layout->taken[i].base < at + size)
            return end;
    }
    return 0;
}

gpa_t loader_layout_find(const struct loader_layout *layout, gpa_t from, gpa_t to, uint64_t size, uint64_t alignment)
{
    gpa_t at = ALIGN_UP(from, alignment);

    /* Each turn moves behind one more of the taken parts. */
    while (at <= to && size <= to - at) {
        gpa_t end = layout_obstacle(layout, at, size);
        if (end == 0)
            return at;
        at = ALIGN_UP(end, alignment);
    }
    return LOADER_NOWHERE;
}

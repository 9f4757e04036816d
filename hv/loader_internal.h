/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the loaders' own files only: words for errors, where RAM is free, and the state that 32-bit protocols start
 * in.
 */
#ifndef HV_LOADER_INTERNAL_H
#define HV_LOADER_INTERNAL_H

#include "hv/loader.h"
#include "hv/types.h"

/* Fill `error` with the clause. Returns `code`. */
int loader_fail(struct loader_error *error, int code, const char *format, ...) PRINTF_LIKE(3, 4);

/* A size or an address as a person writes it: "52 MiB" (rounded up from 1 MiB on), "700 bytes"; "16 MiB", "0x9fc00". */
struct loader_text {
    char text[24];
};
struct loader_text loader_size_text(uint64_t bytes);
struct loader_text loader_address_text(gpa_t address);

/* True when [offset, offset + size) lies within a file of `file_size` bytes. */
static inline bool loader_range_within(uint64_t file_size, uint64_t offset, uint64_t size)
{
    return offset <= file_size && size <= file_size - offset;
}

/* True when the range lies in one RAM entry of the memory map, below 4 GiB: not in the VGA hole, not in the firmware's
 * tables. */
bool loader_is_free_ram(const struct guest *guest, gpa_t base, uint64_t size);

/* The end of the RAM that begins at 1 MiB; 1 MiB when there is none. */
gpa_t loader_low_ram_end(const struct guest *guest);

/*
 * Leave what real-mode code finds of a BIOS: the data area, interrupt vectors that answer "not supported", the reset
 * entry at F000:FFF0. Called before the image is placed, which may cover it. Returns 0, or E_FAULT without RAM at 0.
 */
int loader_write_bios_data(struct guest *guest);

/* A GDT with flat 32-bit segments, for loader_state_protected. Returns 0 or E_FAULT. */
#define LOADER_GDT_SIZE 32u
int loader_write_gdt(struct guest *guest, gpa_t gdt);

/* 32-bit protected mode, flat segments, no paging, interrupts off; general registers 0. The GDT is at `gdt`. */
void loader_state_protected(struct vcpu_state *state, gpa_t gdt, gpa_t entry);

/* Which parts of guest memory are taken while an image is laid out. */
#define LOADER_EXTENTS_MAX 64u
struct loader_layout {
    struct {
        gpa_t base;
        uint64_t size;
    } taken[LOADER_EXTENTS_MAX];
    uint32_t count;
};

/* Note a part as taken. Returns 0 or E_NOMEM. */
int loader_layout_take(struct loader_layout *layout, gpa_t base, uint64_t size);

/* The end of what is taken at `floor` or above; `floor` when nothing is. */
gpa_t loader_layout_end(const struct loader_layout *layout, gpa_t floor);

/* The lowest address from `from` on, a multiple of `alignment` (a power of two), whose `size` bytes end at `to` or
 * before and touch nothing taken. Returns LOADER_NOWHERE when there is none. */
#define LOADER_NOWHERE UINT64_MAX
gpa_t loader_layout_find(const struct loader_layout *layout, gpa_t from, gpa_t to, uint64_t size, uint64_t alignment);

#endif

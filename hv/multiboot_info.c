/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot information of a Multiboot kernel: one block of conventional memory holds a page of stack, a GDT, the
 * information, the memory map, the module list and all strings. Multiboot Specification, section 3.3 "Boot information
 * format".
 */
#include "hv/multiboot_info.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/string.h"

/* Below lie the vectors, the BIOS data area and the pages where kernels like to put the start-up code of other
 * processors. */
#define BLOCK_FLOOR 0x10000u
/* The specification leaves ESP undefined; kernels that push before they set it shall not write over anything. */
#define BLOCK_STACK_SIZE PAGE_SIZE

#define TEXT_COLUMNS            80u
#define TEXT_ROWS               25u
#define TEXT_BITS_PER_CHARACTER 16u

static const char boot_loader_name[] = "Bulkhead";

static const char *command_line(const struct multiboot_boot *boot)
{
    return boot->input->command_line != NULL ? boot->input->command_line : "";
}

static const char *module_string(const struct multiboot_boot *boot, uint32_t index)
{
    const char *text = boot->input->module_strings[index];

    return text != NULL ? text : boot->input->modules[index].name;
}

/* Where in the block the parts lie. All but the strings are multiples of 8 bytes. */
struct block {
    uint64_t gdt, info, map, modules, strings, size;
};

static struct block measure_block(const struct multiboot_boot *boot, uint32_t map_count)
{
    struct block block = {.gdt = BLOCK_STACK_SIZE};

    block.info = block.gdt + LOADER_GDT_SIZE;
    block.map = block.info + ALIGN_UP(sizeof(struct multiboot_info), 8);
    block.modules = block.map + map_count * sizeof(struct multiboot_memory_map_entry);
    block.strings = block.modules + boot->input->module_count * sizeof(struct multiboot_module);
    block.size = block.strings + sizeof(boot_loader_name);
    block.size += strlen(boot->input->kernel.name) + 1 + strlen(command_line(boot)) + 1;
    for (uint32_t i = 0; i < boot->input->module_count; i++)
        block.size += strlen(module_string(boot, i)) + 1;
    return block;
}

/* Append bytes at the cursor. Returns where they went. */
static uint32_t append(uint8_t *block, uint64_t *cursor, gpa_t base, const char *text, size_t size)
{
    uint64_t at = *cursor;

    memcpy(block + at, text, size);
    *cursor += size;
    return (uint32_t)(base + at);
}

static void fill_strings(const struct multiboot_boot *boot, uint8_t *bytes, gpa_t base, uint64_t cursor,
                         struct multiboot_info *info, struct multiboot_module *modules)
{
    const char *name = boot->input->kernel.name, *arguments = command_line(boot);

    info->flags |= MULTIBOOT_INFO_BOOT_LOADER_NAME | MULTIBOOT_INFO_COMMAND_LINE;
    info->boot_loader_name = append(bytes, &cursor, base, boot_loader_name, sizeof(boot_loader_name));
    /* The kernel's name is the first word, as in a program's arguments. */
    info->command_line = append(bytes, &cursor, base, name, strlen(name));
    if (arguments[0] != '\0')
        append(bytes, &cursor, base, " ", 1);
    append(bytes, &cursor, base, arguments, strlen(arguments) + 1);
    for (uint32_t i = 0; i < boot->input->module_count; i++) {
        const char *text = module_string(boot, i);
        modules[i].string = append(bytes, &cursor, base, text, strlen(text) + 1);
    }
}

static void fill_memory(const struct multiboot_boot *boot, uint8_t *bytes, const struct loader_map_entry *map,
                        uint32_t map_count, struct multiboot_info *info)
{
    gpa_t end = loader_low_ram_end(boot->guest);

    info->flags |= MULTIBOOT_INFO_MEMORY | MULTIBOOT_INFO_MEMORY_MAP;
    info->mem_lower = map_count > 0 && map[0].base == 0 ? (uint32_t)(map[0].size >> 10) : 0;
    info->mem_upper = (uint32_t)((end - GUEST_HIGH_MEMORY) >> 10);
    info->memory_map_length = map_count * (uint32_t)sizeof(struct multiboot_memory_map_entry);
    for (uint32_t i = 0; i < map_count; i++) {
        struct multiboot_memory_map_entry entry = {sizeof(entry) - sizeof(entry.size), map[i].base, map[i].size,
                                                   map[i].type};
        memcpy(bytes + i * sizeof(entry), &entry, sizeof(entry));
    }
}

/* A kernel that asks for a video mode gets the only one there is, and learns which. */
static void fill_framebuffer(struct multiboot_info *info)
{
    info->flags |= MULTIBOOT_INFO_FRAMEBUFFER;
    info->framebuffer_address = GUEST_VGA_TEXT_BASE;
    info->framebuffer_pitch = TEXT_COLUMNS * TEXT_BITS_PER_CHARACTER / 8;
    info->framebuffer_width = TEXT_COLUMNS;
    info->framebuffer_height = TEXT_ROWS;
    info->framebuffer_bits = TEXT_BITS_PER_CHARACTER;
    info->framebuffer_type = MULTIBOOT_FRAMEBUFFER_EGA_TEXT;
}

static void fill_block(struct multiboot_boot *boot, uint8_t *bytes, gpa_t base, const struct block *block,
                       const struct loader_map_entry *map, uint32_t map_count)
{
    struct multiboot_info info = {.memory_map_address = (uint32_t)(base + block->map)};

    fill_memory(boot, bytes + block->map, map, map_count, &info);
    fill_strings(boot, bytes, base, block->strings, &info, boot->modules);
    if (boot->input->module_count > 0) {
        info.flags |= MULTIBOOT_INFO_MODULES;
        info.modules_count = boot->input->module_count;
        info.modules_address = (uint32_t)(base + block->modules);
        memcpy(bytes + block->modules, boot->modules, boot->input->module_count * sizeof(boot->modules[0]));
    }
    if (boot->elf_sections.count > 0) {
        info.flags |= MULTIBOOT_INFO_ELF_SECTIONS;
        info.elf_sections = boot->elf_sections;
    }
    if ((boot->header.flags & MULTIBOOT_HEADER_VIDEO) != 0)
        fill_framebuffer(&info);
    memcpy(bytes + block->info, &info, sizeof(info));
}

int multiboot_write_info(struct multiboot_boot *boot, struct loader_error *error)
{
    struct loader_map_entry map[LOADER_MAP_MAX];
    uint32_t map_count = loader_memory_map(boot->guest, map);
    struct block block = measure_block(boot, map_count);
    gpa_t base = loader_layout_find(&boot->layout, BLOCK_FLOOR, GUEST_VGA_HOLE_BASE, block.size, PAGE_SIZE);

    /* A kernel that fills conventional memory gets it above itself and its modules. */
    if (base == LOADER_NOWHERE)
        base = loader_layout_find(&boot->layout, GUEST_HIGH_MEMORY, loader_low_ram_end(boot->guest), block.size,
                                  PAGE_SIZE);
    uint8_t *bytes = base != LOADER_NOWHERE && loader_is_free_ram(boot->guest, base, block.size)
                         ? gmem_pointer(boot->guest, base, block.size)
                         : NULL;
    if (bytes == NULL || loader_write_gdt(boot->guest, base + block.gdt) != 0)
        return loader_fail(error, E_NOMEM, "the boot information of kernel \"%s\" does not fit into the guest's RAM",
                           boot->input->kernel.name);
    fill_block(boot, bytes, base, &block, map, map_count);
    boot->gdt = base + block.gdt;
    boot->info = base + block.info;
    boot->stack_top = base + block.gdt;
    return 0;
}

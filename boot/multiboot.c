/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Multiboot 1 and 2: the only file that knows them as a guest of a loader. Multiboot Specification 0.6.96, "Boot
 * information format"; Multiboot2 Specification 2.0, "Boot information". Everything is copied: afterwards the loader's
 * memory is free.
 */
#include "boot/multiboot.h"

#include "hv/error.h"
#include "hv/machine.h"
#include "hv/multiboot.h"
#include "hv/string.h"

#define MULTIBOOT2_MAGIC 0x36d76289u

enum multiboot2_tag_type {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_LOADER = 2,
    TAG_MODULE = 3,
    TAG_MEMORY_MAP = 6,
    TAG_RSDP_OLD = 14,
    TAG_RSDP_NEW = 15,
};

struct multiboot2_tag {
    uint32_t type;
    uint32_t size; /* with this head, without the padding to 8 bytes */
};

struct multiboot2_module {
    struct multiboot2_tag tag;
    uint32_t start;
    uint32_t end;
    char string[];
};

struct multiboot2_memory_map {
    struct multiboot2_tag tag;
    uint32_t entry_size;
    uint32_t entry_version;
};

struct multiboot2_memory {
    uint64_t base;
    uint64_t length;
    uint32_t type;
    uint32_t reserved;
};
_Static_assert(sizeof(struct multiboot2_memory) == 24, "Multiboot2, memory map entry");

static void parse_version_1(const struct multiboot_info *from, struct boot_info *info)
{
    info->protocol = "multiboot 1";
    if ((from->flags & MULTIBOOT_INFO_COMMAND_LINE) != 0)
        (void)string_copy(info->command_line, sizeof(info->command_line), machine_pointer(from->command_line));
    if ((from->flags & MULTIBOOT_INFO_BOOT_LOADER_NAME) != 0)
        (void)string_copy(info->loader, sizeof(info->loader), machine_pointer(from->boot_loader_name));
    if ((from->flags & MULTIBOOT_INFO_MODULES) != 0) {
        const struct multiboot_module *modules = machine_pointer(from->modules_address);
        for (uint32_t i = 0; i < from->modules_count; i++) {
            uint64_t size = modules[i].end > modules[i].start ? modules[i].end - modules[i].start : 0;
            boot_module_add(info, modules[i].start, size,
                            modules[i].string != 0 ? machine_pointer(modules[i].string) : "");
        }
    }
    if ((from->flags & MULTIBOOT_INFO_MEMORY_MAP) != 0) {
        for (uint64_t at = 0; at + sizeof(struct multiboot_memory_map_entry) <= from->memory_map_length;) {
            const struct multiboot_memory_map_entry *entry = machine_pointer(from->memory_map_address + at);
            boot_memory_add(info, entry->base, entry->length, entry->type);
            at += (uint64_t)entry->size + sizeof(entry->size);
        }
    } else if ((from->flags & MULTIBOOT_INFO_MEMORY) != 0) {
        boot_memory_add(info, 0, KIB(from->mem_lower), BOOT_MEMORY_RAM);
        boot_memory_add(info, MIB(1), KIB(from->mem_upper), BOOT_MEMORY_RAM);
    }
}

static void parse_tag(const struct multiboot2_tag *tag, struct boot_info *info)
{
    const char *text = (const char *)(tag + 1);

    switch (tag->type) {
    case TAG_COMMAND_LINE: (void)string_copy(info->command_line, sizeof(info->command_line), text); break;
    case TAG_LOADER: (void)string_copy(info->loader, sizeof(info->loader), text); break;
    case TAG_MODULE: {
        const struct multiboot2_module *module = (const struct multiboot2_module *)tag;
        boot_module_add(info, module->start, module->end > module->start ? module->end - module->start : 0,
                        module->string);
        break;
    }
    case TAG_MEMORY_MAP: {
        const struct multiboot2_memory_map *map = (const struct multiboot2_memory_map *)tag;
        const uint8_t *entry = (const uint8_t *)(map + 1);
        const uint8_t *end = (const uint8_t *)tag + tag->size;
        while (map->entry_size >= sizeof(struct multiboot2_memory) && entry + map->entry_size <= end) {
            const struct multiboot2_memory *memory = (const void *)entry;
            boot_memory_add(info, memory->base, memory->length, memory->type);
            entry += map->entry_size;
        }
        break;
    }
    case TAG_RSDP_OLD:
        if (info->rsdp_size != 0) /* the new form says more */
            break;
        info->rsdp_size = (uint32_t)min_u64(tag->size - sizeof(*tag), 20);
        memcpy(info->rsdp, text, info->rsdp_size);
        break;
    case TAG_RSDP_NEW:
        info->rsdp_size = (uint32_t)min_u64(tag->size - sizeof(*tag), sizeof(info->rsdp));
        memcpy(info->rsdp, text, info->rsdp_size);
        break;
    default: break;
    }
}

static void parse_version_2(uint32_t address, struct boot_info *info)
{
    uint32_t total = *(const uint32_t *)machine_pointer(address);

    info->protocol = "multiboot 2";
    for (uint64_t at = 8; at + sizeof(struct multiboot2_tag) <= total;) {
        const struct multiboot2_tag *tag = machine_pointer(address + at);
        if (tag->type == TAG_END || tag->size < sizeof(*tag) || at + tag->size > total)
            return;
        parse_tag(tag, info);
        at += ALIGN_UP(tag->size, 8);
    }
}

int multiboot_parse(uint32_t magic, uint32_t information, struct boot_info *info)
{
    memset(info, 0, sizeof(*info));
    info->protocol = "none";
    if (magic == MULTIBOOT_BOOTLOADER_MAGIC)
        parse_version_1(machine_pointer(information), info);
    else if (magic == MULTIBOOT2_MAGIC)
        parse_version_2(information, info);
    else
        return E_INVAL;
    return 0;
}

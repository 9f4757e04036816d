/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layouts and numbers of Multiboot Specification 0.6.96, for both of its sides: Bulkhead is booted by such a
 * loader, and is one to its guests. All fields are little-endian; all addresses physical.
 */
#ifndef HV_MULTIBOOT_H
#define HV_MULTIBOOT_H

#include "hv/types.h"

/* Section 3.1 "OS image format", "The layout of Multiboot header": whole within the first 8 KiB of the file, on a
 * multiple of 4. */
#define MULTIBOOT_HEADER_MAGIC     0x1badb002u
#define MULTIBOOT_SEARCH_BYTES     8192u
#define MULTIBOOT_HEADER_ALIGNMENT 4u

#define MULTIBOOT_HEADER_PAGE_ALIGN BIT(0)  /* modules on page boundaries */
#define MULTIBOOT_HEADER_MEMORY     BIT(1)  /* mem_lower and mem_upper are needed */
#define MULTIBOOT_HEADER_VIDEO      BIT(2)  /* the video fields are valid */
#define MULTIBOOT_HEADER_MANDATORY  0xffffu /* a loader that does not know one of these must refuse */
#define MULTIBOOT_HEADER_ADDRESSES  BIT(16) /* the address fields are valid, and used instead of an ELF header */

struct multiboot_header {
    uint32_t magic;
    uint32_t flags;
    uint32_t checksum; /* the three words add up to 0 */
    /* With MULTIBOOT_HEADER_ADDRESSES. */
    uint32_t header_addr;
    uint32_t load_addr;
    uint32_t load_end_addr; /* 0: to the end of the file */
    uint32_t bss_end_addr;  /* 0: no bss */
    uint32_t entry_addr;
    /* With MULTIBOOT_HEADER_VIDEO. */
    uint32_t mode_type;
    uint32_t width;
    uint32_t height;
    uint32_t depth;
};
#define MULTIBOOT_HEADER_SIZE_PLAIN     12u
#define MULTIBOOT_HEADER_SIZE_ADDRESSES 32u
_Static_assert(sizeof(struct multiboot_header) == 48, "multiboot header");
_Static_assert(offsetof(struct multiboot_header, header_addr) == MULTIBOOT_HEADER_SIZE_PLAIN, "multiboot header");
_Static_assert(offsetof(struct multiboot_header, mode_type) == MULTIBOOT_HEADER_SIZE_ADDRESSES, "multiboot header");

/* The header of version 2 of the protocol, to tell a user what his kernel is. Multiboot2 Specification, section 3.1.1.
 */
#define MULTIBOOT2_HEADER_MAGIC     0xe85250d6u
#define MULTIBOOT2_SEARCH_BYTES     32768u
#define MULTIBOOT2_HEADER_ALIGNMENT 8u

/* Section 3.2 "Machine state": EAX at the entry. */
#define MULTIBOOT_BOOTLOADER_MAGIC 0x2badb002u

/* Section 3.3 "Boot information format": which fields of the information are valid. */
#define MULTIBOOT_INFO_MEMORY           BIT(0)
#define MULTIBOOT_INFO_BOOT_DEVICE      BIT(1)
#define MULTIBOOT_INFO_COMMAND_LINE     BIT(2)
#define MULTIBOOT_INFO_MODULES          BIT(3)
#define MULTIBOOT_INFO_AOUT_SYMBOLS     BIT(4)
#define MULTIBOOT_INFO_ELF_SECTIONS     BIT(5)
#define MULTIBOOT_INFO_MEMORY_MAP       BIT(6)
#define MULTIBOOT_INFO_DRIVES           BIT(7)
#define MULTIBOOT_INFO_CONFIG_TABLE     BIT(8)
#define MULTIBOOT_INFO_BOOT_LOADER_NAME BIT(9)
#define MULTIBOOT_INFO_APM_TABLE        BIT(10)
#define MULTIBOOT_INFO_VBE              BIT(11)
#define MULTIBOOT_INFO_FRAMEBUFFER      BIT(12)

struct multiboot_elf_sections {
    uint32_t count;
    uint32_t entry_size;
    uint32_t address;
    uint32_t names_index;
};

#define MULTIBOOT_FRAMEBUFFER_EGA_TEXT 2u

struct multiboot_info {
    uint32_t flags;
    uint32_t mem_lower; /* KiB from 0 */
    uint32_t mem_upper; /* KiB from 1 MiB to the first hole */
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t modules_count;
    uint32_t modules_address;
    struct multiboot_elf_sections elf_sections;
    uint32_t memory_map_length; /* bytes */
    uint32_t memory_map_address;
    uint32_t drives_length;
    uint32_t drives_address;
    uint32_t config_table;
    uint32_t boot_loader_name;
    uint32_t apm_table;
    uint32_t vbe_control_info;
    uint32_t vbe_mode_info;
    uint16_t vbe_mode;
    uint16_t vbe_interface_segment;
    uint16_t vbe_interface_offset;
    uint16_t vbe_interface_length;
    uint64_t framebuffer_address;
    uint32_t framebuffer_pitch; /* bytes */
    uint32_t framebuffer_width; /* characters, in text modes */
    uint32_t framebuffer_height;
    uint8_t framebuffer_bits;
    uint8_t framebuffer_type;
    uint8_t framebuffer_color_info[6];
} PACKED;
_Static_assert(offsetof(struct multiboot_info, elf_sections) == 28, "multiboot information");
_Static_assert(offsetof(struct multiboot_info, memory_map_length) == 44, "multiboot information");
_Static_assert(offsetof(struct multiboot_info, boot_loader_name) == 64, "multiboot information");
_Static_assert(offsetof(struct multiboot_info, vbe_control_info) == 72, "multiboot information");
_Static_assert(offsetof(struct multiboot_info, framebuffer_address) == 88, "multiboot information");
_Static_assert(offsetof(struct multiboot_info, framebuffer_bits) == 108, "multiboot information");
_Static_assert(sizeof(struct multiboot_info) == 116, "multiboot information");

struct multiboot_module {
    uint32_t start;
    uint32_t end; /* the first byte behind it */
    uint32_t string;
    uint32_t reserved;
};
_Static_assert(sizeof(struct multiboot_module) == 16, "multiboot module");

/* `size` does not count itself: the next entry is size + 4 bytes on. The types are those of enum boot_memory_type. */
struct multiboot_memory_map_entry {
    uint32_t size;
    uint64_t base;
    uint64_t length;
    uint32_t type;
} PACKED;
_Static_assert(sizeof(struct multiboot_memory_map_entry) == 24, "multiboot memory map");
_Static_assert(offsetof(struct multiboot_memory_map_entry, type) == 20, "multiboot memory map");

#endif

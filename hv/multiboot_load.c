/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The Multiboot loader, version 1 of the protocol (Multiboot Specification 0.6.96). The kernel goes where it says, by
 * the header's address fields or by its ELF program headers (ELF32, or ELF64 with a 32-bit entry, as GRUB has it);
 * symbols and modules go above it, the boot information into conventional memory.
 */
#include "hv/elf.h"
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/loader.h"
#include "hv/loader_internal.h"
#include "hv/multiboot.h"
#include "hv/multiboot_info.h"
#include "hv/string.h"

#define SYMBOL_ALIGNMENT 16u

static uint32_t read_word(const struct loader_file *file, uint64_t offset)
{
    uint32_t word;

    memcpy(&word, file->bytes + offset, sizeof(word));
    return word;
}

/* The offset of a word, on a multiple of `alignment` in the first `limit` bytes; the file's size when there is none. */
static uint64_t find_magic(const struct loader_file *file, uint64_t from, uint64_t limit, uint64_t alignment,
                           uint32_t magic)
{
    for (uint64_t at = from; at + MULTIBOOT_HEADER_SIZE_PLAIN <= min_u64(file->size, limit); at += alignment) {
        if (read_word(file, at) == magic)
            return at;
    }
    return file->size;
}

static int no_header(const struct loader_file *file, struct loader_error *error)
{
    if (find_magic(file, 0, MULTIBOOT2_SEARCH_BYTES, MULTIBOOT2_HEADER_ALIGNMENT, MULTIBOOT2_HEADER_MAGIC) < file->size)
        return loader_fail(error, E_NOTYET, "kernel \"%s\" has a header of multiboot 2 only; version 1 is needed",
                           file->name);
    if (file->size < MULTIBOOT_SEARCH_BYTES)
        return loader_fail(error, E_INVAL,
                           "kernel \"%s\" is no multiboot image, or is cut short: there is no header in its %s",
                           file->name, loader_size_text(file->size).text);
    return loader_fail(error, E_INVAL, "kernel \"%s\" is no multiboot image: there is no header in its first 8 KiB",
                       file->name);
}

static int find_header(struct multiboot_boot *boot, struct loader_error *error)
{
    const struct loader_file *file = &boot->input->kernel;
    uint64_t at = find_magic(file, 0, MULTIBOOT_SEARCH_BYTES, MULTIBOOT_HEADER_ALIGNMENT, MULTIBOOT_HEADER_MAGIC);
    uint64_t size = MULTIBOOT_HEADER_SIZE_PLAIN;

    /* The magic alone may be an accident, or a loader's own constant. */
    while (at < file->size && MULTIBOOT_HEADER_MAGIC + read_word(file, at + 4) + read_word(file, at + 8) != 0)
        at = find_magic(file, at + MULTIBOOT_HEADER_ALIGNMENT, MULTIBOOT_SEARCH_BYTES, MULTIBOOT_HEADER_ALIGNMENT,
                        MULTIBOOT_HEADER_MAGIC);
    if (at >= file->size)
        return no_header(file, error);
    boot->header_offset = at;
    boot->header.flags = read_word(file, at + 4);
    uint32_t known = MULTIBOOT_HEADER_PAGE_ALIGN | MULTIBOOT_HEADER_MEMORY | MULTIBOOT_HEADER_VIDEO;
    uint32_t unknown = boot->header.flags & MULTIBOOT_HEADER_MANDATORY & ~known;
    if (unknown != 0)
        return loader_fail(error, E_NOTYET,
                           "kernel \"%s\" demands what no multiboot loader here knows: header flags 0x%x", file->name,
                           unknown);
    if ((boot->header.flags & MULTIBOOT_HEADER_ADDRESSES) != 0)
        size = MULTIBOOT_HEADER_SIZE_ADDRESSES;
    if (!loader_range_within(file->size, at, size))
        return loader_fail(error, E_INVAL, "kernel \"%s\" is cut short: it ends within its multiboot header",
                           file->name);
    memcpy(&boot->header, file->bytes + at, size);
    return 0;
}

/* Put one part of the kernel where it wants to be: bytes, then zeros. */
static int place_part(struct multiboot_boot *boot, gpa_t base, const uint8_t *bytes, uint64_t file_size,
                      uint64_t memory_size, struct loader_error *error)
{
    const char *name = boot->input->kernel.name;

    if (!loader_is_free_ram(boot->guest, base, memory_size))
        return loader_fail(error, E_NOMEM, "kernel \"%s\" needs %s at %s, where the guest (%s) has no free RAM", name,
                           loader_size_text(memory_size).text, loader_address_text(base).text,
                           loader_size_text(boot->guest->memory_bytes).text);
    if (gmem_write(boot->guest, base, bytes, file_size) != 0 ||
        gmem_fill(boot->guest, base + file_size, 0, memory_size - file_size) != 0)
        return loader_fail(error, E_FAULT, "kernel \"%s\" does not fit into RAM at 0x%llx", name,
                           (unsigned long long)base);
    return loader_layout_take(&boot->layout, base, memory_size);
}

/* Section 3.1.3 "The address fields of Multiboot header". */
static int load_by_addresses(struct multiboot_boot *boot, struct loader_error *error)
{
    const struct loader_file *file = &boot->input->kernel;
    const struct multiboot_header *header = &boot->header;
    uint64_t before = (uint64_t)header->header_addr - header->load_addr;

    if (header->header_addr < header->load_addr || before > boot->header_offset ||
        (header->load_end_addr != 0 && header->load_end_addr < header->header_addr))
        return loader_fail(error, E_INVAL,
                           "kernel \"%s\" is a broken multiboot image: its header's addresses contradict each other",
                           file->name);
    uint64_t offset = boot->header_offset - before;
    uint64_t file_size =
        header->load_end_addr != 0 ? (uint64_t)header->load_end_addr - header->load_addr : file->size - offset;
    if (!loader_range_within(file->size, offset, file_size))
        return loader_fail(error, E_INVAL, "kernel \"%s\" is cut short: it has %llu bytes, its header says %llu",
                           file->name, (unsigned long long)file->size, (unsigned long long)(offset + file_size));
    uint64_t memory_size = file_size;
    if (header->bss_end_addr != 0) {
        if (header->bss_end_addr < header->load_addr + file_size)
            return loader_fail(error, E_INVAL,
                               "kernel \"%s\" is a broken multiboot image: its bss ends before its data", file->name);
        memory_size = (uint64_t)header->bss_end_addr - header->load_addr;
    }
    boot->entry = header->entry_addr;
    return place_part(boot, header->load_addr, file->bytes + offset, file_size, memory_size, error);
}

/* True for sections that a kernel may want and no segment brings: symbols and names. */
static bool is_symbols(const struct elf_section *section)
{
    return (section->type == ELF_SECTION_SYMTAB || section->type == ELF_SECTION_STRTAB) && section->address == 0 &&
           section->size != 0;
}

/*
 * Section 3.3, "syms": the section headers, behind them the sections that is_symbols names, with their addresses filled
 * in. Where RAM is too small for them a kernel must do without.
 */
static int load_symbols(struct multiboot_boot *boot, const struct elf_image *image)
{
    uint64_t table_size = (uint64_t)image->section_count * image->section_entry_size;
    uint64_t size = ALIGN_UP(table_size, SYMBOL_ALIGNMENT);
    gpa_t floor = loader_layout_end(&boot->layout, GUEST_HIGH_MEMORY), end = loader_low_ram_end(boot->guest);
    struct elf_section section;

    for (uint32_t i = 0; i < image->section_count; i++) {
        elf_section(image, i, &section);
        if (is_symbols(&section))
            size += ALIGN_UP(section.size, SYMBOL_ALIGNMENT);
    }
    gpa_t table = loader_layout_find(&boot->layout, floor, end, size, PAGE_SIZE);
    if (image->section_count == 0 || table == LOADER_NOWHERE)
        return 0;
    int result = gmem_write(boot->guest, table, image->file->bytes + image->section_offset, table_size);
    gpa_t at = table + ALIGN_UP(table_size, SYMBOL_ALIGNMENT);
    for (uint32_t i = 0; i < image->section_count && result == 0; i++) {
        elf_section(image, i, &section);
        if (!is_symbols(&section))
            continue;
        gpa_t field = table + (uint64_t)i * image->section_entry_size + elf_section_address_offset(image);
        result = gmem_write(boot->guest, at, image->file->bytes + section.offset, section.size);
        if (result == 0)
            result = gmem_write(boot->guest, field, &at, elf_section_address_size(image));
        at += ALIGN_UP(section.size, SYMBOL_ALIGNMENT);
    }
    boot->elf_sections = (struct multiboot_elf_sections){image->section_count, image->section_entry_size,
                                                         (uint32_t)table, image->section_names_index};
    return result == 0 ? loader_layout_take(&boot->layout, table, size) : result;
}

static int load_elf(struct multiboot_boot *boot, struct loader_error *error)
{
    const struct loader_file *file = &boot->input->kernel;
    struct elf_image image;
    struct elf_segment segment;

    if (!elf_is(file))
        return loader_fail(error, E_INVAL,
                           "kernel \"%s\" is a multiboot image, but neither ELF nor with addresses in its header",
                           file->name);
    int result = elf_open(file, &image, error);
    for (uint32_t i = 0; result == 0 && i < image.program_count; i++) {
        if (elf_segment(&image, i, &segment))
            result = place_part(boot, segment.physical_address, file->bytes + segment.offset, segment.file_size,
                                segment.memory_size, error);
    }
    if (result != 0)
        return result;
    boot->entry = elf_entry_physical(&image);
    if (load_symbols(boot, &image) != 0)
        return loader_fail(error, E_NOMEM, "the symbols of kernel \"%s\" do not fit into RAM", file->name);
    return 0;
}

/* The entry must be in what was loaded; nothing else is in the layout yet but symbols. */
static int check_entry(const struct multiboot_boot *boot, struct loader_error *error)
{
    for (uint32_t i = 0; i < boot->layout.count; i++) {
        if (boot->entry >= boot->layout.taken[i].base &&
            boot->entry - boot->layout.taken[i].base < boot->layout.taken[i].size)
            return 0;
    }
    return loader_fail(error, E_INVAL,
                       "kernel \"%s\" is a broken multiboot image: its entry 0x%llx is outside of what is loaded",
                       boot->input->kernel.name, (unsigned long long)boot->entry);
}

/* On page boundaries whether the header asks for it or not; above the kernel, which may use what lies behind its bss
 * without asking. */
static int load_modules(struct multiboot_boot *boot, struct loader_error *error)
{
    gpa_t floor = loader_layout_end(&boot->layout, GUEST_HIGH_MEMORY), end = loader_low_ram_end(boot->guest);

    for (uint32_t i = 0; i < boot->input->module_count; i++) {
        const struct loader_file *module = &boot->input->modules[i];
        gpa_t base = loader_layout_find(&boot->layout, floor, end, module->size, PAGE_SIZE);
        if (base == LOADER_NOWHERE)
            base = loader_layout_find(&boot->layout, GUEST_HIGH_MEMORY, end, module->size, PAGE_SIZE);
        if (base == LOADER_NOWHERE || gmem_write(boot->guest, base, module->bytes, module->size) != 0)
            return loader_fail(error, E_NOMEM, "module \"%s\" (%s) does not fit into the guest's %s beside the kernel",
                               module->name, loader_size_text(module->size).text,
                               loader_size_text(boot->guest->memory_bytes).text);
        boot->modules[i] = (struct multiboot_module){.start = (uint32_t)base, .end = (uint32_t)(base + module->size)};
        if (loader_layout_take(&boot->layout, base, module->size) != 0)
            return loader_fail(error, E_NOMEM, "kernel \"%s\" has too many parts and modules",
                               boot->input->kernel.name);
    }
    return 0;
}

int multiboot_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
                   struct loader_error *error)
{
    struct multiboot_boot boot = {.guest = guest, .input = input};
    int result = find_header(&boot, error);

    if (result == 0 && input->module_count > LOADER_MODULES_MAX)
        result = loader_fail(error, E_NOTYET, "a multiboot guest can have %u modules", LOADER_MODULES_MAX);
    if (result == 0 && loader_write_bios_data(guest) != 0)
        result = loader_fail(error, E_FAULT, "the guest has no RAM at address 0");
    if (result == 0)
        result = (boot.header.flags & MULTIBOOT_HEADER_ADDRESSES) != 0 ? load_by_addresses(&boot, error)
                                                                       : load_elf(&boot, error);
    if (result == 0)
        result = check_entry(&boot, error);
    if (result == 0)
        result = load_modules(&boot, error);
    if (result == 0)
        result = multiboot_write_info(&boot, error);
    if (result != 0)
        return result;
    loader_state_protected(state, boot.gdt, boot.entry);
    state->gpr[GPR_RAX] = MULTIBOOT_BOOTLOADER_MAGIC;
    state->gpr[GPR_RBX] = boot.info;
    state->gpr[GPR_RSP] = boot.stack_top;
    return 0;
}

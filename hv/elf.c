/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF files: the two classes are read through their own structures into one neutral form; elf_open checks all that the
 * others rely on.
 */
#include "hv/elf.h"

#include "hv/error.h"
#include "hv/loader_internal.h"
#include "hv/string.h"

#define IDENT_SIZE         16u
#define IDENT_CLASS        4u
#define IDENT_DATA         5u
#define IDENT_VERSION      6u
#define CLASS_32           1u
#define CLASS_64           2u
#define DATA_LITTLE_ENDIAN 1u
#define VERSION_CURRENT    1u
#define TYPE_EXECUTABLE    2u
#define TYPE_SHARED        3u /* position-independent; loaded where it says */
#define MACHINE_386        3u
#define MACHINE_X86_64     62u
#define SEGMENT_LOAD       1u

static const uint8_t elf_magic[4] = {0x7f, 'E', 'L', 'F'};

struct elf32_header {
    uint8_t ident[IDENT_SIZE];
    uint16_t type, machine;
    uint32_t version;
    uint32_t entry;
    uint32_t program_offset, section_offset;
    uint32_t flags;
    uint16_t header_size;
    uint16_t program_entry_size, program_count;
    uint16_t section_entry_size, section_count;
    uint16_t section_names_index;
};
_Static_assert(sizeof(struct elf32_header) == 52, "ELF32 header");

struct elf64_header {
    uint8_t ident[IDENT_SIZE];
    uint16_t type, machine;
    uint32_t version;
    uint64_t entry;
    uint64_t program_offset, section_offset;
    uint32_t flags;
    uint16_t header_size;
    uint16_t program_entry_size, program_count;
    uint16_t section_entry_size, section_count;
    uint16_t section_names_index;
};
_Static_assert(sizeof(struct elf64_header) == 64, "ELF64 header");

struct elf32_program {
    uint32_t type;
    uint32_t offset;
    uint32_t virtual_address, physical_address;
    uint32_t file_size, memory_size;
    uint32_t flags;
    uint32_t alignment;
};
_Static_assert(sizeof(struct elf32_program) == 32, "ELF32 program header");

struct elf64_program {
    uint32_t type;
    uint32_t flags;
    uint64_t offset;
    uint64_t virtual_address, physical_address;
    uint64_t file_size, memory_size;
    uint64_t alignment;
};
_Static_assert(sizeof(struct elf64_program) == 56, "ELF64 program header");

struct elf32_section {
    uint32_t name, type;
    uint32_t flags, address, offset, size;
    uint32_t link, info;
    uint32_t alignment, entry_size;
};
_Static_assert(sizeof(struct elf32_section) == 40, "ELF32 section header");

struct elf64_section {
    uint32_t name, type;
    uint64_t flags, address, offset, size;
    uint32_t link, info;
    uint64_t alignment, entry_size;
};
_Static_assert(sizeof(struct elf64_section) == 64, "ELF64 section header");

bool elf_is(const struct loader_file *file)
{
    return file->size >= sizeof(elf_magic) && memcmp(file->bytes, elf_magic, sizeof(elf_magic)) == 0;
}

static int cut_short(const struct elf_image *image, const char *what, struct loader_error *error)
{
    return loader_fail(error, E_INVAL, "kernel \"%s\" is cut short: its %s would lie behind the end of its %s",
                       image->file->name, what, loader_size_text(image->file->size).text);
}

/* Both headers have the same fields under the same names. */
#define COPY_HEADER(image, header)                                                                                     \
    do {                                                                                                               \
        (image)->entry = (header).entry;                                                                               \
        (image)->program_offset = (header).program_offset;                                                             \
        (image)->program_count = (header).program_count;                                                               \
        (image)->program_entry_size = (header).program_entry_size;                                                     \
        (image)->section_offset = (header).section_offset;                                                             \
        (image)->section_count = (header).section_count;                                                               \
        (image)->section_entry_size = (header).section_entry_size;                                                     \
        (image)->section_names_index = (header).section_names_index;                                                   \
    } while (0)

static int read_header(struct elf_image *image, struct loader_error *error)
{
    const struct loader_file *file = image->file;
    struct elf32_header narrow;
    struct elf64_header wide;

    if (file->size < sizeof(narrow))
        return cut_short(image, "header", error);
    memcpy(&narrow, file->bytes, sizeof(narrow));
    image->wide = narrow.ident[IDENT_CLASS] == CLASS_64;
    if (image->wide && file->size < sizeof(wide))
        return cut_short(image, "header", error);
    /* Class, type and machine stand at the same place in both classes. */
    if ((!image->wide && narrow.ident[IDENT_CLASS] != CLASS_32) || narrow.ident[IDENT_DATA] != DATA_LITTLE_ENDIAN ||
        narrow.ident[IDENT_VERSION] != VERSION_CURRENT ||
        narrow.machine != (image->wide ? MACHINE_X86_64 : MACHINE_386))
        return loader_fail(error, E_NOTYET, "kernel \"%s\" is an ELF file of another machine", file->name);
    if (narrow.type != TYPE_EXECUTABLE && narrow.type != TYPE_SHARED)
        return loader_fail(error, E_NOTYET, "kernel \"%s\" is an ELF file, but no executable", file->name);
    if (image->wide) {
        memcpy(&wide, file->bytes, sizeof(wide));
        COPY_HEADER(image, wide);
    } else {
        COPY_HEADER(image, narrow);
    }
    return 0;
}

/* A table's entries may be longer than we know them, not shorter. */
static int check_table(const struct elf_image *image, uint64_t offset, uint32_t count, uint32_t entry_size,
                       size_t known_size, const char *what, struct loader_error *error)
{
    if (count > 0 && entry_size < known_size)
        return loader_fail(error, E_INVAL, "kernel \"%s\" is a broken ELF file: an entry of its %s has %u bytes",
                           image->file->name, what, entry_size);
    if (count > 0 && !loader_range_within(image->file->size, offset, (uint64_t)count * entry_size))
        return cut_short(image, what, error);
    return 0;
}

static int check_segments(const struct elf_image *image, struct loader_error *error)
{
    struct elf_segment segment;
    uint32_t loaded = 0;

    for (uint32_t i = 0; i < image->program_count; i++) {
        if (!elf_segment(image, i, &segment))
            continue;
        loaded++;
        if (segment.file_size > segment.memory_size)
            return loader_fail(
                error, E_INVAL,
                "kernel \"%s\" is a broken ELF file: segment %u has more bytes in the file than in memory",
                image->file->name, i);
        if (!loader_range_within(image->file->size, segment.offset, segment.file_size))
            return cut_short(image, "segments", error);
    }
    if (loaded == 0 || loaded > ELF_SEGMENTS_MAX)
        return loader_fail(error, loaded == 0 ? E_INVAL : E_NOTYET,
                           "kernel \"%s\" has %u segments to load; there must be 1 to %u", image->file->name, loaded,
                           ELF_SEGMENTS_MAX);
    return 0;
}

static int check_sections(const struct elf_image *image, struct loader_error *error)
{
    struct elf_section section;

    for (uint32_t i = 0; i < image->section_count; i++) {
        elf_section(image, i, &section);
        if (section.type != ELF_SECTION_NULL && section.type != ELF_SECTION_NOBITS &&
            !loader_range_within(image->file->size, section.offset, section.size))
            return cut_short(image, "sections", error);
    }
    return 0;
}

int elf_open(const struct loader_file *file, struct elf_image *image, struct loader_error *error)
{
    *image = (struct elf_image){.file = file};
    int result = read_header(image, error);

    if (result == 0)
        result = check_table(image, image->program_offset, image->program_count, image->program_entry_size,
                             image->wide ? sizeof(struct elf64_program) : sizeof(struct elf32_program),
                             "program headers", error);
    if (result == 0)
        result = check_table(image, image->section_offset, image->section_count, image->section_entry_size,
                             image->wide ? sizeof(struct elf64_section) : sizeof(struct elf32_section),
                             "section headers", error);
    if (result == 0)
        result = check_segments(image, error);
    if (result == 0)
        result = check_sections(image, error);
    return result;
}

bool elf_segment(const struct elf_image *image, uint32_t index, struct elf_segment *segment)
{
    const uint8_t *entry = image->file->bytes + image->program_offset + (uint64_t)index * image->program_entry_size;
    struct elf32_program narrow;
    struct elf64_program wide;
    uint32_t type;

    if (image->wide) {
        memcpy(&wide, entry, sizeof(wide));
        type = wide.type;
        *segment = (struct elf_segment){wide.offset, wide.file_size, wide.virtual_address, wide.physical_address,
                                        wide.memory_size};
    } else {
        memcpy(&narrow, entry, sizeof(narrow));
        type = narrow.type;
        *segment = (struct elf_segment){narrow.offset, narrow.file_size, narrow.virtual_address,
                                        narrow.physical_address, narrow.memory_size};
    }
    return type == SEGMENT_LOAD && (segment->memory_size | segment->file_size) != 0;
}

void elf_section(const struct elf_image *image, uint32_t index, struct elf_section *section)
{
    const uint8_t *entry = image->file->bytes + image->section_offset + (uint64_t)index * image->section_entry_size;
    struct elf32_section narrow;
    struct elf64_section wide;

    if (image->wide) {
        memcpy(&wide, entry, sizeof(wide));
        *section = (struct elf_section){wide.type, wide.address, wide.offset, wide.size};
    } else {
        memcpy(&narrow, entry, sizeof(narrow));
        *section = (struct elf_section){narrow.type, narrow.address, narrow.offset, narrow.size};
    }
}

uint32_t elf_section_address_offset(const struct elf_image *image)
{
    return (uint32_t)(image->wide ? offsetof(struct elf64_section, address) : offsetof(struct elf32_section, address));
}

uint32_t elf_section_address_size(const struct elf_image *image)
{
    return image->wide ? sizeof(uint64_t) : sizeof(uint32_t);
}

uint64_t elf_entry_physical(const struct elf_image *image)
{
    struct elf_segment segment;

    for (uint32_t i = 0; i < image->program_count; i++) {
        if (elf_segment(image, i, &segment) && image->entry >= segment.virtual_address &&
            image->entry - segment.virtual_address < segment.memory_size)
            return segment.physical_address + (image->entry - segment.virtual_address);
    }
    return image->entry;
}

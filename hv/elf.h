/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * ELF executables, 32 and 64-bit, as far as a boot loader reads them. Everything is checked against the file when it is
 * opened. System V ABI, "Object Files"; the i386 and x86-64 supplements for the machine numbers.
 */
#ifndef HV_ELF_H
#define HV_ELF_H

#include "hv/loader.h"
#include "hv/types.h"

#define ELF_SEGMENTS_MAX 32u /* that are loaded */

/* One opened image. The fields are of the file's header, in one form for both classes. */
struct elf_image {
    const struct loader_file *file;
    bool wide; /* ELF64 */
    uint64_t entry;
    uint64_t program_offset, section_offset;
    uint32_t program_count, program_entry_size;
    uint32_t section_count, section_entry_size;
    uint32_t section_names_index;
};

/* A part to load: file_size bytes from the file at `offset`, then zeros up to memory_size. */
struct elf_segment {
    uint64_t offset, file_size;
    uint64_t virtual_address, physical_address, memory_size;
};

struct elf_section {
    uint32_t type;
    uint64_t address, offset, size;
};

#define ELF_SECTION_NULL   0u
#define ELF_SECTION_SYMTAB 2u
#define ELF_SECTION_STRTAB 3u
#define ELF_SECTION_NOBITS 8u

/* True when the file begins as an ELF file does. */
bool elf_is(const struct loader_file *file);

/*
 * Read and check the headers: a little-endian x86 executable whose tables, segments and sections lie within the file
 * and that has 1 to ELF_SEGMENTS_MAX segments to load. Returns 0, or a negative error with `error` filled. The file
 * must not change afterwards.
 */
int elf_open(const struct loader_file *file, struct elf_image *image, struct loader_error *error);

/* Entry `index` (below program_count) of the program headers. Returns true when it is to be loaded and not empty. */
bool elf_segment(const struct elf_image *image, uint32_t index, struct elf_segment *segment);

/* Entry `index` (below section_count) of the section headers. */
void elf_section(const struct elf_image *image, uint32_t index, struct elf_section *section);

/* Where in a section header its address is, and how many bytes it has: for a loader that puts a section somewhere. */
uint32_t elf_section_address_offset(const struct elf_image *image);
uint32_t elf_section_address_size(const struct elf_image *image);

/* The physical address of the entry point, which the header gives as a virtual one; as it stands where no segment holds
 * it. */
uint64_t elf_entry_physical(const struct elf_image *image);

#endif

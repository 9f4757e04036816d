/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the two halves of the Multiboot loader: what was loaded, and the boot information that tells the kernel so.
 */
#ifndef HV_MULTIBOOT_INFO_H
#define HV_MULTIBOOT_INFO_H

#include "hv/loader.h"
#include "hv/loader_internal.h"
#include "hv/multiboot.h"

struct multiboot_boot {
    struct guest *guest;
    const struct loader_input *input;
    struct multiboot_header header; /* the fields that its flags declare valid; the others 0 */
    uint64_t header_offset;         /* in the file */
    struct loader_layout layout;
    uint64_t entry;
    struct multiboot_elf_sections elf_sections; /* count 0: none */
    struct multiboot_module modules[LOADER_MODULES_MAX];
    /* Set by multiboot_write_info. */
    gpa_t gdt, info, stack_top;
};

/* Write the boot information, a GDT and what they point to into conventional memory. Returns 0, or a negative error
 * with `error` filled. */
int multiboot_write_info(struct multiboot_boot *boot, struct loader_error *error);

#endif

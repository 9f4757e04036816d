/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Put a guest's program into its memory and say where its first vCPU starts. The images are the user's and hostile:
 * every length and address is checked against the file and against the guest's RAM.
 */
#ifndef HV_LOADER_H
#define HV_LOADER_H

#include "hv/types.h"
#include "hv/virt.h"

struct guest;

/* A boot module, readable by the hypervisor. */
struct loader_file {
    const char *name;
    const uint8_t *bytes;
    uint64_t size;
};

#define LOADER_MODULES_MAX 16u

struct loader_input {
    struct loader_file kernel;
    struct loader_file initrd;                      /* bytes NULL: none (linux) */
    struct loader_file modules[LOADER_MODULES_MAX]; /* multiboot */
    const char *module_strings[LOADER_MODULES_MAX]; /* the module's whole string, as multiboot passes it */
    uint32_t module_count;
    const char *command_line;
    uint32_t load_address;                /* flat */
    uint16_t entry_segment, entry_offset; /* flat */
};

/* Why a load failed, one clause without the guest's name: `kernel "x" is no bzImage: it lacks the "HdrS" signature`. */
struct loader_error {
    char text[256];
};

/* One memory map serves the E820 of Linux and the multiboot map. Entries sorted; types as enum boot_memory_type. */
struct loader_map_entry {
    gpa_t base;
    uint64_t size;
    uint32_t type;
};
#define LOADER_MAP_MAX 8u
uint32_t loader_memory_map(const struct guest *guest, struct loader_map_entry map[LOADER_MAP_MAX]);

/*
 * Each: 0 and the first vCPU's `state`, or a negative error and `error` filled. Memory above what they load is as it
 * was (the caller has cleared it). vCPU state starts from vcpu_state_reset.
 */
int linux_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
               struct loader_error *error);
int multiboot_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
                   struct loader_error *error);
int flat_load(struct guest *guest, const struct loader_input *input, struct vcpu_state *state,
              struct loader_error *error);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The machine that a configuration is checked for: a PC as its user describes it, or one that has whatever the file
 * names where nothing is said.
 */
#ifndef GUESTS_CHECK_MACHINE_H
#define GUESTS_CHECK_MACHINE_H

#include "hv/config.h"
#include "hv/plan.h"
#include "hv/types.h"

#define CHECK_MEMORY "1024G" /* when nothing is said */

/* A boot module that the loader would bring. */
struct check_module {
    char *name;
    uint64_t size; /* 0: unknown */
};

/* What the user said of the machine. */
struct check_options {
    uint32_t cpu_count;        /* 1 to CPUS_MAX; 0: as many as the file names */
    uint32_t threads_per_core; /* 0: unknown */
    uint64_t memory_bytes;
    bool modules_given; /* false: all that the file names are there */
    struct check_module *modules;
    size_t module_count;
};

/* Add a module to the options. The name is copied. */
void check_module_add(struct check_options *options, const char *name, uint64_t size);

/* Add each file of a directory as a module, sorted by name. Returns 0, or -1 with errno. */
int check_modules_from(struct check_options *options, const char *directory);

/* Call `name` for each module that the configuration names, in its order and each once. */
void check_each_module(const struct config *config, void (*name)(void *context, const char *text), void *context);

/* How many CPUs a machine must have for this configuration. */
uint32_t check_cpus_named(const struct config *config);

/*
 * Describe the machine for a configuration that was parsed from `path`. What is returned stays until the next call;
 * NULL when memory has no room for the hypervisor and the modules.
 */
const struct plan_machine *check_machine(const struct check_options *options, const char *path,
                                         const struct config *config);

#endif

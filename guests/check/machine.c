/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A PC: memory from 0, a hole below 4 GiB, the rest behind it. The image and the modules lie where QEMU puts them, the
 * page pool where the hypervisor itself would.
 */
#include "guests/check/machine.h"

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/place.h"
#include "hv/pagetable.h"

#define LOW_MEMORY_END 0x9fc00u
#define HIGH_MEMORY    MIB(1)
#define HOLE_BASE      GIB(3)
#define HOLE_END       GIB(4)
#define FIRMWARE_SIZE  KIB(128) /* ACPI tables, at the top of RAM below the hole */
#define IMAGE_SIZE     MIB(2)   /* with its zeroed part, rounded up */

void check_module_add(struct check_options *options, const char *name, uint64_t size)
{
    struct check_module *modules = realloc(options->modules, (options->module_count + 1) * sizeof(*modules));

    if (modules == NULL)
        err(2, "modules");
    modules[options->module_count] = (struct check_module){strdup(name), size};
    if (modules[options->module_count].name == NULL)
        err(2, "modules");
    options->modules = modules;
    options->module_count++;
    options->modules_given = true;
}

int check_modules_from(struct check_options *options, const char *directory)
{
    struct dirent **entries;
    struct stat file;
    int count = scandir(directory, &entries, NULL, alphasort);

    if (count < 0)
        return -1;
    int folder = open(directory, O_RDONLY | O_DIRECTORY);
    if (folder < 0)
        return -1;
    for (int i = 0; i < count; i++) {
        if (fstatat(folder, entries[i]->d_name, &file, 0) == 0 && S_ISREG(file.st_mode))
            check_module_add(options, entries[i]->d_name, (uint64_t)file.st_size);
        free(entries[i]);
    }
    free(entries);
    close(folder);
    options->modules_given = true;
    return 0;
}

/* ---- Modules that a file names ---- */

/* Of a guest, by number: its kernel, its initrd ("": none), then `modules`. */
static const char *named_module(const struct guest_config *guest, uint32_t number)
{
    if (number == 0)
        return guest->kernel;
    return number == 1 ? guest->initrd : guest->modules[number - 2].name;
}

/* Does one of the first `count` guests name it? */
static bool is_named(const struct config *config, uint32_t count, const char *name)
{
    for (uint32_t i = 0; i < count; i++) {
        if (config_guest_names_module(&config->guests[i], name))
            return true;
    }
    return false;
}

static bool is_named_before(const struct config *config, uint32_t guest, uint32_t number, const char *name)
{
    for (uint32_t i = 0; i < number; i++) {
        if (strcmp(named_module(&config->guests[guest], i), name) == 0)
            return true;
    }
    return is_named(config, guest, name);
}

void check_each_module(const struct config *config, void (*name)(void *context, const char *text), void *context)
{
    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];
        for (uint32_t number = 0; number < guest->module_count + 2; number++) {
            const char *text = named_module(guest, number);
            if (text[0] != '\0' && !is_named_before(config, i, number, text))
                name(context, text);
        }
    }
}

/* ---- The machine ---- */

/* Behind the image and the modules that are there, in whole pages. */
static void load_module(struct boot_info *info, const char *string, uint64_t size)
{
    hpa_t base = HIGH_MEMORY + IMAGE_SIZE;

    if (info->module_count > 0) {
        const struct boot_module *last = &info->modules[info->module_count - 1];
        base = ALIGN_UP(last->base + last->size, PAGE_SIZE);
    }
    boot_module_add(info, base, size, string);
}

static void load_named_module(void *context, const char *name)
{
    load_module(context, name, 0);
}

/*
 * The configuration first. A directory may have more files than a loader can bring: those that the configuration names
 * go before the others, which only serve to tell what a wrong name may have meant.
 */
static void load_modules(const struct check_options *options, const char *path, const struct config *config,
                         struct boot_info *info)
{
    load_module(info, path, 0);
    if (!options->modules_given) {
        check_each_module(config, load_named_module, info);
        return;
    }
    for (int turn = 0; turn < 2; turn++) {
        for (size_t i = 0; i < options->module_count; i++) {
            const struct check_module *module = &options->modules[i];
            bool named = is_named(config, config->guest_count, module->name);
            bool wanted = turn == 0 ? named : !named && info->module_count < MODULES_MAX;
            if (wanted && strcmp(module->name, info->modules[0].name) != 0)
                load_module(info, module->name, module->size);
        }
    }
}

static void describe_memory(struct boot_info *info, uint64_t size)
{
    hpa_t low_end = min_u64(size, HOLE_BASE);

    boot_memory_add(info, 0, LOW_MEMORY_END, BOOT_MEMORY_RAM);
    boot_memory_add(info, HIGH_MEMORY, low_end - HIGH_MEMORY, BOOT_MEMORY_RAM);
    boot_memory_add(info, low_end - FIRMWARE_SIZE, FIRMWARE_SIZE, BOOT_MEMORY_ACPI);
    boot_memory_add(info, HOLE_END, size - low_end, BOOT_MEMORY_RAM);
}

uint32_t check_cpus_named(const struct config *config)
{
    uint32_t count = 1;

    for (uint32_t i = 0; i < config->guest_count; i++) {
        for (uint32_t k = 0; k < config->guests[i].cpu_count; k++)
            count = (uint32_t)max_u64(count, config->guests[i].cpus[k].number + 1);
    }
    return count;
}

static void describe_cpus(const struct check_options *options, const struct config *config,
                          struct plan_machine *machine)
{
    static struct plan_cpu cpus[CPUS_MAX];

    machine->cpu_count = options->cpu_count == 0 ? check_cpus_named(config) : options->cpu_count;
    if (options->threads_per_core == 0)
        return;
    for (uint32_t cpu = 0; cpu < machine->cpu_count; cpu++)
        cpus[cpu] = (struct plan_cpu){.core = cpu / options->threads_per_core, .node = PLAN_NODE_UNKNOWN};
    machine->cpus = cpus;
}

static void reserve(struct plan_machine *machine, hpa_t base, uint64_t size, const char *what)
{
    machine->reserved[machine->reserved_count++] = (struct plan_reserved){base, size, what};
}

const struct plan_machine *check_machine(const struct check_options *options, const char *path,
                                         const struct config *config)
{
    static struct boot_info info;
    static struct plan_machine machine;
    struct boot_places places = {.image_base = HIGH_MEMORY, .image_size = IMAGE_SIZE};

    if (options->memory_bytes < HIGH_MEMORY + IMAGE_SIZE)
        return NULL;
    memset(&info, 0, sizeof(info));
    memset(&machine, 0, sizeof(machine));
    describe_memory(&info, options->memory_bytes);
    load_modules(options, path, config, &info);
    if (place_choose(&info, PAGE_SIZE_2M, &places) != 0)
        return NULL;
    machine.boot = &info;
    describe_cpus(options, config, &machine);
    reserve(&machine, 0, HIGH_MEMORY, "the first MiB");
    reserve(&machine, places.image_base, places.image_size, "the hypervisor's image");
    reserve(&machine, places.pool_base, places.pool_size, "the page pool");
    return &machine;
}

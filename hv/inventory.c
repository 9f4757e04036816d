/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The inventory and the starter configuration. What a module is for is guessed from its name alone: the user corrects
 * the text anyway, and a wrong guess is refused by the loader in clear words.
 */
#include "hv/inventory.h"

#include "hv/config_value.h"
#include "hv/format.h"
#include "hv/plan_internal.h"
#include "hv/string.h"

#define STARTER_MEMORY_MAX MIB(512) /* of RAM for a Linux */
#define FLAT_MEMORY_MAX    MIB(16)

/* The lowest CPU on the core of this one. */
static uint32_t first_of_core(const struct plan_machine *machine, uint32_t cpu)
{
    uint32_t first = 0;

    while (!plan_share_core(machine, cpu, first))
        first++;
    return first;
}

static void describe_core(const struct line_writer *writer, const struct plan_machine *machine, uint32_t cpu)
{
    const struct plan_cpu *place = &machine->cpus[cpu];
    struct sentence sentence = {.length = 0};

    sentence_add(&sentence, "package %u, core %u: CPU %u", place->package, place->core, cpu);
    for (uint32_t other = cpu + 1; other < machine->cpu_count; other++) {
        if (plan_share_core(machine, cpu, other))
            sentence_add(&sentence, " and CPU %u", other);
    }
    if (place->node != PLAN_NODE_UNKNOWN)
        sentence_add(&sentence, ", node %u", place->node);
    write_line(writer, "  %s", sentence.text);
}

/* The cores only where some have several threads, or nodes are known: else the count of CPUs says all. */
static void describe_cpus(const struct line_writer *writer, const struct plan_machine *machine)
{
    uint32_t count = machine->cpu_count;
    bool is_plain = true;

    write_line(writer, count == 1 ? "CPUs: 1 (CPU 0)" : "CPUs: %u (CPUs 0-%u)", count, count - 1);
    for (uint32_t cpu = 0; cpu < count; cpu++)
        is_plain = is_plain && plan_cpu_node(machine, cpu) == PLAN_NODE_UNKNOWN && first_of_core(machine, cpu) == cpu;
    for (uint32_t cpu = 0; cpu < count && !is_plain; cpu++) {
        if (first_of_core(machine, cpu) == cpu)
            describe_core(writer, machine, cpu);
    }
}

static void describe_nodes(const struct line_writer *writer, const struct plan_machine *machine,
                           const struct extents *free)
{
    struct extents near;

    for (uint32_t i = 0; i < machine->memory_node_count; i++) {
        if (!plan_node_is_new(machine, i))
            continue;
        plan_node_free(machine, free, machine->memory_nodes[i].node, &near);
        write_line(writer, "  node %u: %s are free, the largest piece has %s", machine->memory_nodes[i].node,
                   plan_room_text(extents_total(&near)).text, plan_room_text(extents_largest(&near)).text);
    }
}

static void describe_memory(const struct line_writer *writer, const struct plan_machine *machine,
                            const struct extents *free)
{
    static const char *const types[] = {"reserved", "RAM", "reserved", "ACPI tables", "firmware (NVS)", "bad"};
    const struct boot_info *boot = machine->boot;

    write_line(writer, "memory: %s are free for guests, the largest piece has %s",
               plan_room_text(extents_total(free)).text, plan_room_text(extents_largest(free)).text);
    describe_nodes(writer, machine, free);
    for (uint32_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory_range *range = &boot->memory[i];
        write_line(writer, "  0x%012llx-0x%012llx %s", (unsigned long long)range->base,
                   (unsigned long long)range_end(range->base, range->size) - 1,
                   types[range->type < ARRAY_SIZE(types) ? range->type : BOOT_MEMORY_RESERVED]);
    }
}

static void describe_modules(const struct line_writer *writer, const struct boot_info *boot)
{
    write_line(writer, "boot modules: %u%s", boot->module_count,
               boot->modules_cut ? " (the loader brought more, which cannot be used)" : "");
    for (uint32_t i = 0; i < boot->module_count; i++) {
        const struct boot_module *module = &boot->modules[i];
        write_line(writer, "  %s%s, %llu bytes", module->name, module->name_cut ? "... (name too long)" : "",
                   (unsigned long long)module->size);
    }
}

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* Does the name contain the (lower-case) word, at its end if it must be there? */
static bool name_has(const char *name, const char *word, bool at_end)
{
    size_t length = strlen(word), name_length = strlen(name);

    for (size_t i = 0; i + length <= name_length; i++) {
        size_t k = 0;
        while (k < length && to_lower(name[i + k]) == word[k])
            k++;
        if (k == length && (!at_end || i + length == name_length))
            return true;
    }
    return false;
}

/* Can a configuration name this module? */
static bool is_usable(const struct boot_info *boot, const struct boot_module *module)
{
    if (module->name_cut || config_module_name_check(module->name, strlen(module->name)) != NULL)
        return false;
    for (uint32_t i = 0; i < boot->module_count; i++) {
        const struct boot_module *other = &boot->modules[i];
        if (other != module && !other->name_cut && strcmp(other->name, module->name) == 0)
            return false;
    }
    return true;
}

static bool is_initrd(const char *name)
{
    return name_has(name, "initr", false) || name_has(name, "rootfs", false) || name_has(name, "cpio", false);
}

static enum config_boot guess_boot(const char *name)
{
    if (name_has(name, "linu", false) || name_has(name, "bzimage", false))
        return CONFIG_BOOT_LINUX;
    if (name_has(name, ".bin", true))
        return CONFIG_BOOT_FLAT;
    if (name_has(name, ".elf", true) || name_has(name, "mach", false) || name_has(name, "multiboot", false))
        return CONFIG_BOOT_MULTIBOOT;
    return CONFIG_BOOT_LINUX;
}

/* How much a name looks like that of a kernel; 0: it cannot be one. */
static unsigned kernel_rank(const struct boot_info *boot, const struct boot_module *module)
{
    if (!is_usable(boot, module))
        return 0;
    if (is_initrd(module->name))
        return 1;
    return name_has(module->name, "linu", false) || name_has(module->name, "bzimage", false) ? 3 : 2;
}

static const struct boot_module *guess_kernel(const struct boot_info *boot)
{
    const struct boot_module *kernel = NULL;
    unsigned best = 0;

    for (uint32_t i = 0; i < boot->module_count; i++) {
        unsigned rank = kernel_rank(boot, &boot->modules[i]);
        if (rank > best) {
            best = rank;
            kernel = &boot->modules[i];
        }
    }
    return kernel;
}

static const struct boot_module *guess_initrd(const struct boot_info *boot, const struct boot_module *kernel)
{
    for (uint32_t i = 0; i < boot->module_count; i++) {
        const struct boot_module *module = &boot->modules[i];
        if (module != kernel && is_usable(boot, module) && is_initrd(module->name))
            return module;
    }
    return NULL;
}

/* A TOML string; two characters in a name need a backslash in front. */
static void write_name(const struct line_writer *writer, const char *key, const char *name)
{
    char text[2 * BOOT_NAME_SIZE];
    size_t length = 0;

    for (; *name != '\0'; name++) {
        if (*name == '"' || *name == '\\')
            text[length++] = '\\';
        text[length++] = *name;
    }
    text[length] = '\0';
    write_line(writer, "%-7s = \"%s\"", key, text);
}

/* The largest power of two that a free piece can hold, but not more than `most`. */
static uint64_t starter_memory(const struct extents *free, uint64_t most)
{
    uint64_t memory = most;

    while (memory > CONFIG_MEMORY_MIN && memory > extents_largest(free))
        memory /= 2;
    return memory;
}

/* The first that leaves CPU 0, and its core, to the hypervisor; else the last one. */
static uint32_t starter_cpu(const struct plan_machine *machine)
{
    uint32_t cpu = 0;

    while (cpu + 1 < machine->cpu_count && plan_share_core(machine, cpu, 0))
        cpu++;
    return cpu;
}

static void write_starter(const struct line_writer *writer, const struct plan_machine *machine,
                          const struct extents *free)
{
    static const char *const boots[] = {"linux", "linux", "multiboot", "flat"};
    const struct boot_info *boot = machine->boot;
    const struct boot_module *kernel = guess_kernel(boot);
    enum config_boot kind = kernel == NULL ? CONFIG_BOOT_LINUX : guess_boot(kernel->name);
    const struct boot_module *initrd = kind == CONFIG_BOOT_LINUX ? guess_initrd(boot, kernel) : NULL;
    uint64_t memory = starter_memory(free, kind == CONFIG_BOOT_FLAT ? FLAT_MEMORY_MAX : STARTER_MEMORY_MAX);

    write_line(writer, "[hypervisor]");
    write_line(writer, "console = \"com1\"");
    write_line(writer, "%s", "");
    write_line(writer, "[guest.one]");
    write_line(writer, "cpus    = [%u]", starter_cpu(machine));
    write_line(writer, "memory  = \"%lluM\"", (unsigned long long)(memory >> 20));
    write_line(writer, "boot    = \"%s\"", boots[kind]);
    write_name(writer, "kernel", kernel == NULL ? "vmlinuz" : kernel->name);
    if (initrd != NULL)
        write_name(writer, "initrd", initrd->name);
    if (kind == CONFIG_BOOT_LINUX)
        write_line(writer, "cmdline = \"console=ttyS0\"");
}

void plan_describe_machine(const struct plan_machine *machine, void (*line)(void *context, const char *text),
                           void *context)
{
    const struct line_writer writer = {line, context};
    struct extents free;

    plan_free_memory(machine, &free);
    describe_cpus(&writer, machine);
    describe_memory(&writer, machine, &free);
    describe_modules(&writer, machine->boot);
    if (guess_kernel(machine->boot) == NULL)
        write_line(&writer, "a guest needs a kernel: load one as a boot module too, behind a name of one word");
    if (extents_largest(&free) < CONFIG_MEMORY_MIN)
        write_line(&writer, "no guest fits: the least that it needs is a piece of 1 MiB");
    write_line(&writer, "load a file whose name ends in .toml as a boot module; one for this machine could say:");
    write_line(&writer, "%s", "");
    write_starter(&writer, machine, &free);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Everything is read off the plan and the machine; nothing is decided here.
 */
#include "hv/plan_describe.h"

#include "hv/plan_internal.h"

/* What describes a plan needs at every step. */
struct description {
    const struct plan *plan;
    const struct plan_machine *machine;
    struct line_writer writer;
};

static void add_node(struct sentence *sentence, uint32_t node)
{
    if (node != PLAN_NODE_UNKNOWN)
        sentence_add(sentence, ", node %u", node);
}

/* ---- CPUs ---- */

static const char *guest_name(const struct plan *plan, uint32_t index)
{
    return plan->guests[index].config->name;
}

/* The number that a guest knows its CPU by. */
static uint32_t vcpu_of(const struct plan_guest *guest, uint32_t cpu)
{
    uint32_t number = 0;

    while (number < guest->cpu_count && guest->cpus[number] != cpu)
        number++;
    return number;
}

static void describe_cpu(const struct description *about, uint32_t cpu)
{
    const struct plan *plan = about->plan;
    uint32_t owner = plan->cpu_owner[cpu];
    struct sentence sentence = {.length = 0};

    sentence_add(&sentence, "CPU %u", cpu);
    if (about->machine->cpus != NULL)
        sentence_add(&sentence, ", core %u", about->machine->cpus[cpu].core);
    add_node(&sentence, plan_cpu_node(about->machine, cpu));
    if (owner == PLAN_NOBODY)
        sentence_add(&sentence, ": the hypervisor%s",
                     cpu == plan->monitor_cpu ? ", which watches the guests there" : "");
    else
        sentence_add(&sentence, ": guest \"%s\", its CPU %u%s", guest_name(plan, owner),
                     vcpu_of(&plan->guests[owner], cpu),
                     cpu == plan->monitor_cpu ? "; between its exits the hypervisor watches the guests there" : "");
    write_line(&about->writer, "%s", sentence.text);
}

/* ---- Memory ---- */

struct owned {
    struct extent range; /* may be empty */
    const char *owner;   /* NULL: a guest */
    const char *what;    /* NULL: nothing to add */
    uint32_t guest;
};

/* All ranges that have an owner, and those that are free, by number. False behind the last. */
static bool owned_at(const struct description *about, uint32_t number, struct owned *owned)
{
    const struct plan *plan = about->plan;
    const struct plan_machine *machine = about->machine;
    const struct boot_info *boot = machine->boot;

    *owned = (struct owned){.owner = "the hypervisor"};
    if (number < machine->reserved_count) {
        const struct plan_reserved *reserved = &machine->reserved[number];
        owned->range = (struct extent){reserved->base, range_end(reserved->base, reserved->size)};
        owned->what = reserved->what;
        return true;
    }
    number -= machine->reserved_count;
    if (number < boot->module_count) {
        const struct boot_module *module = &boot->modules[number];
        owned->range = (struct extent){module->base, range_end(module->base, module->size)};
        owned->what = module->name;
        return true;
    }
    number -= boot->module_count;
    if (number < plan->guest_count * PLAN_PIECES_MAX) {
        *owned = (struct owned){.guest = number / PLAN_PIECES_MAX};
        owned->range = plan->guests[owned->guest].pieces[number % PLAN_PIECES_MAX];
        owned->what = number % PLAN_PIECES_MAX == 0 ? "its memory from 0" : "its memory from 4 GiB";
        return true;
    }
    number -= plan->guest_count * PLAN_PIECES_MAX;
    if (number >= plan->free.count)
        return false;
    *owned = (struct owned){.range = plan->free.items[number], .owner = "free"};
    return true;
}

/* One line for each node that the range lies on. */
static void describe_range(const struct description *about, const struct owned *owned)
{
    hpa_t end;

    for (hpa_t at = owned->range.base; at < owned->range.end; at = end) {
        struct sentence sentence = {.length = 0};
        uint32_t node = plan_node_at(about->machine, at, &end);
        end = min_u64(end, owned->range.end);
        sentence_add(&sentence, "memory 0x%012llx-0x%012llx", (unsigned long long)at, (unsigned long long)end - 1);
        add_node(&sentence, node);
        if (owned->owner != NULL)
            sentence_add(&sentence, ": %s", owned->owner);
        else
            sentence_add(&sentence, ": guest \"%s\"", guest_name(about->plan, owned->guest));
        if (owned->what != NULL)
            sentence_add(&sentence, " (%s)", owned->what);
        write_line(&about->writer, "%s", sentence.text);
    }
}

/* By address. Each turn looks for what comes next, so no list is kept. */
static void describe_memory(const struct description *about)
{
    struct owned owned, next = {.owner = NULL};
    uint64_t next_number = 0; /* those before it, of the same base, have had their turn */
    bool found = true;

    while (found) {
        uint64_t base = next.range.base, number = next_number;
        found = false;
        for (uint32_t i = 0; owned_at(about, i, &owned); i++) {
            bool is_left = owned.range.base > base || (owned.range.base == base && i >= number);
            if (!is_left || owned.range.base >= owned.range.end || (found && owned.range.base >= next.range.base))
                continue;
            found = true;
            next = owned;
            next_number = i + 1;
        }
        if (found)
            describe_range(about, &next);
    }
}

/* ---- Ports and devices ---- */

static void describe_devices(const struct description *about)
{
    const struct plan *plan = about->plan;
    const struct plan_machine *machine = about->machine;

    for (uint32_t i = 0; i < machine->port_count; i++)
        write_line(&about->writer, "ports 0x%04x-0x%04x: the hypervisor (%s)", machine->ports[i].first,
                   machine->ports[i].last, machine->ports[i].what);
    write_line(&about->writer, "all other physical ports and devices: the hypervisor; guests see models only");
    for (uint32_t i = 0; i < plan->guest_count; i++) {
        const struct guest_config *guest = plan->guests[i].config;
        struct sentence sentence = {.length = 0};
        for (uint32_t k = 0; k < guest->device_count; k++)
            sentence_add(&sentence, "%s%s", k == 0 ? "" : ", ", guest->devices[k].name);
        write_line(&about->writer, "models for guest \"%s\": %s", guest->name,
                   config_guest_has(guest, CONFIG_DEVICES) ? sentence.text : "the whole PC");
    }
}

void plan_describe(const struct plan *plan, const struct plan_machine *machine,
                   void (*line)(void *context, const char *text), void *context)
{
    const struct description about = {plan, machine, {line, context}};

    for (uint32_t cpu = 0; cpu < machine->cpu_count; cpu++)
        describe_cpu(&about, cpu);
    describe_memory(&about);
    describe_devices(&about);
}

/* ---- What a user may not expect ---- */

/* Is any of the guest's first `count` CPUs on that node? */
static bool has_cpu_on(const struct description *about, const struct plan_guest *guest, uint32_t count, uint32_t node)
{
    for (uint32_t i = 0; i < count; i++) {
        if (plan_cpu_node(about->machine, guest->cpus[i]) == node)
            return true;
    }
    return false;
}

/* "node 0 and node 2": those that the guest's CPUs are known to be on. */
static struct sentence cpu_nodes_text(const struct description *about, const struct plan_guest *guest)
{
    struct sentence sentence = {.length = 0};

    for (uint32_t i = 0; i < guest->cpu_count; i++) {
        uint32_t node = plan_cpu_node(about->machine, guest->cpus[i]);
        if (node != PLAN_NODE_UNKNOWN && !has_cpu_on(about, guest, i, node))
            sentence_add(&sentence, "%snode %u", sentence.length == 0 ? "" : " and ", node);
    }
    return sentence;
}

static uint64_t bytes_on(const struct description *about, const struct plan_guest *guest, uint32_t node)
{
    uint64_t bytes = 0;
    hpa_t end;

    for (uint32_t i = 0; i < guest->piece_count; i++) {
        for (hpa_t at = guest->pieces[i].base; at < guest->pieces[i].end; at = end) {
            uint32_t here = plan_node_at(about->machine, at, &end);
            end = min_u64(end, guest->pieces[i].end);
            bytes += here == node ? end - at : 0;
        }
    }
    return bytes;
}

static void remark_memory(const struct description *about, const struct plan_guest *guest)
{
    struct sentence nodes = cpu_nodes_text(about, guest);

    for (uint32_t i = 0; i < about->machine->memory_node_count && nodes.length != 0; i++) {
        uint32_t node = about->machine->memory_nodes[i].node;
        if (!plan_node_is_new(about->machine, i) || has_cpu_on(about, guest, guest->cpu_count, node))
            continue;
        uint64_t bytes = bytes_on(about, guest, node);
        if (bytes != 0)
            write_line(&about->writer, "guest \"%s\": %s of its memory are on node %u, its CPUs on %s",
                       guest->config->name, plan_size_text(bytes).text, node, nodes.text);
    }
}

/* Each pair of CPUs of one core whose owners differ is named once, at the higher CPU. */
static void remark_core(const struct description *about, uint32_t cpu)
{
    const struct plan *plan = about->plan;

    for (uint32_t other = 0; other < cpu; other++) {
        uint32_t owner = plan->cpu_owner[cpu], neighbour = plan->cpu_owner[other];
        if (owner == neighbour || !plan_share_core(about->machine, cpu, other))
            continue;
        if (owner != PLAN_NOBODY && neighbour != PLAN_NOBODY)
            write_line(&about->writer, "guests \"%s\" and \"%s\" share core %u (CPU %u and CPU %u), as both allow",
                       guest_name(plan, neighbour), guest_name(plan, owner), about->machine->cpus[cpu].core, other,
                       cpu);
        else if (plan->monitor_cpu == (owner == PLAN_NOBODY ? cpu : other))
            write_line(&about->writer, "CPU %u, which watches the guests, shares core %u with guest \"%s\"",
                       plan->monitor_cpu, about->machine->cpus[cpu].core,
                       guest_name(plan, owner == PLAN_NOBODY ? neighbour : owner));
    }
}

void plan_remarks(const struct plan *plan, const struct plan_machine *machine,
                  void (*line)(void *context, const char *text), void *context)
{
    const struct description about = {plan, machine, {line, context}};

    for (uint32_t i = 0; i < plan->guest_count; i++)
        remark_memory(&about, &plan->guests[i]);
    for (uint32_t cpu = 0; cpu < machine->cpu_count; cpu++)
        remark_core(&about, cpu);
}

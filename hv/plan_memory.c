/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where guests' memory goes: first the sums, then the places that the user chose, then a place for all others.
 */
#include "hv/error.h"
#include "hv/format.h"
#include "hv/plan_internal.h"

/* A piece that needs a place. */
struct want {
    uint32_t guest;
    uint32_t piece; /* 0: below the hole, 1: above it */
    uint64_t size;
    bool placed;
};

struct memory_planner {
    const struct planner *planner;
    bool refused[GUESTS_MAX]; /* reported already: looks for no place */
    struct want wants[GUESTS_MAX * PLAN_PIECES_MAX];
    uint32_t want_count;
};

static void take_away(struct extents *free, hpa_t base, uint64_t size)
{
    uint64_t end = min_u64(range_end(base, size), CONFIG_ADDRESS_LIMIT);

    /* With no room for another piece the rest of one is lost, never given away twice. */
    if (size != 0)
        (void)extents_remove(free, ALIGN_DOWN(base, PAGE_SIZE), ALIGN_UP(end, PAGE_SIZE));
}

void plan_free_memory(const struct plan_machine *machine, struct extents *free)
{
    const struct boot_info *boot = machine->boot;
    uint64_t ram_end = machine->ram_end == 0 ? CONFIG_ADDRESS_LIMIT : min_u64(machine->ram_end, CONFIG_ADDRESS_LIMIT);

    _Static_assert(EXTENTS_MAX >=
                       BOOT_MEMORY_RANGES_MAX + MODULES_MAX + PLAN_RESERVED_MAX + GUESTS_MAX * PLAN_PIECES_MAX,
                   "each range adds a piece at most: nothing is lost");
    free->count = 0;
    for (uint32_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory_range *range = &boot->memory[i];
        if (range->type == BOOT_MEMORY_RAM)
            (void)extents_add(free, range->base, min_u64(range_end(range->base, range->size), ram_end));
    }
    for (uint32_t i = 0; i < boot->memory_count; i++) {
        if (boot->memory[i].type != BOOT_MEMORY_RAM)
            take_away(free, boot->memory[i].base, boot->memory[i].size);
    }
    for (uint32_t i = 0; i < boot->module_count; i++)
        take_away(free, boot->modules[i].base, boot->modules[i].size);
    for (uint32_t i = 0; i < machine->reserved_count; i++)
        take_away(free, machine->reserved[i].base, machine->reserved[i].size);
    extents_align(free, PAGE_SIZE);
}

/* Guests that alone are too large. Returns what all others ask for. */
static uint64_t check_each(struct memory_planner *work, uint64_t total)
{
    const struct planner *planner = work->planner;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < planner->config->guest_count; i++) {
        const struct guest_config *guest = &planner->config->guests[i];
        work->refused[i] = guest->memory_bytes > total;
        sum += work->refused[i] ? 0 : guest->memory_bytes; /* far from wrapping: no processor has so much memory */
        if (work->refused[i])
            plan_error(planner, guest, guest->keys[CONFIG_MEMORY].position,
                       "memory %s is more than there is: %s are free for guests, the largest piece has %s",
                       plan_size_text(guest->memory_bytes).text, plan_room_text(total).text,
                       plan_room_text(extents_largest(&planner->plan->free)).text);
    }
    return sum;
}

static void report_sum(const struct planner *planner, const struct guest_config *guest, uint64_t sum, uint64_t total)
{
    uint64_t excess = sum - total;
    const char *who = "all guests";

    for (uint32_t i = 0; i < planner->config->guest_count; i++) {
        if (planner->config->guests[i].memory_bytes > total)
            who = "the other guests";
    }
    plan_error(planner, guest, guest->keys[CONFIG_MEMORY].position,
               "memory %s is more than is left: %s together ask for %s, and %s are free: %s too much",
               plan_size_text(guest->memory_bytes).text, who, plan_size_text(sum).text, plan_room_text(total).text,
               plan_size_text(excess < MIB(1) ? excess : ALIGN_UP(excess, MIB(1))).text);
}

/* Do they want more than there is? The sum is said once, at the first guest for which too little is left. */
static void check_sums(struct memory_planner *work)
{
    const struct planner *planner = work->planner;
    uint64_t total = extents_total(&planner->plan->free), left = total;
    uint64_t sum = check_each(work, total);
    bool is_said = false;

    for (uint32_t i = 0; i < planner->config->guest_count; i++) {
        const struct guest_config *guest = &planner->config->guests[i];
        if (work->refused[i])
            continue;
        if (guest->memory_bytes <= left) {
            left -= guest->memory_bytes;
            continue;
        }
        work->refused[i] = true;
        if (!is_said)
            report_sum(planner, guest, sum, total);
        is_said = true;
    }
}

static bool touches(hpa_t base, uint64_t size, struct extent wanted)
{
    return size != 0 && base < wanted.end && wanted.base < range_end(base, size);
}

static const char *type_name(uint32_t type)
{
    switch (type) {
    case BOOT_MEMORY_ACPI: return "memory for ACPI tables";
    case BOOT_MEMORY_NVS: return "memory that the firmware keeps (NVS)";
    case BOOT_MEMORY_BAD: return "bad memory";
    default: return "reserved memory";
    }
}

/* What lies in the way of the memory that a guest wants: a name for it, and its range. */
static const char *find_obstacle(const struct planner *planner, struct extent wanted, struct extent *obstacle)
{
    const struct plan_machine *machine = planner->machine;
    const struct boot_info *boot = machine->boot;

    for (uint32_t i = 0; i < machine->reserved_count; i++) {
        const struct plan_reserved *reserved = &machine->reserved[i];
        if (touches(reserved->base, reserved->size, wanted)) {
            *obstacle = (struct extent){reserved->base, range_end(reserved->base, reserved->size)};
            return reserved->what;
        }
    }
    for (uint32_t i = 0; i < boot->module_count; i++) {
        if (touches(boot->modules[i].base, boot->modules[i].size, wanted)) {
            *obstacle = (struct extent){boot->modules[i].base, range_end(boot->modules[i].base, boot->modules[i].size)};
            return boot->modules[i].name;
        }
    }
    for (uint32_t i = 0; i < boot->memory_count; i++) {
        const struct boot_memory_range *range = &boot->memory[i];
        if (range->type != BOOT_MEMORY_RAM && touches(range->base, range->size, wanted)) {
            *obstacle = (struct extent){range->base, range_end(range->base, range->size)};
            return type_name(range->type);
        }
    }
    return NULL;
}

/* The guest before `index` whose chosen place touches the wanted memory, or NULL. */
static const struct guest_config *find_neighbour(const struct planner *planner, uint32_t index, struct extent wanted)
{
    for (uint32_t i = 0; i < index; i++) {
        const struct plan_guest *other = &planner->plan->guests[i];
        for (uint32_t k = 0; k < other->piece_count; k++) {
            if (touches(other->pieces[k].base, other->pieces[k].end - other->pieces[k].base, wanted))
                return other->config;
        }
    }
    return NULL;
}

static void report_base(const struct planner *planner, uint32_t index, struct extent wanted)
{
    const struct guest_config *guest = &planner->config->guests[index];
    const struct guest_config *neighbour = find_neighbour(planner, index, wanted);
    struct config_position position = guest->keys[CONFIG_MEMORY_BASE].position;
    struct plan_text size = plan_size_text(guest->memory_bytes);
    struct plan_text advice = {""};
    struct extent obstacle;
    unsigned long long base = wanted.base, last = wanted.end - 1;
    const char *what = find_obstacle(planner, wanted, &obstacle);
    uint64_t better;

    if (extents_fit(&planner->plan->free, guest->memory_bytes, MIB(2), &better) == 0)
        format_text(advice.text, sizeof(advice.text), "0x%llx would be free", (unsigned long long)better);
    else
        format_text(advice.text, sizeof(advice.text), "remove the key");
    if (neighbour != NULL)
        plan_error(planner, guest, position,
                   "memory_base 0x%llx: %s from there touch the memory of guest \"%s\" (line %u); %s", base, size.text,
                   neighbour->name, neighbour->keys[CONFIG_MEMORY_BASE].position.line, advice.text);
    else if (what != NULL)
        plan_error(planner, guest, position, "memory_base 0x%llx: %s from there touch %s at 0x%llx-0x%llx; %s", base,
                   size.text, what, (unsigned long long)obstacle.base, (unsigned long long)obstacle.end - 1,
                   advice.text);
    else
        plan_error(planner, guest, position, "memory_base 0x%llx: not all of 0x%llx-0x%llx is RAM; %s", base, base,
                   last, advice.text);
}

static uint64_t low_size(const struct guest_config *guest)
{
    return min_u64(guest->memory_bytes, GUEST_LOW_RAM_MAX);
}

static bool has_base(const struct guest_config *guest)
{
    return guest->keys[CONFIG_MEMORY_BASE].given;
}

static void piece_set(struct plan *plan, uint32_t guest, uint32_t piece, hpa_t base, uint64_t size)
{
    plan->guests[guest].pieces[piece] = (struct extent){base, base + size};
    (void)extents_remove(&plan->free, base, base + size); /* room for all pieces: see plan_free_memory */
}

/* Guests whose place the user chose: one range for both pieces. */
static void place_chosen(struct memory_planner *work)
{
    const struct planner *planner = work->planner;
    struct plan *plan = planner->plan;

    for (uint32_t i = 0; i < plan->guest_count; i++) {
        const struct guest_config *guest = &planner->config->guests[i];
        const struct extent wanted = {guest->memory_base, range_end(guest->memory_base, guest->memory_bytes)};
        uint64_t low = low_size(guest);
        if (!has_base(guest) || work->refused[i])
            continue;
        if (extents_find(&plan->free, wanted.base, wanted.end) == NULL) {
            report_base(planner, i, wanted);
            work->refused[i] = true;
            continue;
        }
        plan->guests[i].piece_count = low < guest->memory_bytes ? 2 : 1;
        piece_set(plan, i, 0, wanted.base, low);
        if (low < guest->memory_bytes)
            piece_set(plan, i, 1, wanted.base + low, guest->memory_bytes - low);
    }
}

/* Keep the largest first, equal ones in the order they came in. */
static void want_add(struct memory_planner *work, struct want want)
{
    uint32_t at = work->want_count++;

    for (; at > 0 && work->wants[at - 1].size < want.size; at--)
        work->wants[at] = work->wants[at - 1];
    work->wants[at] = want;
}

static void collect_wants(struct memory_planner *work)
{
    const struct config *config = work->planner->config;

    for (uint32_t i = 0; i < config->guest_count; i++) {
        const struct guest_config *guest = &config->guests[i];
        uint64_t low = low_size(guest);
        if (has_base(guest) || work->refused[i])
            continue;
        want_add(work, (struct want){i, 0, low, false});
        if (low < guest->memory_bytes)
            want_add(work, (struct want){i, 1, guest->memory_bytes - low, false});
        work->planner->plan->guests[i].piece_count = low < guest->memory_bytes ? 2 : 1;
    }
}

/* What is free once the chosen places are taken. */
static void start_over(const struct planner *planner)
{
    struct plan *plan = planner->plan;

    plan_free_memory(planner->machine, &plan->free);
    for (uint32_t i = 0; i < plan->guest_count; i++) {
        for (uint32_t k = 0; has_base(plan->guests[i].config) && k < plan->guests[i].piece_count; k++)
            (void)extents_remove(&plan->free, plan->guests[i].pieces[k].base, plan->guests[i].pieces[k].end);
    }
}

static uint64_t piece_alignment(const struct want *want, uint64_t alignment_max)
{
    return min_u64(alignment_max, want->size >= GIB(1) ? GIB(1) : MIB(2));
}

/* How many of a guest's CPUs are on the node of its `cpu`-th; 0 when that is unknown. */
static uint32_t node_weight(const struct plan_machine *machine, const struct plan_guest *guest, uint32_t cpu)
{
    uint32_t node = plan_cpu_node(machine, guest->cpus[cpu]), weight = 0;

    for (uint32_t i = 0; i < guest->cpu_count && node != PLAN_NODE_UNKNOWN; i++)
        weight += plan_cpu_node(machine, guest->cpus[i]) == node;
    return weight;
}

static bool place_on_node(const struct planner *planner, struct want *want, uint32_t node, uint64_t alignment)
{
    struct extents near;
    uint64_t base;

    plan_node_free(planner->machine, &planner->plan->free, node, &near);
    if (extents_fit(&near, want->size, alignment, &base) != 0 &&
        extents_fit(&near, want->size, min_u64(alignment, MIB(2)), &base) != 0)
        return false;
    piece_set(planner->plan, want->guest, want->piece, base, want->size);
    return true;
}

/* A place near the guest's CPUs: from the node with most of them to that with the fewest. */
static bool place_near(const struct planner *planner, struct want *want, uint64_t alignment)
{
    const struct plan_guest *guest = &planner->plan->guests[want->guest];

    for (uint32_t weight = guest->cpu_count; weight > 0; weight--) {
        for (uint32_t i = 0; i < guest->cpu_count; i++) {
            if (node_weight(planner->machine, guest, i) == weight &&
                place_on_node(planner, want, plan_cpu_node(planner->machine, guest->cpus[i]), alignment))
                return true;
        }
    }
    return false;
}

static void report_no_piece(const struct planner *planner, const struct want *want)
{
    const struct guest_config *guest = &planner->config->guests[want->guest];
    const struct extents *free = &planner->plan->free;

    plan_error(planner, guest, guest->keys[CONFIG_MEMORY].position,
               "memory %s needs one piece of %s; the largest that is left has %s, all together have %s",
               plan_size_text(guest->memory_bytes).text, plan_size_text(want->size).text,
               plan_room_text(extents_largest(free)).text, plan_room_text(extents_total(free)).text);
}

/* One way to give every want a place. */
struct attempt {
    uint64_t alignment_max;
    bool near;    /* those that can be near their guests' CPUs go first */
    bool reports; /* the last resort: says which found no place */
};

/* False when a want found no place. */
static bool place_wants(struct memory_planner *work, const struct attempt *attempt)
{
    const struct planner *planner = work->planner;
    bool complete = true;

    start_over(planner);
    for (uint32_t i = 0; i < work->want_count; i++) {
        struct want *want = &work->wants[i];
        want->placed = attempt->near && planner->machine->memory_node_count > 0 &&
                       place_near(planner, want, piece_alignment(want, attempt->alignment_max));
    }
    for (uint32_t i = 0; i < work->want_count; i++) {
        const struct want *want = &work->wants[i];
        uint64_t base;
        if (want->placed)
            continue;
        if (extents_fit(&planner->plan->free, want->size, piece_alignment(want, attempt->alignment_max), &base) == 0) {
            piece_set(planner->plan, want->guest, want->piece, base, want->size);
            continue;
        }
        complete = false;
        if (attempt->reports)
            report_no_piece(planner, want);
    }
    return complete;
}

static void ram_add(struct plan_guest *guest, gpa_t base, hpa_t host, gpa_t end)
{
    if (base < end)
        guest->ram[guest->ram_count++] = (struct guest_ram){base, host, end - base};
}

/* The PC's layout: the hole of the VGA's graphics memory has RAM behind it that the guest does not see. */
static void lay_out(struct plan_guest *guest)
{
    const struct extent *low = &guest->pieces[0], *high = &guest->pieces[1];
    uint64_t size = low->end - low->base;

    ram_add(guest, 0, low->base, min_u64(size, GUEST_VGA_HOLE_BASE));
    ram_add(guest, GUEST_VGA_TEXT_BASE, low->base + GUEST_VGA_TEXT_BASE, size);
    if (guest->piece_count > 1)
        ram_add(guest, GUEST_HIGH_RAM_BASE, high->base, GUEST_HIGH_RAM_BASE + (high->end - high->base));
}

void plan_memory(const struct planner *planner)
{
    static const struct attempt attempts[] = {
        {GIB(1), true, false},  {MIB(2), true, false},    {GIB(1), false, false},
        {MIB(2), false, false}, {PAGE_SIZE, true, false}, {PAGE_SIZE, false, true},
    };
    struct memory_planner work = {.planner = planner};
    bool complete = false;

    plan_free_memory(planner->machine, &planner->plan->free);
    check_sums(&work);
    place_chosen(&work);
    collect_wants(&work);
    for (size_t i = 0; i < ARRAY_SIZE(attempts) && !complete; i++)
        complete = place_wants(&work, &attempts[i]);
    for (uint32_t i = 0; i < planner->plan->guest_count; i++)
        lay_out(&planner->plan->guests[i]);
}

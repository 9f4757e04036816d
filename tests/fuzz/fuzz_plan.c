/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any bytes as a machine, with cores and nodes, and as the wishes of up to eight guests. Each piece of the input is a
 * kind (a byte) and three numbers (a byte, 2 and 2), from which sizes of all magnitudes are made. No sanitizer may
 * complain; a refusal has words; in an accepted plan every byte of every guest is RAM, belongs to nobody else, every
 * CPU has one owner and every core one, unless all allow more; and nodes never decide whether a plan is accepted.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hv/inventory.h"
#include "hv/plan.h"
#include "hv/plan_describe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #condition);                             \
            abort();                                                                                                   \
        }                                                                                                              \
    } while (0)

#define STEP_BYTES 6u

static struct boot_info boot;
static struct plan_machine machine;
static struct plan_cpu cpus[CPUS_MAX];
static struct plan_memory_node nodes[64];
static struct config config;
static struct plan plan, again;
static struct diagnostics diagnostics;
static unsigned lines;

static void report(struct diagnostics *self, const char *text)
{
    REQUIRE(self == &diagnostics && strncmp(text, "f.toml:", 7) == 0);
    lines++;
}

static void line(void *context, const char *text)
{
    REQUIRE(context == NULL && strlen(text) < 200);
}

/* 2^0 to 2^63 times a small number: ranges that wrap are welcome. */
static uint64_t number(const uint8_t *at, unsigned shift)
{
    return (uint64_t)(at[0] | at[1] << 8) << (shift % 64);
}

static void add_guest(const uint8_t *step)
{
    struct guest_config *guest = &config.guests[config.guest_count];

    if (config.guest_count == GUESTS_MAX)
        return;
    memset(guest, 0, sizeof(*guest));
    snprintf(guest->name, sizeof(guest->name), "g%u", config.guest_count);
    guest->position.line = ++config.guest_count;
    for (unsigned i = 0; i < CONFIG_GUEST_KEYS; i++)
        guest->keys[i].position = (struct config_position){config.guest_count, i + 1};
    guest->cpu_count = 1u + step[1] % 3u;
    for (uint32_t i = 0; i < guest->cpu_count; i++)
        guest->cpus[i] = (struct config_cpu){(step[1] + i) % CPUS_MAX, {config.guest_count, 1}};
    /* What config.h promises of the two sizes. */
    guest->memory_bytes = max_u64(ALIGN_DOWN(number(step + 2, step[1] >> 2), PAGE_SIZE), CONFIG_MEMORY_MIN);
    guest->memory_bytes = min_u64(guest->memory_bytes, BIT(51));
    guest->memory_base = ALIGN_DOWN(number(step + 4, step[0] >> 3), PAGE_SIZE) % BIT(51);
    guest->keys[CONFIG_MEMORY_BASE].given = guest->memory_base >= MIB(1);
    strcpy(guest->kernel, (step[0] & 8) != 0 ? "kernel" : "k1");
    strcpy(guest->initrd, (step[4] & 7) == 7 ? "k2" : "");
    guest->allow_shared_core = (step[2] & 1) != 0;
}

/* What a machine has besides: the end of RAM, a node's memory, or where some CPUs lie. */
static void take_place(const uint8_t *step, uint64_t base, uint64_t bytes)
{
    switch (step[0] >> 3 & 3) {
    case 0: machine.ram_end = base; break;
    case 1:
        if (machine.memory_node_count < ARRAY_SIZE(nodes))
            nodes[machine.memory_node_count++] = (struct plan_memory_node){base, bytes, step[0] >> 5};
        break;
    default:
        machine.cpus = cpus;
        for (uint32_t i = step[1] % CPUS_MAX, end = i + step[2] % 8u; i < end && i < CPUS_MAX; i++)
            cpus[i] = (struct plan_cpu){step[3] % 8u, step[4] % 4u, step[5] < 8 ? step[5] : PLAN_NODE_UNKNOWN};
        break;
    }
}

static void take_step(const uint8_t *step)
{
    uint64_t base = number(step + 2, step[1]), bytes = number(step + 4, step[0] >> 2);
    char name[16];

    switch (step[0] % 8) {
    case 0:
    case 1:
    case 2:
    case 3:
        if (boot.memory_count < BOOT_MEMORY_RANGES_MAX)
            boot.memory[boot.memory_count++] = (struct boot_memory_range){
                base, bytes, (step[0] & 4) != 0 || step[1] < 192 ? BOOT_MEMORY_RAM : step[1] % 6u};
        break;
    case 4:
        snprintf(name, sizeof(name), "k%u", boot.module_count);
        boot_module_add(&boot, base, bytes, name);
        break;
    case 5:
        if (machine.reserved_count < PLAN_RESERVED_MAX)
            machine.reserved[machine.reserved_count++] = (struct plan_reserved){base, bytes, "something"};
        break;
    case 6: take_place(step, base, bytes); break;
    default: add_guest(step); break;
    }
}

static uint64_t end_of(uint64_t base, uint64_t size)
{
    return size > UINT64_MAX - base ? UINT64_MAX : base + size;
}

/* The end of the RAM that goes on without a gap from `at`. */
static uint64_t ram_from(uint64_t at)
{
    for (uint32_t i = 0; i < boot.memory_count; i++) {
        uint64_t end = end_of(boot.memory[i].base, boot.memory[i].size);
        if (boot.memory[i].type == BOOT_MEMORY_RAM && boot.memory[i].base <= at && at < end) {
            at = end;
            i = UINT32_MAX; /* once more from the first */
        }
    }
    return at;
}

static bool apart(struct extent piece, uint64_t base, uint64_t size)
{
    return size == 0 || piece.end <= base || end_of(base, size) <= piece.base;
}

static void check_piece(struct extent piece, const struct extent *self)
{
    REQUIRE(piece.base < piece.end && IS_ALIGNED(piece.base, PAGE_SIZE) && IS_ALIGNED(piece.end, PAGE_SIZE));
    REQUIRE(machine.ram_end == 0 || piece.end <= machine.ram_end);
    REQUIRE(ram_from(piece.base) >= piece.end);
    for (uint32_t i = 0; i < boot.memory_count; i++)
        REQUIRE(boot.memory[i].type == BOOT_MEMORY_RAM || apart(piece, boot.memory[i].base, boot.memory[i].size));
    for (uint32_t i = 0; i < boot.module_count; i++)
        REQUIRE(apart(piece, boot.modules[i].base, boot.modules[i].size));
    for (uint32_t i = 0; i < machine.reserved_count; i++)
        REQUIRE(apart(piece, machine.reserved[i].base, machine.reserved[i].size));
    for (uint32_t i = 0; i < plan.free.count; i++)
        REQUIRE(apart(piece, plan.free.items[i].base, plan.free.items[i].end - plan.free.items[i].base));
    for (uint32_t i = 0; i < plan.guest_count; i++) {
        for (uint32_t k = 0; k < plan.guests[i].piece_count; k++) {
            const struct extent *other = &plan.guests[i].pieces[k];
            REQUIRE(other == self || apart(piece, other->base, other->end - other->base));
        }
    }
}

static void check_guest(uint32_t index)
{
    const struct plan_guest *guest = &plan.guests[index];
    uint64_t bytes = 0, ram = 0;

    for (uint32_t i = 0; i < guest->piece_count; i++) {
        check_piece(guest->pieces[i], &guest->pieces[i]);
        bytes += guest->pieces[i].end - guest->pieces[i].base;
    }
    REQUIRE(bytes == guest->config->memory_bytes);
    if (guest->config->keys[CONFIG_MEMORY_BASE].given)
        REQUIRE(guest->pieces[0].base == guest->config->memory_base);
    for (uint32_t i = 0; i < guest->ram_count; i++) {
        const struct guest_ram *range = &guest->ram[i];
        uint32_t piece = range->base < GUEST_HIGH_RAM_BASE ? 0 : 1;
        uint64_t offset = range->base - (piece == 0 ? 0 : GUEST_HIGH_RAM_BASE);
        REQUIRE(range->host == guest->pieces[piece].base + offset);
        REQUIRE(range->host + range->size <= guest->pieces[piece].end);
        ram += range->size;
    }
    REQUIRE(ram + (GUEST_VGA_TEXT_BASE - GUEST_VGA_HOLE_BASE) == bytes);
    REQUIRE(guest->cpu_count == guest->config->cpu_count);
    for (uint32_t i = 0; i < guest->cpu_count; i++)
        REQUIRE(guest->cpus[i] < machine.cpu_count && plan.cpu_owner[guest->cpus[i]] == index);
}

static void check_cores(void)
{
    bool has_quiet_core = false;

    for (uint32_t cpu = 0; cpu < machine.cpu_count; cpu++) {
        bool is_quiet = true;
        for (uint32_t other = 0; other < machine.cpu_count; other++) {
            uint32_t a = plan.cpu_owner[cpu], b = plan.cpu_owner[other];
            if (!plan_share_core(&machine, cpu, other))
                continue;
            is_quiet = is_quiet && b == PLAN_NOBODY;
            if (a != b && a != PLAN_NOBODY && b != PLAN_NOBODY)
                REQUIRE(config.guests[a].allow_shared_core && config.guests[b].allow_shared_core);
        }
        has_quiet_core = has_quiet_core || is_quiet;
    }
    for (uint32_t cpu = 0; cpu < machine.cpu_count && has_quiet_core; cpu++)
        REQUIRE(!plan_share_core(&machine, cpu, plan.monitor_cpu) || plan.cpu_owner[cpu] == PLAN_NOBODY);
}

/* The same once more gives the same; without nodes it is accepted or refused alike. */
static void check_again(int error)
{
    unsigned lines_before = lines;

    REQUIRE(plan_make("f.toml", &config, &machine, &again, &diagnostics) == error);
    REQUIRE(error != 0 || memcmp(&plan, &again, sizeof(plan)) == 0);
    REQUIRE(lines == 2 * lines_before);
    machine.memory_node_count = 0;
    REQUIRE(plan_make("f.toml", &config, &machine, &again, &diagnostics) == error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    memset(&diagnostics, 0, sizeof(diagnostics));
    for (uint32_t i = 0; i < CPUS_MAX; i++)
        cpus[i] = (struct plan_cpu){CPUS_MAX + i, 0, PLAN_NODE_UNKNOWN};
    machine.memory_nodes = nodes;
    config.guest_count = 0;
    lines = 0;
    diagnostics.report = report;
    machine.boot = &boot;
    machine.cpu_count = 1;
    boot_module_add(&boot, 0, 0, "kernel");
    if (size > 0)
        machine.cpu_count = 1u + data[0] % CPUS_MAX;
    for (size_t at = 1; at + STEP_BYTES <= size; at += STEP_BYTES)
        take_step(data + at);
    int error = plan_make("f.toml", &config, &machine, &plan, &diagnostics);
    REQUIRE((error == 0) == (lines == 0) && diagnostics.errors >= lines);
    REQUIRE(plan.monitor_cpu < machine.cpu_count);
    REQUIRE(error != 0 || plan.monitor_shares_cpu == (plan.cpu_owner[plan.monitor_cpu] != PLAN_NOBODY));
    for (uint32_t i = 0; i < plan.guest_count && error == 0; i++)
        check_guest(i);
    plan_describe_machine(&machine, line, NULL);
    if (error == 0) {
        check_cores();
        plan_describe(&plan, &machine, line, NULL);
        plan_remarks(&plan, &machine, line, NULL);
    }
    check_again(error);
    return 0;
}

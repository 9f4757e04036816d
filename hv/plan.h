/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Who owns what: the parsed configuration and the machine give an owner for every CPU and every piece of memory, or
 * errors that name the line. A pure function: the hypervisor and a program that checks a configuration run the same.
 */
#ifndef HV_PLAN_H
#define HV_PLAN_H

#include "hv/boot_info.h"
#include "hv/config.h"
#include "hv/diagnostic.h"
#include "hv/extents.h"
#include "hv/guest.h"
#include "hv/types.h"

#define PLAN_RESERVED_MAX 32u
#define PLAN_PORTS_MAX    16u
#define PLAN_PIECES_MAX   2u /* a guest's RAM below and above its hole */
#define PLAN_NOBODY       UINT32_MAX
#define PLAN_NODE_UNKNOWN UINT32_MAX

/* Host memory that no guest may get though the boot map calls it RAM. `what` is for messages: "the page pool". */
struct plan_reserved {
    hpa_t base;
    uint64_t size;
    const char *what;
};

/* Physical ports that the hypervisor itself uses, for plan_describe: it owns all others as well. */
struct plan_ports {
    uint16_t first;
    uint16_t last;
    const char *what;
};

/* Where a CPU lies. */
struct plan_cpu {
    uint32_t core;    /* the same for the hardware threads of one core, and for these only */
    uint32_t package; /* for messages */
    uint32_t node;    /* of memory that is near, or PLAN_NODE_UNKNOWN */
};

/* Memory of a node. Ranges may overlap each other, holes and the ends of RAM: the first one in the list wins. */
struct plan_memory_node {
    hpa_t base;
    uint64_t size;
    uint32_t node;
};

/* The machine as far as a plan depends on it. */
struct plan_machine {
    const struct boot_info *boot; /* ranges may overlap, be unsorted and unaligned: what is not RAM wins */
    uint32_t cpu_count;           /* CPUs that run, 1 to CPUS_MAX; numbered from 0 */
    const struct plan_cpu *cpus;  /* one for each CPU; NULL: unknown, each counts as a core of its own */
    const struct plan_memory_node *memory_nodes;
    uint32_t memory_node_count; /* 0: unknown, all memory is equally near */
    hpa_t ram_end;              /* RAM from here on is out of the hypervisor's reach; 0: all is within */
    struct plan_reserved reserved[PLAN_RESERVED_MAX];
    uint32_t reserved_count;
    struct plan_ports ports[PLAN_PORTS_MAX];
    uint32_t port_count;
};

/* What one guest owns. */
struct plan_guest {
    const struct guest_config *config;
    uint32_t cpus[GUEST_CPUS_MAX]; /* host CPUs, in the order of the vCPUs */
    uint32_t cpu_count;
    struct extent pieces[PLAN_PIECES_MAX]; /* host memory: behind RAM up to 3 GiB, then behind RAM from 4 GiB on */
    uint32_t piece_count;
    struct guest_ram ram[GUEST_RAM_MAX]; /* what of the pieces the guest sees, sorted: all but the VGA hole */
    uint32_t ram_count;
};

/* About 8 KiB. */
struct plan {
    struct plan_guest guests[GUESTS_MAX]; /* in the order of the file */
    uint32_t guest_count;
    uint32_t cpu_owner[CPUS_MAX]; /* index into guests, or PLAN_NOBODY */
    /* The lowest CPU that shares no core with a guest's, else the lowest that no guest owns; 0 when there is none: */
    uint32_t monitor_cpu;
    bool monitor_shares_cpu; /* then it works between the exits of that CPU's guest */
    struct extents free;     /* RAM that is left over */
};

/*
 * Plan what `config` asks for. Everything has one owner:
 *
 * - A CPU belongs to one guest, or to the hypervisor. Two guests may own threads of one core only when both set
 *   allow_shared_core, because each can slow and watch the other there.
 * - Memory belongs to one guest, to the hypervisor (`reserved`, boot modules), or is free.
 * - Physical ports, devices and the memory of their registers are the hypervisor's: guests see models of devices only.
 *
 * Placement depends on nothing but its input: guests with a memory_base first, then the pieces of all others, the
 * largest first (equal ones in the order of the file), each at the lowest place of the smallest free piece that has
 * room. Pieces begin at multiples of 2 MiB, those of 1 GiB and more at multiples of 1 GiB; where not all guests fit in
 * that way, at multiples of 2 MiB or, as the last resort, 4 KiB.
 *
 * Where nodes are known, pieces that fit into memory near their guest's CPUs get their places before all others, at
 * multiples of 2 MiB if need be. A guest with CPUs on several nodes gets memory on that of most of its CPUs (equal: the
 * one that `cpus` names first), then on the other ones. Nearness is a wish: it never makes a plan fail.
 *
 * `file_name` is the configuration's name in messages; they come in the order of its lines. Returns 0; or E_INVAL after
 * at least one report, and `plan` must not be used.
 */
int plan_make(const char *file_name, const struct config *config, const struct plan_machine *machine, struct plan *plan,
              struct diagnostics *diagnostics);

/* The RAM that guests could get: whole pages that are RAM, within reach, and neither reserved nor a boot module's. */
void plan_free_memory(const struct plan_machine *machine, struct extents *free);

/* The node of the memory at an address, or PLAN_NODE_UNKNOWN. The answer is the same up to `*end`, which is above. */
uint32_t plan_node_at(const struct plan_machine *machine, hpa_t address, hpa_t *end);

/* Are these two CPUs hardware threads of one core? A CPU is on one core with itself. */
bool plan_share_core(const struct plan_machine *machine, uint32_t cpu, uint32_t other);

/* The node of a CPU, or PLAN_NODE_UNKNOWN. */
uint32_t plan_cpu_node(const struct plan_machine *machine, uint32_t cpu);

#endif

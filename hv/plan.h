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
#define PLAN_PIECES_MAX   2u /* a guest's RAM below and above its hole */
#define PLAN_NOBODY       UINT32_MAX

/* Host memory that no guest may get though the boot map calls it RAM. `what` is for messages: "the page pool". */
struct plan_reserved {
    hpa_t base;
    uint64_t size;
    const char *what;
};

/* The machine as far as a plan depends on it. Where memory and CPUs lie near each other comes to stand here too. */
struct plan_machine {
    const struct boot_info *boot; /* ranges may overlap, be unsorted and unaligned: what is not RAM wins */
    uint32_t cpu_count;           /* CPUs that run, 1 to CPUS_MAX; numbered from 0 */
    hpa_t ram_end;                /* RAM from here on is out of the hypervisor's reach; 0: all is within */
    struct plan_reserved reserved[PLAN_RESERVED_MAX];
    uint32_t reserved_count;
    /* The names that `devices` may use: the one of that index, NULL behind the last. NULL: they are not checked. */
    const char *(*device_name)(uint32_t index);
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
    uint32_t monitor_cpu;         /* the lowest CPU that no guest owns; 0 when there is none: */
    bool monitor_shares_cpu;      /* then it works between the exits of that CPU's guest */
    struct extents free;          /* RAM that is left over */
};

/*
 * Plan what `config` asks for. Placement depends on nothing but its input: guests with a memory_base first, then the
 * pieces of all others, the largest first (equal ones in the order of the file), each at the lowest place of the
 * smallest free piece that has room. Pieces begin at multiples of 2 MiB, those of 1 GiB and more at multiples of 1 GiB;
 * where not all guests fit in that way, at multiples of 2 MiB or, as the last resort, 4 KiB.
 *
 * `file_name` is the configuration's name in messages; they come in the order of its lines. Returns 0; or E_INVAL after
 * at least one report, and `plan` must not be used.
 */
int plan_make(const char *file_name, const struct config *config, const struct plan_machine *machine, struct plan *plan,
              struct diagnostics *diagnostics);

/* The RAM that guests could get: whole pages that are RAM, within reach, and neither reserved nor a boot module's. */
void plan_free_memory(const struct plan_machine *machine, struct extents *free);

#endif

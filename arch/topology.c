/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An APIC id is a number of the package, then of the core, then of the thread; CPUID tells how many bits each has.
 * Intel SDM vol. 3, "Detecting Hardware Multi-Threading Support and Topology"; AMD APM vol. 3, appendix E, "Multiple
 * Processor Calculation", "Extended Topology Enumeration" and "Processor Topology Information".
 */
#include "arch/topology.h"

#define LEAF_FEATURES      0x1u
#define LEAF_CACHES        0x4u
#define LEAF_TOPOLOGY      0xbu
#define LEAF_TOPOLOGY_2    0x1fu
#define LEAF_EXTENDED      0x80000000u
#define LEAF_EXTENDED_1    0x80000001u
#define LEAF_SIZES         0x80000008u
#define LEAF_AMD_TOPOLOGY  0x8000001eu
#define VENDOR_AMD         0x444d4163u /* ECX of leaf 0: "cAMD" of AuthenticAMD */
#define VENDOR_HYGON       0x656e6975u /* "uine" of HygonGenuine */
#define FEATURE_HTT        BIT(28)     /* leaf 1 EDX: the count in EBX is valid */
#define EXTENDED_1_TOPOEXT BIT(22)     /* ECX */
#define LEVEL_NONE         0u
#define LEVEL_THREADS      1u
#define LEVELS_MAX         16u /* of either leaf; the manuals know six */
#define APIC_ID_BITS_MAX   32u

typedef struct cpuid_result answer_function(uint32_t leaf, uint32_t subleaf);

/* An APIC id and its lower parts, in bits. */
struct apic_layout {
    uint32_t id;
    uint32_t thread_bits;
    uint32_t package_bits; /* threads and cores, and whatever is between them */
};

static struct topology place(const struct apic_layout *layout)
{
    uint32_t package_bits = (uint32_t)max_u64(layout->thread_bits, layout->package_bits);

    return (struct topology){
        .core = (uint32_t)((uint64_t)layout->id >> layout->thread_bits),
        .package = (uint32_t)((uint64_t)layout->id >> package_bits),
    };
}

/* Bits that tell `count` things apart. */
static uint32_t bits_for(uint32_t count)
{
    uint32_t bits = 0;

    while (bits < APIC_ID_BITS_MAX && BIT(bits) < count)
        bits++;
    return bits;
}

/* One subleaf for each level, threads first; each tells how far the id of the next level is shifted. */
static bool read_levels(answer_function *answer, uint32_t leaf, struct apic_layout *layout)
{
    struct cpuid_result level = answer(leaf, 0);

    if ((level.ebx & 0xffff) == 0)
        return false;
    *layout = (struct apic_layout){.id = level.edx};
    for (uint32_t i = 0; i < LEVELS_MAX; i++) {
        level = answer(leaf, i);
        uint32_t kind = level.ecx >> 8 & 0xff;
        if (kind == LEVEL_NONE)
            break;
        layout->package_bits = level.eax & 0x1f;
        if (kind == LEVEL_THREADS)
            layout->thread_bits = level.eax & 0x1f;
    }
    return true;
}

/* Before leaf 0BH: a count of logical processors, and (from the first with two cores on) one of cores. */
static struct apic_layout read_old_intel(answer_function *answer, uint32_t limit)
{
    struct cpuid_result features = answer(LEAF_FEATURES, 0);
    uint32_t threads = (features.edx & FEATURE_HTT) != 0 ? features.ebx >> 16 & 0xff : 1;
    uint32_t cores = limit >= LEAF_CACHES ? (answer(LEAF_CACHES, 0).eax >> 26) + 1 : 1;
    struct apic_layout layout = {.id = features.ebx >> 24, .package_bits = bits_for(threads)};

    if (layout.package_bits > bits_for(cores))
        layout.thread_bits = layout.package_bits - bits_for(cores);
    return layout;
}

/* Before leaf 0BH: threads came with the leaf that tells of them. Cores of one compute unit count as threads too, since
 * they share its caches and more. The id that this leaf has as well is 0 on all CPUs of Bochs. */
static struct apic_layout read_old_amd(answer_function *answer)
{
    struct cpuid_result features = answer(LEAF_FEATURES, 0);
    uint32_t limit = answer(LEAF_EXTENDED, 0).eax;
    struct apic_layout layout = {.id = features.ebx >> 24};

    if ((features.edx & FEATURE_HTT) != 0)
        layout.package_bits = bits_for(features.ebx >> 16 & 0xff);
    if (limit >= LEAF_SIZES) {
        uint32_t sizes = answer(LEAF_SIZES, 0).ecx;
        uint32_t id_bits = sizes >> 12 & 0xf;
        layout.package_bits = id_bits != 0 ? id_bits : bits_for((sizes & 0xff) + 1);
    }
    if (limit >= LEAF_AMD_TOPOLOGY && (answer(LEAF_EXTENDED_1, 0).ecx & EXTENDED_1_TOPOEXT) != 0)
        layout.thread_bits = bits_for((answer(LEAF_AMD_TOPOLOGY, 0).ebx >> 8 & 0xff) + 1);
    return layout;
}

struct topology topology_read(struct cpuid_result (*answer)(uint32_t leaf, uint32_t subleaf))
{
    struct cpuid_result vendor = answer(0, 0);
    struct apic_layout layout;

    if ((vendor.eax >= LEAF_TOPOLOGY_2 && read_levels(answer, LEAF_TOPOLOGY_2, &layout)) ||
        (vendor.eax >= LEAF_TOPOLOGY && read_levels(answer, LEAF_TOPOLOGY, &layout)))
        return place(&layout);
    if (vendor.ecx == VENDOR_AMD || vendor.ecx == VENDOR_HYGON)
        layout = read_old_amd(answer);
    else
        layout = read_old_intel(answer, vendor.eax);
    return place(&layout);
}

void topology_number(struct topology *cpus, uint32_t count)
{
    struct topology raw[CPUS_MAX];
    uint32_t cores = 0, packages = 0;

    for (uint32_t cpu = 0; cpu < count; cpu++) {
        uint32_t core_mate = 0, package_mate = 0;
        raw[cpu] = cpus[cpu];
        while (raw[core_mate].core != raw[cpu].core)
            core_mate++;
        while (raw[package_mate].package != raw[cpu].package)
            package_mate++;
        cpus[cpu].core = core_mate < cpu ? cpus[core_mate].core : cores++;
        cpus[cpu].package = package_mate < cpu ? cpus[package_mate].package : packages++;
    }
}

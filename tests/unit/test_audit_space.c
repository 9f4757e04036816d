/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of the hypervisor's own address spaces: it passes what start-up builds, and sees each kind of fault that is
 * planted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/hostmap_format.h"
#include "hv/audit.h"
#include "hv/machine.h"
#include "hv/pages.h"
#include "tests/unit/recorded_log.h"

#define POOL_BASE  MIB(8)
#define POOL_PAGES 256u
#define POOL_END   (POOL_BASE + POOL_PAGES * PAGE_SIZE)
#define TEXT       MIB(1)
#define DATA       (MIB(1) + KIB(64))
#define MODULE     MIB(12)

static uint8_t *pool;
static struct boot_info boot;
static struct plan_machine machine;
static struct guest_config configs[2];
static struct plan plan;
static struct audit_layout layout;
static struct audit_result result;
static struct pagetable space;
static uint64_t next_address;

void *machine_pointer(hpa_t address)
{
    assert_in_range(address, POOL_BASE, POOL_END - 1);
    return pool + (address - POOL_BASE);
}

static void map(hpa_t hpa, uint64_t size, unsigned access)
{
    enum memory_type type = hpa >= GIB(3) ? MEMORY_UNCACHED : MEMORY_WRITE_BACK;

    assert_int_equal(pagetable_map(&space, next_address, hpa, size, access, type), 0);
    next_address += MIB(64);
}

#define RW (ACCESS_READ | ACCESS_WRITE)
#define RX (ACCESS_READ | ACCESS_EXECUTE)

/*
 * 128 MiB: guest 0 on CPUs 1 and 2 has 16 to 32 MiB, guest 1 on CPU 3 has 32 to 48 MiB; CPU 0 is the monitor. The
 * table is that of `cpu`, with everything that such a CPU has.
 */
static void start(uint32_t cpu)
{
    static const uint32_t owners[4] = {PLAN_NOBODY, 0, 0, 1};

    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    memset(configs, 0, sizeof(configs));
    memset(&plan, 0, sizeof(plan));
    memset(&layout, 0, sizeof(layout));
    memset(&result, 0, sizeof(result));
    output[0] = '\0';
    next_address = MIB(64);
    boot_memory_add(&boot, 0, MIB(128), BOOT_MEMORY_RAM);
    boot_module_add(&boot, MODULE, 100, "zero");
    boot_module_add(&boot, MODULE + MIB(1), 100, "one");
    machine.boot = &boot;
    machine.cpu_count = 4;
    strcpy(configs[0].kernel, "zero");
    strcpy(configs[1].kernel, "one");
    plan.guest_count = 2;
    for (uint32_t i = 0; i < CPUS_MAX; i++)
        plan.cpu_owner[i] = i < 4 ? owners[i] : PLAN_NOBODY;
    pages_init(POOL_BASE, POOL_PAGES * PAGE_SIZE);
    layout.plan = &plan;
    layout.machine = &machine;
    layout.image = (struct extent){TEXT, DATA + KIB(64)};
    layout.text = (struct extent){TEXT, DATA};
    for (uint32_t i = 0; i < 2; i++) {
        plan.guests[i].config = &configs[i];
        plan.guests[i].pieces[0] = (struct extent){MIB(16) * (i + 1), MIB(16) * (i + 2)};
        plan.guests[i].piece_count = 1;
        layout.arenas[i] = (struct extent){POOL_BASE + KIB(64) * i, POOL_BASE + KIB(64) * (i + 1)};
    }
    for (uint32_t i = 0; i < 4; i++)
        layout.windows[i] =
            (struct extent){POOL_BASE + KIB(256) + KIB(32) * i, POOL_BASE + KIB(256) + KIB(32) * (i + 1)};
    assert_int_equal(pagetable_create(&space, &hostmap_format, PAGE_SIZE_2M), 0);
    map(TEXT, DATA - TEXT, RX);
    map(DATA, KIB(32), ACCESS_READ);
    map(DATA + KIB(32), KIB(32), RW);
    map(layout.windows[cpu].base, KIB(32), RW);
    map(0xfee00000, KIB(4), RW);
    uint32_t owner = owners[cpu];
    for (uint32_t i = 0; i < 2; i++) {
        if (i == owner || cpu == 0)
            map(layout.arenas[i].base, KIB(64), RW);
        if (i == owner) {
            map(plan.guests[i].pieces[0].base, MIB(16), RW);
            map(MODULE + MIB(1) * i, KIB(4), ACCESS_READ);
        }
    }
}

static void expect(uint32_t cpu, uint64_t faults)
{
    audit_layout(&layout, &result);
    audit_space(&layout, cpu, &space, &result);
    if (result.space_faults != faults)
        fail_msg("%llu faults instead of %llu:\n%s", (unsigned long long)result.space_faults,
                 (unsigned long long)faults, output);
    assert_int_equal(result.faults, faults);
    assert_int_equal(result.spaces, 1);
}

static void good_spaces_pass(void **state)
{
    (void)state;
    for (uint32_t cpu = 0; cpu < 4; cpu++) {
        start(cpu);
        expect(cpu, 0);
        assert_string_equal(output, "");
    }
}

/* A page more in the space of CPU 1. */
static void planted(hpa_t hpa, unsigned access, const char *what)
{
    char line[200];

    start(1);
    snprintf(line, sizeof(line), "audit: CPU 1: address 0x%llx leads to 0x%llx-0x%llx: %s\n",
             (unsigned long long)next_address, (unsigned long long)hpa, (unsigned long long)hpa + 0xfff, what);
    map(hpa, KIB(4), access);
    expect(1, 1);
    assert_string_equal(output, line);
}

static void each_fault_is_seen(void **state)
{
    (void)state;
    planted(DATA, ACCESS_ALL, "both writable and executable");
    planted(DATA, RX, "executable, but not the hypervisor's code");
    planted(MIB(20), RX, "executable, but not the hypervisor's code");
    planted(TEXT + KIB(4), RW, "the hypervisor's code, writable");
    planted(MIB(40), ACCESS_READ, "memory of a guest that does not run here");
    planted(layout.arenas[1].base, ACCESS_READ, "a part of the page pool that belongs to no one here");
    planted(layout.windows[2].base, ACCESS_READ, "a part of the page pool that belongs to no one here");
    planted(POOL_END - PAGE_SIZE, ACCESS_READ, "a part of the page pool that belongs to no one here");
    planted(MODULE, RW, "a boot module, writable");
    planted(MODULE + MIB(1), ACCESS_READ, "memory that no one here owns");
    planted(MIB(60), ACCESS_READ, "memory that no one here owns");
    planted(0, ACCESS_READ, "memory that no one here owns");
}

static void cached_device(void **state)
{
    (void)state;
    start(1);
    assert_int_equal(pagetable_map(&space, next_address, 0xfed00000, KIB(4), RW, MEMORY_WRITE_BACK), 0);
    expect(1, 1);
    assert_non_null(strstr(output, ": a device, but cached\n"));
}

/* The monitor reaches all models, but no guest's memory and no other CPU's stack. */
static void the_monitors_limits(void **state)
{
    (void)state;
    start(0);
    map(MIB(20), KIB(4), RW);
    map(layout.windows[1].base, KIB(4), RW);
    expect(0, 2);
    start(3); /* and a guest's CPU is not the monitor */
    map(layout.arenas[0].base, KIB(4), RW);
    expect(3, 1);
}

/* A leaf that begins in a place of its own and leads on. */
static void a_leaf_that_is_too_long(void **state)
{
    (void)state;
    start(1);
    plan.guests[0].pieces[0].end -= KIB(4);
    expect(1, 1);
    start(1);
    layout.windows[1].end -= KIB(4);
    expect(1, 1);
}

static void shared_parts_of_the_pool(void **state)
{
    (void)state;
    start(1);
    layout.arenas[1].base -= KIB(4);
    expect(1, 1);
    assert_string_equal(output, "audit: the pool's part of guest 0 and 1 share pages\n");
    start(1);
    layout.windows[3].base -= KIB(4);
    expect(1, 1);
    start(1);
    layout.arenas[1].end = layout.windows[0].base + KIB(4);
    expect(1, 1);
    start(1);
    layout.windows[2] = (struct extent){MIB(60), MIB(61)};
    expect(1, 1);
    assert_string_equal(output, "audit: the pool's part of CPU 2 is not in the page pool\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_spaces_pass),        cmocka_unit_test(each_fault_is_seen),
        cmocka_unit_test(cached_device),           cmocka_unit_test(the_monitors_limits),
        cmocka_unit_test(a_leaf_that_is_too_long), cmocka_unit_test(shared_parts_of_the_pool),
    };

    pool = aligned_alloc(PAGE_SIZE, POOL_PAGES * PAGE_SIZE);
    int failed = cmocka_run_group_tests_name("audit_space", tests, NULL, NULL);
    free(pool);
    return failed;
}

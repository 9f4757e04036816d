/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit on real tables of both vendors: it passes what the planner and the builder make, and sees each kind of
 * fault that is planted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/svm/npt.h"
#include "arch/vmx/ept.h"
#include "hv/audit.h"
#include "hv/error.h"
#include "hv/machine.h"
#include "hv/pages.h"
#include "tests/unit/recorded_log.h"

#define POOL_BASE  MIB(4)
#define POOL_PAGES 1024u

static uint8_t *pool;
static struct boot_info boot;
static struct plan_machine machine;
static struct config config;
static struct plan plan;
static struct diagnostics diagnostics;
static struct audit_result result;
static struct pagetable tables[GUESTS_MAX];

void *machine_pointer(hpa_t address)
{
    assert_in_range(address, POOL_BASE, POOL_BASE + POOL_PAGES * PAGE_SIZE - 1);
    return pool + (address - POOL_BASE);
}

static void add_guest(const char *name, uint32_t cpu, uint64_t memory)
{
    struct guest_config *guest = &config.guests[config.guest_count++];

    strcpy(guest->name, name);
    strcpy(guest->kernel, "kernel");
    guest->cpus[0].number = cpu;
    guest->cpu_count = 1;
    guest->memory_bytes = memory;
}

/* Guest "a" has 48 MiB from 8 MiB on, "b" 8 MiB from 102 MiB on, behind the module; each in its own tables. */
static void start(const struct pt_format *format)
{
    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    memset(&config, 0, sizeof(config));
    output[0] = '\0';
    boot_memory_add(&boot, 0, MIB(128), BOOT_MEMORY_RAM);
    boot_module_add(&boot, MIB(100), 100, "kernel");
    machine.boot = &boot;
    machine.cpu_count = 4;
    machine.reserved[0] = (struct plan_reserved){0, MIB(4), "the image"};
    machine.reserved[1] = (struct plan_reserved){POOL_BASE, POOL_PAGES * PAGE_SIZE, "what pages.c was given"};
    machine.reserved_count = 2;
    add_guest("a", 0, MIB(48));
    add_guest("b", 1, MIB(8));
    assert_int_equal(plan_make("f.toml", &config, &machine, &plan, &diagnostics), 0);
    assert_int_equal(plan.guests[0].pieces[0].base, MIB(8));
    assert_int_equal(plan.guests[1].pieces[0].base, MIB(100) + MIB(2));
    pages_init(POOL_BASE, POOL_PAGES * PAGE_SIZE);
    for (uint32_t i = 0; i < plan.guest_count; i++) {
        assert_int_equal(pagetable_create(&tables[i], format, PAGE_SIZE_1G), 0);
        for (uint32_t k = 0; k < plan.guests[i].ram_count; k++) {
            const struct guest_ram *ram = &plan.guests[i].ram[k];
            assert_int_equal(pagetable_map(&tables[i], ram->base, ram->host, ram->size, ACCESS_ALL, MEMORY_WRITE_BACK),
                             0);
        }
    }
}

static void expect(uint64_t overlaps, uint64_t reserved, uint64_t outside, uint64_t missing)
{
    memset(&result, 0, sizeof(result));
    audit_stage2(&plan, &machine, tables, &result);
    int error = audit_finish(&result);

    assert_int_equal(result.overlaps, overlaps);
    assert_int_equal(result.reserved, reserved);
    assert_int_equal(result.outside, outside);
    assert_int_equal(result.missing_bytes, missing);
    assert_int_equal(error, overlaps + reserved + outside + missing == 0 ? 0 : E_FAULT);
    assert_int_equal(result.guests, plan.guest_count);
}

static void map(uint32_t guest, gpa_t address, hpa_t hpa, uint64_t size)
{
    assert_int_equal(pagetable_map(&tables[guest], address, hpa, size, ACCESS_READ, MEMORY_WRITE_BACK), 0);
}

static void good_tables_pass(void **state)
{
    static const struct pt_format *const formats[] = {&npt_format, &ept_format};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
        start(formats[i]);
        expect(0, 0, 0, 0);
        /* 2 MiB in small pages but for the hole, the rest in large ones; twice */
        assert_int_equal(result.mappings, (512 - 0x18) * 2 + 23 + 3);
        assert_string_equal(output, "audit: 2 guests, 0 vCPUs, 0 address spaces, 1002 mappings, 0 overlaps\n");
    }
    start(&ept_format);
    plan.guest_count = 1;
    expect(0, 0, 0, 0);
    assert_string_equal(output, "audit: 1 guest, 0 vCPUs, 0 address spaces, 511 mappings, 0 overlaps\n");
}

static void another_guests_page(void **state)
{
    (void)state;
    start(&npt_format);
    map(1, GIB(1), MIB(8) + KIB(8), KIB(4));
    expect(1, 0, 0, 0);
    assert_string_equal(
        output, "audit: guest \"b\": address 0x40000000 leads to 0x802000-0x802fff: memory of guest a\n"
                "audit: 2 guests, 0 vCPUs, 0 address spaces, 1003 mappings, 1 overlaps\n"
                "audit: 0 mappings into reserved memory, 0 not as planned, 0 KiB missing, 0 faults in address spaces, "
                "0 in what vCPUs may do: no guest is started\n");
    start(&ept_format);
    map(0, GIB(1), MIB(100), MIB(4)); /* two leaves: the module, and guest "b" */
    expect(1, 1, 0, 0);
}

static void reserved_pages(void **state)
{
    (void)state;
    start(&npt_format);
    map(0, GIB(1), MIB(4) - KIB(4), KIB(4));
    map(0, GIB(2), POOL_BASE, KIB(4));
    map(1, GIB(3), MIB(100), KIB(4));
    expect(0, 3, 0, 0);
    assert_non_null(strstr(output, "leads to 0x3ff000-0x3fffff: the image\n"));
    assert_non_null(strstr(output, "leads to 0x400000-0x400fff: the page pool\n"));
    assert_non_null(strstr(output, "leads to 0x6400000-0x6400fff: kernel\n"));
}

static void pages_of_nobody(void **state)
{
    (void)state;
    start(&npt_format);
    map(0, GIB(1), MIB(90), KIB(4));           /* free RAM */
    map(0, GIB(2), GIB(8), GIB(1));            /* nothing at all */
    map(0, 0xa0000, MIB(8) + 0xa0000, KIB(4)); /* its own, but in the hole */
    map(1, GIB(1), MIB(102), KIB(4));          /* its own, a second time */
    expect(0, 0, 4, 0);
}

static void moved_and_missing_pages(void **state)
{
    (void)state;
    start(&ept_format);
    assert_int_equal(pagetable_unmap(&tables[0], MIB(16), MIB(2)), 0);
    expect(0, 0, 0, MIB(2));
    map(0, MIB(16), MIB(8) + MIB(18), MIB(2));
    expect(0, 0, 1, MIB(2));
    assert_int_equal(pagetable_create(&tables[0], &ept_format, PAGE_SIZE_4K), 0);
    expect(0, 0, 0, MIB(48) - 0x18000);
}

/* The last leaf leads on behind the guest's RAM. */
static void a_leaf_that_is_too_long(void **state)
{
    (void)state;
    start(&npt_format);
    plan.guests[1].ram[1].size -= KIB(4);
    expect(0, 0, 1, MIB(2) - KIB(4));
}

/* Right tables for a wrong plan. */
static void a_plan_that_overlaps(void **state)
{
    (void)state;
    start(&npt_format);
    plan.guests[0].pieces[0].end = MIB(102) + 1;
    expect(2, 1, 0, 0); /* seen from both sides; the module is in the way too */
    start(&npt_format);
    machine.reserved[1] = (struct plan_reserved){MIB(50), MIB(1), "a ring"};
    expect(0, 1, 0, 0);
    start(&npt_format);
    plan.guests[1].pieces[0].base += KIB(4);
    expect(0, 0, 1, 0);
}

static void many_faults_are_few_lines(void **state)
{
    unsigned lines = 0;

    (void)state;
    start(&npt_format);
    tables[1].largest = PAGE_SIZE_4K;
    map(1, GIB(1), MIB(8), MIB(1));
    expect(256, 0, 0, 0);
    for (const char *c = output; *c != '\0'; c++)
        lines += *c == '\n';
    assert_int_equal(lines, 8 + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_tables_pass),        cmocka_unit_test(another_guests_page),
        cmocka_unit_test(reserved_pages),          cmocka_unit_test(pages_of_nobody),
        cmocka_unit_test(moved_and_missing_pages), cmocka_unit_test(a_plan_that_overlaps),
        cmocka_unit_test(a_leaf_that_is_too_long), cmocka_unit_test(many_faults_are_few_lines),
    };

    pool = aligned_alloc(PAGE_SIZE, POOL_PAGES * PAGE_SIZE);
    int failed = cmocka_run_group_tests_name("audit", tests, NULL, NULL);
    free(pool);
    return failed;
}

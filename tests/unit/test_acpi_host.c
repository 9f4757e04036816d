/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's ACPI parser over tables that are built here: good ones with the values of QEMU's PC, and hostile ones.
 * Each piece that the parser maps is a block of its own size on the heap, so that the sanitizer sees every byte that is
 * read beyond it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/host/acpi.h"
#include "hv/error.h"
#include "hv/log.h"

#define MEMORY_SIZE MIB(1)
#define TABLES      0x10000u /* where the builder starts */

static uint8_t memory[MEMORY_SIZE];
static uint32_t next_table;
static void *blocks[4096];
static unsigned block_count, complaints;

void log_line(enum log_level level, const char *format, ...)
{
    (void)level;
    (void)format;
    complaints++;
}

static const void *map(hpa_t address, uint64_t size)
{
    if (address >= MEMORY_SIZE || size > MEMORY_SIZE - address || block_count == ARRAY_SIZE(blocks))
        return NULL;
    void *block = malloc(size);
    assert_non_null(block);
    memcpy(block, memory + address, size);
    blocks[block_count++] = block;
    return block;
}
static const struct acpi_reader reader = {map};

static int reset(void **state)
{
    (void)state;
    while (block_count > 0)
        free(blocks[--block_count]);
    memset(memory, 0, sizeof(memory));
    next_table = TABLES;
    complaints = 0;
    return 0;
}

static void put(uint32_t address, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        memory[address + i] = (uint8_t)(value >> (8 * i));
}

static void fix_checksum(uint32_t address, uint32_t size, uint32_t at)
{
    uint8_t sum = 0;

    memory[address + at] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum = (uint8_t)(sum + memory[address + i]);
    memory[address + at] = (uint8_t)-sum;
}

/* A table with this body behind its header. Returns its address. */
static uint32_t table(const char *name, const void *body, uint32_t size)
{
    uint32_t address = next_table;

    next_table += 36 + size + 28;
    memcpy(&memory[address], name, 4);
    put(address + 4, 36 + size, 4);
    if (size > 0)
        memcpy(&memory[address + 36], body, size);
    fix_checksum(address, 36 + size, 9);
    return address;
}

static void table_refresh(uint32_t address)
{
    uint32_t size;

    memcpy(&size, &memory[address + 4], 4);
    fix_checksum(address, size, 9);
}

/* A root table over these tables, and an RSDP at `rsdp`. */
static void root(uint32_t rsdp, bool extended, const uint32_t *tables, uint32_t count)
{
    uint8_t body[64 * 8] = {0};
    uint32_t entry = extended ? 8 : 4;

    for (uint32_t i = 0; i < count; i++)
        memcpy(body + i * entry, &tables[i], 4);
    uint32_t address = table(extended ? "XSDT" : "RSDT", body, count * entry);
    memcpy(&memory[rsdp], "RSD PTR ", 8);
    put(rsdp + 15, extended ? 2 : 0, 1);
    put(rsdp + 16, extended ? 0 : address, 4);
    fix_checksum(rsdp, 20, 8);
    if (extended) {
        put(rsdp + 20, 36, 4);
        put(rsdp + 24, address, 8);
        fix_checksum(rsdp, 36, 32);
    }
}

static const uint8_t madt_body[] = {
    0x00, 0x00, 0xe0, 0xfe, 1, 0, 0,    0,    /* local APIC, PCAT_COMPAT */
    0,    8,    0,    4,    1, 0, 0,    0,    /* the boot CPU need not have id 0 */
    0,    8,    1,    0,    1, 0, 0,    0,    /* */
    0,    8,    2,    2,    0, 0, 0,    0,    /* not enabled */
    0,    8,    3,    3,    2, 0, 0,    0,    /* could be plugged in later */
    0,    8,    4,    0xff, 1, 0, 0,    0,    /* empty socket */
    9,    16,   0,    0,    4, 0, 0,    0,    /* the boot CPU again */
    1,    0,    0,    0,    0, 0, 0,    0,    /* */
    9,    16,   0,    0,    0, 1, 0,    0,    /* 0x100 */
    1,    0,    0,    0,    7, 0, 0,    0,    /* */
    1,    12,   5,    0,    0, 0, 0xc0, 0xfe, /* IOAPIC 5 */
    0,    0,    0,    0,                      /* */
    2,    10,   0,    0,    2, 0, 0,    0,    /* IRQ 0 is pin 2 */
    0,    0,                                  /* */
    2,    10,   0,    9,    9, 0, 0,    0,    /* IRQ 9 is level */
    0x0d, 0,                                  /* */
    4,    6,    0xff, 0,    0, 1,             /* NMI: not ours */
};

/* \_S5 of QEMU: Name (_S5, Package () {Zero, Zero, Zero, Zero}) */
static const uint8_t s5_zero[] = {0x10, 0x20, 0x08, '_', 'S', '5', '_', 0x12, 6, 4, 0, 0, 0, 0};

static uint32_t fadt(uint32_t size, uint32_t dsdt)
{
    uint8_t body[276 - 36] = {0};
    uint32_t address = table("FACP", body, size - 36);

    put(address + 40, dsdt, 4);
    put(address + 48, 0xb2, 4);
    put(address + 52, 0xf1, 1);
    put(address + 64, 0x604, 4);
    put(address + 76, 0x608, 4);
    table_refresh(address);
    return address;
}

static void whole_machine(bool extended, uint32_t rsdp)
{
    uint8_t hpet_body[20] = {1, 0xa2, 0x86, 0x80, 0, 64, 0, 0, 0, 0, 0xd0, 0xfe};
    uint8_t mcfg_body[24] = {[11] = 0xb0, [19] = 255};
    uint32_t tables[] = {table("WAET", hpet_body, 4), fadt(116, table("DSDT", s5_zero, sizeof(s5_zero))),
                         table("APIC", madt_body, sizeof(madt_body)), table("HPET", hpet_body, sizeof(hpet_body)),
                         table("MCFG", mcfg_body, sizeof(mcfg_body))};

    root(rsdp, extended, tables, ARRAY_SIZE(tables));
}

static void expect_whole_machine(const struct acpi_machine *machine)
{
    assert_int_equal(machine->cpu_count, 3);
    assert_int_equal(machine->cpus[0], 4);
    assert_int_equal(machine->cpus[1], 0);
    assert_int_equal(machine->cpus[2], 0x100);
    assert_int_equal(machine->cpus_beyond_limit, 0);
    assert_int_equal(machine->ioapic_count, 1);
    assert_int_equal(machine->ioapics[0].address, 0xfec00000);
    assert_int_equal(machine->ioapics[0].id, 5);
    assert_int_equal(machine->override_count, 2);
    assert_int_equal(machine->overrides[0].gsi, 2);
    assert_int_equal(machine->overrides[1].irq, 9);
    assert_int_equal(machine->overrides[1].flags, 0xd);
    assert_true(machine->has_fadt);
    assert_int_equal(machine->pm1a_control, 0x604);
    assert_int_equal(machine->pm1b_control, 0);
    assert_int_equal(machine->pm_timer, 0x608);
    assert_int_equal(machine->smi_command, 0xb2);
    assert_int_equal(machine->acpi_enable, 0xf1);
    assert_false(machine->has_reset);
    assert_true(machine->has_s5);
    assert_int_equal(machine->s5_type_a, 0);
    assert_int_equal(machine->hpet_base, 0xfed00000);
    assert_int_equal(machine->pci_config, 0xb0000000);
    assert_int_equal(machine->pci_bus_last, 255);
}

static void found_wherever_it_is(void **state)
{
    struct acpi_machine machine;
    uint8_t given[36];

    for (int extended = 0; extended < 2; extended++) {
        static const uint32_t places[] = {0x9fc10, 0xe0000, 0xffff0 - 32, 0xf59d0};
        for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
            reset(state);
            put(0x40e, 0x9fc0, 2);
            whole_machine(extended != 0, places[i]);
            assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
            expect_whole_machine(&machine);
            assert_int_equal(complaints, 0);
        }
        memcpy(given, &memory[0xf59d0], 36);
        memset(&memory[0xf59d0], 0, 36);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), E_NOENT);
        assert_int_equal(acpi_parse(&reader, given, 19, &machine), E_NOENT);
        assert_int_equal(acpi_parse(&reader, given, extended != 0 ? 36 : 20, &machine), 0);
        expect_whole_machine(&machine);
        given[3] ^= 1;
        assert_int_equal(acpi_parse(&reader, given, 36, &machine), E_NOENT);
    }
}

static void damaged_rsdp_is_passed_over(void **state)
{
    (void)state;
    struct acpi_machine machine;

    memcpy(&memory[0xe0000], "RSD PTR ", 8); /* checksum wrong */
    memory[0xe0010] = 1;
    memcpy(&memory[0xe0028], "RSD PTR ", 8); /* not at a 16-byte line */
    put(0x40e, 0xffff, 2);                   /* no EBDA */
    whole_machine(false, 0xe8000);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    expect_whole_machine(&machine);
}

static void bad_xsdt_falls_back_to_rsdt(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint32_t rsdp = 0xe0000;

    whole_machine(false, rsdp);
    put(rsdp + 15, 2, 1);
    put(rsdp + 20, 36, 4);
    put(rsdp + 24, TABLES, 8); /* no XSDT there */
    fix_checksum(rsdp, 20, 8);
    fix_checksum(rsdp, 36, 32);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    expect_whole_machine(&machine);
    put(rsdp + 16, 0xfffffff0, 4);
    fix_checksum(rsdp, 20, 8);
    fix_checksum(rsdp, 36, 32);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), E_INVAL);
    assert_int_equal(machine.cpu_count, 0);
}

static void damaged_tables_are_left_out(void **state)
{
    (void)state;
    struct acpi_machine machine;
    static const uint64_t lengths[] = {0, 35, MEMORY_SIZE, UINT32_MAX, 0x80000000};

    uint32_t good = table("APIC", madt_body, sizeof(madt_body)), bad = table("FACP", madt_body, 80);
    const uint32_t tables[] = {0, 0xffffffff, MEMORY_SIZE - 10, bad, good};
    root(0xe0000, false, tables, ARRAY_SIZE(tables));
    memory[bad + 50] ^= 1;
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(complaints, 1);
    assert_false(machine.has_fadt);
    assert_int_equal(machine.cpu_count, 3);
    for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
        put(bad + 4, lengths[i], 4);
        put(good + 4, lengths[i], 4);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        assert_false(machine.has_fadt);
        assert_int_equal(machine.cpu_count, 0);
    }
}

static void root_that_names_itself(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint32_t tables[64];

    for (unsigned i = 0; i < 64; i++)
        tables[i] = next_table;
    root(0xe0000, true, tables, 64);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(machine.cpu_count, 0);
}

static void madt_with_bad_lengths(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint8_t body[64];

    for (unsigned length = 0; length < 256; length++) {
        for (unsigned type = 0; type < 12; type++) {
            reset(state);
            memset(body, 0xff, sizeof(body));
            body[8] = (uint8_t)type;
            body[9] = (uint8_t)length;
            uint32_t madt = table("APIC", body, (length + type) % 56 + 8);
            root(0xe0000, false, &madt, 1);
            assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        }
    }
    for (uint32_t size = 0; size < sizeof(madt_body); size++) { /* cut anywhere */
        reset(state);
        uint32_t madt = table("APIC", madt_body, size);
        root(0xe0000, false, &madt, 1);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        assert_int_equal(machine.cpu_count, (size >= 16) + (size >= 24) + (size >= 80));
        assert_int_equal(machine.ioapic_count, size >= 92);
        assert_int_equal(machine.override_count, (size >= 102) + (size >= 112));
    }
}

static void more_than_fits(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint8_t body[8 + 200 * 8 + 40 * 12 + 40 * 10] = {0};
    uint32_t at = 8;

    for (unsigned i = 0; i < 200; i++, at += 8)
        memcpy(body + at, (const uint8_t[]){0, 8, 0, (uint8_t)i, 1, 0, 0, 0}, 8);
    for (unsigned i = 0; i < 40; i++, at += 12)
        memcpy(body + at, (const uint8_t[]){1, 12, (uint8_t)i, 0, 0, 0, 0xc0, 0xfe, 0, 0, 0, 0}, 12);
    for (unsigned i = 0; i < 40; i++, at += 10)
        memcpy(body + at, (const uint8_t[]){2, 10, 0, (uint8_t)i, 0, 0, 0, 0, 0, 0}, 10);
    uint32_t madt = table("APIC", body, sizeof(body));
    root(0xe0000, false, &madt, 1);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(machine.cpu_count, CPUS_MAX);
    assert_int_equal(machine.cpus_beyond_limit, 200 - CPUS_MAX);
    assert_int_equal(machine.ioapic_count, ACPI_IOAPICS_MAX);
    assert_int_equal(machine.override_count, ACPI_OVERRIDES_MAX);
}

static const uint8_t srat_body[] = {
    1, 0,  0, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* reserved */
    0, 16, 1, 0,    1,    0,    0,    0,    0,    2,    0,    0, /* APIC id 0: domain 0x201 */
    0, 0,  0, 0,                                                 /* */
    0, 16, 9, 0,    1,    0,    0,    0,    0,    0,    0,    0, /* once more: too late */
    0, 0,  0, 0,                                                 /* */
    0, 16, 7, 4,    0,    0,    0,    0,    0,    0,    0,    0, /* not enabled */
    0, 0,  0, 0,                                                 /* */
    0, 16, 7, 0x77, 1,    0,    0,    0,    0,    0,    0,    0, /* no such processor */
    0, 0,  0, 0,                                                 /* */
    2, 24, 0, 0,    3,    0,    0,    0,    0,    1,    0,    0, /* x2APIC id 0x100: domain 3 */
    1, 0,  0, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* */
    1, 40, 3, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* 0-2 GiB: domain 3 */
    0, 0,  0, 0,    0,    0,    0,    0x80, 0,    0,    0,    0, /* */
    0, 0,  0, 0,    1,    0,    0,    0,    0,    0,    0,    0, /* */
    0, 0,  0, 0,                                                 /* */
    1, 40, 4, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* not enabled */
    0, 0,  0, 0,    0,    0,    0,    0x80, 0,    0,    0,    0, /* */
    0, 0,  0, 0,    2,    0,    0,    0,    0,    0,    0,    0, /* */
    0, 0,  0, 0,                                                 /* */
    1, 40, 5, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* empty */
    0, 0,  0, 0,    0,    0,    0,    0,    0,    0,    0,    0, /* */
    0, 0,  0, 0,    1,    0,    0,    0,    0,    0,    0,    0, /* */
    0, 0,  0, 0,                                                 /* */
    1, 40, 1, 2,    0,    0,    0,    0,    0,    0,    0,    0, /* overlaps the first, and ends behind all addresses */
    1, 0,  0, 0,    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, /* */
    0, 0,  0, 0,    3,    0,    0,    0,    0,    0,    0,    0,    /* hot-pluggable */
    0, 0,  0, 0,                                                    /* */
};

/* The SRAT may stand before the MADT, whose processors it is about. */
static void srat(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint32_t tables[] = {table("SRAT", srat_body, sizeof(srat_body)), table("APIC", madt_body, sizeof(madt_body)),
                         table("SRAT", srat_body, 12)};

    put(tables[0] + 8, 3, 1);
    table_refresh(tables[0]);
    root(0xe0000, false, tables, 3);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_true(machine.has_srat);
    assert_int_equal(machine.cpu_domains[0], ACPI_DOMAIN_NONE); /* APIC id 4 */
    assert_int_equal(machine.cpu_domains[1], 0x201);
    assert_int_equal(machine.cpu_domains[2], 3);
    assert_int_equal(machine.cpu_domains[3], ACPI_DOMAIN_NONE);
    assert_int_equal(machine.memory_count, 2);
    assert_int_equal(machine.memory[0].base, 0);
    assert_int_equal(machine.memory[0].size, 0x80000000);
    assert_int_equal(machine.memory[0].domain, 3);
    assert_int_equal(machine.memory[1].base, UINT64_C(0x100000000));
    assert_int_equal(machine.memory[1].size, BIT(52) - BIT(32));
    assert_int_equal(machine.memory[1].domain, 0x201);
    put(tables[0] + 8, 1, 1); /* the first revision had domains of 8 bits, beside something reserved */
    table_refresh(tables[0]);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(machine.cpu_domains[1], 1);
    put(tables[0] + 8, 2, 1); /* damaged */
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(complaints, 1);
    assert_int_equal(machine.memory_count, 0);
    assert_int_equal(machine.cpu_domains[1], ACPI_DOMAIN_NONE);
}

static void srat_with_bad_lengths(void **state)
{
    struct acpi_machine machine;

    for (uint32_t size = 0; size < sizeof(srat_body); size++) { /* cut anywhere */
        reset(state);
        uint32_t tables[] = {table("SRAT", srat_body, size), table("APIC", madt_body, sizeof(madt_body))};
        root(0xe0000, false, tables, 2);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        assert_int_equal(machine.cpu_domains[1], size >= 28 ? 1 : ACPI_DOMAIN_NONE);
        assert_int_equal(machine.cpu_domains[2], size >= 100 ? 3 : ACPI_DOMAIN_NONE);
        assert_int_equal(machine.memory_count, size >= 140);
    }
    for (unsigned length = 0; length < 256; length++) {
        for (uint8_t type = 0; type < 4; type++) {
            uint8_t body[64];
            reset(state);
            memset(body, 0xff, sizeof(body));
            body[12] = type;
            body[13] = (uint8_t)length;
            uint32_t tables[] = {table("APIC", madt_body, sizeof(madt_body)),
                                 table("SRAT", body, (length + type) % 52 + 12)};
            root(0xe0000, false, tables, 2);
            assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
            assert_int_equal(machine.memory_count, 0); /* all of it begins beyond 2^52 */
        }
    }
}

static void srat_with_more_than_fits(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint8_t body[12 + 100 * 40] = {0};

    for (unsigned i = 0; i < 100; i++)
        memcpy(body + 12 + i * 40, (const uint8_t[40]){1, 40, (uint8_t)i, [18] = 1, [28] = 1}, 40);
    uint32_t address = table("SRAT", body, sizeof(body));
    root(0xe0000, false, &address, 1);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_int_equal(machine.memory_count, ACPI_MEMORY_MAX);
    assert_int_equal(machine.memory[ACPI_MEMORY_MAX - 1].domain, ACPI_MEMORY_MAX - 1);
}

static void put_register(uint32_t address, uint8_t space, uint64_t value)
{
    put(address, space, 1);
    put(address + 1, 8, 1);
    put(address + 4, value, 8);
}

static void fadt_registers(void **state)
{
    (void)state;
    struct acpi_machine machine;
    uint32_t dsdt = table("DSDT", s5_zero, sizeof(s5_zero)), address = fadt(276, 0);

    put(address + 112, 1u << 10 | 1u << 20, 4);
    put_register(address + 116, ACPI_SPACE_PORT, 0xcf9);
    put(address + 128, 0x0f, 1);
    put(address + 140, dsdt, 8);
    put(address + 64, 0, 4);
    put_register(address + 172, ACPI_SPACE_PORT, 0x404);
    put_register(address + 184, ACPI_SPACE_MEMORY, 0x404);
    put_register(address + 244, ACPI_SPACE_MEMORY, 0xfed80000);
    put_register(address + 256, ACPI_SPACE_PORT, 0x70000);
    table_refresh(address);
    root(0xe0000, true, &address, 1);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_true(machine.hardware_reduced);
    assert_true(machine.has_reset);
    assert_int_equal(machine.reset.space, ACPI_SPACE_PORT);
    assert_int_equal(machine.reset.address, 0xcf9);
    assert_int_equal(machine.reset_value, 0x0f);
    assert_int_equal(machine.pm1a_control, 0x404);
    assert_int_equal(machine.pm1b_control, 0);
    assert_int_equal(machine.sleep_control.address, 0xfed80000);
    assert_int_equal(machine.sleep_status.address, 0);
    assert_true(machine.has_s5);

    static const struct acpi_register useless[] = {
        {ACPI_SPACE_PORT, 8, 0},
        {ACPI_SPACE_PORT, 8, 0x10000},
        {ACPI_SPACE_MEMORY, 8, 0},
        {ACPI_SPACE_MEMORY, 8, BIT(52)},
        {ACPI_SPACE_PCI, 8, 0x2000000000},
        {ACPI_SPACE_PCI, 8, 0x80000},
        {ACPI_SPACE_PCI, 8, 0x100},
        {3, 8, 0xcf9},
        {127, 8, 0xcf9},
    };
    for (size_t i = 0; i < ARRAY_SIZE(useless); i++) {
        put_register(address + 116, useless[i].space, useless[i].address);
        put(address + 64, 0x12345678, 4); /* no port */
        table_refresh(address);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        assert_false(machine.has_reset);
        assert_int_equal(machine.pm1a_control, 0);
    }
    for (uint32_t size = 36; size < 276; size++) { /* every older and every broken size */
        put(address + 4, size, 4);
        table_refresh(address);
        assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
        assert_true(machine.has_fadt);
    }
}

static void s5_of_an_ssdt_counts_when_the_dsdt_has_none(void **state)
{
    (void)state;
    struct acpi_machine machine;
    static const uint8_t seven[] = {0x08, '\\', '_', 'S', '5', '_', 0x12, 8, 4, 0x0a, 7, 0x0a, 6, 0, 0};
    uint32_t tables[] = {table("SSDT", seven, sizeof(seven)), fadt(116, table("DSDT", s5_zero, 2))};

    root(0xe0000, false, tables, 2);
    assert_int_equal(acpi_parse(&reader, NULL, 0, &machine), 0);
    assert_true(machine.has_s5);
    assert_int_equal(machine.s5_type_a, 7);
    assert_int_equal(machine.s5_type_b, 6);
}

static int find_s5(const void *bytes, size_t size, uint8_t *a, uint8_t *b)
{
    uint8_t *copy = malloc(size + 1);

    assert_non_null(copy);
    memcpy(copy + 1, bytes, size);
    int error = acpi_find_s5(copy + 1, size, a, b);
    free(copy);
    return error;
}

#define S5(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static void s5_forms(void **state)
{
    (void)state;
    uint8_t a = 99, b = 99;

    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 5, 1), &a, &b), 0);
    assert_int_equal(a, 5);
    assert_int_equal(b, 1);
    /* package lengths of two and four bytes, word and double word elements */
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 0x47, 0, 2, 0x0b, 3, 0, 0), &a, &b), 0);
    assert_int_equal(a, 3);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 0xcb, 0, 0, 0, 2, 0x0c, 4, 0, 0, 0, 1), &a, &b), 0);
    assert_int_equal(a, 4);
    /* a false one first, the true one behind it */
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x11, 8, '_', 'S', '5', '_', 0x12, 4, 2, 0, 1), &a, &b), 0);
    assert_int_equal(b, 1);
    a = b = 99;
    assert_int_equal(find_s5(S5('_', 'S', '5', '_', 0x12, 4, 2, 0, 1), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 4, 1, 0, 1), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 5, 2, 0x0a, 8, 0), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 6, 2, 0x0b, 1, 1, 0), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 4, 2, 0xff, 0), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 5, 2, 0, 1), &a, &b), E_NOENT); /* beyond the table */
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 3, 2, 0, 1), &a, &b), E_NOENT); /* beyond the package */
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 0, 2, 0, 1), &a, &b), E_NOENT);
    assert_int_equal(find_s5(S5(8, '_', 'S', '5', '_', 0x12, 0xff, 0xff, 0xff, 0xff, 2, 0, 1), &a, &b), E_NOENT);
    assert_int_equal(a, 99);
    assert_int_equal(b, 99);
    for (size_t size = 0; size < sizeof(s5_zero) - 2; size++)
        assert_int_equal(find_s5(s5_zero, size, &a, &b), E_NOENT);
}

static void random_bytes(void **state)
{
    struct acpi_machine machine;

    srand(3);
    for (unsigned round = 0; round < 3000; round++) {
        reset(state);
        whole_machine(round % 2 == 0, 0xe0000);
        for (int i = rand() % 20; i >= 0; i--)
            memory[TABLES + (unsigned)rand() % (next_table - TABLES)] = (uint8_t)rand();
        for (uint32_t at = TABLES; round % 3 != 0 && at + 36 < next_table; at++) { /* keep most checksums right */
            uint32_t size;
            memcpy(&size, &memory[at + 4], 4);
            if (memory[at] >= 'A' && memory[at + 3] >= 'A' && size >= 36 && size < 2000)
                table_refresh(at);
        }
        (void)acpi_parse(&reader, NULL, 0, &machine);
        assert_true(machine.cpu_count <= CPUS_MAX && machine.ioapic_count <= ACPI_IOAPICS_MAX);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, reset, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(found_wherever_it_is),
        CASE(damaged_rsdp_is_passed_over),
        CASE(bad_xsdt_falls_back_to_rsdt),
        CASE(damaged_tables_are_left_out),
        CASE(root_that_names_itself),
        CASE(madt_with_bad_lengths),
        CASE(more_than_fits),
        CASE(srat),
        CASE(srat_with_bad_lengths),
        CASE(srat_with_more_than_fits),
        CASE(fadt_registers),
        CASE(s5_of_an_ssdt_counts_when_the_dsdt_has_none),
        CASE(s5_forms),
        CASE(random_bytes),
    };
    return cmocka_run_group_tests_name("host acpi", tests, NULL, NULL);
}

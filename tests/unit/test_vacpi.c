/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The firmware tables as a guest finds them (scan, pointers, checksums, contents) and the fixed hardware. With a
 * directory as its argument the program writes the tables of 1, 4 and 16 vCPUs there, for test_acpi_tables.py.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "drivers/virtual/vacpi.h"
#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"
#include "hv/gmem.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

#define NS_PER_S    UINT64_C(1000000000)
#define TABLE_BYTES 4096u

#define STATUS  VACPI_PM1_STATUS
#define ENABLE  VACPI_PM1_ENABLE
#define CONTROL VACPI_PM1_CONTROL
#define TIMER   VACPI_PM_TIMER

static struct guest *guest;
static unsigned sci_edges;

static void count_sci(void *context, unsigned line, bool level)
{
    (void)context;
    if (line == IRQ_SCI && level)
        sci_edges++;
}

static void start_with(uint32_t vcpu_count)
{
    guest = fake_guest(MIB(4), vcpu_count);
    fake_machine.ticks = 77 * NS_PER_S;
    memset(&fake_calls, 0, sizeof(fake_calls));
    sci_edges = 0;
    assert_int_equal(irq_listen(guest, count_sci, NULL), 0);
    fake_device(guest, &vacpi_device);
}

static int start(void **state)
{
    (void)state;
    start_with(4);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static uint64_t in(uint32_t port, unsigned size)
{
    return bus_read(&guest->ports, guest->vcpus[0], port, size);
}

static void out(uint32_t port, unsigned size, uint64_t value)
{
    bus_write(&guest->ports, guest->vcpus[0], port, size, value);
}

static bool sci(void)
{
    return (guest->irq.levels >> IRQ_SCI & 1) != 0;
}

static uint32_t read_32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint64_t read_64(const uint8_t *at)
{
    uint64_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t size)
{
    uint8_t result = 0;

    for (size_t i = 0; i < size; i++)
        result = (uint8_t)(result + bytes[i]);
    return result;
}

/* Find a signature as an operating system does: on 16-byte boundaries of the BIOS area. */
static uint8_t *scan(const char *signature, gpa_t from)
{
    for (gpa_t address = from; address < 0x100000; address += 16) {
        uint8_t *at = gmem_pointer(guest, address, 16);
        assert_non_null(at);
        if (memcmp(at, signature, strlen(signature)) == 0)
            return at;
    }
    fail_msg("%s is not there", signature);
    return NULL;
}

/* A table at an address, with its length checked. */
static uint8_t *table(uint64_t address, const char *signature)
{
    assert_in_range(address, 0xe0000, 0xfffff);
    uint8_t *at = gmem_pointer(guest, address, 8);
    assert_non_null(at);
    assert_memory_equal(at, signature, 4);
    assert_in_range(read_32(at + 4), 36, TABLE_BYTES);
    assert_true(address + read_32(at + 4) <= 0x100000);
    if (strcmp(signature, "FACS") != 0)
        assert_int_equal(sum(at, read_32(at + 4)), 0);
    return at;
}

static uint8_t *xsdt_entry(unsigned index, const char *signature)
{
    uint8_t *xsdt = table(read_64(scan("RSD PTR ", 0xe0000) + 24), "XSDT");

    assert_true(36 + 8 * (index + 1) <= read_32(xsdt + 4));
    return table(read_64(xsdt + 36 + 8 * index), signature);
}

static void roots_point_at_the_same_tables(void **state)
{
    uint8_t *rsdp = scan("RSD PTR ", 0xe0000);

    (void)state;
    assert_int_equal(rsdp[15], 2);
    assert_int_equal(sum(rsdp, 20), 0);
    assert_int_equal(sum(rsdp, 36), 0);
    uint8_t *rsdt = table(read_32(rsdp + 16), "RSDT");
    uint8_t *xsdt = table(read_64(rsdp + 24), "XSDT");
    assert_int_equal(read_32(rsdt + 4), 36 + 3 * 4);
    assert_int_equal(read_32(xsdt + 4), 36 + 3 * 8);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(read_32(rsdt + 36 + 4 * i), read_64(xsdt + 36 + 8 * i));
}

static void fadt_describes_the_ports(void **state)
{
    uint8_t *fadt = xsdt_entry(0, "FACP");

    (void)state;
    assert_int_equal(read_32(fadt + 4), 276);
    assert_int_equal(read_32(fadt + 36) % 64, 0);
    uint8_t *facs = table(read_32(fadt + 36), "FACS");
    assert_int_equal(read_32(facs + 4), 64);
    assert_int_equal(read_64(fadt + 132), 0);
    table(read_32(fadt + 40), "DSDT");
    assert_int_equal(read_64(fadt + 140), read_32(fadt + 40));
    assert_int_equal(fadt[46], IRQ_SCI);
    assert_int_equal(read_32(fadt + 48), 0); /* no SMI command */
    assert_int_equal(read_32(fadt + 56), STATUS);
    assert_int_equal(read_32(fadt + 64), CONTROL);
    assert_int_equal(read_32(fadt + 76), TIMER);
    assert_int_equal(fadt[108], 0x32);
    assert_int_equal(fadt[109] | fadt[110] << 8, 1);
    assert_int_equal(read_32(fadt + 112), 0x565);
    assert_int_equal(read_64(fadt + 120), VACPI_RESET_PORT);
    assert_int_equal(fadt[128], VACPI_RESET_VALUE);
}

static void madt_lists_every_vcpu(void **state)
{
    uint8_t *madt = xsdt_entry(1, "APIC");
    unsigned counts[5] = {0};

    (void)state;
    assert_int_equal(read_32(madt + 36), VLAPIC_BASE);
    assert_int_equal(read_32(madt + 40), 1);
    for (uint8_t *at = madt + 44; at < madt + read_32(madt + 4); at += at[1]) {
        assert_in_range(at[0], 0, 4);
        assert_in_range(at[1], 6, 12);
        if (at[0] == 0) {
            assert_int_equal(at[2], counts[0]);
            assert_int_equal(at[3], counts[0]);
            assert_int_equal(read_32(at + 4), 1);
        } else if (at[0] == 1) {
            assert_int_equal(at[2], 4);
            assert_int_equal(read_32(at + 4), VIOAPIC_BASE);
            assert_int_equal(read_32(at + 8), 0);
        } else if (at[0] == 2) {
            assert_int_equal(at[3], counts[2] == 0 ? 0 : 9);
            assert_int_equal(read_32(at + 4), counts[2] == 0 ? 2 : 9);
            assert_int_equal(at[8], counts[2] == 0 ? 0 : 5);
        } else {
            assert_int_equal(at[2], 0xff);
            assert_int_equal(at[5], 1);
        }
        counts[at[0]]++;
    }
    assert_int_equal(counts[0], 4);
    assert_int_equal(counts[1], 1);
    assert_int_equal(counts[2], 2);
    assert_int_equal(counts[4], 1);
}

static void mp_table_agrees(void **state)
{
    static const uint8_t sizes[] = {20, 8, 8, 8, 8};
    uint8_t *floating = scan("_MP_", 0xf0000);
    unsigned counts[5] = {0};

    (void)state;
    assert_int_equal(sum(floating, 16), 0);
    uint8_t *header = gmem_pointer(guest, read_32(floating + 4), TABLE_BYTES / 2);
    assert_non_null(header);
    assert_memory_equal(header, "PCMP", 4);
    unsigned length = (unsigned)(header[4] | header[5] << 8);
    assert_int_equal(sum(header, length), 0);
    uint8_t *at = header + 44;
    for (; at < header + length; at += sizes[at[0]]) {
        assert_in_range(at[0], 0, 4);
        if (at[0] == 0) {
            assert_int_equal(at[1], counts[0]);
            assert_int_equal(at[3], counts[0] == 0 ? 3 : 1);
        }
        if (at[0] == 2)
            assert_int_equal(at[1], vioapic_id(guest));
        if (at[0] == 3)
            assert_int_equal(at[7], at[5] == 0 ? 2 : at[5]);
        counts[at[0]]++;
    }
    assert_ptr_equal(at, header + length);
    assert_int_equal(counts[0], 4);
    assert_int_equal(counts[1], 2);
    assert_int_equal(counts[2], 1);
    assert_int_equal(counts[3], 15);
    assert_int_equal(counts[4], 2);
    assert_int_equal(header[34] | header[35] << 8, 4 + 2 + 1 + 15 + 2);
}

static void resets_write_the_same_tables(void **state)
{
    uint8_t *bios = gmem_pointer(guest, 0xe0000, 0x20000);
    uint8_t *copy = malloc(0x20000);

    (void)state;
    assert_non_null(bios);
    assert_non_null(copy);
    memcpy(copy, bios, 0x20000);
    memset(bios, 0xa5, 0x1000);
    memset(bios + 0x10000, 0x5a, 0x100);
    fake_advance_ns(guest, NS_PER_S);
    guest->devices[0].ops->reset(&guest->devices[0]);
    assert_memory_equal(bios, copy, 0x20000);
    free(copy);
}

static void no_room_is_told_and_harmless(void **state)
{
    (void)state;
    guest->ram_count = 1; /* 640 KiB */
    guest->devices[0].ops->reset(&guest->devices[0]);
    assert_int_equal(fake_calls.log_lines, 1);
}

static void pm_timer_runs_at_its_rate(void **state)
{
    (void)state;
    assert_int_equal(in(TIMER, 4), 0);
    fake_advance_ns(guest, NS_PER_S);
    assert_int_equal(in(TIMER, 4), VACPI_PM_TIMER_HZ);
    fake_advance_ns(guest, 1300 * NS_PER_S);
    uint64_t expected = UINT64_C(1301) * VACPI_PM_TIMER_HZ;
    assert_int_equal(in(TIMER, 4), expected & 0xffffffff);
    assert_int_equal(in(TIMER, 1), expected & 0xff);
    assert_int_equal(in(TIMER + 2, 2), expected >> 16 & 0xffff);
    out(TIMER, 4, 5); /* read-only */
    assert_int_equal(in(TIMER, 4), expected & 0xffffffff);
}

static void pm_timer_carry_interrupts_when_asked(void **state)
{
    (void)state;
    fake_advance_ns(guest, 599 * NS_PER_S); /* half of the range takes just under 600 s */
    assert_int_equal(in(STATUS, 2), 0);
    fake_advance_ns(guest, NS_PER_S);
    assert_int_equal(in(STATUS, 2), 1);
    assert_false(sci());
    out(ENABLE, 2, 1);
    assert_true(sci());
    out(STATUS, 2, 1);
    assert_false(sci());
    assert_int_equal(in(STATUS, 2), 0);
    fake_advance_ns(guest, 599 * NS_PER_S);
    assert_false(sci());
    fake_advance_ns(guest, NS_PER_S);
    assert_true(sci());
    out(ENABLE, 2, 0);
    assert_false(sci());
    fake_advance_ns(guest, 100000 * NS_PER_S);
    out(STATUS, 2, 1); /* however many carries: one clear */
    assert_int_equal(in(STATUS, 2), 0);
    assert_true(timer_next(guest->vcpus[0]) == TIMER_NEVER);
}

static void power_button(void **state)
{
    (void)state;
    assert_false(device_press_power_button(guest)); /* not enabled */
    assert_int_equal(in(STATUS, 2), 0x100);
    assert_false(sci());
    out(ENABLE, 2, 0x100);
    assert_true(sci());
    out(STATUS, 2, 0xfeff); /* others do not clear it */
    assert_int_equal(in(STATUS, 2), 0x100);
    out(STATUS + 1, 1, 0x01);
    assert_int_equal(in(STATUS, 2), 0);
    assert_false(sci());
    assert_true(device_press_power_button(guest));
    assert_true(sci());
    guest->devices[0].ops->reset(&guest->devices[0]);
    assert_false(sci());
    assert_int_equal(in(STATUS, 4), 0);
    guest->devices[0].ops = &vioapic_device;
    assert_false(device_press_power_button(guest)); /* a guest without ACPI */
    guest->devices[0].ops = &vacpi_device;
}

static void a_second_reason_is_a_new_edge(void **state)
{
    (void)state;
    out(ENABLE, 2, 0x101);
    fake_advance_ns(guest, 600 * NS_PER_S);
    assert_int_equal(sci_edges, 1);
    assert_true(device_press_power_button(guest)); /* the line is high already */
    assert_int_equal(sci_edges, 1);
    out(STATUS, 2, 1); /* the guest had read the first only */
    assert_int_equal(sci_edges, 2);
    assert_true(sci());
    out(STATUS, 2, 0x100);
    assert_int_equal(sci_edges, 2);
    assert_false(sci());
}

static void registers_read_back(void **state)
{
    (void)state;
    assert_int_equal(in(CONTROL, 2), 1); /* always in ACPI mode */
    out(CONTROL, 2, 0);
    assert_int_equal(in(CONTROL, 2), 1);
    out(CONTROL, 2, 0xffff & ~0x2000);
    assert_int_equal(in(CONTROL, 2), 0x1c03);
    out(ENABLE, 2, 0xffff);
    assert_int_equal(in(ENABLE, 2), 0x0721);
    out(ENABLE, 1, 0);
    assert_int_equal(in(ENABLE, 2), 0x0700);
    assert_int_equal(in(STATUS, 4), 0x07000000);
    assert_int_equal(in(0x606, 2), 0);
    assert_int_equal(in(0x60c, 4), 0);
    out(STATUS, 4, 0x01000000); /* both halves of the event block at once */
    assert_int_equal(in(ENABLE, 2), 0x0100);
}

static void sleeping(void **state)
{
    (void)state;
    for (unsigned type = 0; type < 8; type++) {
        if (type != VACPI_SLEEP_TYPE_OFF)
            out(CONTROL, 2, type << 10 | 0x2000);
    }
    out(CONTROL, 2, VACPI_SLEEP_TYPE_OFF << 10); /* without SLP_EN */
    assert_int_equal(fake_calls.power_offs, 0);
    out(CONTROL, 2, VACPI_SLEEP_TYPE_OFF << 10 | 0x2000);
    assert_int_equal(fake_calls.power_offs, 1);
    assert_string_equal(fake_calls.why, "ACPI S5");
    assert_int_equal(in(CONTROL, 2) & 0x2000, 0);
    out(CONTROL + 1, 1, 0x34); /* the upper byte alone */
    assert_int_equal(fake_calls.power_offs, 2);
}

static void reset_register(void **state)
{
    (void)state;
    out(VACPI_RESET_PORT, 1, 0x05);
    out(VACPI_RESET_PORT + 1, 1, VACPI_RESET_VALUE);
    assert_int_equal(fake_calls.resets, 0);
    out(VACPI_RESET_PORT, 1, VACPI_RESET_VALUE);
    assert_int_equal(fake_calls.resets, 1);
    assert_string_equal(fake_calls.why, "ACPI reset register");
}

static void random_accesses(void **state)
{
    (void)state;
    srandom(11);
    for (unsigned n = 0; n < 100000; n++) {
        uint32_t port = 0x5fc + (uint32_t)random() % 24;
        unsigned size = 1u << random() % 3;
        if (random() % 2 == 0)
            out(port, size, (uint32_t)random());
        else
            in(port, size);
        if (random() % 16 == 0)
            fake_advance_ns(guest, (uint64_t)random() * 100);
    }
}

static void write_table(const char *directory, unsigned vcpu_count, const uint8_t *at)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%.4s-%u.aml", directory, (const char *)at, vcpu_count);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(at, 1, read_32(at + 4), file) != read_32(at + 4) || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_tables(const char *directory, unsigned vcpu_count)
{
    start_with(vcpu_count);
    uint8_t *rsdp = scan("RSD PTR ", 0xe0000);
    uint8_t *fadt = xsdt_entry(0, "FACP");
    write_table(directory, vcpu_count, table(read_32(rsdp + 16), "RSDT"));
    write_table(directory, vcpu_count, table(read_64(rsdp + 24), "XSDT"));
    write_table(directory, vcpu_count, fadt);
    write_table(directory, vcpu_count, table(read_32(fadt + 36), "FACS"));
    write_table(directory, vcpu_count, table(read_32(fadt + 40), "DSDT"));
    write_table(directory, vcpu_count, xsdt_entry(1, "APIC"));
    write_table(directory, vcpu_count, xsdt_entry(2, "SSDT"));
    stop(NULL);
}

int main(int count, char **arguments)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(roots_point_at_the_same_tables),
        TEST(fadt_describes_the_ports),
        TEST(madt_lists_every_vcpu),
        TEST(mp_table_agrees),
        TEST(resets_write_the_same_tables),
        TEST(no_room_is_told_and_harmless),
        TEST(pm_timer_runs_at_its_rate),
        TEST(pm_timer_carry_interrupts_when_asked),
        TEST(power_button),
        TEST(a_second_reason_is_a_new_edge),
        TEST(registers_read_back),
        TEST(sleeping),
        TEST(reset_register),
        TEST(random_accesses),
    };
    if (count == 2) {
        write_tables(arguments[1], 1);
        write_tables(arguments[1], 4);
        write_tables(arguments[1], 16);
        return 0;
    }
    return cmocka_run_group_tests_name("vacpi", tests, NULL, NULL);
}

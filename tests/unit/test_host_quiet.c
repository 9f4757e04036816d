/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which registers are written to make the host quiet, to switch it off and to reset it. The drivers' source is included
 * here, behind port functions of our own in place of arch/x86.h; device memory is an array.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ARCH_X86_H

static uint8_t in8(uint16_t port);
static uint16_t in16(uint16_t port);
static uint32_t in32(uint16_t port);
static void out8(uint16_t port, uint8_t value);
static void out16(uint16_t port, uint16_t value);
static void out32(uint16_t port, uint32_t value);
static void cpu_relax(void)
{
}

#include "drivers/host/acpi_power.c"
#undef PCI_ADDRESS
#undef PCI_DATA
#undef PCI_ADDRESS_ENABLE
#include "drivers/host/quiet.c"

static char writes[4096]; /* "port=value " of each port write that no model here takes */
static char line[256];
static uint32_t pci_address;
static bool pci_absent;
static uint32_t functions[256 * 256][4]; /* the first four words of configuration space; 0: none */
static uint16_t pm1a;
static bool smi_enables;
static uint8_t hpet_memory[1024] ALIGNED(8);
static uint8_t sleep_memory[2];

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
}

volatile void *hostmap_map_device(hpa_t base, uint64_t size)
{
    if (base == 0xfed00000 && size == sizeof(hpet_memory))
        return hpet_memory;
    if (base == 0xfed80000 || base == 0xfed80001)
        return &sleep_memory[base & 1];
    return NULL;
}

static void note(uint16_t port, uint32_t value)
{
    size_t length = strlen(writes);

    snprintf(writes + length, sizeof(writes) - length, "%x=%x ", port, value);
}

static uint8_t in8(uint16_t port)
{
    assert_int_equal(port, 0x80);
    return 0;
}

static uint16_t in16(uint16_t port)
{
    return port == 0x604 ? pm1a : 0;
}

static uint32_t *pci_word(void)
{
    return (pci_address & BIT(31)) != 0 ? &functions[pci_address >> 8 & 0xffff][pci_address >> 2 & 3] : NULL;
}

static uint32_t in32(uint16_t port)
{
    if (pci_absent)
        return UINT32_MAX;
    if (port == 0xcf8)
        return pci_address;
    assert_int_equal(port, 0xcfc);
    return functions[pci_address >> 8 & 0xffff][0] == 0 ? UINT32_MAX : *pci_word();
}

static void out8(uint16_t port, uint8_t value)
{
    note(port, value);
    if (port == 0xb2 && smi_enables)
        pm1a |= 1;
}

static void out16(uint16_t port, uint16_t value)
{
    note(port, value);
}

static void out32(uint16_t port, uint32_t value)
{
    if (port == 0xcf8) {
        pci_address = value;
    } else {
        assert_int_equal(port, 0xcfc);
        *pci_word() = value;
        note(port, value);
    }
}

static int reset(void **state)
{
    (void)state;
    memset(writes, 0, sizeof(writes));
    memset(functions, 0, sizeof(functions));
    memset(hpet_memory, 0, sizeof(hpet_memory));
    memset(sleep_memory, 0, sizeof(sleep_memory));
    pci_address = 0;
    pm1a = 1;
    pci_absent = smi_enables = false;
    return 0;
}

static const struct acpi_machine pc = {
    .has_fadt = true,
    .pm1a_control = 0x604,
    .smi_command = 0xb2,
    .acpi_enable = 0xf1,
    .has_s5 = true,
    .s5_type_a = 5,
    .s5_type_b = 6,
};

static void power_off(void **state)
{
    (void)state;
    struct acpi_machine machine = pc;

    assert_int_equal(acpi_power_init(&machine), 0);
    pm1a = 0x2803; /* what else stands there is kept, an old type is not */
    acpi_power_off();
    assert_string_equal(writes, "604=1403 604=3403 ");
    reset(NULL);
    machine.pm1b_control = 0x704;
    acpi_power_off();
    assert_string_equal(writes, "604=1401 704=1800 604=3401 704=3800 ");
}

static void power_off_asks_for_acpi_mode_first(void **state)
{
    (void)state;
    assert_int_equal(acpi_power_init(&pc), 0);
    pm1a = 0;
    smi_enables = true;
    acpi_power_off();
    assert_string_equal(writes, "b2=f1 604=1401 604=3401 ");
    reset(NULL);
    pm1a = 0; /* firmware that never answers: tried all the same */
    acpi_power_off();
    assert_string_equal(writes, "b2=f1 604=1400 604=3400 ");
}

static void power_off_hardware_reduced(void **state)
{
    (void)state;
    struct acpi_machine machine = pc;

    machine.hardware_reduced = true;
    assert_int_equal(acpi_power_init(&machine), E_NOSYS);
    machine.sleep_control = (struct acpi_register){ACPI_SPACE_MEMORY, 8, 0xfed80000};
    machine.sleep_status = (struct acpi_register){ACPI_SPACE_MEMORY, 8, 0xfed80001};
    assert_int_equal(acpi_power_init(&machine), 0);
    acpi_power_off();
    assert_int_equal(sleep_memory[0], 5 << 2 | 0x20);
    assert_int_equal(sleep_memory[1], 0x80);
    assert_string_equal(writes, "");
}

static void power_off_that_nobody_described(void **state)
{
    (void)state;
    struct acpi_machine machine = pc;

    machine.has_s5 = false;
    assert_int_equal(acpi_power_init(&machine), E_NOSYS);
    acpi_power_off();
    assert_string_equal(writes, "");
}

static void resets(void **state)
{
    (void)state;
    struct acpi_machine machine = pc;

    (void)acpi_power_init(&machine);
    acpi_reset();
    assert_string_equal(writes, "cf9=2 cf9=6 64=fe ");
    reset(NULL);
    machine.has_reset = true;
    machine.reset = (struct acpi_register){ACPI_SPACE_PCI, 8, UINT64_C(0x1f00000046)};
    machine.reset_value = 0x0f;
    (void)acpi_power_init(&machine);
    acpi_reset();
    assert_int_equal(pci_address, BIT(31) | 0x1f << 11 | 0x44);
    assert_string_equal(writes, "cfe=f cf9=2 cf9=6 64=fe ");
}

static void function_add(uint32_t number, uint32_t header, uint32_t command)
{
    functions[number][0] = 0x12348086;
    functions[number][1] = 0xfff00000 | command;
    functions[number][3] = header << 16;
}

static void bus_mastering(void **state)
{
    (void)state;
    const struct acpi_machine nothing = {.cpu_count = 1};
    uint32_t far_away = 255u << 8 | 31u << 3;

    function_add(0, 0x80, 6);
    function_add(1, 0, 0x407);
    function_add(7, 0, 3);          /* not a master */
    function_add(2 << 3, 0x01, 7);  /* bridge */
    function_add(2 << 3 | 1, 0, 7); /* its header says one function: this is an echo */
    function_add(1 << 8, 0, 7);     /* behind it */
    function_add(far_away, 0, 4);
    quiet_host(&nothing);
    assert_int_equal(functions[0][1], 2);
    assert_int_equal(functions[1][1], 0x403);
    assert_int_equal(functions[7][1], 0xfff00003);
    assert_int_equal(functions[2 << 3][1], 0xfff00007);
    assert_int_equal(functions[2 << 3 | 1][1], 0xfff00007);
    assert_int_equal(functions[1 << 8][1], 3);
    assert_int_equal(functions[far_away][1], 0);
    assert_non_null(strstr(line, "4 of 6 PCI functions"));
    assert_int_equal(pci_address, 0);
}

static void pic_and_hpet(void **state)
{
    (void)state;
    const struct acpi_machine machine = {.hpet_base = 0xfed00000, .ioapic_count = 1, .ioapics = {{0, 0xfec00000, 0}}};
    uint32_t *words = (uint32_t *)(void *)hpet_memory;

    pci_absent = true;
    words[0] = 0x8086a201; /* three timers */
    words[4] = 3;
    for (unsigned i = 0; i < 4; i++)
        words[64 + 8 * i] = 0xc13c;
    quiet_host(&machine);
    assert_string_equal(writes, "20=11 a0=11 21=20 a1=28 21=4 a1=2 21=1 a1=1 21=ff a1=ff ");
    assert_int_equal(words[4], 0);
    assert_int_equal(words[64], 0x8138);
    assert_int_equal(words[80], 0x8138);
    assert_int_equal(words[88], 0xc13c);
    assert_non_null(strstr(line, " 0 IOAPIC pins, 3 HPET timers"));
    reset(NULL);
    pci_absent = true;
    memset(hpet_memory, 0xff, sizeof(hpet_memory)); /* nothing answers there */
    quiet_host(&machine);
    assert_non_null(strstr(line, " 0 HPET timers"));
}

#define CASE(function) cmocka_unit_test_setup(function, reset)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(power_off),
        CASE(power_off_asks_for_acpi_mode_first),
        CASE(power_off_hardware_reduced),
        CASE(power_off_that_nobody_described),
        CASE(resets),
        CASE(bus_mastering),
        CASE(pic_and_hpet),
    };
    return cmocka_run_group_tests_name("host quiet and power", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI configuration mechanism 1, the host bridge, and functions that other models add.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vpci.h"
#include "drivers/virtual/vsystem.h"
#include "hv/error.h"
#include "tests/unit/fake_ports.h"

static struct guest *guest;
static struct device *device;
static struct vpci_function disk;
static unsigned written_offset, written_size, function_resets;

static uint32_t in(uint16_t port, unsigned size)
{
    return (uint32_t)bus_read(&guest->ports, guest->vcpus[0], port, size);
}

static void out(uint16_t port, unsigned size, uint32_t value)
{
    bus_write(&guest->ports, guest->vcpus[0], port, size, value);
}

static void point(unsigned slot, unsigned number, unsigned offset)
{
    out(0xcf8, 4, 0x80000000u | slot << 11 | number << 8 | (offset & 0xfc));
}

static uint32_t config_read(unsigned slot, unsigned number, unsigned offset, unsigned size)
{
    point(slot, number, offset);
    return in((uint16_t)(0xcfc + (offset & 3)), size);
}

static void config_write(unsigned slot, unsigned number, unsigned offset, unsigned size, uint32_t value)
{
    point(slot, number, offset);
    out((uint16_t)(0xcfc + (offset & 3)), size, value);
}

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    fake_device(guest, &vsystem_device);
    device = fake_device(guest, &vpci_device);
    memset(&disk, 0, sizeof(disk));
    memset(&fake_calls, 0, sizeof(fake_calls));
    function_resets = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static void test_linux_probe(void **state)
{
    (void)state;
    out(0xcfb, 1, 0x01);
    out(0xcf8, 4, 0x80000000);
    assert_int_equal(in(0xcf8, 4), 0x80000000);
    assert_int_equal(config_read(0, 0, 0, 4), 0x12378086);
    assert_int_equal(config_read(0, 0, 8, 4), 0x06000002);
    assert_int_equal(config_read(0, 0, 0x0a, 2), 0x0600);
    assert_int_equal(config_read(0, 0, 0x0e, 1), 0x00);
    assert_int_equal(config_read(0, 0, 4, 4), 0x02800006);
    assert_int_equal(config_read(0, 0, 0xff, 1), 0x00);
}

static void test_nobody_else(void **state)
{
    (void)state;
    for (unsigned slot = 0; slot < 32; slot++) {
        for (unsigned number = 0; number < 8; number++) {
            if (slot != 0 || number != 0)
                assert_int_equal(config_read(slot, number, 0, 4), 0xffffffff);
        }
    }
    out(0xcf8, 4, 0x80010000); /* bus 1 */
    assert_int_equal(in(0xcfc, 4), 0xffffffff);
    out(0xcf8, 4, 0x00000000); /* not enabled */
    assert_int_equal(in(0xcfc, 4), 0xffffffff);
    out(0xcfc, 4, 0);
}

static void test_address_register(void **state)
{
    (void)state;
    out(0xcf8, 4, 0xffffffff);
    assert_int_equal(in(0xcf8, 4), 0x80fffffc);
    out(0xcf8, 2, 0);
    out(0xcfa, 1, 0);
    assert_int_equal(in(0xcf8, 4), 0x80fffffc);
    assert_int_equal(in(0xcf8, 1), 0xff);
    assert_int_equal(in(0xcfa, 2), 0xffff);
    out(0xcf9, 1, 0x02); /* the reset control lies in the middle */
    assert_int_equal(in(0xcf9, 1), 0x02);
    assert_int_equal(fake_calls.resets, 0);
    out(0xcf9, 1, 0x06);
    assert_int_equal(fake_calls.resets, 1);
    out(0xcf8, 4, 0x80000600); /* no reset, although byte 1 has the bits */
    assert_int_equal(fake_calls.resets, 1);
}

static void test_bridge_is_read_only(void **state)
{
    (void)state;
    for (unsigned offset = 0; offset < 256; offset += 4)
        config_write(0, 0, offset, 4, 0xffffffff);
    assert_int_equal(config_read(0, 0, 0, 4), 0x12378086);
    assert_int_equal(config_read(0, 0, 4, 4), 0x02800146);
    assert_int_equal(config_read(0, 0, 0x0c, 4), 0x0000f800);
    assert_int_equal(config_read(0, 0, 0x10, 4), 0);
    config_write(0, 0, 4, 4, 0);
    assert_int_equal(config_read(0, 0, 4, 4), 0x02800006);
    config_write(0, 0, 5, 1, 0xff);
    device->ops->reset(device);
    assert_int_equal(config_read(0, 0, 4, 2), 0x0006);
    assert_int_equal(in(0xcf8, 4), 0x80000004);
}

static void record(struct vpci_function *function, unsigned offset, unsigned size)
{
    assert_ptr_equal(function, &disk);
    written_offset = offset;
    written_size = size;
}

static void record_reset(struct vpci_function *function)
{
    (void)function;
    function_resets++;
}

static void test_added_function(void **state)
{
    static const struct vpci_function_ops ops = {record, record_reset};

    (void)state;
    disk.ops = &ops;
    vpci_config_set_word(&disk, PCI_VENDOR_ID, 0x1af4);
    vpci_config_set_word(&disk, PCI_DEVICE_ID, 0x1001);
    vpci_config_set_word(&disk, PCI_STATUS, 0x0810);
    disk.write_one_clears[PCI_STATUS + 1] = 0x08;
    memset(&disk.writable[PCI_BASE_ADDRESS_0 + 1], 0xff, 3); /* 256 bytes of ports */
    disk.config[PCI_BASE_ADDRESS_0] = 0x01;
    assert_int_equal(vpci_add(guest, 3, 0, &disk), 0);
    assert_int_equal(vpci_add(guest, 3, 0, &disk), E_BUSY);
    assert_int_equal(vpci_add(guest, 32, 0, &disk), E_INVAL);
    assert_int_equal(vpci_add(guest, 0, 8, &disk), E_INVAL);
    assert_int_equal(config_read(3, 0, 0, 4), 0x10011af4);
    config_write(3, 0, 0x10, 4, 0xffffffff);
    assert_int_equal(config_read(3, 0, 0x10, 4), 0xffffff01);
    config_write(3, 0, 0x11, 2, 0xc0de);
    assert_int_equal(config_read(3, 0, 0x10, 4), 0xffc0de01);
    assert_int_equal(written_offset, 0x11);
    assert_int_equal(written_size, 2);
    config_write(3, 0, PCI_STATUS, 2, 0x0800);
    assert_int_equal(vpci_config_word(&disk, PCI_STATUS), 0x0010);
    device->ops->reset(device);
    assert_int_equal(function_resets, 1);
    assert_int_equal(config_read(3, 0, 0x10, 4), 0x00000001);
    static struct vpci_function more[PCI_FUNCTIONS_MAX];
    int error = 0;
    for (unsigned i = 0; i < PCI_FUNCTIONS_MAX && error == 0; i++)
        error = vpci_add(guest, 4 + i / 8, i % 8, &more[i]);
    assert_int_equal(error, E_NOMEM);
}

static void test_hostile_accesses(void **state)
{
    uint32_t seed = 13;

    (void)state;
    assert_int_equal(vpci_add(guest, 0, 1, &disk), 0);
    for (unsigned i = 0; i < 300000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t port = (uint16_t)(0xcf4 + (seed >> 24 & 15));
        unsigned size = 1u << (seed >> 22 & 3);
        if (seed & 0x1000)
            (void)bus_read(&guest->ports, guest->vcpus[0], port, size);
        else
            bus_write(&guest->ports, guest->vcpus[0], port, size, 0x80000000u | (seed * 7 & 0x000009ff));
    }
    assert_int_equal(config_read(0, 0, 0, 4), 0x12378086);
}

static void test_without_pci(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    assert_int_equal(vpci_add(guest, 1, 0, &disk), E_NOENT);
    assert_int_equal(in(0xcf8, 4), 0xffffffff);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_linux_probe, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_else, setup, teardown),
        cmocka_unit_test_setup_teardown(test_address_register, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bridge_is_read_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_added_function, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hostile_accesses, setup, teardown),
        cmocka_unit_test_teardown(test_without_pci, teardown),
    };
    return cmocka_run_group_tests_name("vpci", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host's UART and screen drivers against a small 16550 and a screen in memory. The drivers' source is included
 * here, behind port functions of our own in place of arch/x86.h.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define ARCH_X86_H

static uint8_t in8(uint16_t port);
static void out8(uint16_t port, uint8_t value);
static void cpu_relax(void)
{
}

#include "drivers/host/uart.c"
#include "drivers/host/vgatext.c"

static struct chip {
    uint16_t base; /* 0: no chip anywhere, all ones */
    bool has_fifo;
    bool unplugged;
    uint8_t registers[8];
    uint16_t divisor;
    size_t fill; /* bytes in the transmitter */
    char sent[256];
    size_t sent_count;
    const char *keys;
} chip;
static uint8_t crtc_index, crtc[256];

static uint8_t in8(uint16_t port)
{
    if (chip.unplugged || port < chip.base || port - chip.base > 7)
        return 0xff;
    switch (port - chip.base) {
    case 0: return (uint8_t)*chip.keys++;
    case 2: return chip.has_fifo ? 0xc1 : 0x01;
    case 5: return (uint8_t)((chip.fill == 0 ? 0x60 : 0) | (chip.keys != NULL && *chip.keys != '\0' ? 1 : 0));
    case 6: return (chip.registers[4] & 0x10) != 0 ? (uint8_t)(chip.registers[4] == 0x1a ? 0x90 : 0) : 0;
    default: return chip.registers[port - chip.base];
    }
}

static void out8(uint16_t port, uint8_t value)
{
    if (port == 0x3d4) {
        crtc_index = value;
    } else if (port == 0x3d5) {
        crtc[crtc_index] = value;
    } else if (port >= chip.base && port - chip.base <= 7) {
        bool divisor = (chip.registers[3] & 0x80) != 0;
        chip.registers[port - chip.base] = value;
        if (port == chip.base && divisor) {
            chip.divisor = value;
        } else if (port == chip.base) {
            assert_true(chip.fill < (chip.has_fifo ? 16u : 1u));
            chip.fill++;
            chip.sent[chip.sent_count++] = (char)value;
        }
    }
}

static void uart_is_found_and_set_up(void **state)
{
    (void)state;
    struct console_driver driver;

    chip = (struct chip){.base = 0x2f8, .has_fifo = true};
    assert_int_equal(uart_open("com1", &driver), E_NOENT);
    assert_int_equal(uart_open("com5", &driver), E_INVAL);
    assert_int_equal(uart_open("", &driver), E_INVAL);
    assert_int_equal(uart_open("com2", &driver), 0);
    assert_string_equal(driver.name, "com2");
    assert_int_equal(chip.divisor, 1);
    assert_int_equal(chip.registers[3], 3);
    assert_int_equal(chip.registers[4], 3);
    assert_int_equal(chip.registers[1], 0);
    assert_int_equal(chip.registers[2], 7);
}

static void uart_never_overfills(void **state)
{
    (void)state;
    struct console_driver driver;
    const uint8_t text[] = "0123456789abcdefghijklmnopqrstuvwxyz";

    for (int fifo = 0; fifo < 2; fifo++) {
        size_t size = fifo != 0 ? 16 : 1;
        chip = (struct chip){.base = 0x3f8, .has_fifo = fifo != 0};
        assert_int_equal(uart_open("com1", &driver), 0);
        assert_int_equal(driver.write(driver.context, text, 36), size);
        assert_int_equal(driver.write(driver.context, text, 36), 0);
        chip.fill = 0;
        assert_int_equal(driver.write(driver.context, text + size, 1), 1);
        assert_memory_equal(chip.sent, text, size + 1);
    }
    chip.unplugged = true;
    assert_int_equal(driver.write(driver.context, text, 36), 0);
}

static void uart_reads(void **state)
{
    (void)state;
    struct console_driver driver;
    uint8_t byte = 0;

    chip = (struct chip){.base = 0x3f8, .has_fifo = true};
    assert_int_equal(uart_open("com1", &driver), 0);
    assert_false(driver.read(driver.context, &byte));
    chip.keys = "k";
    assert_true(driver.read(driver.context, &byte));
    assert_int_equal(byte, 'k');
    assert_false(driver.read(driver.context, &byte));
    chip.unplugged = true;
    assert_false(driver.read(driver.context, &byte));
}

static volatile uint16_t cells[ROWS * COLUMNS];
static struct console_driver shown;

static void show(const char *text)
{
    assert_int_equal(shown.write(shown.context, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void expect_row(unsigned number, const char *text)
{
    for (unsigned i = 0; i < COLUMNS; i++) {
        uint8_t wanted = i < strlen(text) ? (uint8_t)text[i] : ' ';
        assert_int_equal(cells[number * COLUMNS + i], 0x0700 | wanted);
    }
}

static void screen_shows_and_scrolls(void **state)
{
    (void)state;
    vgatext_open(cells, &shown);
    assert_null(shown.read);
    show("one\r\n\033[1;31mtwo\033[m\033c\tx\b\by\r\n");
    expect_row(0, "one");
    expect_row(1, "two    yx");
    assert_int_equal(crtc[0x0e] << 8 | crtc[0x0f], 160);
    for (unsigned i = 0; i < 23; i++)
        show("line\r\n");
    expect_row(0, "two    yx");
    expect_row(23, "line");
    expect_row(24, "");
    for (unsigned i = 0; i < 80; i++)
        show("z");
    expect_row(23, "line");
    assert_int_equal(crtc[0x0e] << 8 | crtc[0x0f], 1999);
    show("w");
    expect_row(24, "w");
    show("\r\n\r\n\x01\x7f\xff\t\t\t\t\t\t\t\t\t\t\t\t");
    assert_in_range(crtc[0x0e] << 8 | crtc[0x0f], 1920, 1999);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uart_is_found_and_set_up),
        cmocka_unit_test(uart_never_overfills),
        cmocka_unit_test(uart_reads),
        cmocka_unit_test(screen_shows_and_scrolls),
    };
    return cmocka_run_group_tests_name("host console", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes fill the transmit FIFO whenever it is empty and never wait. National Semiconductor PC16550D data sheet,
 * "Registers".
 */
#include "drivers/host/uart.h"

#include "arch/x86.h"
#include "hv/error.h"
#include "hv/string.h"

/* Register offsets; 0 and 1 are the divisor while DLAB is set. */
#define UART_DATA           0u
#define UART_INTERRUPTS     1u
#define UART_FIFO           2u /* write */
#define UART_IDENTIFICATION 2u /* read */
#define UART_LINE           3u
#define UART_MODEM          4u
#define UART_LINE_STATUS    5u
#define UART_MODEM_STATUS   6u
#define UART_SCRATCH        7u

#define FIFO_ENABLE_CLEAR      0x07u
#define IDENTIFICATION_FIFO    0xc0u /* both bits: a FIFO that works */
#define LINE_8N1               0x03u
#define LINE_DIVISOR           0x80u
#define MODEM_DTR_RTS          0x03u
#define MODEM_LOOPBACK         0x1au /* loopback with RTS and OUT2 set */
#define MODEM_STATUS_LINES     0xf0u
#define MODEM_STATUS_LOOPBACK  0x90u /* RTS comes back as CTS, OUT2 as DCD */
#define LINE_STATUS_DATA       0x01u
#define LINE_STATUS_HOLD_EMPTY 0x20u
#define LINE_STATUS_ALL_EMPTY  0x40u
#define LINE_STATUS_ABSENT     0xffu /* an unplugged card reads all ones */

#define DIVISOR_115200 1u
#define FIFO_SIZE      16u
#define DRAIN_READS                                                                                                    \
    200000u /* what firmware left to send: at most 17 characters, some 150 microseconds each at 57600 baud */

struct uart {
    const char *name;
    uint16_t port;
    uint8_t burst; /* bytes that an empty transmitter takes */
};

static struct uart uarts[] = {
    {"com1", 0x3f8, 1},
    {"com2", 0x2f8, 1},
    {"com3", 0x3e8, 1},
    {"com4", 0x2e8, 1},
};

static uint8_t uart_in(const struct uart *uart, uint16_t offset)
{
    return in8((uint16_t)(uart->port + offset));
}

static void uart_out(const struct uart *uart, uint16_t offset, uint8_t value)
{
    out8((uint16_t)(uart->port + offset), value);
}

static size_t uart_write(void *context, const uint8_t *bytes, size_t size)
{
    const struct uart *uart = context;
    size_t done = 0;

    while (done < size) {
        uint8_t status = uart_in(uart, UART_LINE_STATUS);
        if (status == LINE_STATUS_ABSENT || (status & LINE_STATUS_HOLD_EMPTY) == 0)
            break;
        size_t burst = min_u64(size - done, uart->burst);
        for (size_t i = 0; i < burst; i++)
            uart_out(uart, UART_DATA, bytes[done + i]);
        done += burst;
    }
    return done;
}

static bool uart_read(void *context, uint8_t *byte)
{
    const struct uart *uart = context;
    uint8_t status = uart_in(uart, UART_LINE_STATUS);

    if (status == LINE_STATUS_ABSENT || (status & LINE_STATUS_DATA) == 0)
        return false;
    *byte = uart_in(uart, UART_DATA);
    return true;
}

static bool uart_idle(void *context)
{
    return (uart_in(context, UART_LINE_STATUS) & LINE_STATUS_ALL_EMPTY) != 0;
}

/* A UART has a scratch register, and in loopback its modem status follows its modem control. */
static bool uart_present(const struct uart *uart)
{
    uart_out(uart, UART_SCRATCH, 0x5a);
    if (uart_in(uart, UART_SCRATCH) != 0x5a)
        return false;
    uart_out(uart, UART_SCRATCH, 0xa5);
    if (uart_in(uart, UART_SCRATCH) != 0xa5)
        return false;
    uart_out(uart, UART_MODEM, MODEM_LOOPBACK);
    bool answers = (uart_in(uart, UART_MODEM_STATUS) & MODEM_STATUS_LINES) == MODEM_STATUS_LOOPBACK;
    uart_out(uart, UART_MODEM, MODEM_DTR_RTS);
    return answers;
}

static void uart_set_up(struct uart *uart)
{
    for (uint32_t i = 0; i < DRAIN_READS && (uart_in(uart, UART_LINE_STATUS) & LINE_STATUS_ALL_EMPTY) == 0; i++)
        cpu_relax();
    uart_out(uart, UART_INTERRUPTS, 0);
    uart_out(uart, UART_LINE, LINE_DIVISOR | LINE_8N1);
    uart_out(uart, 0, DIVISOR_115200);
    uart_out(uart, 1, 0);
    uart_out(uart, UART_LINE, LINE_8N1);
    uart_out(uart, UART_FIFO, FIFO_ENABLE_CLEAR);
    uart_out(uart, UART_MODEM, MODEM_DTR_RTS);
    bool fifo = (uart_in(uart, UART_IDENTIFICATION) & IDENTIFICATION_FIFO) == IDENTIFICATION_FIFO;
    uart->burst = fifo ? FIFO_SIZE : 1;
}

static struct uart *uart_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(uarts); i++) {
        if (strcmp(name, uarts[i].name) == 0)
            return &uarts[i];
    }
    return NULL;
}

uint16_t uart_port(const char *name)
{
    const struct uart *uart = uart_find(name);

    return uart != NULL ? uart->port : 0;
}

int uart_open(const char *name, struct console_driver *driver)
{
    struct uart *uart = uart_find(name);

    if (uart == NULL)
        return E_INVAL;
    if (!uart_present(uart))
        return E_NOENT;
    uart_set_up(uart);
    *driver = (struct console_driver){uart->name, uart_write, uart_read, uart_idle, uart};
    return 0;
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 16550A as the National PC16550D data sheet has it, on a wire without a speed: what the guest sends is in the
 * console's ring at once, what comes is in the receiver as soon as it has room. The ring is the line's back-pressure:
 * the transmitter counts as empty only while the ring takes a whole FIFO, and received bytes stay in the ring until the
 * receiver takes them, so neither side overruns. Only the receive timeout of the FIFO needs a timer.
 */
#include "drivers/virtual/vuart.h"

#include "hv/console.h"
#include "hv/error.h"
#include "hv/guest.h"
#include "hv/irq.h"
#include "hv/machine.h"
#include "hv/timer.h"

#define PORT_BASE 0x3f8u
#define PORTS     8u
#define FIFO_SIZE 16u

/* Register offsets. Data sheet, section 8 "Registers", table "Summary of Registers" */
enum uart_register {
    UART_DATA = 0,             /* RBR, THR; DLL with DLAB */
    UART_INTERRUPT_ENABLE = 1, /* DLM with DLAB */
    UART_IDENTIFY = 2,         /* IIR; FCR when written */
    UART_LINE_CONTROL = 3,
    UART_MODEM_CONTROL = 4,
    UART_LINE_STATUS = 5,
    UART_MODEM_STATUS = 6,
    UART_SCRATCH = 7,
};

#define IER_RECEIVED     0x01u
#define IER_TRANSMITTER  0x02u
#define IER_LINE_STATUS  0x04u
#define IER_MODEM_STATUS 0x08u
#define IER_WRITABLE     0x0fu

#define IIR_NONE         0x01u
#define IIR_MODEM_STATUS 0x00u
#define IIR_TRANSMITTER  0x02u
#define IIR_RECEIVED     0x04u
#define IIR_LINE_STATUS  0x06u
#define IIR_TIMEOUT      0x0cu
#define IIR_FIFOS        0xc0u

#define FCR_ENABLE         0x01u
#define FCR_CLEAR_RECEIVER 0x02u
#define FCR_TRIGGER_SHIFT  6u

#define LCR_LENGTH 0x03u /* 5 to 8 bits */
#define LCR_STOP   0x04u
#define LCR_PARITY 0x08u
#define LCR_BREAK  0x40u
#define LCR_DLAB   0x80u
#define LCR_RESET  0x03u /* 8N1, as firmware leaves it */

#define MCR_DTR      0x01u
#define MCR_RTS      0x02u
#define MCR_OUT1     0x04u
#define MCR_OUT2     0x08u /* a PC's gate between the chip and the interrupt line */
#define MCR_LOOP     0x10u
#define MCR_WRITABLE 0x1fu

#define LSR_DATA_READY 0x01u
#define LSR_OVERRUN    0x02u
#define LSR_PARITY     0x04u
#define LSR_FRAMING    0x08u
#define LSR_BREAK      0x10u
#define LSR_THR_EMPTY  0x20u
#define LSR_EMPTY      0x40u
#define LSR_FIFO_ERROR 0x80u
#define LSR_ERRORS     (LSR_OVERRUN | LSR_PARITY | LSR_FRAMING | LSR_BREAK)

#define MSR_DELTAS  0x0fu
#define MSR_RI_EDGE 0x04u /* the ring indicator reports its trailing edge only */
#define MSR_CTS     0x10u
#define MSR_DSR     0x20u
#define MSR_RI      0x40u
#define MSR_DCD     0x80u
#define MSR_STATES  0xf0u

#define UART_HZ        UINT64_C(115200) /* bits a second at divisor 1 */
#define DIVISOR_RESET  12u              /* 9600, as firmware leaves it */
#define TIMEOUT_CHARS  4u
#define TIMEOUT_NS_MIN UINT64_C(100000)
#define TIMEOUT_NS_MAX UINT64_C(4000000) /* a slow speed is no reason to make a typist wait */
#define NS_PER_SECOND  UINT64_C(1000000000)

static const uint8_t fifo_trigger[4] = {1, 4, 8, 14};

struct uart_received {
    uint8_t byte;
    uint8_t errors; /* LSR bits of this character */
};

struct uart_state {
    struct timer timer; /* first: the timer leads back to its state */
    struct guest *guest;
    uint8_t interrupt_enable;
    uint8_t fifo_control; /* FCR_ENABLE and the trigger */
    uint8_t line_control;
    uint8_t modem_control;
    uint8_t line_errors; /* of the LSR, until read */
    uint8_t modem_status;
    uint8_t scratch;
    uint8_t received_first; /* index of the oldest in `received` */
    uint8_t received_count;
    bool thr_interrupt; /* the transmitter became empty, and neither an IIR read nor a byte answered it */
    bool thr_withheld;  /* the ring was full when last looked at */
    bool timeout;       /* characters wait below the trigger for too long */
    uint16_t divisor;
    struct uart_received received[FIFO_SIZE];
    struct console_port *port; /* stays as it is through resets: its text belongs to the console */
};

static bool fifo_enabled(const struct uart_state *uart)
{
    return (uart->fifo_control & FCR_ENABLE) != 0;
}

static unsigned receiver_size(const struct uart_state *uart)
{
    return fifo_enabled(uart) ? FIFO_SIZE : 1;
}

static unsigned receiver_trigger(const struct uart_state *uart)
{
    return fifo_enabled(uart) ? fifo_trigger[uart->fifo_control >> FCR_TRIGGER_SHIFT] : 1;
}

/* What the IIR shows: the pending interrupt of highest priority. Table "Interrupt Control Functions" */
static uint8_t interrupt_identity(const struct uart_state *uart)
{
    uint8_t enabled = uart->interrupt_enable;

    if ((enabled & IER_LINE_STATUS) && uart->line_errors != 0)
        return IIR_LINE_STATUS;
    if ((enabled & IER_RECEIVED) && uart->received_count >= receiver_trigger(uart))
        return IIR_RECEIVED;
    if ((enabled & IER_RECEIVED) && uart->timeout)
        return IIR_TIMEOUT;
    if ((enabled & IER_TRANSMITTER) && uart->thr_interrupt)
        return IIR_TRANSMITTER;
    if ((enabled & IER_MODEM_STATUS) && (uart->modem_status & MSR_DELTAS))
        return IIR_MODEM_STATUS;
    return IIR_NONE;
}

/* OUT2 is a pin: the loopback mode holds it inactive. Section 8.6 "Modem Control Register" */
static void uart_update_line(struct uart_state *uart)
{
    bool gate = (uart->modem_control & (MCR_OUT2 | MCR_LOOP)) == MCR_OUT2;

    irq_set(uart->guest, IRQ_COM1, gate && interrupt_identity(uart) != IIR_NONE);
}

/* Four character times at the guest's own settings, within reason. "FIFO Interrupt Mode Operation" */
static uint64_t timeout_ticks(const struct uart_state *uart)
{
    uint64_t bits = 1 + 5 + (uart->line_control & LCR_LENGTH) + (uart->line_control & LCR_PARITY ? 1 : 0) +
                    (uart->line_control & LCR_STOP ? 2 : 1);
    uint64_t ns = TIMEOUT_CHARS * bits * uart->divisor * NS_PER_SECOND / UART_HZ;

    return ticks_from_ns(max_u64(TIMEOUT_NS_MIN, min_u64(ns, TIMEOUT_NS_MAX)));
}

/* A FIFO that holds characters below its trigger reports them after a while; from the trigger on they report
 * themselves. */
static void receiver_arm_timeout(struct uart_state *uart)
{
    bool owed = fifo_enabled(uart) && (uart->interrupt_enable & IER_RECEIVED) && !uart->timeout &&
                uart->received_count > 0 && uart->received_count < receiver_trigger(uart);

    if (owed)
        timer_set(&uart->timer, machine_ticks() + timeout_ticks(uart));
    else if (uart->timer.deadline_ticks != TIMER_NEVER)
        timer_set(&uart->timer, TIMER_NEVER);
}

static void uart_expired(struct timer *timer)
{
    struct uart_state *uart = (struct uart_state *)timer;

    uart->timeout = fifo_enabled(uart) && uart->received_count > 0;
    uart_update_line(uart);
}

/* The character at the top of the FIFO brings its errors into the LSR. "FIFO Mode", LSR bits 2-4 */
static void receiver_reveal(struct uart_state *uart)
{
    if (uart->received_count == 0)
        return;
    struct uart_received *top = &uart->received[uart->received_first];
    uart->line_errors |= top->errors;
    top->errors = 0;
}

/* A character from the wire or the loop. A full FIFO keeps what it has, a lone register takes the new one. */
static void receiver_put(struct uart_state *uart, uint8_t byte, uint8_t errors)
{
    if (uart->received_count == receiver_size(uart)) {
        uart->line_errors |= LSR_OVERRUN;
        if (fifo_enabled(uart))
            return;
        uart->received_count = 0;
    }
    unsigned at = (uart->received_first + uart->received_count) % FIFO_SIZE;
    uart->received[at] = (struct uart_received){byte, errors};
    uart->received_count++;
    if (uart->received_count == 1)
        receiver_reveal(uart);
}

/* Take from the console what the receiver has room for. In loopback the wire is disconnected. */
static void receiver_refill(struct uart_state *uart)
{
    uint8_t byte;

    if (uart->modem_control & MCR_LOOP)
        return;
    while (uart->received_count < receiver_size(uart) && ring_take(&uart->port->in, &byte))
        receiver_put(uart, byte, 0);
}

static void receiver_clear(struct uart_state *uart)
{
    uart->received_count = 0;
    uart->received_first = 0;
    uart->timeout = false;
}

static uint8_t uart_read_data(struct uart_state *uart)
{
    if (uart->received_count == 0)
        return uart->received[uart->received_first].byte; /* what was read last, as the register would hold it */
    uint8_t byte = uart->received[uart->received_first].byte;
    uart->received_count--;
    if (uart->received_count > 0) {
        uart->received_first = (uint8_t)((uart->received_first + 1) % FIFO_SIZE);
        receiver_reveal(uart);
    }
    uart->timeout = false;
    receiver_refill(uart);
    receiver_arm_timeout(uart);
    uart_update_line(uart);
    return byte;
}

/*
 * A driver that saw THRE may send a whole FIFO without looking again, so THRE needs that much room.
 * The console may make room between the first look and the wish; the second look finds that out.
 */
static bool transmitter_has_room(struct uart_state *uart)
{
    if (ring_free(&uart->port->out) >= FIFO_SIZE || (uart->modem_control & MCR_LOOP))
        return true;
    __atomic_store_n(&uart->port->wants_room, 1, __ATOMIC_SEQ_CST);
    /* Whoever polls for room gives the clock a look, and with it the console: also where interrupts reach the CPU late.
     */
    vcpu_request(uart->guest->vcpus[0], REQUEST_TIMERS);
    return ring_free(&uart->port->out) >= FIFO_SIZE;
}

/* Is the transmitter empty? When it has just become so, its interrupt is due. */
static bool transmitter_look(struct uart_state *uart)
{
    bool room = transmitter_has_room(uart);

    if (room && uart->thr_withheld) {
        uart->thr_interrupt = true;
        uart_update_line(uart);
    }
    uart->thr_withheld = !room;
    return room;
}

static void uart_write_data(struct uart_state *uart, uint8_t byte)
{
    uart->thr_interrupt = false;
    if (uart->modem_control & MCR_LOOP) {
        uint8_t mask = (uint8_t)(0xff >> (3 - (uart->line_control & LCR_LENGTH)));
        receiver_put(uart, byte & mask, 0);
        receiver_arm_timeout(uart);
        uart->thr_interrupt = true;
        uart_update_line(uart);
        return;
    }
    /* A guest that writes without THRE loses the byte, as it would on a chip. */
    (void)ring_put(&uart->port->out, byte);
    uart_update_line(uart); /* the request falls, then rises again: one edge for each byte */
    uart->thr_withheld = true;
    (void)transmitter_look(uart);
}

static __attribute__((noinline)) uint8_t line_status_slowly(struct uart_state *uart)
{
    uint8_t status = uart->line_errors;

    if (uart->received_count > 0)
        status |= LSR_DATA_READY;
    if (transmitter_look(uart))
        status |= LSR_THR_EMPTY | LSR_EMPTY;
    for (unsigned i = 0; i < uart->received_count && fifo_enabled(uart); i++) {
        if (uart->received[(uart->received_first + i) % FIFO_SIZE].errors != 0)
            status |= LSR_FIFO_ERROR;
    }
    if (uart->line_errors != 0) {
        if (fifo_enabled(uart) && (uart->line_errors & ~LSR_OVERRUN))
            status |= LSR_FIFO_ERROR;
        uart->line_errors = 0;
        uart_update_line(uart);
    }
    return status;
}

/* Drivers poll it before each byte that they send: mostly nothing was received and the transmitter stays empty. */
static uint8_t uart_read_line_status(struct uart_state *uart)
{
    if (uart->received_count == 0 && uart->line_errors == 0 && !uart->thr_withheld &&
        ring_free(&uart->port->out) >= FIFO_SIZE)
        return LSR_THR_EMPTY | LSR_EMPTY;
    return line_status_slowly(uart);
}

/* The modem lines as the chip sees them: a terminal that is always there, or its own outputs in loopback. */
static uint8_t modem_lines(const struct uart_state *uart)
{
    uint8_t control = uart->modem_control, lines = 0;

    if (!(control & MCR_LOOP))
        return MSR_CTS | MSR_DSR | MSR_DCD;
    if (control & MCR_RTS)
        lines |= MSR_CTS;
    if (control & MCR_DTR)
        lines |= MSR_DSR;
    if (control & MCR_OUT1)
        lines |= MSR_RI;
    if (control & MCR_OUT2)
        lines |= MSR_DCD;
    return lines;
}

static void uart_update_modem(struct uart_state *uart)
{
    uint8_t lines = modem_lines(uart);
    uint8_t changed = (uint8_t)((uart->modem_status ^ lines) & MSR_STATES);
    uint8_t deltas = changed >> 4;

    if (lines & MSR_RI)
        deltas &= (uint8_t)~MSR_RI_EDGE;
    uart->modem_status = (uint8_t)(lines | (uart->modem_status & MSR_DELTAS) | deltas);
}

static void uart_write_modem_control(struct uart_state *uart, uint8_t value)
{
    uart->modem_control = value & MCR_WRITABLE;
    uart_update_modem(uart);
    receiver_refill(uart);
    receiver_arm_timeout(uart);
    uart_update_line(uart);
}

static uint8_t uart_read_modem_status(struct uart_state *uart)
{
    uint8_t status = uart->modem_status;

    uart->modem_status &= MSR_STATES;
    uart_update_line(uart);
    return status;
}

/* Reading the IIR answers the transmitter's interrupt, when that is what it shows. */
static uint8_t uart_read_identity(struct uart_state *uart)
{
    uint8_t identity = interrupt_identity(uart);

    if (identity == IIR_TRANSMITTER) {
        uart->thr_interrupt = false;
        uart_update_line(uart);
    }
    return fifo_enabled(uart) ? identity | IIR_FIFOS : identity;
}

/* Enabling the transmitter's interrupt while it is empty raises it. "Interrupt Enable Register", bit 1 */
static void uart_write_interrupt_enable(struct uart_state *uart, uint8_t value)
{
    uint8_t enabled = value & IER_WRITABLE & (uint8_t)~uart->interrupt_enable;
    uint8_t changed = (value & IER_WRITABLE) ^ uart->interrupt_enable;

    uart->interrupt_enable = value & IER_WRITABLE;
    if (changed & IER_RECEIVED)
        receiver_arm_timeout(uart);
    if (enabled & IER_TRANSMITTER)
        uart->thr_interrupt = transmitter_look(uart);
    uart_update_line(uart);
}

/* "FIFO Control Register": bits count only together with bit 0, and changing bit 0 empties the FIFOs. */
static void uart_write_fifo_control(struct uart_state *uart, uint8_t value)
{
    bool clear = ((value ^ uart->fifo_control) & FCR_ENABLE) != 0 || (value & FCR_ENABLE && value & FCR_CLEAR_RECEIVER);

    uart->fifo_control = value & FCR_ENABLE ? (uint8_t)(value & (FCR_ENABLE | 3u << FCR_TRIGGER_SHIFT)) : 0;
    if (clear)
        receiver_clear(uart);
    receiver_refill(uart);
    receiver_arm_timeout(uart);
    uart_update_line(uart);
}

/* A break in loopback comes back as one zero character with its flags. */
static void uart_write_line_control(struct uart_state *uart, uint8_t value)
{
    bool begins = (value & LCR_BREAK) && !(uart->line_control & LCR_BREAK);

    uart->line_control = value;
    if (begins && (uart->modem_control & MCR_LOOP)) {
        receiver_put(uart, 0, LSR_BREAK | LSR_FRAMING);
        receiver_arm_timeout(uart);
        uart_update_line(uart);
    }
}

static __attribute__((noinline)) uint8_t uart_read_register(struct uart_state *uart, enum uart_register reg)
{
    bool latch = (uart->line_control & LCR_DLAB) != 0;

    switch (reg) {
    case UART_DATA: return latch ? (uint8_t)uart->divisor : uart_read_data(uart);
    case UART_INTERRUPT_ENABLE: return latch ? (uint8_t)(uart->divisor >> 8) : uart->interrupt_enable;
    case UART_IDENTIFY: return uart_read_identity(uart);
    case UART_LINE_CONTROL: return uart->line_control;
    case UART_MODEM_CONTROL: return uart->modem_control;
    case UART_LINE_STATUS: return line_status_slowly(uart);
    case UART_MODEM_STATUS: return uart_read_modem_status(uart);
    case UART_SCRATCH: return uart->scratch;
    }
    return 0xff;
}

static uint64_t uart_read(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size)
{
    struct uart_state *uart = device->state;

    (void)vcpu;
    (void)size;
    if (offset == UART_LINE_STATUS)
        return uart_read_line_status(uart);
    return uart_read_register(uart, (enum uart_register)offset);
}

static void uart_write(struct device *device, struct vcpu *vcpu, uint64_t offset, unsigned size, uint64_t value)
{
    struct uart_state *uart = device->state;
    bool latch = (uart->line_control & LCR_DLAB) != 0;
    uint8_t byte = (uint8_t)value;

    (void)vcpu;
    (void)size;
    switch ((enum uart_register)offset) {
    case UART_DATA:
        if (latch)
            uart->divisor = (uint16_t)((uart->divisor & 0xff00) | byte);
        else
            uart_write_data(uart, byte);
        break;
    case UART_INTERRUPT_ENABLE:
        if (latch)
            uart->divisor = (uint16_t)((uart->divisor & 0xff) | byte << 8);
        else
            uart_write_interrupt_enable(uart, byte);
        break;
    case UART_IDENTIFY: uart_write_fifo_control(uart, byte); break;
    case UART_LINE_CONTROL: uart_write_line_control(uart, byte); break;
    case UART_MODEM_CONTROL: uart_write_modem_control(uart, byte); break;
    case UART_LINE_STATUS: /* factory test only */
    case UART_MODEM_STATUS: break;
    case UART_SCRATCH: uart->scratch = byte; break;
    }
}

static const struct bus_ops uart_ops = {uart_read, uart_write};

/* The console has input, or room again. */
static void uart_port_changed(void *context)
{
    struct uart_state *uart = context;

    receiver_refill(uart);
    receiver_arm_timeout(uart);
    if (uart->thr_withheld)
        (void)transmitter_look(uart);
    uart_update_line(uart);
}

static void uart_reset(struct device *device)
{
    struct uart_state *uart = device->state;

    uart->interrupt_enable = 0;
    uart->fifo_control = 0;
    uart->line_control = LCR_RESET;
    uart->modem_control = 0;
    uart->line_errors = 0;
    uart->modem_status = modem_lines(uart);
    uart->scratch = 0;
    uart->thr_interrupt = false;
    uart->thr_withheld = false;
    uart->divisor = DIVISOR_RESET;
    uart->received[0] = (struct uart_received){0, 0};
    console_restart(uart->port);
    receiver_clear(uart);
    receiver_refill(uart);
    receiver_arm_timeout(uart);
    uart_update_line(uart);
}

static int uart_init(struct device *device)
{
    struct uart_state *uart = device->state;

    uart->guest = device->guest;
    int error = timer_init(&uart->timer, device->guest->vcpus[0], uart_expired);
    if (!error)
        error = device_claim_ports(device, PORT_BASE, PORTS, 1, &uart_ops);
    if (error)
        return error;
    uart->port = console_attach(device->guest, uart_port_changed, uart);
    return uart->port != NULL ? 0 : E_NOMEM;
}

const struct device_ops vuart_device = {
    .name = "uart",
    .state_size = sizeof(struct uart_state),
    .init = uart_init,
    .reset = uart_reset,
};

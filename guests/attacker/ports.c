/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attacks on ports: every one in every width, strings of them, storms.
 */
#include "arch/x86.h"
#include "guests/attacker/attacker.h"
#include "guests/lib/apic.h"
#include "guests/lib/clock.h"
#include "hv/string.h"
#include "hv/virt.h"

#define PORTS 0x10000u

#define COM1 0x3f8u

static bool overlaps(uint32_t port, unsigned size, uint32_t first, uint32_t last)
{
    return port <= last && port + size > first;
}

/* Where a byte of ones ends the guest: system control, keyboard controller, ACPI, reset control. */
static bool ends_us(uint32_t port, unsigned size)
{
    static const struct {
        uint32_t first, last;
    } places[] = {{0x60, 0x64}, {0x92, 0x92}, {0x600, 0x60f}, {0xcf9, 0xcf9}};

    for (unsigned i = 0; i < ARRAY_SIZE(places); i++) {
        if (overlaps(port, size, places[i].first, places[i].last))
            return true;
    }
    return false;
}

/* The console's data, which others look at. */
static bool is_heard(uint32_t port, unsigned size)
{
    return attacker_quiet && overlaps(port, size, COM1, COM1);
}

/* Of the places beyond the chip set's every one is like the other. */
static uint32_t step(uint32_t port)
{
    return attacker_quick && port >= 0x1000 ? 0xfb : 1;
}

static uint64_t every_port(void)
{
    uint64_t count = 0;

    for (uint32_t port = 0; port < PORTS; port += step(port), count++) {
        uint16_t number = (uint16_t)port;
        (void)in8(number);
        (void)in16(number);
        (void)in32(number);
    }
    for (uint32_t port = 0; port < PORTS; port += step(port), count++) {
        uint16_t number = (uint16_t)port;
        if (is_heard(port, 4))
            continue;
        if (!ends_us(port, 4)) {
            out32(number, UINT32_MAX);
            out16(number, UINT16_MAX);
            out8(number, UINT8_MAX);
        }
        out32(number, 0);
        out16(number, 0);
        out8(number, 0);
    }
    attacker_repair();
    return count;
}

/* Random values, but where they end us. */
static uint64_t random_ports(void)
{
    uint32_t count = attacker_quick ? 5000 : 50000;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t chance = attacker_random();
        uint32_t port = (uint32_t)chance & (i % 2 != 0 ? 0xfff : 0xffff);
        if (ends_us(port, 4) || is_heard(port, 4))
            continue;
        switch (chance >> 32 & 7) {
        case 0: out8((uint16_t)port, (uint8_t)(chance >> 40)); break;
        case 1: out16((uint16_t)port, (uint16_t)(chance >> 40)); break;
        case 2: out32((uint16_t)port, (uint32_t)(chance >> 32)); break;
        case 3: (void)in16((uint16_t)port); break;
        case 4: (void)in32((uint16_t)port); break;
        default: (void)in8((uint16_t)port); break;
        }
    }
    attacker_repair();
    return count;
}

/* ---- Strings ---- */

static uint64_t string_address, string_count;

static uint64_t string_in(uint64_t port)
{
    uint64_t count = string_count;

    __asm__ volatile("rep insl" : "+D"(string_address), "+c"(count) : "d"(port) : "memory");
    return count;
}

static uint64_t string_out(uint64_t port)
{
    uint64_t count = string_count;

    __asm__ volatile("rep outsw" : "+S"(string_address), "+c"(count) : "d"(port) : "memory");
    return count;
}

static uint64_t string_ports(void)
{
    static const uint16_t ports[] = {0x80, 0x71, 0x1f0, 0x3c9, 0xcfc, 0xfffe, 0xffff, 0x5658};
    uint64_t linear = window_map(0, attacker_scratch(), PAGE_ALL), count = 0;

    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
        for (unsigned before = 1; before < 9; before++, count += 4) {
            (void)window_map(1, attacker_scratch() + PAGE_SIZE, PAGE_ALL);
            string_address = linear + PAGE_SIZE - before;
            string_count = 600;
            check_equal((uint64_t)attacker_try(string_in, ports[i], NULL), (uint64_t)NO_FAULT, "INS across a page end");
            string_address = linear + PAGE_SIZE - before;
            check_equal((uint64_t)attacker_try(string_out, ports[i], NULL), (uint64_t)NO_FAULT,
                        "OUTS across a page end");
            (void)window_map(1, 0, 0);
            string_address = linear + PAGE_SIZE - before;
            check_equal((uint64_t)attacker_try(string_in, ports[i], NULL), VECTOR_PF, "INS into no page");
            string_address = linear + PAGE_SIZE - before;
            check_equal((uint64_t)attacker_try(string_out, ports[i], NULL), VECTOR_PF, "OUTS from no page");
        }
    }
    return count;
}

#define HUGE_COUNT BIT(63)

static uint64_t endless_count;

static void on_alarm(struct interrupt_frame *frame)
{
    if (frame->rcx > HUGE_COUNT / 2) { /* else it came before the string, or behind it */
        endless_count = frame->rcx;
        frame->rcx = 1;
    }
    apic_eoi();
}

/* 2^63 elements: only an interrupt in the midst of them brings us back. */
static uint64_t endless_strings(void)
{
    uint64_t count, at;

    interrupt_handle(VECTOR_COUNTED, on_alarm);
    apic_write(APIC_DIVIDE, APIC_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, APIC_LVT_TIMER_PERIODIC | VECTOR_COUNTED);
    for (unsigned kind = 0; kind < 2; kind++) {
        endless_count = 0;
        count = HUGE_COUNT;
        apic_write(APIC_INITIAL_COUNT, 1000000);
        interrupts_on();
        at = attacker_scratch();
        if (kind == 0)
            __asm__ volatile("rep outsb" : "+S"(at), "+c"(count) : "d"(0x80) : "memory");
        else
            __asm__ volatile("rep insb" : "+D"(at), "+c"(count) : "d"(0x80) : "memory");
        interrupts_off();
        check(endless_count > 0 && endless_count < HUGE_COUNT, "an endless string was not interrupted in its midst");
    }
    apic_write(APIC_INITIAL_COUNT, 0);
    apic_write(APIC_LVT_TIMER, APIC_LVT_MASKED);
    interrupt_handle(VECTOR_COUNTED, NULL);
    return 2;
}

const struct attack attacks_on_ports[] = {
    {"ports", "ports read or written in every width", every_port},
    {"random-ports", "random accesses to ports", random_ports},
    {"port-strings", "strings across page ends", string_ports},
    {"endless-strings", "strings interrupted", endless_strings},
    {NULL, NULL, NULL},
};

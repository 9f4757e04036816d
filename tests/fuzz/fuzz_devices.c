/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * All models of the registry in one guest of two vCPUs, driven by the input: port and memory accesses, APIC registers,
 * time, console traffic, interrupt acknowledges, resets. Sanitizers find wild indices and arithmetic; the checks here
 * find lines and timers that break their contracts. Needs all of drivers/virtual and the hv files that unit tests of
 * models link.
 */
#include <stdlib.h>

#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"

#define FAKE_PORTS_REAL_REGISTRY
#include "tests/unit/fake_ports.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint16_t ports[] = {
    0x20,  0x21,  0xa0,  0xa1,  0x4d0, 0x4d1, 0x40,  0x41,  0x42,  0x43,  0x61,  0x70,  0x71,  0x3f8, 0x3f9, 0x3fa,
    0x3fb, 0x3fc, 0x3fd, 0x3fe, 0x3ff, 0x60,  0x64,  0x92,  0x80,  0xed,  0x3c0, 0x3c1, 0x3c4, 0x3c5, 0x3c7, 0x3c8,
    0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0xcf8, 0xcf9, 0xcfa, 0xcfc, 0xcfd, 0xcff, 0x600, 0x602, 0x604, 0x608,
};

/* What a driver would do first, so that the input's own steps need not find it: controllers open, FIFO and interrupts
 * on, a fast tick. */
static const struct {
    uint16_t port;
    uint8_t value;
} prepare[] = {
    {0x20, 0x11},  {0x21, 0x30},  {0x21, 0x04}, {0x21, 0x01}, {0xa0, 0x11}, {0xa1, 0x38},  {0xa1, 0x02},
    {0xa1, 0x01},  {0x43, 0x34},  {0x40, 0x80}, {0x40, 0x04}, {0x61, 0x01}, {0x3fb, 0x03}, {0x3fa, 0xc7},
    {0x3fc, 0x0b}, {0x3f9, 0x0f}, {0x70, 0x0b}, {0x71, 0x72}, {0x64, 0x60}, {0x60, 0x65},
};

struct input {
    const uint8_t *data;
    size_t left;
};

static struct guest *guest;
static uint64_t steps; /* of one input */

static uint64_t take(struct input *input, unsigned bytes)
{
    uint64_t value = 0;

    for (; bytes > 0 && input->left > 0; bytes--, input->left--)
        value = value << 8 | *input->data++;
    return value;
}

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void reset_models(void)
{
    for (uint32_t i = 0; i < guest->device_count; i++)
        guest->devices[i].ops->reset(&guest->devices[i]);
}

static uint64_t next_deadline(void)
{
    return min_u64(timer_next(guest->vcpus[0]), timer_next(guest->vcpus[1]));
}

/* Whatever is due at one moment is served in a few rounds: no timer may be set to the past again and again. */
static void run_due(void)
{
    for (unsigned round = 0; next_deadline() <= fake_machine.ticks; round++) {
        check(round < 8);
        timer_run_expired(guest->vcpus[0], fake_machine.ticks);
        timer_run_expired(guest->vcpus[1], fake_machine.ticks);
    }
}

/* A step of up to an hour or so. After many timers the rest passes at once, as if the CPU had been away. */
static void pass_time(uint64_t value)
{
    uint64_t end = fake_machine.ticks + (value & 0xffff) * (UINT64_C(1) << (value >> 16) % 27);

    for (unsigned i = 0; i < 1000 && next_deadline() <= end; i++) {
        fake_machine.ticks = max_u64(fake_machine.ticks, next_deadline());
        run_due();
    }
    fake_machine.ticks = max_u64(fake_machine.ticks, end);
    run_due();
}

static void acknowledge(void)
{
    int vector = guest->irq.pic_pending(guest->irq.pic_context);
    int taken = guest->irq.pic_acknowledge(guest->irq.pic_context);

    check(vector >= IRQ_NONE && vector <= 255 && taken >= 0 && taken <= 255);
    check(vector == IRQ_NONE ? (taken & 7) == 7 : taken == vector);
}

/* What the run loop and the MSR policy ask of a local APIC. */
static void local_apic(struct input *input)
{
    unsigned what = (unsigned)take(input, 1);
    struct vcpu *vcpu = guest->vcpus[what & 1];
    uint32_t msr = what & 2 ? 0x1b : what & 4 ? 0x6e0 : 0x800 + (what >> 4 & 15) + (uint32_t)(take(input, 1) & 0x3f);
    uint64_t value = 0;

    if (what & 8) {
        int vector = vcpu->irq->pending(vcpu);
        int taken = vcpu->irq->acknowledge(vcpu);
        check(vector >= IRQ_NONE && vector <= 255 && taken == vector);
        check(vcpu->irq->blocked_by_tpr(vcpu) <= 15);
    } else if (what & 0x80) {
        (void)vcpu->irq->msr_read(vcpu, msr, &value);
    } else {
        (void)vcpu->irq->msr_write(vcpu, msr, take(input, 8));
    }
}

/* A register of a local APIC or of the IOAPIC. */
static void memory_access(struct input *input)
{
    unsigned what = (unsigned)take(input, 1);
    struct vcpu *vcpu = guest->vcpus[what & 1];
    gpa_t address = (what & 2 ? VIOAPIC_BASE : VLAPIC_BASE) + (take(input, 2) & 0xfff);
    unsigned size = 1u << (what >> 2 & 3);

    if (what & 0x10)
        (void)bus_read(&guest->memory, vcpu, address, size);
    else
        bus_write(&guest->memory, vcpu, address, size, take(input, size));
}

static void console_traffic(unsigned value)
{
    uint8_t byte;

    if (value & 1) {
        for (unsigned i = value >> 1; i > 0; i--)
            (void)ring_put(&fake_console_port->in, (uint8_t)i);
    } else {
        for (unsigned i = value << 2; i > 0; i--)
            (void)ring_take(&fake_console_port->out, &byte);
        fake_console_port->wants_room = 0;
    }
    fake_console_port->changed(fake_console_port->context);
}

static void step(struct input *input)
{
    unsigned action = (unsigned)take(input, 1);
    uint16_t port = ports[take(input, 1) % ARRAY_SIZE(ports)];
    unsigned size = 1u << (action >> 6);

    switch (action & 15) {
    case 0: pass_time(take(input, 3)); break;
    case 1: acknowledge(); break;
    case 2: console_traffic((unsigned)take(input, 1)); break;
    case 3:
        if (take(input, 1) == 0)
            reset_models();
        break;
    case 4:
    case 5:
    case 6:
    case 7: (void)bus_read(&guest->ports, guest->vcpus[0], port, size); break;
    case 8: (void)bus_read(&guest->ports, guest->vcpus[0], take(input, 2), size); break;
    case 9: local_apic(input); break;
    case 11:
        for (size_t i = take(input, 1) % ARRAY_SIZE(prepare); i < ARRAY_SIZE(prepare); i++)
            port_out(guest, prepare[i].port, prepare[i].value);
        break;
    case 10: memory_access(input); break;
    default: bus_write(&guest->ports, guest->vcpus[0], port, size, take(input, size)); break;
    }
    check(ring_used(&fake_console_port->out) <= RING_SIZE && ring_used(&fake_console_port->in) <= RING_SIZE);
    check(guest->irq.pic_pending(guest->irq.pic_context) <= 255);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};

    guest = fake_guest(MIB(2), 2);
    fake_machine.ticks = take(&input, 8) >> 2; /* up to a century after the host's start */
    fake_machine.epoch_s = (int64_t)(take(&input, 4) << 4);
    for (const struct device_ops *const *model = device_registry; *model != NULL; model++)
        fake_device(guest, *model);
    for (steps = 0; input.left > 0 && steps < 4096; steps++)
        step(&input);
    reset_models();
    check(guest->irq.pic_pending(guest->irq.pic_context) == IRQ_NONE);
    fake_guest_free(guest);
    return 0;
}

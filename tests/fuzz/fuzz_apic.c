/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any sequence of register accesses, messages, line changes and waits against the local APICs, the IOAPIC and ACPI of a
 * guest with three vCPUs. Each step takes 8 bytes: what, which vCPU, where (2), a value (4). What must hold: no
 * sanitizer complains, a vector is never delivered against the priorities, and time never makes more timer interrupts
 * than the bound allows.
 */
#include "tests/unit/fake_calls.h"

#include "drivers/virtual/vacpi.h"
#include "drivers/virtual/vioapic.h"
#include "drivers/virtual/vlapic.h"
#include "drivers/virtual/vlapic_state.h"
#include "tests/unit/fake.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CPUS       3u
#define STEP_BYTES 8u

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition))                                                                                              \
            __builtin_trap();                                                                                          \
    } while (0)

struct step {
    uint8_t what;
    uint8_t cpu;
    uint16_t where;
    uint32_t value;
};

/* Vectors below 16 come from nobody here: no 8259 is wired. */
static void take_interrupt(struct vcpu *vcpu)
{
    uint32_t priority = vlapic_processor_priority(vcpu->lapic);
    unsigned blocked = vcpu->irq->blocked_by_tpr(vcpu);
    int pending = vcpu->irq->pending(vcpu);

    REQUIRE(vcpu->irq->acknowledge(vcpu) == pending);
    REQUIRE(pending == IRQ_NONE || pending >= 16);
    REQUIRE(pending == IRQ_NONE || (uint32_t)pending >> 4 > priority >> 4);
    REQUIRE(blocked == 0 || pending == IRQ_NONE);
    REQUIRE(blocked <= vcpu->tpr >> 4);
}

/* However a timer is set, its next deadlines lie apart: count those that come within one bound's time. */
static void pass_time(struct guest *guest, uint64_t ns)
{
    uint64_t end = fake_machine.ticks + ns;
    unsigned expiries = 0;

    for (;;) {
        uint64_t next = TIMER_NEVER;
        for (unsigned i = 0; i < CPUS; i++)
            next = min_u64(next, timer_next(guest->vcpus[i]));
        if (next > end)
            break;
        fake_machine.ticks = max_u64(fake_machine.ticks, next);
        for (unsigned i = 0; i < CPUS; i++)
            timer_run_expired(guest->vcpus[i], fake_machine.ticks);
        expiries++;
    }
    fake_machine.ticks = end;
    REQUIRE(expiries <= 8 + CPUS * (ns / VLAPIC_PERIOD_NS_MIN + 1));
}

static void take_step(struct guest *guest, const struct step *step)
{
    struct vcpu *vcpu = guest->vcpus[step->cpu % CPUS];
    unsigned width = 1u << (step->cpu >> 6);
    uint64_t wide = (uint64_t)step->value << 32 | step->value;
    uint64_t offset = step->where & 0xfff;
    struct irq_message message;
    uint64_t read;

    switch (step->what % 16) {
    case 0: bus_write(&guest->memory, vcpu, VLAPIC_BASE + (offset & 0xff0), 4, step->value); break;
    case 1: bus_write(&guest->memory, vcpu, VLAPIC_BASE + offset, width, wide); break;
    case 2: bus_read(&guest->memory, vcpu, VLAPIC_BASE + offset, width); break;
    case 3: vcpu->irq->msr_write(vcpu, 0x800u + (step->where & 0xff), step->value); break;
    case 4: vcpu->irq->msr_write(vcpu, 0x830, wide); break;
    case 5: vcpu->irq->msr_read(vcpu, step->where, &read); break;
    case 6: vcpu->irq->msr_write(vcpu, VLAPIC_MSR_BASE, VLAPIC_BASE | (step->value & 0xfff)); break;
    case 7: vcpu->irq->msr_write(vcpu, VLAPIC_MSR_DEADLINE, fake_machine.ticks + step->value); break;
    case 8:
        bus_write(&guest->memory, vcpu, VIOAPIC_BASE, 4, step->where);
        bus_write(&guest->memory, vcpu, VIOAPIC_BASE + 0x10, 4, step->value);
        break;
    case 9: bus_write(&guest->memory, vcpu, VIOAPIC_BASE + offset, width, wide); break;
    case 10: bus_read(&guest->memory, vcpu, VIOAPIC_BASE + offset, width); break;
    case 11: irq_set(guest, step->where, (step->value & 1) != 0); break;
    case 12:
        message = (struct irq_message){
            .destination = step->value,
            .vector = (uint8_t)step->where,
            .delivery = (enum irq_delivery)(step->where >> 8 & 7),
            .logical = (step->where >> 11 & 1) != 0,
            .wide_destination = (step->where >> 12 & 1) != 0,
            .level = (step->where >> 13 & 1) != 0,
        };
        irq_send(guest, &message);
        break;
    case 13: bus_write(&guest->ports, vcpu, VACPI_PORTS - 4 + step->where % 24u, width, wide); break;
    case 14: bus_read(&guest->ports, vcpu, VACPI_PORTS - 4 + step->where % 24u, width); break;
    default: pass_time(guest, step->value >> (step->where & 31)); break;
    }
    take_interrupt(vcpu);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct guest *guest = fake_guest(MIB(2), CPUS);
    struct step step;

    fake_device(guest, &vlapic_device);
    fake_device(guest, &vioapic_device);
    fake_device(guest, &vacpi_device);
    for (; size >= STEP_BYTES; data += STEP_BYTES, size -= STEP_BYTES) {
        memcpy(&step, data, STEP_BYTES);
        take_step(guest, &step);
    }
    for (uint32_t i = 0; i < guest->device_count; i++)
        guest->devices[i].ops->reset(&guest->devices[i]);
    for (unsigned i = 0; i < CPUS; i++)
        REQUIRE(guest->vcpus[i]->irq->pending(guest->vcpus[i]) == IRQ_NONE);
    fake_guest_free(guest);
    return 0;
}

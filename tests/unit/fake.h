/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine, a backend and a guest made of plain memory, for the unit tests and the fuzzers: time moves when the test
 * says so, and what hv asks of the hardware is recorded.
 */
#ifndef TESTS_UNIT_FAKE_H
#define TESTS_UNIT_FAKE_H

#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/vcpu.h"
#include "hv/virt.h"

#define FAKE_TICKS_HZ UINT64_C(1000000000) /* one tick a nanosecond */

struct fake_machine {
    unsigned register_inits, register_resets;
    uint64_t ticks;
    uint64_t ticks_per_look; /* how far each look at the clock moves it */
    int64_t epoch_s;
    uint64_t timer_deadline;
    uint32_t cpu;
    uint32_t kicks[CPUS_MAX];
    uint32_t waits;
    struct cpuid_result (*cpuid)(uint32_t leaf, uint32_t subleaf); /* NULL: fake_cpuid_default */
    void (*on_wait)(void);                                         /* runs inside machine_wait */
    void (*on_pointer)(void *pointer); /* runs inside machine_pointer: another CPU's chance */
    char log[16384];                   /* what log_line wrote, when the test links fake's log */
};
extern struct fake_machine fake_machine;

/* A CPU with long mode, SSE, APIC, x2APIC and TSC-deadline; no vendor's virtualization. */
struct cpuid_result fake_cpuid_default(uint32_t leaf, uint32_t subleaf);

/* What the fake backend holds in place of a VMCB or VMCS, and what it was asked. */
struct fake_backend {
    uint64_t registers[VCPU_REGISTER_COUNT];
    struct segment_register segments[SEGMENT_COUNT];
    struct table_register gdtr, idtr;
    struct virt_blocking blocking;
    struct event injected;  /* what inject asked for since the last entry */
    struct event delivered; /* by the last entry; EVENT_NONE: nothing */
    uint32_t injections;
    bool window[2];
    unsigned tpr_threshold;
    uint32_t flushes;
    uint32_t states_loaded;
    uint32_t runs;
    uint32_t dumps;
    /* The script: called for each run; fills the exit. NULL: run returns EXIT_NONE and stops the guest. */
    void (*on_run)(struct vcpu *vcpu, struct vmexit *exit);
};
struct fake_backend *fake_backend(struct vcpu *vcpu);
extern const struct virt_ops fake_virt_ops;

/*
 * A guest with `memory_bytes` of RAM in the PC layout and `vcpu_count` vCPUs in 64-bit mode with a flat CS, no devices.
 * fake_guest_free releases it. Only one exists at a time.
 */
struct guest *fake_guest(uint64_t memory_bytes, uint32_t vcpu_count);
void fake_guest_free(struct guest *guest);

/* Give the guest a device, initialised and reset. Asserts that both work. */
struct device *fake_device(struct guest *guest, const struct device_ops *ops);

/* Let time pass, running the timers of vCPU 0 .. n-1 at each of their deadlines on the way. */
void fake_advance_ns(struct guest *guest, uint64_t ns);

#endif

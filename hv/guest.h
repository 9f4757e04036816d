/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One partition: its vCPUs, memory, buses, models and fate.
 */
#ifndef HV_GUEST_H
#define HV_GUEST_H

#include "hv/boot_info.h"
#include "hv/bus.h"
#include "hv/device.h"
#include "hv/irq.h"
#include "hv/lock.h"
#include "hv/log.h"
#include "hv/timer.h"
#include "hv/types.h"
#include "hv/vcpu.h"

/* The PC's memory map. Guest RAM is one host-contiguous piece below the hole and at most one above 4 GiB. */
#define GUEST_LOW_RAM_MAX   GIB(3)
#define GUEST_HIGH_RAM_BASE GIB(4)
#define GUEST_VGA_HOLE_BASE                                                                                            \
    0xa0000u /* 0xa0000-0xb7fff is nobody's; 0xb8000 (text) up to 0xbffff is RAM that no map offers */
#define GUEST_VGA_TEXT_BASE 0xb8000u
#define GUEST_BIOS_BASE                                                                                                \
    0xe0000u /* the firmware tables of the models live in 0xe0000-0xfffff, reserved in the memory map */
#define GUEST_HIGH_MEMORY 0x100000u

struct guest_config;

struct guest_ram {
    gpa_t base;
    hpa_t host;
    uint64_t size; /* bytes, multiple of the page size */
};
#define GUEST_RAM_MAX 4u

/* Read by any CPU. The last vCPU to come to rest takes the step from GUEST_STOPPING to GUEST_PARKED. */
enum guest_state {
    GUEST_CREATED,  /* has not run yet */
    GUEST_RUNNING,  /* its vCPUs run */
    GUEST_STOPPING, /* they are asked to come to rest */
    GUEST_PARKED,   /* all are at rest: it is loaded, or waits until it may start again */
    GUEST_STOPPED,  /* all are at rest, until somebody starts it again */
};

enum guest_action {
    GUEST_GO_ON,
    GUEST_RESET,     /* load again and start over */
    GUEST_POWER_OFF, /* it switched itself off */
    GUEST_CRASH,     /* it did what we do not offer, or died */
    GUEST_START,     /* somebody started it again after it had stopped */
};

/* How long a guest has, from the press of its power button until it is stopped hard. */
#define GUEST_BUTTON_PATIENCE_NS UINT64_C(10000000000)

/* What became of a press of the power button. */
enum guest_button {
    GUEST_BUTTON_IDLE,
    GUEST_BUTTON_PRESSED, /* not seen by its CPU yet */
    GUEST_BUTTON_HEARD,   /* the guest has been told */
    GUEST_BUTTON_UNHEARD, /* it does not listen, or has no power button */
};

struct guest {
    uint32_t number;
    uint32_t state;  /* enum guest_state; atomic */
    uint32_t action; /* enum guest_action: what happens once its vCPUs are parked; atomic */
    uint32_t wish;   /* enum guest_action, of a guest that waits after a crash: see guest_wish; atomic */
    uint32_t paused; /* its vCPUs wait; atomic */
    uint32_t button; /* enum guest_button; atomic */
    const struct guest_config *config;
    const char *name;
    struct guest_ram ram[GUEST_RAM_MAX]; /* sorted by base; what gmem and stage 2 offer */
    uint32_t ram_count;
    uint64_t memory_bytes; /* as configured */
    uint8_t physical_bits; /* width of a guest-physical address, as CPUID tells the guest */
    hpa_t stage2_root;
    uint32_t parked;         /* vCPUs at rest; see guest_main */
    struct vcpu_state start; /* of the boot processor */
    uint64_t tsc_offset;     /* of all its vCPUs */
    uint32_t vcpu_count;
    struct vcpu *vcpus[GUEST_CPUS_MAX];
    struct bus ports;
    struct bus memory;
    struct irq_router irq;
    struct device devices[GUEST_DEVICES_MAX];
    uint32_t device_count;
    struct lock devices_lock;
    const char *action_reason; /* a short constant text, for the log */
    const struct boot_info *boot;
    uint32_t starts;        /* the first one and those after resets */
    uint64_t started_ticks; /* the latest of them */
    uint64_t paused_ticks;  /* the latest pause began */
    uint64_t rested_ticks;  /* its vCPUs came to rest; 0: not yet */
    struct vcpu *crashed;   /* since the latest start; NULL: none. Written by that vCPU, as the reason is */
    char crash_reason[256];
    uint32_t crash_restarts;   /* in a row: see crash_may_restart */
    uint32_t unknown_msrs[16]; /* those whose line has been written */
    uint32_t unknown_msr_count;
    struct log_limit log_limit; /* of guest_log */
    uint64_t watchdog_ticks;    /* 0: none */
    uint64_t heartbeat_ticks;   /* when the guest last said that it is well; atomic */
    struct timer watchdog;
    uint32_t sleep_told; /* that all its vCPUs sleep for good has been said; atomic */
};

/* Serialise device access; free of cost for a guest with one vCPU. */
static inline void guest_devices_lock(struct guest *guest)
{
    if (guest->vcpu_count > 1)
        lock_take_unqueued(&guest->devices_lock);
}

static inline void guest_devices_unlock(struct guest *guest)
{
    if (guest->vcpu_count > 1)
        lock_release(&guest->devices_lock);
}

/*
 * Build a guest from its configuration and what the plan gave it: RAM pieces (host memory that its CPUs map), physical
 * CPUs (one a vCPU). Makes its second-stage tables, vCPUs and device models. On the boot CPU, before any guest runs.
 * Returns the guest, or NULL after a log line that says what failed.
 */
struct guest *guest_create(const struct guest_config *config, const struct guest_ram *ram, uint32_t ram_count,
                           const uint32_t *cpus, const struct boot_info *boot);

/*
 * Run a vCPU (a struct vcpu) on its CPU until guest_end. The guest starts, and starts over after a reset, when all
 * its vCPUs are here; when it has stopped, they wait here for a guest_start.
 */
void guest_main(void *vcpu);

/*
 * All guests that were created. A guest and its vCPUs lie in memory that only its own CPUs and the monitor's map: from
 * other CPUs the pointer is good for nothing.
 */
uint32_t guest_count(void);
struct guest *guest_get(uint32_t number);

/* True when no guest runs, or will run unless somebody starts it. On the monitor's CPU. */
bool guest_all_stopped(void);

/*
 * Write a line behind `guest "x": ` about something that a guest can cause at will: when there are too many they are
 * left out, and a line says how many were. guest_log_settle writes that line when it is due, and the storm has passed.
 */
void guest_log(struct guest *guest, const char *format, ...) PRINTF_LIKE(2, 3);
void guest_log_settle(struct guest *guest);

/*
 * The guest did what Bulkhead does not offer, or broke: all its vCPUs come to rest, and on_crash decides what follows.
 * On the vCPU's own CPU, which says why, in a sentence that goes on after `guest "x" stops: `, with registers and the
 * last exits, on its way out.
 */
void guest_crash(struct vcpu *vcpu, const char *format, ...) PRINTF_LIKE(2, 3);

/*
 * From device models (a reset port, ACPI S5), or from another CPU: carried out when the current exit is done. The first
 * wish counts. `why` is a short constant text: "ACPI reset register".
 */
void guest_request_reset(struct guest *guest, const char *why);
void guest_request_power_off(struct guest *guest, const char *why);

/*
 * From the monitor's CPU. A paused guest executes nothing while the world's time goes on: its clocks jump when it goes
 * on, and timers that came due in between fire then. A reset or stop ends the pause.
 */
void guest_pause(struct guest *guest);
void guest_resume(struct guest *guest);

/* From the monitor's CPU: start a stopped guest again, from its boot modules. Returns false when it has not stopped. */
bool guest_start(struct guest *guest);

/*
 * From the monitor's CPU: what shall become of a guest that waits after a crash: GUEST_RESET, it starts now, or
 * GUEST_POWER_OFF, it stays stopped. Any other forgets it.
 */
void guest_wish(struct guest *guest, enum guest_action wish);

/* From the monitor's CPU: a stopped guest is not started any more; guest_main returns on its CPUs. */
void guest_end(struct guest *guest);

/* Press the guest's power button, on a CPU of its own; tell so when it was heard, and leave in `button` whether. */
void guest_press_power_button(struct guest *guest);

#endif

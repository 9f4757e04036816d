/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest's processor and its run loop. One vCPU runs on one physical CPU, for good.
 */
#ifndef HV_VCPU_H
#define HV_VCPU_H

#include "hv/decode.h"
#include "hv/event.h"
#include "hv/exception_loop.h"
#include "hv/irq.h"
#include "hv/machine.h"
#include "hv/paravirt_clock.h"
#include "hv/snapshot.h"
#include "hv/stats.h"
#include "hv/timer.h"
#include "hv/types.h"
#include "hv/virt.h"

struct guest;

/* Asked of a vCPU, by itself or by another CPU; served at the top of the run loop. */
enum vcpu_request {
    REQUEST_STOP = 1u << 0,    /* leave the run loop (the guest stops or resets) */
    REQUEST_TIMERS = 1u << 1,  /* deadlines changed */
    REQUEST_CONSOLE = 1u << 2, /* input came, or output found room */
    REQUEST_EVENT = 1u << 3,   /* look at the interrupt controller again */
    REQUEST_NMI = 1u << 4,
    REQUEST_INIT = 1u << 5,
    REQUEST_STARTUP = 1u << 6,
    REQUEST_PAUSE = 1u << 7,        /* look whether the guest is paused */
    REQUEST_SNAPSHOT = 1u << 8,     /* write the registers down */
    REQUEST_POWER_BUTTON = 1u << 9, /* of the first vCPU: press the guest's */
};

/* INIT and start-up IPI: modelled, never physical. Intel SDM vol. 3, "MP Initialization". */
enum vcpu_run_state {
    VCPU_RUNNING,
    VCPU_HALTED,
    VCPU_WAIT_FOR_STARTUP,
};

/* The last exits are kept, for messages. */
#define EXIT_TRACE_SIZE 32u

/* Memory type registers, kept as the guest wrote them. */
struct vcpu_mtrrs {
    uint64_t default_type;
    uint64_t fixed[11];
    uint64_t variable[16];
};

struct vcpu {
    uint64_t gpr[GPR_COUNT]; /* first, for the assembler; RSP lives in the control block */
    uint32_t requests;       /* enum vcpu_request bits; atomic */
    uint32_t released;       /* a parked vCPU may go on; atomic */
    uint8_t tpr; /* the local APIC's TPR, always current in handlers; the backend carries it to and from hardware */
    uint8_t startup_vector;
    uint8_t run_state; /* enum vcpu_run_state */
    uint8_t number;    /* 0 .. guest->vcpu_count - 1; also its APIC id */
    uint32_t cpu;      /* physical CPU */
    struct guest *guest;
    hpa_t backend_pages; /* virt->vcpu_pages of them */
    void *backend;       /* the backend's own state: VMCB or VMCS and what belongs to it */
    const struct vcpu_irq_ops *irq;
    void *lapic; /* the local APIC model's state */
    struct event_state events;
    uint64_t pending_nmis; /* 0 to 2: one delivered late, one held, as hardware latches one behind a running one */
    uint64_t guest_xcr0;
    struct cpuid_result features; /* CPUID leaf 1 without CR4.OSXSAVE: cpuid_features_update */
    bool os_xsave;                /* CR4.OSXSAVE, current in the handler of EXIT_CPUID; the backend carries it here */
    struct exception_loop exception_loop;
    uint32_t length_tries;  /* exits in a row whose instruction was not found; see vcpu_advance */
    uint32_t unknown_tries; /* accesses to device memory in a row whose instruction was none; see mmio.c */
    bool holds_devices;     /* between operand_bus_hold and its release */
    uint32_t asleep;        /* where no interrupt can wake it; atomic */
    struct vcpu_mtrrs mtrrs;
    struct paravirt_clock paravirt_clock;
    struct timer *timers[VCPU_TIMERS_MAX];
    uint32_t timer_count;
    struct vcpu_stats stats;
    struct vmexit trace[EXIT_TRACE_SIZE];
    uint32_t trace_next;
    struct snapshot snapshot; /* for other CPUs */
    uint32_t snapshots;       /* grows by 2 with each; odd while one is being written; atomic */
};

/* Set request bits; from another CPU the vCPU's CPU is kicked. */
void vcpu_request(struct vcpu *vcpu, uint32_t requests);

/* Run until the guest stops. Called on the vCPU's CPU. */
void vcpu_run(struct vcpu *vcpu);

/* The whole reset list, then `state`. On the vCPU's own CPU. */
void vcpu_reset(struct vcpu *vcpu, const struct vcpu_state *state);

/* Architectural state after a power-on reset or INIT (real mode at F000:FFF0), and after a start-up IPI. */
void vcpu_state_reset(struct vcpu_state *state);
void vcpu_state_startup(struct vcpu_state *state, uint8_t vector);

/*
 * Move RIP behind the instruction that exited: the only place that does. `length` 0: fetch and decode it. Ends STI and
 * MOV SS shadows, clears RF, raises the TF trap, truncates RIP by mode.
 */
void vcpu_advance(struct vcpu *vcpu, const struct vmexit *exit);

/*
 * Fetch the instruction bytes at CS:RIP (room for 15). Returns 0 with how many there are and the mode to decode them
 * in, or an error: of E_FAULT the #PF is raised already; E_NOENT: the code is not in RAM; E_BUSY: enter again.
 */
int vcpu_fetch(struct vcpu *vcpu, uint8_t *bytes, unsigned *available, enum decode_mode *mode);

/* The trap of a step with RFLAGS.TF set: #DB with DR6.BS. */
void vcpu_raise_single_step(struct vcpu *vcpu);

static inline uint64_t vcpu_read(struct vcpu *vcpu, enum vcpu_register reg)
{
    return virt->read(vcpu, reg);
}

static inline void vcpu_write(struct vcpu *vcpu, enum vcpu_register reg, uint64_t value)
{
    virt->write(vcpu, reg, value);
}

/* General registers whole (number < 16), RSP included. */
uint64_t vcpu_gpr(struct vcpu *vcpu, unsigned number);
void vcpu_set_gpr(struct vcpu *vcpu, unsigned number, uint64_t value);

/*
 * A part of a general register as an operand of `size` bytes (1, 2, 4, 8). Writes of 4 bytes clear the upper half, of 1
 * and 2 keep the rest. `high` selects AH, CH, DH, BH for numbers 4-7 of size 1.
 */
uint64_t vcpu_gpr_part(struct vcpu *vcpu, unsigned number, unsigned size, bool high);
void vcpu_set_gpr_part(struct vcpu *vcpu, unsigned number, unsigned size, bool high, uint64_t value);

/* Processor mode, from CR0, EFER, RFLAGS and CS. */
enum vcpu_mode {
    MODE_REAL,
    MODE_VIRTUAL_8086,
    MODE_PROTECTED_16,
    MODE_PROTECTED_32,
    MODE_LONG_64,
};
enum vcpu_mode vcpu_mode(struct vcpu *vcpu);
unsigned vcpu_privilege_level(struct vcpu *vcpu);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The few things that hv asks of the hardware. arch/ implements them; the unit tests fake all that is not
 * inline.
 */
#ifndef HV_MACHINE_H
#define HV_MACHINE_H

#include "arch/machine_inline.h"
#include "hv/types.h"

/* The time stamp counter of this CPU, in ticks. All CPUs count in step. */
uint64_t machine_ticks(void);

/* How many ticks a second has: 0 until that is measured at start-up, constant and not 0 once there are guests. */
uint64_t machine_ticks_hz(void);

/* The wall clock at tick 0, in seconds since 1970-01-01 UTC (from the host's real-time clock, read once). */
int64_t machine_epoch_s(void);

/*
 * Arm this CPU's own hypervisor timer: at `deadline_ticks` a running guest exits and a waiting CPU wakes.
 * UINT64_MAX switches it off. A deadline in the past fires at once.
 */
void machine_timer_set(uint64_t deadline_ticks);

/* The number of this CPU: 0 is the one that booted; below CPUS_MAX. */
uint32_t machine_cpu(void);

/* Make another CPU leave its guest, or its wait, soon. Never lost, may be spurious. */
void machine_kick(uint32_t cpu);

/*
 * Sleep until an interrupt, a kick or the timer. `*stop_when_set` is looked at with wake-ups held off: when it is
 * not zero, the function returns at once. It may also return for no reason.
 */
void machine_wait(const uint32_t *stop_when_set);

/* One turn of a short busy wait. */
void machine_relax(void);

/*
 * The hypervisor's own pointer to host RAM, valid only on CPUs whose private address space maps it.
 * The caller has checked that `address` lies in memory that the plan gave to the guest, or in a boot module.
 */
void *machine_pointer(hpa_t address);

/* CPUID as the hardware answers it on this CPU. */
struct cpuid_result {
    uint32_t eax, ebx, ecx, edx;
};
struct cpuid_result machine_cpuid(uint32_t leaf, uint32_t subleaf);

/*
 * Read or write a model-specific register of this CPU. Returns 0, or E_NOSYS when the processor raised #GP.
 */
int machine_msr_read(uint32_t msr, uint64_t *value);
int machine_msr_write(uint32_t msr, uint64_t value);

/* Write XCR0. Returns 0, or E_INVAL when the processor raised #GP. */
int machine_xcr0_write(uint64_t value);

/* Bring debug registers DR0-DR3 and DR6 and CR2 of this CPU to the state that an INIT leaves; and, for a reset, the FPU
 * and XCR0 as well. */
void machine_init_registers(void);
void machine_reset_registers(void);

/* A bug of the hypervisor itself: say so, with registers and a backtrace, and end. */
_Noreturn void machine_panic(const char *format, ...) PRINTF_LIKE(1, 2);

#endif

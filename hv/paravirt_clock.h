/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * KVM's paravirtual clock: a structure in guest RAM that says how the guest's TSC becomes nanoseconds. The guest reads
 * its clock without an exit and has nothing to calibrate. Linux Documentation/virt/kvm/x86/msr.rst, "KVM-specific
 * MSRs".
 */
#ifndef HV_PARAVIRT_CLOCK_H
#define HV_PARAVIRT_CLOCK_H

#include "hv/types.h"

struct vcpu;

/* WALL_CLOCK_NEW takes the address of a struct paravirt_wall_clock, SYSTEM_TIME_NEW that of a struct paravirt_time and
 * bit 0: on. */
#define PARAVIRT_CLOCK_MSR_WALL   0x4b564d00u
#define PARAVIRT_CLOCK_MSR_SYSTEM 0x4b564d01u

/* In both structures an odd version means that they are being written. */
struct PACKED paravirt_wall_clock {
    uint32_t version;
    uint32_t seconds; /* since 1970-01-01 UTC, when the system time was 0 */
    uint32_t nanoseconds;
};

/* system time = system_time_ns + ((TSC - tsc_timestamp) * 2^tsc_shift * tsc_multiplier) / 2^32 */
struct PACKED paravirt_time {
    uint32_t version;
    uint32_t reserved;
    uint64_t tsc_timestamp;
    uint64_t system_time_ns;
    uint32_t tsc_multiplier;
    int8_t tsc_shift;
    uint8_t flags; /* bit 0: all vCPUs of the guest read the same time */
    uint8_t reserved_end[2];
};
#define PARAVIRT_TIME_STABLE 0x01u

/* What a vCPU keeps. All of it is guarded by the guest's device lock: another vCPU's TSC write may rewrite the
 * structure. */
struct paravirt_clock {
    uint64_t system_time_msr; /* as written */
    uint64_t tsc_offset;      /* what was told to the guest last */
    uint32_t version;
    /* The rest belongs to the whole guest and is used in vCPU 0 only. */
    uint32_t wall_clock_version;
    uint64_t wall_clock_msr;
    bool tscs_apart; /* a vCPU set its TSC: the others' no longer count in step with it */
};

/* The clock is off until the guest asks for it again. On the vCPU's own CPU. */
void paravirt_clock_reset(struct vcpu *vcpu);

/*
 * The two MSRs, as rows of hv/msr.c call them. A write returns 0, or E_INVAL (and changes nothing) for an address that
 * is not aligned to 4 bytes or where not all bytes are guest RAM. On the vCPU's own CPU.
 */
int paravirt_clock_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value);
int paravirt_clock_write(struct vcpu *vcpu, uint32_t msr, uint64_t value);

/* The guest has set this vCPU's TSC; VCPU_TSC_OFFSET is the new one. On the vCPU's own CPU. */
void paravirt_clock_tsc_set(struct vcpu *vcpu);

/*
 * The factor from ticks of `hz` (1 to 2^62) to nanoseconds, as multiplier / 2^32 * 2^shift: never more than the exact
 * one and less by under one part in 2^31. The multiplier is 2^31 or more.
 */
void paravirt_clock_scale(uint64_t hz, uint32_t *multiplier, int8_t *shift);

#endif

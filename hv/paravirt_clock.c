/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The structures are written when the guest asks for them and when a TSC of it is set; in between nothing changes:
 * ticks have one rate for good. All vCPUs' structures count from one tick, so they agree to the nanosecond.
 */
#include "hv/paravirt_clock.h"

#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/guest.h"
#include "hv/machine.h"
#include "hv/string.h"
#include "hv/timer.h"
#include "hv/vcpu.h"

#define SYSTEM_TIME_ON    BIT(0)
#define ADDRESS_ALIGNMENT 4u
#define NS_PER_SECOND     UINT64_C(1000000000)

_Static_assert(sizeof(struct paravirt_wall_clock) == 12, "msr.rst, MSR_KVM_WALL_CLOCK_NEW");
_Static_assert(sizeof(struct paravirt_time) == 32, "msr.rst, MSR_KVM_SYSTEM_TIME_NEW");
_Static_assert(offsetof(struct paravirt_time, tsc_multiplier) == 24, "msr.rst, MSR_KVM_SYSTEM_TIME_NEW");

void paravirt_clock_scale(uint64_t hz, uint32_t *multiplier, int8_t *shift)
{
    uint64_t dividend = NS_PER_SECOND, divisor = hz, quotient = 0;

    /* To a quotient of 1/2 or more but less than 1, whose first 32 bits are the multiplier. */
    *shift = 0;
    for (; dividend >= divisor; divisor <<= 1)
        (*shift)++;
    for (; dividend < divisor - dividend; dividend <<= 1)
        (*shift)--;
    /* Bit by bit: the hypervisor has no 128-bit division, and this runs a few times in a guest's life. */
    for (unsigned bit = 0; bit < 32; bit++) {
        dividend <<= 1;
        quotient <<= 1;
        if (dividend >= divisor) {
            dividend -= divisor;
            quotient |= 1;
        }
    }
    *multiplier = (uint32_t)quotient;
}

static struct paravirt_clock *shared_clock(const struct vcpu *vcpu)
{
    return &vcpu->guest->vcpus[0]->paravirt_clock;
}

/*
 * Write a structure whose first word is its version. Readers on other CPUs, which take no lock, see the odd version
 * before any new byte and the even one after all of them. The bytes may cross a page: guest RAM is contiguous for the
 * hypervisor too.
 */
static int write_versioned(struct guest *guest, gpa_t address, const void *structure, uint64_t size, uint32_t *version)
{
    uint32_t *words = IS_ALIGNED(address, ADDRESS_ALIGNMENT) ? gmem_pointer(guest, address, size) : NULL;

    if (words == NULL)
        return E_INVAL;
    /* Our own count, not what stands in memory: that may be anything. */
    __atomic_store_n(words, *version + 1, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    memcpy(words + 1, (const uint8_t *)structure + sizeof(*words), size - sizeof(*words));
    *version += 2;
    __atomic_store_n(words, *version, __ATOMIC_RELEASE);
    return 0;
}

/* System time 0 is tick 0, whose wall clock the machine knows. A guest that sets its date does not change it. */
static int write_wall_clock(struct vcpu *vcpu, gpa_t address)
{
    int64_t epoch_s = machine_epoch_s();
    struct paravirt_wall_clock wall_clock = {
        .seconds = epoch_s < 0 ? 0 : (uint32_t)min_u64((uint64_t)epoch_s, UINT32_MAX),
    };

    return write_versioned(vcpu->guest, address, &wall_clock, sizeof(wall_clock),
                           &shared_clock(vcpu)->wall_clock_version);
}

static int write_system_time(struct vcpu *vcpu, gpa_t address)
{
    struct paravirt_clock *clock = &vcpu->paravirt_clock;
    /*
     * Where the guest's TSC began: no reader meets a timestamp ahead of its TSC, unless it has set that back itself;
     * the difference, modulo 2^64, is right then too.
     */
    uint64_t base_ticks = 0 - vcpu->guest->tsc_offset;
    uint32_t multiplier;
    int8_t shift;

    paravirt_clock_scale(machine_ticks_hz(), &multiplier, &shift);
    struct paravirt_time time = {
        .tsc_timestamp = base_ticks + clock->tsc_offset,
        .system_time_ns = ns_from_ticks(base_ticks),
        .tsc_multiplier = multiplier,
        .tsc_shift = shift,
        .flags = shared_clock(vcpu)->tscs_apart ? 0 : PARAVIRT_TIME_STABLE,
    };
    return write_versioned(vcpu->guest, address, &time, sizeof(time), &clock->version);
}

static int set_system_time(struct vcpu *vcpu, uint64_t value)
{
    struct paravirt_clock *clock = &vcpu->paravirt_clock;

    if ((value & SYSTEM_TIME_ON) != 0) {
        clock->tsc_offset = vcpu_read(vcpu, VCPU_TSC_OFFSET);
        if (write_system_time(vcpu, value & ~SYSTEM_TIME_ON) != 0)
            return E_INVAL;
    }
    clock->system_time_msr = value;
    return 0;
}

/* Zero asks for nothing. */
static int set_wall_clock(struct vcpu *vcpu, uint64_t value)
{
    if (value != 0 && write_wall_clock(vcpu, value) != 0)
        return E_INVAL;
    shared_clock(vcpu)->wall_clock_msr = value;
    return 0;
}

void paravirt_clock_reset(struct vcpu *vcpu)
{
    guest_devices_lock(vcpu->guest);
    memset(&vcpu->paravirt_clock, 0, sizeof(vcpu->paravirt_clock));
    guest_devices_unlock(vcpu->guest);
}

int paravirt_clock_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
    guest_devices_lock(vcpu->guest);
    *value = msr == PARAVIRT_CLOCK_MSR_WALL ? shared_clock(vcpu)->wall_clock_msr : vcpu->paravirt_clock.system_time_msr;
    guest_devices_unlock(vcpu->guest);
    return 0;
}

int paravirt_clock_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
    guest_devices_lock(vcpu->guest);
    int error = msr == PARAVIRT_CLOCK_MSR_WALL ? set_wall_clock(vcpu, value) : set_system_time(vcpu, value);
    guest_devices_unlock(vcpu->guest);
    return error;
}

void paravirt_clock_tsc_set(struct vcpu *vcpu)
{
    struct guest *guest = vcpu->guest;

    guest_devices_lock(guest);
    vcpu->paravirt_clock.tsc_offset = vcpu_read(vcpu, VCPU_TSC_OFFSET);
    /* A structure is then good for its own vCPU alone, and all of them have to say so. */
    shared_clock(vcpu)->tscs_apart = guest->vcpu_count > 1;
    for (uint32_t i = 0; i < guest->vcpu_count; i++) {
        struct vcpu *other = guest->vcpus[i];
        /* The address was good when it was taken, and a guest's RAM never changes. */
        if ((other->paravirt_clock.system_time_msr & SYSTEM_TIME_ON) != 0)
            (void)write_system_time(other, other->paravirt_clock.system_time_msr & ~SYSTEM_TIME_ON);
    }
    guest_devices_unlock(guest);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The paravirtual clock as a guest sees it: through CPUID, through the two MSRs, and by doing the arithmetic of its
 * driver on what then stands in its memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "hv/cpuid.h"
#include "hv/error.h"
#include "hv/gmem.h"
#include "hv/msr.h"
#include "hv/paravirt_clock.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

#define MEMORY      MIB(4)
#define ADDRESS     0x3000u
#define ADDRESS_2   0x5000u
#define MSR_TSC     0x10u
#define GARBAGE     0xa5
#define START_TICKS UINT64_C(5000000000)
#define EPOCH_S     INT64_C(1800000000)

static struct guest *guest;

static int setup_cpus(void **state, uint32_t cpus)
{
    (void)state;
    guest = fake_guest(MEMORY, cpus);
    fake_machine.ticks = START_TICKS;
    fake_machine.epoch_s = EPOCH_S;
    guest->tsc_offset = 0 - START_TICKS;
    for (uint32_t i = 0; i < cpus; i++)
        vcpu_write(guest->vcpus[i], VCPU_TSC_OFFSET, guest->tsc_offset);
    assert_int_equal(gmem_fill(guest, ADDRESS & ~0xfffu, GARBAGE, 0x4000), 0);
    return 0;
}

static int setup(void **state)
{
    return setup_cpus(state, 1);
}

static int setup_two(void **state)
{
    return setup_cpus(state, 2);
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static int write_msr(unsigned cpu, uint32_t msr, uint64_t value)
{
    return msr_policy_write(guest->vcpus[cpu], msr, value);
}

static uint64_t read_msr(unsigned cpu, uint32_t msr)
{
    uint64_t value = 0;

    assert_int_equal(msr_policy_read(guest->vcpus[cpu], msr, &value), 0);
    return value;
}

static struct paravirt_time time_at(gpa_t address)
{
    struct paravirt_time time;

    assert_int_equal(gmem_read(guest, address, &time, sizeof(time)), 0);
    return time;
}

/* What a guest's driver computes, now. */
static uint64_t guest_clock_ns(unsigned cpu, gpa_t address)
{
    struct paravirt_time time = time_at(address);
    uint64_t delta = read_msr(cpu, MSR_TSC) - time.tsc_timestamp;

    assert_int_equal(time.version % 2, 0);
    delta = time.tsc_shift >= 0 ? delta << time.tsc_shift : delta >> -time.tsc_shift;
    return time.system_time_ns + (uint64_t)((unsigned __int128)delta * time.tsc_multiplier >> 32);
}

static void assert_untouched(gpa_t address, uint64_t size)
{
    for (uint64_t i = 0; i < size; i++) {
        uint8_t byte;
        assert_int_equal(gmem_read(guest, address + i, &byte, 1), 0);
        assert_int_equal(byte, GARBAGE);
    }
}

static void leaves_offer_the_clock_and_no_more(void **state)
{
    (void)state;
    cpuid_policy_init(1000000000);
    struct cpuid_result own = cpuid_policy(guest->vcpus[0], 0x40000000, 0);
    assert_int_equal(own.ebx, CPUID_SIGNATURE_EBX);
    assert_int_equal(own.eax, CPUID_TIMING);
    struct cpuid_result kvm = cpuid_policy(guest->vcpus[0], 0x40000100, 0);
    assert_int_equal(kvm.eax, 0x40000101);
    assert_memory_equal(&kvm.ebx, "KVMKVMKVM\0\0", 12);
    struct cpuid_result features = cpuid_policy(guest->vcpus[0], 0x40000101, 0);
    assert_int_equal(features.eax, 1 << 1 | 1 << 3 | 1 << 24);
    assert_int_equal(features.ebx | features.ecx | features.edx, 0);
    static const uint32_t empty[] = {0x40000002, 0x40000102, 0x40000110, 0x400001ff, 0x40000200};
    for (unsigned i = 0; i < ARRAY_SIZE(empty); i++) {
        struct cpuid_result none = cpuid_policy(guest->vcpus[0], empty[i], 0);
        assert_int_equal(none.eax | none.ebx | none.ecx | none.edx, 0);
    }
}

/* multiplier * 2^shift * hz <= 10^9 * 2^32 < (multiplier + 1) * 2^shift * hz */
static void assert_exact(uint64_t hz)
{
    uint32_t multiplier;
    int8_t shift;

    paravirt_clock_scale(hz, &multiplier, &shift);
    assert_in_range(multiplier, UINT64_C(1) << 31, UINT32_MAX);
    unsigned __int128 exact = (unsigned __int128)1000000000 << 32, unit = hz;
    if (shift >= 0)
        unit <<= shift;
    else
        exact <<= -shift;
    assert_true(unit * multiplier <= exact);
    assert_true(exact < unit * ((uint64_t)multiplier + 1));
}

static void scale_is_exact(void **state)
{
    static const uint64_t hz[] = {1,          2,          3,          1193182,    14318180,        100000000,
                                  499999999,  500000000,  500000001,  999999999,  1000000000,      1000000001,
                                  1999999999, 2000000000, 2000000001, 2300004000, 3999999999,      4000000000,
                                  4000000001, 5700000000, UINT32_MAX, BIT(32),    999999999999999, BIT(62)};
    uint64_t random = 88172645463325252;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(hz); i++)
        assert_exact(hz[i]);
    for (unsigned i = 0; i < 20000; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        assert_exact((random >> 2 >> random % 61) + 1);
    }
}

/* Linux derives its TSC frequency from the factor; whole kilohertz must come out whole. */
static void scale_gives_the_frequency_back(void **state)
{
    (void)state;
    for (uint64_t khz = 100000; khz < 6000000; khz += 997) {
        uint32_t multiplier;
        int8_t shift;
        paravirt_clock_scale(khz * 1000, &multiplier, &shift);
        uint64_t found = (UINT64_C(1000000) << 32) / multiplier;
        found = shift < 0 ? found << -shift : found >> shift;
        /* Its own truncation is before the shift. */
        uint64_t unit = shift < 0 ? UINT64_C(1) << -shift : 1;
        assert_in_range(found, khz - unit + 1, khz + unit - 1);
    }
}

static void system_time_follows_the_ticks(void **state)
{
    static const uint64_t later[] = {0, 1, 999, 1000000000, UINT64_C(86400000000000), UINT64_C(31536000000000000)};

    (void)state;
    fake_machine.ticks += 12345;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM), ADDRESS | 1);
    struct paravirt_time time = time_at(ADDRESS);
    assert_int_equal(time.version, 2);
    assert_int_equal(time.flags, PARAVIRT_TIME_STABLE);
    assert_int_equal(time.tsc_timestamp, 0); /* the past of any TSC */
    assert_int_equal(time.reserved | time.reserved_end[0] | time.reserved_end[1], 0);
    assert_untouched(ADDRESS + sizeof(time), 256);
    for (unsigned i = 0; i < ARRAY_SIZE(later); i++) {
        fake_machine.ticks += later[i];
        assert_int_equal(guest_clock_ns(0, ADDRESS), fake_machine.ticks); /* a tick is a nanosecond here */
    }
}

static void wall_clock_and_system_time_make_the_date(void **state)
{
    struct paravirt_wall_clock wall;

    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_WALL), ADDRESS_2);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(gmem_read(guest, ADDRESS_2, &wall, sizeof(wall)), 0);
    assert_int_equal(wall.version, 2);
    assert_untouched(ADDRESS_2 + sizeof(wall), 64);
    fake_machine.ticks += UINT64_C(3000000000);
    uint64_t ns = wall.seconds * UINT64_C(1000000000) + wall.nanoseconds + guest_clock_ns(0, ADDRESS);
    assert_int_equal(ns, (uint64_t)EPOCH_S * UINT64_C(1000000000) + fake_machine.ticks);

    /* Asked again, it is written again. */
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    assert_int_equal(gmem_read(guest, ADDRESS_2, &wall, sizeof(wall)), 0);
    assert_int_equal(wall.version, 4);
}

static void wall_clock_outside_of_its_format_is_cut(void **state)
{
    struct paravirt_wall_clock wall;

    (void)state;
    fake_machine.epoch_s = -1;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    assert_int_equal(gmem_read(guest, ADDRESS_2, &wall, sizeof(wall)), 0);
    assert_int_equal(wall.seconds, 0);
    fake_machine.epoch_s = INT64_MAX;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    assert_int_equal(gmem_read(guest, ADDRESS_2, &wall, sizeof(wall)), 0);
    assert_int_equal(wall.seconds, UINT32_MAX);
}

static void time_goes_on_when_the_guest_sets_its_tsc(void **state)
{
    static const uint64_t tsc[] = {0, 1, UINT64_C(1) << 40, UINT64_MAX - 5, UINT64_C(1) << 63};

    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(tsc); i++) {
        fake_machine.ticks += 1000000007;
        assert_int_equal(write_msr(0, MSR_TSC, tsc[i]), 0);
        assert_int_equal(read_msr(0, MSR_TSC), tsc[i]);
        assert_int_equal(guest_clock_ns(0, ADDRESS), fake_machine.ticks);
        assert_int_equal(time_at(ADDRESS).version, 4 + 2 * i);
        fake_machine.ticks += 10;
        assert_int_equal(guest_clock_ns(0, ADDRESS), fake_machine.ticks);
        assert_int_equal(time_at(ADDRESS).flags, PARAVIRT_TIME_STABLE); /* one vCPU agrees with itself */
    }
}

/* What stands in memory is the guest's: an odd version there must not make ours odd. */
static void version_is_our_own(void **state)
{
    (void)state;
    assert_int_equal(gmem_fill(guest, ADDRESS, 0xff, 4), 0);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(time_at(ADDRESS).version, 2);
    guest->vcpus[0]->paravirt_clock.version = UINT32_MAX - 1;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(time_at(ADDRESS).version, 0);
}

static void nothing_is_written_once_disabled(void **state)
{
    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, 0), 0);
    assert_int_equal(gmem_fill(guest, ADDRESS, GARBAGE, 64), 0);
    assert_int_equal(write_msr(0, MSR_TSC, 1000), 0);
    assert_untouched(ADDRESS, 64);
    /* Without bit 0 the address does not matter. */
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, UINT64_MAX - 1), 0);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM), UINT64_MAX - 1);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS), 0);
    assert_int_equal(write_msr(0, MSR_TSC, 2000), 0);
    assert_untouched(ADDRESS, 64);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, 0), 0);
}

static void nothing_is_written_after_a_reset(void **state)
{
    struct vcpu_state reset;

    (void)state;
    cpuid_policy_init(1000000000);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    assert_int_equal(gmem_fill(guest, ADDRESS, GARBAGE, 64), 0);
    vcpu_state_reset(&reset);
    vcpu_reset(guest->vcpus[0], &reset);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM), 0);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_WALL), 0);
    assert_int_equal(write_msr(0, MSR_TSC, 1000), 0);
    assert_untouched(ADDRESS, 64);
    /* The next system starts afresh, with the TSC that it begins with. */
    fake_machine.ticks += UINT64_C(7000000000);
    guest->tsc_offset = 0 - fake_machine.ticks;
    vcpu_write(guest->vcpus[0], VCPU_TSC_OFFSET, guest->tsc_offset);
    fake_machine.ticks += 77;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(time_at(ADDRESS).tsc_timestamp, 0);
    assert_int_equal(time_at(ADDRESS).system_time_ns, fake_machine.ticks - 77);
    assert_int_equal(guest_clock_ns(0, ADDRESS), fake_machine.ticks);
}

static void bad_addresses_change_nothing(void **state)
{
    static const uint64_t bad[] = {
        GUEST_VGA_HOLE_BASE,          /* not RAM */
        GUEST_VGA_HOLE_BASE - 8,      /* the end is not */
        GUEST_VGA_TEXT_BASE - 4,      /* the beginning is not */
        MEMORY,                       /* behind the last byte */
        MEMORY - 8,                   /* over it */
        0xfee00000,                   /* a device */
        GUEST_HIGH_RAM_BASE,          /* RAM of larger guests */
        UINT64_C(0xfffffffffffffffc), /* wraps */
        UINT64_C(0x8000000000003000), /* more than any address */
        ADDRESS + 2,                  /* not aligned */
        UINT64_MAX - 1,
    };

    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2), 0);
    uint32_t version = time_at(ADDRESS).version;
    assert_int_equal(gmem_fill(guest, 0, GARBAGE, 0x1000), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
        assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, bad[i] | 1), E_INVAL);
        assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, bad[i]), E_INVAL);
        assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM), ADDRESS | 1);
        assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_WALL), ADDRESS_2);
    }
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, ADDRESS_2 | 1), E_INVAL);
    assert_untouched(0, 0x1000);
    assert_int_equal(time_at(ADDRESS).version, version);
}

static void structures_reach_the_last_byte_and_cross_pages(void **state)
{
    static const uint64_t good[] = {0x3ff0, 0x3ffc, GUEST_VGA_HOLE_BASE - 32, GUEST_VGA_TEXT_BASE, MEMORY - 32, 4};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(good); i++) {
        assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, good[i] | 1), 0);
        fake_machine.ticks += 1000;
        assert_int_equal(guest_clock_ns(0, good[i]), fake_machine.ticks);
    }
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, MEMORY - 12), 0);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_WALL, MEMORY - 8), E_INVAL);
}

static void vcpus_share_one_time(void **state)
{
    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    fake_machine.ticks += 123456789;
    assert_int_equal(write_msr(1, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS_2 | 1), 0);
    struct paravirt_time first = time_at(ADDRESS), second = time_at(ADDRESS_2);
    assert_memory_equal(&first, &second, sizeof(first));
    assert_int_equal(first.flags, PARAVIRT_TIME_STABLE);
    assert_int_equal(write_msr(1, PARAVIRT_CLOCK_MSR_WALL, 0x4000), 0);
    assert_int_equal(read_msr(0, PARAVIRT_CLOCK_MSR_WALL), 0x4000);
}

/* From then on one vCPU's structure does not fit another's TSC, and both say so. */
static void a_tsc_of_its_own_ends_stability(void **state)
{
    (void)state;
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(write_msr(1, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS_2 | 1), 0);
    fake_machine.ticks += 1000;
    assert_int_equal(write_msr(1, MSR_TSC, UINT64_C(900000000000)), 0);
    assert_int_equal(time_at(ADDRESS).flags, 0);
    assert_int_equal(time_at(ADDRESS_2).flags, 0);
    fake_machine.ticks += 1000;
    assert_int_equal(guest_clock_ns(0, ADDRESS), fake_machine.ticks);
    assert_int_equal(guest_clock_ns(1, ADDRESS_2), fake_machine.ticks);
    /* Set before the clock is switched on counts as well. */
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(time_at(ADDRESS).flags, 0);
    for (unsigned i = 0; i < 2; i++)
        paravirt_clock_reset(guest->vcpus[i]);
    assert_int_equal(write_msr(0, PARAVIRT_CLOCK_MSR_SYSTEM, ADDRESS | 1), 0);
    assert_int_equal(time_at(ADDRESS).flags, PARAVIRT_TIME_STABLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(leaves_offer_the_clock_and_no_more, setup, teardown),
        cmocka_unit_test(scale_is_exact),
        cmocka_unit_test(scale_gives_the_frequency_back),
        cmocka_unit_test_setup_teardown(system_time_follows_the_ticks, setup, teardown),
        cmocka_unit_test_setup_teardown(wall_clock_and_system_time_make_the_date, setup, teardown),
        cmocka_unit_test_setup_teardown(wall_clock_outside_of_its_format_is_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(time_goes_on_when_the_guest_sets_its_tsc, setup, teardown),
        cmocka_unit_test_setup_teardown(version_is_our_own, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_written_once_disabled, setup, teardown),
        cmocka_unit_test_setup_teardown(nothing_is_written_after_a_reset, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_addresses_change_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(structures_reach_the_last_byte_and_cross_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(vcpus_share_one_time, setup_two, teardown),
        cmocka_unit_test_setup_teardown(a_tsc_of_its_own_ends_stability, setup_two, teardown),
    };
    return cmocka_run_group_tests_name("paravirt_clock", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of what a vCPU may do without an exit: each kind of opening is planted and seen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/audit.h"
#include "hv/guest.h"
#include "hv/intercept.h"
#include "hv/msr.h"
#include "hv/vcpu.h"
#include "tests/unit/recorded_log.h"

static struct guest guest;
static struct vcpu vcpu;
static struct audit_result result;

/* What the control block of the fake backend below says. */
static struct intercept_place places[INTERCEPT_COUNT];
static uint32_t words[VIRT_CONTROL_WORDS];
static uint8_t ports[2][4096];
static uint32_t open_msr;
static bool open_for_write;
static hpa_t stage2_root;

static bool msr_exits(const struct virt_permissions *permissions, uint32_t msr, bool write)
{
    (void)permissions;
    return !msr_is_direct(msr, write) && (msr != open_msr || write != open_for_write);
}

static void read_permissions(struct vcpu *which, struct virt_permissions *permissions)
{
    (void)which;
    *permissions = (struct virt_permissions){
        .stage2_root = stage2_root,
        .places = places,
        .port_maps = {ports[0], ports[1]},
        .msr_exits = msr_exits,
    };
    memcpy(permissions->words, words, sizeof(words));
}

static const struct virt_ops ops = {.name = "AMD-V", .read_permissions = read_permissions};

static int closed(void **state)
{
    (void)state;
    virt = &ops;
    guest = (struct guest){.name = "g", .stage2_root = 0x5000};
    vcpu = (struct vcpu){.number = 1, .guest = &guest};
    for (unsigned i = 0; i < INTERCEPT_COUNT; i++)
        places[i] = (struct intercept_place){(uint8_t)(i / 8), 1u << i % 8};
    memset(words, 0xff, sizeof(words));
    memset(ports, 0xff, sizeof(ports));
    open_msr = UINT32_MAX;
    stage2_root = 0x5000;
    memset(&result, 0, sizeof(result));
    output[0] = '\0';
    return 0;
}

static void expect(uint64_t faults, const char *lines)
{
    audit_vcpu(&vcpu, &result);
    assert_string_equal(output, lines);
    assert_int_equal(result.vcpu_faults, faults);
    assert_int_equal(result.faults, faults);
    assert_int_equal(result.vcpus, 1);
}

static void a_closed_one_passes(void **state)
{
    (void)state;
    expect(0, "");
}

static void ports_at_the_ends(void **state)
{
    (void)state;
    ports[0][0] &= 0xfe;
    ports[0][4095] &= 0x7f;
    ports[1][0] &= 0xfe;
    ports[1][4095] &= 0x7f;
    expect(4, "audit: guest \"g\", vCPU 1: reaches port 0x0\n"
              "audit: guest \"g\", vCPU 1: reaches port 0x7fff\n"
              "audit: guest \"g\", vCPU 1: reaches port 0x8000\n"
              "audit: guest \"g\", vCPU 1: reaches port 0xffff\n");
}

static void each_range_of_msrs(void **state)
{
    static const uint32_t msrs[] = {0, 0x1b, 0x1fff, 0xc0000000, 0xc0000080, 0xc0001fff, 0xc0010000, 0xc0011fff};

    for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
        char line[100];
        closed(state);
        open_msr = msrs[i];
        open_for_write = i % 2 != 0;
        snprintf(line, sizeof(line), "audit: guest \"g\", vCPU 1: %s MSR 0x%x\n", open_for_write ? "writes" : "reads",
                 open_msr);
        expect(1, line);
    }
    closed(state);
    open_msr = 0x10; /* the TSC: reads may be open, writes not */
    open_for_write = true;
    expect(1, "audit: guest \"g\", vCPU 1: writes MSR 0x10\n");
}

static void a_missing_intercept(void **state)
{
    (void)state;
    words[INTERCEPT_SHUTDOWN / 8] &= ~(1u << INTERCEPT_SHUTDOWN % 8);
    expect(1, "AMD-V: this processor does not intercept triple faults, which Bulkhead needs: they would reset the "
              "machine\naudit: guest \"g\", vCPU 1: an intercept is missing\n");
}

static void another_guests_table(void **state)
{
    (void)state;
    stage2_root = 0x6000;
    expect(1, "audit: guest \"g\", vCPU 1: runs on a second-stage table that is not its guest's: 0x6000\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_closed_one_passes, closed),  cmocka_unit_test_setup(ports_at_the_ends, closed),
        cmocka_unit_test_setup(each_range_of_msrs, closed),   cmocka_unit_test_setup(a_missing_intercept, closed),
        cmocka_unit_test_setup(another_guests_table, closed),
    };

    return cmocka_run_group_tests_name("audit_vcpu", tests, NULL, NULL);
}

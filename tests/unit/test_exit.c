/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Exits for RDMSR and WRMSR: what the guest gets, and what the handlers note for the trace.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/exit.h"
#include "tests/unit/fake.h"

#define MSR_MTRRCAP 0xfeu /* reads a constant, cannot be written */
#define MSR_PAT     0x277u
#define HIGH_HALF   UINT64_C(0xdead00000000) /* of registers, which the instructions ignore */

static struct guest *guest;
static struct vcpu *vcpu;

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    vcpu = guest->vcpus[0];
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

static struct vmexit access_msr(enum exit_kind kind, uint32_t msr, uint64_t value, enum verdict expected)
{
    struct vmexit exit = {.kind = kind, .msr = {.index = 1, .refused = expected != RESUME, .value = 77}}; /* old */

    vcpu->gpr[GPR_RCX] = HIGH_HALF | msr;
    vcpu->gpr[GPR_RAX] = HIGH_HALF | (uint32_t)value;
    vcpu->gpr[GPR_RDX] = HIGH_HALF | value >> 32;
    vcpu->events.exception.type = EVENT_NONE;
    assert_int_equal(exit_handle(vcpu, &exit), expected);
    assert_int_equal(vcpu->events.exception.type, expected == RESUME ? EVENT_EXCEPTION : EVENT_NONE);
    assert_int_equal(exit.msr.index, msr);
    assert_int_equal(exit.msr.refused, expected == RESUME);
    return exit;
}

static void a_read_notes_what_the_guest_gets(void **state)
{
    (void)state;
    vcpu_write(vcpu, VCPU_PAT, UINT64_C(0x0007040600070406));
    assert_int_equal(access_msr(EXIT_MSR_READ, MSR_PAT, 0, RESUME_AFTER).msr.value, UINT64_C(0x0007040600070406));
    assert_int_equal(vcpu->gpr[GPR_RAX], 0x00070406);
    assert_int_equal(vcpu->gpr[GPR_RDX], 0x00070406);
}

static void a_write_notes_what_the_guest_writes(void **state)
{
    (void)state;
    assert_int_equal(access_msr(EXIT_MSR_WRITE, MSR_PAT, UINT64_C(0x600000004), RESUME_AFTER).msr.value,
                     UINT64_C(0x600000004));
    assert_int_equal(vcpu_read(vcpu, VCPU_PAT), UINT64_C(0x600000004));
}

static void refusals_are_noted(void **state)
{
    (void)state;
    assert_int_equal(access_msr(EXIT_MSR_WRITE, MSR_MTRRCAP, 5, RESUME).msr.value, 5);
    assert_int_equal(access_msr(EXIT_MSR_WRITE, MSR_PAT, 2, RESUME).msr.value, 2);
    (void)access_msr(EXIT_MSR_READ, 0xc0010117, 9, RESUME);
    assert_int_equal(vcpu->gpr[GPR_RAX], HIGH_HALF | 9); /* untouched */
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_read_notes_what_the_guest_gets),
        CASE(a_write_notes_what_the_guest_writes),
        CASE(refusals_are_noted),
    };

    return cmocka_run_group_tests_name("exits", tests, NULL, NULL);
}

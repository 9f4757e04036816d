/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMCB through the whole of the entry checks: a good one breaks no rule, each field of it is the one that is judged.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/svm/svm.h"
#include "hv/vcpu.h"
#include "tests/unit/fake.h"

struct fixture {
    struct guest *guest;
    struct vmcb vmcb;
    struct entry_state state;
};

/* A 64-bit guest; the fake backend tells the rest. */
static void begin(struct fixture *fixture)
{
    memset(fixture, 0, sizeof(*fixture));
    fixture->guest = fake_guest(2 << 20, 1);
    fixture->vmcb.cr0 = 0x80050033;
    fixture->vmcb.cr4 = 0xa0;
    fixture->vmcb.efer = 0x1d01;
    fixture->vmcb.asid = 1;
    fixture->vmcb.intercept_misc2 = MISC2_VMRUN;
    fixture->vmcb.iopm_base = 0x10000;
    fixture->vmcb.msrpm_base = 0x13000;
    fixture->vmcb.nested_cr3 = 0x15000;
    fixture->vmcb.nested_control = NESTED_PAGING;
    vcpu_write(fixture->guest->vcpus[0], VCPU_DR6, 0xffff0ff0);
    vcpu_write(fixture->guest->vcpus[0], VCPU_DR7, 0x400);
    vcpu_write(fixture->guest->vcpus[0], VCPU_PAT, 0x0007040600070406);
}

static unsigned broken(struct fixture *fixture, char *text, size_t size)
{
    struct entry_breach breach;

    entry_state_read(fixture->guest->vcpus[0], &fixture->state);
    svm_entry_state(&fixture->vmcb, &fixture->state);
    unsigned count = entry_check(&fixture->state, &breach, 1);
    text[0] = '\0';
    if (count != 0)
        entry_breach_text(&fixture->state, &breach, text, size);
    return count;
}

static void expect(struct fixture *fixture, const char *word)
{
    char text[ENTRY_BREACH_TEXT];
    unsigned count = broken(fixture, text, sizeof(text));

    fake_guest_free(fixture->guest);
    if (count != (word[0] != '\0') || strstr(text, word) == NULL)
        fail_msg("%u broken, \"%s\" does not say \"%s\"", count, text, word);
}

static void test_good(void **context)
{
    struct fixture fixture;

    (void)context;
    begin(&fixture);
    expect(&fixture, "");
    /* Each kind of event. */
    static const uint64_t events[] = {0x80000020, 0x80000202, 0x8000030d, 0x80000480, 0x0000067f};
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        begin(&fixture);
        fixture.vmcb.event_injection = events[i];
        expect(&fixture, "");
    }
    /* Without nested paging VMRUN does not look at the guest's PAT. */
    begin(&fixture);
    fixture.vmcb.nested_control = 0;
    vcpu_write(fixture.guest->vcpus[0], VCPU_PAT, UINT64_MAX);
    expect(&fixture, "");
}

#define WRONG(word, change)                                                                                            \
    do {                                                                                                               \
        struct fixture fixture;                                                                                        \
        begin(&fixture);                                                                                               \
        change;                                                                                                        \
        expect(&fixture, word);                                                                                        \
    } while (0)

static void test_each_field(void **context)
{
    (void)context;
    WRONG("CR0 is 0x100050033", fixture.vmcb.cr0 = 0x100050033);
    WRONG("CR4 is 0x20a0", fixture.vmcb.cr4 = 0x20a0);
    WRONG("EFER is 0xd01", fixture.vmcb.efer = 0xd01);
    WRONG("EFER is 0x11d01", fixture.vmcb.efer = 0x11d01);
    WRONG("ASID is 0x0", fixture.vmcb.asid = 0);
    WRONG("VMRUN intercept", fixture.vmcb.intercept_misc2 = ~MISC2_VMRUN);
    /* The fake processor has 40 bits: the last page of a map must be within as well. */
    WRONG("the I/O bitmap is 0xffffffe000", fixture.vmcb.iopm_base = 0xffffffe000);
    WRONG("the MSR bitmap is 0xfffffff000", fixture.vmcb.msrpm_base = 0xfffffff000);
    WRONG("nCR3 is 0x10000000000", fixture.vmcb.nested_cr3 = 0x10000000000);
    WRONG("the event is 0x80000101", fixture.vmcb.event_injection = 0x80000101);
    WRONG("DR6 is", vcpu_write(fixture.guest->vcpus[0], VCPU_DR6, UINT64_MAX));
    WRONG("DR7 is", vcpu_write(fixture.guest->vcpus[0], VCPU_DR7, UINT64_MAX));
    WRONG("PAT is", vcpu_write(fixture.guest->vcpus[0], VCPU_PAT, 2));
    WRONG("CR3 is", vcpu_write(fixture.guest->vcpus[0], VCPU_CR3, UINT64_MAX));
    WRONG("CS attributes is 0xe09b", fake_backend(fixture.guest->vcpus[0])->segments[SEGMENT_CS].attributes = 0xe09b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_each_field),
    };

    return cmocka_run_group_tests_name("svm_entry_state", tests, NULL, NULL);
}

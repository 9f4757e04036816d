/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID as a guest sees it: what passes of a processor that has everything, and what follows the vCPU's own state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "hv/cpuid.h"
#include "tests/unit/fake.h"
#include "tests/unit/fake_calls.h"

/* AVX, and AVX-512's three, of which the last is aligned in both formats. */
static struct cpuid_result extended_state(uint32_t subleaf)
{
    switch (subleaf) {
    case 0: return (struct cpuid_result){0x2ff, 832, 2696, 0};
    case 1: return (struct cpuid_result){0xf, 0xdead, 0x100, 0};
    case 2: return (struct cpuid_result){256, 576, 0, 0};
    case 5: return (struct cpuid_result){72, 1088, 0, 0};
    case 6: return (struct cpuid_result){512, 1152, 0, 0};
    case 7: return (struct cpuid_result){1024, 1664, 2, 0};
    case 9: return (struct cpuid_result){8, 2688, 0, 0};
    default: return (struct cpuid_result){0, 0, 0, 0};
    }
}

/* Every bit set, but for what says how many leaves there are. */
static struct cpuid_result everything(uint32_t leaf, uint32_t subleaf)
{
    if (leaf == 0)
        return (struct cpuid_result){0x1f, 0x756e6547, 0x6c65746e, 0x49656e69};
    if (leaf == 0x80000000)
        return (struct cpuid_result){0x80000008, 0, 0, 0};
    if (leaf == 0xd)
        return extended_state(subleaf);
    return (struct cpuid_result){UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX};
}

static struct cpuid_result without_xsavec(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = everything(leaf, subleaf);

    if (leaf == 0xd && subleaf == 1)
        result.eax &= ~2u;
    return result;
}

static struct vcpu *begin(struct cpuid_result (*processor)(uint32_t leaf, uint32_t subleaf), uint32_t vcpu_count)
{
    struct guest *guest = fake_guest(2 << 20, vcpu_count);

    fake_machine.cpuid = processor;
    cpuid_policy_init(100000000);
    return guest->vcpus[vcpu_count - 1];
}

static void test_extended_state(void **state)
{
    (void)state;
    struct vcpu *vcpu = begin(everything, 1);

    struct cpuid_result sizes = cpuid_policy(vcpu, 0xd, 0);
    assert_int_equal(sizes.eax, 0xe7); /* no PKRU */
    assert_int_equal(sizes.ecx, 1664 + 1024);
    /* What XSAVEC writes follows XCR0; the standard format's places do not count there. */
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).eax, 7);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).ecx, 0);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).ebx, 576);
    vcpu->guest_xcr0 = 7;
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).ebx, 832);
    vcpu->guest_xcr0 = 0xe7;
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).ebx, 1472 + 1024); /* 832 + 72 + 512, up to a multiple of 64 */
    /* Components that are not offered are not there, and no subleaf is beyond the end. */
    assert_int_equal(cpuid_policy(vcpu, 0xd, 2).eax, 256);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 9).eax, 0);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 64).eax, 0);
    assert_int_equal(cpuid_policy(vcpu, 0xd, UINT32_MAX).eax, 0);
    fake_guest_free(vcpu->guest);

    vcpu = begin(without_xsavec, 1);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).eax, 5);
    assert_int_equal(cpuid_policy(vcpu, 0xd, 1).ebx, 0);
    fake_guest_free(vcpu->guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extended_state),
    };

    return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}

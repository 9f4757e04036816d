/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * CPUID as a guest sees it: what passes of a processor that has everything, and what follows the vCPU's own state.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "drivers/virtual/vlapic.h"
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

/* The exited instruction gives what cpuid_policy says, for any leaf, and clears the upper halves. */
static void assert_exit_agrees(struct vcpu *vcpu, uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result policy = cpuid_policy(vcpu, leaf, subleaf);
    struct vmexit exit = {.kind = EXIT_CPUID};

    vcpu->gpr[GPR_RAX] = UINT64_C(0xdead00000000) | leaf;
    vcpu->gpr[GPR_RCX] = UINT64_C(0xbeef00000000) | subleaf;
    vcpu->gpr[GPR_RBX] = vcpu->gpr[GPR_RDX] = UINT64_MAX;
    assert_int_equal(cpuid_exit(vcpu, &exit), RESUME_AFTER);
    assert_int_equal(exit.cpuid.leaf, leaf); /* for the trace */
    assert_int_equal(exit.cpuid.subleaf, subleaf);
    if (vcpu->gpr[GPR_RAX] != policy.eax || vcpu->gpr[GPR_RBX] != policy.ebx || vcpu->gpr[GPR_RCX] != policy.ecx ||
        vcpu->gpr[GPR_RDX] != policy.edx)
        fail_msg("leaf 0x%x, subleaf 0x%x", leaf, subleaf);
}

static struct cpuid_result few_leaves(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_result result = everything(leaf, subleaf);

    if (leaf == 0)
        result.eax = 5;
    if (leaf == 0x80000000)
        result.eax = 0x80000001;
    return result;
}

static void test_exit_agrees_with_policy(void **state)
{
    static struct cpuid_result (*const processors[])(uint32_t leaf, uint32_t subleaf) = {everything, few_leaves};
    static const uint32_t blocks[] = {0, 0x40000000, 0x40000100, 0x80000000, 0xc0000000, 0xffffffe0};

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(processors); i++) {
        struct vcpu *vcpu = begin(processors[i], 2);
        for (size_t block = 0; block < ARRAY_SIZE(blocks); block++) {
            for (uint32_t leaf = blocks[block]; leaf - blocks[block] < 0x40 && leaf >= blocks[block]; leaf++) {
                assert_exit_agrees(vcpu, leaf, 0);
                assert_exit_agrees(vcpu, leaf, 1);
                assert_exit_agrees(vcpu, leaf, UINT32_MAX);
            }
        }
        fake_guest_free(vcpu->guest);
    }
}

static void test_leaves_beyond_the_last(void **state)
{
    (void)state;
    struct vcpu *vcpu = begin(few_leaves, 1);

    for (uint32_t leaf = 6; leaf < 0x40; leaf++) {
        struct cpuid_result result = cpuid_policy(vcpu, leaf, 0);
        assert_int_equal(result.eax | result.ebx | result.ecx | result.edx, 0);
    }
    assert_int_equal(cpuid_policy(vcpu, 0x80000008, 0).eax, 0);
    fake_guest_free(vcpu->guest);
    /* Leaf 6 is there: the model's timer never stops, whatever the processor's own does. */
    vcpu = begin(fake_cpuid_default, 1);
    assert_int_equal(cpuid_policy(vcpu, 6, 0).eax, BIT(2));
    fake_guest_free(vcpu->guest);
}

/* Leaf 1: what a guest must not see, its own ids, and what follows CR4. */
static void test_features(void **state)
{
    (void)state;
    struct vcpu *vcpu = begin(everything, 3);

    fake_device(vcpu->guest, &vlapic_device);
    struct cpuid_result features = cpuid_policy(vcpu, 1, 0);
    assert_int_equal(features.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(27)), 0);    /* MONITOR, VMX, SMX, OSXSAVE */
    assert_true((features.ecx & BIT(26)) != 0 && (features.ecx & BIT(31)) != 0); /* XSAVE, hypervisor */
    assert_int_equal(features.ebx, 2u << 24 | 3 << 16 | 0xff00);
    assert_true((features.edx & BIT(28)) != 0);
    vcpu->os_xsave = true;
    assert_int_equal(cpuid_policy(vcpu, 1, 0).ecx, features.ecx | BIT(27));
    assert_exit_agrees(vcpu, 1, 0);
    vcpu->os_xsave = false;
    assert_int_equal(cpuid_policy(vcpu, 1, 0).ecx, features.ecx);
    assert_exit_agrees(vcpu, 1, 0);
    fake_guest_free(vcpu->guest);
}

/* A disabled local APIC is not there, until the guest is reset. */
static void test_disabled_apic(void **state)
{
    (void)state;
    struct vcpu *vcpu = begin(everything, 1);
    struct device *device = fake_device(vcpu->guest, &vlapic_device);
    uint64_t base;

    assert_true((cpuid_policy(vcpu, 1, 0).edx & BIT(9)) != 0);
    assert_int_equal(vcpu->irq->msr_read(vcpu, 0x1b, &base), 0);
    assert_int_equal(vcpu->irq->msr_write(vcpu, 0x1b, base & ~BIT(11)), 0);
    assert_true((cpuid_policy(vcpu, 1, 0).edx & BIT(9)) == 0);
    /* A write that is refused changes nothing. */
    assert_int_not_equal(vcpu->irq->msr_write(vcpu, 0x1b, base | BIT(0)), 0);
    assert_true((cpuid_policy(vcpu, 1, 0).edx & BIT(9)) == 0);
    vlapic_device.reset(device);
    assert_true((cpuid_policy(vcpu, 1, 0).edx & BIT(9)) != 0);
    assert_int_equal(vcpu->irq->msr_write(vcpu, 0x1b, base & ~BIT(11)), 0);
    assert_int_equal(vcpu->irq->msr_write(vcpu, 0x1b, base), 0);
    assert_true((cpuid_policy(vcpu, 1, 0).edx & BIT(9)) != 0);
    fake_guest_free(vcpu->guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extended_state),         cmocka_unit_test(test_exit_agrees_with_policy),
        cmocka_unit_test(test_leaves_beyond_the_last), cmocka_unit_test(test_features),
        cmocka_unit_test(test_disabled_apic),
    };

    return cmocka_run_group_tests_name("cpuid", tests, NULL, NULL);
}

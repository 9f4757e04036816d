/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each reason why a processor cannot run guests with VT-x, and that a good one has none.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "arch/virt.h"

/* What Bochs' corei7_haswell_4770 says. */
static const struct vmx_facts good = {
    .is_vmx = true,
    .feature_control_readable = true,
    .feature_control = 5,
    .basic = UINT64_C(0x00d810000000002b),
    .secondary = UINT64_C(0x00047fff00000000),
    .ept_vpid = UINT64_C(0x00000f0106334141),
};

static void assert_reason(const struct vmx_facts *facts, const char *word)
{
    const char *reason = vmx_diagnose(facts);

    assert_non_null(reason);
    if (strstr(reason, word) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", reason, word);
}

static void test_good(void **state)
{
    struct vmx_facts facts = good;

    (void)state;
    assert_null(vmx_diagnose(&facts));
    /* INVEPT of all contexts alone will do, and so will a processor without VPID. */
    facts.ept_vpid = BIT(6) | BIT(14) | BIT(20) | BIT(26);
    assert_null(vmx_diagnose(&facts));
}

static void test_absent(void **state)
{
    struct vmx_facts facts = {0};

    (void)state;
    assert_reason(&facts, "has no VT-x");
    /* Whatever else a broken hypervisor below says. */
    facts = good;
    facts.is_vmx = false;
    assert_reason(&facts, "has no VT-x");
}

static void test_feature_control(void **state)
{
    static const struct {
        uint64_t value;
        const char *word; /* NULL: usable */
    } cases[] = {
        {0, NULL},              /* unlocked: we may switch it on */
        {2, NULL},              /* unlocked, half set */
        {4, NULL},              /* unlocked, set */
        {5, NULL},              /* locked on */
        {7, NULL},              /* locked on, inside SMX as well */
        {1, "locked VT-x off"}, /* locked off */
        {3, "inside SMX only"}, /* locked, TXT only */
        {BIT(20) | 1, "locked VT-x off"},
        {BIT(20) | 5, NULL},
    };
    struct vmx_facts facts = good;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        facts.feature_control = cases[i].value;
        if (cases[i].word == NULL)
            assert_null(vmx_diagnose(&facts));
        else
            assert_reason(&facts, cases[i].word);
    }
    /* A hypervisor below us may hide the register: then VMXON is tried. */
    facts.feature_control_readable = false;
    facts.feature_control = 1;
    assert_null(vmx_diagnose(&facts));
}

/* What is written before VMXON. */
static void test_feature_control_write(void **state)
{
    static const struct {
        uint64_t value;
        bool is_smx;
        uint64_t write; /* 0: nothing */
    } cases[] = {
        {0, false, 5}, /* untouched by the firmware */
        {0, true, 7},  /* VMXON works inside SMX too then */
        {2, false, 7}, /* what the firmware has set stays */
        {BIT(20), false, BIT(20) | 5},
        {1, false, 0}, /* locked: whatever it says, that is it */
        {5, true, 0},
        {BIT(20) | 7, true, 0},
    };
    struct vmx_facts facts = good;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        facts.feature_control = cases[i].value;
        facts.is_smx = cases[i].is_smx;
        facts.feature_control_readable = true;
        assert_int_equal(vmx_feature_control(&facts), cases[i].write);
        facts.feature_control_readable = false;
        assert_int_equal(vmx_feature_control(&facts), 0);
    }
}

static void test_multihit(void **state)
{
    static const struct {
        uint32_t signature;
        bool has;
    } cases[] = {
        {0x000106a5, true},  /* Nehalem */
        {0x000206a7, true},  /* Sandy Bridge */
        {0x000306c3, true},  /* Haswell */
        {0x00050654, true},  /* Skylake-X */
        {0x000a0655, true},  /* Comet Lake */
        {0x000706e5, true},  /* Ice Lake, unless it says otherwise */
        {0x000106c2, false}, /* Bonnell */
        {0x00030673, false}, /* Silvermont */
        {0x000506c9, false}, /* Goldmont */
        {0x000706a1, false}, /* Goldmont Plus */
        {0x00080650, false}, /* Xeon Phi */
        {0x00000f4a, false}, /* another family */
        {0x00800f12, false}, /* an AMD family, whose extended family must not be overlooked */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        assert_int_equal(vmx_has_multihit(true, cases[i].signature, 0), cases[i].has);
        assert_int_equal(vmx_has_multihit(true, cases[i].signature, ~BIT(6)), cases[i].has);
        assert_false(vmx_has_multihit(true, cases[i].signature, BIT(6)));
        assert_false(vmx_has_multihit(false, cases[i].signature, 0));
    }
}

static void test_memory_type(void **state)
{
    struct vmx_facts facts = good;

    (void)state;
    facts.basic = (good.basic & ~(UINT64_C(0xf) << 50)); /* uncached */
    assert_reason(&facts, "write-back");
}

static void test_secondary_controls(void **state)
{
    struct vmx_facts facts = good;

    (void)state;
    facts.secondary = 0; /* core2_penryn_t9600 has them without these two */
    facts.ept_vpid = 0;
    assert_reason(&facts, "no EPT");
    facts = good;
    facts.secondary &= ~BIT(32 + 1);
    assert_reason(&facts, "no EPT");
    facts = good;
    facts.secondary &= ~BIT(32 + 7);
    assert_reason(&facts, "unrestricted guest");
    /* The lower half says what must be set: it offers nothing. */
    facts.secondary = BIT(1) | BIT(7);
    assert_reason(&facts, "no EPT");
}

static void test_ept_capabilities(void **state)
{
    static const struct {
        uint64_t without;
        const char *word;
    } cases[] = {
        {BIT(6), "4-level"},
        {BIT(14), "4-level"},
        {BIT(20), "INVEPT"},
        {BIT(25) | BIT(26), "INVEPT"},
    };
    struct vmx_facts facts = good;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        facts.ept_vpid = good.ept_vpid & ~cases[i].without;
        assert_reason(&facts, cases[i].word);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_absent),
        cmocka_unit_test(test_feature_control),
        cmocka_unit_test(test_feature_control_write),
        cmocka_unit_test(test_multihit),
        cmocka_unit_test(test_memory_type),
        cmocka_unit_test(test_secondary_controls),
        cmocka_unit_test(test_ept_capabilities),
    };

    return cmocka_run_group_tests_name("vmx_diagnose", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of intercepts, and both vendors' places for it: words made of it pass, and each bit less is noticed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/error.h"
#include "hv/intercept.h"
#include "hv/log.h"

#define WORDS 32u

/* The backends' headers use the same names for different things: only their tables are looked at here. */
extern const struct intercept_place svm_intercepts[INTERCEPT_COUNT], vmx_intercepts[INTERCEPT_COUNT];

static const struct intercept_place *const backends[] = {svm_intercepts, vmx_intercepts};

static char said[1000];

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    vsnprintf(said, sizeof(said), format, arguments);
    va_end(arguments);
}

static int verify(const struct intercept_place *places, const uint32_t *words)
{
    said[0] = '\0';
    return intercept_verify("test", places, words);
}

static void fill(const struct intercept_place *places, uint32_t *words)
{
    for (unsigned word = 0; word < WORDS; word++)
        words[word] = intercept_bits(places, word);
}

static void test_list(void **state)
{
    (void)state;
    for (unsigned i = 0; i < INTERCEPT_COUNT; i++) {
        assert_non_null(intercept_rules[i].name);
        assert_non_null(intercept_rules[i].reason);
    }
}

static void test_whole(void **state)
{
    uint32_t words[WORDS];

    (void)state;
    for (size_t backend = 0; backend < ARRAY_SIZE(backends); backend++) {
        fill(backends[backend], words);
        assert_int_equal(verify(backends[backend], words), 0);
        assert_string_equal(said, "");
        /* More does not hurt. */
        memset(words, 0xff, sizeof(words));
        assert_int_equal(verify(backends[backend], words), 0);
    }
}

/* One bit less: said by name, and refused if it is needed. */
static void test_each_bit_counts(void **state)
{
    uint32_t words[WORDS];

    (void)state;
    for (size_t backend = 0; backend < ARRAY_SIZE(backends); backend++) {
        const struct intercept_place *places = backends[backend];
        for (unsigned i = 0; i < INTERCEPT_COUNT; i++) {
            const struct intercept_rule *rule = &intercept_rules[i];
            for (uint32_t bits = places[i].bits; bits != 0; bits &= bits - 1) {
                fill(places, words);
                words[places[i].word] &= ~(bits & (0 - bits));
                assert_int_equal(verify(places, words), rule->need == INTERCEPT_NEEDED ? E_NOSYS : 0);
                if (rule->need == INTERCEPT_QUIET)
                    assert_string_equal(said, "");
                else
                    assert_non_null(strstr(said, rule->name));
            }
        }
    }
}

/* No bit stands for two entries: then one of them would be set by chance. */
static void test_places_are_distinct(void **state)
{
    (void)state;
    for (size_t backend = 0; backend < ARRAY_SIZE(backends); backend++) {
        const struct intercept_place *places = backends[backend];
        for (unsigned i = 0; i < INTERCEPT_COUNT; i++) {
            assert_true(places[i].word < WORDS);
            for (unsigned k = 0; k < i; k++)
                assert_true(places[i].word != places[k].word || (places[i].bits & places[k].bits) == 0);
        }
    }
}

/* What AMD has a bit for, it must have set: no instruction of the list exits there by itself. */
static void test_amd_has_a_place_for_all(void **state)
{
    (void)state;
    for (unsigned i = 0; i < INTERCEPT_COUNT; i++)
        assert_true(svm_intercepts[i].bits != 0 || i == INTERCEPT_ENCLS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_each_bit_counts),
        cmocka_unit_test(test_places_are_distinct),
        cmocka_unit_test(test_amd_has_a_place_for_all),
    };

    return cmocka_run_group_tests_name("intercept", tests, NULL, NULL);
}

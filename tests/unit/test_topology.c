/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processors of both vendors, old and new, as their CPUID answers: who shares a core with whom.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "arch/topology.h"

/* What the processor that is played answers; leaves that are not there answer zero, as on AMD. */
struct answer {
    uint32_t leaf, subleaf;
    struct cpuid_result result;
};
static struct answer answers[16];
static unsigned answer_count;

static struct cpuid_result answer(uint32_t leaf, uint32_t subleaf)
{
    for (unsigned i = 0; i < answer_count; i++) {
        if (answers[i].leaf == leaf && answers[i].subleaf == subleaf)
            return answers[i].result;
    }
    return (struct cpuid_result){0, 0, 0, 0};
}

static void say(uint32_t leaf, uint32_t subleaf, uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    assert_true(answer_count < ARRAY_SIZE(answers));
    answers[answer_count++] = (struct answer){leaf, subleaf, {eax, ebx, ecx, edx}};
}

/* Forget the last processor; leaf 0 of the next. */
static void processor(const char *vendor, uint32_t limit)
{
    uint32_t name[3];

    memcpy(name, vendor, sizeof(name));
    answer_count = 0;
    say(0, 0, limit, name[0], name[2], name[1]);
}

static void expect(uint32_t core, uint32_t package)
{
    struct topology topology = topology_read(answer);

    assert_int_equal(topology.core, core);
    assert_int_equal(topology.package, package);
}

/* Leaf 1: initial APIC id, logical processors, HTT. */
static void say_features(uint32_t id, uint32_t count, bool is_counted)
{
    say(1, 0, 0, id << 24 | count << 16, 0, is_counted ? BIT(28) : 0);
}

static void levels_of_leaf_0b(void **state)
{
    (void)state;
    processor("GenuineIntel", 0xd); /* two threads, up to eight cores: id 0x2b is thread 1, core 5, package 2 */
    say(0xb, 0, 1, 2, 0x100, 0x2b);
    say(0xb, 1, 4, 8, 0x201, 0x2b);
    say(0xb, 2, 0, 0, 2, 0x2b);
    say_features(0x2b, 16, true);
    expect(0x15, 2);
    processor("AuthenticAMD", 0x10); /* ids of 32 bits; one thread a core */
    say(0xb, 0, 0, 1, 0x100, 0x12345);
    say(0xb, 1, 7, 64, 0x201, 0x12345);
    expect(0x12345, 0x12345 >> 7);
}

static void levels_of_leaf_1f(void **state)
{
    (void)state;
    processor("GenuineIntel", 0x20);
    say(0x1f, 0, 1, 2, 0x100, 0x107);
    say(0x1f, 1, 3, 8, 0x201, 0x107);
    say(0x1f, 2, 6, 16, 0x502, 0x107); /* a die between core and package */
    say(0xb, 0, 2, 4, 0x100, 0x107);   /* which tells less, and here something else */
    expect(0x83, 4);
    answers[1].result.ebx = 0; /* not there after all */
    expect(0x41, 0x41);
    answers[0].result.eax = 0x1e;
    answers[1].result.ebx = 2;
    expect(0x41, 0x41);
}

/* A level list without threads, one that never ends, and shifts as large as they can be. */
static void odd_levels(void **state)
{
    (void)state;
    processor("GenuineIntel", 0xb);
    say(0xb, 0, 3, 8, 0x200, 0xd);
    expect(0xd, 1);
    processor("GenuineIntel", 0xb);
    say(0xb, 0, UINT32_MAX, UINT32_MAX, 0x100, UINT32_MAX);
    for (uint32_t i = 1; i < 15; i++)
        say(0xb, i, UINT32_MAX, UINT32_MAX, 0xff00, UINT32_MAX);
    expect(1, 1);
    processor("GenuineIntel", 0xb); /* the package must not be smaller than the core */
    say(0xb, 0, 4, 16, 0x100, 0x35);
    say(0xb, 1, 1, 16, 0x200, 0x35);
    expect(3, 3);
}

static void old_intel(void **state)
{
    (void)state;
    processor("GenuineIntel", 2); /* one core, two threads */
    say_features(3, 2, true);
    expect(1, 1);
    processor("GenuineIntel", 5); /* two cores, one thread each */
    say_features(3, 2, true);
    say(4, 0, 1u << 26 | 0x21, 0, 0, 0);
    expect(3, 1);
    processor("GenuineIntel", 0xa); /* four cores, two threads, rounded up from six logical processors */
    say_features(0x1d, 6, true);
    say(4, 0, 3u << 26 | 0x121, 0, 0, 0);
    expect(0xe, 3);
    processor("GenuineIntel", 0xa); /* more cores than logical processors makes no sense */
    say_features(5, 2, true);
    say(4, 0, 63u << 26 | 0x21, 0, 0, 0);
    expect(5, 2);
    processor("GenuineIntel", 0xa); /* the count is not valid */
    say_features(5, 2, false);
    expect(5, 5);
}

static void old_amd(void **state)
{
    (void)state;
    processor("AuthenticAMD", 1); /* one core */
    say_features(2, 0, false);
    expect(2, 2);
    processor("AuthenticAMD", 1); /* two cores and no further leaf: no leaf 4 there, and no threads */
    say_features(3, 2, true);
    expect(3, 1);
    processor("AuthenticAMD", 5); /* six cores */
    say_features(0xd, 6, true);
    say(0x80000000, 0, 0x80000008, 0, 0, 0);
    say(0x80000008, 0, 0, 0, 5, 0);
    expect(0xd, 1);
    answers[answer_count - 1].result.ecx = 5 | 4 << 12; /* ids leave room for sixteen */
    expect(0xd, 0);
}

static void first_zen(void **state)
{
    (void)state;
    processor("HygonGenuine", 0xd);
    say_features(0x1b, 16, true);
    say(0x80000000, 0, 0x8000001f, 0, 0, 0);
    say(0x80000001, 0, 0, 0, (uint32_t)BIT(22), 0);
    say(0x80000008, 0, 0, 0, 15 | 4 << 12, 0);
    say(0x8000001e, 0, 0, 1 << 8 | 5, 0x100, 0); /* Bochs has no id there */
    expect(0xd, 1);
    answers[3].result.ecx = 0; /* without TOPOEXT the leaf is not to be used */
    expect(0x1b, 1);
}

/* No answer may do harm, or be taken for more than it says. */
static void random_answers(void **state)
{
    static const uint32_t leaves[] = {0, 1, 4, 0xb, 0x1f, 0x80000000, 0x80000001, 0x80000008, 0x8000001e};

    (void)state;
    srand(1);
    for (unsigned round = 0; round < 20000; round++) {
        processor(round % 2 == 0 ? "AuthenticAMD" : "GenuineIntel", (uint32_t)rand() % 0x21);
        for (unsigned i = 1; i < ARRAY_SIZE(leaves); i++)
            say(leaves[i], i == 3 ? round % 3 : 0, (uint32_t)rand() * 3u, (uint32_t)rand() * 3u, (uint32_t)rand() * 3u,
                (uint32_t)rand() * 3u);
        struct topology topology = topology_read(answer);
        assert_true(topology.package <= topology.core);
    }
}

static void numbers_for_people(void **state)
{
    (void)state;
    struct topology cpus[] = {{0x80, 8}, {0x80, 8}, {2, 0}, {0, 0}, {0x81, 8}, {2, 0}};
    static const struct topology named[] = {{0, 0}, {0, 0}, {1, 1}, {2, 1}, {3, 0}, {1, 1}};

    topology_number(cpus, 6);
    assert_memory_equal(cpus, named, sizeof(named));
    topology_number(cpus, 0);
    assert_memory_equal(cpus, named, sizeof(named));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(levels_of_leaf_0b), cmocka_unit_test(levels_of_leaf_1f),
        cmocka_unit_test(odd_levels),        cmocka_unit_test(old_intel),
        cmocka_unit_test(old_amd),           cmocka_unit_test(first_zen),
        cmocka_unit_test(random_answers),    cmocka_unit_test(numbers_for_people),
    };

    return cmocka_run_group_tests_name("topology", tests, NULL, NULL);
}

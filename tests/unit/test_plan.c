/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner on machines that are described here: where memory goes, who owns a CPU, and the exact words of each
 * refusal. Machines whose CPUs share cores, or whose memory is nearer to some of them, are in test_plan_nodes.c.
 */
#include "tests/unit/planned.h"

static void one_guest(void **state)
{
    (void)state;
    add_guest("a", "cpus = [2]\nmemory = \"512M\"\nkernel = \"vmlinuz\"\ninitrd = \"initramfs\"\n"
                   "devices = [\"pic\", \"uart\"]\n");
    assert_int_equal(run(), 0);
    assert_int_equal(plan.guest_count, 1);
    const struct plan_guest *guest = &plan.guests[0];
    assert_ptr_equal(guest->config, &config.guests[0]);
    assert_int_equal(guest->cpu_count, 1);
    assert_int_equal(guest->cpus[0], 2);
    assert_int_equal(guest->piece_count, 1);
    expect_piece(0, 0, MIB(126), MIB(512));
    assert_int_equal(guest->ram_count, 2);
    expect_ram(&guest->ram[0], 0, MIB(126), 0xa0000);
    expect_ram(&guest->ram[1], 0xb8000, MIB(126) + 0xb8000, MIB(512) - 0xb8000);
    assert_int_equal(plan.cpu_owner[2], 0);
    assert_int_equal(plan.cpu_owner[0], PLAN_NOBODY);
    assert_int_equal(plan.monitor_cpu, 0);
    assert_false(plan.monitor_shares_cpu);
    assert_null(extents_find(&plan.free, MIB(126), MIB(126) + 1));
    assert_non_null(extents_find(&plan.free, MIB(638), MIB(1008)));
}

static void a_guest_above_4_gib(void **state)
{
    (void)state;
    large_machine();
    add_guest_of("a", 0, "5G");
    assert_int_equal(run(), 0);
    const struct plan_guest *guest = &plan.guests[0];
    assert_int_equal(guest->piece_count, 2);
    expect_piece(0, 0, GIB(4), GIB(3)); /* 1 GiB pages fit nowhere below: the smaller piece has no such room */
    expect_piece(0, 1, GIB(1), GIB(2));
    assert_int_equal(guest->ram_count, 3);
    expect_ram(&guest->ram[1], 0xb8000, GIB(4) + 0xb8000, GIB(3) - 0xb8000);
    expect_ram(&guest->ram[2], GIB(4), GIB(1), GIB(2));
    assert_int_equal(plan.monitor_cpu, 1);
}

static void monitor_shares_when_all_cpus_are_taken(void **state)
{
    (void)state;
    machine.cpu_count = 2;
    add_guest_of("a", 1, "16M");
    add_guest_of("b", 0, "16M");
    assert_int_equal(run(), 0);
    assert_int_equal(plan.monitor_cpu, 0);
    assert_true(plan.monitor_shares_cpu);
    assert_int_equal(plan.cpu_owner[0], 1);
}

/* The largest goes first; the order of the file decides among equals. */
static void several_guests(void **state)
{
    (void)state;
    add_guest_of("a", 0, "16M");
    add_guest_of("b", 1, "500M");
    add_guest_of("c", 2, "16M");
    add_guest_of("d", 3, "70M");
    assert_int_equal(run(), 0);
    expect_piece(1, 0, MIB(126), MIB(500));
    expect_piece(3, 0, MIB(20), MIB(70));
    expect_piece(0, 0, MIB(626), MIB(16));
    expect_piece(2, 0, MIB(642), MIB(16));
}

/* 1 GiB alignment would leave no room for both; 2 MiB alignment does. */
static void alignment_gives_way(void **state)
{
    (void)state;
    boot.memory_count = 0;
    boot_memory_add(&boot, MIB(512), MIB(3072), BOOT_MEMORY_RAM);
    add_guest_of("a", 0, "1G");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, GIB(1), GIB(1));
    add_guest_of("b", 1, "1G");
    assert_int_equal(run(), 0);
    expect_piece(1, 0, GIB(2), GIB(1));
    add_guest_of("c", 2, "1G");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(512), GIB(1));
    expect_piece(2, 0, MIB(2560), GIB(1));
    boot.memory[0] = (struct boot_memory_range){MIB(512) + 5, MIB(2048) + KIB(8), BOOT_MEMORY_RAM};
    config.guest_count = 2;
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(512) + KIB(4), GIB(1));
    expect_piece(1, 0, MIB(1536) + KIB(4), GIB(1));
}

/* Ranges that are unsorted, cross each other, end in the middle of a page or behind all addresses. */
static void wild_memory_map(void **state)
{
    static struct extents free;

    (void)state;
    memset(&boot, 0, sizeof(boot));
    machine.reserved_count = 0;
    boot.memory_count = 8;
    boot.memory[0] = (struct boot_memory_range){BIT(52) - MIB(1), UINT64_MAX, BOOT_MEMORY_RAM};
    boot.memory[1] = (struct boot_memory_range){MIB(8) - 1, MIB(8) + 2, BOOT_MEMORY_RAM};
    boot.memory[2] = (struct boot_memory_range){MIB(2) + 1, MIB(6) - 2, BOOT_MEMORY_RAM};
    boot.memory[3] = (struct boot_memory_range){MIB(9) - 1, 2, 77};
    boot.memory[4] = (struct boot_memory_range){MIB(10) + 5, 0, BOOT_MEMORY_BAD};
    boot.memory[5] = (struct boot_memory_range){MIB(12), MIB(4), BOOT_MEMORY_RAM};
    boot.memory[6] = (struct boot_memory_range){UINT64_MAX - 1, 1, BOOT_MEMORY_RESERVED};
    boot.memory[7] = (struct boot_memory_range){BIT(52) - KIB(6), BIT(51), BOOT_MEMORY_RESERVED};
    plan_free_memory(&machine, &free);
    assert_int_equal(free.count, 3);
    assert_non_null(extents_find(&free, MIB(2) + KIB(4), MIB(9) - KIB(4)));
    assert_non_null(extents_find(&free, MIB(9) + KIB(4), MIB(16)));
    assert_non_null(extents_find(&free, BIT(52) - MIB(1), BIT(52) - KIB(8)));
    assert_int_equal(extents_total(&free), MIB(14) - KIB(12) + MIB(1) - KIB(8));
    machine.ram_end = MIB(3) + 1;
    plan_free_memory(&machine, &free);
    assert_int_equal(free.count, 1);
    assert_int_equal(extents_total(&free), MIB(1) - KIB(4));
}

static void memory_base_is_honoured(void **state)
{
    (void)state;
    add_guest("a", "cpus = [0]\nmemory = \"4M\"\nmemory_base = 0x2001000\nkernel = \"vmlinuz\"\n");
    add_guest_of("b", 1, "70M");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(32) + KIB(4), MIB(4));
    expect_piece(1, 0, MIB(126), MIB(70));
    large_machine();
    config.guest_count = 0;
    add_guest("a", "cpus = [0]\nmemory = \"6G\"\nmemory_base = \"8G\"\nkernel = \"vmlinuz\"\n");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, GIB(8), GIB(3));
    expect_piece(0, 1, GIB(11), GIB(3));
}

static void refuse_base(const char *base, const char *message)
{
    char keys[200], line[400];

    config.guest_count = 0;
    snprintf(keys, sizeof(keys), "cpus = [0]\nmemory = \"64M\"\nmemory_base = %s\nkernel = \"vmlinuz\"\n", base);
    snprintf(line, sizeof(line), "f.toml:5:15: guest \"a\": memory_base %s: %s\n", base, message);
    add_guest("a", keys);
    expect_refusal(line);
}

static void memory_base_is_refused(void **state)
{
    (void)state;
    refuse_base("0x100000", "64 MiB from there touch the hypervisor's image at 0x100000-0x3fffff; 0x1400000 would be "
                            "free");
    refuse_base("0x1300000", "64 MiB from there touch the page pool at 0x400000-0x13fffff; 0x1400000 would be free");
    refuse_base("0x6000000", "64 MiB from there touch vmlinuz at 0x6400000-0x6bfffff; 0x1400000 would be free");
    refuse_base("0x3c000000",
                "64 MiB from there touch memory for ACPI tables at 0x3f000000-0x3fffffff; 0x1400000 would "
                "be free");
    refuse_base("0x80000000", "not all of 0x80000000-0x83ffffff is RAM; 0x1400000 would be free");
    refuse_base("0xfffffc0000000", "not all of 0xfffffc0000000-0xfffffc3ffffff is RAM; 0x1400000 would be free");
    reserve(MIB(30), MIB(60), "a test");
    machine.ram_end = MIB(176);
    refuse_base("0x8000000", "not all of 0x8000000-0xbffffff is RAM; remove the key");
}

static void memory_bases_collide(void **state)
{
    (void)state;
    add_guest("a", "cpus = [0]\nmemory = \"64M\"\nmemory_base = \"128M\"\nkernel = \"vmlinuz\"\n");
    add_guest("b", "cpus = [1]\nmemory = \"64M\"\nmemory_base = \"191M\"\nkernel = \"vmlinuz\"\n");
    expect_refusal("f.toml:5:15: guest \"b\": memory_base 0xbf00000: 64 MiB from there touch the memory of guest \"a\" "
                   "(line 5); 0x1400000 would be free\n");
}

static void more_memory_than_there_is(void **state)
{
    (void)state;
    add_guest_of("a", 0, "900G");
    expect_refusal("f.toml:4:10: guest \"a\": memory 900 GiB is more than there is: 963 MiB are free for guests, the "
                   "largest piece has 882 MiB\n");
    config.guest_count = 0;
    add_guest_of("a", 0, "883M");
    expect_refusal("f.toml:4:10: guest \"a\": memory 883 MiB needs one piece of 883 MiB; the largest that is left has "
                   "882 MiB, all together have 963 MiB\n");
    config.guest_count = 0;
    add_guest_of("a", 0, "882M");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(126), MIB(882));
}

/* Each guest alone would fit. The one that is too much is named, the others are judged without it. */
static void more_memory_in_all(void **state)
{
    (void)state;
    add_guest_of("a", 0, "800M");
    add_guest_of("b", 1, "300M");
    add_guest_of("c", 2, "128M");
    expect_refusal("f.toml:4:10: guest \"b\": memory 300 MiB is more than is left: all guests together ask for 1228 "
                   "MiB, and 963 MiB are free: 265 MiB too much\n"
                   "f.toml:4:10: guest \"c\": memory 128 MiB needs one piece of 128 MiB; the largest that is left has "
                   "82 MiB, all together have 163 MiB\n");
}

/* One that is too large alone is no part of the sum; a second one behind the first is not told again. */
static void sum_of_the_other_guests(void **state)
{
    (void)state;
    add_guest_of("a", 0, "1G");
    add_guest_of("b", 1, "800M");
    add_guest_of("c", 2, "524292K");
    add_guest_of("d", 3, "963M");
    add_guest_of("e", 2, "4M");
    config.guests[4].cpu_count = 0;
    expect_refusal("f.toml:4:10: guest \"a\": memory 1 GiB is more than there is: 963 MiB are free for guests, the "
                   "largest piece has 882 MiB\n"
                   "f.toml:4:10: guest \"c\": memory 524292 KiB is more than is left: the other guests together ask "
                   "for 2333700 KiB, and 963 MiB are free: 1316 MiB too much\n");
}

static void cpus_that_are_not_there(void **state)
{
    (void)state;
    add_guest_of("a", 5, "16M");
    expect_refusal("f.toml:3:9: guest \"a\": CPU 5 does not exist; this machine has CPUs 0-3\n");
    machine.cpu_count = 5;
    expect_refusal("f.toml:3:9: guest \"a\": CPU 5 does not exist; this machine has CPUs 0-4\n");
    machine.cpu_count = 1;
    expect_refusal("f.toml:3:9: guest \"a\": CPU 5 does not exist; this machine has CPU 0 only\n");
    config.guests[0].cpus[0].number = 0;
    add_guest_of("b", 0, "16M");
    expect_refusal("f.toml:3:9: guest \"b\": CPU 0 already belongs to guest \"a\"\n");
}

/* With the first of those that are missing comes the sum. */
static void more_cpus_than_there_are(void **state)
{
    (void)state;
    add_guest("a", "cpus = [0, 4]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    add_guest("b", "memory = \"16M\"\ncpus = [1, 2, 5]\nkernel = \"vmlinuz\"\n");
    expect_refusal("f.toml:3:12: guest \"a\": CPU 4 does not exist; this machine has CPUs 0-3; the file asks for 5 in "
                   "all, 1 too many\n"
                   "f.toml:4:15: guest \"b\": CPU 5 does not exist; this machine has CPUs 0-3\n");
    config.guests[1].cpu_count = 2;
    expect_refusal("f.toml:3:12: guest \"a\": CPU 4 does not exist; this machine has CPUs 0-3\n");
}

static void modules_that_are_not_there(void **state)
{
    (void)state;
    add_guest("a", "cpus = [0]\nmemory = \"16M\"\nkernel = \"vmlinux\"\ninitrd = \"rootfs\"\n");
    expect_refusal(
        "f.toml:5:10: guest \"a\": there is no boot module \"vmlinux\"; did you mean \"vmlinuz\"? the loader "
        "brought \"vmlinuz\", \"initramfs\", \"f.toml\"\n"
        "f.toml:6:10: guest \"a\": there is no boot module \"rootfs\"; the loader brought \"vmlinuz\", "
        "\"initramfs\", \"f.toml\"\n");
    config.guest_count = 0;
    add_guest("a", "cpus = [0]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\nmodules = [\"vmlinuz\", \"x\"]\n");
    boot.module_count = 1;
    boot.modules_cut = true;
    expect_refusal("f.toml:6:23: guest \"a\": there is no boot module \"x\"; the loader brought \"vmlinuz\" and more "
                   "than the 32 that Bulkhead can take\n");
    boot.module_count = 0;
    boot.modules_cut = false;
    config.guest_count = 0;
    add_guest_of("b", 0, "16M");
    expect_refusal("f.toml:5:10: guest \"b\": there is no boot module \"vmlinuz\"; the loader brought none\n");
}

static void module_names_that_do_not_tell(void **state)
{
    (void)state;
    boot_module_add(&boot, MIB(200), 10, "b/vmlinuz");
    add_guest_of("a", 0, "16M");
    expect_refusal("f.toml:5:10: guest \"a\": the loader brought 2 boot modules named \"vmlinuz\"; give each another "
                   "name, as the last word of its string\n");
    boot.modules[3].name_cut = true;
    assert_int_equal(run(), 0);
    boot.modules[0].name_cut = true;
    boot.module_count = 1;
    expect_refusal("f.toml:5:10: guest \"a\": there is no boot module \"vmlinuz\"; the loader "
                   "brought \"vmlinuz...\"\n");
}

/* All mistakes at once, in the order of the file. */
static void all_mistakes_of_a_file(void **state)
{
    (void)state;
    add_guest("a", "kernel = \"x\"\nmemory = \"3G\"\ncpus = [63]\n");
    expect_refusal("f.toml:3:10: guest \"a\": there is no boot module \"x\"; the loader brought \"vmlinuz\", "
                   "\"initramfs\", \"f.toml\"\n"
                   "f.toml:4:10: guest \"a\": memory 3 GiB is more than there is: 963 MiB are free for guests, the "
                   "largest piece has 882 MiB\n"
                   "f.toml:5:9: guest \"a\": CPU 63 does not exist; this machine has CPUs 0-3\n");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, small_machine)
    const struct CMUnitTest tests[] = {
        TEST(one_guest),
        TEST(a_guest_above_4_gib),
        TEST(monitor_shares_when_all_cpus_are_taken),
        TEST(several_guests),
        TEST(alignment_gives_way),
        TEST(wild_memory_map),
        TEST(memory_base_is_honoured),
        TEST(memory_base_is_refused),
        TEST(memory_bases_collide),
        TEST(more_memory_than_there_is),
        TEST(more_memory_in_all),
        TEST(sum_of_the_other_guests),
        TEST(cpus_that_are_not_there),
        TEST(more_cpus_than_there_are),
        TEST(modules_that_are_not_there),
        TEST(module_names_that_do_not_tell),
        TEST(all_mistakes_of_a_file),
    };

    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}

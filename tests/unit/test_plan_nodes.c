/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The planner on machines whose cores have several threads and whose memory has nodes, all described here; and a plan
 * in words.
 */
#include "hv/plan_describe.h"
#include "tests/unit/planned.h"

static struct plan_cpu cpus[CPUS_MAX];
static struct plan_memory_node nodes[8];

/* Two packages, each a node, of two cores of two threads; APIC ids would be sparse, CPUs are not. */
static void smt_machine(void)
{
    machine.cpu_count = 8;
    for (uint32_t i = 0; i < machine.cpu_count; i++)
        cpus[i] = (struct plan_cpu){.core = i / 2, .package = i / 4, .node = PLAN_NODE_UNKNOWN};
    machine.cpus = cpus;
}

static void siblings_in_two_guests(void **state)
{
    (void)state;
    smt_machine();
    add_guest("a", "cpus = [2, 5]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    add_guest("b", "cpus = [6, 3, 7]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    expect_refusal("f.toml:3:12: guest \"b\": CPU 3 is a hardware thread of core 1, as is CPU 2 of guest \"a\" (line "
                   "3); take CPU 0, or write allow_shared_core = true in both guests\n");
    config.guests[0].allow_shared_core = true;
    expect_refusal("f.toml:3:12: guest \"b\": CPU 3 is a hardware thread of core 1, as is CPU 2 of guest \"a\" (line "
                   "3); take CPU 0, or write allow_shared_core = true here too\n");
    config.guests[0].allow_shared_core = false;
    config.guests[1].allow_shared_core = true;
    expect_refusal("f.toml:3:12: guest \"b\": CPU 3 is a hardware thread of core 1, as is CPU 2 of guest \"a\" (line "
                   "3); take CPU 0, or write allow_shared_core = true in guest \"a\" too\n");
    config.guests[0].allow_shared_core = true;
    assert_int_equal(run(), 0);
    machine.cpus = NULL; /* nothing is known: nothing is refused */
    config.guests[0].allow_shared_core = false;
    assert_int_equal(run(), 0);
}

/* Of three guests on one core (four threads) the pair that may share is not reported; there is no better CPU. */
static void three_guests_on_a_core(void **state)
{
    (void)state;
    smt_machine();
    for (uint32_t i = 0; i < 8; i++)
        cpus[i].core = i / 4;
    add_guest("a", "cpus = [0, 4]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\nallow_shared_core = true\n");
    add_guest("b", "cpus = [1]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\nallow_shared_core = true\n");
    add_guest("c", "cpus = [2]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    expect_refusal(
        "f.toml:3:9: guest \"c\": CPU 2 is a hardware thread of core 0, as is CPU 0 of guest \"a\" (line 3); "
        "write allow_shared_core = true here too\n");
}

static void expect_monitor(uint32_t cpu, bool shares_cpu)
{
    assert_int_equal(run(), 0);
    assert_int_equal(plan.monitor_cpu, cpu);
    assert_int_equal(plan.monitor_shares_cpu, shares_cpu);
}

static void monitor_has_a_core_of_its_own(void **state)
{
    (void)state;
    smt_machine();
    add_guest("a", "cpus = [1]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    expect_monitor(2, false);
    config.guests[0].cpus[0].number = 7;
    expect_monitor(0, false);
    machine.cpu_count = 4; /* no core is free of guests */
    config.guest_count = 0;
    add_guest("a", "cpus = [0, 3]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    expect_monitor(1, false);
    config.guest_count = 0;
    add_guest("a", "cpus = [0, 3, 2, 1]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\n");
    expect_monitor(0, true);
}

static void add_node(hpa_t base, uint64_t size, uint32_t node)
{
    nodes[machine.memory_node_count++] = (struct plan_memory_node){base, size, node};
    machine.memory_nodes = nodes;
}

/* Node 0 has 2 GiB below the hole and 4 GiB from 4 GiB on, node 1 has 1 GiB below the hole and 16 GiB above. */
static void numa_machine(void)
{
    smt_machine();
    boot.memory_count = 0;
    boot_memory_add(&boot, 0, GIB(3), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, GIB(4), GIB(20), BOOT_MEMORY_RAM);
    machine.memory_node_count = 0;
    add_node(0, GIB(2), 0);
    add_node(GIB(2), GIB(2), 1); /* the hole as well */
    add_node(GIB(4), GIB(4), 0);
    add_node(GIB(8), GIB(20), 1); /* more than there is */
    for (uint32_t i = 0; i < machine.cpu_count; i++)
        cpus[i].node = i / 4;
}

static void collect(void *context, const char *text)
{
    assert_ptr_equal(context, &machine);
    assert_true(strlen(text) < 200);
    strcat(output, text);
    strcat(output, "\n");
}

static void expect_remarks(const char *text)
{
    output[0] = '\0';
    plan_remarks(&plan, &machine, collect, &machine);
    assert_string_equal(output, text);
}

static void memory_near_the_cpus(void **state)
{
    (void)state;
    numa_machine();
    add_guest_of("a", 0, "64M");
    add_guest_of("b", 4, "64M");
    add_guest_of("c", 7, "6G");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(20), MIB(64));
    expect_piece(1, 0, GIB(2), MIB(64));
    expect_piece(2, 0, GIB(8), GIB(3));
    expect_piece(2, 1, GIB(11), GIB(3));
    expect_remarks("");
}

/* Without what SRAT tells, and with CPUs of which it tells nothing, all is as on a machine of one node. */
static void nearness_unknown(void **state)
{
    (void)state;
    static struct plan first;

    numa_machine();
    add_guest_of("a", 0, "64M");
    add_guest_of("b", 4, "64M");
    add_guest_of("c", 6, "6G");
    machine.memory_node_count = 0;
    assert_int_equal(run(), 0);
    first = plan;
    expect_piece(1, 0, MIB(126), MIB(64));
    machine.memory_node_count = 4;
    for (uint32_t i = 0; i < machine.cpu_count; i++)
        cpus[i].node = PLAN_NODE_UNKNOWN;
    assert_int_equal(run(), 0);
    assert_memory_equal(&plan, &first, sizeof(plan));
    machine.cpus = NULL;
    first.monitor_cpu = 1; /* each CPU has a core of its own then */
    assert_int_equal(run(), 0);
    assert_memory_equal(&plan, &first, sizeof(plan));
    expect_remarks("");
}

/* What does not fit near goes wherever there is room, and is told. */
static void memory_far_from_the_cpus(void **state)
{
    (void)state;
    numa_machine();
    add_guest_of("a", 1, "8G");
    add_guest_of("b", 5, "1G");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, GIB(4), GIB(3));
    expect_piece(0, 1, GIB(7), GIB(5)); /* node 0 has no piece of 5 GiB */
    expect_piece(1, 0, GIB(2), GIB(1));
    expect_remarks("guest \"a\": 4 GiB of its memory are on node 1, its CPUs on node 0\n");
    cpus[5].node = 2; /* a node without memory */
    assert_int_equal(run(), 0);
    expect_remarks("guest \"a\": 4 GiB of its memory are on node 1, its CPUs on node 0\n"
                   "guest \"b\": 1 GiB of its memory are on node 0, its CPUs on node 2\n");
}

/* A piece with a place near goes before a larger one without, which would have taken its room. */
static void far_memory_takes_no_near_room(void **state)
{
    (void)state;
    numa_machine();
    boot.memory_count = 0;
    boot_memory_add(&boot, MIB(512), MIB(1024), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, MIB(2048), MIB(300), BOOT_MEMORY_RAM);
    machine.memory_node_count = 0;
    add_node(0, MIB(768), 0);
    add_node(MIB(768), MIB(512), 1);
    add_node(MIB(1280), GIB(2), 2);
    add_guest_of("a", 0, "300M"); /* node 0 has 256 MiB; the best free piece elsewhere would be node 1's */
    add_guest_of("b", 4, "260M");
    assert_int_equal(run(), 0);
    expect_piece(1, 0, MIB(768), MIB(260));
    expect_piece(0, 0, MIB(2048), MIB(300));
}

/* Nearness is worth 2 MiB alignment, but no refusal: with a near place taken, another guest would find none. */
static void nearness_gives_way(void **state)
{
    (void)state;
    numa_machine();
    machine.memory_node_count = 0;
    boot.memory_count = 0;
    boot_memory_add(&boot, GIB(1) - MIB(512), MIB(1536), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, GIB(4), GIB(1), BOOT_MEMORY_RAM);
    add_node(0, GIB(4), 0);
    add_node(GIB(4), GIB(4), 1);
    boot.memory[0].size = MIB(1100);
    add_guest_of("a", 0, "1G");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(512), GIB(1));
    boot.memory[0] = (struct boot_memory_range){MIB(512), MIB(400), BOOT_MEMORY_RAM};
    boot.memory[1] = (struct boot_memory_range){GIB(4), MIB(1000), BOOT_MEMORY_RAM};
    config.guest_count = 0;
    add_guest_of("a", 4, "400M"); /* near: 1000 MiB, of which "b" needs 700 */
    add_guest_of("b", 1, "700M");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(512), MIB(400));
    expect_piece(1, 0, GIB(4), MIB(700));
    expect_remarks("guest \"a\": 400 MiB of its memory are on node 0, its CPUs on node 1\n"
                   "guest \"b\": 700 MiB of its memory are on node 1, its CPUs on node 0\n");
}

static void cpus_on_several_nodes(void **state)
{
    (void)state;
    numa_machine();
    add_guest("a", "cpus = [0, 4, 5]\nmemory = \"64M\"\nkernel = \"vmlinuz\"\n");
    assert_int_equal(run(), 0);
    expect_piece(0, 0, GIB(2), MIB(64)); /* two on node 1 */
    config.guests[0].cpu_count = 2;
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(20), MIB(64)); /* one each: the first */
    boot.memory[0].size = MIB(80);        /* no room on it: the other one before a third */
    boot.memory[1].size = 0;
    boot_memory_add(&boot, GIB(9), GIB(1), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, GIB(40), MIB(65), BOOT_MEMORY_RAM);
    assert_int_equal(run(), 0);
    expect_piece(0, 0, GIB(9), MIB(64));
    expect_remarks("");
    cpus[0].node = cpus[4].node = 3;
    cpus[1].node = 4;
    config.guests[0].cpus[1].number = 1;
    assert_int_equal(run(), 0);
    boot.memory[0].size = 0;
    boot.memory[3].size = 0;
    assert_int_equal(run(), 0);
    expect_remarks("guest \"a\": 64 MiB of its memory are on node 1, its CPUs on node 3 and node 4\n");
}

/* Ranges that overlap: the first one counts. A piece that lies on two nodes is told by its parts. */
static void wild_nodes(void **state)
{
    (void)state;
    hpa_t end;

    numa_machine();
    machine.memory_node_count = 0;
    add_node(MIB(400), MIB(100), 7);
    add_node(MIB(100), 0, 8);
    add_node(MIB(300) + 5, MIB(400), 1);
    add_node(0, UINT64_MAX, 0);
    add_node(GIB(1), GIB(1), 9);
    assert_int_equal(plan_node_at(&machine, MIB(450), &end), 7);
    assert_int_equal(end, MIB(500));
    assert_int_equal(plan_node_at(&machine, MIB(350), &end), 1);
    assert_int_equal(end, MIB(400));
    assert_int_equal(plan_node_at(&machine, MIB(500), &end), 1);
    assert_int_equal(end, MIB(700) + 5);
    assert_int_equal(plan_node_at(&machine, GIB(1), &end), 0);
    assert_int_equal(end, UINT64_MAX);
    machine.memory_node_count = 3;
    assert_int_equal(plan_node_at(&machine, MIB(300) + 4, &end), PLAN_NODE_UNKNOWN);
    assert_int_equal(end, MIB(300) + 5);
    assert_int_equal(plan_node_at(&machine, MIB(701), &end), PLAN_NODE_UNKNOWN);
    assert_int_equal(end, UINT64_MAX);
    machine.memory_node_count = 5;
    cpus[0].node = 7;
    add_guest("a", "cpus = [0]\nmemory = \"128M\"\nmemory_base = \"384M\"\nkernel = \"vmlinuz\"\n");
    assert_int_equal(run(), 0);
    expect_remarks("guest \"a\": 28 MiB of its memory are on node 1, its CPUs on node 7\n");
    cpus[0].node = 1; /* in whole pages, and around node 7 */
    config.guests[0].keys[CONFIG_MEMORY_BASE].given = false;
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(500), MIB(128));
    config.guests[0].memory_bytes = MIB(99);
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(500), MIB(99));
    config.guests[0].memory_bytes = MIB(98);
    assert_int_equal(run(), 0);
    expect_piece(0, 0, MIB(302), MIB(98));
}

static void remarks_on_cores(void **state)
{
    (void)state;
    smt_machine();
    machine.cpu_count = 4;
    add_guest("a", "cpus = [1]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\nallow_shared_core = true\n");
    add_guest("b", "cpus = [0]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\nallow_shared_core = true\n");
    assert_int_equal(run(), 0);
    expect_remarks("guests \"b\" and \"a\" share core 0 (CPU 0 and CPU 1), as both allow\n");
    config.guests[0].cpus[0].number = 2;
    assert_int_equal(run(), 0);
    expect_remarks("CPU 1, which watches the guests, shares core 0 with guest \"b\"\n");
}

static void expect_description(const char *text)
{
    output[0] = '\0';
    plan_describe(&plan, &machine, collect, &machine);
    if (strcmp(output, text) != 0)
        fprintf(stderr, "got\n%s", output); /* cmocka's own message is cut */
    assert_string_equal(output, text);
}

static void everything_has_an_owner(void **state)
{
    (void)state;
    numa_machine();
    machine.cpu_count = 4;
    machine.reserved_count = 1;
    boot.module_count = 2;
    machine.ports[machine.port_count++] = (struct plan_ports){0x3f8, 0x3ff, "com1"};
    add_guest("a", "cpus = [3, 2]\nmemory = \"5G\"\nkernel = \"vmlinuz\"\n");
    add_guest("b", "cpus = [1]\nmemory = \"16M\"\nkernel = \"vmlinuz\"\ndevices = [\"uart\", \"pic\"]\n");
    assert_int_equal(run(), 0);
    expect_description("CPU 0, core 0, node 0: the hypervisor, which watches the guests there\n"
                       "CPU 1, core 0, node 0: guest \"b\", its CPU 0\n"
                       "CPU 2, core 1, node 0: guest \"a\", its CPU 1\n"
                       "CPU 3, core 1, node 0: guest \"a\", its CPU 0\n"
                       "memory 0x000000000000-0x0000000fffff, node 0: the hypervisor (the first megabyte)\n"
                       "memory 0x000000100000-0x0000001fffff, node 0: free\n"
                       "memory 0x000000200000-0x0000011fffff, node 0: guest \"b\" (its memory from 0)\n"
                       "memory 0x000001200000-0x0000063fffff, node 0: free\n"
                       "memory 0x000006400000-0x000006bfffff, node 0: the hypervisor (vmlinuz)\n"
                       "memory 0x000006c00000-0x000006dfffff, node 0: free\n"
                       "memory 0x000006e00000-0x000007dffffa, node 0: the hypervisor (initramfs)\n"
                       "memory 0x000007e00000-0x00003fffffff, node 0: free\n"
                       "memory 0x000040000000-0x00007fffffff, node 0: guest \"a\" (its memory from 4 GiB)\n"
                       "memory 0x000080000000-0x0000bfffffff, node 1: guest \"a\" (its memory from 4 GiB)\n"
                       "memory 0x000100000000-0x0001bfffffff, node 0: guest \"a\" (its memory from 0)\n"
                       "memory 0x0001c0000000-0x0001ffffffff, node 0: free\n"
                       "memory 0x000200000000-0x0005ffffffff, node 1: free\n"
                       "ports 0x03f8-0x03ff: the hypervisor (com1)\n"
                       "all other physical ports and devices: the hypervisor; guests see models only\n"
                       "models for guest \"a\": the whole PC\n"
                       "models for guest \"b\": uart, pic\n");
}

static void monitor_between_exits(void **state)
{
    (void)state;
    machine.cpu_count = 1;
    boot.memory_count = boot.module_count = machine.reserved_count = 0;
    boot_memory_add(&boot, MIB(20), MIB(16), BOOT_MEMORY_RAM);
    boot_module_add(&boot, MIB(1), 0, "vmlinuz");
    add_guest_of("a", 0, "16M");
    assert_int_equal(run(), 0);
    expect_description("CPU 0: guest \"a\", its CPU 0; between its exits the hypervisor watches the guests there\n"
                       "memory 0x000001400000-0x0000023fffff: guest \"a\" (its memory from 0)\n"
                       "all other physical ports and devices: the hypervisor; guests see models only\n"
                       "models for guest \"a\": the whole PC\n");
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, small_machine)
    const struct CMUnitTest tests[] = {
        TEST(siblings_in_two_guests),
        TEST(three_guests_on_a_core),
        TEST(monitor_has_a_core_of_its_own),
        TEST(memory_near_the_cpus),
        TEST(nearness_unknown),
        TEST(memory_far_from_the_cpus),
        TEST(far_memory_takes_no_near_room),
        TEST(nearness_gives_way),
        TEST(cpus_on_several_nodes),
        TEST(wild_nodes),
        TEST(remarks_on_cores),
        TEST(everything_has_an_owner),
        TEST(monitor_between_exits),
    };

    return cmocka_run_group_tests_name("plan nodes", tests, NULL, NULL);
}

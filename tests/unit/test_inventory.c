/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a user without a configuration is shown: the starter is cut out of the output, read with the configuration's own
 * parser and planned on the same machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/inventory.h"

static struct boot_info boot;
static struct plan_machine machine;
static struct config config;
static struct plan plan;
static struct diagnostics diagnostics;
static char output[1 << 14];
static char errors[1 << 12];

static void line(void *context, const char *text)
{
    assert_ptr_equal(context, &machine);
    assert_true(strlen(text) < 200);
    for (const char *c = text; *c != '\0'; c++)
        assert_in_range(*c, 0x20, 0x7e);
    strcat(output, text);
    strcat(output, "\n");
}

static void report(struct diagnostics *self, const char *text)
{
    (void)self;
    strcat(errors, text);
    strcat(errors, "\n");
}

static int two_cpus(void **state)
{
    (void)state;
    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    boot_memory_add(&boot, 0, 0x9fc00, BOOT_MEMORY_RAM);
    boot_memory_add(&boot, 0x9fc00, 0x400, BOOT_MEMORY_RESERVED);
    boot_memory_add(&boot, MIB(1), MIB(1023), BOOT_MEMORY_RAM);
    boot_memory_add(&boot, 0xfffc0000, 0x40000, 4711);
    machine.boot = &boot;
    machine.cpu_count = 2;
    machine.reserved[0] = (struct plan_reserved){0, MIB(20), "the hypervisor"};
    machine.reserved_count = 1;
    return 0;
}

static void add_module(const char *string)
{
    boot_module_add(&boot, MIB(32) + MIB(1) * boot.module_count, 1000, string);
}

/* Read and plan what stands behind the first table's header; the messages are in `errors`. */
static void use_starter(void)
{
    static const char *const device_names[] = {NULL};

    output[0] = errors[0] = '\0';
    plan_describe_machine(&machine, line, &machine);
    const char *text = strstr(output, "[hypervisor]\n");
    assert_non_null(text);
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    if (config_parse("starter", text, strlen(text), device_names, &config, &diagnostics) != 0)
        fail_msg("the starter is refused:\n%s\n%s", text, errors);
    (void)plan_make("starter", &config, &machine, &plan, &diagnostics);
}

static void expect_starter(uint32_t kind, const char *kernel, const char *initrd)
{
    use_starter();
    assert_string_equal(errors, "");
    assert_int_equal(config.guests[0].boot, kind);
    assert_string_equal(config.guests[0].kernel, kernel);
    assert_string_equal(config.guests[0].initrd, initrd);
}

static void whole_text(void **state)
{
    (void)state;
    add_module("/boot/vmlinuz-6.1");
    add_module("initramfs");
    expect_starter(CONFIG_BOOT_LINUX, "vmlinuz-6.1", "initramfs");
    assert_string_equal(output,
                        "CPUs: 2 (CPUs 0-1)\n"
                        "memory: 1003 MiB are free for guests, the largest piece has 990 MiB\n"
                        "  0x000000000000-0x00000009fbff RAM\n"
                        "  0x00000009fc00-0x00000009ffff reserved\n"
                        "  0x000000100000-0x00003fffffff RAM\n"
                        "  0x0000fffc0000-0x0000ffffffff reserved\n"
                        "boot modules: 2\n"
                        "  vmlinuz-6.1, 1000 bytes\n"
                        "  initramfs, 1000 bytes\n"
                        "load a file whose name ends in .toml as a boot module; one for this machine could say:\n"
                        "\n"
                        "[hypervisor]\n"
                        "console = \"com1\"\n"
                        "\n"
                        "[guest.one]\n"
                        "cpus    = [1]\n"
                        "memory  = \"512M\"\n"
                        "boot    = \"linux\"\n"
                        "kernel  = \"vmlinuz-6.1\"\n"
                        "initrd  = \"initramfs\"\n"
                        "cmdline = \"console=ttyS0\"\n");
    assert_int_equal(plan.monitor_cpu, 0);
    assert_false(plan.monitor_shares_cpu);
}

/* Cores and nodes are shown where there is something to tell, and the starter leaves CPU 0's core alone. */
static void cores_and_nodes(void **state)
{
    static struct plan_cpu cpus[] = {{0, 0, 0}, {0, 0, 0}, {1, 0, 5}, {1, 0, PLAN_NODE_UNKNOWN}, {2, 1, 1}};
    static const struct plan_memory_node nodes[] = {{0, MIB(512), 0}, {MIB(512), GIB(9), 5}, {GIB(20), GIB(1), 0}};

    (void)state;
    add_module("vmlinuz");
    machine.cpus = cpus;
    machine.cpu_count = 5;
    machine.memory_nodes = nodes;
    machine.memory_node_count = 3;
    expect_starter(CONFIG_BOOT_LINUX, "vmlinuz", "");
    assert_int_equal(config.guests[0].cpus[0].number, 2);
    assert_ptr_equal(strstr(output, "CPUs: 5 (CPUs 0-4)\n"
                                    "  package 0, core 0: CPU 0 and CPU 1, node 0\n"
                                    "  package 0, core 1: CPU 2 and CPU 3, node 5\n"
                                    "  package 1, core 2: CPU 4, node 1\n"
                                    "memory: 1003 MiB are free for guests, the largest piece has 991 MiB\n"
                                    "  node 0: 491 MiB are free, the largest piece has 479 MiB\n"
                                    "  node 5: 512 MiB are free, the largest piece has 512 MiB\n"
                                    "  0x000000000000"),
                     output);
    machine.cpu_count = 2; /* one core: no better choice */
    expect_starter(CONFIG_BOOT_LINUX, "vmlinuz", "");
    assert_int_equal(config.guests[0].cpus[0].number, 1);
    for (uint32_t i = 0; i < 2; i++)
        cpus[i] = (struct plan_cpu){.core = i, .node = PLAN_NODE_UNKNOWN};
    machine.memory_node_count = 0;
    expect_starter(CONFIG_BOOT_LINUX, "vmlinuz", "");
    assert_non_null(strstr(output,
                           "CPUs: 2 (CPUs 0-1)\nmemory: 1003 MiB are free for guests, the largest piece has 991 "
                           "MiB\n  0x000000000000"));
}

static void guesses(void **state)
{
    (void)state;
    machine.cpu_count = 1;
    add_module("hello.bin");
    expect_starter(CONFIG_BOOT_FLAT, "hello.bin", "");
    assert_int_equal(config.guests[0].memory_bytes, MIB(16));
    assert_int_equal(config.guests[0].cpus[0].number, 0);
    boot.module_count = 0;
    add_module("initrd.img");
    expect_starter(CONFIG_BOOT_LINUX, "initrd.img", "");
    add_module("gnumach");
    expect_starter(CONFIG_BOOT_MULTIBOOT, "gnumach", "");
    add_module("a bzImage");
    expect_starter(CONFIG_BOOT_LINUX, "bzImage", "initrd.img");
}

/* Names that a configuration cannot say, or that mean two modules, are passed over. */
static void hostile_names(void **state)
{
    (void)state;
    add_module("linux\x1b[2J\xff");
    add_module("linux-of-a-name-that-is-longer-than-any-module-can-have-so-that-it-is-cut");
    add_module("");
    add_module("vmlinuz");
    add_module("b/vmlinuz");
    add_module("ker\"nel\\.elf");
    expect_starter(CONFIG_BOOT_MULTIBOOT, "ker\"nel\\.elf", "");
    assert_non_null(strstr(output, "linux?[2J?, 1000 bytes"));
    assert_non_null(strstr(output, "... (name too long), 1000 bytes"));
}

static void no_module(void **state)
{
    (void)state;
    boot.modules_cut = true;
    use_starter();
    assert_string_equal(errors, "starter:8:11: guest \"one\": there is no boot module \"vmlinuz\"; the loader brought "
                                "none and more than the 32 that Bulkhead can take\n");
    assert_non_null(strstr(output, "a guest needs a kernel"));
}

static void little_memory(void **state)
{
    (void)state;
    add_module("vmlinuz");
    boot.memory_count = 0;
    boot_memory_add(&boot, MIB(40) + KIB(4), MIB(3), BOOT_MEMORY_RAM);
    expect_starter(CONFIG_BOOT_LINUX, "vmlinuz", "");
    assert_int_equal(config.guests[0].memory_bytes, MIB(2));
    boot.memory[0].size = MIB(1) - 1;
    use_starter();
    assert_non_null(strstr(output, "\nno guest fits"));
    assert_non_null(strstr(errors, "memory 1 MiB is more than there is: 1020 KiB are free"));
}

int main(void)
{
#define TEST(function) cmocka_unit_test_setup(function, two_cpus)
    const struct CMUnitTest tests[] = {
        TEST(whole_text),    TEST(cores_and_nodes), TEST(guesses),
        TEST(hostile_names), TEST(no_module),       TEST(little_memory),
    };

    return cmocka_run_group_tests_name("inventory", tests, NULL, NULL);
}

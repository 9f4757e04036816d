/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The configuration: what a good file becomes, and the exact words that each mistake gets.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hv/config.h"
#include "hv/config_value.h"
#include "hv/error.h"
#include "hv/similar.h"

static struct config config;
static struct diagnostics diagnostics;
static char output[1 << 16];
static char built[1 << 16];
static const char *const few_devices[] = {"uart", "pic", "pit", NULL};
static const char *const *device_names = few_devices;

static void report(struct diagnostics *self, const char *line)
{
    (void)self;
    assert_null(strchr(line, '\n'));
    assert_true(strlen(output) + strlen(line) + 2 < sizeof(output));
    strcat(output, line);
    strcat(output, "\n");
}

static int parse_bytes(const char *text, size_t size)
{
    char *copy = malloc(size ? size : 1);
    int error;

    memcpy(copy, text, size);
    memset(&config, 0xa5, sizeof(config)); /* nothing may be left from an earlier file */
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output[0] = '\0';
    error = config_parse("f.toml", copy, size, device_names, &config, &diagnostics);
    free(copy);
    assert_int_equal(error, diagnostics.errors ? E_INVAL : 0);
    assert_int_equal(output[0] != '\0', diagnostics.errors != 0);
    return error;
}

static int parse(const char *text)
{
    return parse_bytes(text, strlen(text));
}

#define expect_messages(text, messages) expect_messages_at(text, messages, __LINE__)
static void expect_messages_at(const char *text, const char *messages, int line)
{
    parse(text);
    if (strcmp(output, messages) != 0)
        fail_msg("line %d: for\n%s\nexpected\n%s\ngot\n%s", line, text, messages, output);
}

/* One guest of five lines; the next line is number 6. */
#define GUEST     "[guest.a]\ncpus = [0]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n"
#define MULTIBOOT "[guest.a]\ncpus = [0]\nmemory = \"64M\"\nboot = \"multiboot\"\nkernel = \"k\"\n"
#define FLAT      "[guest.a]\ncpus = [0]\nmemory = \"64M\"\nboot = \"flat\"\nkernel = \"k\"\n"

static void test_linux_guest(void **state)
{
    const struct guest_config *guest = &config.guests[0];

    (void)state;
    assert_int_equal(
        parse("[hypervisor]\nconsole = [\"com2\", \"com1\"]\nfocus = \"linux\"\n"
              "[guest.linux]\n  cpus    = [3]\nmemory = \"512M\"\nmemory_base = 0x4000_0000\n"
              "boot = \"linux\"\nkernel = \"vmlinuz\"\ninitrd = \"initramfs\"\n"
              "cmdline = \"console=ttyS0 x=\\\"y z\\\"\"\napic = \"virtual\"\ndevices = [\"uart\", \"pic\"]\n"
              "on_crash = \"restart\"\nwatchdog = \"1500ms\"\nallow_shared_core = true\n"),
        0);
    assert_int_equal(config.console_count, 2);
    assert_int_equal(config.consoles[0], CONFIG_CONSOLE_COM2);
    assert_int_equal(config.consoles[1], CONFIG_CONSOLE_COM1);
    assert_string_equal(config.focus, "linux");
    assert_true(config.keys[CONFIG_FOCUS].given);
    assert_int_equal(config.keys[CONFIG_FOCUS].position.line, 3);
    assert_int_equal(config.guest_count, 1);
    assert_string_equal(guest->name, "linux");
    assert_int_equal(guest->position.line, 4);
    assert_int_equal(guest->position.column, 1);
    assert_int_equal(guest->cpu_count, 1);
    assert_int_equal(guest->cpus[0].number, 3);
    assert_int_equal(guest->cpus[0].position.line, 5);
    assert_int_equal(guest->cpus[0].position.column, 14);
    assert_int_equal(guest->keys[CONFIG_CPUS].position.column, 13);
    assert_true(guest->memory_bytes == MIB(512));
    assert_int_equal(guest->keys[CONFIG_MEMORY].position.column, 10);
    assert_true(guest->memory_base == GIB(1));
    assert_int_equal(guest->boot, CONFIG_BOOT_LINUX);
    assert_string_equal(guest->kernel, "vmlinuz");
    assert_string_equal(guest->initrd, "initramfs");
    assert_string_equal(guest->cmdline, "console=ttyS0 x=\"y z\"");
    assert_int_equal(guest->apic, CONFIG_APIC_VIRTUAL);
    assert_int_equal(guest->device_count, 2);
    assert_string_equal(guest->devices[1].name, "pic");
    assert_int_equal(guest->devices[1].position.column, 20);
    assert_int_equal(guest->on_crash, CONFIG_ON_CRASH_RESTART);
    assert_true(guest->watchdog_ns == 1500000000);
    assert_true(guest->allow_shared_core);
    assert_true(config_guest_has(guest, CONFIG_INITRD));
    assert_true(config_guest_has(guest, CONFIG_WATCHDOG));
    assert_false(config_guest_has(guest, CONFIG_MODULES));
}

static void test_defaults(void **state)
{
    const struct guest_config *guest = &config.guests[0];

    (void)state;
    assert_int_equal(parse(GUEST), 0);
    assert_int_equal(config.console_count, 0);
    assert_string_equal(config.focus, "");
    assert_int_equal(guest->apic, CONFIG_APIC_AUTO);
    assert_int_equal(guest->on_crash, CONFIG_ON_CRASH_HALT);
    assert_true(guest->memory_base == 0);
    assert_string_equal(guest->initrd, "");
    assert_string_equal(guest->cmdline, "");
    assert_int_equal(guest->device_count, 0);
    assert_false(config_guest_has(guest, CONFIG_DEVICES));
    assert_false(guest->allow_shared_core);
    assert_true(guest->watchdog_ns == 0);
    for (unsigned key = CONFIG_INITRD; key < CONFIG_GUEST_KEYS; key++)
        assert_false(guest->keys[key].given);
    assert_int_equal(parse("[hypervisor]\nconsole = \"com4\"\nfocus = \"all\"\n" GUEST), 0);
    assert_int_equal(config.console_count, 1);
    assert_int_equal(config.consoles[0], CONFIG_CONSOLE_COM4);
    assert_int_equal(parse(GUEST "devices = []\n"), 0);
    assert_true(config_guest_has(guest, CONFIG_DEVICES));
}

static void test_other_guests(void **state)
{
    const struct guest_config *guest = &config.guests[0];

    (void)state;
    assert_int_equal(parse(MULTIBOOT "modules = [\n 'ext2fs.static',\n 'exec.static',\n]\ncmdline = 'root=x'"), 0);
    assert_int_equal(guest->boot, CONFIG_BOOT_MULTIBOOT);
    assert_int_equal(guest->module_count, 2);
    assert_string_equal(guest->modules[1].name, "exec.static");
    assert_int_equal(guest->modules[1].position.line, 8);
    assert_int_equal(guest->modules[1].position.column, 2);

    assert_int_equal(parse(FLAT), 0);
    assert_int_equal(guest->load_address, 0x7c00);
    assert_int_equal(guest->entry_segment, 0);
    assert_int_equal(guest->entry_offset, 0x7c00);
    assert_int_equal(parse(FLAT "load_address = 0x1000\n"), 0);
    assert_int_equal(guest->entry_offset, 0x1000);
    assert_int_equal(parse(FLAT "entry = \"f000:fff0\"\nload_address = 0xf0000\n"), 0);
    assert_int_equal(guest->load_address, 0xf0000);
    assert_int_equal(guest->entry_segment, 0xf000);
    assert_int_equal(guest->entry_offset, 0xfff0);
}

static void test_tables_and_keys(void **state)
{
    static const char no_guest[] =
        "f.toml:1:1: there is no guest; write a table [guest.NAME] with the keys cpus, memory, boot and kernel\n";

    (void)state;
    expect_messages("", no_guest);
    expect_messages("[hypervisor]\n", no_guest);
    expect_messages(
        "[guest.linux]\n",
        "f.toml:1:1: guest \"linux\": key \"cpus\" is missing; write for example cpus = [0]\n"
        "f.toml:1:1: guest \"linux\": key \"memory\" is missing; write for example memory = \"512M\"\n"
        "f.toml:1:1: guest \"linux\": key \"boot\" is missing; write for example boot = \"linux\" (or "
        "\"multiboot\", \"flat\")\n"
        "f.toml:1:1: guest \"linux\": key \"kernel\" is missing; write for example kernel = \"vmlinuz\", the "
        "name of a boot module\n");
    expect_messages(
        "x = 1\n" GUEST,
        "f.toml:1:1: key \"x\" stands before the first table; write it below [hypervisor] or [guest.NAME]\n");
    expect_messages("[gest.a]\nx = [[1]",
                    "f.toml:1:1: unknown table [gest.a]; did you mean [guest.a]?\n"
                    "f.toml:2:5: the array that begins here is not closed; end it with ]\n"
                    "f.toml:2:6: arrays within arrays are not supported; write one list of values\n");
    expect_messages("[Hypervisor]\n" GUEST, "f.toml:1:1: unknown table [Hypervisor]; did you mean [hypervisor]?\n");
    expect_messages("[linux]\n" GUEST,
                    "f.toml:1:1: unknown table [linux]; the tables are [hypervisor] and [guest.NAME]\n");
    expect_messages("[guest]\ncpus = [0]\n",
                    "f.toml:1:1: a guest needs a name; write [guest.NAME], such as [guest.linux]\n");
    expect_messages(GUEST "[guest.a.b]\nx=1",
                    "f.toml:6:1: unknown table [guest.a.b]; the tables are [hypervisor] and [guest.NAME]\n");
    expect_messages(
        GUEST "memmory  = \"512M\"\nzzz = 1\nconsole = \"com1\"",
        "f.toml:6:1: unknown key \"memmory\" in [guest.a]; did you mean \"memory\"?\n"
        "f.toml:7:1: unknown key \"zzz\" in [guest.a]; the keys are cpus, memory, memory_base, boot, kernel, "
        "initrd, modules, load_address, entry, cmdline, apic, devices, on_crash, watchdog, "
        "allow_shared_core\n"
        "f.toml:8:1: key \"console\" does not belong in [guest.a]; write it in [hypervisor]\n");
    expect_messages("[hypervisor]\nconsol = 1\nzzz = 1\ncpus = 1\n" GUEST,
                    "f.toml:2:1: unknown key \"consol\" in [hypervisor]; did you mean \"console\"?\n"
                    "f.toml:3:1: unknown key \"zzz\" in [hypervisor]; the keys are console, focus\n"
                    "f.toml:4:1: key \"cpus\" does not belong in [hypervisor]; write it in [guest.NAME]\n");
    expect_messages(GUEST "kernel = \"l\"\n[guest.a]\n",
                    "f.toml:6:1: key \"kernel\" is there already (line 5); remove one of the two\n"
                    "f.toml:7:1: table [guest.a] is there already (line 1); give this one another name\n");
    expect_messages(
        "[guest.all]\ncpus = [0]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n",
        "f.toml:1:8: guest \"all\": \"all\" stands for all guests in focus = \"all\"; choose another name\n");
    expect_messages(
        "[guest.a234567890123456789012345678901x]\ncpus = [0]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = "
        "\"k\"\n",
        "f.toml:1:8: guest \"a234567890123456789012345678901\": a guest's name has at most 31 characters\n");
}

static void test_types(void **state)
{
    (void)state;
    expect_messages("[guest.a]\ncpus = 0\nmemory = true\nboot = 1\nkernel = [\"k\"]\n",
                    "f.toml:2:8: guest \"a\": cpus must be an array of integers such as [1], not an integer\n"
                    "f.toml:3:10: guest \"a\": memory must be a size such as \"512M\", not a boolean\n"
                    "f.toml:4:8: guest \"a\": boot must be \"linux\", \"multiboot\" or \"flat\", not an integer\n"
                    "f.toml:5:10: guest \"a\": kernel must be the name of a boot module such as \"vmlinuz\", not an "
                    "array\n");
    expect_messages(GUEST "initrd = 1\ncmdline = 1\napic = 1\ndevices = \"uart\"\non_crash = true\n"
                          "allow_shared_core = \"true\"\nmemory_base = []\n",
                    "f.toml:6:10: guest \"a\": initrd must be the name of a boot module such as \"initramfs\", not an "
                    "integer\n"
                    "f.toml:7:11: guest \"a\": cmdline must be a string such as \"console=ttyS0\", not an integer\n"
                    "f.toml:8:8: guest \"a\": apic must be \"auto\" or \"virtual\", not an integer\n"
                    "f.toml:9:11: guest \"a\": devices must be an array of names such as [\"uart\"], not a string\n"
                    "f.toml:10:12: guest \"a\": on_crash must be \"halt\" or \"restart\", not a boolean\n"
                    "f.toml:11:21: guest \"a\": allow_shared_core must be true or false, not a string\n"
                    "f.toml:12:15: guest \"a\": memory_base must be an address such as 0x40000000, not an array\n");
    expect_messages(
        "[guest.a]\ncpus = [\"0\", false]\nmemory = \"1M\"\nboot = \"linux\"\nkernel = \"k\"\n"
        "[hypervisor]\nconsole = [1]\nfocus = [\"a\"]\n",
        "f.toml:2:9: guest \"a\": cpus must be an array of integers such as [1], but this element is a "
        "string\n"
        "f.toml:2:14: guest \"a\": cpus must be an array of integers such as [1], but this element is a "
        "boolean\n"
        "f.toml:7:12: console must be \"com1\" or an array such as [\"com1\", \"com2\"], but this element is "
        "an integer\n"
        "f.toml:8:9: focus must be \"all\" or the name of a guest, not an array\n");
    expect_messages(FLAT "load_address = \"0x7c00\"\nentry = 0x7c00\n",
                    "f.toml:6:16: guest \"a\": load_address must be an integer such as 0x7c00, not a string\n"
                    "f.toml:7:9: guest \"a\": entry must be a string CS:IP such as \"0000:7c00\", not an integer\n");
    expect_messages(
        MULTIBOOT "modules = \"m\"\n",
        "f.toml:6:11: guest \"a\": modules must be an array of names of boot modules such as [\"a\", \"b\"], "
        "not a string\n");
}

static void test_values(void **state)
{
    (void)state;
    expect_messages(
        "[guest.a]\ncpus = [-1, 64, 9223372036854775807]\nmemory = 0\nboot = \"linus\"\nkernel = \"\"\n",
        "f.toml:2:9: guest \"a\": there is no CPU -1; CPUs are numbered from 0 to 63\n"
        "f.toml:2:13: guest \"a\": there is no CPU 64; CPUs are numbered from 0 to 63\n"
        "f.toml:2:17: guest \"a\": there is no CPU 9223372036854775807; CPUs are numbered from 0 to 63\n"
        "f.toml:3:10: guest \"a\": memory 0: it must be a size such as \"512M\"\n"
        "f.toml:4:8: guest \"a\": boot \"linus\": it must be \"linux\", \"multiboot\" or \"flat\"; did you "
        "mean \"linux\"?\n"
        "f.toml:5:10: guest \"a\": kernel \"\": the name of a boot module is missing, such as \"vmlinuz\"\n");
    expect_messages(
        "[guest.a]\ncpus = []\nmemory = 1048575\nboot = \"elf\\u0000\"\nkernel = \"/boot/vmlinuz\"\n",
        "f.toml:2:8: guest \"a\": cpus is empty; it must be an array of integers such as [1]\n"
        "f.toml:3:10: guest \"a\": memory is 1048575 bytes; it must be at least \"1M\" (1048576)\n"
        "f.toml:4:8: guest \"a\": boot \"elf\": it must be \"linux\", \"multiboot\" or \"flat\"\n"
        "f.toml:5:10: guest \"a\": kernel \"/boot/vmlinuz\": a boot module is known by its base name; write "
        "what stands behind the last /\n");
    expect_messages(
        "[guest.a]\ncpus = [0]\nmemory = \"1025K\"\nboot = \"linux\"\nkernel = \"a b\"\ninitrd = '\xc3\xa9'\n",
        "f.toml:3:10: guest \"a\": memory is 1049600 bytes; it must be a multiple of 4096, such as 1048576\n"
        "f.toml:5:10: guest \"a\": kernel \"a b\": a boot module's name consists of printable ASCII without "
        "blanks, as in \"vmlinuz\"\n"
        "f.toml:6:10: guest \"a\": initrd \"?\?\": a boot module's name consists of printable ASCII without "
        "blanks, as in \"vmlinuz\"\n");
    expect_messages(GUEST "memory_base = 0x1000\ncmdline = \"a\\nb\"\napic = \"Auto\"\ndevices = [\"uart\", \"x y\", "
                          "\"uart\"]\n",
                    "f.toml:6:15: guest \"a\": memory_base is 4096 bytes; it must be at least \"1M\" (1048576)\n"
                    "f.toml:7:11: guest \"a\": cmdline \"a?b\": a command line is one line without control characters\n"
                    "f.toml:8:8: guest \"a\": apic \"Auto\": it must be \"auto\" or \"virtual\"; did you mean "
                    "\"auto\"?\n"
                    "f.toml:9:20: guest \"a\": there is no device \"x y\"; the devices are \"uart\", \"pic\", \"pit\"\n"
                    "f.toml:9:27: guest \"a\": devices \"uart\": it is there twice; name each device once\n");
    expect_messages(GUEST "memory_base = 0xfffffffff0000\n",
                    "f.toml:6:15: guest \"a\": memory_base + memory is above 2^52, the most that a processor can "
                    "address\n");
    expect_messages(GUEST "memory_base = 0x10000000000000\n",
                    "f.toml:6:15: guest \"a\": memory_base 4503599627370496: it must be below 2^52, the most that a "
                    "processor can address\n");
    expect_messages(
        "[hypervisor]\nconsole = [\"com1\", \"com5\", \"com1\"]\nfocus = \"b\"\n" GUEST,
        "f.toml:2:20: console \"com5\": it must be \"com1\", \"com2\", \"com3\" or \"com4\""
        "; did you mean \"com1\"?\n"
        "f.toml:2:28: console \"com1\": it is there twice; name each console once\n"
        "f.toml:3:9: focus \"b\": there is no such guest; write \"all\", or the name of a guest, which is \"a\"\n");
    expect_messages("[hypervisor]\nconsole = []\nfocus = \"lunix\"\n[guest.linux]\ncpus=[0]\nmemory='1M'\nboot='flat'\n"
                    "kernel='k'",
                    "f.toml:2:11: console is empty; it must be \"com1\" or an array such as [\"com1\", \"com2\"]\n"
                    "f.toml:3:9: focus \"lunix\": there is no such guest; did you mean \"linux\"?\n");
    expect_messages(
        FLAT "load_address = 0x100000\nentry = \"7c00\"\n",
        "f.toml:6:16: guest \"a\": load_address 1048576: it must be from 0 to 0xfffff, such as 0x7c00\n"
        "f.toml:7:9: guest \"a\": entry \"7c00\": it must be CS:IP, each of one to four hexadecimal digits, as "
        "in \"0000:7c00\"\n");
}

/* A wrong value is told whatever else is wrong: in its array, in its table, in the file. */
static void test_values_beside_other_mistakes(void **state)
{
    (void)state;
    expect_messages(
        "x\n"
        "[guest.a]\n"
        "cpus = [0\n"
        "memory = \"32m\"\n"
        "boot = \"linux\"\n"
        "kernal = \"k\"\n"
        "devices = [\"pic\", \"serial\", 1, \"uat\"]\n"
        "on_crash = restart\n"
        "watchdog = \"1h\"\n",
        "f.toml:1:1: key \"x\" stands before the first table; write it below [hypervisor] or [guest.NAME]\n"
        "f.toml:1:2: expected \"=\" behind the key \"x\", found the end of the line\n"
        "f.toml:3:8: the array that begins here is not closed; end it with ]\n"
        "f.toml:4:10: guest \"a\": memory \"32m\": the unit must be K, M or G (1024, 1024^2 or 1024^3 bytes), as in "
        "\"512M\"\n"
        "f.toml:6:1: unknown key \"kernal\" in [guest.a]; did you mean \"kernel\"?\n"
        "f.toml:7:19: guest \"a\": there is no device \"serial\"; the devices are \"uart\", \"pic\", \"pit\"\n"
        "f.toml:7:29: guest \"a\": devices must be an array of names such as [\"uart\"], but this element is an "
        "integer\n"
        "f.toml:7:32: guest \"a\": there is no device \"uat\"; did you mean \"uart\"? the devices are \"uart\", "
        "\"pic\", \"pit\"\n"
        "f.toml:8:12: a string needs quotes: write \"restart\"\n"
        "f.toml:9:12: guest \"a\": watchdog \"1h\": the unit must be s or ms, as in \"5s\" or \"500ms\"\n");
}

static void test_keys_together(void **state)
{
    (void)state;
    expect_messages(
        MULTIBOOT "initrd = \"i\"\nload_address = 0\nentry = \"0:0\"\n",
        "f.toml:6:10: guest \"a\": initrd does not go with boot = \"multiboot\"; write modules = [\"NAME\"]\n"
        "f.toml:7:16: guest \"a\": load_address does not go with boot = \"multiboot\"; the kernel's image "
        "says where it goes; remove the key\n"
        "f.toml:8:9: guest \"a\": entry does not go with boot = \"multiboot\"; the kernel's image says where "
        "it begins; remove the key\n");
    expect_messages(GUEST "modules = []\n",
                    "f.toml:6:11: guest \"a\": modules does not go with boot = \"linux\"; write initrd = \"NAME\"\n");
    expect_messages(FLAT "initrd = \"i\"\nmodules = [\"m\"]\ncmdline = \"\"\nload_address = 0x12345\n",
                    "f.toml:6:10: guest \"a\": initrd does not go with boot = \"flat\"; such a guest loads its kernel "
                    "only; remove the key\n"
                    "f.toml:7:11: guest \"a\": modules does not go with boot = \"flat\"; such a guest loads its kernel "
                    "only; remove the key\n"
                    "f.toml:8:11: guest \"a\": cmdline does not go with boot = \"flat\"; such a guest gets no command "
                    "line; remove the key\n"
                    "f.toml:9:16: guest \"a\": above 0xffff load_address needs an entry beside it; write entry = "
                    "\"1000:2345\"\n");
    /* boot comes last, and is wrong: what goes with it is not known */
    expect_messages(
        "[guest.a]\nmodules = ['m']\ninitrd = 'i'\ncpus = [0]\nmemory = \"64M\"\nkernel = \"k\"\nboot = 'x'",
        "f.toml:7:8: guest \"a\": boot \"x\": it must be \"linux\", \"multiboot\" or \"flat\"\n");
}

static void test_cpus_belong_to_one_guest(void **state)
{
    (void)state;
    expect_messages("[guest.linux]\ncpus = [\n1,\n2]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n"
                    "[guest.rt]\ncpus = [3, 2]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n"
                    "[guest.b]\ncpus = [5, 5, 3]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n",
                    "f.toml:9:12: guest \"rt\": CPU 2 already belongs to guest \"linux\" (line 4)\n"
                    "f.toml:14:12: guest \"b\": CPU 5 is there twice; name each CPU once\n"
                    "f.toml:14:15: guest \"b\": CPU 3 already belongs to guest \"rt\" (line 9)\n");
}

static void test_not_yet(void **state)
{
    (void)state;
    expect_messages(GUEST "apic = \"direct\"\npci = [\"00:1f.2\"]\n",
                    "f.toml:6:8: not yet supported: apic = \"direct\" (guest \"a\"; write \"auto\" or \"virtual\")\n"
                    "f.toml:7:7: not yet supported: pci (guest \"a\"; remove the key)\n");
    expect_messages(GUEST "[shmem.a]\nsize = \"1M\"\n[net.b]\n[disk.c]\nx = 1\n[hypervisor]\nconsole = 'framebuffer'\n",
                    "f.toml:6:1: not yet supported: memory that guests share (remove the table [shmem])\n"
                    "f.toml:8:1: not yet supported: networks between guests (remove the table [net])\n"
                    "f.toml:9:1: not yet supported: disks for guests (remove the table [disk])\n"
                    "f.toml:12:11: not yet supported: console = \"framebuffer\" (write \"com1\")\n");
    expect_messages(GUEST "watchdog = \"5m\"\n",
                    "f.toml:6:12: guest \"a\": watchdog \"5m\": the unit must be s or ms, as in \"5s\" or \"500ms\"\n");
}

/* What the next run would refuse as not yet supported is no advice, however near it is. */
static void test_not_yet_is_no_advice(void **state)
{
    (void)state;
    expect_messages("[hypervisor]\npci = []\n" GUEST,
                    "f.toml:2:1: unknown key \"pci\" in [hypervisor]; the keys are console, focus\n");
    expect_messages("[hypervisor]\nconsole = \"framebufer\"\n" GUEST "apic = \"dirct\"\npc = 1\n",
                    "f.toml:2:11: console \"framebufer\": it must be \"com1\", \"com2\", \"com3\" or \"com4\"\n"
                    "f.toml:8:8: guest \"a\": apic \"dirct\": it must be \"auto\" or \"virtual\"\n"
                    "f.toml:9:1: unknown key \"pc\" in [guest.a]; the keys are cpus, memory, memory_base, boot, "
                    "kernel, initrd, modules, load_address, entry, cmdline, apic, devices, on_crash, watchdog, "
                    "allow_shared_core\n");
}

/* With no name near, all of them; and no word of it where there is none at all, or perhaps a misspelt one. */
static void test_focus_names_the_guests(void **state)
{
    static const char other[] = "cpus = [1]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n";
    char text[1000];

    (void)state;
    snprintf(text, sizeof(text), "[hypervisor]\nfocus = \"attaker\"\n" GUEST "[guest.linux]\n%s", other);
    expect_messages(text, "f.toml:2:9: focus \"attaker\": there is no such guest; write \"all\", or the name of a "
                          "guest, which is \"a\" or \"linux\"\n");
    expect_messages("[hypervisor]\nfocus = \"attaker\"\n",
                    "f.toml:1:1: there is no guest; write a table [guest.NAME] with the keys cpus, memory, boot and "
                    "kernel\n");
    expect_messages("[hypervisor]\nfocus = \"attaker\"\n[gest.attaker]\n" GUEST,
                    "f.toml:3:1: unknown table [gest.attaker]; did you mean [guest.attaker]?\n");
}

/* What cannot be read is reported once: it does not count as missing or unknown too. */
static void test_syntax_errors_have_no_echo(void **state)
{
    (void)state;
    expect_messages("[guest.a]\ncpus = [0\nmemory = 64M\nboot = linux\nkernel \"k\"\n",
                    "f.toml:2:8: the array that begins here is not closed; end it with ]\n"
                    "f.toml:3:10: 64M is no integer; if it is meant as a string, write \"64M\"\n"
                    "f.toml:4:8: a string needs quotes: write \"linux\"\n"
                    "f.toml:5:8: expected \"=\" behind the key \"kernel\", found \"\"\"\n");
    expect_messages("[guest.a]\n\"cpus\" = [0]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"k\"\n",
                    "f.toml:2:1: names in quotes are not supported; use letters, digits, - and _ without quotes\n");
    expect_messages("[[guest]]\nname = \"a\"\n",
                    "f.toml:1:1: arrays of tables are not supported; write [table.NAME], one for each\n");
    expect_messages("[guest.b\ncpus = [0]\nmemory = \"64M\"\nboot = \"linux\"\nkernal = \"k\"\n",
                    "f.toml:1:9: expected \"]\" behind the name of the table, found the end of the line\n"
                    "f.toml:5:1: unknown key \"kernal\" in [guest.b]; did you mean \"kernel\"?\n");
}

/* More names than a guest may list. */
static const char *const *many_devices(void)
{
    static char texts[CONFIG_DEVICES_MAX + 3][4];
    static const char *names[CONFIG_DEVICES_MAX + 4];

    for (unsigned i = 0; i < CONFIG_DEVICES_MAX + 3; i++) {
        sprintf(texts[i], "d%u", i);
        names[i] = texts[i];
    }
    return names;
}

static void test_limits(void **state)
{
    char *at = built;

    (void)state;
    for (unsigned i = 0; i <= GUESTS_MAX; i++)
        at += sprintf(at, "[guest.g%u]\ncpus = [%u]\nmemory = \"1M\"\nboot = \"flat\"\nkernel = \"k\"\n", i, i);
    parse(built);
    assert_int_equal(config.guest_count, GUESTS_MAX);
    assert_non_null(strstr(output, "f.toml:41:1: there are more than 8 guests, which are the most\n"));

    at = built + sprintf(built, "[guest.a]\nmemory = \"1M\"\nboot = \"multiboot\"\nkernel = \"k\"\ncpus = [0");
    for (unsigned i = 1; i <= GUEST_CPUS_MAX + 2; i++)
        at += sprintf(at, ", %u", i);
    at += sprintf(at, "]\nmodules = [");
    for (unsigned i = 0; i < CONFIG_MODULES_MAX + 3; i++)
        at += sprintf(at, "'m%u', ", i);
    at += sprintf(at, "]\ndevices = [");
    for (unsigned i = 0; i < CONFIG_DEVICES_MAX + 3; i++)
        at += sprintf(at, "'d%u', ", i);
    sprintf(at, "]\n");
    device_names = many_devices();
    parse(built);
    device_names = few_devices;
    assert_int_equal(diagnostics.errors, 3); /* one each */
    assert_non_null(strstr(output, "guest \"a\": cpus has more than 16 elements, which are the most\n"));
    assert_non_null(strstr(output, "guest \"a\": modules has more than 16 elements, which are the most\n"));
    assert_non_null(strstr(output, "guest \"a\": devices has more than 32 elements, which are the most\n"));
    assert_int_equal(config.guests[0].cpu_count, GUEST_CPUS_MAX);
    assert_int_equal(config.guests[0].module_count, CONFIG_MODULES_MAX);

    at = built + sprintf(built, GUEST "cmdline = '");
    memset(at, 'c', CONFIG_CMDLINE_MAX);
    at += CONFIG_CMDLINE_MAX;
    at += sprintf(at, "'\ninitrd = '");
    memset(at, 'i', CONFIG_MODULE_NAME_MAX + 1);
    strcpy(at + CONFIG_MODULE_NAME_MAX, "'\n");
    assert_int_equal(parse(built), 0);
    assert_int_equal(strlen(config.guests[0].cmdline), CONFIG_CMDLINE_MAX);
    assert_int_equal(strlen(config.guests[0].initrd), CONFIG_MODULE_NAME_MAX);
    strcpy(at + CONFIG_MODULE_NAME_MAX, "i'\n");
    assert_int_equal(parse(built), E_INVAL);
    assert_non_null(strstr(output,
                           "initrd \"iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii...\": a boot module's name has at "
                           "most 63 characters\n"));

    memset(built, ' ', sizeof(built));
    char *large = calloc(1, TOML_SIZE_MAX + 1);
    parse_bytes(large, TOML_SIZE_MAX + 1);
    free(large);
    assert_string_equal(output, "f.toml:1:1: the file has 1048577 bytes; 1048576 are the most\n");
}

/* More mistakes than there is room for: the first ones are shown, in order, and the rest counted. */
static void test_many_errors(void **state)
{
    char *at = built + sprintf(built, GUEST);
    char *line = output;

    (void)state;
    for (unsigned i = 0; i < 300; i++)
        at += sprintf(at, "x%u = 1\n", i);
    parse(built);
    assert_int_equal(diagnostics.errors, 300);
    for (unsigned i = 0; i < DIAGNOSTICS_HELD_MAX; i++) {
        char expected[32];
        sprintf(expected, "f.toml:%u:1: unknown key", i + 6);
        assert_memory_equal(line, expected, strlen(expected));
        line = strchr(line, '\n') + 1;
    }
    assert_string_equal(line, "f.toml:26:1: ... 280 more mistakes are left out\n");
}

/* With no room left, a message about an earlier line takes the place of the last one. */
static void test_held_messages(void **state)
{
    (void)state;
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output[0] = '\0';
    diagnostics_hold(&diagnostics);
    for (unsigned i = DIAGNOSTICS_HELD_MAX; i > 0; i--)
        diagnostic_at(&diagnostics, "f", (struct config_position){i + 10, 1}, "x");
    diagnostic_at(&diagnostics, "f", (struct config_position){500, 1}, "last");
    diagnostic_at(&diagnostics, "f", (struct config_position){3, 4}, "first");
    diagnostic_at(&diagnostics, "f", (struct config_position){3, 4}, "second");
    assert_string_equal(output, "");
    diagnostics_release(&diagnostics, "f");
    assert_memory_equal(output, "f:3:4: first\nf:3:4: second\nf:11:1: x\n", 35);
    assert_non_null(strstr(output, "f:28:1: x\nf:29:1: ... 3 more mistakes are left out\n"));
    assert_null(strstr(output, "last"));
    assert_int_equal(diagnostics.errors, DIAGNOSTICS_HELD_MAX + 3);
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t bytes; /* 0: refused, because of: */
        const char *fault;
    } cases[] = {
        {"512M", MIB(512), NULL},
        {"1G", GIB(1), NULL},
        {"64K", KIB(64), NULL},
        {"4096", 4096, NULL},
        {"1", 1, NULL},
        {"4194303G", GIB(4194303), NULL},
        {"4503599627370495", BIT(52) - 1, NULL},
        {"4194304G", 0, "more than a processor can address"},
        {"4503599627370496", 0, "more than a processor can address"},
        {"18446744073709551617", 0, "more than a processor can address"},
        {"18014398509481985K", 0, "more than a processor can address"},
        {"99999999999999999999999999999G", 0, "more than a processor can address"},
        {"", 0, "the size is missing"},
        {"M", 0, "begins with a digit"},
        {" 1M", 0, "begins with a digit"},
        {"+1M", 0, "begins with a digit"},
        {"-1M", 0, "negative"},
        {"0", 0, "zero"},
        {"0M", 0, "zero"},
        {"01M", 0, "does not begin with 0"},
        {"0x1000", 0, "without quotes"},
        {"0x", 0, "without quotes"},
        {"0X1000", 0, "without quotes"},
        {"512m", 0, "unit must be K, M or G"},
        {"512MB", 0, "unit must be K, M or G"},
        {"512MiB", 0, "unit must be K, M or G"},
        {"5.M", 0, "unit must be K, M or G"},
        {"512 M", 0, "has no blanks"},
        {"512 MB", 0, "has no blanks"},
        {"512M ", 0, "has no blanks"},
        {"1T", 0, "1T is \"1024G\""},
        {"16.5M", 0, "whole number"},
        {"1.5G", 0, "whole number"},
        {"0.5G", 0, "whole number"},
        {"1,5G", 0, "whole number"},
        {"1.5", 0, "whole number"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t bytes = 0;
        const char *fault = config_size_parse(cases[i].text, strlen(cases[i].text), &bytes);
        if (!fault != !cases[i].fault || (fault && !strstr(fault, cases[i].fault)) || bytes != cases[i].bytes)
            fail_msg("\"%s\": %llu, %s", cases[i].text, (unsigned long long)bytes, fault ? fault : "accepted");
    }
    uint64_t bytes;
    assert_non_null(config_size_parse("1M\0", 3, &bytes));
    assert_string_equal(config_size_text(MIB(512)).text, "\"512M\"");
    assert_string_equal(config_size_text(GIB(4194303)).text, "\"4194303G\"");
    assert_string_equal(config_size_text(MIB(1536)).text, "\"1536M\"");
    assert_string_equal(config_size_text(KIB(1028)).text, "\"1028K\"");
    assert_string_equal(config_size_text(BIT(52) - 1).text, "\"4503599627370495\"");
    assert_string_equal(config_size_text(0).text, "\"0\"");
}

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        uint64_t nanoseconds; /* 0: refused, because of: */
        const char *fault;
    } cases[] = {
        {"5s", 5000000000, NULL},
        {"500ms", 500000000, NULL},
        {"1ms", 1000000, NULL},
        {"3600s", CONFIG_WATCHDOG_MAX_NS, NULL},
        {"3600000ms", CONFIG_WATCHDOG_MAX_NS, NULL},
        {"3601s", 0, "longest"},
        {"99999999999999999999s", 0, "longest"},
        {"0s", 0, "zero"},
        {"05s", 0, "does not begin with 0"},
        {"5", 0, "unit is missing"},
        {"s", 0, "begins with a digit"},
        {"", 0, "duration is missing"},
        {"-5s", 0, "negative"},
        {"5m", 0, "unit must be s or ms"},
        {"5 s", 0, "no blanks"},
        {"1.5s", 0, "whole number"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t nanoseconds = 0;
        const char *fault = config_duration_parse(cases[i].text, strlen(cases[i].text), &nanoseconds);
        if (!fault != !cases[i].fault || (fault && !strstr(fault, cases[i].fault)) ||
            nanoseconds != cases[i].nanoseconds)
            fail_msg("\"%s\": %llu, %s", cases[i].text, (unsigned long long)nanoseconds, fault ? fault : "accepted");
    }
}

static void test_duration_texts(void **state)
{
    (void)state;
    assert_string_equal(config_duration_text(5000000000).text, "\"5s\"");
    assert_string_equal(config_duration_text(CONFIG_WATCHDOG_MAX_NS).text, "\"3600s\"");
    assert_string_equal(config_duration_text(1500000000).text, "\"1500ms\"");
    assert_string_equal(config_duration_text(1000000).text, "\"1ms\"");
}

static void test_entries(void **state)
{
    static const struct {
        const char *text;
        int segment; /* -1: refused */
        int offset;
    } cases[] = {
        {"0000:7c00", 0, 0x7c00},
        {"7C0:0", 0x7c0, 0},
        {"f000:FFF0", 0xf000, 0xfff0},
        {"ffff:000f", 0xffff, 0xf},
        {"ffff:0010", -1, 0},
        {"00000:7c00", -1, 0},
        {"0:07c00", -1, 0},
        {":7c00", -1, 0},
        {"0:", -1, 0},
        {"0", -1, 0},
        {"", -1, 0},
        {"0:7c00 ", -1, 0},
        {"0:7g00", -1, 0},
        {"0x0:0x7c00", -1, 0},
        {"0::7c00", -1, 0},
        {"-1:0", -1, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint16_t segment = 0, offset = 0;
        const char *fault = config_entry_parse(cases[i].text, strlen(cases[i].text), &segment, &offset);
        if (!fault != (cases[i].segment >= 0) || (!fault && (segment != cases[i].segment || offset != cases[i].offset)))
            fail_msg("\"%s\": %x:%x, %s", cases[i].text, segment, offset, fault ? fault : "accepted");
    }
}

static const char *similar_to(const char *word)
{
    static const char *const names[] = {"cpus", "memory", "memory_base", "kernel", "on_crash", "pci"};
    struct similar similar;

    similar_begin(&similar, word, strlen(word));
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        similar_offer(&similar, names[i]);
    return similar.best ? similar.best : "";
}

static void test_similar(void **state)
{
    (void)state;
    assert_string_equal(similar_to("memmory"), "memory");
    assert_string_equal(similar_to("mem"), "memory");
    assert_string_equal(similar_to("MEMORY"), "memory");
    assert_string_equal(similar_to("memroy"), "memory");
    assert_string_equal(similar_to("memorybase"), "memory_base");
    assert_string_equal(similar_to("cpu"), "cpus");
    assert_string_equal(similar_to("pic"), "pci");
    assert_string_equal(similar_to("kernal"), "kernel");
    assert_string_equal(similar_to("oncrash"), "on_crash");
    assert_string_equal(similar_to("xyz"), "");
    assert_string_equal(similar_to(""), "");
    assert_string_equal(similar_to("c"), "");
    assert_string_equal(similar_to("memorymemorymemorymemorymemorymemorymemorymemory"), "");
}

/* Whatever is in a message, it is one line of printable ASCII. */
static void test_messages_are_harmless(void **state)
{
    static const char hostile[] = "x\033[2J\n\r\t\x7f\xc2\x9b%s%n";

    (void)state;
    memset(&diagnostics, 0, sizeof(diagnostics));
    diagnostics.report = report;
    output[0] = '\0';
    diagnostic_at(&diagnostics, hostile, (struct config_position){1, 2}, "%s", hostile);
    assert_string_equal(output, "x?[2J??????%s%n:1:2: x?[2J??????%s%n\n");
    memset(built, 'n', 2000);
    built[2000] = '\0';
    output[0] = '\0';
    diagnostic_at(&diagnostics, built, (struct config_position){1, 2}, "hidden");
    assert_int_equal(strlen(output), DIAGNOSTIC_LINE_SIZE); /* a line end more, a zero less */
    assert_string_equal(output + DIAGNOSTIC_LINE_SIZE - 5, "n...\n");
    assert_int_equal(diagnostics.errors, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linux_guest),
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_other_guests),
        cmocka_unit_test(test_tables_and_keys),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_values_beside_other_mistakes),
        cmocka_unit_test(test_keys_together),
        cmocka_unit_test(test_cpus_belong_to_one_guest),
        cmocka_unit_test(test_not_yet),
        cmocka_unit_test(test_not_yet_is_no_advice),
        cmocka_unit_test(test_focus_names_the_guests),
        cmocka_unit_test(test_syntax_errors_have_no_echo),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_held_messages),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_duration_texts),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_similar),
        cmocka_unit_test(test_messages_are_harmless),
    };

    return cmocka_run_group_tests_name("config", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Start-up, in order: read this page first. Two halves: on the loader's ground (start-up stack and page tables) until
 * the boot CPU has an address space of its own, then everything else.
 */
#include "arch/cpu.h"
#include "arch/hostmap.h"
#include "arch/lapic.h"
#include "arch/machine.h"
#include "arch/panic.h"
#include "arch/smp.h"
#include "arch/tsc.h"
#include "arch/virt.h"
#include "arch/x86.h"
#include "boot/consoles.h"
#include "boot/multiboot.h"
#include "boot/place.h"
#include "boot/start.h"
#include "drivers/host/acpi.h"
#include "drivers/host/acpi_power.h"
#include "drivers/host/quiet.h"
#include "drivers/virtual/vlapic.h"
#include "hv/console.h"
#include "hv/cpuid.h"
#include "hv/guest.h"
#include "hv/log.h"
#include "hv/machine.h"
#include "hv/options.h"
#include "hv/pages.h"

extern const uint8_t image_load_start[], image_load_end[];

void boot_main(uint32_t magic, uint32_t information);

static struct boot_info boot_info;
static struct options options;
static struct acpi_machine acpi;
static struct boot_places places;

/* The last words are out; nothing runs any more. */
_Noreturn static void end(void)
{
    console_flush();
    acpi_power_off();
    log_error("the machine cannot be switched off by software; it is safe to switch it off now");
    console_flush();
    for (;;) {
        interrupts_off();
        cpu_halt();
    }
}

/* Nothing can be started: the reason has been said. */
_Noreturn static void give_up(void)
{
    if (options.power_off_on_error) {
        log_info("nothing was started; powering off");
        end();
    }
    log_info("nothing was started; the machine halts");
    console_flush();
    for (;;) {
        interrupts_off();
        cpu_halt();
    }
}

/* A panic is our own bug: with on_error=poweroff, a test sees it as the end of the machine. */
static void end_after_panic(void)
{
    if (options.power_off_on_error)
        acpi_power_off();
}

static void open_consoles(void)
{
    for (uint32_t i = 0; i < options.console_count; i++)
        console_open(options.consoles[i]);
}

static void print_banner(void)
{
    log_info("Bulkhead, a type-1 hypervisor; started by %s (%s)",
             boot_info.loader[0] != '\0' ? boot_info.loader : "a loader", boot_info.protocol);
    if (options.unknown[0] != '\0')
        log_error("option \"%s\" is not known; there are console=, log= and on_error=", options.unknown);
    if (boot_info.modules_cut)
        log_error("the loader brought more than %u modules; the others are left out", MODULES_MAX);
}

static void init_clock(void)
{
    uint64_t hz = tsc_measure_hz(acpi.pm_timer);

    if (hz == 0) {
        log_error(
            "no clock answers: neither ACPI PM timer nor 8254 nor CPUID tells the time stamp counter's frequency");
        give_up();
    }
    machine_init_clock(hz, cmos_clock_read_s());
    lapic_timer_calibrate(hz);
    log_info("time stamp counter: %lu.%03lu MHz; local APIC: %s", hz / 1000000, hz / 1000 % 1000, lapic_mode_name());
}

static void start_cpus(void)
{
    uint32_t count = smp_start(acpi.cpus, acpi.cpu_count, places.low_page);

    if (acpi.cpus_beyond_limit != 0)
        log_error("%u CPUs more than the %u that Bulkhead uses stay off", acpi.cpus_beyond_limit, CPUS_MAX);
    log_info("%u CPU%s", count, count == 1 ? "" : "s");
}

/* With a stack, address space and descriptors of its own. */
static void main_on_own_ground(void)
{
    cpu_init(0);
    print_banner();
    const struct acpi_reader reader = {hostmap_map_firmware};
    if (acpi_parse(&reader, boot_info.rsdp, boot_info.rsdp_size, &acpi) != 0)
        log_error("no ACPI tables: one CPU, and no power-off by software");
    (void)acpi_power_init(&acpi);
    quiet_host(&acpi);
    if (lapic_init() != 0) {
        log_error("this processor has no local APIC, which Bulkhead needs");
        give_up();
    }
    init_clock();
    (void)hostmap_map_ram(HOSTMAP_SETUP, places.low_page, PAGE_SIZE, true);
    start_cpus();
    if (virt_choose() != 0)
        give_up();
    cpuid_policy_init(VLAPIC_TIMER_HZ);
    if (start_guests(&boot_info, &acpi, &places) != 0)
        give_up();
    if (!run_guests())
        give_up();
    console_last_words();
    log_info("all guests have stopped; powering off");
    end();
}

/* The loader's EAX and EBX. On the start-up stack and tables, which reach the first 4 GiB. */
void boot_main(uint32_t magic, uint32_t information)
{
    panic_set_end(end_after_panic);
    bool loaded_by_multiboot = multiboot_parse(magic, information, &boot_info) == 0;
    options_parse(boot_info.command_line, &options);
    log_set_level(options.log_level);
    open_consoles();
    if (!loaded_by_multiboot) {
        log_error("not started by a multiboot loader (EAX is 0x%x); use GRUB's multiboot2 command, or QEMU's -kernel",
                  magic);
        give_up();
    }
    places.image_base = (uint64_t)(uintptr_t)image_load_start;
    places.image_size = (uint64_t)(uintptr_t)image_load_end - places.image_base;
    if (place_choose(&boot_info, virt_stage2_largest(), &places) != 0) {
        log_error("the memory map has no room for Bulkhead's %lu KiB below 4 GiB", PLACE_POOL_MIN / KIB(1));
        give_up();
    }
    pages_init(places.pool_base, places.pool_size);
    hpa_t root = hostmap_create(0) != 0 ? hostmap_create_setup(places.pool_base, places.pool_size) : 0;
    if (root == 0)
        machine_panic("the page pool cannot hold the first page tables");
    hostmap_enter(root, main_on_own_ground);
}

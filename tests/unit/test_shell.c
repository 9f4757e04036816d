/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The shell's commands, typed: what they print, and what they ask of guests. The guests are only described here.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "hv/config.h"
#include "hv/console.h"
#include "hv/control.h"
#include "hv/exit_text.h"
#include "hv/log.h"
#include "hv/log_history.h"
#include "hv/shell.h"
#include "hv/shell_internal.h"
#include "tests/unit/fake.h"

#define MS     UINT64_C(1000000)
#define SECOND (1000 * MS)

static const char file[] =
    "[guest.linux]\n"
    "cpus = [1, 2]\nmemory = \"64M\"\nboot = \"linux\"\nkernel = \"vmlinuz\"\n"
    "cmdline = \"console=ttyS0\"\nwatchdog = \"5s\"\n"
    "[guest.rt]\n"
    "cpus = [3]\nmemory = \"2M\"\nboot = \"flat\"\nkernel = \"rt.bin\"\ndevices = [\"uart\", \"pit\"]\n";

static struct config config;
static struct plan plan;
static struct boot_info boot;
static struct plan_machine machine;
static struct guest guests[2];
static struct vcpu vcpus[3];
static unsigned guests_there;

/* ---- The console, and what is asked of guests ---- */

static const struct console_shell *shell;
static char screen[1 << 16];
static bool console_open, console_full;
static char asked[1024]; /* of guests, in order */
static bool cpus_answer;

void console_set_shell(const struct console_shell *new_shell)
{
    shell = new_shell;
}

size_t console_shell_write(const char *text, size_t size)
{
    if (console_full)
        return 0;
    size = min_u64(size, 300); /* as much as a ring takes */
    strncat(screen, text, size);
    assert_true(strlen(screen) < sizeof(screen) - 4096);
    return size;
}

void console_shell_close(void)
{
    console_open = false;
}

bool console_shell_is_open(void)
{
    return console_open;
}

bool console_poll(void)
{
    return false;
}

void log_line(enum log_level level, const char *format, ...)
{
    va_list arguments;
    char line[256];

    (void)level;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    strcat(strcat(asked, line), "\n");
}

uint32_t guest_count(void)
{
    return guests_there;
}

struct guest *guest_get(uint32_t number)
{
    return number < guests_there ? &guests[number] : NULL;
}

static void ask(const char *what, const struct guest *guest)
{
    sprintf(asked + strlen(asked), "%s %s\n", what, guest->name);
}

void guest_pause(struct guest *guest)
{
    guest->paused = 1;
    ask("pause", guest);
}

void guest_resume(struct guest *guest)
{
    guest->paused = 0;
    ask("resume", guest);
}

bool guest_start(struct guest *guest)
{
    ask("start", guest);
    return guest->state == GUEST_STOPPED;
}

void guest_wish(struct guest *guest, enum guest_action wish)
{
    guest->wish = wish;
    ask(wish == GUEST_RESET ? "wish reset" : "wish off", guest);
}

void guest_request_reset(struct guest *guest, const char *why)
{
    (void)why;
    ask("reset", guest);
}

void guest_request_power_off(struct guest *guest, const char *why)
{
    guest->state = GUEST_STOPPING;
    guest->action = GUEST_POWER_OFF;
    guest->action_reason = why;
    sprintf(asked + strlen(asked), "off %s (%s)\n", guest->name, why);
}

void vcpu_request(struct vcpu *vcpu, uint32_t requests)
{
    if (requests == REQUEST_POWER_BUTTON)
        ask("press", vcpu->guest);
    if (requests == REQUEST_SNAPSHOT && cpus_answer) {
        vcpu->snapshot.rip = 0x1000 + vcpu->cpu;
        vcpu->snapshot.gdtr = (struct table_register){0xffff800000001000, 0x7f};
        vcpu->snapshot.idtr = (struct table_register){0x2000, 0xfff};
        vcpu->snapshots += 2;
    }
}

/* ---- Typing ---- */

static void serve(unsigned times)
{
    while (times-- > 0) {
        (void)shell_serve();
        control_serve();
        fake_machine.ticks += MS;
    }
}

static void type(const char *text)
{
    while (*text != '\0')
        shell->byte((uint8_t)*text++);
    serve(200);
}

static void open_shell(void)
{
    console_open = true;
    shell->draw();
    serve(10);
}

/* What a line makes the shell print, without the echo. */
static const char *answer_to(const char *line)
{
    screen[0] = asked[0] = '\0';
    type(line);
    type("\r");
    const char *text = strstr(screen, "\r\n");
    assert_non_null(text);
    return text + 2;
}

/* The rows of a text are narrow enough for the terminal. */
static void assert_narrow(const char *text)
{
    for (const char *end; (end = strstr(text, "\r\n")) != NULL; text = end + 2)
        assert_in_range(end - text, 0, 79);
}

#define assert_answers(line, part)   assert_non_null(strstr(answer_to(line), part))
#define assert_silent(line)          assert_string_equal(answer_to(line), "\r\033[Kbulkhead> ")
#define assert_asked(line, expected) (void)answer_to(line), assert_string_equal(asked, expected)

static void ignore(struct diagnostics *diagnostics, const char *line)
{
    (void)diagnostics;
    fail_msg("%s", line);
}

static void make_guest(unsigned number, unsigned cpus, unsigned first)
{
    struct guest *guest = &guests[number];

    guest->number = number;
    guest->config = &config.guests[number];
    guest->name = config.guests[number].name;
    guest->state = GUEST_RUNNING;
    guest->memory_bytes = config.guests[number].memory_bytes;
    guest->vcpu_count = cpus;
    guest->starts = 1;
    for (unsigned i = 0; i < cpus; i++) {
        struct vcpu *vcpu = guest->vcpus[i] = &vcpus[first + i];
        vcpu->number = (uint8_t)i;
        vcpu->cpu = first + i + 1;
        vcpu->guest = guest;
        stats_reset(&vcpu->stats, fake_machine.ticks);
    }
}

static int setup(void **state)
{
    static const char *const device_names[] = {"uart", "pit", NULL};
    struct diagnostics diagnostics = {.report = ignore};

    (void)state;
    memset(guests, 0, sizeof(guests));
    memset(vcpus, 0, sizeof(vcpus));
    memset(&boot, 0, sizeof(boot));
    memset(&machine, 0, sizeof(machine));
    boot_memory_add(&boot, 0, MIB(512), BOOT_MEMORY_RAM);
    boot_module_add(&boot, MIB(100), MIB(8), "vmlinuz");
    boot_module_add(&boot, MIB(110), MIB(1), "rt.bin");
    machine.boot = &boot;
    machine.cpu_count = 4;
    assert_int_equal(config_parse("test.toml", file, sizeof(file) - 1, device_names, &config, &diagnostics), 0);
    assert_int_equal(plan_make("test.toml", &config, &machine, &plan, &diagnostics), 0);
    guests_there = 2;
    fake_machine.ticks += 1000 * SECOND;
    guests[0].state = guests[1].state = GUEST_STOPPED;
    guests[1].number = 1;
    control_serve(); /* no stop of an earlier test goes on */
    make_guest(0, 2, 0);
    make_guest(1, 1, 2);
    guests[0].started_ticks = guests[1].started_ticks = fake_machine.ticks;
    console_open = console_full = false;
    cpus_answer = true;
    shell_init(&config, &plan, &machine);
    serve(1);
    screen[0] = asked[0] = '\0';
    open_shell();
    return 0;
}

/* ---- Tests ---- */

static void opens_and_leaves(void **state)
{
    (void)state;
    assert_true(shell_is_open());
    assert_non_null(strstr(screen, "help"));
    assert_non_null(strstr(screen, "bulkhead> "));
    type("quit\r");
    assert_false(console_open);
    assert_false(shell_is_open());
    open_shell();
    type("\004");
    assert_false(shell_is_open());
    /* The console's own keys can take it away; what was typed is forgotten. */
    open_shell();
    type("pau");
    console_open = false;
    serve(1);
    assert_false(shell_is_open());
    screen[0] = '\0';
    open_shell();
    assert_null(strstr(screen, "pau"));
}

static void lines_of_others_in_between(void **state)
{
    (void)state;
    type("gue");
    screen[0] = '\0';
    shell->draw();
    serve(1);
    assert_string_equal(screen, "\r\033[Kbulkhead> gue");
}

static void wrong_words_are_answered(void **state)
{
    (void)state;
    assert_answers("guest", "there is no command \"guest\"; did you mean \"guests\"?");
    assert_answers("xyzzy", "there is no command \"xyzzy\"; \"help\" lists all");
    assert_answers("pause linus", "there is no guest \"linus\"; did you mean \"linux\"?");
    assert_answers("pause qqq", "there is no guest \"qqq\"\r\nThe guests are: linux, rt\r\n");
    assert_answers("pause", "pause: of which guest?\r\nRight would be: pause GUEST\r\nThe guests are: linux, rt\r\n");
    assert_answers("guests now", "guests: \"now\" is too much\r\nRight would be: guests\r\n");
    assert_answers("stats -w -w", "stats: \"-w\" is there twice\r\nRight would be: stats [GUEST] [-w]\r\n");
    assert_answers("stats -w rt -w", "stats: \"-w\" is there twice\r\n");
    assert_answers("stats -x", "stats: there is no option \"-x\"\r\nRight would be: stats [GUEST] [-w]\r\n");
    assert_answers("guests -a", "guests: there is no option \"-a\"\r\nRight would be: guests\r\n");
    assert_answers("stop rt now now", "stop: \"now\" is there twice\r\n");
    assert_answers("stop rt soon", "stop: \"soon\" is too much\r\nRight would be: stop GUEST [now]\r\n");
    assert_answers("regs linux x", "\"x\" is not a CPU of the guest");
    assert_answers("regs linux 99999999999999", "\"99999999999999\" is not a CPU of the guest");
    assert_answers("regs linux 2", "guest \"linux\" has no CPU 2: its CPUs are 0 to 1");
    assert_answers("help hlp", "there is no command \"hlp\"; did you mean \"help\"?");
    assert_string_equal(asked, "");
    assert_silent("");
    assert_silent("   ");
}

static void the_only_guest_need_not_be_named(void **state)
{
    (void)state;
    guests_there = 1;
    assert_asked("  reset  ", "reset linux\n");
    assert_answers("reset rt", "The only guest is: linux");
    assert_answers("regs 1", "its CPU 1, which");
    assert_null(strstr(screen, "its CPU 0, which"));
    assert_answers("regs 2", "has no CPU 2");
    assert_answers("regs 0 1", "regs: \"1\" is too much");
    assert_answers("regs linux 0", "its CPU 0, which");
    assert_answers("regs x", "there is no guest \"x\"");
    guests_there = 2;
    assert_answers("regs 0", "there is no guest \"0\"");
}

static void help_knows_every_command(void **state)
{
    const char *text;

    (void)state;
    text = answer_to("help");
    assert_narrow(text);
    for (const struct shell_command *command = shell_commands; command->name != NULL; command++) {
        char line[32];
        sprintf(line, "\r\n%s ", command->name);
        assert_true(strstr(text, line) != NULL || strncmp(text, line + 2, strlen(line) - 2) == 0);
    }
    for (const struct shell_command *command = shell_commands; command->name != NULL; command++) {
        char line[32];
        sprintf(line, "help %s", command->name);
        text = answer_to(line);
        assert_int_equal(strncmp(text, command->name, strlen(command->name)), 0);
        assert_non_null(strstr(text, command->summary));
        assert_narrow(text);
    }
}

static void other_shells_names(void **state)
{
    (void)state;
    assert_answers("?", "\r\nquit ");
    assert_answers("? stop", "stop GUEST [now]");
    assert_answers("help exit", "leaves the shell; so do exit, logout and Ctrl-D");
    assert_answers("logo\t", "there is no command \"logo\"");
    type("logout\r");
    assert_false(shell_is_open());
    open_shell();
    type("exit\r");
    assert_false(shell_is_open());
}

static void completion_knows_commands_guests_and_options(void **state)
{
    (void)state;
    assert_answers("pau\tli\t", "");
    assert_string_equal(asked, "pause linux\nguest \"linux\": paused (by the shell)\n");
    (void)answer_to("stop r\tn\t");
    assert_non_null(strstr(asked, "off rt (hard"));
    assert_answers("help sh\t", "shutdown [now]");
}

static void assert_row(const char *text, const char *format, ...)
{
    char row[128];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(row, sizeof(row), format, arguments);
    va_end(arguments);
    if (strstr(text, row) == NULL)
        fail_msg("no row \"%s\" in:\n%s", row, text);
}

static void lists_guests(void **state)
{
    const char *text;

    (void)state;
    fake_machine.ticks += 3700 * SECOND;
    text = answer_to("guests");
    assert_narrow(text);
    assert_row(text, "1  %-12s %-20s %-7s   64 MiB      1  1 h 1 min ago\r\n", "linux", "running", "1-2");
    assert_row(text, "2  %-12s %-20s %-7s    2 MiB      1  1 h 1 min ago\r\n", "rt", "running", "3");
    guests[0].paused = 1;
    guests[0].paused_ticks = fake_machine.ticks - 61 * SECOND;
    guests[1].state = GUEST_CREATED;
    text = answer_to("guests");
    assert_row(text, "1  %-12s %-20s %-7s   64 MiB      1  1 min 1 s ago\r\n", "linux", "paused", "1-2");
    assert_row(text, "2  %-12s %-20s %-7s    2 MiB      1  -\r\n", "rt", "loading", "3");
}

/* Not only that a guest has stopped: why, and since when. */
static void lists_stopped_guests(void **state)
{
    static const struct {
        enum guest_state state;
        enum guest_action action;
        const char *why, *text;
    } ends[] = {
        {GUEST_STOPPED, GUEST_POWER_OFF, "ACPI S5", "powered off"},
        {GUEST_STOPPED, GUEST_CRASH, "crash", "crashed"},
        {GUEST_STOPPED, GUEST_GO_ON, NULL, "not loaded"},
        {GUEST_STOPPED, GUEST_START, NULL, "not loaded"},
        {GUEST_STOPPED, GUEST_RESET, "keyboard controller", "not loaded"},
        {GUEST_PARKED, GUEST_CRASH, "crash", "crashed, waiting"},
        {GUEST_PARKED, GUEST_RESET, "keyboard controller", "loading"},
    };

    (void)state;
    fake_machine.ticks += 100 * SECOND;
    strcpy(guests[1].crash_reason, "it runs code at physical address 0xa0000");
    for (unsigned i = 0; i < ARRAY_SIZE(ends); i++) {
        bool crashed = ends[i].action == GUEST_CRASH;
        guests[1].state = ends[i].state;
        guests[1].action = ends[i].action;
        guests[1].action_reason = ends[i].why;
        guests[1].rested_ticks = fake_machine.ticks - 4 * SECOND;
        guests[1].crashed = crashed || ends[i].action == GUEST_START ? &vcpus[2] : NULL;
        const char *text = answer_to("guests");
        assert_narrow(text);
        assert_row(text, "2  %-12s %-20s %-7s    2 MiB      1  4 s ago\r\n%s", "rt", ends[i].text, "3",
                   crashed ? "   it runs code at physical address 0xa0000\r\n" : "\r\033[K");
    }
    /* It runs again: no word of the last crash. */
    guests[1].action = GUEST_GO_ON;
    guests[1].state = GUEST_RUNNING;
    assert_null(strstr(answer_to("guests"), "0xa0000"));
    /* Stopped from here. */
    (void)answer_to("stop rt now");
    guests[1].state = GUEST_STOPPED;
    assert_row(answer_to("guests"), "2  %-12s stopped by the shell", "rt");
}

static void pause_and_resume(void **state)
{
    (void)state;
    assert_asked("pause rt", "pause rt\nguest \"rt\": paused (by the shell)\n");
    assert_answers("pause rt", "guest \"rt\" is paused already");
    assert_asked("resume rt", "resume rt\nguest \"rt\": resumed (by the shell)\n");
    assert_answers("resume rt", "guest \"rt\" is not paused");
    guests[1].state = GUEST_STOPPED;
    assert_answers("pause rt", "guest \"rt\" has stopped; \"start\" starts it again");
    guests[1].state = GUEST_PARKED;
    assert_answers("resume rt", "guest \"rt\" is being loaded");
    assert_string_equal(asked, "");
}

static void reset_and_start(void **state)
{
    (void)state;
    assert_asked("reset linux", "reset linux\n");
    assert_answers("start linux", "guest \"linux\" has not stopped");
    guests[0].state = GUEST_STOPPED;
    assert_answers("reset linux", "guest \"linux\" has stopped");
    assert_string_equal(asked, "");
    assert_asked("start linux", "start linux\n");
    /* A guest that waits after a crash need not wait. */
    guests[0].state = GUEST_PARKED;
    guests[0].crashed = &vcpus[0];
    assert_asked("reset linux", "wish reset linux\n");
}

static void stop_presses_the_power_button_first(void **state)
{
    (void)state;
    assert_asked("stop linux", "press linux\n"); /* whose CPU says so, if it listens */
    assert_int_equal(guests[0].button, GUEST_BUTTON_PRESSED);
    guests[0].button = GUEST_BUTTON_HEARD;
    asked[0] = '\0';
    serve(9000);
    assert_string_equal(asked, "");
    assert_answers("guests", "linux        asked to stop");
    serve(1000);
    assert_non_null(strstr(asked, "off linux (hard, by the shell: it did not react to its power button)\n"));
    guests[0].state = GUEST_STOPPED;
    serve(1);
    asked[0] = '\0';
    serve(20000);
    assert_string_equal(asked, "");
    assert_answers("stop linux", "guest \"linux\" has stopped already");
}

static void stop_does_not_wait_for_the_deaf(void **state)
{
    (void)state;
    guests[1].button = GUEST_BUTTON_UNHEARD; /* the answer of vcpu_request comes at once here */
    assert_asked("stop rt now", "off rt (hard, by the shell)\n");
    guests[1].state = GUEST_STOPPED;
    serve(1);
    (void)answer_to("stop linux");
    guests[0].button = GUEST_BUTTON_UNHEARD;
    asked[0] = '\0';
    serve(1);
    assert_string_equal(asked, "off linux (hard, by the shell: it does not listen to a power button)\n");
    guests[0].state = GUEST_STOPPED;
    serve(1);
}

/* It follows a guest through what happens meanwhile. */
static void stop_is_not_forgotten(void **state)
{
    (void)state;
    guests[1].paused = 1;
    assert_asked("stop rt", "press rt\nresume rt\n"); /* paused, it could not react */
    guests[1].state = GUEST_PARKED;
    asked[0] = '\0';
    serve(100);
    assert_string_equal(asked, "wish off rt\n");
    guests[1].state = GUEST_RUNNING;
    serve(11000);
    assert_non_null(strstr(asked, "off rt (hard"));
    /* A reset asked for afterwards takes it back. */
    guests[1].state = GUEST_RUNNING;
    (void)answer_to("reset rt");
    asked[0] = '\0';
    serve(20000);
    assert_string_equal(asked, "");
}

static void shows_the_trace_in_words(void **state)
{
    struct vcpu *vcpu = &vcpus[2];
    const char *text;

    (void)state;
    assert_answers("exits rt", "guest \"rt\", its CPU 0: 0 exits, oldest first\r\n\r\033[K");
    for (unsigned i = 0; i < 100; i++)
        vcpu->trace[i % EXIT_TRACE_SIZE] = (struct vmexit){.kind = EXIT_HLT, .rip = 0x5000 + i, .reason = 0x78};
    vcpu->trace_next = 100;
    vcpu->trace[98 % EXIT_TRACE_SIZE] =
        (struct vmexit){.kind = EXIT_PIO, .rip = 0x7c00, .reason = 0x7b, .io = {.port = 0x3f8, .size = 1}};
    text = answer_to("exits rt");
    assert_narrow(text);
    /* The one that is being written is left out. */
    assert_non_null(strstr(text, "its CPU 0: 31 exits, oldest first\r\n  0x5044  HLT (reason 0x78)\r\n"));
    assert_non_null(strstr(text, "  0x7c00  port 0x3f8: writes 1 byte (reason 0x7b)\r\n\r\033[K"));
    assert_null(strstr(text, "0x5043 "));
    assert_null(strstr(text, "0x5063 "));
    guests[1].state = GUEST_STOPPED;
    assert_answers("exits rt", "32 exits, oldest first\r\n  0x5044 ");
    assert_answers("exits linux", "its CPU 1: 0 exits");
    /* Only the last. */
    text = answer_to("exits rt 2");
    assert_non_null(strstr(text, "its CPU 0: 2 exits, oldest first\r\n  0x7c00  port"));
    assert_answers("exits rt 32", "its CPU 0: 32 exits, oldest first\r\n  0x5044 ");
    assert_answers("exits rt 0", "exits: 0 is not between 1 and 32, as many as are kept\r\n\r\033[K");
    assert_answers("exits rt 33", "exits: 33 is not between 1 and 32");
    assert_answers("exits rt few", "\"few\" is not a number of exits");
    vcpus[1].trace_next = 3;
    assert_answers("exits linux 7", "its CPU 1: 2 exits, oldest first"); /* there are no more */
}

/* Of what there are many of one kind, which one it was, and who answers. */
static void the_trace_tells_which(void **state)
{
    static const struct device_ops lapic = {.name = "lapic"}, uart = {.name = "uart"};
    static const struct bus_ops no_access;
    static struct device devices[] = {{.ops = &lapic}, {.ops = &uart}};
    static const struct {
        struct vmexit exit;
        const char *text;
    } cases[] = {
        {{.kind = EXIT_MEMORY, .memory = {.address = 0xfee000b0, .write = true}},
         "device memory: writes 0xfee000b0 (lapic)"},
        {{.kind = EXIT_MEMORY, .memory = {.address = 0xfee01000}}, "device memory: reads 0xfee01000"},
        {{.kind = EXIT_MEMORY, .memory = {.address = 0xfee00fff, .page_walk = true, .delivering = true}},
         "device memory: reads 0xfee00fff (lapic), walking page tables, delivering an event"},
        {{.kind = EXIT_PIO, .io = {.port = 0x3ff, .size = 2, .in = true, .repeat = true}},
         "port 0x3ff (uart): repeatedly reads 2 bytes"},
        {{.kind = EXIT_PIO, .io = {.port = 0x80, .size = 1}}, "port 0x80: writes 1 byte"},
        {{.kind = EXIT_MSR_READ, .msr = {.index = 0x1b, .value = 0xfee00900}}, "RDMSR 0x1b: gets 0xfee00900"},
        {{.kind = EXIT_MSR_READ, .msr = {.index = 0xc0010117, .refused = true}}, "RDMSR 0xc0010117: #GP"},
        {{.kind = EXIT_MSR_WRITE, .msr = {.index = 0x6e0, .value = UINT64_MAX}}, "WRMSR 0x6e0: 0xffffffffffffffff"},
        {{.kind = EXIT_MSR_WRITE, .msr = {.index = 0xc0000080, .value = 2, .refused = true}},
         "WRMSR 0xc0000080: 0x2, #GP"},
        {{.kind = EXIT_CPUID, .cpuid = {0xd, 1}}, "CPUID leaf 0xd, subleaf 0x1"},
        {{.kind = EXIT_HYPERCALL, .hypercall = {0x424b0004}}, "hypercall 0x424b0004"},
        {{.kind = EXIT_CR_WRITE, .reg = {.number = 4}}, "MOV to CR4"},
    };
    struct vcpu *vcpu = &vcpus[2];
    const char *text;

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(devices); i++)
        devices[i].guest = &guests[1];
    assert_int_equal(device_claim_memory(&devices[0], 0xfee00000, PAGE_SIZE, 4, &no_access), 0);
    assert_int_equal(device_claim_ports(&devices[1], 0x3f8, 8, 1, &no_access), 0);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        vcpu->trace[i] = cases[i].exit;
        vcpu->trace[i].rip = UINT64_MAX;
        vcpu->trace[i].reason = 0x77;
    }
    vcpu->trace_next = ARRAY_SIZE(cases) + 1;
    text = answer_to("exits rt");
    assert_narrow(text);
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        char line[EXIT_TEXT_SIZE];
        exit_text(&guests[1], &cases[i].exit, line);
        assert_int_equal(strncmp(line, "0x0  ", 5), 0);
        assert_int_equal(strncmp(line + 5, cases[i].text, strlen(cases[i].text)), 0);
        assert_string_equal(line + 5 + strlen(cases[i].text), " (reason 0x0)");
        if (strlen(cases[i].text) < 40)
            assert_non_null(strstr(text, cases[i].text));
    }
}

static void registers_are_asked_for(void **state)
{
    const char *text;

    (void)state;
    vcpus[1].run_state = VCPU_WAIT_FOR_STARTUP;
    text = answer_to("regs linux");
    assert_narrow(text);
    assert_non_null(strstr(text, "its CPU 0, which runs:\r\n  rip    0000000000001001"));
    assert_non_null(strstr(text, "its CPU 1, which was not started by the guest:\r\n  rip    0000000000001002"));
    assert_non_null(strstr(text, "\r\n  gdtr       base ffff800000001000  limit 0000007f\r\n"
                                 "  idtr       base 0000000000002000  limit 00000fff\r\n"));
    text = answer_to("regs linux 1");
    assert_null(strstr(text, "its CPU 0"));
    assert_non_null(strstr(text, "its CPU 1"));
    /* One that does not answer: the shell goes on, and meanwhile Ctrl-C works. */
    cpus_answer = false;
    screen[0] = '\0';
    type("regs rt\r");
    assert_null(strstr(screen, "no answer"));
    serve(1000);
    assert_non_null(strstr(screen, "guest \"rt\", its CPU 0: no answer within 1 s\r\n\r\033[Kbulkhead> "));
    screen[0] = '\0';
    type("regs rt\rguests\r");
    shell->byte(3);
    serve(2);
    assert_non_null(strstr(screen, "^C\r\n\r\033[Kbulkhead> "));
    serve(2000);
    assert_null(strstr(screen, "no answer"));
    assert_null(strstr(screen, "state"));
    guests[1].state = GUEST_STOPPED;
    guests[1].action = GUEST_POWER_OFF;
    assert_answers("regs rt", "guest \"rt\" is powered off: its CPUs have no registers to show");
}

static void map_cpus_and_config(void **state)
{
    const char *text;

    (void)state;
    text = answer_to("map");
    assert_narrow(text);
    assert_non_null(strstr(text, "CPU 3: guest \"rt\", its CPU 0\r\n"));
    assert_non_null(strstr(text, "guest \"linux\" (its memory from 0)"));
    vcpus[1].run_state = VCPU_HALTED;
    guests[1].paused = 1;
    text = answer_to("cpus");
    assert_narrow(text);
    assert_non_null(strstr(text, "  0  the hypervisor                   the shell and the console\r\n"));
    assert_non_null(strstr(text, "  1  guest \"linux\", its CPU 0         runs\r\n"));
    assert_non_null(strstr(text, "  2  guest \"linux\", its CPU 1         halted\r\n"));
    assert_non_null(strstr(text, "  3  guest \"rt\", its CPU 0            paused\r\n"));
    text = answer_to("config");
    assert_narrow(text);
    assert_non_null(strstr(text, "[hypervisor]"));
    assert_non_null(strstr(text, "[guest.linux]\r\ncpus = [1, 2]\r\nmemory = \"64M\"\r\nboot = \"linux\""));
    assert_non_null(strstr(text, "watchdog = \"5s\"\r\n"));
    assert_non_null(strstr(text, "cmdline = \"console=ttyS0\"\r\n"));
    assert_non_null(strstr(text, "devices = [\"uart\", \"pit\"]\r\n"));
    assert_non_null(strstr(text, "load_address = 0x7c00  # default\r\n"));
    text = answer_to("config rt");
    assert_null(strstr(text, "linux"));
}

static void log_shows_the_last_lines(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 30; i++) {
        char line[32];
        sprintf(line, "message %u", i);
        log_history_add(i * (SECOND + MS) + MS / 2, line);
    }
    assert_answers("log", "[   10.010] message 10\r\n[   11.011] message 11\r\n");
    assert_null(strstr(screen, "message 9\r\n"));
    assert_string_equal(answer_to("log 2"), "[   28.028] message 28\r\n[   29.029] message 29\r\n\r\033[Kbulkhead> ");
}

static void statistics(void **state)
{
    struct vcpu_stats *stats = &vcpus[2].stats;
    const char *text;

    (void)state;
    fake_machine.ticks += 10 * SECOND;
    uint64_t lived = fake_machine.ticks - stats->started_ticks;
    stats->hypervisor_ticks = lived / 10;
    stats->halted_ticks = (int64_t)lived / 2;
    stats->interrupts = 77;
    stats->kinds[EXIT_PIO].buckets[10] = 300;
    stats->kinds[EXIT_PIO].longest = 2000;
    stats->kinds[EXIT_CPUID].buckets[8] = 100;
    stats->kinds[EXIT_CPUID].longest = 400;
    text = answer_to("stats rt");
    assert_narrow(text);
    assert_non_null(strstr(text, "rt           0   4"));
    assert_non_null(strstr(text, "        400 "));
    assert_non_null(strstr(text, " 77  port\r\n"));
    assert_null(strstr(text, "linux"));
    const char *port = strstr(text, "\r\nport  "), *cpuid = strstr(text, "\r\nCPUID ");
    assert_non_null(port);
    assert_true(cpuid > port);
    assert_non_null(strstr(port, "300   75.0      1536 "));
    assert_non_null(strstr(cpuid, "100   25.0       384 "));
    guests[0].state = GUEST_STOPPED;
    guests[0].action = GUEST_POWER_OFF;
    text = answer_to("stats");
    assert_narrow(text);
    assert_non_null(strstr(text, "linux        1  powered off\r\n"));
    assert_null(strstr(text, "p50"));
    /* An exit that nobody chose may be the most frequent one as well. */
    stats->kinds[EXIT_NONE].buckets[9] = 301;
    assert_non_null(strstr(answer_to("stats rt"), " 77  host interrupt\r\n"));
}

/* Per mille, of a row of a vCPU. */
struct shares {
    unsigned guest, hypervisor, halted;
};

static struct shares shares_in(const char *text, const char *vcpu)
{
    unsigned whole[3], tenths[3];
    const char *row = strstr(text, vcpu);

    assert_non_null(row);
    assert_int_equal(sscanf(row + strlen(vcpu), " %u.%u %u.%u %u.%u", &whole[0], &tenths[0], &whole[1], &tenths[1],
                            &whole[2], &tenths[2]),
                     6);
    return (struct shares){whole[0] * 10 + tenths[0], whole[1] * 10 + tenths[1], whole[2] * 10 + tenths[2]};
}

/* A pause counts as sleep; the exit before it, long as it was, counts when the pause ends, and not twice. */
static void shares_never_exceed_all(void **state)
{
    struct vcpu_stats *stats = &vcpus[2].stats;
    struct shares shares;

    (void)state;
    stats_sleep(stats, fake_machine.ticks);
    type("stats rt -w\r");
    screen[0] = '\0';
    serve(1000);
    shares = shares_in(screen, "\r\nrt           0 ");
    assert_int_equal(shares.guest, 0);
    assert_in_range(shares.halted, 990, 1000);
    screen[0] = '\0';
    stats->hypervisor_ticks += 700 * MS;
    serve(300); /* half of that second: typing took 200 ms */
    stats_wake(stats, fake_machine.ticks);
    serve(600);
    shares = shares_in(screen, "\r\nrt           0 ");
    assert_int_equal(shares.guest, 0);
    assert_in_range(shares.halted, 480, 520);
    assert_in_range(shares.hypervisor, 480, 520);
    assert_in_range(shares.hypervisor + shares.halted, 990, 1000);
    type("q");
}

/* Anew each second, of that second, until a key. */
static void statistics_are_watched(void **state)
{
    struct vcpu_stats *stats = &vcpus[2].stats;
    unsigned rate;

    (void)state;
    stats->kinds[EXIT_PIO].buckets[10] = 1000000;
    stats->kinds[EXIT_PIO].longest = 2000;
    stats->interrupts = 50;
    screen[0] = '\0';
    type("stats rt -w\r");
    assert_non_null(strstr(screen, "\033[H\033[2Jsince each guest's start; next: of each second; any key ends it\r\n"));
    assert_non_null(strstr(screen, "\r\nport                             1000000  100.0      1536 "));
    screen[0] = '\0';
    serve(500);
    assert_string_equal(screen, "");
    stats->kinds[EXIT_PIO].buckets[8] += 100;
    stats->kinds[EXIT_CPUID].buckets[7] += 400;
    stats->kinds[EXIT_CPUID].longest = 222;
    stats->interrupts += 3;
    serve(500);
    assert_narrow(screen);
    assert_non_null(strstr(screen, "\033[H\033[2Jof the last second; any key ends it\r\n"));
    const char *row = strstr(screen, "\r\nrt  ");
    assert_non_null(row);
    assert_int_equal(sscanf(row, " rt 0 %*s %*s %*s 500 %u", &rate), 1);
    assert_in_range(rate, 400, 510);
    assert_non_null(strstr(row, "        3  CPUID\r\n"));
    assert_non_null(
        strstr(row, "\r\nCPUID                                400   80.0       192       222        222\r\n"));
    assert_non_null(
        strstr(row, "\r\nport                                 100   20.0       384       509        511\r\n"));
    assert_null(strstr(screen, "bulkhead> "));
    /* Nothing came. */
    screen[0] = '\0';
    serve(1000);
    assert_non_null(strstr(screen, "        0  -\r\n"));
    assert_null(strstr(screen, "port"));
    screen[0] = '\0';
    type("q");
    assert_string_equal(screen, "\r\033[Kbulkhead> ");
    /* The next one begins anew. */
    screen[0] = '\0';
    type("stats rt -w\r");
    assert_non_null(strstr(screen, "\r\nport                             1000100 "));
    type("q");
    /* An arrow is one key, however slowly it comes. */
    type("stats -w\r");
    screen[0] = '\0';
    type("\033");
    serve(100);
    type("[");
    type("A");
    assert_string_equal(screen, "\r\033[Kbulkhead> ");
    assert_answers("guests", "running");
}

/* A reset while one watches: the new life is told from its beginning. */
static void watched_through_a_reset(void **state)
{
    struct vcpu_stats *stats = &vcpus[2].stats;

    (void)state;
    stats->kinds[EXIT_PIO].buckets[10] = 1000;
    stats->kinds[EXIT_CPUID].buckets[10] = 2;
    stats->hypervisor_ticks = 900 * MS;
    screen[0] = '\0';
    type("stats rt -w\r");
    screen[0] = '\0';
    stats_reset(stats, fake_machine.ticks);
    stats->kinds[EXIT_PIO].buckets[10] = 1001;
    stats->kinds[EXIT_PIO].longest = 1500;
    stats->kinds[EXIT_CPUID].buckets[10] = 1;
    serve(1000);
    assert_non_null(strstr(screen, "\r\nport                                1001   99.9 "));
    assert_non_null(strstr(screen, "\r\nCPUID                                  1    0.0 "));
    struct shares shares = shares_in(screen, "\r\nrt           0 ");
    assert_int_equal(shares.guest, 1000);
    assert_int_equal(shares.hypervisor, 0);
    assert_non_null(strstr(screen, "      1002 "));
    type("q");
}

/* Nothing is lost or mixed when the terminal is slow. */
static void slow_terminal(void **state)
{
    static char whole[sizeof(screen)];

    (void)state;
    strcpy(whole, answer_to("config"));
    screen[0] = '\0';
    console_full = true;
    type("config\r");
    serve(5000);
    assert_string_equal(screen, "");
    console_full = false;
    serve(500);
    assert_string_equal(strstr(screen, "\r\n") + 2, whole);
}

/* The last test: it cannot be taken back. */
static void shutdown_stops_all(void **state)
{
    (void)state;
    guests[1].state = GUEST_STOPPED;
    (void)answer_to("shutdown");
    assert_string_equal(asked, "shutting down (by the shell)\npress linux\n");
    assert_true(control_shutting_down());
    assert_false(console_open);
    open_shell();
    assert_string_equal(control_start(&guests[1]), "is not started: the machine is shutting down");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(opens_and_leaves, setup),
        cmocka_unit_test_setup(lines_of_others_in_between, setup),
        cmocka_unit_test_setup(wrong_words_are_answered, setup),
        cmocka_unit_test_setup(the_only_guest_need_not_be_named, setup),
        cmocka_unit_test_setup(help_knows_every_command, setup),
        cmocka_unit_test_setup(other_shells_names, setup),
        cmocka_unit_test_setup(completion_knows_commands_guests_and_options, setup),
        cmocka_unit_test_setup(lists_guests, setup),
        cmocka_unit_test_setup(lists_stopped_guests, setup),
        cmocka_unit_test_setup(pause_and_resume, setup),
        cmocka_unit_test_setup(reset_and_start, setup),
        cmocka_unit_test_setup(stop_presses_the_power_button_first, setup),
        cmocka_unit_test_setup(stop_does_not_wait_for_the_deaf, setup),
        cmocka_unit_test_setup(stop_is_not_forgotten, setup),
        cmocka_unit_test_setup(shows_the_trace_in_words, setup),
        cmocka_unit_test_setup(the_trace_tells_which, setup),
        cmocka_unit_test_setup(registers_are_asked_for, setup),
        cmocka_unit_test_setup(map_cpus_and_config, setup),
        cmocka_unit_test_setup(log_shows_the_last_lines, setup),
        cmocka_unit_test_setup(statistics, setup),
        cmocka_unit_test_setup(shares_never_exceed_all, setup),
        cmocka_unit_test_setup(statistics_are_watched, setup),
        cmocka_unit_test_setup(watched_through_a_reset, setup),
        cmocka_unit_test_setup(slow_terminal, setup),
        cmocka_unit_test_setup(shutdown_stops_all, setup),
    };

    return cmocka_run_group_tests_name("shell", tests, NULL, NULL);
}

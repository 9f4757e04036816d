/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The run loop with a scripted backend, the step behind an instruction, registers and their parts, INIT and start-up,
 * reset.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "hv/creg.h"
#include "hv/error.h"
#include "hv/exit.h"
#include "hv/msr.h"
#include "tests/unit/fake_paging.h"
#include "tests/unit/recorded_log.h"

#define TABLES MIB(2)
#define CODE   UINT64_C(0x400000)

static struct guest *guest;
static struct vcpu *vcpu;
static struct fake_backend *backend;

/* ---- What the loop calls, recorded ---- */

static struct {
    int pending;
    unsigned init_resets, msr_resets, console_notes, console_polls;
    enum verdict verdict; /* of every exit but EXIT_NONE */
    unsigned exits;
    unsigned step; /* of the script */
} seen;

static unsigned guest_resets;

void guest_request_reset(struct guest *which, const char *why)
{
    assert_ptr_equal(which, guest);
    (void)why;
    guest_resets++;
}

void msr_reset(struct vcpu *who)
{
    (void)who;
    seen.msr_resets++;
}

void console_notify(struct guest *who)
{
    assert_ptr_equal(who, guest);
    seen.console_notes++;
}

uint32_t guest_count(void)
{
    return 0;
}

struct guest *guest_get(uint32_t number)
{
    (void)number;
    return NULL;
}

bool guest_all_stopped(void)
{
    return false;
}

void guest_log_settle(struct guest *who)
{
    (void)who;
}

void guest_end(struct guest *who)
{
    (void)who;
}

bool shell_serve(void)
{
    return false;
}

bool shell_is_open(void)
{
    return false;
}

void control_serve(void)
{
}

bool control_shutting_down(void)
{
    return false;
}

bool console_poll(void)
{
    seen.console_polls++;
    return false;
}

/* As hv/exit.c has it: a host interrupt means a look at the clock. */
static enum verdict handle(struct vcpu *who, struct vmexit *exit)
{
    seen.exits++;
    if (exit->kind != EXIT_NONE)
        return seen.verdict;
    vcpu_request(who, REQUEST_TIMERS);
    return RESUME;
}

enum verdict (*const exit_handlers[EXIT_KIND_COUNT])(struct vcpu *vcpu, struct vmexit *exit) = {
    [0 ... EXIT_KIND_COUNT - 1] = handle,
};

static int apic_pending(struct vcpu *who)
{
    (void)who;
    return seen.pending;
}

static int apic_acknowledge(struct vcpu *who)
{
    int vector = seen.pending;

    (void)who;
    seen.pending = IRQ_NONE;
    return vector;
}

static unsigned apic_blocked(struct vcpu *who)
{
    (void)who;
    return 0;
}

static void apic_init_reset(struct vcpu *who)
{
    (void)who;
    seen.init_resets++;
}

static const struct vcpu_irq_ops apic_ops = {.pending = apic_pending,
                                             .acknowledge = apic_acknowledge,
                                             .blocked_by_tpr = apic_blocked,
                                             .init_reset = apic_init_reset};

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(8), 2);
    vcpu = guest->vcpus[0];
    backend = fake_backend(vcpu);
    guest->vcpus[0]->irq = guest->vcpus[1]->irq = &apic_ops;
    memset(&seen, 0, sizeof(seen));
    guest_resets = 0;
    seen.pending = IRQ_NONE;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* ---- Parts of registers ---- */

static void parts_of_registers(void **state)
{
    (void)state;
    for (unsigned number = 0; number < GPR_COUNT; number++) {
        vcpu_set_gpr(vcpu, number, UINT64_C(0x8877665544332211));
        assert_int_equal(vcpu_gpr_part(vcpu, number, 1, false), 0x11);
        assert_int_equal(vcpu_gpr_part(vcpu, number, 2, false), 0x2211);
        assert_int_equal(vcpu_gpr_part(vcpu, number, 4, false), 0x44332211);
        assert_int_equal(vcpu_gpr_part(vcpu, number, 8, false), UINT64_C(0x8877665544332211));
        vcpu_set_gpr_part(vcpu, number, 1, false, 0xfab);
        assert_int_equal(vcpu_gpr(vcpu, number), UINT64_C(0x88776655443322ab));
        vcpu_set_gpr_part(vcpu, number, 2, false, 0x71234);
        assert_int_equal(vcpu_gpr(vcpu, number), UINT64_C(0x8877665544331234));
        vcpu_set_gpr_part(vcpu, number, 4, false, UINT64_C(0x1deadbeef));
        assert_int_equal(vcpu_gpr(vcpu, number), 0xdeadbeef);
        vcpu_set_gpr_part(vcpu, number, 8, false, UINT64_MAX);
        assert_int_equal(vcpu_gpr(vcpu, number), UINT64_MAX);
    }
    for (unsigned number = 4; number < 8; number++) { /* AH, CH, DH, BH */
        vcpu_set_gpr(vcpu, number - 4, UINT64_C(0x8877665544332211));
        assert_int_equal(vcpu_gpr_part(vcpu, number, 1, true), 0x22);
        vcpu_set_gpr_part(vcpu, number, 1, true, 0xfab);
        assert_int_equal(vcpu_gpr(vcpu, number - 4), UINT64_C(0x887766554433ab11));
    }
    assert_int_equal(backend->registers[VCPU_RSP], UINT64_MAX); /* RSP is the backend's */
}

static void modes_and_privilege_levels(void **state)
{
    static const enum vcpu_mode expected[FAKE_MODE_COUNT] = {
        MODE_REAL,         MODE_PROTECTED_16, MODE_PROTECTED_32, MODE_PROTECTED_32,
        MODE_PROTECTED_32, MODE_LONG_64,      MODE_LONG_64,      MODE_PROTECTED_32,
    };

    (void)state;
    for (enum fake_mode mode = 0; mode < FAKE_MODE_COUNT; mode++) {
        fake_enter_mode(vcpu, mode, TABLES);
        backend->registers[VCPU_RIP] = 0x1000;
        assert_int_equal(vcpu_mode(vcpu), expected[mode]);
        assert_int_equal(vcpu_privilege_level(vcpu), 0);
        backend->segments[SEGMENT_SS].attributes |= 0x60;
        assert_int_equal(vcpu_privilege_level(vcpu), mode == FAKE_REAL ? 0 : 3);
    }
    fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    backend->registers[VCPU_RIP] = UINT64_C(0xffffffff80000000);
    assert_int_equal(vcpu_mode(vcpu), MODE_LONG_64);
    /* The L bit of CS is nothing without long mode. */
    fake_enter_mode(vcpu, FAKE_PROTECTED_32, TABLES);
    backend->registers[VCPU_RIP] = 0x1000;
    fake_segment(vcpu, SEGMENT_CS, 0, UINT32_MAX, 0xa09b);
    assert_int_equal(vcpu_mode(vcpu), MODE_PROTECTED_16);
    backend->registers[VCPU_RFLAGS] |= UINT64_C(1) << 17;
    assert_int_equal(vcpu_mode(vcpu), MODE_VIRTUAL_8086);
    assert_int_equal(vcpu_privilege_level(vcpu), 3);
}

/* ---- The step behind an instruction ---- */

static uint64_t advance(enum exit_kind kind, uint8_t length, uint64_t rip)
{
    const struct vmexit exit = {.kind = kind, .length = length, .rip = rip};

    backend->registers[VCPU_RIP] = rip;
    vcpu_advance(vcpu, &exit);
    return backend->registers[VCPU_RIP];
}

static void rip_is_as_wide_as_the_mode(void **state)
{
    (void)state;
    fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    assert_int_equal(advance(EXIT_CPUID, 2, 0xffffffff), 0x100000001);
    assert_int_equal(advance(EXIT_CPUID, 2, UINT64_C(0xffffffff81234567)), UINT64_C(0xffffffff81234569));
    fake_enter_mode(vcpu, FAKE_COMPATIBILITY, TABLES);
    assert_int_equal(advance(EXIT_CPUID, 2, 0xfffffffe), 0);
    fake_enter_mode(vcpu, FAKE_PROTECTED_32, TABLES);
    assert_int_equal(advance(EXIT_CPUID, 15, 0xfffffff8), 7);
    /* IP does not wrap at 64 KiB by going on: that is the limit's to say. */
    fake_enter_mode(vcpu, FAKE_REAL, TABLES);
    assert_int_equal(advance(EXIT_HLT, 1, 0xffff), 0x10000);
}

static void shadows_end_and_flags_follow(void **state)
{
    (void)state;
    for (unsigned flags = 0; flags < 4; flags++) {
        fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
        backend->registers[VCPU_RFLAGS] = 0x202 | (flags & 1 ? UINT64_C(1) << 16 : 0) | (flags & 2 ? 0x100 : 0);
        backend->registers[VCPU_DR6] = 0xffff0ff1;
        backend->blocking = (struct virt_blocking){true, true, true};
        vcpu->events.exception.type = EVENT_NONE;
        advance(EXIT_PIO, 1, 0x1000);
        assert_false(backend->blocking.shadow_sti);
        assert_false(backend->blocking.shadow_mov_ss);
        assert_true(backend->blocking.nmi);
        assert_int_equal(backend->registers[VCPU_RFLAGS], 0x202 | (flags & 2 ? 0x100 : 0));
        if (flags & 2) {
            assert_int_equal(vcpu->events.exception.type, EVENT_EXCEPTION);
            assert_int_equal(vcpu->events.exception.vector, VECTOR_DB);
            assert_false(vcpu->events.exception.has_error_code);
            assert_int_equal(backend->registers[VCPU_DR6], 0xffff4ff1);
        } else {
            assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
            assert_int_equal(backend->registers[VCPU_DR6], 0xffff0ff1);
        }
    }
}

static const struct length_case {
    enum exit_kind kind;
    const char *bytes;
    unsigned length;
} length_cases[] = {
    {EXIT_CPUID, "\x0f\xa2", 2},         {EXIT_CPUID, "\x66\x2e\x0f\xa2", 4}, {EXIT_HLT, "\xf4", 1},
    {EXIT_HLT, "\xf3\xf4", 2},           {EXIT_MSR_READ, "\x0f\x32", 2},      {EXIT_MSR_WRITE, "\x0f\x30", 2},
    {EXIT_INVD, "\x0f\x08", 2},          {EXIT_WBINVD, "\x0f\x09", 2},        {EXIT_XSETBV, "\x0f\x01\xd1", 3},
    {EXIT_CR_WRITE, "\x0f\x22\xc0", 3},  {EXIT_CR_READ, "\x0f\x20\xd8", 3},   {EXIT_CLTS, "\x0f\x06", 2},
    {EXIT_LMSW, "\x0f\x01\xf0", 3},      {EXIT_DR_ACCESS, "\x0f\x21\xf8", 3}, {EXIT_PAUSE, "\xf3\x90", 2},
    {EXIT_HYPERCALL, "\x0f\x01\xd9", 3},
};

/* Processors without next-RIP reporting: the bytes tell. In all modes, and up to a page end with nothing behind. */
static void lengths_are_found_in_the_code(void **state)
{
    (void)state;
    for (enum fake_mode mode = 0; mode < FAKE_MODE_COUNT; mode++) {
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        struct fake_paging paging = fake_enter_mode(vcpu, mode, TABLES);
        if (mode >= FAKE_PAGED_2)
            fake_map(&paging, CODE, CODE, PTE_ALL);
        else
            fake_segment(vcpu, SEGMENT_CS, CODE, 0xffff, mode == FAKE_PROTECTED_32 ? 0x409b : 0x9b);
        for (unsigned i = 0; i < ARRAY_SIZE(length_cases); i++) {
            unsigned length = length_cases[i].length, end = mode >= FAKE_PAGED_2 ? PAGE_SIZE : 0x10000;
            uint64_t rip = end - length + (mode >= FAKE_PAGED_2 ? CODE : 0);
            assert_int_equal(gmem_write(guest, CODE + end - length, length_cases[i].bytes, length), 0);
            assert_int_equal(advance(length_cases[i].kind, 0, rip), rip + length);
            assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
        }
    }
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES + MIB(1));
    fake_map(&paging, CODE, CODE, PTE_ALL);
    assert_int_equal(gmem_write(guest, CODE, "\x48\x0f\xa2", 3), 0);
    assert_int_equal(advance(EXIT_CPUID, 0, CODE), CODE + 3);
}

static unsigned crashes;

void guest_crash(struct vcpu *crashed, const char *format, ...)
{
    (void)crashed;
    (void)format;
    crashes++;
}

/* ... but an instruction that never is what its exit says must not hold the CPU for ever. */
static void wrong_instruction_ends_the_guest(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, CODE, CODE, PTE_ALL);
    assert_int_equal(gmem_write(guest, CODE, "\x0f\x0b", 2), 0);
    crashes = 0;
    for (unsigned i = 0; i < 1000; i++)
        advance(EXIT_CPUID, 0, CODE);
    assert_int_equal(crashes, 0);
    advance(EXIT_CPUID, 0, CODE);
    assert_int_equal(crashes, 1);
}

/* Another CPU has changed the code or its page: nothing has been stepped over. */
static void changed_code_is_not_stepped_over(void **state)
{
    (void)state;
    struct fake_paging paging = fake_enter_mode(vcpu, FAKE_LONG_4, TABLES);
    fake_map(&paging, CODE, CODE, PTE_ALL);
    assert_int_equal(gmem_write(guest, CODE, "\x0f\x0b", 2), 0);
    backend->blocking.shadow_sti = true;
    backend->registers[VCPU_RFLAGS] = 0x10302;
    assert_int_equal(advance(EXIT_CPUID, 0, CODE), CODE);
    assert_true(backend->blocking.shadow_sti);
    assert_int_equal(backend->registers[VCPU_RFLAGS], 0x10302);
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    fake_map(&paging, CODE, 0, 0);
    assert_int_equal(advance(EXIT_CPUID, 0, CODE), CODE);
    assert_int_equal(vcpu->events.exception.vector, VECTOR_PF);
    assert_int_equal(vcpu->events.exception.error_code, 0x10);
    assert_int_equal(backend->registers[VCPU_CR2], CODE);
    vcpu->events.exception.type = EVENT_NONE;
    fake_enter_mode(vcpu, FAKE_PROTECTED_32, TABLES);
    fake_segment(vcpu, SEGMENT_CS, 0, 0xfff, 0x409b);
    assert_int_equal(advance(EXIT_CPUID, 0, 0x1000), 0x1000);
    assert_int_equal(vcpu->events.exception.vector, VECTOR_GP);
}

/* MOV to CR0 that turns paging on in long mode is refused with a 16-bit task: no processor enters such a state. */
static void long_mode_wants_a_32_bit_task(void **state)
{
    struct vmexit exit = {.kind = EXIT_CR_WRITE, .length = 3, .reg = {.number = 0, .gpr = GPR_RAX, .write = true}};
    static const struct {
        uint32_t type;
        bool refused;
    } cases[] = {{0x81, true}, {0x83, true}, {0x89, false}, {0x8b, false}};

    (void)state;
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_enter_mode(vcpu, FAKE_PROTECTED_32, TABLES);
        fake_segment(vcpu, SEGMENT_TR, 0, 0x67, cases[i].type);
        backend->registers[VCPU_CR0] = 0x60000011;
        backend->registers[VCPU_CR4] = 0x20;
        backend->registers[VCPU_EFER] = 0x100;
        vcpu->gpr[GPR_RAX] = 0x80000011;
        vcpu->events.exception.type = EVENT_NONE;
        assert_int_equal(creg_access(vcpu, &exit), cases[i].refused ? RESUME : RESUME_AFTER);
        assert_int_equal(backend->registers[VCPU_CR0], cases[i].refused ? 0x60000011 : 0x80000011);
        assert_int_equal(vcpu->events.exception.type, cases[i].refused ? EVENT_EXCEPTION : EVENT_NONE);
        if (cases[i].refused)
            assert_int_equal(vcpu->events.exception.vector, VECTOR_GP);
    }
}

static void fetch_tells_the_mode(void **state)
{
    static const enum decode_mode expected[FAKE_MODE_COUNT] = {DECODE_16, DECODE_16, DECODE_32, DECODE_32,
                                                               DECODE_32, DECODE_64, DECODE_64, DECODE_32};
    uint8_t bytes[INSTRUCTION_LENGTH_MAX];
    unsigned available;
    enum decode_mode mode;

    (void)state;
    for (enum fake_mode m = 0; m < FAKE_MODE_COUNT; m++) {
        memset(gmem_pointer(guest, TABLES, MIB(1)), 0, MIB(1));
        struct fake_paging paging = fake_enter_mode(vcpu, m, TABLES);
        if (m >= FAKE_PAGED_2)
            fake_map(&paging, 0, CODE, PTE_ALL);
        backend->registers[VCPU_RIP] = 0x20;
        assert_int_equal(vcpu_fetch(vcpu, bytes, &available, &mode), 0);
        assert_int_equal(available, 15);
        assert_int_equal(mode, expected[m]);
    }
}

/* ---- The loop ---- */

static void stop_after(unsigned steps)
{
    if (++seen.step >= steps)
        vcpu_request(vcpu, REQUEST_STOP);
}

static void run_instructions(struct vcpu *who, struct vmexit *exit)
{
    *exit = (struct vmexit){.kind = EXIT_PIO, .length = 2, .reason = 30, .io = {.port = 0x80}};
    assert_int_equal(who->run_state, VCPU_RUNNING);
    stop_after(3);
}

static void verdicts(void **state)
{
    (void)state;
    backend->on_run = run_instructions;
    backend->registers[VCPU_RIP] = 0x1000;
    seen.verdict = RESUME_AFTER;
    vcpu_run(vcpu);
    assert_int_equal(backend->runs, 3);
    assert_int_equal(backend->registers[VCPU_RIP], 0x1006);
    assert_int_equal(stats_count(&vcpu->stats.kinds[EXIT_PIO]), 3);
    seen.step = 0, seen.verdict = RESUME;
    vcpu_run(vcpu);
    assert_int_equal(backend->registers[VCPU_RIP], 0x1006);
}

static void every_exit_is_in_the_trace(void **state)
{
    (void)state;
    backend->on_run = run_instructions;
    backend->registers[VCPU_RIP] = 0x1000;
    vcpu->trace_next = UINT32_MAX; /* it wraps */
    seen.verdict = RESUME_AFTER;
    vcpu_run(vcpu);
    assert_int_equal(vcpu->trace_next, 2);
    assert_int_equal(vcpu->trace[31].rip, 0x1000);
    assert_int_equal(vcpu->trace[0].rip, 0x1002);
    assert_int_equal(vcpu->trace[1].rip, 0x1004);
    assert_int_equal(vcpu->trace[1].reason, 30);
    assert_int_equal(vcpu->trace[1].kind, EXIT_PIO);
    assert_int_equal(vcpu->trace[1].io.port, 0x80);
    /* An exit whose instruction stays where it is has its place as well. */
    seen.step = 0, seen.verdict = RESUME;
    vcpu_run(vcpu);
    assert_int_equal(vcpu->trace[4].rip, 0x1006);
}

static void a_stop_comes_before_an_entry(void **state)
{
    (void)state;
    vcpu_request(vcpu, REQUEST_STOP | REQUEST_NMI);
    vcpu_run(vcpu);
    assert_int_equal(backend->runs, 0);
    assert_int_equal(vcpu->requests, 0);
}

static void requests_kick_only_others(void **state)
{
    (void)state;
    vcpu_request(vcpu, REQUEST_EVENT);
    assert_int_equal(fake_machine.kicks[0], 0);
    vcpu_request(guest->vcpus[1], REQUEST_NMI);
    vcpu_request(guest->vcpus[1], REQUEST_CONSOLE);
    assert_int_equal(fake_machine.kicks[1], 2);
    assert_int_equal(guest->vcpus[1]->requests, REQUEST_NMI | REQUEST_CONSOLE);
    fake_machine.cpu = 1;
    vcpu_request(vcpu, REQUEST_STOP);
    assert_int_equal(fake_machine.kicks[0], 1);
}

static void run_until_asked(struct vcpu *who, struct vmexit *exit)
{
    (void)who;
    exit->kind = EXIT_NONE;
    if (seen.step == 1)
        vcpu_request(vcpu, REQUEST_CONSOLE | REQUEST_NMI);
    stop_after(5);
}

static unsigned presses;
static bool listens;

static bool press(struct device *device)
{
    assert_ptr_equal(device, &guest->devices[1]);
    presses++;
    return listens;
}

static void press_once(struct vcpu *who, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    if (seen.step == 0)
        vcpu_request(who, REQUEST_POWER_BUTTON);
    stop_after(3);
}

static void the_power_button_reaches_the_device_that_has_one(void **state)
{
    static const struct device_ops without = {.name = "none"}, with = {.name = "acpi", .press_power_button = press};

    (void)state;
    guest->devices[0].ops = guest->devices[2].ops = &without;
    guest->devices[1].ops = &with;
    guest->device_count = 3;
    backend->on_run = press_once;
    for (unsigned i = 0; i < 2; i++) {
        listens = i == 1;
        presses = seen.step = 0;
        output[0] = '\0';
        vcpu_run(vcpu);
        assert_int_equal(presses, 1);
        assert_true((strstr(output, "its power button was pressed (by the shell); it has 10 s") != NULL) ==
                    listens); /* nobody waits for one that does not listen */
        assert_int_equal(guest->button, listens ? GUEST_BUTTON_HEARD : GUEST_BUTTON_UNHEARD);
    }
    guest->device_count = 0;
}

/* The world while the vCPU is paused: another CPU asks for registers, then for an NMI, then lets it go on. */
static void while_paused(void)
{
    fake_machine.ticks += 1000;
    switch (fake_machine.waits) {
    case 1: vcpu_request(vcpu, REQUEST_SNAPSHOT); break;
    case 2:
        assert_int_equal(vcpu->snapshots, 2);
        assert_int_equal(vcpu->snapshot.rip, 0x1234);
        assert_int_equal(vcpu->snapshot.segments[SEGMENT_CS].selector, 8);
        assert_int_equal(vcpu->snapshot.gdtr.limit, 0x7f);
        assert_int_equal(vcpu->snapshot.idtr.limit, 0xfff);
        vcpu_request(vcpu, REQUEST_NMI);
        break;
    case 5:
        guest->paused = 0;
        vcpu_request(vcpu, REQUEST_PAUSE);
        break;
    default: break;
    }
}

static void pause_at_once(struct vcpu *who, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    assert_int_equal(guest->paused, 0);
    backend->registers[VCPU_RIP] = 0x1234;
    if (seen.step == 0) {
        guest->paused = 1;
        vcpu_request(who, REQUEST_PAUSE);
    }
    stop_after(3);
}

/* What was asked of it meanwhile is served behind the pause, and nobody's clock runs out. */
static void a_paused_vcpu_waits(void **state)
{
    (void)state;
    guest->watchdog_ticks = 1;
    backend->gdtr.limit = 0x7f;
    backend->idtr.limit = 0xfff;
    backend->on_run = pause_at_once;
    fake_machine.on_wait = while_paused;
    vcpu_run(vcpu);
    assert_int_equal(fake_machine.waits, 5);
    assert_int_equal(backend->runs, 3);
    assert_int_equal(backend->injections, 1);
    assert_int_equal(vcpu->stats.halted_ticks, 5000);
    assert_int_equal(guest->heartbeat_ticks, fake_machine.ticks);
}

static uint64_t first_wait_ticks, last_wait_ticks;

static void resume_later(void)
{
    if (fake_machine.waits == 1)
        first_wait_ticks = fake_machine.ticks;
    if (fake_machine.waits < 100)
        return;
    guest->paused = 0;
    vcpu_request(vcpu, REQUEST_PAUSE);
    last_wait_ticks = fake_machine.ticks;
}

/* However often something wakes its CPU meanwhile. */
static void a_pause_is_all_sleep(void **state)
{
    (void)state;
    backend->on_run = pause_at_once;
    fake_machine.on_wait = resume_later;
    fake_machine.ticks_per_look = 10;
    vcpu_run(vcpu);
    fake_machine.ticks_per_look = 0;
    assert_int_equal(fake_machine.waits, 100);
    assert_true(stats_halted(&vcpu->stats, fake_machine.ticks) >= last_wait_ticks - first_wait_ticks);
}

static void stop_while_paused(void)
{
    vcpu_request(vcpu, REQUEST_STOP);
}

static void a_stop_ends_a_pause(void **state)
{
    (void)state;
    backend->on_run = pause_at_once;
    fake_machine.on_wait = stop_while_paused;
    vcpu_run(vcpu);
    assert_int_equal(backend->runs, 1);
}

static void requests_are_served_between_entries(void **state)
{
    (void)state;
    backend->on_run = run_until_asked;
    vcpu_run(vcpu);
    assert_int_equal(seen.console_notes, 2); /* once at the start: what was asked before a stop is not lost */
    assert_int_equal(backend->injections, 1);
    /* Only the first CPU has the console. */
    guest->vcpus[1]->requests = 0;
    fake_machine.cpu = 1;
    vcpu_request(guest->vcpus[1], REQUEST_STOP);
    vcpu_run(guest->vcpus[1]);
    assert_int_equal(seen.console_notes, 2);
}

static void run_and_record(struct vcpu *who, struct vmexit *exit)
{
    (void)who;
    exit->kind = EXIT_NONE;
    assert_int_equal(backend->delivered.type, EVENT_INTERRUPT);
    assert_int_equal(backend->delivered.vector, 0x55);
    vcpu_request(vcpu, REQUEST_STOP);
}

static int apic_pending_and_kick(struct vcpu *who)
{
    if (seen.step++ == 2)
        vcpu_request(who, REQUEST_EVENT); /* from another CPU, at the worst moment */
    return seen.pending;
}

/* Between event_deliver and the entry a request comes: the entry does not happen, and the interrupt is not lost. */
static void a_late_kick_loses_no_event(void **state)
{
    static const struct vcpu_irq_ops kicking = {
        .pending = apic_pending_and_kick, .acknowledge = apic_acknowledge, .blocked_by_tpr = apic_blocked};

    (void)state;
    vcpu->irq = &kicking;
    seen.pending = 0x55;
    backend->on_run = run_and_record;
    vcpu_run(vcpu);
    assert_int_equal(backend->runs, 1);
    assert_int_equal(backend->injections, 2);
}

static struct timer timer;
static unsigned timer_calls;

static void timer_expired(struct timer *which)
{
    timer_calls++;
    if (timer_calls < 3)
        timer_set(which, fake_machine.ticks + 1000);
    else
        vcpu_request(vcpu, REQUEST_STOP);
}

static void run_till_the_timer(struct vcpu *who, struct vmexit *exit)
{
    (void)who;
    assert_true(fake_machine.timer_deadline != TIMER_NEVER);
    fake_machine.ticks = fake_machine.timer_deadline; /* the host's timer ends the stay */
    exit->kind = EXIT_NONE;
}

static void timers_expire_and_are_armed_again(void **state)
{
    (void)state;
    timer_calls = 0;
    assert_int_equal(timer_init(&timer, vcpu, timer_expired), 0);
    timer_set(&timer, 500);
    backend->on_run = run_till_the_timer;
    vcpu_run(vcpu);
    assert_int_equal(timer_calls, 3);
    assert_int_equal(backend->runs, 3);
    assert_int_equal(fake_machine.ticks, 2500);
}

static void run_until_the_next_poll(struct vcpu *who, struct vmexit *exit)
{
    run_till_the_timer(who, exit);
    stop_after(20);
}

/* A guest that never exits by itself does not hold the console up, on the CPU that serves it. */
static void the_monitor_is_served_between_entries(void **state)
{
    (void)state;
    backend->on_run = run_until_the_next_poll;
    vcpu_run(vcpu);
    assert_in_range(seen.console_polls, 19, 21);
    fake_machine.cpu = 1;
    seen.step = 0;
    backend->on_run = run_instructions;
    vcpu_run(vcpu);
    assert_in_range(seen.console_polls, 19, 21);
}

/* ---- HLT ---- */

static void halt_first(struct vcpu *who, struct vmexit *exit)
{
    (void)who;
    if (seen.step++ == 0) {
        *exit = (struct vmexit){.kind = EXIT_HLT, .length = 1};
        backend->blocking.shadow_sti = true; /* STI; HLT */
        return;
    }
    exit->kind = EXIT_NONE;
    vcpu_request(vcpu, REQUEST_STOP);
}

static unsigned wakes;
static void wake_with_interrupt(void)
{
    assert_int_equal(vcpu->run_state, VCPU_HALTED);
    if (++wakes == 3)
        seen.pending = 0x20;
}

static void wake_with_nmi(void)
{
    if (++wakes == 3)
        vcpu_request(vcpu, REQUEST_NMI);
    assert_true(wakes < 10);
}

static void wake_with_stop(void)
{
    seen.pending = 0x20;
    if (++wakes == 5)
        vcpu_request(vcpu, REQUEST_STOP);
}

static void halt_sleeps_until_an_event(void **state)
{
    (void)state;
    wakes = 0;
    seen.verdict = BLOCK;
    backend->registers[VCPU_RIP] = 0x1000;
    backend->on_run = halt_first;
    fake_machine.on_wait = wake_with_interrupt; /* spurious ones before */
    vcpu_run(vcpu);
    assert_int_equal(wakes, 3);
    assert_int_equal(backend->runs, 2);
    assert_int_equal(backend->registers[VCPU_RIP], 0x1001);
    assert_int_equal(backend->delivered.vector, 0x20);
    assert_false(backend->blocking.shadow_sti);

    wakes = seen.step = 0;
    backend->registers[VCPU_RFLAGS] = 2; /* CLI; HLT */
    fake_machine.on_wait = wake_with_nmi;
    vcpu_run(vcpu);
    assert_int_equal(backend->delivered.type, EVENT_NMI);
    assert_int_equal(wakes, 3);

    wakes = seen.step = 0;
    backend->runs = 0;
    fake_machine.on_wait = wake_with_stop; /* an interrupt does not wake it, a stop does */
    vcpu_run(vcpu);
    assert_int_equal(wakes, 5);
    assert_int_equal(backend->runs, 1);
}

static void interrupt_by_timer(struct timer *which)
{
    (void)which;
    seen.pending = 0x30;
}

/* Nothing but the virtual timer wakes it: the loop has armed the host's for it. */
static void halt_is_ended_by_a_timer(void **state)
{
    (void)state;
    seen.verdict = BLOCK;
    assert_int_equal(timer_init(&timer, vcpu, interrupt_by_timer), 0);
    timer_set(&timer, 123456);
    backend->on_run = halt_first;
    vcpu_run(vcpu);
    assert_int_equal(fake_machine.ticks, 123456);
    assert_int_equal(backend->delivered.vector, 0x30);
    assert_true(fake_machine.waits <= 2);
}

static void a_single_step_ends_a_halt(void **state)
{
    (void)state;
    seen.verdict = BLOCK;
    backend->registers[VCPU_RFLAGS] = 0x102;
    backend->on_run = halt_first;
    vcpu_run(vcpu);
    assert_int_equal(backend->delivered.vector, VECTOR_DB);
    assert_int_equal(fake_machine.waits, 0);
}

static void run_and_stop(struct vcpu *who, struct vmexit *exit)
{
    exit->kind = EXIT_NONE;
    vcpu_request(who, REQUEST_STOP);
}

static void nmis_are_latched_once_behind_a_handler(void **state)
{
    (void)state;
    backend->on_run = run_and_stop;
    for (unsigned running = 0; running < 2; running++) {
        vcpu->pending_nmis = 0;
        for (unsigned i = 0; i < 4; i++) {
            /* Held back by the handler that runs, or by a shadow before the first one. */
            backend->blocking = (struct virt_blocking){.nmi = running, .shadow_mov_ss = !running};
            vcpu_request(vcpu, REQUEST_NMI);
            vcpu_run(vcpu);
        }
        assert_int_equal(vcpu->pending_nmis, running ? 1 : 2);
    }
}

/* ---- INIT, start-up, reset ---- */

static struct vcpu *second;
static void wait_for_startup(void)
{
    assert_int_equal(second->run_state, VCPU_WAIT_FOR_STARTUP);
    if (++wakes < 3)
        return;
    second->startup_vector = 0x9a;
    vcpu_request(second, REQUEST_STARTUP);
}

static void startup_after_init(void **state)
{
    (void)state;
    second = guest->vcpus[1];
    struct fake_backend *back = fake_backend(second);
    fake_machine.cpu = 1;
    fake_machine.on_wait = wait_for_startup;
    back->on_run = run_and_stop;
    back->registers[VCPU_RIP] = 0x1234;
    back->window[WINDOW_NMI] = true;
    second->gpr[GPR_RBX] = 77;
    second->tpr = 0x50;
    second->pending_nmis = 1;
    back->registers[VCPU_PAT] = 0x0606060606060606;
    back->registers[VCPU_LSTAR] = 0x5678;
    back->registers[VCPU_CR0] = 0x40000011; /* CD PE ET */
    second->mtrrs.default_type = 0x806;
    wakes = 0;
    vcpu_request(second, REQUEST_INIT);
    vcpu_run(second);
    assert_int_equal(wakes, 3);
    assert_int_equal(second->run_state, VCPU_RUNNING);
    assert_int_equal(back->runs, 1);
    assert_int_equal(back->registers[VCPU_RIP], 0);
    assert_int_equal(back->segments[SEGMENT_CS].selector, 0x9a00);
    assert_int_equal(back->segments[SEGMENT_CS].base, 0x9a000);
    assert_int_equal(second->gpr[GPR_RBX], 0);
    assert_int_equal(second->tpr, 0);
    assert_int_equal(second->pending_nmis, 0);
    assert_int_equal(seen.init_resets, 1);
    /* No reset: these stay. */
    assert_int_equal(back->registers[VCPU_PAT], 0x0606060606060606);
    assert_int_equal(back->registers[VCPU_LSTAR], 0x5678);
    assert_int_equal(back->registers[VCPU_CR0], 0x40000010);
    assert_int_equal(second->mtrrs.default_type, 0x806);
    assert_int_equal(fake_machine.register_inits, 1);
    assert_int_equal(fake_machine.register_resets, 0);
    assert_int_equal(back->states_loaded, 2);
    assert_true(back->flushes >= 2);

    /* Both at once, as one look at the requests may find them. */
    back->runs = 0;
    second->startup_vector = 8;
    vcpu_request(second, REQUEST_INIT | REQUEST_STARTUP);
    vcpu_run(second);
    assert_int_equal(back->runs, 1);
    assert_int_equal(back->segments[SEGMENT_CS].base, 0x8000);

    /* Start-up of a running CPU is no reset. */
    back->registers[VCPU_RIP] = 0x4321;
    vcpu_request(second, REQUEST_STARTUP);
    vcpu_run(second);
    assert_int_equal(back->registers[VCPU_RIP], 0x4321);
    assert_int_equal(guest_resets, 0);
}

static void init_of_the_first_cpu_resets_the_guest(void **state)
{
    (void)state;
    backend->on_run = run_and_stop;
    vcpu_request(vcpu, REQUEST_INIT);
    vcpu_run(vcpu);
    assert_int_equal(guest_resets, 1);
    assert_int_equal(backend->states_loaded, 0);
}

static void reset_loads_and_flushes(void **state)
{
    struct vcpu_state start;

    (void)state;
    vcpu_state_reset(&start);
    start.gpr[GPR_RSI] = 0x12345;
    start.gpr[GPR_RSP] = 0x7000;
    vcpu->guest_xcr0 = 7;
    vcpu->tpr = 0xf0;
    vcpu->pending_nmis = 2;
    seen.pending = 0x30;
    backend->registers[VCPU_RFLAGS] = 2;
    event_deliver(vcpu);
    assert_true(backend->window[WINDOW_NMI] || backend->window[WINDOW_INTERRUPT]);
    uint32_t flushes = backend->flushes;
    vcpu_reset(vcpu, &start);
    assert_int_equal(backend->states_loaded, 1);
    assert_true(backend->flushes > flushes);
    assert_int_equal(seen.msr_resets, 1);
    assert_int_equal(vcpu->gpr[GPR_RSI], 0x12345);
    assert_int_equal(vcpu_gpr(vcpu, GPR_RSP), 0x7000);
    assert_int_equal(vcpu->guest_xcr0, 1);
    assert_int_equal(vcpu->tpr, 0);
    assert_int_equal(vcpu->pending_nmis, 0);
    assert_int_equal(vcpu->events.exception.type, EVENT_NONE);
    /* What hv and the backend believe of the windows agrees again: the next one is asked for. */
    assert_false(backend->window[WINDOW_INTERRUPT]);
    event_deliver(vcpu);
    assert_true(backend->window[WINDOW_INTERRUPT]);
}

/* Intel SDM vol. 3, "Processor State After Reset". */
static void state_after_reset(void **state)
{
    struct vcpu_state reset;

    (void)state;
    memset(&reset, 0xff, sizeof(reset));
    vcpu_state_reset(&reset);
    assert_int_equal(reset.rip, 0xfff0);
    assert_int_equal(reset.rflags, 2);
    assert_int_equal(reset.cr0, 0x60000010);
    assert_int_equal(reset.cr3 | reset.cr4 | reset.efer, 0);
    assert_int_equal(reset.gpr[GPR_RDX], fake_cpuid_default(1, 0).eax);
    assert_int_equal(reset.gpr[GPR_RAX] | reset.gpr[GPR_RSP] | reset.gpr[15], 0);
    assert_int_equal(reset.segments[SEGMENT_CS].selector, 0xf000);
    assert_int_equal(reset.segments[SEGMENT_CS].base, 0xffff0000);
    for (unsigned i = 0; i < SEGMENT_COUNT; i++) {
        assert_int_equal(reset.segments[i].limit, 0xffff);
        assert_int_equal(reset.segments[i].attributes & SEGMENT_P, SEGMENT_P);
        assert_int_equal(reset.segments[i].attributes & SEGMENT_UNUSABLE, 0);
    }
    assert_int_equal(reset.gdtr.limit, 0xffff);
    assert_int_equal(reset.idtr.limit, 0xffff);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(parts_of_registers),
        WITH_GUEST(modes_and_privilege_levels),
        WITH_GUEST(rip_is_as_wide_as_the_mode),
        WITH_GUEST(shadows_end_and_flags_follow),
        WITH_GUEST(lengths_are_found_in_the_code),
        WITH_GUEST(changed_code_is_not_stepped_over),
        WITH_GUEST(long_mode_wants_a_32_bit_task),
        WITH_GUEST(fetch_tells_the_mode),
        WITH_GUEST(verdicts),
        WITH_GUEST(every_exit_is_in_the_trace),
        WITH_GUEST(a_stop_comes_before_an_entry),
        WITH_GUEST(requests_kick_only_others),
        WITH_GUEST(requests_are_served_between_entries),
        WITH_GUEST(the_power_button_reaches_the_device_that_has_one),
        WITH_GUEST(a_paused_vcpu_waits),
        WITH_GUEST(a_pause_is_all_sleep),
        WITH_GUEST(a_stop_ends_a_pause),
        WITH_GUEST(a_late_kick_loses_no_event),
        WITH_GUEST(timers_expire_and_are_armed_again),
        WITH_GUEST(the_monitor_is_served_between_entries),
        WITH_GUEST(halt_sleeps_until_an_event),
        WITH_GUEST(halt_is_ended_by_a_timer),
        WITH_GUEST(a_single_step_ends_a_halt),
        WITH_GUEST(nmis_are_latched_once_behind_a_handler),
        WITH_GUEST(startup_after_init),
        WITH_GUEST(init_of_the_first_cpu_resets_the_guest),
        WITH_GUEST(wrong_instruction_ends_the_guest),
        WITH_GUEST(reset_loads_and_flushes),
        WITH_GUEST(state_after_reset),
    };

    return cmocka_run_group_tests_name("vcpu", tests, NULL, NULL);
}

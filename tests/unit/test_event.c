/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is delivered next: the order, double and triple faults, windows, the NMI latch, deliveries that were
 * interrupted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hv/event.h"
#include "tests/unit/fake.h"

#define IF_FLAG UINT64_C(0x200)

static struct guest *guest;
static struct vcpu *vcpu;
static struct fake_backend *backend;
static struct {
    int pending;
    unsigned blocked;
    unsigned acknowledged;
} apic;

static unsigned crashes;

void guest_crash(struct vcpu *who, const char *format, ...)
{
    assert_ptr_equal(who, vcpu);
    assert_non_null(strstr(format, "triple fault"));
    crashes++;
}

static int apic_pending(struct vcpu *who)
{
    (void)who;
    return apic.pending;
}

static int apic_acknowledge(struct vcpu *who)
{
    int vector = apic.pending;

    (void)who;
    apic.pending = IRQ_NONE;
    apic.acknowledged++;
    return vector;
}

static unsigned apic_blocked(struct vcpu *who)
{
    (void)who;
    return apic.blocked;
}

static const struct vcpu_irq_ops apic_ops = {
    .pending = apic_pending, .acknowledge = apic_acknowledge, .blocked_by_tpr = apic_blocked};

static int setup(void **state)
{
    (void)state;
    guest = fake_guest(MIB(2), 1);
    vcpu = guest->vcpus[0];
    vcpu->irq = &apic_ops;
    backend = fake_backend(vcpu);
    apic.pending = IRQ_NONE, apic.blocked = 0, apic.acknowledged = 0;
    crashes = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    fake_guest_free(guest);
    return 0;
}

/* What is injected now, taken away as an entry does. */
static struct event deliver(void)
{
    backend->injected.type = EVENT_NONE;
    event_deliver(vcpu);
    struct event event = backend->injected;
    backend->injected.type = EVENT_NONE;
    return event;
}

static void assert_delivers(enum event_type type, unsigned vector)
{
    uint32_t before = backend->injections;
    struct event event = deliver();

    assert_int_equal(event.type, type);
    assert_int_equal(backend->injections - before, type == EVENT_NONE ? 0 : 1);
    if (type != EVENT_NONE)
        assert_int_equal(event.vector, vector);
}

static void set_interrupts(bool open)
{
    backend->registers[VCPU_RFLAGS] = open ? 0x202 : 2;
}

/* ---- Order ---- */

static void nothing_to_deliver_asks_for_nothing(void **state)
{
    (void)state;
    assert_delivers(EVENT_NONE, 0);
    assert_false(backend->window[WINDOW_INTERRUPT]);
    assert_false(backend->window[WINDOW_NMI]);
    assert_int_equal(backend->tpr_threshold, 0);
}

static void one_at_a_time_in_the_manuals_order(void **state)
{
    (void)state;
    apic.pending = 0x50;
    vcpu->pending_nmis = 1;
    event_raise_error(vcpu, VECTOR_GP, 0x18);
    struct event event = deliver();
    assert_int_equal(event.type, EVENT_EXCEPTION);
    assert_int_equal(event.vector, VECTOR_GP);
    assert_true(event.has_error_code);
    assert_int_equal(event.error_code, 0x18);
    assert_true(backend->window[WINDOW_NMI]);
    assert_true(backend->window[WINDOW_INTERRUPT]);
    assert_int_equal(apic.acknowledged, 0);
    assert_delivers(EVENT_NMI, VECTOR_NMI);
    assert_false(backend->window[WINDOW_NMI]);
    assert_true(backend->window[WINDOW_INTERRUPT]);
    backend->blocking.nmi = true; /* its handler runs; interrupts do not care */
    assert_delivers(EVENT_INTERRUPT, 0x50);
    assert_int_equal(apic.acknowledged, 1);
    assert_false(backend->window[WINDOW_INTERRUPT]);
    assert_delivers(EVENT_NONE, 0);
}

static void an_interrupt_that_has_gone_is_not_delivered(void **state)
{
    (void)state;
    /* acknowledge may find nothing left: IRQ_NONE */
    apic.pending = IRQ_NONE;
    vcpu->pending_nmis = 0;
    assert_delivers(EVENT_NONE, 0);
    apic.pending = 0; /* vector 0 is a vector, from the 8259 at least */
    assert_delivers(EVENT_INTERRUPT, 0);
}

/* ---- Windows ---- */

static void interrupts_wait_for_if_and_shadows(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        set_interrupts(i != 0);
        backend->blocking = (struct virt_blocking){.shadow_sti = i == 1, .shadow_mov_ss = i == 2};
        apic.pending = 0x31;
        assert_delivers(EVENT_NONE, 0);
        assert_true(backend->window[WINDOW_INTERRUPT]);
        assert_int_equal(apic.pending, 0x31);
        set_interrupts(true);
        backend->blocking = (struct virt_blocking){.nmi = false};
        assert_delivers(EVENT_INTERRUPT, 0x31);
        assert_false(backend->window[WINDOW_INTERRUPT]);
    }
    /* It is withdrawn: no more window. */
    set_interrupts(false);
    apic.pending = 0x31;
    assert_delivers(EVENT_NONE, 0);
    apic.pending = IRQ_NONE;
    assert_delivers(EVENT_NONE, 0);
    assert_false(backend->window[WINDOW_INTERRUPT]);
}

static void nmis_wait_for_shadows_and_their_handler(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 3; i++) {
        backend->blocking = (struct virt_blocking){.shadow_sti = i == 0, .shadow_mov_ss = i == 1, .nmi = i == 2};
        vcpu->pending_nmis = 1;
        set_interrupts(false);
        assert_delivers(EVENT_NONE, 0);
        assert_true(backend->window[WINDOW_NMI]);
        backend->blocking = (struct virt_blocking){.nmi = false};
        assert_delivers(EVENT_NMI, VECTOR_NMI);
        assert_false(backend->window[WINDOW_NMI]);
        assert_int_equal(vcpu->pending_nmis, 0);
    }
    vcpu->pending_nmis = 2;
    assert_delivers(EVENT_NMI, VECTOR_NMI);
    assert_true(backend->window[WINDOW_NMI]); /* the second is latched */
    backend->blocking.nmi = true;
    assert_delivers(EVENT_NONE, 0);
    backend->blocking.nmi = false;
    assert_delivers(EVENT_NMI, VECTOR_NMI);
    assert_false(backend->window[WINDOW_NMI]);
}

static void the_tpr_threshold_follows(void **state)
{
    (void)state;
    vcpu->tpr = 0x60;
    apic.blocked = 5;
    assert_delivers(EVENT_NONE, 0);
    assert_int_equal(backend->tpr_threshold, 5);
    assert_false(backend->window[WINDOW_INTERRUPT]);
    apic.blocked = 0;
    assert_delivers(EVENT_NONE, 0);
    assert_int_equal(backend->tpr_threshold, 0);
    apic.blocked = 3;
    assert_delivers(EVENT_NONE, 0);
    vcpu->tpr = 0;
    apic.blocked = 0;
    assert_delivers(EVENT_NONE, 0);
    assert_int_equal(backend->tpr_threshold, 0);
}

/* ---- What was being delivered ---- */

static void interrupted_deliveries_come_first_and_as_they_were(void **state)
{
    (void)state;
    vcpu->events.interrupted =
        (struct event){.type = EVENT_EXCEPTION, .vector = VECTOR_PF, .has_error_code = true, .error_code = 6};
    vcpu->pending_nmis = 1;
    apic.pending = 0x40;
    struct event event = deliver();
    assert_int_equal(event.type, EVENT_EXCEPTION);
    assert_int_equal(event.vector, VECTOR_PF);
    assert_int_equal(event.error_code, 6);
    assert_delivers(EVENT_NMI, VECTOR_NMI);
    /* An NMI whose delivery was cut short has blocked NMIs already: it goes on all the same. */
    vcpu->events.interrupted = (struct event){.type = EVENT_NMI, .vector = VECTOR_NMI};
    backend->blocking.nmi = true;
    assert_delivers(EVENT_NMI, VECTOR_NMI);
    assert_delivers(EVENT_INTERRUPT, 0x40);
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x77};
    apic.pending = 0x88;
    assert_delivers(EVENT_INTERRUPT, 0x77);
    assert_true(backend->window[WINDOW_INTERRUPT]);
    assert_int_equal(apic.acknowledged, 1);
    assert_delivers(EVENT_INTERRUPT, 0x88);
}

/* Taken from the controller already, so it waits here, and no other is taken meanwhile. */
static void an_interrupted_interrupt_waits_for_if(void **state)
{
    (void)state;
    set_interrupts(false);
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x77};
    apic.pending = 0x99;
    assert_delivers(EVENT_NONE, 0);
    assert_true(backend->window[WINDOW_INTERRUPT]);
    vcpu->pending_nmis = 1;
    assert_delivers(EVENT_NMI, VECTOR_NMI); /* which does not care about IF */
    assert_int_equal(apic.acknowledged, 0);
    set_interrupts(true);
    assert_delivers(EVENT_INTERRUPT, 0x77);
    assert_delivers(EVENT_INTERRUPT, 0x99);
    /* It is all there is: the window stays until it is gone. */
    set_interrupts(false);
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x77};
    assert_delivers(EVENT_NONE, 0);
    assert_true(backend->window[WINDOW_INTERRUPT]);
    set_interrupts(true);
    assert_delivers(EVENT_INTERRUPT, 0x77);
    assert_false(backend->window[WINDOW_INTERRUPT]);
}

static void int_instructions_run_again(void **state)
{
    (void)state;
    for (enum event_type type = EVENT_SOFTWARE_INTERRUPT; type <= EVENT_SOFTWARE_EXCEPTION; type++) {
        vcpu->events.interrupted = (struct event){.type = type, .vector = 0x80, .length = 2};
        assert_delivers(EVENT_NONE, 0);
        assert_int_equal(vcpu->events.interrupted.type, EVENT_NONE);
        /* or an interrupt comes before it */
        vcpu->events.interrupted = (struct event){.type = type, .vector = 0x80, .length = 2};
        apic.pending = 0x45;
        assert_delivers(EVENT_INTERRUPT, 0x45);
        /* or it has faulted */
        vcpu->events.interrupted = (struct event){.type = type, .vector = 0x80, .length = 2};
        event_raise_error(vcpu, VECTOR_GP, 0x402);
        assert_int_equal(vcpu->events.interrupted.type, EVENT_NONE);
        assert_delivers(EVENT_EXCEPTION, VECTOR_GP);
        assert_delivers(EVENT_NONE, 0);
    }
}

/* ---- Faults of deliveries: Intel SDM vol. 3, "Conditions for Generating a Double Fault" ---- */

static const uint8_t vectors[] = {VECTOR_DE, VECTOR_DB, VECTOR_BR, VECTOR_UD, VECTOR_NM,
                                  VECTOR_DF, VECTOR_TS, VECTOR_NP, VECTOR_SS, VECTOR_GP,
                                  VECTOR_PF, VECTOR_MF, VECTOR_AC, VECTOR_MC, VECTOR_XM};

static bool is_contributory(unsigned v)
{
    return v == 0 || (v >= 10 && v <= 13);
}

/* What comes of a second exception while the first is delivered: its own vector, 8, or 0xff for shutdown. */
static unsigned model_second(unsigned first, unsigned second)
{
    if (first == 8 && (is_contributory(second) || second == 14 || second == 8))
        return 0xff;
    if (is_contributory(first) && is_contributory(second))
        return 8;
    return first == 14 && (second == 14 || is_contributory(second)) ? 8 : second;
}

static bool pushes_code(unsigned v)
{
    return v == 8 || (v >= 10 && v <= 14) || v == 17;
}

static void check_second(unsigned first, unsigned second, bool was_interrupted)
{
    unsigned expected = model_second(first, second), before = crashes;

    event_reset(vcpu);
    if (was_interrupted)
        vcpu->events.interrupted = (struct event){.type = EVENT_EXCEPTION, .vector = (uint8_t)first};
    else
        event_raise_error(vcpu, (enum vector)first, 0x11);
    event_raise_error(vcpu, (enum vector)second, 0x22);
    if (expected == 0xff) {
        assert_int_equal(crashes, before + 1);
        return;
    }
    assert_int_equal(crashes, before);
    struct event event = deliver();
    assert_int_equal(event.type, EVENT_EXCEPTION);
    assert_int_equal(event.vector, expected);
    assert_int_equal(event.has_error_code, pushes_code(expected));
    if (pushes_code(expected))
        assert_int_equal(event.error_code, expected == 8 && second != 8 ? 0 : 0x22);
    assert_delivers(EVENT_NONE, 0); /* the first is given up */
}

static void double_and_triple_faults(void **state)
{
    (void)state;
    for (unsigned a = 0; a < ARRAY_SIZE(vectors); a++) {
        for (unsigned b = 0; b < ARRAY_SIZE(vectors); b++) {
            /* #DF is not raised by an instruction. */
            if (vectors[b] == VECTOR_DF)
                continue;
            check_second(vectors[a], vectors[b], false);
            check_second(vectors[a], vectors[b], true);
        }
    }
}

/* Interrupts and NMIs are benign, and have left their controllers: they come after the fault. */
static void faults_of_interrupt_deliveries(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        enum event_type type = i == 0 ? EVENT_INTERRUPT : EVENT_NMI;
        vcpu->events.interrupted = (struct event){.type = type, .vector = i == 0 ? 0x60 : VECTOR_NMI};
        event_raise_page_fault(vcpu, 0x1234, 2);
        assert_delivers(EVENT_EXCEPTION, VECTOR_PF);
        assert_delivers(type, i == 0 ? 0x60 : VECTOR_NMI);
        assert_delivers(EVENT_NONE, 0);
    }
}

static void page_faults_set_cr2(void **state)
{
    (void)state;
    event_raise_page_fault(vcpu, UINT64_C(0xffff800012345678), 0x15);
    assert_int_equal(backend->registers[VCPU_CR2], UINT64_C(0xffff800012345678));
    struct event event = deliver();
    assert_int_equal(event.vector, VECTOR_PF);
    assert_int_equal(event.error_code, 0x15);
    /* also the second, which becomes #DF */
    event_raise_error(vcpu, VECTOR_PF, 0);
    event_raise_page_fault(vcpu, 0x4000, 0);
    assert_int_equal(backend->registers[VCPU_CR2], 0x4000);
    assert_delivers(EVENT_EXCEPTION, VECTOR_DF);
}

static void real_mode_pushes_no_error_codes(void **state)
{
    (void)state;
    backend->registers[VCPU_CR0] = 0x10;
    for (unsigned i = 0; i < ARRAY_SIZE(vectors); i++) {
        event_raise_error(vcpu, (enum vector)vectors[i], 0x99);
        struct event event = deliver();
        assert_int_equal(event.vector, vectors[i]);
        assert_false(event.has_error_code);
    }
}

/* ---- Waking ---- */

static void what_wakes_a_halted_cpu(void **state)
{
    (void)state;
    assert_false(event_would_wake(vcpu));
    apic.pending = 0x20;
    assert_true(event_would_wake(vcpu));
    set_interrupts(false);
    assert_false(event_would_wake(vcpu));
    vcpu->pending_nmis = 1;
    assert_true(event_would_wake(vcpu));
    backend->blocking.nmi = true; /* HLT in the NMI handler */
    assert_false(event_would_wake(vcpu));
    set_interrupts(true);
    assert_true(event_would_wake(vcpu)); /* the interrupt */
    apic.pending = IRQ_NONE;
    assert_false(event_would_wake(vcpu));
    event_raise(vcpu, VECTOR_DB); /* a single step over HLT */
    assert_true(event_would_wake(vcpu));
    event_reset(vcpu);
    assert_false(event_would_wake(vcpu));
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x31};
    assert_true(event_would_wake(vcpu));
}

static void reset_forgets(void **state)
{
    (void)state;
    set_interrupts(false);
    vcpu->pending_nmis = 2;
    backend->blocking.nmi = true;
    vcpu->tpr = 0x70;
    apic.pending = 0x20, apic.blocked = 4;
    assert_delivers(EVENT_NONE, 0);
    event_raise(vcpu, VECTOR_UD);
    vcpu->events.interrupted = (struct event){.type = EVENT_INTERRUPT, .vector = 0x31};
    event_reset(vcpu);
    apic.pending = IRQ_NONE, apic.blocked = 0;
    assert_int_equal(vcpu->pending_nmis, 0);
    assert_delivers(EVENT_NONE, 0);
}

#define WITH_GUEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_GUEST(nothing_to_deliver_asks_for_nothing),
        WITH_GUEST(one_at_a_time_in_the_manuals_order),
        WITH_GUEST(an_interrupt_that_has_gone_is_not_delivered),
        WITH_GUEST(interrupts_wait_for_if_and_shadows),
        WITH_GUEST(nmis_wait_for_shadows_and_their_handler),
        WITH_GUEST(the_tpr_threshold_follows),
        WITH_GUEST(interrupted_deliveries_come_first_and_as_they_were),
        WITH_GUEST(an_interrupted_interrupt_waits_for_if),
        WITH_GUEST(int_instructions_run_again),
        WITH_GUEST(double_and_triple_faults),
        WITH_GUEST(faults_of_interrupt_deliveries),
        WITH_GUEST(page_faults_set_cr2),
        WITH_GUEST(real_mode_pushes_no_error_codes),
        WITH_GUEST(what_wakes_a_halted_cpu),
        WITH_GUEST(reset_forgets),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A VMCS through the whole of the entry checks: a good one breaks no rule, and each field of it is the one that is
 * judged. The backend's source is included here, with a table in place of the processor's VMCS.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define msr_read  hardware_msr_read
#define vmcs_read hardware_vmcs_read
#include "arch/vmx/vmx.h"
#undef msr_read
#undef vmcs_read

static uint64_t msr_read(uint32_t msr);
static uint64_t vmcs_read(struct vmcs_field field);

#include "arch/vmx/entry_state.c"
#include "tests/unit/fake.h"

struct vmx_cpu vmx_cpu;

static struct fixture {
    struct guest *guest;
    struct vmx_vcpu vmx;
    uint8_t virtual_apic[PAGE_SIZE];
    uint64_t fields[0x8000];
    bool is_there[0x8000]; /* VMREAD of another one is refused, and then the hypervisor panics */
    struct entry_state state;
} fixture;

static uint64_t msr_read(uint32_t msr)
{
    switch (msr) {
    case MSR_VMX_CR0_FIXED0: return 0x80000021;
    case MSR_VMX_CR4_FIXED0: return 0x2000;
    case MSR_VMX_CR0_FIXED1: return 0xffffffff;
    case MSR_VMX_CR4_FIXED1: return 0x3727ff;
    default: fail_msg("MSR 0x%x", msr); return 0;
    }
}

static uint64_t vmcs_read(struct vmcs_field field)
{
    assert_true(fixture.is_there[field.encoding]);
    return fixture.fields[field.encoding];
}

static void set(struct vmcs_field field, uint64_t value)
{
    fixture.is_there[field.encoding] = true;
    fixture.fields[field.encoding] = value;
}

static void set_controls(enum control_word word, struct vmcs_field field, uint64_t value)
{
    vmx_cpu.capabilities[word] = (value | 0xff) << 32 | 0x16;
    set(field, value | 0x16);
}

/* A 64-bit guest; the fake backend tells the rest. */
static void begin(void)
{
    memset(&fixture, 0, sizeof(fixture));
    fixture.guest = fake_guest(2 << 20, 1);
    fixture.vmx.virtual_apic = fixture.virtual_apic;
    set_controls(CONTROLS_PIN, VMCS_PIN_CONTROLS, PIN_NMI | PIN_VIRTUAL_NMIS | PIN_PREEMPTION_TIMER);
    set_controls(CONTROLS_PRIMARY, VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW | PRIMARY_NMI_WINDOW);
    set_controls(CONTROLS_SECONDARY, VMCS_SECONDARY_CONTROLS, SECONDARY_EPT | SECONDARY_VPID | SECONDARY_UNRESTRICTED);
    set_controls(CONTROLS_EXIT, VMCS_EXIT_CONTROLS, EXIT_HOST_64_BIT | EXIT_SAVE_PREEMPTION_TIMER);
    set_controls(CONTROLS_ENTRY, VMCS_ENTRY_CONTROLS,
                 ENTRY_IA32E | ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    set(VMCS_GUEST_CR0, 0x80050033);
    set(VMCS_GUEST_CR4, 0x20a0);
    set(VMCS_GUEST_EFER, 0xd01);
    for (unsigned i = 0; i < 4; i++)
        set(vmcs_pdpte(i), 0x100000000000001e); /* wrong ones: nobody looks at them in long mode */
    set(VMCS_CR3_TARGET_COUNT, 0);
    set(VMCS_IO_BITMAP_A, 0x10000);
    set(VMCS_MSR_BITMAP, 0x13000);
    set(VMCS_EPT_POINTER, 0x1401e);
    set(VMCS_VPID, 1);
    set(VMCS_VIRTUAL_APIC, 0x15000);
    set(VMCS_TPR_THRESHOLD, 0);
    set(VMCS_GUEST_ACTIVITY, 0);
    set(VMCS_GUEST_INTERRUPTIBILITY, 0);
    set(VMCS_GUEST_PENDING_DEBUG, 0);
    set(VMCS_VMCS_LINK, UINT64_MAX);
    set(VMCS_ENTRY_EVENT, 0);
    set(VMCS_ENTRY_ERROR_CODE, 0);
    set(VMCS_ENTRY_INSTRUCTION_LENGTH, 0);
    struct vcpu *vcpu = fixture.guest->vcpus[0];
    vcpu_write(vcpu, VCPU_DR7, 0x400);
    vcpu_write(vcpu, VCPU_PAT, 0x0007040600070406);
    for (unsigned i = 0; i < SEGMENT_COUNT; i++) {
        if (i != SEGMENT_CS && i != SEGMENT_SS)
            fake_backend(vcpu)->segments[i].attributes = SEGMENT_UNUSABLE;
    }
    fake_backend(vcpu)->segments[SEGMENT_TR] = (struct segment_register){0x5000, 0x67, 0x8b, 0x18};
}

static void clear(struct vmcs_field field, uint64_t bits)
{
    fixture.fields[field.encoding] &= ~bits;
}

static void expect(const char *word)
{
    struct entry_breach breach;
    char text[ENTRY_BREACH_TEXT] = "";

    entry_state_read(fixture.guest->vcpus[0], &fixture.state);
    vmx_entry_state(&fixture.vmx, &fixture.state);
    unsigned count = entry_check(&fixture.state, &breach, 1);
    if (count != 0)
        entry_breach_text(&fixture.state, &breach, text, sizeof(text));
    fake_guest_free(fixture.guest);
    if (count != (word[0] != '\0') || strstr(text, word) == NULL)
        fail_msg("%u broken, \"%s\" does not say \"%s\"", count, text, word);
}

static void test_good(void **context)
{
    /* Each kind of event, with its error code and its instruction's length where there are any. */
    static const struct {
        uint64_t word, error_code, length;
    } events[] = {{0x80000020, 0, 0}, {0x80000202, 0, 0},  {0x80000b0d, 0xffff, 0}, {0x80000480, 0, 2},
                  {0x80000501, 0, 1}, {0x80000603, 0, 15}, {0x0000077f, 0, 0}};

    (void)context;
    begin();
    expect("");
    for (size_t i = 0; i < ARRAY_SIZE(events); i++) {
        begin();
        set(VMCS_ENTRY_EVENT, events[i].word);
        set(VMCS_ENTRY_ERROR_CODE, events[i].error_code);
        set(VMCS_ENTRY_INSTRUCTION_LENGTH, events[i].length);
        expect("");
    }
}

/* A control that is off takes its fields with it: they may not even exist. */
static void test_absent_fields(void **context)
{
    (void)context;
    begin();
    clear(VMCS_SECONDARY_CONTROLS, SECONDARY_VPID);
    fixture.is_there[ENCODING_VPID] = false;
    clear(VMCS_PRIMARY_CONTROLS, PRIMARY_TPR_SHADOW);
    fixture.is_there[ENCODING_VIRTUAL_APIC] = fixture.is_there[ENCODING_TPR_THRESHOLD] = false;
    fixture.vmx.virtual_apic = NULL;
    expect("");
    begin();
    vmx_cpu.capabilities[CONTROLS_ENTRY] &= ~UINT64_C(0xff);
    clear(VMCS_ENTRY_CONTROLS, ENTRY_LOAD_DEBUG | ENTRY_LOAD_PAT | ENTRY_LOAD_EFER);
    vcpu_write(fixture.guest->vcpus[0], VCPU_DR7, UINT64_MAX);
    vcpu_write(fixture.guest->vcpus[0], VCPU_PAT, UINT64_MAX);
    set(VMCS_GUEST_EFER, UINT64_MAX);
    expect("");
}

#define WRONG(word, change)                                                                                            \
    do {                                                                                                               \
        begin();                                                                                                       \
        change;                                                                                                        \
        expect(word);                                                                                                  \
    } while (0)

static void test_each_register(void **context)
{
    (void)context;
    WRONG("CR0 is 0x80050013, wrong in bit 5 (NE)", set(VMCS_GUEST_CR0, 0x80050013));
    WRONG("CR0 is 0x180050033, wrong in bit 32", set(VMCS_GUEST_CR0, 0x180050033));
    WRONG("CR4 is 0xa0, wrong in bit 13 (VMXE)", set(VMCS_GUEST_CR4, 0xa0));
    WRONG("CR4 is 0x8020a0, wrong in bit 23 (CET)", set(VMCS_GUEST_CR4, 0x8020a0));
    WRONG("EFER is 0x1d01, wrong in bit 12 (SVME)", set(VMCS_GUEST_EFER, 0x1d01));
    WRONG("EFER is 0xd03, wrong in bit 1", set(VMCS_GUEST_EFER, 0xd03));
    WRONG("DR7 is", vcpu_write(fixture.guest->vcpus[0], VCPU_DR7, BIT(32)));
    WRONG("PAT is", vcpu_write(fixture.guest->vcpus[0], VCPU_PAT, 2));
    WRONG("CS attributes is 0xe09b", fake_backend(fixture.guest->vcpus[0])->segments[SEGMENT_CS].attributes = 0xe09b);
}

/* Outside of long mode, paging with PAE takes its four entries from the VMCS. */
static void test_each_pdpte(void **context)
{
    static const char *const words[] = {"PDPTE 0 is", "PDPTE 1 is", "PDPTE 2 is", "PDPTE 3 is"};

    (void)context;
    for (unsigned i = 0; i < 4; i++) {
        begin();
        clear(VMCS_ENTRY_CONTROLS, ENTRY_IA32E);
        set(VMCS_GUEST_EFER, 0);
        fake_backend(fixture.guest->vcpus[0])->segments[SEGMENT_CS].attributes = 0xc09b;
        for (unsigned entry = 0; entry < 4; entry++)
            set(vmcs_pdpte(entry), entry == i ? 3 : 1);
        expect(words[i]);
    }
}

static void test_each_control(void **context)
{
    (void)context;
    WRONG("pin-based controls", clear(VMCS_PIN_CONTROLS, 2));
    WRONG("primary controls", set(VMCS_PRIMARY_CONTROLS, fixture.fields[ENCODING_PRIMARY_CONTROLS] | BIT(31)));
    WRONG("secondary controls", clear(VMCS_SECONDARY_CONTROLS, 4));
    WRONG("VM-exit controls", set(VMCS_EXIT_CONTROLS, fixture.fields[ENCODING_EXIT_CONTROLS] | BIT(31)));
    WRONG("VM-entry controls", set(VMCS_ENTRY_CONTROLS, fixture.fields[ENCODING_ENTRY_CONTROLS] | BIT(31)));
    WRONG("\"NMI exiting\" is 0x0", clear(VMCS_PIN_CONTROLS, PIN_NMI));
    WRONG("\"NMI-window exiting\" is 0x1", clear(VMCS_PIN_CONTROLS, PIN_VIRTUAL_NMIS));
    WRONG("\"activate VMX-preemption timer\" is 0x0", clear(VMCS_PIN_CONTROLS, PIN_PREEMPTION_TIMER));
    WRONG("\"unrestricted guest\" is 0x1", vmx_cpu.capabilities[CONTROLS_SECONDARY] &= ~UINT64_C(0xff);
          clear(VMCS_SECONDARY_CONTROLS, SECONDARY_EPT));
    WRONG("CR3-target count is 0x5", set(VMCS_CR3_TARGET_COUNT, 5));
    /* The fake processor has 40 bits: the second page of the I/O bitmaps must be within as well. */
    WRONG("I/O bitmap is 0xfffffff000", set(VMCS_IO_BITMAP_A, 0xfffffff000));
    WRONG("MSR bitmap is 0x13008", set(VMCS_MSR_BITMAP, 0x13008));
    WRONG("EPTP is 0x14000", set(VMCS_EPT_POINTER, 0x14000));
    WRONG("VPID or ASID is 0x0", set(VMCS_VPID, 0));
    WRONG("virtual-APIC page is 0x15001", set(VMCS_VIRTUAL_APIC, 0x15001));
    WRONG("TPR threshold is 0x10", set(VMCS_TPR_THRESHOLD, 0x10));
    WRONG("TPR threshold is 0x3, the virtual TPR is 0x20",
          (set(VMCS_TPR_THRESHOLD, 3), fixture.virtual_apic[VIRTUAL_APIC_TPR] = 0x20));
}

static void test_each_state_between_instructions(void **context)
{
    (void)context;
    WRONG("activity state is 0x4", set(VMCS_GUEST_ACTIVITY, 4));
    WRONG("interruptibility state is 0x20", set(VMCS_GUEST_INTERRUPTIBILITY, 0x20));
    WRONG("pending debug exceptions is 0x10", set(VMCS_GUEST_PENDING_DEBUG, 0x10));
    WRONG("VMCS link pointer is 0x1", set(VMCS_VMCS_LINK, 1));
    WRONG("NMIs are blocked", (set(VMCS_GUEST_INTERRUPTIBILITY, BLOCKED_NMI), set(VMCS_ENTRY_EVENT, 0x80000202)));
    WRONG("the event is 0x80000703", set(VMCS_ENTRY_EVENT, 0x80000703));
    WRONG("the error code is 0x10000", (set(VMCS_ENTRY_EVENT, 0x80000b0d), set(VMCS_ENTRY_ERROR_CODE, 0x10000)));
    WRONG("the instruction length is 0x0", set(VMCS_ENTRY_EVENT, 0x80000480));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),          cmocka_unit_test(test_absent_fields),
        cmocka_unit_test(test_each_register), cmocka_unit_test(test_each_pdpte),
        cmocka_unit_test(test_each_control),  cmocka_unit_test(test_each_state_between_instructions),
    };

    return cmocka_run_group_tests_name("vmx_entry_state", tests, NULL, NULL);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VMCS has for hv's entry checks, and what this processor takes. Intel SDM vol. 3, "VM Entries".
 */
#include "arch/vmx/vmx.h"

#define EFER_ALLOWED (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

/* All but "other event" (7), which stands for a pending MTF exit. */
#define EVENT_TYPES                                                                                                    \
    (BIT(EVENT_WORD_INTERRUPT) | BIT(EVENT_WORD_NMI) | BIT(EVENT_WORD_EXCEPTION) |                                     \
     BIT(EVENT_WORD_SOFTWARE_INTERRUPT) | BIT(EVENT_WORD_PRIVILEGED_EXCEPTION) | BIT(EVENT_WORD_SOFTWARE_EXCEPTION))

static void read_registers(struct entry_state *state)
{
    uint64_t entry = vmcs_read(VMCS_ENTRY_CONTROLS);

    state->long_mode = (entry & ENTRY_IA32E) != 0;
    state->loads_debug = (entry & ENTRY_LOAD_DEBUG) != 0;
    state->loads_pat = (entry & ENTRY_LOAD_PAT) != 0;
    state->loads_efer = (entry & ENTRY_LOAD_EFER) != 0;
    state->cr0_ones = msr_read(MSR_VMX_CR0_FIXED0);
    state->cr0_allowed = msr_read(MSR_VMX_CR0_FIXED1);
    state->cr4_ones = msr_read(MSR_VMX_CR4_FIXED0);
    state->cr4_allowed = msr_read(MSR_VMX_CR4_FIXED1);
    state->efer_allowed = EFER_ALLOWED;
    state->cr0 = vmcs_read(VMCS_GUEST_CR0);
    state->cr4 = vmcs_read(VMCS_GUEST_CR4);
    state->efer = vmcs_read(VMCS_GUEST_EFER);
    for (unsigned i = 0; i < ARRAY_SIZE(state->pdptes); i++)
        state->pdptes[i] = vmcs_read(vmcs_pdpte(i));
}

/* hv's words of controls are ours. */
_Static_assert(CONTROLS_PIN == (int)ENTRY_CONTROL_PIN && CONTROLS_PRIMARY == (int)ENTRY_CONTROL_PRIMARY &&
                   CONTROLS_SECONDARY == (int)ENTRY_CONTROL_SECONDARY && CONTROLS_EXIT == (int)ENTRY_CONTROL_EXIT &&
                   CONTROLS_ENTRY == (int)ENTRY_CONTROL_ENTRY,
               "words of controls");

static void read_control_words(struct entry_state *state)
{
    static const uint16_t fields[CONTROLS_WORDS] = {
        [CONTROLS_PIN] = ENCODING_PIN_CONTROLS,
        [CONTROLS_PRIMARY] = ENCODING_PRIMARY_CONTROLS,
        [CONTROLS_SECONDARY] = ENCODING_SECONDARY_CONTROLS,
        [CONTROLS_EXIT] = ENCODING_EXIT_CONTROLS,
        [CONTROLS_ENTRY] = ENCODING_ENTRY_CONTROLS,
    };

    for (unsigned word = 0; word < CONTROLS_WORDS; word++) {
        uint64_t capability = vmx_cpu.capabilities[word];
        state->controls[word] = (struct entry_control_word){
            .value = (uint32_t)vmcs_read((struct vmcs_field){fields[word]}),
            .ones = (uint32_t)capability,
            .allowed = (uint32_t)(capability >> 32),
        };
    }
}

static void read_controls(const struct vmx_vcpu *vmx, struct entry_state *state)
{
    read_control_words(state);
    uint32_t pin = state->controls[CONTROLS_PIN].value, primary = state->controls[CONTROLS_PRIMARY].value;
    uint32_t secondary = state->controls[CONTROLS_SECONDARY].value;

    state->unrestricted = (secondary & SECONDARY_UNRESTRICTED) != 0;
    state->has_vpid = (secondary & SECONDARY_VPID) != 0;
    state->has_ept = (secondary & SECONDARY_EPT) != 0;
    state->nmi_exits = (pin & PIN_NMI) != 0;
    state->virtual_nmis = (pin & PIN_VIRTUAL_NMIS) != 0;
    state->has_timer = (pin & PIN_PREEMPTION_TIMER) != 0;
    state->saves_timer = (state->controls[CONTROLS_EXIT].value & EXIT_SAVE_PREEMPTION_TIMER) != 0;
    state->nmi_window = (primary & PRIMARY_NMI_WINDOW) != 0;
    state->tpr_shadow = (primary & PRIMARY_TPR_SHADOW) != 0;
    state->cr3_targets = (uint32_t)vmcs_read(VMCS_CR3_TARGET_COUNT);
    state->io_bitmap = vmcs_read(VMCS_IO_BITMAP_A);
    state->io_bitmap_bytes = 2 * PAGE_SIZE; /* A, and B behind it */
    state->msr_bitmap = vmcs_read(VMCS_MSR_BITMAP);
    state->msr_bitmap_bytes = PAGE_SIZE;
    state->stage2_root = vmcs_read(VMCS_EPT_POINTER);
    if (state->has_vpid)
        state->address_space = (uint32_t)vmcs_read(VMCS_VPID);
    if (!state->tpr_shadow)
        return;
    state->virtual_apic = vmcs_read(VMCS_VIRTUAL_APIC);
    state->virtual_tpr = vmx->virtual_apic[VIRTUAL_APIC_TPR];
    state->tpr_threshold = (uint32_t)vmcs_read(VMCS_TPR_THRESHOLD);
}

void vmx_entry_state(const struct vmx_vcpu *vmx, struct entry_state *state)
{
    state->vendor = ENTRY_INTEL;
    read_registers(state);
    read_controls(vmx, state);
    state->activity = (uint32_t)vmcs_read(VMCS_GUEST_ACTIVITY);
    state->interruptibility = (uint32_t)vmcs_read(VMCS_GUEST_INTERRUPTIBILITY);
    state->pending_debug = vmcs_read(VMCS_GUEST_PENDING_DEBUG);
    state->link_pointer = vmcs_read(VMCS_VMCS_LINK);
    state->event = (uint32_t)vmcs_read(VMCS_ENTRY_EVENT);
    state->event_error_code = (uint32_t)vmcs_read(VMCS_ENTRY_ERROR_CODE);
    state->event_length = (uint32_t)vmcs_read(VMCS_ENTRY_INSTRUCTION_LENGTH);
    state->event_types = EVENT_TYPES;
}

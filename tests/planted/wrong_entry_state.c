/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A fault of the hypervisor, made on purpose: the vCPUs of guest "broken" start with bits that no processor enters a
 * guest with. No guest can bring that about. The linker puts this around the real function (tests/targets.mk).
 */
#include "hv/guest.h"
#include "hv/string.h"
#include "hv/vcpu.h"

#define CR4_RESERVED BIT(31)
#define DR7_RESERVED BIT(40)

void __real_vcpu_reset(struct vcpu *vcpu, const struct vcpu_state *state);
void __wrap_vcpu_reset(struct vcpu *vcpu, const struct vcpu_state *state);

void __wrap_vcpu_reset(struct vcpu *vcpu, const struct vcpu_state *state)
{
    __real_vcpu_reset(vcpu, state);
    if (strcmp(vcpu->guest->name, "broken") != 0)
        return;
    vcpu_write(vcpu, VCPU_CR4, vcpu_read(vcpu, VCPU_CR4) | CR4_RESERVED);
    vcpu_write(vcpu, VCPU_DR7, vcpu_read(vcpu, VCPU_DR7) | DR7_RESERVED);
}

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The audit of one vCPU: what its finished control block and permission maps let it do by itself.
 */
#include "hv/audit.h"
#include "hv/guest.h"
#include "hv/intercept.h"
#include "hv/msr.h"
#include "hv/vcpu.h"
#include "hv/virt.h"

#define PORTS_PER_MAP 0x8000u

static void fault(const struct vcpu *vcpu, struct audit_result *result, const char *what, uint64_t number)
{
    audit_fault(result, &result->vcpu_faults, "guest \"%s\", vCPU %u: %s 0x%llx", vcpu->guest->name, vcpu->number, what,
                (unsigned long long)number);
}

/* Devices are models, so no port is a guest's own. */
static void check_ports(const struct vcpu *vcpu, const struct virt_permissions *permissions,
                        struct audit_result *result)
{
    for (uint32_t port = 0; port < 2 * PORTS_PER_MAP; port++) {
        const uint8_t *map = permissions->port_maps[port / PORTS_PER_MAP];
        uint32_t bit = port % PORTS_PER_MAP;
        if ((map[bit / 8] >> bit % 8 & 1) == 0)
            fault(vcpu, result, "reaches port", port);
    }
}

static void check_msrs(const struct vcpu *vcpu, const struct virt_permissions *permissions, struct audit_result *result)
{
    static const uint32_t ranges[] = {0, 0xc0000000, 0xc0010000};

    for (unsigned i = 0; i < ARRAY_SIZE(ranges); i++) {
        for (uint32_t msr = ranges[i]; msr < ranges[i] + 0x2000; msr++) {
            if (!permissions->msr_exits(permissions, msr, false) && !msr_is_direct(msr, false))
                fault(vcpu, result, "reads MSR", msr);
            if (!permissions->msr_exits(permissions, msr, true) && !msr_is_direct(msr, true))
                fault(vcpu, result, "writes MSR", msr);
        }
    }
}

void audit_vcpu(struct vcpu *vcpu, struct audit_result *result)
{
    struct virt_permissions permissions;

    virt->read_permissions(vcpu, &permissions);
    if (permissions.stage2_root != vcpu->guest->stage2_root)
        fault(vcpu, result, "runs on a second-stage table that is not its guest's:", permissions.stage2_root);
    if (intercept_verify(virt->name, permissions.places, permissions.words) != 0)
        audit_fault(result, &result->vcpu_faults, "guest \"%s\", vCPU %u: an intercept is missing", vcpu->guest->name,
                    vcpu->number);
    check_ports(vcpu, &permissions, result);
    check_msrs(vcpu, &permissions, result);
    result->vcpus++;
}

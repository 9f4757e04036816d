/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of intercepts, and whether control words have them.
 */
#include "hv/intercept.h"

#include "hv/error.h"
#include "hv/log.h"

/* clang-format off */
const struct intercept_rule intercept_rules[INTERCEPT_COUNT] = {
    [INTERCEPT_INTERRUPT] = {"external interrupts", INTERCEPT_NEEDED, "they are the host's"},
    [INTERCEPT_NMI] = {"NMIs", INTERCEPT_NEEDED, "they are kicks, or the host's"},
    [INTERCEPT_INIT] = {"INIT", INTERCEPT_NEEDED, "it would reset the processor"},
    [INTERCEPT_SHUTDOWN] = {"triple faults", INTERCEPT_NEEDED, "they would reset the machine"},
    [INTERCEPT_DEBUG] = {"#DB", INTERCEPT_NEEDED, "its delivery can loop for ever, with kicks held off"},
    [INTERCEPT_ALIGNMENT] = {"#AC", INTERCEPT_NEEDED, "its delivery can loop for ever, with kicks held off"},
    [INTERCEPT_MACHINE_CHECK] = {"#MC", INTERCEPT_NEEDED, "it is the machine's"},
    [INTERCEPT_CPUID] = {"CPUID", INTERCEPT_NEEDED, "it tells the policy's processor"},
    [INTERCEPT_HLT] = {"HLT", INTERCEPT_NEEDED, "timers of models must wake the guest"},
    [INTERCEPT_IO] = {"ports", INTERCEPT_NEEDED, "they are models"},
    [INTERCEPT_MSR] = {"MSRs", INTERCEPT_NEEDED, "they are policy: EFER, APIC_BASE and all that no map opens"},
    [INTERCEPT_RDPMC] = {"RDPMC", INTERCEPT_NEEDED, "the counters are the host's"},
    [INTERCEPT_INVD] = {"INVD", INTERCEPT_NEEDED, "it throws away what others have written"},
    [INTERCEPT_WBINVD] = {"WBINVD", INTERCEPT_WANTED, "it stalls everyone who shares the cache"},
    [INTERCEPT_MONITOR] = {"MONITOR", INTERCEPT_NEEDED, "see MWAIT"},
    [INTERCEPT_MWAIT] = {"MWAIT", INTERCEPT_NEEDED, "it sleeps in states that no timer of ours ends"},
    [INTERCEPT_XSETBV] = {"XSETBV", INTERCEPT_NEEDED, "XCR0 is policy"},
    [INTERCEPT_VIRTUALIZATION] = {"VMX and SVM instructions", INTERCEPT_NEEDED, "virtualization is ours"},
    [INTERCEPT_SECURE_LAUNCH] = {"GETSEC and SKINIT", INTERCEPT_NEEDED, "they replace the hypervisor"},
    [INTERCEPT_RSM] = {"RSM", INTERCEPT_NEEDED, "a guest has no SMM to return from"},
    [INTERCEPT_ENCLS] = {"ENCLS", INTERCEPT_QUIET, "enclaves are not offered"},
    [INTERCEPT_RDPRU] = {"RDPRU", INTERCEPT_QUIET, "the counters are the host's"},
};
/* clang-format on */

uint32_t intercept_bits(const struct intercept_place *places, unsigned word)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < INTERCEPT_COUNT; i++) {
        if (places[i].word == word)
            bits |= places[i].bits;
    }
    return bits;
}

int intercept_verify(const char *backend, const struct intercept_place *places, const uint32_t *words)
{
    int error = 0;

    for (unsigned i = 0; i < INTERCEPT_COUNT; i++) {
        const struct intercept_rule *rule = &intercept_rules[i];
        if ((words[places[i].word] & places[i].bits) == places[i].bits || rule->need == INTERCEPT_QUIET)
            continue;
        if (rule->need == INTERCEPT_WANTED) {
            log_info("%s: this processor does not intercept %s: guests execute it themselves", backend, rule->name);
            continue;
        }
        log_error("%s: this processor does not intercept %s, which Bulkhead needs: %s", backend, rule->name,
                  rule->reason);
        error = E_NOSYS;
    }
    return error;
}

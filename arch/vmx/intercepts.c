/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where the VMCS has hv's list of intercepts. Intel SDM vol. 3, "VM-Execution Control Fields"; what needs no control:
 * "Instructions That Cause VM Exits Unconditionally" and "Other Causes of VM Exits".
 */
#include "arch/vmx/vmx.h"

#define ALWAYS                                                                                                         \
    {                                                                                                                  \
        CONTROLS_PIN, 0                                                                                                \
    }

const struct intercept_place vmx_intercepts[INTERCEPT_COUNT] = {
    [INTERCEPT_INTERRUPT] = {CONTROLS_PIN, PIN_EXTERNAL_INTERRUPT},
    [INTERCEPT_NMI] = {CONTROLS_PIN, PIN_NMI},
    [INTERCEPT_INIT] = ALWAYS,
    [INTERCEPT_SHUTDOWN] = ALWAYS,
    [INTERCEPT_DEBUG] = {WORD_EXCEPTIONS, 1u << VECTOR_DB},
    [INTERCEPT_ALIGNMENT] = {WORD_EXCEPTIONS, 1u << VECTOR_AC},
    [INTERCEPT_MACHINE_CHECK] = {WORD_EXCEPTIONS, 1u << VECTOR_MC},
    [INTERCEPT_CPUID] = ALWAYS,
    [INTERCEPT_HLT] = {CONTROLS_PRIMARY, PRIMARY_HLT},
    [INTERCEPT_IO] = {CONTROLS_PRIMARY, PRIMARY_IO_BITMAPS},
    [INTERCEPT_MSR] = {CONTROLS_PRIMARY, PRIMARY_MSR_BITMAPS},
    [INTERCEPT_RDPMC] = {CONTROLS_PRIMARY, PRIMARY_RDPMC},
    [INTERCEPT_INVD] = ALWAYS,
    [INTERCEPT_WBINVD] = {CONTROLS_SECONDARY, SECONDARY_WBINVD},
    [INTERCEPT_MONITOR] = {CONTROLS_PRIMARY, PRIMARY_MONITOR},
    [INTERCEPT_MWAIT] = {CONTROLS_PRIMARY, PRIMARY_MWAIT},
    [INTERCEPT_XSETBV] = ALWAYS,
    [INTERCEPT_VIRTUALIZATION] = ALWAYS,
    [INTERCEPT_SECURE_LAUNCH] = ALWAYS,
    [INTERCEPT_RSM] = ALWAYS, /* #UD outside of SMM */
    [INTERCEPT_ENCLS] = {CONTROLS_SECONDARY, SECONDARY_ENCLS},
    [INTERCEPT_RDPRU] = ALWAYS, /* there is none */
};

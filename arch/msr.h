/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Model-specific registers that both vendors' code names. Intel SDM vol. 4, "Architectural MSRs"; AMD APM vol. 2,
 * appendix "MSR Cross-Reference".
 */
#ifndef ARCH_MSR_H
#define ARCH_MSR_H

#define MSR_TSC               0x00000010u
#define MSR_APIC_BASE         0x0000001bu
#define MSR_FEATURE_CONTROL   0x0000003au
#define MSR_ARCH_CAPABILITIES 0x0000010au
#define MSR_SYSENTER_CS       0x00000174u
#define MSR_SYSENTER_ESP      0x00000175u
#define MSR_SYSENTER_EIP      0x00000176u
#define MSR_MISC_ENABLE       0x000001a0u
#define MSR_DEBUGCTL          0x000001d9u
#define MSR_PAT               0x00000277u
#define MSR_TSC_DEADLINE      0x000006e0u
#define MSR_X2APIC_BASE       0x00000800u
#define MSR_XSS               0x00000da0u
#define MSR_EFER              0xc0000080u
#define MSR_STAR              0xc0000081u
#define MSR_LSTAR             0xc0000082u
#define MSR_CSTAR             0xc0000083u
#define MSR_SFMASK            0xc0000084u
#define MSR_FS_BASE           0xc0000100u
#define MSR_GS_BASE           0xc0000101u
#define MSR_KERNEL_GS_BASE    0xc0000102u
#define MSR_TSC_AUX           0xc0000103u

/* The PAT after a reset: WB WT UC- UC, twice. Intel SDM vol. 3, "Programming the PAT". */
#define PAT_RESET UINT64_C(0x0007040600070406)

#endif

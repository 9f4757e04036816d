/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * void fpu_reset(void): x87, SSE and every extended state component that the CPU has, to the values a reset leaves, so that nothing
 * of a guest's earlier life stays. Intel SDM vol. 1, "Operation of XRSTOR": a clear XSTATE_BV bit initialises its component.
 */
    .text
    .code64
    .global fpu_reset
fpu_reset:
    fninit
    movq %cr4, %rax
    testl $(1 << 18), %eax /* OSXSAVE */
    jz 1f
    pushq %rbx
    movl $0xd, %eax
    xorl %ecx, %ecx
    cpuid /* EDX:EAX: all components of XCR0 */
    popq %rbx
    xorl %ecx, %ecx
    xsetbv
    xrstor64 reset_image(%rip)
    ret
1:  fxrstor64 reset_image(%rip)
    ret

    .section .rodata
    .balign 64
reset_image:
    .short 0x037f /* FCW, as FNINIT leaves it */
    .skip 22
    .long 0x1f80 /* MXCSR */
    .skip 512 - 28
    .skip 64 /* XSAVE header: no component present */

    .section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into an AMD-V guest and back. RAX, RSP, RIP and RFLAGS are the VMCB's business; FS, GS, TR, LDTR and the system-call MSRs go by VMLOAD and
 * VMSAVE, so that the host's TR (and with it the interrupt stacks) is back before GIF lets an NMI in.
 * AMD APM vol. 2, "VMRUN Instruction", "VMSAVE and VMLOAD Instructions".
 */
    .text
    .code64
    .balign 64
    .global svm_enter
/* RDI: gpr[16], RSI: guest VMCB, RDX: host save area, RCX: requests */
svm_enter:
    clgi
    cmpl $0, (%rcx)
    jne 1f
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushq %rdi
    pushq %rdx
    pushq %rsi
    movq 0x08(%rdi), %rcx
    movq 0x10(%rdi), %rdx
    movq 0x18(%rdi), %rbx
    movq 0x28(%rdi), %rbp
    movq 0x40(%rdi), %r8
    movq 0x48(%rdi), %r9
    movq 0x50(%rdi), %r10
    movq 0x58(%rdi), %r11
    movq 0x60(%rdi), %r12
    movq 0x68(%rdi), %r13
    movq 0x70(%rdi), %r14
    movq 0x78(%rdi), %r15
    movq 0x30(%rdi), %rsi
    movq 0x38(%rdi), %rdi
    movq (%rsp), %rax
    /*
     * With virtual interrupt masking it is the host's IF that lets physical interrupts end the guest's stay; GIF holds them here. Not right
     * before VMRUN: an emulator was seen to carry the shadow of this STI into the guest, where it took the place of the guest's own.
     */
    sti
    vmload
    vmrun
    cli
    vmsave
    movq 0x08(%rsp), %rax
    vmload
    movq 0x10(%rsp), %rax
    movq %rcx, 0x08(%rax)
    movq %rdx, 0x10(%rax)
    movq %rbx, 0x18(%rax)
    movq %rbp, 0x28(%rax)
    movq %rsi, 0x30(%rax)
    movq %rdi, 0x38(%rax)
    movq %r8, 0x40(%rax)
    movq %r9, 0x48(%rax)
    movq %r10, 0x50(%rax)
    movq %r11, 0x58(%rax)
    movq %r12, 0x60(%rax)
    movq %r13, 0x68(%rax)
    movq %r14, 0x70(%rax)
    movq %r15, 0x78(%rax)
    addq $0x18, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    stgi
    xorl %eax, %eax
    ret
1:  stgi
    movl $1, %eax
    ret

    .section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Into the guest and out again. The guest's general registers live in vcpu->gpr, its RSP in the VMCS; the host's stack, which HOST_RSP
 * names, keeps what of the host must be kept.
 */

/* Asserted in exit.c. */
.set HOST_RSP, 0x6c14
.set VMX_HOST_RSP, 0
.set VMX_LAUNCHED, 8
.set SELECTOR_CODE, 0x08
.set SELECTOR_DATA, 0x10

.macro load_guest
    mov 0(%rdi), %rax
    mov 8(%rdi), %rcx
    mov 16(%rdi), %rdx
    mov 24(%rdi), %rbx
    mov 40(%rdi), %rbp
    mov 48(%rdi), %rsi
    mov 64(%rdi), %r8
    mov 72(%rdi), %r9
    mov 80(%rdi), %r10
    mov 88(%rdi), %r11
    mov 96(%rdi), %r12
    mov 104(%rdi), %r13
    mov 112(%rdi), %r14
    mov 120(%rdi), %r15
    mov 56(%rdi), %rdi
.endm

.text

/* RDI: vcpu, RSI: its struct vmx_vcpu. Returns EAX as exit.c says, and keeps RDI, RBP and RSP. */
.globl vmx_enter
.type vmx_enter, @function
vmx_enter:
    push %rbp
    push %rdi
    cmp %rsp, VMX_HOST_RSP(%rsi)
    jne 1f
    load_guest
    vmresume
    jmp 3f
    /* The first entry, one behind a refusal, or one from another depth of the stack. */
1:
    mov %rsp, VMX_HOST_RSP(%rsi)
    mov $HOST_RSP, %eax
    vmwrite %rsp, %rax
    jbe vmcs_access_failed
    cmpb $0, VMX_LAUNCHED(%rsi) /* the moves keep the flags */
    load_guest
    je 2f
    vmresume
    jmp 3f
2:
    vmlaunch
3:
    /* Still here: CF says VMfailInvalid, ZF VMfailValid. */
    setz %al
    movzbl %al, %eax
    inc %eax
    jmp 4f

.globl vmx_exit_entry
.type vmx_exit_entry, @function
vmx_exit_entry:
    push %rdi
    mov 8(%rsp), %rdi
    mov %rax, 0(%rdi)
    mov %rcx, 8(%rdi)
    mov %rdx, 16(%rdi)
    mov %rbx, 24(%rdi)
    mov %rbp, 40(%rdi)
    mov %rsi, 48(%rdi)
    pop 56(%rdi)
    mov %r8, 64(%rdi)
    mov %r9, 72(%rdi)
    mov %r10, 80(%rdi)
    mov %r11, 88(%rdi)
    mov %r12, 96(%rdi)
    mov %r13, 104(%rdi)
    mov %r14, 112(%rdi)
    mov %r15, 120(%rdi)
    xor %eax, %eax
4:
    pop %rdi
    pop %rbp
    ret
.size vmx_enter, . - vmx_enter

/* Only an IRET ends NMI blocking: return to our own caller with one. */
.globl vmx_unblock_nmi
.type vmx_unblock_nmi, @function
vmx_unblock_nmi:
    mov %rsp, %rax
    lea 1f(%rip), %rcx
    push $SELECTOR_DATA
    push %rax
    pushfq
    push $SELECTOR_CODE
    push %rcx
    iretq
1:
    ret
.size vmx_unblock_nmi, . - vmx_unblock_nmi

/* Where vmcs_read and vmcs_write jump: make the jump a call, as the compiler and the backtrace expect it. */
.globl vmcs_access_failed
.type vmcs_access_failed, @function
vmcs_access_failed:
    and $-16, %rsp
    call vmx_access_panic
    ud2
.size vmcs_access_failed, . - vmcs_access_failed

.section .note.GNU-stack, "", @progbits

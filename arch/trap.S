/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Entry of every host exception and interrupt: 256 stubs of 16 bytes that push a uniform frame (struct trap_frame), then C.
 * Intel SDM vol. 3, "64-Bit Mode Stack Frame".
 */
    .text
    .code64
    .balign 16
    .global trap_stubs
trap_stubs:
vector = 0
    .rept 256
    .balign 16
    /* The vectors for which the processor pushes an error code: 8, 10-14, 17, 21, 29, 30. */
    .if !(vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30)
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
vector = vector + 1
    .endr

    .balign 16
trap_common:
    cld
    pushq %r15
    pushq %r14
    pushq %r13
    pushq %r12
    pushq %r11
    pushq %r10
    pushq %r9
    pushq %r8
    pushq %rdi
    pushq %rsi
    pushq %rbp
    pushq %rsp
    pushq %rbx
    pushq %rdx
    pushq %rcx
    pushq %rax
    movq %rsp, %rdi
    /* A frame for the backtrace: return address and RBP of what was interrupted; 16-byte alignment for C. */
    movq %rsp, %rbx
    andq $-16, %rsp
    call trap_handle
    movq %rbx, %rsp
    popq %rax
    popq %rcx
    popq %rdx
    popq %rbx
    addq $8, %rsp
    popq %rbp
    popq %rsi
    popq %rdi
    popq %r8
    popq %r9
    popq %r10
    popq %r11
    popq %r12
    popq %r13
    popq %r14
    popq %r15
    addq $16, %rsp
    iretq

/*
 * The instructions that may raise #GP: the trap handler finds the faulting address in the exception table and goes on at the fix-up.
 */
    .macro may_fault at, fixup
    .pushsection .exception_table, "a"
    .quad \at, \fixup
    .popsection
    .endm

/* int msr_read_safe(uint32_t msr, uint64_t *value) */
    .global msr_read_safe
msr_read_safe:
    movl %edi, %ecx
1:  rdmsr
    may_fault 1b, fault_nosys
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, (%rsi)
    xorl %eax, %eax
    ret

/* int msr_write_safe(uint32_t msr, uint64_t value) */
    .global msr_write_safe
msr_write_safe:
    movl %edi, %ecx
    movl %esi, %eax
    movq %rsi, %rdx
    shrq $32, %rdx
1:  wrmsr
    may_fault 1b, fault_nosys
    xorl %eax, %eax
    ret

/* int xcr0_write_safe(uint64_t value) */
    .global xcr0_write_safe
xcr0_write_safe:
    xorl %ecx, %ecx
    movl %edi, %eax
    movq %rdi, %rdx
    shrq $32, %rdx
1:  xsetbv
    may_fault 1b, fault_inval
    xorl %eax, %eax
    ret

fault_nosys:
    movl $-38, %eax /* E_NOSYS */
    ret
fault_inval:
    movl $-22, %eax /* E_INVAL */
    ret

/*
 * void wait_for_interrupt(const uint32_t *stop_when_set): HLT with interrupts on unless *stop_when_set. A kick (an NMI) that comes between the
 * look and the HLT would be slept over: the NMI handler moves an RIP inside [wait_window_start, wait_window_end) to the end.
 */
    .global wait_for_interrupt, wait_window_start, wait_window_end
wait_for_interrupt:
wait_window_start:
    cmpl $0, (%rdi)
    jne wait_window_end
    sti
    hlt
wait_window_end:
    cli
    ret

    .section .note.GNU-stack, "", @progbits

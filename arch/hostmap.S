/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The step from the start-up page tables and stack to a CPU's own: in the image, which both map alike.
 */
    .text
    .global trampoline_high
/* RDI: this CPU's page tables, ESI: its number. In the image, so the change of tables does not move the ground. */
trampoline_high:
    movq %rdi, %cr3
    movq $cpu_stack_end, %rsp
    xorl %ebp, %ebp
    movl %esi, %edi
    call smp_main
1:  cli
    hlt
    jmp 1b

/* void hostmap_enter(hpa_t root, void (*main)(void)): leave the boot stack and tables for good. */
    .global hostmap_enter
hostmap_enter:
    movq %rdi, %cr3
    movq $cpu_stack_end, %rsp
    xorl %ebp, %ebp
    call *%rsi
1:  cli
    hlt
    jmp 1b

    .section .note.GNU-stack, "", @progbits

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where an application processor starts: real mode, in a page below 640 KiB to which smp.c copies this code, then long mode on the
 * page tables that were made for it. Intel SDM vol. 3, "MP Initialization For P6 Family Processors".
 */
    .section .rodata
    .balign 16
    .global trampoline_start, trampoline_end, trampoline_parameters
    .code16
trampoline_start:
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx /* where this page is */
    /* The two pointers that depend on it. */
    leal (trampoline_gdt - trampoline_start)(%ebx), %eax
    movl %eax, trampoline_gdt_pointer - trampoline_start + 2
    leal (trampoline_long - trampoline_start)(%ebx), %eax
    movl %eax, trampoline_far - trampoline_start
    lgdtl trampoline_gdt_pointer - trampoline_start

    movl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl trampoline_boot_root - trampoline_start, %eax
    movl %eax, %cr3
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax /* LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax
    orl $0x80010001, %eax
    movl %eax, %cr0
    ljmpl *(trampoline_far - trampoline_start)

    .code64
trampoline_long:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    /* The boot tables map this page one to one and the image; the CPU's own map only the latter. */
    movq trampoline_root - trampoline_start(%rbx), %rdi
    movq trampoline_entry - trampoline_start(%rbx), %rax
    movl trampoline_number - trampoline_start(%rbx), %esi
    jmp *%rax

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
trampoline_gdt_pointer:
    .short . - trampoline_gdt - 1
    .long 0
trampoline_far:
    .long 0
    .short 0x08
    .balign 8
trampoline_parameters: /* struct trampoline_parameters in arch/smp.c */
trampoline_boot_root:
    .quad 0
trampoline_root:
    .quad 0
trampoline_entry:
    .quad 0
trampoline_number:
    .long 0
trampoline_end:

    .section .note.GNU-stack, "", @progbits

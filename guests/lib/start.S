/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a guest of ours comes to C: from a multiboot 1 loader, or from a start-up IPI, into 64-bit mode with the first
 * 4 GiB where they are; its way into an interrupt handler and out; into ring 3 and back; and out of a fault that it
 * expected. Multiboot Specification 0.6.96, section 3; Intel SDM vol. 3, "Typical AP Initialization Sequence".
 */
#define MULTIBOOT_MAGIC 0x1badb002
#define MULTIBOOT_FLAGS 0x3 /* modules on page boundaries, memory sizes */

/* Selectors of `gdt` in processor.c. */
#define CODE32    0x08
#define DATA      0x10
#define CODE64    0x18
#define USER_DATA 0x23
#define USER_CODE 0x2b

#define CR0_START   0x80000033 /* PG NE ET MP PE: caches on, also behind an INIT */
#define CR4_PAE     0x20
#define MSR_EFER    0xc0000080
#define EFER_LME    0x100
#define TABLE_ENTRY 0x07 /* present, writable, for ring 3 as well */
#define LARGE_ENTRY 0x87
#define LARGE_PAGE  0x200000

#define CPUS       16     /* LIB_CPUS_MAX */
#define STACK_SIZE 0x4000 /* LIB_STACK_SIZE */
#define VECTORS    256

    .section .multiboot, "a"
    .balign 4
    .long MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS)

    .text
    .code32
    .global start
start:
    cli
    cld
    movl %ebx, boot_information
    movl $page_directories, %edi
    movl $LARGE_ENTRY, %eax
    movl $(4 * 512), %ecx
1:  movl %eax, (%edi)
    addl $LARGE_PAGE, %eax
    addl $8, %edi
    loop 1b
    movl $(page_directories + TABLE_ENTRY), %eax
    movl $page_pointers, %edi
    movl $4, %ecx
1:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 1b
    movl $(page_pointers + TABLE_ENTRY), page_root
    movl $boot_processor, %edi
    jmp enter_long_mode

/* Where the trampoline leads. */
    .global other_processor_32
other_processor_32:
    movw $DATA, %ax
    movw %ax, %ds
    movl $other_processor, %edi

/* EDI: where to go on in 64-bit mode. */
enter_long_mode:
    lgdtl gdt_pointer
    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $page_root, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl $CR0_START, %eax
    movl %eax, %cr0
    ljmpl $CODE64, $1f

    .code64
1:  movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movl %edi, %edi
    jmp *%rdi

boot_processor:
    movl $(stacks + STACK_SIZE), %esp
    xorl %ebp, %ebp
    call lib_main
    ud2

/* Its number is its APIC id: CPUID leaf 1. */
other_processor:
    movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %edi
    leal 1(%rbx), %esp
    imull $STACK_SIZE, %esp, %esp
    addl $stacks, %esp
    xorl %ebp, %ebp
    call lib_other_main
    ud2

/* Copied to any page below 1 MiB, 0 included; it knows nothing of where it is. */
    .section .rodata
    .global trampoline, trampoline_end
    .code16
trampoline:
    cli
    movw %cs, %ax
    movw %ax, %ds
    lgdtl trampoline_gdt_pointer - trampoline
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $other_processor_32
trampoline_gdt_pointer:
    .word (6 + 2 * CPUS) * 8 - 1
    .long gdt
trampoline_end:
    .code64

/* ---- Interrupts ---- */

    .text
    .global interrupt_entries
    .balign 16
interrupt_entries: /* of 16 bytes each */
vector = 0
    .rept VECTORS
    .balign 16
    .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
    .else
    pushq $0 /* in place of an error code */
    .endif
    pushq $vector
    jmp interrupt_common
vector = vector + 1
    .endr

interrupt_common: /* struct interrupt_frame */
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    call interrupt_dispatch
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

/* ---- A call that may fault: bool probe_enter(struct probe *, void (*function)(void *), void *argument) ---- */

    .macro push_preserved
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    .endm
    .macro pop_preserved
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    .endm

    .global probe_enter, probe_leave
probe_enter:
    push_preserved
    movq %rsp, (%rdi) /* struct probe: stack */
    movq %rdx, %rdi
    call *%rsi
    xorl %eax, %eax
    pop_preserved
    ret
/* The dispatcher comes here with the stack of probe_enter. */
probe_leave:
    movl $1, %eax
    pop_preserved
    ret

/* ---- Ring 3: uint64_t user_enter(function, argument, uint64_t stack_top, uint64_t *kernel_stack) ---- */

    .global user_enter, user_leave
user_enter:
    push_preserved
    movq %rsp, (%rcx)
    leaq -8(%rdx), %rdx
    movq $user_end, (%rdx)
    pushq $USER_DATA
    pushq %rdx
    pushq $2 /* RFLAGS: interrupts off */
    pushq $USER_CODE
    pushq %rdi
    movq %rsi, %rdi
    iretq
user_end:
    int $0x80 /* LIB_VECTOR_USER_END */
/* The handler of that vector: on the kernel's stack again. */
user_leave:
    addq $40, %rsp
    movw $DATA, %cx
    movw %cx, %ss
    pop_preserved
    ret

    .bss
    .balign 4096
    .global page_root, page_pointers, page_directories, stacks, boot_information
page_root:
    .skip 0x1000
page_pointers:
    .skip 0x1000
page_directories:
    .skip 4 * 0x1000
stacks:
    .skip CPUS * STACK_SIZE
boot_information:
    .skip 4

    .section .note.GNU-stack, "", @progbits

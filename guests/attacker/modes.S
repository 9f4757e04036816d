/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Out of 64-bit mode and back: steps that run in 32-bit protected mode without paging, each allowed to fault, and what
 * they need: tables, tasks, a page of real-mode code. Intel SDM vol. 3, "Switching Modes", "Task Management",
 * "8086 Emulation".
 */
#define CODE32   0x08
#define DATA     0x10
#define CODE64   0x18
#define CODE16   0x20
#define DATA16   0x28
#define TSS_MAIN 0x30
#define TSS_CALL 0x38 /* a task that returns at once */
#define TSS_TINY 0x40 /* too small for a task */
#define TSS_LOST 0x48 /* a task without a code segment */
#define TSS_16   0x50
#define TSS_FAR  0x58 /* a task that lies where no memory is */

#define TASK_GATE_VECTOR 0x81
#define REAL_PAGE        0x9000 /* free for us: below the EBDA, above the trampoline */
#define REAL_STACK       0x8ff0
#define NOWHERE          0xf0000000
#define APIC_ID          0xfee00020

#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define CR0_PE   0x00000001
#define CR0_TS   0x00000008
#define CR0_CD   0x40000000
#define CR0_PG   0x80000000
#define FLAG_NT  0x4000
#define FLAGS_V86 0x23002 /* VM, IOPL 3 */

    .text
    .code64
/* void mode_trip(void (*step)(void)): RDI is a step below. mode_faults counts those that ended in an exception. */
    .global mode_trip
mode_trip:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    pushfq
    movq %rsp, saved_stack
    movl %edi, %ebx
    pushq $CODE32
    leaq 1f(%rip), %rax
    pushq %rax
    lretq
    .code32
1:  call leave_long_mode
    movl %esp, recovery_stack
    call *%ebx
recovery:
    movl recovery_stack, %esp
    call leave_long_mode
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmpl $CODE64, $2f
    .code64
2:  movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    movq saved_stack, %rsp
    popfq
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    ret

    .code32
/* To 32-bit mode without paging and with our own tables, from wherever a step has left us. Keeps EBX. */
leave_long_mode:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw %ax, %fs
    movw %ax, %gs
    clts
    movl %cr0, %eax
    andl $~(CR0_PG | CR0_CD), %eax
    movl %eax, %cr0
    movl $MSR_EFER, %ecx
    rdmsr
    andl $~EFER_LME, %eax
    wrmsr
    pushl $2
    popfl
    /* A task that was left, or an exception in it, has marked descriptors busy. */
    movl $gdt_fresh, %esi
    movl $mode_gdt, %edi
    movl $((gdt_fresh_end - gdt_fresh) / 4), %ecx
    cld
    rep movsl
    movl $tss_fresh, %esi
    movl $tss_call, %edi
    movl $26, %ecx
    rep movsl
    lgdtl mode_gdt_pointer
    lidtl mode_idt_pointer
    xorl %eax, %eax
    lldt %ax
    movw $TSS_MAIN, %ax
    ltr %ax
    ret

/* Every exception here ends its step. */
exception_32:
    movw %ss, %ax
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %ss
    lock incl mode_faults
    ljmpl $CODE32, $recovery

/* ---- The steps ---- */

    .global step_ports, step_memory, step_registers, step_cr4, step_task_call, step_task_gate, step_task_tiny, step_task_lost
    .global step_task_busy, step_task_return, step_long_mode_16, step_far, step_v86, step_real, step_task_far
step_ports:
    movl $REAL_PAGE - 3, %edi
    movl $0x80, %edx
    movl $300, %ecx
    cld
    rep insb
    movl $REAL_PAGE - 3, %esi
    movl $300, %ecx
    rep outsb
    inb $0x80, %al
    outl %eax, $0x80
    ret

step_memory:
    movl APIC_ID, %eax
    movl %eax, NOWHERE
    lock incl NOWHERE + 4095
    xchgl %eax, NOWHERE
    pushl NOWHERE
    popl NOWHERE
    lock cmpxchg8b NOWHERE
    movl $NOWHERE + 4094, %edi
    movl $REAL_PAGE, %esi
    movl $200, %ecx
    rep movsw
    ret

step_registers:
    xorl %eax, %eax
    pushl %ebx
    cpuid
    popl %ebx
    movl $0x1b, %ecx
    rdmsr
    smsw %ax
    lmsw %ax
    movl %cr4, %eax
    movl %eax, %cr4
    ret

step_cr4:
    movl $-1, %eax
    movl %eax, %cr4
    ret

step_task_call:
    lcall $TSS_CALL, $0
    ret
step_task_gate:
    int $TASK_GATE_VECTOR
    ret
step_task_tiny:
    ljmp $TSS_TINY, $0
    ret
step_task_lost:
    ljmp $TSS_LOST, $0
    ret
step_task_busy:
    ljmp $TSS_MAIN, $0
    ret
step_task_return: /* to a task that is none */
    movl $0x08, tss_main
    pushl $FLAG_NT
    popfl
    iret
    ret
step_task_far:
    ljmp $TSS_FAR, $0
    ret

/* The task that is called: back at once, twice. */
task_code:
    iret
    jmp task_code

/* Paging, long mode and caches all at once, with a 16-bit task: processors refuse, and none may come to harm. */
step_long_mode_16:
    movw $TSS_16, %ax
    ltr %ax
    movl %cr0, %eax
    orl $CR0_CD, %eax
    movl %eax, %cr0
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    andl $~CR0_CD, %eax
    movl %eax, %cr0
    ret

step_far:
    pushl $0xffff
    pushl $0
    lret

/* 8086 code with all rights on ports, until it halts, which is a #GP. */
step_v86:
    call copy_real_code
    pushl $0 /* GS FS DS ES */
    pushl $0
    pushl $REAL_PAGE >> 4
    pushl $REAL_PAGE >> 4
    pushl $0 /* SS:SP */
    pushl $REAL_STACK
    pushl $FLAGS_V86
    pushl $REAL_PAGE >> 4
    pushl $(v86_code - real_code)
    iret

step_real:
    call copy_real_code
    movl %esp, real_saved_stack
    ljmp $CODE16, $(REAL_PAGE + to_real - real_code)
back_from_real:
    movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl real_saved_stack, %esp
    lidtl mode_idt_pointer
    ret

copy_real_code:
    movl $real_code, %esi
    movl $REAL_PAGE, %edi
    movl $(real_code_end - real_code), %ecx
    cld
    rep movsb
    ret

/* ---- What runs below 1 MiB ---- */

    .section .rodata
    .code16
real_code:
v86_code:
    inb $0x80, %al
    outb %al, $0x80
    movw $0x80, %dx
    movw $0xfff0, %di
    movw $30, %cx
    rep insb
    movw $5, %cx
    rep outsb
    movl $0, %eax
    cpuid
    hlt
/* CS is 16-bit and still protected. */
to_real:
    movw $DATA16, %ax
    movw %ax, %ss
    movw %ax, %es
    movw $DATA, %ax /* 4 GiB, which stays in real mode */
    movw %ax, %fs
    lidtl %cs:REAL_PAGE + real_idt_pointer - real_code
    movl %cr0, %eax
    andl $~CR0_PE, %eax
    movl %eax, %cr0
    ljmp $(REAL_PAGE >> 4), $(1f - real_code)
1:  movw %cs, %ax
    movw %ax, %ds
    xorw %ax, %ax
    movw %ax, %ss
    movl $REAL_STACK, %esp
    movl $NOWHERE, %esi
    addr32 movl %fs:(%esi), %eax
    addr32 lock incl %fs:(%esi)
    movl $APIC_ID, %esi
    addr32 movl %fs:(%esi), %eax
    movl %eax, (real_word - real_code)
    movw $0xffff, %si /* across the end of the segment: #GP in the best case, which the interrupt table has */
    int $0x11
    inw $0x80, %ax
    pushl %ebx
    cpuid
    popl %ebx
    movl %cr0, %eax
    orl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $back_from_real
    .balign 4
real_word:
    .long 0
real_idt_pointer:
    .word 0x3ff
    .long 0
real_code_end:

    .code64
    .section .data
    .balign 16
gdt_fresh:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00af9b000000ffff
    .quad 0x00009b000000ffff
    .quad 0x000093000000ffff
    .global mode_gdt_tasks
mode_gdt_tasks: /* mode_prepare has put the addresses in */
    .skip 6 * 8
gdt_fresh_end:
mode_gdt:
    .skip gdt_fresh_end - gdt_fresh
mode_gdt_pointer:
    .word gdt_fresh_end - gdt_fresh - 1
    .long mode_gdt
    .balign 16
mode_idt_pointer:
    .word 256 * 8 - 1
    .long mode_idt
    .balign 16
    .global mode_idt, tss_main, tss_call, tss_lost, tss_fresh, mode_faults, exception_32, task_code
tss_main:
    .skip 104
tss_call:
    .skip 104
tss_fresh: /* of the one before, which keeps what was saved in it */
    .skip 104
tss_lost:
    .skip 104
mode_faults:
    .long 0
recovery_stack:
    .long 0
real_saved_stack:
    .long 0
saved_stack:
    .quad 0
    .bss
    .balign 16
mode_idt:
    .skip 256 * 8
    .section .note.GNU-stack, "", @progbits

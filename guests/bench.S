/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What an exit costs, measured from inside with RDTSC: the least of many rounds for each operation, printed on COM1 as
 * "name: figure" once all are known. CPUID comes first in each mode from real to 64-bit; the rest runs as a kernel does,
 * in 64-bit mode at the top of the address space. Each figure includes the few instructions of the measuring loop, which the
 * first line tells.
 */
/* Assembler's constants: the preprocessor does not look into the quotes below. */
ROUNDS = 100

COM1 = 0x3f8
UART_STATUS = 5
UART_SCRATCH = 7
NOBODYS_PORT = 0x278
NOBODYS_MEMORY = 0xd0000000
PM1_CONTROL = 0x604
SLEEP_S5 = 0x3400 /* SLP_EN, SLP_TYP 5 */

HYPERCALL_GUEST_ID = 0x424b0001 /* hv/hypercall.h */
AUTHENTIC_AMD = 0x444d4163     /* "cAMD", of CPUID leaf 0 */
VMMCALL_LAST = 0xd9            /* the byte in which AMD's instruction differs from Intel's */

MSR_APIC_BASE = 0x1b
MSR_EFER = 0xc0000080
EFER_LME = 0x100
CR0_PE = 0x1
CR0_WP = 0x10000
CR0_PG = 0x80000000
CR4_PAE = 0x20

APIC = 0xfee00000
APIC_VERSION = 0x30
APIC_TPR = 0x80
APIC_EOI = 0xb0
APIC_SPURIOUS = 0xf0
APIC_ICR = 0x300
APIC_LVT = 0x320
APIC_COUNT = 0x380
APIC_DIVIDE = 0x3e0
TO_SELF = 0x40000
VECTOR = 0x40

/*
 * The first GiB, and the one with the local APIC, lie where they are: the first 2 MiB in 4 KiB pages, as a program has them, the rest in
 * large ones. The top of the address space shows the first GiB again, in large pages, as a kernel has it.
 */
TABLES = 0x10000
ROOT = (TABLES + 0x0000)
LOW = (TABLES + 0x1000)
LOW_GIB = (TABLES + 0x2000)
LOW_PAGES = (TABLES + 0x3000)
DEVICES_GIB = (TABLES + 0x4000)
HIGH = (TABLES + 0x5000)
HIGH_GIB = (TABLES + 0x6000)
TABLES_END = (TABLES + 0x7000)
POINTER = 0x03 /* present, writable */
LARGE = 0x83
KERNEL_BASE = 0xffffffff80000000

/* Print `name` later with the fewest ticks that `operation` took. It may change any register but ESI, EDI, EBP and ESP. */
    .macro measure name:req, operation
    movl $ROUNDS, %ebp
    movl $-1, %edi
1:  rdtsc
    movl %eax, %esi
    \operation
    rdtsc
    subl %esi, %eax
    cmpl %edi, %eax
    jae 2f
    movl %eax, %edi
2:  decl %ebp
    jnz 1b
    .pushsection .rodata
3:  .asciz "\name"
    .popsection
    .pushsection .data
    .long 3b
4:  .long 0
    .popsection
    movl %edi, 4b
    .endm

    .data
    .balign 4
figures: /* pairs of a name and its figure, in the order of the measurements */

    .code16
    .text
    .global start
start:
    movw $0x7c00, %sp
    measure "the loop itself"
    measure "CPUID, real mode", "xorl %eax, %eax; cpuid"
    lgdtl gdt_pointer
    movl %cr0, %eax
    orl $CR0_PE, %eax
    movl %eax, %cr0
    ljmpl $0x08, $protected

    .code32
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7c00, %esp
    measure "CPUID, 32-bit without paging", "xorl %eax, %eax; cpuid"

    movl $TABLES, %edi
    movl $((TABLES_END - TABLES) / 4), %ecx
    xorl %eax, %eax
    rep stosl
    movl $(LOW + POINTER), ROOT
    movl $(HIGH + POINTER), ROOT + 511 * 8
    movl $(LOW_GIB + POINTER), LOW
    movl $(DEVICES_GIB + POINTER), LOW + 3 * 8
    movl $(HIGH_GIB + POINTER), HIGH + 510 * 8
    xorl %ecx, %ecx
    movl $LARGE, %eax
    movl $POINTER, %edx
1:  movl %eax, LOW_GIB(, %ecx, 8)
    movl %eax, HIGH_GIB(, %ecx, 8)
    leal 0xc0000000(%eax), %ebx
    movl %ebx, DEVICES_GIB(, %ecx, 8)
    movl %edx, LOW_PAGES(, %ecx, 8)
    addl $0x200000, %eax
    addl $0x1000, %edx
    incl %ecx
    cmpl $512, %ecx
    jb 1b
    movl $(LOW_PAGES + POINTER), LOW_GIB

    movl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $ROOT, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $EFER_LME, %eax
    wrmsr
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmpl $0x18, $long_mode

    .code64
long_mode:
    measure "CPUID, 64-bit, as a program", "xorl %eax, %eax; cpuid"
    movl $kernel, %eax
    movabsq $KERNEL_BASE, %rcx
    addq %rcx, %rax
    jmp *%rax

kernel:
    measure "CPUID", "xorl %eax, %eax; cpuid"
    xorl %eax, %eax
    cpuid
    cmpl $AUTHENTIC_AMD, %ecx
    jne 1f
    movb $VMMCALL_LAST, hypercall_end - 1
1:  measure "hypercall", "movl $HYPERCALL_GUEST_ID, %eax; vmcall; hypercall_end:"
    measure "CPUID, leaf 1", "movl $1, %eax; cpuid"
    measure "CPUID, leaf 7", "movl $7, %eax; xorl %ecx, %ecx; cpuid"
    measure "UART register read", "movw $(COM1 + UART_STATUS), %dx; inb %dx, %al"
    measure "UART register write", "movw $(COM1 + UART_SCRATCH), %dx; outb %al, %dx"
    measure "unclaimed port read", "movw $NOBODYS_PORT, %dx; inb %dx, %al"
    measure "unclaimed port write", "movw $NOBODYS_PORT, %dx; outb %al, %dx"
    measure "RDMSR APIC_BASE", "movl $MSR_APIC_BASE, %ecx; rdmsr"
    movl $APIC, %r8d
    movl $NOBODYS_MEMORY, %r9d
    measure "local APIC read", "movl APIC_VERSION(%r8), %eax"
    measure "local APIC TPR write", "movl $0, APIC_TPR(%r8)"
    measure "local APIC EOI", "movl $0, APIC_EOI(%r8)"
    measure "unclaimed memory read", "movl (%r9), %eax"
    measure "unclaimed memory write", "movl %eax, (%r9)"
    measure "CR0.WP toggle", "movq %cr0, %rax; xorl $CR0_WP, %eax; movq %rax, %cr0"

    lidt idt_pointer
    movl $0x1ff, APIC_SPURIOUS(%r8)
    movl $VECTOR, APIC_LVT(%r8)
    movl $0xb, APIC_DIVIDE(%r8)
    measure "self-IPI, STI", "movl $(TO_SELF | VECTOR), APIC_ICR(%r8); sti; nop; cli"
    measure "self-IPI, STI, HLT", "movl $(TO_SELF | VECTOR), APIC_ICR(%r8); sti; hlt; cli"

    /* A loop long enough for the timer to end in it, and the same again with a timer that does not. */
    sti
    measure "(a loop of 40000, its timer far off)", "movl $-1, APIC_COUNT(%r8); call spin"
    movl %edi, %r10d
    measure "local APIC timer interrupt", "movl $100, APIC_COUNT(%r8); call spin"
    cli
    subl %r10d, figures_end - 4

    movl $figures, %ebx
1:  movl (%rbx), %esi
    call print
    movl $separator, %esi
    call print
    movl 4(%rbx), %eax
    call print_number
    addl $8, %ebx
    cmpl $figures_end, %ebx
    jb 1b
    movl $done, %esi
    call print
    movw $PM1_CONTROL, %dx
    movw $SLEEP_S5, %ax
    outw %ax, %dx
2:  hlt
    jmp 2b

spin:
    movl $20000, %ecx
1:  decl %ecx
    jnz 1b
    ret

interrupt:
    movl $0, APIC_EOI(%r8)
    iretq

/* EAX as a decimal number and the end of the line. */
print_number:
    movl $digits_end, %esi
    movl $10, %ecx
1:  xorl %edx, %edx
    divl %ecx
    addb $'0', %dl
    decl %esi
    movb %dl, (%rsi)
    testl %eax, %eax
    jnz 1b
    /* goes on in print */

/* RSI: a text that ends in a zero. */
print:
    movw $(COM1 + UART_STATUS), %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    lodsb
    testb %al, %al
    jz 2f
    movw $COM1, %dx
    outb %al, %dx
    jmp print
2:  ret

    .data
figures_end:
digits:
    .skip 10
digits_end:
    .asciz "\r\n"

    .section .rodata
separator:
    .asciz ": "
done:
    .asciz "bench: done\r\n"

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* 0x08: 32-bit code */
    .quad 0x00cf93000000ffff /* 0x10: data */
    .quad 0x00af9b000000ffff /* 0x18: 64-bit code */
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
idt_pointer:
    .word (VECTOR + 1) * 16 - 1
    .quad idt

idt:
    .skip VECTOR * 16
    .word interrupt, 0x18, 0x8e00, KERNEL_BASE >> 16 & 0xffff
    .long KERNEL_BASE >> 32, 0

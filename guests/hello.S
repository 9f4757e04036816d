/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The smallest guest that shows something: says hello on COM1, names the hypervisor that CPUID tells it of, waits for one timer
 * interrupt in HLT, and switches itself off through ACPI. Real mode throughout.
 */
#define COM1       0x3f8
#define PIC_COMMAND 0x20
#define PIC_DATA    0x21
#define PIT_DATA    0x40
#define PIT_COMMAND 0x43
#define PM1_CONTROL 0x604
#define SLEEP_S5    0x3400 /* SLP_EN, SLP_TYP 5 */

#define TIMER_VECTOR 8

    .code16
    .text
    .global start
start:
    movw $hello_text, %si
    call print

    movl $0x40000000, %eax
    cpuid
    movl %ebx, signature
    movl %ecx, signature + 4
    movl %edx, signature + 8
    movw $under_text, %si
    call print

    /* One interrupt from the 8254's channel 0, mode 0, through the 8259 to vector 8, as a PC's firmware sets it up. */
    movw $timer, TIMER_VECTOR * 4
    movw $0, TIMER_VECTOR * 4 + 2
    movb $0x11, %al
    outb %al, $PIC_COMMAND
    movb $TIMER_VECTOR, %al
    outb %al, $PIC_DATA
    movb $0x04, %al
    outb %al, $PIC_DATA
    movb $0x01, %al
    outb %al, $PIC_DATA
    movb $0xfe, %al
    outb %al, $PIC_DATA
    movb $0x30, %al
    outb %al, $PIT_COMMAND
    movb $0x00, %al
    outb %al, $PIT_DATA
    movb $0x10, %al
    outb %al, $PIT_DATA
1:  cli
    cmpb $0, fired
    jne 2f
    sti
    hlt
    jmp 1b
2:  movw $timer_text, %si
    call print

    movw $PM1_CONTROL, %dx
    movw $SLEEP_S5, %ax
    outw %ax, %dx
3:  cli
    hlt
    jmp 3b

timer:
    movb $1, fired
    pushw %ax
    movb $0x20, %al
    outb %al, $PIC_COMMAND
    popw %ax
    iret

/* SI: a text that ends in a zero. */
print:
    lodsb
    testb %al, %al
    jz 2f
    movb %al, %ah
    movw $(COM1 + 5), %dx
1:  inb %dx, %al
    testb $0x20, %al
    jz 1b
    movb %ah, %al
    movw $COM1, %dx
    outb %al, %dx
    jmp print
2:  ret

hello_text:
    .asciz "hello from a guest\r\n"
under_text:
    .ascii "running under "
signature:
    .skip 12
    .asciz "\r\n"
timer_text:
    .asciz "a timer interrupt woke me from HLT; good bye\r\n"
fired:
    .byte 0

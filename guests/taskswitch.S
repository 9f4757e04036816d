/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware task switches of every kind, in 32-bit protected mode: one line on COM1 for each thing tried. Processors with
 * AMD-V carry them out in the guest; VT-x leaves them to the hypervisor. Both must look the same from in here. Intel SDM
 * vol. 3, "Task Management". With a virtual-8086 task too: taskswitch_v86.S.
 */
#define TITLE "task switch: "
#include "guests/checks.inc"

#define PIC_COMMAND 0x20
#define PIC_DATA    0x21
#define PIT_DATA    0x40
#define PIT_COMMAND 0x43

/* Entries of the GDT. */
#define TASK_MAIN    0x18
#define TASK_JMP     0x20
#define TASK_CALL    0x28
#define TASK_EVENT   0x30
#define TASK_FAULT   0x38
#define TASK_BAD     0x40
#define TASK_NARROW  0x48
#define TASK_V86     0x50
#define TASK_OTHER   0x58
#define TASK_TRAP    0x60
#define TASK_UNSEEN  0x68
#define GATE_TO_CALL 0x70
#define LOCAL_TABLE  0x78
#define TASK_ABSENT  0x80
#define BEYOND       0xfff8

#define VECTOR_TIMER  0x28
#define VECTOR_TASK   0x30
#define VECTOR_RETURN 0x31

#define TSS_LINK   0x00
#define TSS_EIP    0x20
#define TSS_EFLAGS 0x24
#define TSS_EBX    0x34
#define TSS_CS     0x4c
#define TSS_SS     0x50
#define TSS_DS     0x54

#define EFLAGS_NT 0x4000
#define EFLAGS_RF 0x10000
#define EFLAGS_VM 0x20000

/* Memory beyond the image. */
#define TABLES    0x30000 /* two page directories */
#define WINDOW    0x400000
#define ELSEWHERE 0x800000
#define UNMAPPED  0xc00000

#define CHECK_BUSY(task) CHECK_SET(0x200, gdt + task + 4)
#define CHECK_FREE(task) CHECK_CLEAR(0x200, gdt + task + 4)
#define CHECK_TASK(task) str task_register; CHECK(task_register, $task)

    /* The stack of a task, a page each. */
    .set stack_number, 0
    .macro tss name, eip, eflags=2, ldt=0, ds=DATA, cr3=TABLES, trap=0, cs=CODE, ss=DATA
    .set stack_number, stack_number + 1
    .balign 16
\name:
    .long 0, STACKS + 0x800 + stack_number * 0x1000, DATA, 0, 0, 0, 0
    .long \cr3, \eip, \eflags
    .long 0x0a0a0a0a, 0x0c0c0c0c, 0x0d0d0d0d, 0x0b0b0b0b
    .long STACKS + 0x1000 + stack_number * 0x1000, 0xb4b4b4b4, 0x51515151, 0xd1d1d1d1
    .long DATA, \cs, \ss, \ds, 0, 0
    .long \ldt
    .word \trap, 104
    .endm
    .macro system_descriptor base, limit, access
    .word \limit, \base
    .byte 0, \access, 0, 0
    .endm
    /* The IDT entry of a vector becomes a gate to a task. */
    .macro task_gate vector, task, access=0x85
    movl $(\task << 16), idt + \vector * 8
    movl $(\access << 8), idt + \vector * 8 + 4
    .endm

checks:
    movw $TASK_MAIN, %ax
    ltr %ax

    /* ---- JMP there and back ---- */
    begin "JMP"
    movl $0xfffff000, %eax
    movl %eax, %dr0
    movl %eax, %dr1
    movl $0x409, %eax /* L0, G1 */
    movl %eax, %dr7
    clts
    movl $0x11111111, %ebx
    movl $0x22222222, %ebp
    movl %esp, saved_esp
    ljmp $TASK_JMP, $0
    CHECK(%ebx, $0x11111111)
    CHECK(%ebp, $0x22222222)
    CHECK(%esp, saved_esp)
    CHECK_TASK(TASK_MAIN)
    CHECK_BUSY(TASK_MAIN)
    CHECK_FREE(TASK_JMP)
    call result
    ljmp $TASK_JMP, $0 /* it goes on behind its own JMP */
    begin "JMP again"
    CHECK(jumps, $2)
    call result

    /* ---- CALL and IRET ---- */
    begin "CALL and IRET"
    lcall $TASK_CALL, $0
    CHECK_TASK(TASK_MAIN)
    CHECK_BUSY(TASK_MAIN)
    CHECK_FREE(TASK_CALL)
    CHECK(calls, $1)
    CHECK_CLEAR(EFLAGS_NT, tss_call + TSS_EFLAGS)
    CHECK(%esp, saved_esp)
    lcall $TASK_CALL, $0
    CHECK(calls, $2)
    call result
    begin "CALL through a gate"
    lcall $GATE_TO_CALL, $0
    CHECK(calls, $3)
    CHECK_TASK(TASK_MAIN)
    call result

    /* ---- What the processor refuses ---- */
    begin "JMP to a busy task"
    movl $1f, resume
    ljmp $TASK_MAIN, $0
1:  CHECK(vector, $VECTOR_GP)
    CHECK(error_code, $TASK_MAIN)
    call result
    begin "IRET to a task that is not busy"
    movl $1f, resume
    movw $TASK_CALL, tss_main + TSS_LINK
    pushl $(EFLAGS_NT | 2)
    popfl
    iret
1:  pushl $2
    popfl
    CHECK(vector, $VECTOR_TS)
    CHECK(error_code, $TASK_CALL)
    CHECK_TASK(TASK_MAIN)
    CHECK_BUSY(TASK_MAIN)
    call result
    begin "CALL to a task that is not present"
    movl $1f, resume
    lcall $TASK_ABSENT, $0
1:  CHECK(vector, $11)
    CHECK(error_code, $TASK_ABSENT)
    call result

    /* ---- Task gates in the IDT ---- */
    begin "INT n"
    task_gate VECTOR_TASK, TASK_EVENT
    movl $0x33333333, %ebx
    int $VECTOR_TASK
interrupt_return:
    CHECK(%ebx, $0x33333333)
    CHECK(events, $1)
    CHECK(event_eip, $interrupt_return)
    CHECK(tss_main + TSS_EBX, $0x33333333)
    call result

    begin "interrupt"
    task_gate VECTOR_TIMER, TASK_EVENT
    call start_timer
1:  cli
    cmpl $2, events
    je 2f
    sti
    hlt
    jmp 1b
2:  CHECK_TASK(TASK_MAIN)
    call result

    begin "exception with error code"
    task_gate VECTOR_GP, TASK_FAULT
    movl $1f, fault_next
    movw $BEYOND, %ax
protection_fault:
    movw %ax, %fs
1:  CHECK(faults, $1)
    CHECK(fault_code, $BEYOND)
    CHECK(fault_eip, $protection_fault)
    CHECK(fault_link, $TASK_MAIN)
    CHECK_FREE(TASK_FAULT)
    call result
    begin "RF in the task that faulted"
    CHECK_SET(EFLAGS_RF, fault_flags)
    call result

    begin "invalid TSS"
    usual_gate VECTOR_GP
    task_gate VECTOR_TS, TASK_FAULT
    movl $bad_entry, fault_next
    movw $BEYOND, tss_bad + TSS_DS
    lcall $TASK_BAD, $0
    CHECK(faults, $2)
    CHECK(fault_code, $BEYOND)
    CHECK(fault_link, $TASK_BAD)
    CHECK(fault_eip, $bad_entry)
    CHECK(bads, $1)
    CHECK_FREE(TASK_BAD)
    CHECK_TASK(TASK_MAIN)
    call result

    begin "double fault, no such task"
    usual_gate VECTOR_TS
    task_gate VECTOR_GP, TASK_ABSENT
    task_gate VECTOR_DF, TASK_FAULT
    movl $1f, fault_next
    movl $-1, fault_code
    movw $BEYOND, %ax
    movw %ax, %fs
1:  CHECK(faults, $3)
    CHECK(fault_code, $0)
    CHECK(fault_link, $TASK_MAIN)
    call result

    begin "double fault in a new task"
    task_gate VECTOR_GP, TASK_BAD
    movl $bad_entry, tss_bad + TSS_EIP
    movl $bad_entry, fault_next
    movl $1f, bad_next
    movl $-1, fault_code
    movw $BEYOND, tss_bad + TSS_SS
    movw $BEYOND, %ax
    movw %ax, %fs
1:  CHECK(faults, $4)
    CHECK(fault_code, $0)
    CHECK(fault_link, $TASK_BAD)
    CHECK(bads, $2)
    CHECK_TASK(TASK_MAIN)
    usual_gate VECTOR_GP
    usual_gate VECTOR_DF
    call result

    /* ---- Other kinds of task ---- */
    begin "16-bit TSS"
    lcall $TASK_NARROW, $0
    CHECK(narrows, $1)
    CHECK_FREE(TASK_NARROW)
    movzwl tss_narrow + 0x18, %eax /* BX */
    CHECK(%eax, $0x5678)
    CHECK_TASK(TASK_MAIN)
    call result

#ifdef WITH_VIRTUAL_8086
    begin "virtual-8086 task"
    task_gate VECTOR_RETURN, TASK_MAIN, 0xe5
    ljmp $TASK_V86, $0
    pushfl
    popl %eax
    CHECK_SET(EFLAGS_NT, %eax)
    pushl $2
    popfl
    CHECK_TASK(TASK_MAIN)
    CHECK(v86_mark, $0x00860086)
    CHECK_SET(EFLAGS_VM, tss_v86 + TSS_EFLAGS)
    CHECK_CLEAR(0xffff, tss_v86 + TSS_CS)
    CHECK_SET(0xf0000000, v86_signature)
    movzwl tss_main + TSS_LINK, %eax
    CHECK(%eax, $TASK_V86)
    call result
#endif

    /* ---- Paging ---- */
    begin "CR3 and LDT"
    call start_paging
    movl $0x0a0a0a0a, WINDOW
    movl $0x0b0b0b0b, ELSEWHERE
    lcall $TASK_OTHER, $0
    CHECK(other_word, $0x0b0b0b0b)
    CHECK(local_word, $0x600df00d)
    CHECK(WINDOW, $0x0a0a0a0a)
    sldt %ax
    movzwl %ax, %eax
    CHECK(%eax, $0)
    call result

    begin "TSS in no page"
    movl $1f, resume
    lcall $TASK_UNSEEN, $0
1:  CHECK(vector, $VECTOR_PF)
    CHECK(error_code, $0)
    movl %cr2, %eax
    shrl $12, %eax
    CHECK(%eax, $(UNMAPPED >> 12))
    CHECK_TASK(TASK_MAIN)
    CHECK_FREE(TASK_UNSEEN)
    call result

    begin "T bit"
    movl $trap_entry, resume
    lcall $TASK_TRAP, $0
    CHECK(trapped, $VECTOR_DB)
    CHECK(trapped_eip, $trap_entry)
    CHECK_SET(0x8000, trapped_dr6)
    CHECK_TASK(TASK_MAIN)
    call result

    jmp finish

    /* ---- The tasks ---- */
task_jmp:
    CHECK_TASK(TASK_JMP)
    CHECK_BUSY(TASK_JMP)
    CHECK_FREE(TASK_MAIN)
    CHECK(%ebx, $0x0b0b0b0b)
    CHECK(%edi, $0xd1d1d1d1)
    CHECK(tss_main + TSS_EBX, $0x11111111)
    pushfl
    popl %eax
    CHECK_CLEAR(EFLAGS_NT, %eax)
    movl %cr0, %eax
    CHECK_SET(8, %eax) /* TS */
    movl %dr7, %eax
    andl $0xff, %eax
    CHECK(%eax, $8) /* of L0 and G1 */
    incl jumps
    ljmp $TASK_MAIN, $0
    incl jumps
    ljmp $TASK_MAIN, $0

task_call:
    CHECK_TASK(TASK_CALL)
    CHECK_BUSY(TASK_CALL)
    CHECK_BUSY(TASK_MAIN)
    movzwl tss_call + TSS_LINK, %eax
    CHECK(%eax, $TASK_MAIN)
    pushfl
    popl %eax
    CHECK_SET(EFLAGS_NT, %eax)
    incl calls
    iret
    jmp task_call

task_event:
    movl tss_main + TSS_EIP, %eax
    movl %eax, event_eip
    CHECK_TASK(TASK_EVENT)
    CHECK_BUSY(TASK_MAIN)
    incl events
    movb $0x20, %al
    outb %al, $PIC_COMMAND
    iret
    jmp task_event

/* Takes an error code; puts the task that faulted behind what it did, or mends it. */
task_fault:
    popl fault_code
    movl %esp, %ecx
    CHECK_TASK(TASK_FAULT)
    movzwl tss_fault + TSS_LINK, %eax
    movl %eax, fault_link
    movl $tss_main, %edx
    cmpl $TASK_MAIN, %eax
    je 1f
    movl $tss_bad, %edx
    movw $DATA, tss_bad + TSS_DS
    movw $DATA, tss_bad + TSS_SS
1:  movl TSS_EIP(%edx), %eax
    movl %eax, fault_eip
    movl TSS_EFLAGS(%edx), %eax
    movl %eax, fault_flags
    movl fault_next, %eax
    movl %eax, TSS_EIP(%edx)
    incl faults
    iret
    jmp task_fault

bad_entry:
    CHECK_TASK(TASK_BAD)
    incl bads
    movl bad_next, %eax
    testl %eax, %eax
    jz 1f
    movl %eax, tss_main + TSS_EIP
1:  iret

task_narrow:
    movzwl %bx, %eax
    CHECK(%eax, $0x1234)
    CHECK_TASK(TASK_NARROW)
    movzwl tss_narrow, %eax
    CHECK(%eax, $TASK_MAIN)
    incl narrows
    movl $0x12345678, %ebx
    iret

    .code16
task_v86:
    movw %cs, %ax
    movw %ax, %ds
    xorl %eax, %eax
    cpuid
    movl %eax, v86_signature
    orl $0xf0000000, v86_signature
    movl $0x00860086, v86_mark
    int $VECTOR_RETURN
1:  jmp 1b
    .code32

task_other:
    movl %es:WINDOW, %eax
    movl %eax, %es:other_word
    movl 0, %eax /* its DS is in the LDT */
    movl %eax, %es:local_word
    iret

trap_entry:
    movl vector, %eax
    movl %eax, trapped
    movl saved_eip, %eax
    movl %eax, trapped_eip
    movl %dr6, %eax
    movl %eax, trapped_dr6
    iret

    /* ---- What all share ---- */

/* Channel 0, mode 0, through the 8259. */
start_timer:
    movb $0x11, %al
    outb %al, $PIC_COMMAND
    movb $VECTOR_TIMER, %al
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
    ret

/* Three pages of 4 MiB at their own addresses; the second directory shows ELSEWHERE at WINDOW. */
start_paging:
    movl $TABLES, %edi
    movl $2048, %ecx
    xorl %eax, %eax
    rep stosl
    movl $0x87, TABLES
    movl $(WINDOW | 0x87), TABLES + 4
    movl $(ELSEWHERE | 0x87), TABLES + 8
    movl $0x87, TABLES + 0x1000
    movl $(ELSEWHERE | 0x87), TABLES + 0x1004
    movl $TABLES, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $0x10, %eax /* PSE */
    movl %eax, %cr4
    movl %cr0, %eax
    orl $0x80000000, %eax
    movl %eax, %cr0
    jmp 1f
1:  ret

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    system_descriptor tss_main, 103, 0x89
    system_descriptor tss_jmp, 103, 0x89
    system_descriptor tss_call, 103, 0x89
    system_descriptor tss_event, 103, 0x89
    system_descriptor tss_fault, 103, 0x89
    system_descriptor tss_bad, 103, 0x89
    system_descriptor tss_narrow, 43, 0x81
    system_descriptor tss_v86, 103, 0x89
    system_descriptor tss_other, 103, 0x89
    system_descriptor tss_trap, 103, 0x89
    .word 103, 0 /* TASK_UNSEEN: at UNMAPPED */
    .byte UNMAPPED >> 16, 0x89, 0, 0
    .word 0, TASK_CALL, 0x8500, 0
    system_descriptor ldt, 7, 0x82
    system_descriptor tss_call, 103, 0x09
gdt_end:
ldt:
    .word 0xfff, local_value /* a small data segment of its own */
    .byte 0, 0x93, 0x40, 0
local_value:
    .long 0x600df00d
    tss tss_main, 0
    tss tss_jmp, task_jmp
    tss tss_call, task_call
    tss tss_event, task_event
    tss tss_fault, task_fault
    tss tss_bad, bad_entry
    tss tss_v86, task_v86, EFLAGS_VM | 0x3002, cs=0, ss=STACKS >> 4
    tss tss_other, task_other, 2, LOCAL_TABLE, 4, TABLES + 0x1000
    tss tss_trap, trap_entry, 2, 0, DATA, TABLES, 1
tss_narrow:
    .word 0, 0, 0, 0, 0, 0, 0
    .word task_narrow, 2
    .word 0, 0, 0, 0x1234, 0x7000, 0, 0, 0
    .word DATA, CODE, DATA, DATA, 0

    variable task_register
    variable saved_esp
    variable jumps
    variable calls
    variable events
    variable event_eip
    variable faults
    variable fault_code
    variable fault_eip
    variable fault_flags
    variable fault_link
    variable fault_next
    variable bads
    variable bad_next
    variable narrows
    variable v86_mark
    variable v86_signature
    variable other_word
    variable local_word
    variable trapped
    variable trapped_eip
    variable trapped_dr6

/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instructions that a hypervisor seldom sees and must carry out or refuse exactly: control registers with bad bits,
 * debug exceptions and single steps over what it emulates, privilege checks, and what no guest is offered. First in
 * 32-bit protected mode, then in 64-bit mode.
 */
#define TITLE "corners: "
#include "guests/checks.inc"

#define USER_CODE    0x1b
#define USER_DATA    0x23
#define TASK_STATE   0x28
#define CODE_64      0x30
#define NOWHERE_PORT 0x80
#define VENDOR_INTEL 0x756e6547 /* Genu */

#define MSR_EFER   0xc0000080
#define MSR_ABSENT 0x12345678

#define EFLAGS_TF 0x100
#define EFLAGS_RF 0x10000
#define EFLAGS_AC 0x40000

#define CR0_PE 0x1
#define CR0_MP 0x2
#define CR0_EM 0x4
#define CR0_TS 0x8
#define CR0_ET 0x10
#define CR0_AM 0x40000
#define CR0_NW 0x20000000
#define CR0_CD 0x40000000
#define CR0_PG 0x80000000

#define CR4_PAE     0x20
#define CR4_VMXE    0x2000
#define CR4_SMXE    0x4000
#define CR4_PCIDE   0x20000
#define CR4_OSXSAVE 0x40000

#define PAGES 0x30000 /* page tables of 64-bit mode */

    .macro fault_at instruction:vararg
    movl $1f, resume
    \instruction
1:
    .endm
    /* The same at privilege level 3. */
    .macro user_fault_at instruction:vararg
    movl $2f, resume
    movl %esp, kernel_esp
    pushl $USER_DATA
    pushl $(STACKS + 0x4000)
    pushl $2
    pushl $USER_CODE
    pushl $1f
    iret
1:  \instruction
    int $0x3f /* no gate: #GP with another error code */
2:  movw $DATA, %ax
    movw %ax, %ds
    movw %ax, %es
    .endm
    .macro bad_cr0 value
    movl %cr0, %edi
    movl \value, %eax
    fault_at movl %eax, %cr0
    movl %cr0, %eax
    .endm
    .macro bad_cr4 bit
    movl %cr4, %edi
    movl %edi, %eax
    orl $\bit, %eax
    fault_at movl %eax, %cr4
    movl %cr4, %eax
    .endm
    .macro steps_on
    movl $0, step_count
    movl $step, step_handler
    pushl $(EFLAGS_TF | 2)
    popfl
    .endm
    .macro steps_off
    pushl $2
    popfl
    movl $0, step_handler
    .endm

checks:
    movw $TASK_STATE, %ax
    ltr %ax

    /* ---- Control registers ---- */
    begin "LMSW"
    clts
    movw $(CR0_PE | CR0_MP | CR0_TS), %ax
    lmsw %ax
    movl %cr0, %eax
    andl $0xf, %eax
    CHECK(%eax, $(CR0_PE | CR0_MP | CR0_TS))
    movl $0xfff0, word
    lmsw word
    movl %cr0, %eax
    andl $0xf, %eax
    CHECK(%eax, $CR0_PE)
    call result

    begin "CLTS"
    movl %cr0, %eax
    orl $CR0_TS, %eax
    movl %eax, %cr0
    clts
    movl %cr0, %eax
    CHECK_CLEAR(CR0_TS, %eax)
    call result

    begin "MOV to CR0"
    movl $(CR0_CD | CR0_PE), %eax
    movl %eax, %cr0
    movl %cr0, %ebx
    CHECK_SET(CR0_CD, %ebx)
    CHECK_SET(CR0_ET, %ebx)
    CHECK_CLEAR(CR0_NW, %ebx)
    orl $CR0_NW, %eax
    movl %eax, %cr0
    movl %cr0, %ebx
    CHECK_SET(CR0_NW, %ebx)
    movl $(CR0_PE | CR0_ET), %eax
    movl %eax, %cr0
    movl %cr0, %ebx
    CHECK_CLEAR(CR0_CD | CR0_NW, %ebx)
    call result

#ifdef STRICT
    begin "MOV to CR0, refused"
    xorl %eax, %eax
    cpuid
    cmpl $VENDOR_INTEL, %ebx
    jne 3f /* AMD-V knows paged real mode, and an emulator lets a guest enter it */
    bad_cr0 $(CR0_PG | CR0_ET)
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
3:  bad_cr0 $(CR0_NW | CR0_PE | CR0_ET)
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    call result
    begin "MOV to CR4, bits for others"
    bad_cr4 CR4_VMXE
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    bad_cr4 CR4_SMXE
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    bad_cr4 CR4_PCIDE /* in 64-bit mode only */
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    call result
    begin "MOV to CR4, reserved bits"
    bad_cr4 0x8000
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    bad_cr4 0x80000000
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, %edi)
    movl %edi, %cr4
    call result
#endif
    begin "registers that do not exist"
    fault_at .byte 0x0f, 0x20, 0xc8 /* MOV from CR1 */
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at .byte 0x0f, 0x22, 0xf8 /* MOV to CR7 */
    CHECK_FAULT(VECTOR_UD, 0)
    call result

    /* ---- Debug exceptions ---- */
    begin "INT1"
    movl $0xffff0ff0, %eax
    movl %eax, %dr6
    movl $1f, resume
    .byte 0xf1
1:  CHECK(saved_eip, $1b)
    CHECK_FAULT(VECTOR_DB, 0)
    movl %dr6, %eax
    CHECK(%eax, $0xffff0ff0)
    call result

    begin "single step"
    steps_on
    nop
step_1:
    cpuid
step_2:
    movw $NOWHERE_PORT, %dx
step_3:
    inb %dx, %al
step_4:
    outb %al, %dx
step_5:
    wbinvd
step_6:
    movl %cr0, %eax
step_7:
    steps_off
    CHECK(step_count, $9)
    CHECK(step_eips, $step_1)
    CHECK(step_eips + 4, $step_2)
    CHECK(step_eips + 8, $step_3)
    CHECK(step_eips + 12, $step_4)
    CHECK(step_eips + 16, $step_5)
    CHECK(step_eips + 20, $step_6)
    CHECK(step_eips + 24, $step_7)
    call result
    begin "DR6 of single steps"
    CHECK_SET(0x4000, step_dr6)
    CHECK_CLEAR(0xf, step_dr6)
    call result

#ifdef STRICT
    begin "INT1 in a single step" /* one exception, of INT1 */
    steps_on
    .byte 0xf1
step_int1_end:
    steps_off
    CHECK(step_count, $3)
    CHECK(step_eips, $step_int1_end)
    CHECK_CLEAR(0x4000, step_first_dr6)
    call result
#endif

    begin "single step over REP OUTS"
    movl $title_text, %esi
    movl $3, %ecx
    movw $NOWHERE_PORT, %dx
    steps_on
step_outs:
    rep outsb
step_outs_end:
    steps_off
    CHECK(step_count, $5)
    CHECK(step_eips, $step_outs)
    CHECK(step_eips + 4, $step_outs)
    CHECK(step_eips + 8, $step_outs_end)
    CHECK(%ecx, $0)
    call result

    begin "single step behind MOV SS"
    movw %ss, %ax
    steps_on
    movw %ax, %ss
    cpuid
step_shadow_end:
    steps_off
    CHECK(step_count, $3)
    CHECK(step_eips, $step_shadow_end)
    call result

    begin "single step over HLT"
    steps_on
    hlt
step_halt_end:
    steps_off
    CHECK(step_count, $3)
    CHECK(step_eips, $step_halt_end)
    call result

    begin "breakpoint on an instruction that exits"
    movl $breakpoint, %eax
    movl %eax, %dr0
    movl $0x402, %eax
    movl %eax, %dr7
    movl $0, step_count
    movl $step, step_handler
breakpoint:
    cpuid
    movl $0x400, %eax
    movl %eax, %dr7
    movl $0, step_handler
    CHECK(step_count, $1)
    CHECK(step_eips, $breakpoint)
    call result

    begin "debug registers guarded"
    movl $0x2400, %eax
    movl %eax, %dr7
    fault_at movl %dr0, %eax
    CHECK_FAULT(VECTOR_DB, 0)
    movl %dr7, %eax /* the guard has been taken away */
    CHECK(%eax, $0x400)
    call result

    /* ---- Privilege level 3 ---- */
    begin "alignment check"
    movl %cr0, %eax
    orl $CR0_AM, %eax
    movl %eax, %cr0
    user_fault_at jmp user_unaligned
    CHECK_FAULT(VECTOR_AC, 0)
    call result

    begin "refused at privilege level 3"
    user_fault_at hlt
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at inb $NOWHERE_PORT, %al
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at wbinvd
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at invd
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at movl %cr0, %eax
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at clts
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at lmsw %ax
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at rdmsr
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at movl %dr0, %eax
    CHECK_FAULT(VECTOR_GP, 0)
    user_fault_at monitor
    CHECK_FAULT(VECTOR_UD, 0)
    call result

    begin "single step at privilege level 3"
    movl $0, step_count
    movl $step, step_handler
    user_fault_at jmp user_steps
    CHECK(step_count, $4)
    CHECK_FAULT(VECTOR_GP, 0x1fa)
    call result

    /* ---- XSETBV ---- */
    begin "XSETBV"
    movl $1, %eax
    cpuid
    testl $0x4000000, %ecx
    jz no_xsave
    CHECK_CLEAR(0x8000000, %ecx) /* OSXSAVE follows CR4 */
    movl %cr4, %eax
    orl $CR4_OSXSAVE, %eax
    movl %eax, %cr4
    movl $1, %eax
    cpuid
    CHECK_SET(0x8000000, %ecx)
    movl %cr4, %eax
    andl $~CR4_OSXSAVE, %eax
    movl %eax, %cr4
    movl $1, %eax
    cpuid
    CHECK_CLEAR(0x8000000, %ecx)
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $1, %eax
    fault_at xsetbv
    CHECK_FAULT(VECTOR_UD, 0) /* CR4.OSXSAVE is clear */
    movl %cr4, %eax
    orl $CR4_OSXSAVE, %eax
    movl %eax, %cr4
    xorl %eax, %eax
    fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
    movl $2, %eax
    fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
    movl $5, %eax /* AVX without SSE */
    fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
    movl $1, %eax
    movl $0x80000000, %edx
    fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
    xorl %edx, %edx
    incl %ecx
    fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
    xorl %ecx, %ecx
    movl $3, %eax
    xsetbv
    xgetbv
    CHECK(%eax, $3)
    CHECK(%edx, $0)
    user_fault_at xsetbv
    CHECK_FAULT(VECTOR_GP, 0)
no_xsave:
    call result

    /* ---- Caches, counters, and what is not offered ---- */
    begin "INVD and WBINVD"
    movl $0x600df00d, word
    invd
    CHECK(word, $0x600df00d)
    wbinvd
    CHECK(word, $0x600df00d)
    call result
    begin "RDPMC"
    xorl %ecx, %ecx
    fault_at rdpmc
    CHECK_FAULT(VECTOR_GP, 0)
    call result
    begin "MONITOR and MWAIT"
    xorl %ecx, %ecx
    xorl %edx, %edx
    movl $word, %eax
    fault_at monitor
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at mwait
    CHECK_FAULT(VECTOR_UD, 0)
    call result
    begin "virtualization instructions"
    movl $0x31000, %eax
    fault_at vmxon word
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at vmxoff
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at vmlaunch
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at vmrun
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at vmload
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at vmsave
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at stgi
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at clgi
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at invlpga
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at rsm
    CHECK_FAULT(VECTOR_UD, 0)
    fault_at .byte 0x0f, 0x37 /* GETSEC */
    CHECK_FAULT(VECTOR_UD, 0)
    call result
    begin "MSRs"
    movl $MSR_ABSENT, %ecx
    fault_at rdmsr
    CHECK_FAULT(VECTOR_GP, 0)
    fault_at wrmsr
    CHECK_FAULT(VECTOR_GP, 0)
    movl $MSR_EFER, %ecx
    rdmsr
    orl $0x80000000, %eax
    fault_at wrmsr
    CHECK_FAULT(VECTOR_GP, 0)
    rdmsr
    orl $0x1000, %eax /* SVME */
    fault_at wrmsr
    CHECK_FAULT(VECTOR_GP, 0)
    call result

    jmp enter_64_bit_mode

user_unaligned:
    movw $USER_DATA, %ax
    movw %ax, %ds
    pushl $(EFLAGS_AC | 2)
    popfl
    movl word + 1, %eax
    int $0x3f
user_steps:
    movw $USER_DATA, %ax
    movw %ax, %ds
    pushl $(EFLAGS_TF | 2)
    popfl
    cpuid
    cpuid
    pushl $2
    popfl
    movw $USER_DATA, %ax
    movw %ax, %ds
    movl $0, step_handler
    int $0x3f

/* Counts debug exceptions, keeps where each came, and lets an instruction breakpoint pass once. */
step:
    addl $8, %esp
    pushl %eax
    pushl %ebx
    movl step_count, %ebx
    cmpl $15, %ebx
    ja 1f
    movl 8(%esp), %eax
    movl %eax, step_eips(, %ebx, 4)
1:  movl %dr6, %eax
    movl %eax, step_dr6
    cmpl $0, step_count
    jne 2f
    movl %eax, step_first_dr6
2:  incl step_count
    movl $0xffff0ff0, %eax
    movl %eax, %dr6
    orl $EFLAGS_RF, 16(%esp)
    popl %ebx
    popl %eax
    iret

enter_64_bit_mode:
    movl $PAGES, %edi
    movl $3072, %ecx
    xorl %eax, %eax
    rep stosl
    movl $(PAGES + 0x1007), PAGES
    movl $(PAGES + 0x2007), PAGES + 0x1000
    movl $0x87, PAGES + 0x2000 /* 2 MiB */
    movl $PAGES, %eax
    movl %eax, %cr3
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $MSR_EFER, %ecx
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    movl $idt_64, %edi
    movl $vectors_64, %eax
    movl $32, %ecx
1:  movw %ax, (%edi)
    movw $CODE_64, 2(%edi)
    movl $0x8e00, 4(%edi)
    addl $16, %eax
    addl $16, %edi
    loop 1b
    lidt idt_64_pointer
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmp $CODE_64, $mode_64

    /* ---- 64-bit mode ---- */
    .code64
#undef NOTE_FAILURE
#define NOTE_FAILURE note_failure_64
    .macro bad_control_register register, value
    movq %\register, %rdi
    movabsq $\value, %rax
    orq %rdi, %rax
    fault_at movq %rax, %\register
    movq %\register, %rax
    cmpq %rdi, %rax
    setne %al
    movzbl %al, %eax
    CHECK_FAULT(VECTOR_GP, 0)
    CHECK(%eax, $0)
    .endm

mode_64:
    begin "CR8"
    movl $15, %eax
    movq %rax, %cr8
    movq %cr8, %rbx
    CHECK(%ebx, $15)
    xorl %eax, %eax
    movq %rax, %cr8
    movq %cr8, %rbx
    CHECK(%ebx, $0)
    call result_64
#ifdef STRICT
    begin "CR8 with a bad value"
    movl $16, %eax
    fault_at movq %rax, %cr8
    CHECK_FAULT(VECTOR_GP, 0)
    movabsq $0x100000001, %rax
    fault_at movq %rax, %cr8
    CHECK_FAULT(VECTOR_GP, 0)
    movq %cr8, %rbx
    CHECK(%ebx, $0)
    xorl %eax, %eax
    movq %rax, %cr8
    call result_64

    begin "CR0 in 64-bit mode"
    bad_control_register cr0, 0x100000000
    movq %cr0, %rax
    movl %eax, %ebx
    andl $~CR0_PG, %ebx
    fault_at movq %rbx, %cr0
    CHECK_FAULT(VECTOR_GP, 0)
    call result_64

    begin "CR4 in 64-bit mode"
    bad_control_register cr4, 0x100000000
    movq %cr4, %rbx
    andl $~CR4_PAE, %ebx
    fault_at movq %rbx, %cr4
    CHECK_FAULT(VECTOR_GP, 0)
    call result_64
#endif
    begin "EFER in 64-bit mode"
    movl $MSR_EFER, %ecx
    rdmsr
    CHECK_SET(0x400, %eax) /* LMA */
    andl $~0x100, %eax
    fault_at wrmsr
    CHECK_FAULT(VECTOR_GP, 0)
    call result_64
    jmp finish

note_failure_64:
    xchgq %rax, (%rsp)
    pushq %rdx
    movl (%rax), %edx
    cmpl $0, failed_line
    jne 1f
    movl %edx, failed_line
1:  addq $4, %rax
    popq %rdx
    xchgq %rax, (%rsp)
    ret

result_64:
    movl $title_text, %esi
    call print
    movl test_name, %esi
    call print
    movl $ok_text, %esi
    movl failed_line, %eax
    testl %eax, %eax
    jz 2f
    movl $failed_digits + 3, %edi
    movl $10, %ecx
1:  xorl %edx, %edx
    divl %ecx
    addb $'0', %dl
    movb %dl, (%rdi)
    decl %edi
    cmpl $failed_digits, %edi
    jae 1b
    movl $failed_text, %esi
2:  call print
    ret

    .balign 16
vectors_64:
    .set number, 0
    .rept 32
    .balign 16
    .if number != 8 && (number < 10 || number > 14) && number != 17
    pushq $0
    .endif
    pushq $number
    jmp exception_64
    .set number, number + 1
    .endr

exception_64:
    pushq %rax
    movl 8(%rsp), %eax
    movl %eax, vector
    movl 16(%rsp), %eax
    movl %eax, error_code
    movl resume, %eax
    movl $0, resume
    testl %eax, %eax
    jz 1f
    movq %rax, 24(%rsp)
    popq %rax
    addq $16, %rsp
    iretq
1:  movl $unexpected_text, %esi
    call print
    imull $100, vector, %eax
    movl %eax, failed_line
    call result_64
    jmp finish

    .balign 8
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cffb000000ffff
    .quad 0x00cff3000000ffff
    .word 103, task_state
    .byte 0, 0x89, 0, 0
    .quad 0x00af9b000000ffff
gdt_end:
task_state:
    .long 0, STACKS + 0x2000, DATA
    .skip 88
    .word 0, 104
idt_64_pointer:
    .word 32 * 16 - 1
    .quad idt_64
    .balign 16
idt_64:
    .skip 32 * 16
word:
    .long 0, 0
step_eips:
    .skip 64
    variable step_count
    variable step_dr6
    variable step_first_dr6

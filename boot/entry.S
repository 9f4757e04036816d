/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From a multiboot loader to 64-bit C: both headers, the first page tables, long mode.
 * Multiboot Specification 0.6.96, "Machine state"; Multiboot2 Specification 2.0, "I386 machine state".
 */
#define MULTIBOOT1_HEADER_MAGIC 0x1badb002
#define MULTIBOOT1_FLAGS        0x00010003 /* page-aligned modules, memory map, address fields */
#define MULTIBOOT2_HEADER_MAGIC 0xe85250d6

#define IMAGE_BASE     0xffffffff80000000
#define PHYSICAL(name) (name - IMAGE_BASE)

#define COM1 0x3f8

    .section .multiboot, "a"
    .balign 8
multiboot1_header:
    .long MULTIBOOT1_HEADER_MAGIC
    .long MULTIBOOT1_FLAGS
    .long -(MULTIBOOT1_HEADER_MAGIC + MULTIBOOT1_FLAGS)
    .long multiboot1_header
    .long image_load_start
    .long image_file_end
    .long image_load_end
    .long entry

    .balign 8
multiboot2_header:
    .long MULTIBOOT2_HEADER_MAGIC
    .long 0 /* i386, protected mode */
    .long multiboot2_header_end - multiboot2_header
    .long -(MULTIBOOT2_HEADER_MAGIC + (multiboot2_header_end - multiboot2_header))
    .short 2, 0 /* addresses */
    .long 24
    .long multiboot2_header
    .long image_load_start
    .long image_file_end
    .long image_load_end
    .short 3, 0 /* entry address */
    .long 12
    .long entry
    .long 0 /* padding to 8 bytes */
    .short 6, 0 /* page-aligned modules */
    .long 8
    .short 0, 0
    .long 8
multiboot2_header_end:

    .section .boot, "ax"
    .code32
    .global entry
entry:
    cli
    cld
    movl $boot_stack32_end, %esp
    movl %eax, %esi
    movl %ebx, %edi
    movl $no_long_mode_text, %ebp
    movl $0x80000000, %eax
    cpuid
    cmpl $0x80000001, %eax
    jb say_and_halt
    movl $0x80000001, %eax
    cpuid
    testl $(1 << 29), %edx
    jz say_and_halt
    movl $no_nx_text, %ebp
    testl $(1 << 20), %edx
    jz say_and_halt

    /* 4 GiB in 2 MiB pages, seen at 0, at HOSTMAP_RAM_BASE, and its first GiB at the image's address. */
    movl $PHYSICAL(boot_directories), %eax
    movl $0x83, %ecx
1:  movl %ecx, (%eax)
    movl $0, 4(%eax)
    addl $8, %eax
    addl $0x200000, %ecx
    jnc 1b
    movl $PHYSICAL(boot_pointers), %eax
    movl $(PHYSICAL(boot_directories) + 0x003), %ecx
    movl $4, %edx
1:  movl %ecx, (%eax)
    movl $0, 4(%eax)
    addl $8, %eax
    addl $0x1000, %ecx
    decl %edx
    jnz 1b
    movl $(PHYSICAL(boot_directories) + 0x003), PHYSICAL(boot_image_pointers) + 510 * 8
    movl $(PHYSICAL(boot_pointers) + 0x003), PHYSICAL(boot_root)
    movl $(PHYSICAL(boot_pointers) + 0x003), PHYSICAL(boot_root) + 256 * 8
    movl $(PHYSICAL(boot_image_pointers) + 0x003), PHYSICAL(boot_root) + 511 * 8

    movl $PHYSICAL(boot_root), %eax
    movl %eax, %cr3
    movl $0x20, %eax /* PAE */
    movl %eax, %cr4
    movl $0xc0000080, %ecx
    rdmsr
    orl $0x900, %eax /* LME, NXE */
    wrmsr
    movl %cr0, %eax
    andl $0x9fffffff, %eax /* caches on */
    orl $0x80010001, %eax  /* PG, WP, PE */
    movl %eax, %cr0
    lgdt boot_gdt_pointer
    ljmp $0x08, $entry64

/* EBP: the text. For machines on which nothing else of this program can run. */
say_and_halt:
    movl $0xb8000, %edi
1:  movb (%ebp), %al
    testb %al, %al
    jz 3f
    cmpb $'\n', %al
    je 2f
    movb %al, (%edi)
    movb $0x07, 1(%edi)
    addl $2, %edi
2:  movb %al, %bl
    movw $(COM1 + 5), %dx
    movl $100000, %ecx
4:  inb %dx, %al
    testb $0x20, %al
    jnz 5f
    loop 4b
5:  movb %bl, %al
    movw $COM1, %dx
    outb %al, %dx
    incl %ebp
    jmp 1b
3:  cli
    hlt
    jmp 3b

no_long_mode_text:
    .asciz "bulkhead: this processor has no 64-bit mode; Bulkhead needs an x86-64 machine\r\n"
no_nx_text:
    .asciz "bulkhead: this processor has no execute-disable pages (NX); Bulkhead needs them, see the firmware's set-up\r\n"

    .code64
entry64:
    movabsq $entry_high, %rax
    jmp *%rax

    .balign 8
boot_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf93000000ffff /* data */
boot_gdt_pointer:
    .short . - boot_gdt - 1
    .long boot_gdt

    .balign 16
    .skip 256
boot_stack32_end:

    .text
    .code64
entry_high:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    xorl %eax, %eax
    movw %ax, %fs
    movw %ax, %gs
    leaq boot_stack_end(%rip), %rsp
    xorl %ebp, %ebp
    /* ESI and EDI hold the loader's EAX and EBX. */
    movl %edi, %eax
    movl %esi, %edi
    movl %eax, %esi
    call boot_main
1:  cli
    hlt
    jmp 1b

    .bss
    .balign 4096
    .global boot_root
boot_root:
    .skip 4096
boot_pointers:
    .skip 4096
boot_image_pointers:
    .skip 4096
boot_directories:
    .skip 4096 * 4
    .balign 16
    .skip 16384
boot_stack_end:

    .section .note.GNU-stack, "", @progbits

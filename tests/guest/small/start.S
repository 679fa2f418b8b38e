/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The head of a small guest: as much of a bzImage's header as the 32-bit boot protocol reads
 * (Documentation/arch/x86/boot.rst of Linux), then the entry at 1 MiB: flat segments, a stack, kmain().
 */
    .section .hdr, "a"
    .org 0x1f1
    .byte 1                 /* setup_sects */
    .word 0
    .long 0x1000            /* syssize */
    .word 0, 0, 0
    .word 0xaa55
    .byte 0xeb, 0x6a        /* jump over the header: its length */
    .ascii "HdrS"
    .word 0x020c            /* protocol 2.12 */
    .org 0x211
    .byte 1                 /* loadflags: LOADED_HIGH */
    .org 0x214
    .long 0x100000          /* code32_start */
    .org 0x22c
    .long 0x7fffffff        /* initrd_addr_max */
    .long 0x100000          /* kernel_alignment */
    .byte 0, 20
    .word 0
    .long 2047              /* cmdline_size */
    .org 0x258
    .quad 0x100000          /* pref_address */
    .long 0x200000          /* init_size */
    .org 0x400

    .section .text.start, "ax"
    .code32
    .globl start
start:
    cli
    movl $0x1f0000, %esp
    lgdt gdt_register
    ljmp $0x10, $1f
1:  movl $0x18, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    call kmain
2:  hlt
    jmp 2b

    .balign 8
    .globl gdt
gdt:
    .quad 0, 0
    .quad 0x00cf9b000000ffff    /* 0x10: flat code */
    .quad 0x00cf93000000ffff    /* 0x18: flat data */
    .quad 0x00009b000000ffff    /* 0x20: 16-bit code */
    .quad 0x000093000000ffff    /* 0x28: 16-bit data */
gdt_register:
    .word . - gdt - 1
    .long gdt
    .section .note.GNU-stack, "", @progbits

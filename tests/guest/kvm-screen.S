/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Firmware of 64 KiB that shows 640 by 480 pixels of 32 bits on the display in slot 2, and for each byte that comes on COM1
 * writes a pixel in the middle of each line, or for a capital letter only of 16 lines from line 32 on, with that byte;
 * then sends it back. */
    .code16
    .text
    .globl _start
_start:
    cli
    lgdtl %cs:gdtr
    movl %cr0, %eax
    andl $0x9fffffff, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $8, $0xf0000 + protected
    .code32
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    cld
    /* BAR 0 at 0xe0000000, BAR 2 behind it, memory on */
    movw $0xcf8, %dx
    movl $0x80001010, %eax
    outl %eax, %dx
    movw $0xcfc, %dx
    movl $0xe0000000, %eax
    outl %eax, %dx
    movw $0xcf8, %dx
    movl $0x80001018, %eax
    outl %eax, %dx
    movw $0xcfc, %dx
    movl $0xe2000000, %eax
    outl %eax, %dx
    movw $0xcf8, %dx
    movl $0x80001004, %eax
    outl %eax, %dx
    movw $0xcfc, %dx
    movw $3, %ax
    outw %ax, %dx
    /* Registers of the display, words: index and value */
    movl $0xf0000 + modes, %esi
1:  movzwl (%esi), %edi
    cmpw $0xffff, %di
    je 4f
    movw 2(%esi), %ax
    movw %ax, 0xe2000500(, %edi, 2)
    addl $4, %esi
    jmp 1b
4:  movw $0x3fd, %dx /* a byte has come */
    inb %dx, %al
    testb $1, %al
    jz 4b
    movw $0x3f8, %dx
    inb %dx, %al
    movb %al, %bl
    movzbl %al, %eax
    imull $0x01010101, %eax, %eax
    movl $0xe0000000 + 320 * 4, %edi
    movl $480, %ecx
    testb $0x20, %bl
    jnz 3f
    addl $640 * 4 * 32, %edi
    movl $16, %ecx
3:  movl %eax, (%edi) /* one by one: a KVM that emulates has an entry of its list for each */
    addl $640 * 4, %edi
    loop 3b
    movb %bl, %al
    outb %al, %dx
    jmp 4b

    .balign 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:
    .word 0x17
    .long 0xf0000 + gdt
modes:
    .word 4, 0, 1, 640, 2, 480, 3, 32, 4, 0x41, 0xffff
    .org 0xfff0
    .code16
    ljmpw $0xf000, $_start
    .org 0x10000

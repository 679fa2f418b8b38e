/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Firmware of 64 KiB that leaves something in every register that real and protected mode have, and halts: the
 * same under each accelerator. Memory at 0x5000 has what it computed. */
    .code16
    .text
    .globl _start
_start:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    movw $0x9000, %ax
    movw %ax, %ss
    movw $0x7ff0, %sp
    /* Arithmetic with all flags; a loop, strings, ports */
    movw $0x5000, %di
    movw %ds, %ax
    movw %ax, %es
    movl $0x12345678, %ebx
    movl $200, %ecx
1:  movl %ebx, %eax
    imull $0x01000193, %eax, %ebx
    roll $7, %ebx
    adcl %ecx, %ebx
    pushfw
    popw %ax
    andw $0x8d5, %ax
    xorw %ax, %bx
    movl %ebx, %eax
    stosl
    loopl 1b
    movw $0x5000, %si
    movw $0x6000, %di
    movw $200, %cx
    rep movsl
    movw $0x80, %dx
    movb $0x5a, %al
    outb %al, %dx
    /* ROM is not written, nor is what nobody answers */
    movw $0xf000, %ax
    movw %ax, %es
    movw $0x1234, %es:0x8000
    movw %es:0x8000, %ax
    movw %ax, 0x5800
    /* A division error, by the vector table */
    movw $divide, 0
    movw %cs, 2
    movw $0, 0x5804
    xorw %dx, %dx
    xorw %bx, %bx
    divw %bx
after:
    /* Descriptor tables and protected mode */
    lgdtl %cs:gdtr
    lidtl %cs:idtr
    movl %cr0, %eax
    orl $1, %eax
    movl %eax, %cr0
    ljmpl $0x08, $0xf0000 + protected

divide:
    incw 0x5804
    addw $2, %bp
    pushw %bp
    movw %sp, %bp
    addw $2, 2(%bp) /* over it */
    popw %bp
    iretw

    .code32
protected:
    movw $0x10, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x18, %ax
    movw %ax, %fs
    movw $0x20, %ax
    movw %ax, %gs
    movl $0x80000, %esp
    movw $0x28, %ax
    ltr %ax
    /* x87 and SSE */
    movl %cr0, %eax
    andl $0x9ffffff3, %eax
    orl $0x22, %eax
    movl %eax, %cr0
    movl %cr4, %eax
    orl $0x600, %eax
    movl %eax, %cr4
    fninit
    fldpi
    fld1
    fldl2e
    fdivrp
    fsqrt
    fxch
    fldz
    fstpl 0x5900
    ffree %st(5)
    movups 0x5000, %xmm0
    movaps %xmm0, %xmm1
    paddd %xmm1, %xmm1
    movups 0xf0000 + floats, %xmm2
    mulps %xmm2, %xmm2
    movups 0x5010, %xmm7
    pxor %xmm0, %xmm7
    /* Model-specific and debug registers */
    movl $0x174, %ecx
    xorl %edx, %edx
    movl $0x08, %eax
    wrmsr
    movl $0x175, %ecx
    movl $0x77000, %eax
    wrmsr
    movl $0x176, %ecx
    movl $0xf1234, %eax
    wrmsr
    movl $0x1234, %eax
    movl %eax, %dr0
    movl $0x5678, %eax
    movl %eax, %dr3
    movl $0xfeedface, 0x5a00
    movl 0x5a00, %eax
    movl %eax, 0x5a04
    lock cmpxchgl %ebx, 0x5a08
    movl $0x11111111, %ebx
    movl $0x22222222, %ecx
    movl $0x33333333, %edx
    movl $0x44444444, %esi
    movl $0x55555555, %edi
    movl $0x66666666, %ebp
    addl $0x7fffffff, %ebx
    movl %cr2, %eax
2:  hlt
    jmp 2b

    .balign 16
floats:
    .float 1.5, -2.25, 1024, 0.5
gdt:
    .quad 0
    .quad 0x00cf9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x0040930012340fff
    .quad 0x00c0f30056780001
    .quad 0x0000890070000067
gdtr:
    .word 0x2f
    .long 0xf0000 + gdt
idtr:
    .word 0x7ff
    .long 0x3000

    .org 0xfff0
    .code16
    ljmpw $0xf000, $_start
    .org 0x10000

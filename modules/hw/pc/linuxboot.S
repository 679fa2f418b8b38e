/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An option ROM that starts a Linux kernel: firmware that knows nothing of kernels boots it as it boots a network
 * card's (Plug and Play BIOS Specification 1.0a, 3.1 to 3.3). It has fw_cfg put set-up code, kernel, initrd and
 * command line to where fw_cfg says, and enters the set-up code by the 16-bit boot protocol
 * (Documentation/arch/x86/boot.rst). Its size and checksums are filled in when it is offered.
 */
    .code16
    .text

    .set ADDRESS, 0x7c10        /* scratch: what fw_cfg answered */
    .set SIZE, 0x7c14
    .set DMA_PORT, 0x518        /* of the address's lower half, big-endian */
    .set DMA_READ, 0x02
    .set DMA_SELECT, 0x08

    .globl _start
_start:
    .byte 0x55, 0xaa
    .byte 0
    jmp init
    .org 0x1a
    .word header
    .org 0x20
header:
    .ascii "$PnP"
    .byte 1, 2                  /* revision, length in paragraphs */
    .word 0                     /* no other header */
    .byte 0, 0                  /* checksum in the second */
    .long 0
    .word 0, product
    .byte 0, 0, 0               /* type of the device */
    .byte 0x04                  /* can be booted from */
    .word 0, 0, boot            /* boot and disconnect vectors, bootstrap entry */
    .word 0, 0
product:
    .asciz "Linux kernel of -kernel"

init:
    mov $0x20, %ax              /* it can be booted from */
    lret

/* Key %ax to memory at %edi, %ecx bytes. Uses %eax, %edx. */
read:
    movzwl %ax, %eax
    shl $16, %eax
    or $(DMA_READ | DMA_SELECT), %eax
    bswap %eax
    bswap %edi
    bswap %ecx
    pushl %edi
    pushl $0
    pushl %ecx
    pushl %eax
    mov %sp, %bp
    movzwl %sp, %eax            /* the stack's segment is 0 */
    bswap %eax
    mov $DMA_PORT, %dx
    outl %eax, %dx
1:  movl (%bp), %eax
    test %eax, %eax
    jz 2f
    test $0x01000000, %eax      /* error, in the last byte */
    jz 1b
    int $0x18                   /* nothing to boot: the next one */
2:  add $16, %sp
    ret

/* An item whose address has key %bl, its size %bh, its bytes %si. */
load:
    movzbw %bl, %ax
    mov $ADDRESS, %edi
    mov $4, %ecx
    call read
    movzbw %bh, %ax
    mov $SIZE, %edi
    mov $4, %ecx
    call read
    mov SIZE, %ecx
    jecxz 1f
    mov ADDRESS, %edi
    mov %si, %ax
    call read
1:  ret

boot:
    cli
    cld
    xor %ax, %ax
    mov %ax, %ds
    mov %ax, %ss
    mov $0x7c00, %esp
    mov $0x0807, %bx            /* kernel */
    mov $0x11, %si
    call load
    mov $0x0b0a, %bx            /* initrd */
    mov $0x12, %si
    call load
    mov $0x1413, %bx            /* command line */
    mov $0x15, %si
    call load
    mov $0x1716, %bx            /* set-up code, whose address is used next */
    mov $0x18, %si
    call load
    mov ADDRESS, %eax
    shr $4, %eax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %fs
    mov %ax, %gs
    mov %ax, %ss
    mov $0xe000, %esp
    add $0x20, %ax
    push %ax
    xor %ebx, %ebx
    push %bx
    lret

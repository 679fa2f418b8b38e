/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * An option ROM that starts a kernel of another kind than Linux (kernel-boot.c), as linuxboot.S starts Linux: it has
 * fw_cfg put kernel, modules and facts to their places, asks the BIOS for the memory map (interrupt 15h, AX=E820h), and
 * enters the kernel in protected mode. What is different between protocols it reads at PARAMETERS.
 */
    .code16
    .text

    .set ADDRESS, 0x7c10        /* scratch: what fw_cfg answered */
    .set SIZE, 0x7c14
    .set PARAMETERS, 0x7c20     /* rom_piece() of kernel-boot.c */
    .set ENTRY, PARAMETERS
    .set EAX, PARAMETERS + 4
    .set EBX, PARAMETERS + 8
    .set PREFIX, PARAMETERS + 12
    .set PREFIX_SIZE, PARAMETERS + 16
    .set COUNT, PARAMETERS + 20
    .set UNIT, PARAMETERS + 24
    .set GDTR, PARAMETERS + 32
    .set MAP, 0x8000            /* low-memory.h has these places */
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
    .asciz "Kernel of -kernel"

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
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %esp
    mov $0x0807, %bx            /* kernel */
    mov $0x11, %si
    call load
    mov $0x0b0a, %bx            /* modules */
    mov $0x12, %si
    call load
    mov $0x1413, %bx            /* facts */
    mov $0x15, %si
    call load
    mov $0x1716, %bx            /* parameters */
    mov $0x18, %si
    call load

    /* The map: %di where the next entry goes, %bp how many there are. */
    mov $MAP, %di
    xor %bp, %bp
    xor %ebx, %ebx
1:  mov PREFIX, %eax
    mov %eax, (%di)
    add PREFIX_SIZE, %di
    movl $0, 20(%di)
    mov $0xe820, %eax
    mov $0x534d4150, %edx       /* "SMAP" */
    mov $20, %ecx
    int $0x15
    jc 2f
    cmp $0x534d4150, %eax
    jne 2f
    sub PREFIX_SIZE, %di
    add $24, %di
    inc %bp
    cmp $64, %bp
    je 2f
    test %ebx, %ebx
    jnz 1b
2:  movzwl %bp, %eax
    mull UNIT
    mov COUNT, %ebx             /* below 64 KiB */
    mov %eax, (%bx)

    /* Protected mode: the table of segments is in the ROM. */
    cli
    xor %eax, %eax
    mov %cs, %ax
    shl $4, %eax
    mov %eax, %edx
    add $gdt, %eax
    mov %eax, GDTR + 2
    movw $31, GDTR
    lgdtl GDTR
    add $protected, %edx
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    pushl $0x10
    pushl %edx
    lretl

    .code32
protected:
    mov $0x18, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %fs
    mov %eax, %gs
    mov %eax, %ss
    mov EAX, %eax
    mov EBX, %ebx
    jmp *ENTRY

    .balign 8
gdt:
    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff

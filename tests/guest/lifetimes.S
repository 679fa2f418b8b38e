# SPDX-License-Identifier: LGPL-2.1-or-later
# A guest for test-lifetimes.py (32-bit boot protocol). The first processor overwrites code by DMA of
# fw_cfg (the UUID holds two versions: mov eax,1 or 2; ret) and calls it, moves the BARs of PCI slot 5
# between two places and writes there; BAR 1 is given its ports. The second one calls the same code, and writes to both places
# and to the ports all the time. Each that gets code which was not there any more ends the machine with status 3 (code
# 1); after ROUNDS rounds the status is 5 (code 2). Rounds are counted at COUNT.
# Symbols: ROUNDS; SMP (0: the first processor alone).
CODE = 0x200000        # the code that is rewritten
DMA = 0x300000         # a request of fw_cfg
VERSION = 0x300100     # of the code at CODE; 0: being written
COUNT = 0x300200
AP_BEATS = 0x300204
PLACE = 0xe1000000
STEP = 0x01000000
PORTS = 0xc000         # BAR 1
APIC = 0xfee00000

.code32
.globl _start
_start:
    lgdt table_ptr
    ljmp $8, $1f
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x90000, %esp
    movl $0, VERSION
    movl $0, COUNT
    movl $0, AP_BEATS
    movb $0xc3, CODE
    movl $1, %ebp          # version that comes next
    .if SMP
    mov $trampoline, %esi
    mov $0x8000, %edi
    mov $(trampoline_end - trampoline), %ecx
    rep movsb
    movl $0x1ff, APIC + 0xf0
    movl $0x000c4500, APIC + 0x300 # INIT to all but self
    mov $100000, %ecx
2:  loop 2b
    movl $0x000c4608, APIC + 0x300 # SIPI, vector 8
3:  cmpl $0, AP_BEATS
    je 3b
    .endif
round:
    mov %ebp, %ecx
    call rewrite
    mov %ebp, VERSION
    xor %eax, %eax
    cpuid                  # serialises
    mov $CODE, %eax
    call *%eax
    cmp %ebp, %eax
    jne stale
    xor $3, %ebp           # 1, 2, 1, ...
    # the BAR goes to the other place
    mov COUNT, %ebx
    and $1, %ebx
    imul $STEP, %ebx
    add $PLACE, %ebx
    mov $0x80002810, %eax
    mov %ebx, %ecx
    call config_write
    mov $0x80002814, %eax
    mov $PORTS, %ecx
    call config_write
    mov $0x80002804, %eax
    mov $3, %ecx
    call config_write
    mov %ebx, (%ebx)
    mov %ebx, 0x1000(%ebx)
    movl $0, VERSION       # before the count: who has that sees no older version
    incl COUNT
    cmpl $ROUNDS, COUNT
    jb round
    mov $2, %al
    jmp end
stale:
    mov $1, %al
end:
    mov $0x501, %dx
    outb %al, %dx
4:  hlt
    jmp 4b

config_write:              # register eax, value ecx
    mov $0xcf8, %dx
    outl %eax, %dx
    mov %ecx, %eax
    mov $0xcfc, %dx
    outl %eax, %dx
    ret

rewrite:                   # version ecx
    movl $0, DMA + 4
    movl $0, DMA + 8
    movl $0, DMA + 12
    movl $0x0c000200, DMA  # big-endian: select key 2, skip
    cmp $1, %ecx
    je 5f
    movl $0x08000000, DMA + 4
5:  call dma
    movl $0x02000000, DMA  # read
    movl $0x06000000, DMA + 4
    movl $0x00002000, DMA + 12
dma:
    mov $0x518, %dx
    mov $0x00003000, %eax
    outl %eax, %dx
6:  mov DMA, %eax
    test %eax, %eax
    jnz 6b
    ret

ap_main:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    mov $0x80000, %esp
ap_loop:
    incl AP_BEATS
    mov %esp, PLACE
    mov %esp, PLACE + STEP + 0x2000
    mov $PORTS, %edx       # a register, a doorbell, one with a value
    outl %eax, %dx
    add $4, %edx
    outl %eax, %dx
    add $4, %edx
    outl %eax, %dx
    mov COUNT, %esi
    mov VERSION, %ebp
    test %ebp, %ebp
    jz ap_loop
    xor %eax, %eax
    cpuid
    mov $CODE, %eax
    call *%eax
    cmp %eax, %ebp
    je ap_loop
    cmp %esi, COUNT        # another round: whatever ran was there
    jne ap_loop
    jmp stale

.code16
trampoline:                # at 0x8000
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl 0x8000 + (table_ptr_low - trampoline)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $ap_main
table_ptr_low:
    .word 23
    .long table
trampoline_end:

.p2align 3
table:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
table_ptr:
    .word 23
    .long table

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a kernel that restarts "through the BIOS" does: real mode, then F000:FFF0. The machine is
 * reset, and this guest begins again; the clock's RAM tells it so. */
#include "small.h"

extern char leave[], leave_end[];
__asm__(".globl leave\nleave:\n.code16\n"
        "mov $0x28,%ax; mov %ax,%ds; mov %ax,%ss; mov %cr0,%eax; and $0xfe,%al; mov %eax,%cr0\n"
        "ljmp $0x800,$1f-leave\n1: xor %ax,%ax; mov %ax,%ds; mov %ax,%ss; mov $0x7000,%sp\n"
        "ljmp $0xf000,$0xfff0\n.globl leave_end\nleave_end:\n.code32\n");

void kmain(void)
{
    uint8_t marker;

    outb(0x70, 0x50);
    marker = inb(0x71);
    say("marker", marker);
    say("model", M8(0xffffe));
    say("top", M32(0xfffffff0u) == M32(0xffff0u));
    if (marker == 0x5a)
        power_off();
    outb(0x70, 0x50);
    outb(0x71, 0x5a);
    for (char *from = leave, *to = (char *)0x8000; from < leave_end;)
        *to++ = *from++;
    __asm__ volatile("ljmp $0x20,$0x8000");
}

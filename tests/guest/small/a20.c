/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Address line 20 is let through by the keyboard controller or by port 92h: masked only when neither does
 * (82371SB data sheet, port 92h; IBM's AT technical reference). */
#include "small.h"

static void controller(uint8_t command)
{
    while (inb(0x64) & 2)
        ;
    outb(0x64, command);
}

/* What lies a megabyte higher is something else. */
static uint32_t is_open(void)
{
    M32(0x30000) = 0x11111111;
    M32(0x130000) = 0x22222222;
    return M32(0x30000) == 0x11111111 && M32(0x130000) == 0x22222222;
}

/*
 * The same between two writes to a port. This code lies above one megabyte: a copy of it lies at 0, where it is
 * fetched from meanwhile; it does not touch the stack.
 */
static uint32_t is_open_between(uint16_t port, uint8_t first, uint8_t second)
{
    uint32_t seen, count = 1000;

    M32(0x30000) = 0x11111111;
    M32(0x130000) = 0x22222222;
    __asm__ volatile("outb %%al,%%dx\n"
                     "1: loop 1b\n"
                     "movl 0x130000,%0\n"
                     "movb %b4,%%al\n"
                     "outb %%al,%%dx\n"
                     "movl $1000,%%ecx\n"
                     "1: loop 1b\n"
                     : "=&S"(seen), "+c"(count), "+a"(first)
                     : "d"(port), "b"(second)
                     : "memory");
    return seen == 0x22222222;
}

void kmain(void)
{
    for (uint32_t at = 0; at < 0x30000; at += 4)
        M32(at) = M32(0x100000 + at);
    say("start", is_open());
    outb(0x92, 0);
    controller(0xdf);
    say("keyboard", is_open());
    outb(0x92, 2);
    controller(0xdd);
    say("port92", is_open());
    say("neither", is_open_between(0x92, 0, 2));
    say("again", is_open());
    controller(0xdf);
    say("both", is_open_between(0x92, 0, 2));
    outb(0x92, 0);
    say("last", is_open_between(0x64, 0xdd, 0xdf));
    say("end", is_open());
    power_off();
}

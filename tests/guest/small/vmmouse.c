/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VMware's mouse on command: of each letter on COM1, a and r make it absolute and relative, p switches the PS/2 mouse
 * on, d shows whether that has something to say and fetches all packets, q ends.
 */
#include "small.h"

static uint32_t words[4];

static uint32_t ask(uint32_t command, uint32_t argument)
{
    words[0] = 0x564d5868u;
    words[1] = argument;
    words[2] = command;
    words[3] = 0x5658u;
    __asm__ volatile("inl %%dx, %%eax" : "+a"(words[0]), "+b"(words[1]), "+c"(words[2]), "+d"(words[3]));
    return words[0];
}

static void begin(uint32_t mode)
{
    ask(41, 0x45414552u);
    ask(39, 1);
    ask(41, mode);
}

static void to_mouse(uint8_t byte)
{
    outb(0x64, 0xd4);
    outb(0x60, byte);
    while (!(inb(0x64) & 1))
        ;
    inb(0x60);
}

static void fetch(void)
{
    say("nudged", inb(0x64) & 0x21);
    while (inb(0x64) & 1)
        inb(0x60);
    while ((ask(40, 0) & 0xffff) >= 4) {
        ask(39, 4);
        say("flags", words[0]);
        say("x", words[1]);
        say("y", words[2]);
        say("z", words[3]);
    }
}

void kmain(void)
{
    for (;;) {
        while (!(inb(0x3fd) & 1))
            ;
        switch (inb(0x3f8)) {
        case 'a': begin(0x53424152u); break;
        case 'r': begin(0x4c455252u); break;
        case 'p': to_mouse(0xf4); break;
        case 'd': fetch(); break;
        case 'q': power_off();
        default: continue;
        }
        print("so\r\n");
    }
}

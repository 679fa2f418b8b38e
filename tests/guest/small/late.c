/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes to the window of a VGA in slot 2, which may be late: more than anybody keeps back, and what reads them sees;
 * and ports among them, which come after those before.
 */
#include "small.h"

#define WINDOW 0xa0000u
#define BYTES 0x8000u

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0,%1" : : "a"(v), "Nd"(port));
}

static void indexed(uint16_t port, uint8_t index, uint8_t value)
{
    outb(port, index);
    outb(port + 1, value);
}

void kmain(void)
{
    uint32_t sum = 0;

    outl(0xcf8, 0x80001004);
    outw(0xcfc, 3);
    outb(0x3c2, 0x63);
    indexed(0x3c4, 4, 6); /* planar, 256 KiB */
    indexed(0x3ce, 6, 5); /* 64 KiB at 0xa0000 */
    indexed(0x3ce, 5, 0);
    indexed(0x3ce, 8, 0xff);
    indexed(0x3c4, 2, 1);
    print("begins\r\n");
    while (!(inb(0x3fd) & 1))
        ;
    inb(0x3f8);
    for (uint32_t n = 0; n < BYTES; n++)
        M8(WINDOW + n) = (uint8_t)(n * 7 + (n >> 8));
    print("written\r\n");
    for (uint32_t n = 0; n < BYTES; n++)
        sum = sum * 31 + M8(WINDOW + n);
    say("sum", sum);
    for (unsigned plane = 0; plane < 4; plane++) { /* each write is to the plane that was chosen before it */
        indexed(0x3c4, 2, (uint8_t)(1u << plane));
        for (uint32_t n = 0; n < 64; n++)
            M8(WINDOW + n) = (uint8_t)(plane * 64 + n);
    }
    for (unsigned plane = 0; plane < 4; plane++) {
        indexed(0x3ce, 4, (uint8_t)plane);
        sum = 0;
        for (uint32_t n = 0; n < 64; n++)
            sum = sum * 31 + M8(WINDOW + n);
        say("plane", sum);
    }
    for (;;)
        __asm__ volatile("cli; hlt");
}

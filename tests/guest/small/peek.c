/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Does what it is told on COM1, in lines of hexadecimal numbers: `i SIZE PORT`, `o SIZE PORT VALUE`, `m ADDRESS` (32
 * bits of memory), `c LEAF SUBLEAF`, `q`; and answers each with a line. */
#include "small.h"

static uint8_t get(void)
{
    while (!(inb(0x3fd) & 1))
        ;
    return inb(0x3f8);
}

/* The numbers of a line; *ret_what is its first character. */
static void read_line(uint8_t *ret_what, uint32_t n[3])
{
    uint8_t c;
    int at = -1;

    *ret_what = get();
    n[0] = n[1] = n[2] = 0;
    while ((c = get()) != '\n') {
        if (c == ' ')
            at++;
        else if (at >= 0 && at < 3)
            n[at] = n[at] << 4 | (uint32_t)(c <= '9' ? c - '0' : c - 'a' + 10);
    }
}

static uint32_t in(uint32_t size, uint16_t port)
{
    uint32_t v = 0;

    if (size == 1)
        return inb(port);
    if (size == 2)
        __asm__ volatile("inw %1,%w0" : "+a"(v) : "Nd"(port));
    else
        __asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"(port));
    return v;
}

static void out(uint32_t size, uint16_t port, uint32_t v)
{
    if (size == 1)
        outb(port, (uint8_t)v);
    else if (size == 2)
        outw(port, (uint16_t)v);
    else
        __asm__ volatile("outl %0,%1" : : "a"(v), "Nd"(port));
}

static void cpuid(uint32_t leaf, uint32_t subleaf)
{
    uint32_t r[4];

    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "a"(leaf), "c"(subleaf));
    for (unsigned i = 0; i < 3; i++) {
        for (int bit = 28; bit >= 0; bit -= 4)
            put("0123456789abcdef"[r[i] >> bit & 15]);
        put(' ');
    }
    say("", r[3]);
}

void kmain(void)
{
    uint32_t n[3];
    uint8_t what;

    print("peek\r\n");
    for (;;) {
        read_line(&what, n);
        if (what == 'i')
            say("", in(n[0], (uint16_t)n[1]));
        else if (what == 'm')
            say("", M32(n[0]));
        else if (what == 'c')
            cpuid(n[0], n[1]);
        else if (what == 'q')
            power_off();
        else
            out(n[0], (uint16_t)n[1], n[2]), say("", 0);
    }
}

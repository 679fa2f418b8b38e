/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes a pci-testdev in slot 5 as whoever runs the machine says by COM1: a digit begins its test of that number
 * (those from 3 on are of ports) and makes 5000 writes; `m` moves its memory and makes them there, and one where it
 * was; `q` ends. What the device counted is printed each time.
 */
#include "small.h"

#define WRITES 5000u
#define FIRST 0xe0000000u
#define SECOND 0xe0100000u
#define PORTS 0xc000u

static inline void outl(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0,%1" : : "a"(v), "Nd"(port));
}

static inline uint32_t inl(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"(port));
    return v;
}

static void config(unsigned offset, uint32_t value)
{
    outl(0xcf8, 0x80002800 | offset);
    outl(0xcfc, value);
}

/* It looks seldom: each time leaves the guest. */
static char next(void)
{
    while (!(inb(0x3fd) & 1)) {
        uint64_t begin = rdtsc();

        while (rdtsc() - begin < 1000000)
            ;
    }
    return (char)inb(0x3f8);
}

static uint32_t memory = FIRST;

static void write_memory(void)
{
    uint32_t at = memory + M32(memory + 4), data = M32(memory + 8);

    for (unsigned n = 0; n < WRITES; n++)
        M32(at) = data;
    M32(at) = data + 1; /* rings the one that wants no value */
    say("count", M32(memory + 12));
}

static void write_ports(void)
{
    uint16_t at = (uint16_t)(PORTS + inl(PORTS + 4));
    uint32_t data = inl(PORTS + 8);

    for (unsigned n = 0; n < WRITES; n++)
        outl(at, data);
    outl(at, data + 1);
    say("count", inl(PORTS + 12));
}

static void move(void)
{
    uint32_t old = memory;

    memory = memory == FIRST ? SECOND : FIRST;
    config(0x10, memory);
    M32(old + 0x80) = M32(memory + 8); /* nobody is there */
    say("before", M32(memory + 12));
    write_memory();
}

void kmain(void)
{
    config(0x10, memory);
    config(0x14, PORTS);
    config(4, 3);
    print("ready\r\n");
    for (;;) {
        char c = next();

        if (c == 'q')
            power_off();
        if (c == 'm') {
            move();
        } else if (c < '3') {
            M8(memory) = (uint8_t)(c - '0');
            write_memory();
        } else {
            outb(PORTS, (uint8_t)(c - '3'));
            write_ports();
        }
    }
}

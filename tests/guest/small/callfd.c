/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A driver of a virtio network card (modern, in slot 4) whose rings another process serves, as far as interrupts go:
 * MSI-X vectors 0 and 1 for both queues, no buffers. Bytes by COM1: `m`, `u` mask and unmask vector 1, `f`, `g` all of
 * the function, `d` gives vector 1 another message, `b`, `n` take the bus from the function and give it back, `k`
 * notifies queue 1, `c` counts what came, `q` ends.
 */
#include "small.h"

#define TABLE 0xe0000000u
#define REGISTERS 0xe0100000u

enum { /* of the common configuration, Virtual I/O Device 1.2, 4.1.4.3 */
    DRIVER_SELECT = 0x08, DRIVER_FEATURE = 0x0c, STATUS = 0x14, QUEUE_SELECT = 0x16, QUEUE_VECTOR = 0x1a,
    QUEUE_ENABLE = 0x1c, QUEUE_DESC = 0x20, QUEUE_DRIVER = 0x28, QUEUE_DEVICE = 0x30
};

#define M16(address) (*(volatile uint16_t *)(address))

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

static uint32_t config(unsigned offset)
{
    outl(0xcf8, 0x80002000 | offset);
    return inl(0xcfc);
}

static void set_config(unsigned offset, uint32_t value)
{
    outl(0xcf8, 0x80002000 | offset);
    outl(0xcfc, value);
}

HANDLER(first, M32(LAPIC + 0xb0) = 0);
HANDLER(second, M32(LAPIC + 0xb0) = 0);
HANDLER(other, M32(LAPIC + 0xb0) = 0);

static uint32_t common, notify, table, pending, control; /* the last is in configuration space */

static void look_up(void)
{
    for (unsigned at = config(0x34) & 0xfc; at; at = config(at) >> 8 & 0xfc) {
        if ((config(at) & 0xff) == 0x11) {
            control = at;
            table = TABLE + (config(at + 4) & ~7u);
            pending = TABLE + (config(at + 8) & ~7u);
        } else if ((config(at) & 0xff) == 9 && config(at) >> 24 == 1) {
            common = REGISTERS + config(at + 8);
        } else if ((config(at) & 0xff) == 9 && config(at) >> 24 == 2) {
            notify = REGISTERS + config(at + 8) + config(at + 16);
        }
    }
}

static void set_vector(unsigned n, uint32_t vector)
{
    M32(table + 16 * n) = LAPIC;
    M32(table + 16 * n + 4) = 0;
    M32(table + 16 * n + 8) = vector;
    M32(table + 16 * n + 12) = 0;
}

static void set_queue(uint16_t n, uint32_t at)
{
    M16(common + QUEUE_SELECT) = n;
    M16(common + QUEUE_VECTOR) = n;
    M32(common + QUEUE_DESC) = at;
    M32(common + QUEUE_DESC + 4) = 0;
    M32(common + QUEUE_DRIVER) = at + 0x4000;
    M32(common + QUEUE_DRIVER + 4) = 0;
    M32(common + QUEUE_DEVICE) = at + 0x8000;
    M32(common + QUEUE_DEVICE + 4) = 0;
    M16(common + QUEUE_ENABLE) = 1;
}

static void start(void)
{
    M8(common + STATUS) = 0;
    while (M8(common + STATUS))
        ;
    M8(common + STATUS) = 1;
    M8(common + STATUS) = 3;
    M32(common + DRIVER_SELECT) = 0;
    M32(common + DRIVER_FEATURE) = 0;
    M32(common + DRIVER_SELECT) = 1;
    M32(common + DRIVER_FEATURE) = 1;
    M8(common + STATUS) = 11;
    set_queue(0, 0x2000000);
    set_queue(1, 0x2010000);
    M8(common + STATUS) = 15;
}

static void count(void)
{
    say("first", first_count);
    say("second", second_count);
    say("other", other_count);
    say("pending", M32(pending));
    print("counted\r\n");
}

static void obey(char c)
{
    uint32_t command = config(4) & 0xffff;

    switch (c) {
    case 'm': case 'u': M32(table + 16 + 12) = c == 'm'; break;
    case 'f': case 'g': set_config(control, 0x80000000u | (c == 'f' ? 0x40000000u : 0)); break;
    case 'd': M32(table + 16 + 8) = 0x52; break;
    case 'b': set_config(4, command & ~4u); break;
    case 'n': set_config(4, command | 4); break;
    case 'k': M16(notify) = 1; break;
    case 'c': count(); break;
    }
}

void kmain(void)
{
    set_gate(0x50, first);
    set_gate(0x51, second);
    set_gate(0x52, other);
    load_idt();
    M32(LAPIC + 0xf0) = 0x1ff;
    set_config(0x14, TABLE);
    set_config(0x20, REGISTERS);
    set_config(0x24, 0);
    set_config(4, 6);
    look_up();
    set_config(control, 0x80000000u);
    set_vector(0, 0x50);
    set_vector(1, 0x51);
    start();
    print("ready\r\n");
    __asm__ volatile("sti");
    for (;;) {
        char c;

        while (!(inb(0x3fd) & 1))
            ;
        c = (char)inb(0x3f8);
        if (c == 'q')
            power_off();
        obey(c);
    }
}

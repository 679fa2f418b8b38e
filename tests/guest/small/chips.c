/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interrupt controllers and timer in the middle of things: whoever runs the machine stops it and lets it go on when
 * it says so, and the guest finds everything as it was. */
#include "small.h"

HANDLER(timer, {
    if (timer_count != 1) /* the first stays in service */
        outb(0x20, 0x20);
});

static uint8_t before[2];

static void set_up_pics(void)
{
    static const uint8_t master[] = {0x11, 0x20, 4, 1};

    for (unsigned i = 0; i < 4; i++)
        outb(i ? 0x21 : 0x20, master[i]);
    outb(0x21, 0xfe);
    outb(0x4d0, 0x20);
    outb(0x4d1, 0x0c);
    outb(0x20, 0xc4); /* IR4 is the lowest */
    outb(0x20, 0x68); /* special mask mode */
    outb(0x20, 0x0b); /* ISR is read */
    outb(0xa0, 0x11); /* and the slave waits for ICW3 */
    outb(0xa1, 0x28);
}

static void set_up_timer(void)
{
    outb(0x43, 0x34); /* channel 0: 1 kHz */
    outb(0x40, 0xa9);
    outb(0x40, 4);
    outb(0x61, 1);
    outb(0x43, 0xb0); /* channel 2: mode 0, latched, one byte read */
    outb(0x42, 0xff);
    outb(0x42, 0x80);
    outb(0x43, 0x80);
    before[0] = inb(0x42);
    outb(0x43, 0x76); /* channel 1: mode 3, half a count written, its status latched */
    outb(0x41, 0x78);
    outb(0x43, 0xe4);
}

static void set_up_ioapic(void)
{
    M32(IOAPIC) = 0x10 + 2 * 9;
    M32(IOAPIC + 0x10) = 0x1a961; /* masked, level, low, logical */
    M32(IOAPIC) = 0x11 + 2 * 9;
    M32(IOAPIC + 0x10) = 0x5a000000;
}

static void look_at_timer(void)
{
    uint8_t high, status;

    say("channel2", (uint32_t)(0x80 - inb(0x42)) <= 1); /* ff 80, a little earlier */
    status = inb(0x41);
    say("status1", status & 0x3f);
    outb(0x41, 0x56);
    outb(0x43, 0x40);
    inb(0x41);
    high = inb(0x41);
    say("channel1", high <= 0x56);
}

static void look_at_pics(void)
{
    say("isr", inb(0x20));
    say("imr", inb(0x21));
    say("elcr", inb(0x4d0) | inb(0x4d1) << 8);
    outb(0xa1, 2); /* ICW3, ICW4: so this is no mask */
    outb(0xa1, 1);
    say("slave", inb(0xa1));
    outb(0xa1, 0xff);
    say("mask", inb(0xa1));
}

void kmain(void)
{
    uint32_t seen;

    set_gate(0x20, timer);
    load_idt();
    set_up_ioapic();
    set_up_pics();
    set_up_timer();
    WAIT_FOR(timer_count >= 1);
    print("stop\r\n");
    while (!(inb(0x3fd) & 1))
        ;
    inb(0x3f8);
    say("entry9", M32(IOAPIC + 0x10)); /* what was selected */
    M32(IOAPIC) = 0x10 + 2 * 9;
    say("entry9low", M32(IOAPIC + 0x10));
    look_at_pics();
    look_at_timer();
    outb(0x20, 0x60);
    seen = timer_count;
    WAIT_FOR(timer_count >= seen + 3);
    say("goes_on", timer_count >= seen + 3);
    power_off();
}

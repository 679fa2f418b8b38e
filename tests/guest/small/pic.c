/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 8259 pair, interval timer and clock set up; the local APIC stays as it was found: both
 * interrupts come. */
#include "small.h"

HANDLER(timer, outb(0x20, 0x20));
HANDLER(rtc, {
    outb(0x70, 0x0c);
    inb(0x71);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
});

static void set_up_pic(void)
{
    static const uint8_t master[] = {0x11, 0x20, 4, 1}, slave[] = {0x11, 0x28, 2, 1};

    for (unsigned i = 0; i < 4; i++) {
        outb(i ? 0x21 : 0x20, master[i]);
        outb(i ? 0xa1 : 0xa0, slave[i]);
    }
    outb(0x21, 0xfa); /* IRQ 0 and the cascade */
    outb(0xa1, 0xfe); /* IRQ 8 */
}

static void set_up_sources(void)
{
    uint8_t b;

    outb(0x43, 0x34);
    outb(0x40, 0xa9);
    outb(0x40, 4); /* about 1 kHz */
    outb(0x70, 0x0a);
    outb(0x71, 0x26);
    outb(0x70, 0x0b);
    b = inb(0x71);
    outb(0x70, 0x0b);
    outb(0x71, b | 0x40); /* periodic */
    outb(0x70, 0x0c);
    inb(0x71);
}

void kmain(void)
{
    say("svr", M32(LAPIC + 0xf0));
    say("lint0", M32(LAPIC + 0x350));
    say("lint1", M32(LAPIC + 0x360));
    outb(0x21, 0xff);
    for (unsigned i = 0; i < 256; i++)
        set_gate(i, timer);
    set_gate(0x28, rtc);
    load_idt();
    set_up_pic();
    set_up_sources();
    WAIT_FOR(timer_count >= 3 && rtc_count >= 3);
    say("timer", timer_count);
    say("rtc", rtc_count);
    power_off();
}

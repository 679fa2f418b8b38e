/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Timer 0 of the HPET through the I/O APIC, without legacy replacement: one-shot, periodic (64
 * and 32 bits), level, then with legacy replacement. IA-PC HPET Specification 1.0a. */
#include "small.h"

static volatile uint32_t *const hpet = (volatile uint32_t *)HPET;

HANDLER(timer, {
    if (hpet[8] & 1)
        hpet[8] = 1; /* a level interrupt is dismissed at the timer first */
    M32(LAPIC + 0xb0) = 0;
});

static void redirect(unsigned pin, uint32_t entry)
{
    M32(IOAPIC) = 0x10 + 2 * pin;
    M32(IOAPIC + 0x10) = entry;
    M32(IOAPIC) = 0x11 + 2 * pin;
    M32(IOAPIC + 0x10) = 0;
}

/* Stops the counter, sets timer 0 and lets it run until `count` interrupts came. */
static void run(const char *name, uint32_t config, uint32_t first, uint32_t period, uint32_t general,
                uint32_t count)
{
    hpet[4] = 0;
    hpet[0x3c] = hpet[0x3d] = 0;
    hpet[0x40] = config;
    hpet[0x42] = first;
    if (config & 8)
        hpet[0x42] = period;
    else
        hpet[0x43] = 0;
    timer_count = 0;
    hpet[4] = general;
    WAIT_FOR(timer_count >= count);
    hpet[4] = 0;
    say(name, timer_count);
}

void kmain(void)
{
    unsigned route = 0;
    uint32_t to;

    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    outb(0x43, 0x30); /* the interval timer is silent */
    for (unsigned i = 32; i < 256; i++)
        set_gate(i, timer);
    load_idt();
    M32(LAPIC + 0xf0) = 0x1ff;
    for (unsigned pin = 0; pin < 24; pin++)
        redirect(pin, 0x50);
    while (route < 32 && !(hpet[0x41] >> route & 1))
        route++;
    say("route", route);
    to = route << 9;
    run("oneshot", 0x04 | to, 1000000, 0, 1, 1);
    run("periodic", 0x4c | to, 100000, 100000, 1, 3);
    run("periodic32", 0x14c | to, 100000, 50000, 1, 3);
    redirect(route, 0x8050);
    run("level", 0x4e | to, 100000, 100000, 1, 3);
    redirect(route, 0x50);
    redirect(2, 0x50); /* legacy replacement: timer 0 is IRQ 0, which is pin 2 */
    run("legacy", 0x4c, 100000, 100000, 3, 3);
    power_off();
}

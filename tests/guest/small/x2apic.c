/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The local APIC in x2APIC mode: its timer by TSC deadline, an interrupt to itself, a message from the I/O APIC that
 * is level-triggered and comes until its source is quiet (Intel SDM volume 3, 11.12; 82093AA). It halts at the end, so
 * that monitors can look.
 */
#include "small.h"

#define X2(index) (0x800u + (index))

static void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index));
}

static uint32_t features(void)
{
    uint32_t a = 1, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return c;
}

HANDLER(deadline, wrmsr(X2(0x0b), 0));
HANDLER(self, wrmsr(X2(0x0b), 0));
/*
 * COM1 says that it can send until its register of interrupts is read; the third time it is. Whether the interrupt is
 * in service meanwhile is written down. The other port is read so that an accelerator has told all that it has to.
 */
static uint32_t in_service;
HANDLER(serial, {
    in_service += (uint32_t)rdmsr(X2(0x12)) >> 2 & 3 ? 1 : 0;
    inb(0x3ff);
    if (serial_count == 3)
        inb(0x3fa);
    wrmsr(X2(0x0b), 0);
});

static void set_pin(unsigned pin, uint32_t low, uint32_t high)
{
    M32(IOAPIC) = 0x11 + pin * 2;
    M32(IOAPIC + 0x10) = high;
    M32(IOAPIC) = 0x10 + pin * 2;
    M32(IOAPIC + 0x10) = low;
}

void kmain(void)
{
    uint32_t has = features();

    load_idt();
    set_gate(0x40, deadline);
    set_gate(0x41, self);
    set_gate(0x42, serial);
    set_gate(0x43, serial);
    say("x2apic", has >> 21 & 1);
    say("has_deadline", has >> 24 & 1);
    wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    wrmsr(X2(0x0f), 0x1ff);
    wrmsr(X2(0x08), 0x10);
    say("id", (uint32_t)rdmsr(X2(0x02)));
    say("logical", (uint32_t)rdmsr(X2(0x0d)));
    wrmsr(X2(0x3f), 0x41);
    WAIT_FOR(self_count == 1);
    say("self", self_count);
    if (has >> 24 & 1) {
        wrmsr(X2(0x32), 0x40040);
        wrmsr(0x6e0, rdtsc() + 3000000);
        WAIT_FOR(deadline_count == 1);
        say("deadline", deadline_count);
        say("armed", rdmsr(0x6e0) != 0);
    }
    set_pin(4, 0x8042, 0); /* level, fixed, to processor 0 */
    outb(0x3fc, 8);
    outb(0x3f9, 2); /* the transmitter is empty */
    WAIT_FOR(serial_count >= 3);
    outb(0x3f9, 0);
    say("serial", serial_count);
    say("in_service", in_service);
    serial_count = 0;
    set_pin(4, 0x8043, 0); /* the same with another vector */
    outb(0x3f9, 2);
    WAIT_FOR(serial_count >= 3);
    outb(0x3f9, 0);
    set_pin(4, 0x10000, 0);
    say("again", serial_count);
    wrmsr(X2(0x32), 0x10000);
    print("halts\r\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Processors that come and go at run time, as ACPI code drives the registers at 0xaf00
 * (modules/hw/pc/acpi-cpuhp.c): one that came is started (Intel SDM volume 3, 9.4), tells how its local APIC was,
 * takes interrupts from the first one and from its own timer, and leaves its local APIC in disorder; one that is
 * asked for is let go.
 */
#include "small.h"

#define SELECTOR 0xaf00u
#define FLAGS 0xaf04u
#define COMMAND 0xaf05u
#define DATA 0xaf08u
enum { CAME = 2, ASKED = 4, EJECT = 8 };

extern char trampoline[], trampoline_end[], gdt[];
static volatile uint32_t phase, regs[5], messages, ticks, rounds;

__asm__(".code16\n.globl trampoline\ntrampoline:\n"
        "cli; xor %ax,%ax; mov %ax,%ds; lgdtl 0x620; mov %cr0,%eax; or $1,%al;\n"
        "mov %eax,%cr0; .byte 0x66,0xea; .long second; .word 0x10\n.globl trampoline_end\n"
        "trampoline_end:\n.code32\n"
        "second: mov $0x18,%eax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x1e0000,%esp;\n"
        "call second_main\n");

HANDLER(message, {
    messages++;
    M32(LAPIC + 0xb0) = 0;
});
HANDLER(tick, {
    ticks++;
    M32(LAPIC + 0xb0) = 0;
});

static void out32(uint16_t port, uint32_t v)
{
    __asm__ volatile("outl %0,%1" : : "a"(v), "Nd"(port));
}

static uint32_t in32(uint16_t port)
{
    uint32_t v;

    __asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"(port));
    return v;
}

__attribute__((used, noreturn)) void second_main(void)
{
    static const uint16_t which[5] = {0x20, 0xf0, 0x80, 0x320, 0x380};

    for (unsigned n = 0; n < 5; n++)
        regs[n] = M32(LAPIC + which[n]);
    load_idt();
    M32(LAPIC + 0xf0) = 0x1ff;
    M32(LAPIC + 0x3e0) = 0xb;
    M32(LAPIC + 0x320) = 0x20041; /* periodic */
    M32(LAPIC + 0x380) = 1000000;
    __asm__ volatile("sti");
    phase = 1;
    while (phase == 1)
        __asm__ volatile("sti; hlt");
    __asm__ volatile("cli");
    M32(LAPIC + 0x80) = 0x30;
    phase = 3;
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void send(uint32_t id, uint32_t command)
{
    M32(LAPIC + 0x310) = id << 24;
    M32(LAPIC + 0x300) = command;
    while (M32(LAPIC + 0x300) & 0x1000)
        ;
}

static void came(uint32_t n)
{
    static const char *const names[5] = {"apic", "svr", "tpr", "timer", "count"};
    uint32_t id;

    out32(SELECTOR, n);
    outb(FLAGS, CAME);
    outb(COMMAND, 3);
    id = in32(DATA);
    phase = messages = ticks = 0;
    send(id, 0x4500);
    send(id, 0x4608); /* at once: processors of today need no pause, and its thread may not be there yet */
    WAIT_FOR(phase == 1);
    for (uint32_t sent = 1; sent <= 3 && phase == 1; sent++) {
        send(id, 0x4040);
        WAIT_FOR(messages == sent);
    }
    WAIT_FOR(ticks >= 3);
    say("came", n);
    say("id", id);
    for (unsigned r = 0; r < 5; r++)
        say(names[r], regs[r]);
    say("messages", messages);
    say("ticks", ticks >= 3);
    print("works\r\n");
}

static void asked(uint32_t n)
{
    out32(SELECTOR, n);
    outb(FLAGS, ASKED);
    phase = 2;
    WAIT_FOR(phase == 3);
    out32(SELECTOR, n);
    outb(FLAGS, EJECT);
    WAIT_FOR(!(inb(FLAGS) & 1));
    say("went", n);
    rounds++;
}

void kmain(void)
{
    load_idt();
    set_gate(0x40, message);
    set_gate(0x41, tick);
    M32(LAPIC + 0xf0) = 0x1ff;
    for (char *from = trampoline, *to = (char *)0x8000; from < trampoline_end;)
        *to++ = *from++;
    M32(0x620) = 47 | (uint32_t)gdt << 16; /* limit, then base */
    M32(0x624) = (uint32_t)gdt >> 16;
    print("waits\r\n");
    while (rounds < 4) {
        uint32_t n, flags;

        outb(COMMAND, 0);
        n = in32(DATA);
        flags = inb(FLAGS);
        if (flags & CAME)
            came(n);
        else if (flags & ASKED)
            asked(n);
    }
    power_off();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Counted time (-icount): the time stamp counter against instructions, the interval timer, the HPET, the local APIC's
 * timer, and a halt that waits for the RTC. Intel SDM volume 3, 11.5.4; 8254; IA-PC HPET 1.0a; MC146818. */
#include "small.h"

HANDLER(timer, M32(LAPIC + 0xb0) = 0);
HANDLER(rtc, {
    outb(0x70, 0x0c);
    inb(0x71);
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
});

#define TSC_BETWEEN(name, text) \
    static uint32_t name(void) \
    { \
        uint32_t first, second; \
        __asm__ volatile("rdtsc; mov %%eax, %%ebx\n" text "\nrdtsc" : "=a"(second), "=&b"(first) : : "ecx", "edx", \
                         "esi", "edi", "memory"); \
        return second - first; \
    }
__attribute__((used)) static uint32_t source[3000], target[3000];
/* Instructions behind the first RDTSC, the second one not among them, and one for itself: */
TSC_BETWEEN(few, "nop; nop; nop")                                                /* 5 */
TSC_BETWEEN(loop, "mov $1000, %%ecx; 1: dec %%ecx; jnz 1b")                       /* 2003 */
TSC_BETWEEN(string, "mov $source, %%esi; mov $target, %%edi; mov $3000, %%ecx; cld; rep movsl") /* 7 */
TSC_BETWEEN(port, "mov $0x61, %%edx; in %%dx, %%al; in %%dx, %%al; nop")          /* 6 */
TSC_BETWEEN(traps, "mov $100, %%ecx; 1: int $0x30; loop 1b")                      /* 2 + 100 * (2 + 1) */
void trap(void);
__asm__(".globl trap\ntrap: iret\n");

static uint32_t random_number(void)
{
    uint32_t r;

    __asm__ volatile("rdrand %0" : "=r"(r) : : "cc");
    return r;
}

static uint32_t pit(void)
{
    uint32_t low;

    outb(0x43, 0x80);
    low = inb(0x42);
    return low | (uint32_t)inb(0x42) << 8;
}

/* TSC ticks while the interval timer's counter 2 goes down by so many of 1193182 a second. */
static uint32_t against_pit(uint32_t ticks)
{
    uint64_t begin;
    uint32_t from;

    outb(0x61, 1);
    outb(0x43, 0xb4);
    outb(0x42, 0xff);
    outb(0x42, 0xff);
    from = pit();
    begin = rdtsc();
    while (from - pit() < ticks)
        ;
    return (uint32_t)(rdtsc() - begin);
}

static uint32_t against_hpet(uint32_t ticks)
{
    volatile uint32_t *hpet = (volatile uint32_t *)HPET;
    uint64_t begin;
    uint32_t from;

    hpet[4] = 1;
    from = hpet[0x3c];
    begin = rdtsc();
    while (hpet[0x3c] - from < ticks)
        ;
    return (uint32_t)(rdtsc() - begin);
}

/* TSC ticks from arming the APIC's timer to the instruction behind a halt that it ends. */
static uint32_t halted_until_apic(uint32_t count)
{
    uint64_t begin;

    M32(LAPIC + 0x3e0) = 0xb; /* divided by 1 */
    M32(LAPIC + 0x320) = 0x50;
    begin = rdtsc();
    M32(LAPIC + 0x380) = count;
    __asm__ volatile("sti; hlt; cli");
    return (uint32_t)(rdtsc() - begin);
}

/* Seconds of the TSC that `updates` interrupts of the RTC take, in ms. */
static uint32_t halted_until_rtc(uint32_t updates)
{
    uint64_t begin;

    outb(0x70, 0x0b);
    outb(0x71, 0x12); /* an interrupt after each update, 24 hours */
    outb(0x70, 0x0c);
    inb(0x71);
    outb(0xa1, 0xfe);
    outb(0x21, 0xfb);
    rtc_count = 0;
    while (rtc_count < 1)
        __asm__ volatile("sti; hlt; cli");
    begin = rdtsc();
    while (rtc_count < 1 + updates)
        __asm__ volatile("sti; hlt; cli");
    begin = rdtsc() - begin;
    return (uint32_t)(begin >> 10) / 977; /* ns to ms, nearly: no 64-bit division here */
}

void kmain(void)
{
    outb(0x20, 0x11); /* 8259 pair: vectors 0x20 and 0x28 */
    outb(0x21, 0x20);
    outb(0x21, 0x04);
    outb(0x21, 0x01);
    outb(0xa0, 0x11);
    outb(0xa1, 0x28);
    outb(0xa1, 0x02);
    outb(0xa1, 0x01);
    outb(0x21, 0xff);
    outb(0xa1, 0xff);
    set_gate(0x30, trap);
    set_gate(0x50, timer);
    set_gate(0x28, rtc);
    load_idt();
    M32(LAPIC + 0xf0) = 0x1ff;
    M32(LAPIC + 0x350) = 0x700; /* LINT0: the 8259 pair */
    say("few", few());
    say("loop", loop());
    say("string", string());
    say("copied", target[2999] == source[2999]);
    say("port", port());
    say("traps", traps());
    say("random", random_number());
    say("pit", against_pit(1193));
    say("hpet", against_hpet(100000)); /* of 10 ns */
    say("apic", halted_until_apic(5000000));
    say("slept", timer_count);
    say("rtc", halted_until_rtc(3));
    say("end", (uint32_t)(rdtsc() >> 4));
    power_off();
}

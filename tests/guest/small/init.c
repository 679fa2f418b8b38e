/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Two processors: the second one fills its local APIC, is sent INIT, starts again and reads it
 * (Intel SDM volume 3, 11.4.7.3). */
#include "small.h"

#define STARTS 0x600u
#define PHASE 0x604u

extern char trampoline[], trampoline_end[], gdt[];
static volatile uint32_t seen[8];

__asm__(".code16\n.globl trampoline\ntrampoline:\n"
        "cli; xor %ax,%ax; mov %ax,%ds; incl 0x600; lgdtl 0x620; mov %cr0,%eax; or $1,%al;\n"
        "mov %eax,%cr0; .byte 0x66,0xea; .long second; .word 0x10\n.globl trampoline_end\n"
        "trampoline_end:\n.code32\n"
        "second: mov $0x18,%eax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $0x1e0000,%esp;\n"
        "call second_main\n");

static void fill(void)
{
    uint64_t begin;

    M32(LAPIC + 0xf0) = 0x1ff;
    M32(LAPIC + 0xe0) = 0x0fffffff;
    M32(LAPIC + 0xd0) = 0x05000000;
    M32(LAPIC + 0x3e0) = 0xb;
    M32(LAPIC + 0x320) = 0x20040; /* periodic, vector 0x40 */
    M32(LAPIC + 0x380) = 1000000;
    M32(LAPIC + 0x350) = 0x700;
    M32(LAPIC + 0x80) = 0x20;
    begin = rdtsc();
    while (!(M32(LAPIC + 0x220) & 1) && rdtsc() - begin < 10000000000ull)
        ;
    seen[7] = M32(LAPIC + 0x220);
}

__attribute__((used, noreturn)) void second_main(void)
{
    if (M32(STARTS) == 1) {
        fill();
        M32(PHASE) = 1;
        for (;;)
            __asm__ volatile("pause");
    }
    seen[0] = M32(LAPIC + 0xf0);
    seen[1] = M32(LAPIC + 0x320);
    seen[2] = M32(LAPIC + 0x220);
    seen[3] = M32(LAPIC + 0x350);
    seen[4] = M32(LAPIC + 0x80);
    seen[5] = M32(LAPIC + 0x380) | M32(LAPIC + 0x390);
    seen[6] = M32(LAPIC + 0x20);
    M32(PHASE) = 2;
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void send(uint32_t command)
{
    M32(LAPIC + 0x310) = 1u << 24;
    M32(LAPIC + 0x300) = command;
    while (M32(LAPIC + 0x300) & 0x1000)
        ;
}

static void start_until(uint32_t phase)
{
    uint64_t begin = rdtsc();

    send(0x4500);
    while (rdtsc() - begin < 10000000)
        ;
    send(0x4608);
    while (M32(PHASE) != phase && rdtsc() - begin < 20000000000ull)
        ;
}

void kmain(void)
{
    static const char *const names[] = {"svr", "timer", "irr", "lint0", "tpr", "count", "id", "before"};

    M32(LAPIC + 0xf0) = 0x1ff;
    for (char *from = trampoline, *to = (char *)0x8000; from < trampoline_end;)
        *to++ = *from++;
    M32(STARTS) = 0;
    M32(PHASE) = 0;
    M32(0x620) = 47 | (uint32_t)gdt << 16; /* limit, then base */
    M32(0x624) = (uint32_t)gdt >> 16;
    start_until(1);
    start_until(2);
    say("phase", M32(PHASE));
    for (unsigned i = 0; i < 8; i++)
        say(names[i], seen[i]);
    power_off();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* CR0.NE clear: an unmasked x87 exception is told over FERR# as IRQ 13, which a write to port
 * 0xf0 ends (Intel SDM volume 1, 8.7.2 and appendix D.2.1). */
#include "small.h"

static volatile uint32_t status;

HANDLER(fpu, {
    uint16_t word;

    outb(0xf0, 0);
    __asm__ volatile("fnstsw %0; fnclex" : "=a"(word));
    status = word;
    outb(0xa0, 0x20);
    outb(0x20, 0x20);
});
HANDLER(other, outb(0x20, 0x20));

static void set_up_pic(void)
{
    static const uint8_t master[] = {0x11, 0x20, 4, 1}, slave[] = {0x11, 0x28, 2, 1};

    for (unsigned i = 0; i < 4; i++) {
        outb(i ? 0x21 : 0x20, master[i]);
        outb(i ? 0xa1 : 0xa0, slave[i]);
    }
    outb(0x21, 0xfb);
    outb(0xa1, 0xdf); /* IRQ 13 */
}

static uint8_t slave_requests(void)
{
    outb(0xa0, 0x0a);
    return inb(0xa0);
}

static void divide_by_zero(void)
{
    uint16_t control = 0x037b; /* zero divide unmasked */

    __asm__ volatile("fninit; fldcw %0; fld1; fldz; fdivrp" : : "m"(control));
}

void kmain(void)
{
    uint32_t cr0;

    for (unsigned i = 0; i < 256; i++)
        set_gate(i, other);
    set_gate(0x2d, fpu);
    load_idt();
    set_up_pic();
    __asm__ volatile("mov %%cr0,%0" : "=r"(cr0));
    __asm__ volatile("mov %0,%%cr0" : : "r"((cr0 & ~0x2cu) | 2)); /* NE, TS, EM off; MP on */
    divide_by_zero();
    __asm__ volatile("sti; fwait; nop; nop; cli"); /* the error is told when the next one waits */
    WAIT_FOR(fpu_count >= 1);
    say("irq13", fpu_count);
    say("status", status);
    say("requests", slave_requests() & 0x20u);
    say("others", other_count);
    /* Again: the line had fallen. */
    divide_by_zero();
    __asm__ volatile("sti; fwait; nop; nop; cli");
    WAIT_FOR(fpu_count >= 2);
    say("again", fpu_count);
    power_off();
}

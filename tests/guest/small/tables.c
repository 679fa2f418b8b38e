/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads what a kernel without ACPI reads: MP tables (MultiProcessor Specification 1.4, chapter
 * 4) and $PIR. */
#include "small.h"

static uint32_t sum(uint32_t at, uint32_t len)
{
    uint8_t s = 0;

    while (len--)
        s = (uint8_t)(s + M8(at++));
    return s;
}

static uint32_t find(uint32_t signature)
{
    for (uint32_t at = 0xf0000; at < 0x100000; at += 16) {
        if (M32(at) == signature)
            return at;
    }
    return 0;
}

static uint32_t config(uint32_t devfn, uint32_t offset)
{
    uint32_t v;

    __asm__ volatile("outl %0,%1" : : "a"(0x80000000u | devfn << 8 | (offset & 0xfc)), "Nd"((uint16_t)0xcf8));
    __asm__ volatile("inl %1,%0" : "=a"(v) : "Nd"((uint16_t)0xcfc));
    return v >> (offset & 3) * 8 & 0xff;
}

static void read_mp(void)
{
    uint32_t floating = find(0x5f504d5f), table, at, counted = 0, processors = 0, boot = 0, ioapics = 0; /* _MP_ */
    uint32_t timer_pin = ~0u, extint = 0, nmi = 0, pci_pin = ~0u, bad_ids = 0;

    say("floating", floating);
    if (!floating)
        return;
    say("mp_sum", sum(floating, 16u * M8(floating + 8)));
    table = M32(floating + 4);
    say("config_sum", sum(table, M8(table + 4) | (uint32_t)M8(table + 5) << 8) |
                          (M32(table) ^ 0x504d4350)); /* PCMP */
    say("entries", M8(table + 34) | (uint32_t)M8(table + 35) << 8);
    for (at = table + 44; at < table + (M8(table + 4) | (uint32_t)M8(table + 5) << 8); counted++) {
        uint32_t type = M8(at);

        if (type == 0) {
            bad_ids += M8(at + 1) != processors;
            processors++;
            boot += M8(at + 3) >> 1 & 1;
            at += 20;
            continue;
        }
        ioapics += type == 2;
        if (type == 3 && M8(at + 4) == 1 && M8(at + 5) == 0)
            timer_pin = M8(at + 7);
        if (type == 3 && M8(at + 4) == 0 && M8(at + 5) == 3u << 2)
            pci_pin = M8(at + 7);
        extint += type == 4 && M8(at + 1) == 3;
        nmi += type == 4 && M8(at + 1) == 1;
        at += 8;
    }
    say("counted", counted);
    say("processors", processors);
    say("boot", boot);
    say("ioapics", ioapics);
    say("timer_pin", timer_pin);
    say("extint", extint);
    say("nmi", nmi);
    say("mp_pci_pin", pci_pin);
    say("bad_ids", bad_ids);
}

static void read_pir(void)
{
    uint32_t pir = find(0x52495024), size = M8(pir + 6) | (uint32_t)M8(pir + 7) << 8; /* $PIR */

    say("pir", pir);
    if (!pir)
        return;
    say("pir_sum", sum(pir, size));
    for (uint32_t at = pir + 32; at < pir + size; at += 16) {
        if (M8(at + 1) == 3u << 3)
            say("pir_link", M8(at + 2));
    }
}

void kmain(void)
{
    read_mp();
    read_pir();
    say("routed", config(0x08, 0x62));
    say("pm_line", config(0x0b, 0x3c)); /* interrupt line register of the power management function */
    power_off();
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What small guests share: ports, MSRs, a console on COM1, interrupt gates. 32-bit code without
 * paging and without a C library; the guest prints `NAME VALUE` lines (hexadecimal) and powers the
 * machine off.
 */
#ifndef SMALL_H
#define SMALL_H

#include <stdint.h>

#define M8(address) (*(volatile uint8_t *)(address))
#define M32(address) (*(volatile uint32_t *)(address))

#define LAPIC 0xfee00000u
#define IOAPIC 0xfec00000u
#define HPET 0xfed00000u

static inline void outb(uint16_t port, uint8_t v)
{
    __asm__ volatile("outb %0,%1" : : "a"(v), "Nd"(port));
}

static inline void outw(uint16_t port, uint16_t v)
{
    __asm__ volatile("outw %0,%1" : : "a"(v), "Nd"(port));
}

static inline uint8_t inb(uint16_t port)
{
    uint8_t v;

    __asm__ volatile("inb %1,%0" : "=a"(v) : "Nd"(port));
    return v;
}

static inline uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t rdmsr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

/* ---- console ---- */

static inline void put(char c)
{
    while (!(inb(0x3fd) & 0x20))
        ;
    outb(0x3f8, (uint8_t)c);
}

static inline void print(const char *text)
{
    while (*text)
        put(*text++);
}

static inline void say(const char *name, uint32_t value)
{
    print(name);
    put(' ');
    for (int i = 28; i >= 0; i -= 4)
        put("0123456789abcdef"[value >> i & 15]);
    print("\r\n");
}

/* The end: S5 by the power management of the chipset. */
static inline void power_off(void)
{
    print("done\r\n");
    outw(0x604, 0x2000);
    for (;;)
        __asm__ volatile("cli; hlt");
}

/* ---- interrupts ---- */

struct gate {
    uint16_t low, selector;
    uint8_t zero, type;
    uint16_t high;
} __attribute__((packed));

static struct gate idt[256] __attribute__((aligned(8)));

static inline void set_gate(unsigned n, void (*handler)(void))
{
    uint32_t address = (uint32_t)handler;

    idt[n] = (struct gate){(uint16_t)address, 0x10, 0, 0x8e, (uint16_t)(address >> 16)};
}

static inline void load_idt(void)
{
    struct {
        uint16_t limit;
        uint32_t base;
    } __attribute__((packed)) r = {sizeof(idt) - 1, (uint32_t)idt};

    __asm__ volatile("lidt %0" : : "m"(r));
}

/* An interrupt handler `name`: counts in name_count, then runs `body`. */
#define HANDLER(name, body) \
    static volatile uint32_t name##_count; \
    __attribute__((used)) static void name##_body(void) \
    { \
        name##_count++; \
        body; \
    } \
    void name(void); \
    __asm__(".globl " #name "\n" #name ": pusha; call " #name "_body; popa; iret\n")

/* Runs with interrupts on until `condition` holds, or for about ten seconds. */
#define WAIT_FOR(condition) \
    do { \
        uint64_t begin_ = rdtsc(); \
        __asm__ volatile("sti"); \
        while (!(condition) && rdtsc() - begin_ < 10000000000ull) \
            ; \
        __asm__ volatile("cli"); \
    } while (0)

/* The same for a fixed time, in ticks of 1 ns. */
#define WAIT_TICKS(ticks) \
    do { \
        uint64_t begin_ = rdtsc(); \
        __asm__ volatile("sti"); \
        while (rdtsc() - begin_ < (ticks)) \
            ; \
        __asm__ volatile("cli"); \
    } while (0)

#endif

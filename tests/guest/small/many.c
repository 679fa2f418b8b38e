/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * More processors than an xAPIC can tell apart: each is started by its id, whether firmware left it as an x2APIC or
 * not, tells who it is, and takes interrupts by its id, by its logical id and as one of all (Intel SDM volume 3,
 * 11.12).
 * Numbers and ids of processors are what ACPI's registers at 0xaf00 say.
 */
#include "small.h"

#define X2(index) (0x800u + (index))
#define SELECTOR 0xaf00u
#define FLAGS 0xaf04u
#define COMMAND 0xaf05u
#define DATA 0xaf08u
#define MOST 1024u
/* Two minutes: so many threads have to wait for a busy computer. */
#define WAIT(condition) \
    for (unsigned n_ = 0; n_ < 12 && !(condition); n_++) \
        WAIT_FOR(condition)

extern char trampoline[], trampoline_end[], gdt[];
static volatile uint32_t started, next_stack, wrong_id, xapics, messages, missed, ids[MOST], logical[MOST];
static volatile uint8_t starts[MOST], got[MOST];

__asm__(".code16\n.globl trampoline\ntrampoline:\n"
        "cli; xor %ax,%ax; mov %ax,%ds; lgdtl 0x620; mov %cr0,%eax; or $1,%al;\n"
        "mov %eax,%cr0; .byte 0x66,0xea; .long other; .word 0x10\n.globl trampoline_end\n"
        "trampoline_end:\n.code32\n"
        "other: mov $0x18,%eax; mov %ax,%ds; mov %ax,%es; mov %ax,%ss; mov $1,%eax; lock xadd %eax,next_stack;\n"
        "inc %eax; shl $9,%eax; lea 0x200000(%eax),%esp; call other_main\n");

static void wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index));
}

static uint32_t own_id(void)
{
    uint32_t a = 0xb, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d;
}

HANDLER(message, {
    got[own_id() % MOST]++;
    __atomic_fetch_add(&messages, 1, __ATOMIC_SEQ_CST);
    wrmsr(X2(0x0b), 0);
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

static void begin(void)
{
    if (!(rdmsr(0x1b) & 0x400))
        wrmsr(0x1b, rdmsr(0x1b) | 0xc00);
    wrmsr(X2(0x0f), 0x1ff);
    load_idt();
}

__attribute__((used, noreturn)) void other_main(void)
{
    uint32_t id = own_id();

    if (!(rdmsr(0x1b) & 0x400))
        __atomic_fetch_add(&xapics, 1, __ATOMIC_SEQ_CST);
    begin();
    if ((uint32_t)rdmsr(X2(2)) != id || id >= MOST)
        __atomic_fetch_add(&wrong_id, 1, __ATOMIC_SEQ_CST);
    starts[id % MOST]++;
    logical[id % MOST] = (uint32_t)rdmsr(X2(0x0d));
    __atomic_fetch_add(&started, 1, __ATOMIC_SEQ_CST);
    for (;;)
        __asm__ volatile("sti; hlt");
}

static void send(uint32_t id, uint32_t command)
{
    wrmsr(X2(0x30), (uint64_t)id << 32 | command);
}

/* Each is sent one, and takes it before the next is sent one. */
static uint32_t each(uint32_t count, uint32_t command, const volatile uint32_t *where)
{
    uint32_t right = 0;

    for (uint32_t n = 0; n < count; n++) {
        uint32_t before = messages, to = where ? where[ids[n]] : ids[n];
        uint8_t had = got[ids[n]];

        send(to, command);
        WAIT(messages != before);
        right += messages == before + 1 && (uint8_t)(got[ids[n]] - had) == 1;
    }
    return right;
}

void kmain(void)
{
    uint32_t count = 0, once = 0;

    set_gate(0x40, message);
    say("handed_over", rdmsr(0x1b) >> 10 & 3);
    begin();
    for (char *from = trampoline, *to = (char *)0x8000; from < trampoline_end;)
        *to++ = *from++;
    M32(0x620) = 47 | (uint32_t)gdt << 16; /* limit, then base */
    M32(0x624) = (uint32_t)gdt >> 16;
    for (uint32_t n = 0; n < MOST; n++) {
        outb(COMMAND, 3);
        out32(SELECTOR, n);
        if (!(inb(FLAGS) & 1))
            break;
        ids[count++] = in32(DATA) % MOST;
    }
    say("processors", count);
    say("last", ids[count - 1]);
    logical[own_id() % MOST] = (uint32_t)rdmsr(X2(0x0d));
    for (uint32_t n = 1; n < count; n++) {
        send(ids[n], 0x4500);
        send(ids[n], 0x4608);
        WAIT(started == n);
        missed += started != n;
    }
    say("started", started);
    say("missed", missed);
    for (uint32_t n = 1; n < count; n++)
        once += starts[ids[n]] == 1;
    say("once", once);
    say("wrong_id", wrong_id);
    say("xapics", xapics);
    say("by_id", each(count, 0x4040, 0));
    say("by_logical_id", each(count, 0x4840, logical));
    messages = 0;
    send(0, 0xc4040); /* all but itself */
    WAIT(messages == count - 1);
    say("others", messages);
    messages = 0;
    send(0xffffffff, 0x4040);
    WAIT(messages == count);
    say("all", messages);
    power_off();
}

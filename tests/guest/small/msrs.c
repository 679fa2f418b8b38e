/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which model-specific registers there are, and what those hold that do not count; and whether what was read can be
 * written back. One that there is not raises #GP. */
#include "small.h"

static volatile uint32_t faulted;

/* RDMSR and WRMSR have two bytes. */
__attribute__((used)) static void fault_body(uint32_t *frame)
{
    faulted = 1;
    frame[1] += 2; /* behind the error code: EIP */
}

void fault(void);
__asm__(".globl fault\nfault: pusha; leal 32(%esp), %eax; pushl %eax; call fault_body; addl $4, %esp; popa; "
        "addl $4, %esp; iret\n");

static int there(uint32_t index, uint64_t *value)
{
    faulted = 0;
    *value = rdmsr(index);
    return !faulted;
}

static int goes_back(uint32_t index, uint64_t value)
{
    faulted = 0;
    __asm__ volatile("wrmsr" : : "a"((uint32_t)value), "d"((uint32_t)(value >> 32)), "c"(index));
    return !faulted;
}

static void hex(uint32_t value)
{
    for (int i = 28; i >= 0; i -= 4)
        put("0123456789abcdef"[value >> i & 15]);
}

static int counts(uint32_t index) /* time goes on */
{
    return index == 0x10 || index == 0x3b;
}

static void look(uint32_t first, uint32_t last)
{
    for (uint32_t index = first; index <= last; index++) {
        uint64_t value;
        int write;

        if (!there(index, &value))
            continue;
        write = goes_back(index, value);
        print("m");
        hex(index);
        put(' ');
        hex(counts(index) ? 0 : (uint32_t)(value >> 32));
        hex(counts(index) ? 0 : (uint32_t)value);
        print(write ? " writable\r\n" : " fixed\r\n");
    }
}

void kmain(void)
{
    set_gate(13, fault);
    load_idt();
    print("begins\r\n");
    look(0, 0x7ff);
    look(0xc00, 0xfff);
    look(0x40000000, 0x4000013f);
    look(0x4b564d00, 0x4b564d1f);
    look(0xc0000080, 0xc000011f);
    look(0xc0010000, 0xc001021f);
    look(0xc0011000, 0xc001103f);
    print("over\r\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

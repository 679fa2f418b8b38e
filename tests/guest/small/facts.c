/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A kernel that prints what it was told at its start: by the Multiboot protocol (0.6.96, chapter 3.3), or with -DPVH
 * by Xen's direct boot ABI (struct hvm_start_info).
 */
#include "small.h"

#ifdef PVH
__asm__(".section .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18\n.asciz \"Xen\"\n.long entry\n.text\n");
#else
__asm__(".section .multiboot, \"a\", @progbits\n"
        ".balign 4\n.long 0x1badb002, 3, -(0x1badb002 + 3)\n.text\n");
#endif
__asm__(".text\n.globl entry\nentry: mov $stack_end, %esp\npush %ebx\npush %eax\ncall kmain\n1: hlt\njmp 1b\n"
        ".bss\n.balign 16\n.space 4096\nstack_end:\n.text\n");

static uint32_t nothing[64]; /* in .bss: zero */

static const char *text_at(uint32_t address)
{
    return (const char *)address;
}

static void say_text(const char *name, uint32_t address)
{
    print(name);
    print(" '");
    print(text_at(address));
    print("'\r\n");
}

static uint32_t last_cache(void) /* as CPUID tells of it: AMD APM volume 3, E.4.4 */
{
    uint32_t a = 0x80000006u, b, c = 0, d;

    __asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
    return d;
}

/* Entries of 24 bytes; `skip` of them come before start, length and type. */
static void say_map(uint32_t at, uint32_t count, uint32_t skip)
{
    uint32_t usable = 0, sizes = 0;

    for (uint32_t i = 0; i < count; i++, at += 24) {
        if (skip && M32(at) == 20)
            sizes++;
        if (M32(at + skip + 16) == 1)
            usable += M32(at + skip + 8) >> 10;
    }
    say("map_entries", count);
    say("map_sizes", sizes);
    say("map_usable_kib", usable);
}

void kmain(uint32_t eax, uint32_t ebx)
{
    uint32_t cr0, sum = 0;

    __asm__ volatile("mov %%cr0, %0" : "=r"(cr0));
    for (unsigned i = 0; i < 64; i++)
        sum |= nothing[i];
    say("eax", eax);
    say("bss", sum);
    say("mode", cr0 & 0x80000001u);
    say("last_cache", last_cache());
#ifdef PVH
    say("magic", M32(ebx));
    say("version", M32(ebx + 4));
    say("modules", M32(ebx + 12));
    say_text("cmdline", M32(ebx + 24));
    say("rsdp", M32(ebx + 32));
    for (uint32_t i = 0, m = M32(ebx + 16); i < M32(ebx + 12); i++, m += 32) {
        say("module_size", M32(m + 8));
        say_text("module", M32(m));
    }
    say_map(M32(ebx + 40), M32(ebx + 48), 0);
#else
    say("flags", M32(ebx));
    say("lower", M32(ebx + 4));
    say("upper", M32(ebx + 8));
    say_text("cmdline", M32(ebx + 16));
    say_text("loader", M32(ebx + 64));
    say("modules", M32(ebx + 20));
    for (uint32_t i = 0, m = M32(ebx + 24); i < M32(ebx + 20); i++, m += 16) {
        say("module_page", M32(m) & 0xfff);
        say("module_size", M32(m + 4) - M32(m));
        say_text("module_words", M32(m + 8));
        say_text("module", M32(m));
    }
    say_map(M32(ebx + 48), M32(ebx + 44) / 24, 4);
#endif
    power_off();
}

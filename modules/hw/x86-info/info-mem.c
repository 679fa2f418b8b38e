// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * `info mem`: what the page tables of an x86 processor map, as ranges of linear addresses with equal
 * rights (Intel SDM volume 3, chapter 4: 32-bit, PAE, 4-level and 5-level paging). Left out: access
 * rights by protection keys and by NX, which the monitor's format has no letter for.
 */
#include <string.h>

#include <bp/command.h>
#include <bp/memory.h>
#include <bp/exact/x86.h>

#define CR0_PG (UINT64_C(1) << 31)
#define CR4_PSE (1u << 4)
#define CR4_PAE (1u << 5)
#define CR4_LA57 (1u << 12)
#define EFER_LMA (1u << 10)

#define ENTRY_P 1u
#define ENTRY_W 2u
#define ENTRY_U 4u
#define ENTRY_PS 0x80u

/* Tables that point at each other would keep the walk busy for ever. */
#define MAX_TABLES 20000u

struct walk {
    struct bp_cpu *cpu;
    struct bp_monitor *mon;
    bool wide;   /* entries of 8 bytes */
    bool pse;    /* large pages in 32-bit paging */
    bool sparse; /* the top level's rights do not count (PAE) */
    unsigned levels, linear_bits, tables;
    uint64_t start, end; /* the range being collected, [start, end); equal: none */
    unsigned rights;
};

static void print_range(struct walk *w)
{
    int digits = w->levels > 3 ? 16 : 8;

    if (w->start != w->end)
        bp_monitor_printf(w->mon, "%0*llx-%0*llx %0*llx %c%c%c\n", digits,
                          (unsigned long long)w->start, digits, (unsigned long long)w->end, digits,
                          (unsigned long long)(w->end - w->start), w->rights & ENTRY_U ? 'u' : '-',
                          'r', w->rights & ENTRY_W ? 'w' : '-');
    w->start = w->end;
}

static void add_page(struct walk *w, uint64_t linear, uint64_t size, unsigned rights)
{
    if (w->linear_bits > 32 && (linear >> (w->linear_bits - 1)) & 1)
        linear |= ~UINT64_C(0) << w->linear_bits; /* canonical */
    if (w->start == w->end || w->end != linear || w->rights != rights) {
        print_range(w);
        w->start = linear;
        w->rights = rights;
    }
    w->end = linear + size;
}

static void walk_table(struct walk *w, unsigned level, uint64_t table, uint64_t linear,
                       unsigned rights)
{
    unsigned bits = w->wide ? 9 : 10, shift = 12 + bits * (level - 1);
    unsigned count = w->levels == 3 && level == 3 ? 4 : 1u << bits;
    uint8_t bytes[4096];

    if (w->tables++ >= MAX_TABLES ||
        bp_space_read(bp_cpu_space(w->cpu), table, bytes, count * (w->wide ? 8 : 4)) < 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        uint64_t entry = 0, at = linear + ((uint64_t)i << shift), next;
        unsigned here;

        memcpy(&entry, bytes + i * (w->wide ? 8 : 4), w->wide ? 8 : 4);
        if (!(entry & ENTRY_P))
            continue;
        here = w->sparse && level == w->levels ? rights : rights & (unsigned)entry;
        next = entry & (w->wide ? UINT64_C(0x000ffffffffff000) : UINT64_C(0xfffff000));
        if (level == 1 || ((entry & ENTRY_PS) && level <= (w->wide ? 3u : 2u) &&
                           (w->wide || w->pse) && !(w->sparse && level == w->levels)))
            add_page(w, at, UINT64_C(1) << shift, here);
        else
            walk_table(w, level - 1, next, at, here);
    }
}

struct registers {
    uint64_t cr0, cr3, cr4, efer;
};

static void read_registers(struct bp_cpu *cpu, void *opaque)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct registers *r = opaque;

    *r = (struct registers){x->cr0, x->cr3, x->cr4, x->efer};
}

static void info_mem(struct bp_monitor *mon, struct bp_value *args)
{
    struct walk w = {.mon = mon};
    struct bp_machine *machine = bp_command_machine();
    struct bp_cpu *cpu = machine ? bp_machine_cpu(machine, 0) : NULL;
    struct registers r;
    uint64_t top;

    (void)args;
    if (!cpu || strcmp(bp_cpu_class(cpu)->arch, "x86_64") != 0) {
        bp_monitor_printf(mon, "No CPU available\n");
        return;
    }
    w.cpu = cpu;
    bp_cpu_run(cpu, read_registers, &r);
    if (!(r.cr0 & CR0_PG)) {
        bp_monitor_printf(mon, "PG disabled\n");
        return;
    }
    w.wide = r.cr4 & CR4_PAE;
    w.pse = r.cr4 & CR4_PSE;
    w.levels = !w.wide ? 2 : !(r.efer & EFER_LMA) ? 3 : r.cr4 & CR4_LA57 ? 5 : 4;
    w.sparse = w.levels == 3;
    w.linear_bits = w.levels > 3 ? 12 + 9 * w.levels : 32;
    top = r.cr3 & (w.levels == 3 ? UINT64_C(0xffffffe0) : UINT64_C(0x000ffffffffff000));
    walk_table(&w, w.levels, top, 0, ENTRY_U | ENTRY_W);
    print_range(&w);
    if (w.tables >= MAX_TABLES)
        bp_monitor_printf(mon, "(cut after %u page tables)\n", MAX_TABLES);
}
BP_HMP(info_mem_hmp, "info mem", "", "show the active virtual memory mappings", NULL, info_mem);

BP_MODULE("hw-x86-info", "Monitor commands over x86 page tables", BP_NO_IMPORTS,
          {BP_PROVIDE_HMP, &info_mem_hmp});

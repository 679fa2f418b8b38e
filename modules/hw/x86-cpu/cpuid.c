/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builds a processor's CPUID leaves from its model and features. Intel SDM volume 2 (CPUID); AMD APM
 * volume 3, appendix E. Leaves that are not listed read as zero. OSXSAVE and the APIC bit follow the
 * processor's state and are the accelerator's to fill in.
 */
#include "model.h"

#include <string.h>

static void add(struct x86_model_cpu *s, struct bp_x86_cpuid leaf)
{
    if (s->x.cpuid_count < MAX_CPUID)
        s->leaves[s->x.cpuid_count++] = leaf;
}

static void add_simple(struct x86_model_cpu *s, uint32_t leaf, uint32_t eax, uint32_t ebx,
                       uint32_t ecx, uint32_t edx)
{
    add(s, (struct bp_x86_cpuid){leaf, 0, 1, eax, ebx, ecx, edx});
}

static uint32_t word(const char *text)
{
    uint32_t v;

    memcpy(&v, text, 4);
    return v;
}

/* Family, model, stepping in the layout of leaf 1, EAX. */
static uint32_t signature(const struct model *m)
{
    unsigned family = m->family < 15 ? m->family : 15;
    unsigned extended = m->family < 15 ? 0 : m->family - 15;

    return extended << 20 | (m->model >> 4) << 16 | family << 8 | (m->model & 15) << 4 | m->stepping;
}

static void add_brand(struct x86_model_cpu *s, const char *brand)
{
    char text[48] = {0};

    memcpy(text, brand, strnlen(brand, sizeof(text)));
    for (unsigned i = 0; i < 3; i++)
        add_simple(s, 0x80000002 + i, word(text + 16 * i), word(text + 16 * i + 4),
                   word(text + 16 * i + 8), word(text + 16 * i + 12));
}

static unsigned bits_for(unsigned count)
{
    unsigned bits = 0;

    while (1u << bits < count)
        bits++;
    return bits;
}

/* Leaf 0x1f is there where a package has more levels than cores and threads. */
static bool has_more_levels(const struct x86_topology *t)
{
    return t->dies > 1 || t->modules > 1;
}

/* Leaves 0xb and 0x1f: levels by the bits of the x2APIC id. Types: 1 thread, 2 core, 3 module, 5 die. */
static void add_topology(struct x86_model_cpu *s, const struct x86_topology *t)
{
    unsigned smt = bits_for(t->threads), core = smt + bits_for(t->cores);
    unsigned module = core + bits_for(t->modules), die = module + bits_for(t->dies);
    unsigned in_module = t->cores * t->threads, in_die = t->modules * in_module, id = s->x.apic_id, n = 2;

    add(s, (struct bp_x86_cpuid){0xb, 0, 0, smt, t->threads, 0x100, id});
    add(s, (struct bp_x86_cpuid){0xb, 1, 0, die, t->dies * in_die, 0x201, id});
    add(s, (struct bp_x86_cpuid){0xb, 0, 1, 0, 0, 2, id});
    if (!has_more_levels(t))
        return;
    add(s, (struct bp_x86_cpuid){0x1f, 0, 0, smt, t->threads, 0x100, id});
    add(s, (struct bp_x86_cpuid){0x1f, 1, 0, core, in_module, 0x201, id});
    if (t->modules > 1) {
        add(s, (struct bp_x86_cpuid){0x1f, n, 0, module, in_die, 0x300 | n, id});
        n++;
    }
    if (t->dies > 1) {
        add(s, (struct bp_x86_cpuid){0x1f, n, 0, die, t->dies * in_die, 0x500 | n, id});
        n++;
    }
    add(s, (struct bp_x86_cpuid){0x1f, 0, 1, 0, 0, n, id});
}

/* Leaves 0x8000001d (caches and who shares them) and 0x8000001e, which feature topoext announces. */
static void add_extended_topology(struct x86_model_cpu *s, const struct x86_topology *t)
{
    static const struct {
        uint32_t type, level, ways, sets;
    } caches[] = {{1, 1, 2, 512}, {2, 1, 2, 512}, {3, 2, 16, 512}}; /* as leaves 0x80000005, 6 */
    unsigned core = s->x.apic_id >> bits_for(t->threads), die;

    for (unsigned i = 0; i < BP_COUNT(caches); i++) {
        uint32_t kind = caches[i].type | caches[i].level << 5 | 1u << 8 | (t->threads - 1) << 14;

        add(s, (struct bp_x86_cpuid){0x8000001d, i, 0, kind, 63 | (caches[i].ways - 1) << 22,
                                     caches[i].sets - 1, 0});
    }
    add(s, (struct bp_x86_cpuid){0x8000001d, 0, 1, 0, 0, 0, 0});
    die = core >> (bits_for(t->cores) + bits_for(t->modules)) & ((1u << bits_for(t->dies)) - 1);
    core &= (1u << (bits_for(t->cores) + bits_for(t->modules) + bits_for(t->dies))) - 1;
    add_simple(s, 0x8000001e, s->x.apic_id, core | (t->threads - 1) << 8, die | (t->dies - 1) << 8,
               0);
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

void cpuid_build(struct x86_model_cpu *s, const struct x86_topology *t)
{
    const struct model *m = s->model;
    const uint32_t *f = s->x.features;
    unsigned logical = t->dies * t->modules * t->cores * t->threads; /* of a package */
    bool topoext = f[BP_X86_FW_80000001_ECX] & 1u << 22;
    /* The AMD copies of leaf 1's EDX. */
    uint32_t copied = strcmp(m->vendor, "AuthenticAMD") == 0 ? f[BP_X86_FW_1_EDX] & 0x0183f3ff : 0;

    s->x.cpuid_count = 0;
    add_simple(s, 0, most(m->max_leaf, has_more_levels(t) ? 0x1f : 0), word(m->vendor), word(m->vendor + 8),
               word(m->vendor + 4));
    add_simple(s, 1, signature(m),
               s->x.apic_id << 24 | (logical > 255 ? 255 : logical) << 16 | 8 << 8,
               f[BP_X86_FW_1_ECX], f[BP_X86_FW_1_EDX] | (logical > 1 ? 1u << 28 : 0));
    if (f[BP_X86_FW_6_EAX])
        add_simple(s, 6, f[BP_X86_FW_6_EAX], 0, 0, 0);
    add(s, (struct bp_x86_cpuid){7, 0, 0, 0, f[BP_X86_FW_7_EBX], f[BP_X86_FW_7_ECX],
                                 f[BP_X86_FW_7_EDX]});
    add_topology(s, t);
    if (f[BP_X86_FW_1_ECX] & 1u << 31)
        add_simple(s, 0x40000000, 0x40000000, word("Back"), word("plan"), word("e VM"));
    add_simple(s, 0x80000000, most(m->max_extended_leaf, topoext ? 0x8000001e : 0), word(m->vendor),
               word(m->vendor + 8), word(m->vendor + 4));
    add_simple(s, 0x80000001, signature(m), 0,
               f[BP_X86_FW_80000001_ECX] | (logical > 1 ? 2 : 0),
               f[BP_X86_FW_80000001_EDX] | copied);
    add_brand(s, m->brand);
    /* 64 KiB 2-way L1 data and instruction caches, 512 KiB 16-way L2, 64-byte lines. */
    add_simple(s, 0x80000005, 0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140);
    add_simple(s, 0x80000006, 0, 0x42004200, 0x02008140, 0);
    add_simple(s, 0x80000007, 0, 0, 0, f[BP_X86_FW_80000007_EDX]);
    add_simple(s, 0x80000008, (uint32_t)s->x.linear_bits << 8 | s->x.phys_bits,
               f[BP_X86_FW_80000008_EBX], logical > 1 ? logical - 1 : 0, 0);
    if (topoext)
        add_extended_topology(s, t);
    s->x.cpuid = s->leaves;
}

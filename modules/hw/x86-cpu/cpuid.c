/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Builds a processor's CPUID leaves from its model and features. Intel SDM volume 2 (CPUID); AMD APM
 * volume 3, appendix E. Leaves that are not listed read as zero. OSXSAVE and the APIC bit follow the
 * processor's state and are the accelerator's to fill in.
 */
#include "model.h"

#include <string.h>
#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif

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
    } caches[] = {{1, 1, 2, 512}, {2, 1, 2, 512}, {3, 2, 16, 512}, {3, 3, 16, 16384}}; /* as leaves 0x80000005, 6 */
    unsigned core = s->x.apic_id >> bits_for(t->threads), die, count = s->set.l3_cache ? 4 : 3;

    for (unsigned i = 0; i < count; i++) {
        uint32_t sharing = caches[i].level == 3 ? t->dies * t->modules * t->cores * t->threads : t->threads;
        uint32_t kind = caches[i].type | caches[i].level << 5 | 1u << 8 | (sharing - 1) << 14;

        add(s, (struct bp_x86_cpuid){0x8000001d, i, 0, kind, 63 | (caches[i].ways - 1) << 22,
                                     caches[i].sets - 1, 0});
    }
    add(s, (struct bp_x86_cpuid){0x8000001d, 0, 1, 0, 0, 0, 0});
    die = core >> (bits_for(t->cores) + bits_for(t->modules)) & ((1u << bits_for(t->dies)) - 1);
    core &= (1u << (bits_for(t->cores) + bits_for(t->modules) + bits_for(t->dies))) - 1;
    add_simple(s, 0x8000001e, s->x.apic_id, (core & 0xff) | (t->threads - 1) << 8, die | (t->dies - 1) << 8,
               0);
}

static uint32_t most(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

/* ---- caches of Intel's: leaves 2 and 4 ---- */

static void add_intel_caches(struct x86_model_cpu *s, const struct x86_topology *t)
{
    static const struct {
        uint32_t type, level, ways, sets;
    } caches[] = {{1, 1, 8, 64}, {2, 1, 8, 64}, {3, 2, 16, 2048}, {3, 3, 16, 16384}};
    unsigned count = s->set.l3_cache ? 4 : 3, threads = 1u << bits_for(t->threads);
    unsigned package = threads << (bits_for(t->cores) + bits_for(t->modules) + bits_for(t->dies));

    add_simple(s, 2, 0x00ff0001, 0, 0, 0); /* descriptor FFh: see leaf 4 */
    for (unsigned i = 0; i < count; i++) {
        uint32_t sharing = caches[i].level == 3 ? package : threads;

        add(s, (struct bp_x86_cpuid){
            4, i, 0, caches[i].type | caches[i].level << 5 | 1u << 8 | (sharing - 1) << 14 |
                ((package / threads) - 1) << 26, 63 | (caches[i].ways - 1) << 22, caches[i].sets - 1, 0});
    }
    add(s, (struct bp_x86_cpuid){4, 0, 1, 0, 0, 0, 0});
}

/* ---- XSAVE: leaf 0xd ---- */

static void add_xsave(struct x86_model_cpu *s)
{
    const uint32_t *f = s->x.features;
    uint64_t user = bp_x86_xcr0_valid(&s->x);
    const struct bp_x86_component *c;

    if (!user)
        return;
    /* EBX of sub-leaves 0 and 1 follows XCR0 and is the accelerator's to fill in. */
    add(s, (struct bp_x86_cpuid){0xd, 0, 0, (uint32_t)user, bp_x86_xsave_size(user, false),
                                 bp_x86_xsave_size(user, false), (uint32_t)(user >> 32)});
    add(s, (struct bp_x86_cpuid){0xd, 1, 0, f[BP_X86_FW_D1_EAX], bp_x86_xsave_size(user, true), 0, 0});
    for (unsigned n = 2; n < 64; n++) {
        c = bp_x86_component(n);
        if (c && user >> n & 1)
            add(s, (struct bp_x86_cpuid){0xd, n, 0, c->size, c->offset, 0, 0});
    }
}

/* ---- clocks: leaves 0x15 and 0x16; the crystal is the local APIC's timer's ---- */

static void add_clocks(struct x86_model_cpu *s)
{
    uint32_t mhz = (uint32_t)(s->x.tsc_hz / 1000000);

    add_simple(s, 0x15, 1000000, (uint32_t)(s->x.tsc_hz / 1000), 1000000000, 0);
    add_simple(s, 0x16, mhz, mhz, 100, 0);
}

static void add_features(struct x86_model_cpu *s)
{
    const uint32_t *f = s->x.features;
    uint32_t last = f[BP_X86_FW_7_2_EDX] ? 2 : f[BP_X86_FW_7_1_EAX] | f[BP_X86_FW_7_1_EDX] ? 1 : 0;

    if (f[BP_X86_FW_1_ECX] & 1u << 3) /* MONITOR: the line of 64 bytes */
        add_simple(s, 5, 64, 64, 3, 0);
    if (f[BP_X86_FW_6_EAX])
        add_simple(s, 6, f[BP_X86_FW_6_EAX], 0, 0, 0);
    add(s, (struct bp_x86_cpuid){7, 0, 0, last, f[BP_X86_FW_7_EBX], f[BP_X86_FW_7_ECX],
                                 f[BP_X86_FW_7_EDX]});
    if (last >= 1)
        add(s, (struct bp_x86_cpuid){7, 1, 0, f[BP_X86_FW_7_1_EAX], 0, 0, f[BP_X86_FW_7_1_EDX]});
    if (last >= 2)
        add(s, (struct bp_x86_cpuid){7, 2, 0, 0, 0, 0, f[BP_X86_FW_7_2_EDX]});
}

/* The highest leaves: the model's, or those that its features need. */
static uint32_t basic_level(const struct x86_model_cpu *s, const struct x86_topology *t)
{
    const uint32_t *f = s->x.features;
    uint32_t level = s->model->max_leaf;

    if (has_more_levels(t))
        level = most(level, 0x1f);
    if (!s->set.auto_level || s->set.level != UINT32_MAX)
        return level;
    if (f[BP_X86_FW_6_EAX])
        level = most(level, 6);
    if (f[BP_X86_FW_7_EBX] | f[BP_X86_FW_7_ECX] | f[BP_X86_FW_7_EDX])
        level = most(level, 7);
    if (f[BP_X86_FW_1_ECX] & 1u << 26)
        level = most(level, 0xd);
    return level;
}

static uint32_t extended_level(const struct x86_model_cpu *s)
{
    const uint32_t *f = s->x.features;
    uint32_t level = s->model->max_extended_leaf;

    if (f[BP_X86_FW_80000001_ECX] & 1u << 22)
        level = most(level, 0x8000001e);
    if (!s->set.auto_level || s->set.xlevel != UINT32_MAX)
        return level;
    if (f[BP_X86_FW_80000001_EDX] | f[BP_X86_FW_80000001_ECX])
        level = most(level, 0x80000008);
    if (f[BP_X86_FW_80000021_EAX])
        level = most(level, 0x80000021);
    return level;
}

static void add_extended(struct x86_model_cpu *s, unsigned logical)
{
    const struct model *m = s->model;
    const uint32_t *f = s->x.features;
    /* The AMD copies of leaf 1's EDX. */
    uint32_t copied = strcmp(m->vendor, "GenuineIntel") != 0 ? f[BP_X86_FW_1_EDX] & 0x0183f3ff : 0;

    add_simple(s, 0x80000001, signature(m), 0,
               f[BP_X86_FW_80000001_ECX] | (logical > 1 ? 2 : 0),
               f[BP_X86_FW_80000001_EDX] | copied);
    add_brand(s, m->brand);
    /* 64 KiB 2-way L1 data and instruction caches, 512 KiB 16-way L2, 16 MiB 16-way L3, 64-byte lines. Programs go by
     * the last one: without it a C library copies everything past all caches. */
    add_simple(s, 0x80000005, 0x01ff01ff, 0x01ff01ff, 0x40020140, 0x40020140);
    add_simple(s, 0x80000006, 0, 0x42004200, 0x02008140, s->set.l3_cache ? 0x00808140 : 0);
    add_simple(s, 0x80000007, 0, 0, 0, f[BP_X86_FW_80000007_EDX]);
    add_simple(s, 0x80000008, (uint32_t)s->x.linear_bits << 8 | s->x.phys_bits,
               f[BP_X86_FW_80000008_EBX],
               logical > 256 ? 255u | bits_for(logical) << 12 : logical > 1 ? logical - 1 : 0, 0);
    if (f[BP_X86_FW_80000021_EAX])
        add_simple(s, 0x80000021, f[BP_X86_FW_80000021_EAX], 0, 0, 0);
}

void cpuid_build(struct x86_model_cpu *s, const struct x86_topology *t)
{
    const struct model *m = s->model;
    const uint32_t *f = s->x.features;
    unsigned logical = t->dies * t->modules * t->cores * t->threads; /* of a package */
    uint32_t level = basic_level(s, t), xlevel = extended_level(s);
    bool intel = strcmp(m->vendor, "GenuineIntel") == 0;

    s->x.cpuid_count = 0;
    add_simple(s, 0, level, word(m->vendor), word(m->vendor + 8), word(m->vendor + 4));
    add_simple(s, 1, signature(m),
               s->x.apic_id << 24 | (logical > 255 ? 255 : logical) << 16 | 8 << 8,
               f[BP_X86_FW_1_ECX], f[BP_X86_FW_1_EDX] | (logical > 1 ? 1u << 28 : 0));
    if (intel && level >= 4)
        add_intel_caches(s, t);
    add_features(s);
    if (level >= 0xb)
        add_topology(s, t);
    add_xsave(s);
    if (level >= 0x15)
        add_clocks(s);
    if (f[BP_X86_FW_1_ECX] & 1u << 31 && s->set.tcg_cpuid)
        add_simple(s, 0x40000000, 0x40000000, word("Back"), word("plan"), word("e VM"));
    if (xlevel >= 0x80000000u) {
        add_simple(s, 0x80000000, xlevel, word(m->vendor), word(m->vendor + 8), word(m->vendor + 4));
        add_extended(s, logical);
    }
    if (f[BP_X86_FW_80000001_ECX] & 1u << 22)
        add_extended_topology(s, t);
    s->x.cpuid = s->leaves;
}

unsigned host_physical_bits(void)
{
#if defined(__x86_64__) || defined(__i386__)
    unsigned a, b, c, d;

    if (__get_cpuid(0x80000008, &a, &b, &c, &d))
        return a & 0xff;
#endif
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The translator against the interpreter in code that is not 64-bit: real mode, virtual 8086, 16 and 32-bit protected
 * mode with flat segments and with others, at both ends of privilege, without paging and with each kind of it, and
 * under a 64-bit kernel. Random blocks run on both from the same state until a HLT, which is in all handlers, too;
 * then registers, flags, segments, memory and dirty marks have to be equal. Blocks load segments, jump near and far,
 * cross pages, meet limits, and change their own code; a second thread asks for exits at random moments. Prints TAP.
 * legacy-compare [--cases N] [--seed S] [--first N] [--mode NAME] [--show N]
 */
#include "legacy-compare.h"

#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct mode modes[] = {
    {.name = "real", .real = true},
    {.name = "v86", .v86 = true, .user = true, .paging = TWO},
    {.name = "protected-16"},
    {.name = "protected-16-user", .user = true, .paging = PAE},
    {.name = "flat-32", .wide = true, .flat = true},
    {.name = "flat-32-user", .wide = true, .flat = true, .user = true, .paging = TWO},
    {.name = "flat-32-pae", .wide = true, .flat = true, .paging = PAE},
    {.name = "segments-32", .wide = true},
    {.name = "segments-32-user", .wide = true, .user = true, .paging = PAE},
    {.name = "compatibility", .wide = true, .flat = true, .user = true, .paging = LONG},
    {.name = "compatibility-16", .user = true, .paging = LONG},
};
#define MODES BP_COUNT(modes)

struct side {
    uint8_t *ram;
    uint8_t dirty[RAM / 4096];
    struct bp_x86_cpu x;
    struct vcpu *v;
    struct tcg_cpu *c; /* NULL: the interpreter */
    bool shutdown;
};
static struct side interp, tcg;
static struct tcg_machine machine;
static uint32_t never;
static uint64_t show = 3;
static uint8_t image[IMAGES][RAM], initial[RAM], ended[RAM];
static uint64_t under_way;
const struct mode *mode;

/* ---- the machine ---- */

static void put_at(uint8_t *ram, uint32_t at, uint64_t value, unsigned size)
{
    memcpy(ram + at, &value, size);
}
static void lookup(void *opaque, uint64_t page, struct phys_page *ret_page)
{
    struct side *s = opaque;

    *ret_page = (struct phys_page){.host = page < RAM ? s->ram + page : NULL,
                                   .length = page < RAM ? RAM - page : 0,
                                   .dirty = page < RAM ? &s->dirty[page >> 12] : NULL};
}
static uint64_t read_io(void *opaque, uint64_t address, unsigned size)
{
    (void)opaque, (void)size;
    return address * 0x9e3779b1u;
}
static void write_io(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)opaque, (void)address, (void)value, (void)size;
}
static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)size;
    return port * 0x01010101u;
}
static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
}

static uint64_t descriptor(uint32_t base, uint32_t limit, unsigned access, unsigned flags)
{
    return (limit & 0xffff) | (uint64_t)(base & 0xffffff) << 16 | (uint64_t)access << 40 |
           (uint64_t)(limit >> 16 & 15) << 48 | (uint64_t)flags << 52 | (uint64_t)(base >> 24) << 56;
}

static void build_gdt(uint8_t *ram, unsigned dpl)
{
    unsigned p = dpl << 5;
    const uint64_t list[G_LAST] = {
        [1] = descriptor(0, 0xfffff, 0x9b, 0xc),
        [2] = descriptor(0, 0xfffff, 0x93, 0xc),
        [3] = descriptor(TSS, 0x67, 0x8b, 0),
        [G_FLAT] = descriptor(0, 0xfffff, 0x93 | p, 0xc),
        [G_FLAT3] = descriptor(0, 0xfffff, 0xf3, 0xc),
        [G_DATA] = descriptor(DATA, 0xffff, 0x93 | p, 4),
        [G_SHORT] = descriptor(DATA + 0x80, 0x1234, 0x93 | p, 4),
        [G_READONLY] = descriptor(DATA, 0xffff, 0x91 | p, 4),
        [G_DOWN] = descriptor(DATA, 0x0fff, 0x97 | p, 4),
        [G_CODE] = descriptor(DATA, 0xffff, 0x9b | p, 4),
        [G_ABSENT] = descriptor(DATA, 0xffff, 0x13 | p, 4),
        [G_BASED] = descriptor(DATA + 0x40, 0xfffff, 0x93 | p, 0xc),
        [G_STACK32] = descriptor(STACK, 0xffff, 0x93 | p, 4),
        [G_STACK16] = descriptor(STACK, 0xffff, 0x93 | p, 0),
        [G_CS32] = descriptor(0, 0xfffff, 0x9b | p, 0xc),
        [G_CS32B] = descriptor(CODE - 0x230, 0xffff, 0x9b | p, 4),
        [G_CS16] = descriptor(CODE, 0xffff, 0x9b | p, 0),
        [G_CS16B] = descriptor(CODE + 0x238, 0x8fff, 0x99 | p, 0),
        [G_CS16LONG] = descriptor(CODE, 0x1ffff, 0x9b | p, 0),
        [G_CONFORMING] = descriptor(CODE, 0xffff, 0x9f, mode->wide ? 4 : 0),
        [G_CS64] = descriptor(0, 0xfffff, 0x9b, 0xa),
    };

    memcpy(ram + GDT, list, sizeof(list));
}

static void build_tables(uint8_t *ram)
{
    for (unsigned n = 0; n < RAM / 4096; n++) {
        unsigned rights = n == ABSENT_PAGE >> 12 ? 0 : n == READONLY_PAGE >> 12 ? 5 : 7;

        put_at(ram, PT2 + n * 4, n << 12 | rights, 4);
        put_at(ram, PT + n * 8, n << 12 | rights, 8);
    }
    put_at(ram, PD2, PT2 | 7, 4);
    put_at(ram, PD2 + (HIGH >> 22) * 4, 0x87, 4);
    put_at(ram, PDPT, PD | 1, 8);
    put_at(ram, PDPT + (HIGH >> 30) * 8, PD | 1, 8);
    put_at(ram, LPDPT, PD | 7, 8);
    put_at(ram, LPDPT + (HIGH >> 30) * 8, PD | 7, 8);
    put_at(ram, PML4, LPDPT | 7, 8);
    put_at(ram, PD, PT | 7, 8);
    put_at(ram, PD + 8, 0x87, 8);
    for (unsigned n = 0; n < 256; n++) {
        unsigned handler = HANDLERS + (n < 32 ? n : 32) * 16;

        if (mode->real)
            put_at(ram, n * 4, (uint64_t)handler, 4);
        if (n >= 32)
            continue;
        put_at(ram, IDT + n * 8, (handler & 0xffff) | UINT64_C(0x8) << 16 | UINT64_C(0xee00) << 32, 8);
        put_at(ram, IDT64 + n * 16, (handler & 0xffff) | (uint64_t)G_CS64 << 19 | UINT64_C(0xee00) << 32, 8);
        ram[handler] = HLT;
    }
    ram[HANDLERS + 32 * 16] = HLT;
    if (mode->paging == LONG) {
        put_at(ram, TSS + 4, STACK0 + 0xf00, 8);
    } else {
        put_at(ram, TSS + 4, STACK0 + 0xf00, 4);
        put_at(ram, TSS + 8, 0x10, 4);
    }
    put_at(ram, TSS + 0x66, 0x68, 2);
    build_gdt(ram, mode->user ? 3 : 0);
}

static bool side_init(struct side *s, bool translate)
{
    struct bus bus = {
        .opaque = s, .lookup = lookup, .read = read_io, .write = write_io, .port_in = port_in, .port_out = port_out};

    s->ram = aligned_alloc(4096, RAM);
    memset(s->ram, 0, RAM);
    s->x.phys_bits = 40;
    s->x.linear_bits = 48;
    s->x.tsc_hz = 1000000000;
    s->x.dr[6] = 0xffff0ff0;
    s->x.dr[7] = 0x400;
    s->x.features[BP_X86_FW_1_EDX] = UINT32_MAX;
    s->x.features[BP_X86_FW_80000001_EDX] = UINT32_MAX;
    guest_features(s->x.features);
    fp_reset(&s->x);
    if (translate) {
        s->c = tcg_cpu_new(&machine, &s->x, &bus, NULL);
        s->v = s->c ? &s->c->v : NULL;
    } else {
        s->v = vcpu_new(&s->x, &bus);
    }
    return s->v != NULL;
}

/* ---- the state ---- */

static void load(struct bp_x86_segment *s, unsigned index)
{
    struct descriptor d;

    memcpy(&d.low, initial + GDT + index * 8, 4);
    memcpy(&d.high, initial + GDT + index * 8 + 4, 4);
    d.high2 = 0;
    descriptor_unpack(&d, (uint16_t)(index << 3 | (mode->user ? 3 : 0)), s);
}

static void real(struct bp_x86_segment *s, uint32_t base, bool big)
{
    *s = (struct bp_x86_segment){.selector = (uint16_t)(base >> 4),
                                 .base = base,
                                 .limit = big ? UINT32_MAX : 0xffff,
                                 .attr = mode->v86 ? 0xf3 : 0x93};
}

static struct bp_x86_cpu start;

static void choose_segments(void)
{
    static const uint8_t data[] = {G_DATA, G_DATA, G_SHORT, G_READONLY, G_DOWN, G_CODE, G_BASED, G_FLAT, G_FLAT};
    static const uint8_t order[] = {BP_DS, BP_ES, BP_FS, BP_GS};

    if (mode->real || mode->v86) {
        bool big = mode->real && chance(10);

        real(&start.seg[BP_CS], b.cs_base, false);
        real(&start.seg[BP_SS], STACK, false);
        for (unsigned n = 0; n < 4; n++)
            real(&start.seg[order[n]], DATA + (uint32_t)below(16) * 16, big);
        return;
    }
    load(&start.seg[BP_CS], b.cs >> 3);
    load(&start.seg[BP_SS], mode->flat || (mode->wide && chance(30)) ? G_FLAT
                            : mode->wide && chance(80)               ? G_STACK32
                                                                     : G_STACK16);
    for (unsigned n = 0; n < 4; n++)
        load(&start.seg[order[n]], mode->flat ? (n < 2 || chance(50) ? G_FLAT : G_BASED) : data[below(sizeof(data))]);
}

static void choose_state(void)
{
    struct bp_x86_cpu *x = &start;
    bool deep;

    x->cr0 = CR0_ET | CR0_NE | CR0_MP | (chance(50) ? CR0_WP : 0) | (mode->real ? 0 : CR0_PE) |
             (mode->paging ? CR0_PG : 0) | (chance(5) ? CR0_AM : 0);
    x->cr4 = CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_PSE | CR4_PGE | (mode->paging >= PAE ? CR4_PAE : 0);
    x->efer = mode->paging == LONG ? EFER_LME | EFER_LMA | EFER_NXE : 0;
    x->cr3 = mode->paging == TWO ? PD2 : mode->paging == PAE ? PDPT : PML4;
    x->cr2 = 0;
    x->xcr0 = 7;
    x->gdtr = (struct bp_x86_segment){.base = GDT, .limit = G_LAST * 8 - 1};
    x->ldtr = (struct bp_x86_segment){.attr = 2};
    x->idtr = mode->real             ? (struct bp_x86_segment){.base = 0, .limit = 0x3ff}
              : mode->paging == LONG ? (struct bp_x86_segment){.base = IDT64, .limit = 0x1ff}
                                     : (struct bp_x86_segment){.base = IDT, .limit = 0xff};
    x->tr = (struct bp_x86_segment){.selector = 0x18, .attr = 0x8b, .limit = 0x67, .base = TSS};
    choose_segments();
    for (unsigned n = 0; n < 8; n++)
        x->gpr[n] = chance(75) ? offset_value() : (uint32_t)rng_value();
    for (unsigned n = 8; n < 16; n++)
        x->gpr[n] = rng();
    if (mode->paging == LONG && chance(10))
        x->gpr[below(8)] |= rng() << 32;
    if (chance(80))
        x->gpr[BP_RCX] = below(30);
    deep = chance(85);
    x->gpr[BP_RSP] = (x->seg[BP_SS].base ? 0 : STACK) + (deep       ? 0x4000 + below(0x800) * 4
                                                         : below(2) ? below(40)
                                                                    : 0xfff0 + below(24));
    x->rip = b.eip;
    x->rflags = 2 | (rng() & 0x8d5) | (chance(15) ? F_DF : 0) | (mode->v86 ? F_VM : 0) |
                (chance(mode->v86 ? 70 : 20) ? F_IOPL : 0) | (chance(3) ? F_AC : 0) | (chance(1) ? F_TF : 0);
    for (unsigned n = 0; n < 16; n++) {
        for (unsigned q = 0; q < 2; q++)
            x->vec[n].q[q] = rng();
    }
    for (unsigned n = 0; n < 8; n++)
        x->fpr[n] =
            (struct bp_x86_st){.mantissa = rng() | UINT64_C(1) << 63, .sign_exponent = (uint16_t)(0x3ff0 + below(32))};
    x->fpu_valid = (uint8_t)rng();
    x->fsw = (uint16_t)(below(8) << 11);
    x->fcw = 0x37f;
    x->mxcsr = 0x1f80;
}

/* Pages that differ from what the case begins with. */
static void load_memory(struct side *s)
{
    for (uint32_t at = 0; at < RAM; at += 4096) {
        if (!memcmp(s->ram + at, initial + at, 4096))
            continue;
        memcpy(s->ram + at, initial + at, 4096);
        code_written(s->v->code_map, s->ram + at, 4096);
    }
    memset(s->dirty, 0, sizeof(s->dirty));
}

static void prepare(struct side *s)
{
    struct bp_x86_cpu *x = &s->x;
    struct vcpu *v = s->v;

    load_memory(s);
    memcpy(x->gpr, start.gpr, sizeof(x->gpr));
    memcpy(x->seg, start.seg, sizeof(x->seg));
    memcpy(x->vec, start.vec, sizeof(x->vec));
    memcpy(x->fpr, start.fpr, sizeof(x->fpr));
    x->rip = start.rip, x->rflags = start.rflags, x->cr0 = start.cr0, x->cr2 = 0, x->cr3 = start.cr3,
    x->cr4 = start.cr4;
    x->efer = start.efer, x->xcr0 = start.xcr0, x->gdtr = start.gdtr, x->idtr = start.idtr, x->ldtr = start.ldtr;
    x->tr = start.tr, x->fpu_valid = start.fpu_valid, x->fsw = start.fsw, x->fcw = start.fcw, x->mxcsr = start.mxcsr;
    x->halted = x->shadow = 0;
    x->dr[6] = 0xffff0ff0;
    v->cc_kind = CC_EAGER;
    v->cpl = mode->user ? 3 : 0;
    v->delivering = v->external = v->shutdown = 0;
    v->cur = NULL;
    v->exc_code = 0;
    s->shutdown = false;
    tlb_flush(v, true);
    if (mode->paging == PAE)
        pae_load_pdptes(v, x->cr3);
    debug_update(v);
    mode_update(v);
    v->attention = 1;
}

static bool inside_one; /* the interpreter jumped into an instruction */

static void find_beginnings(struct side *s)
{
    for (unsigned n = 0; n < b.length;) {
        struct code_bytes code = {b.bytes + n, sizeof(b.bytes) - n};
        struct insn i;

        b.begins[n] = true;
        if (decode(s->v, &code, &i) == DECODE_MORE)
            break;
        n += i.len;
    }
}

/* An interrupt that is never delivered: repeated instructions are left behind each element. False: it does not end,
 * runs data (which look at flags that are undefined), or a string that fills memory meets its own instruction. */
static bool run_interp(struct side *s)
{
    bool ends = false, astray = false;
    uint64_t at;

    inside_one = false;
    find_beginnings(s);

    s->x.interrupts = BP_X86_INT_HARD;
    for (unsigned n = 0; n < MAX_STEPS && !ends; n++) {
        at = linear_of(s->v);
        astray |= (at < HANDLERS || at >= HANDLERS + 0x1000) && (at < CODE || at >= CODE + 0x10000 + CODE_TAIL);
        inside_one |= at - b.cs_base - b.eip < b.length && !b.begins[at - b.cs_base - b.eip];
        s->shutdown = vcpu_step(s->v) == BP_CPU_EXIT_SHUTDOWN;
        ends = s->shutdown || s->x.halted;
    }
    s->x.interrupts = 0;
    vcpu_sync(s->v);
    for (unsigned n = 0; n < b.length && !b.modifies; n++) {
        at = b.cs_base + b.eip + n;
        astray |= at < RAM && s->ram[at] != initial[at];
    }
    return ends && !astray;
}

static void run_tcg(struct side *s)
{
    while (!s->shutdown && !s->x.halted)
        s->shutdown = tcg_run(s->c, &never) == BP_CPU_EXIT_SHUTDOWN;
    vcpu_sync(s->v);
}

/* ---- comparison ---- */

static bool equal(const struct side *a, const struct side *c)
{
    return a->shutdown == c->shutdown && !memcmp(a->x.gpr, c->x.gpr, sizeof(a->x.gpr)) && a->x.rip == c->x.rip &&
           !((a->x.rflags ^ c->x.rflags) & ~(uint64_t)F_RF) && a->x.cr2 == c->x.cr2 && !memcmp(a->ram, c->ram, RAM) &&
           !memcmp(a->x.vec, c->x.vec, sizeof(a->x.vec)) && a->x.mxcsr == c->x.mxcsr && a->x.fsw == c->x.fsw &&
           a->x.fcw == c->x.fcw && a->x.fpu_valid == c->x.fpu_valid && !memcmp(a->x.fpr, c->x.fpr, sizeof(a->x.fpr)) &&
           !memcmp(a->dirty, c->dirty, sizeof(a->dirty)) && !memcmp(a->x.seg, c->x.seg, sizeof(a->x.seg)) &&
           a->x.cr0 == c->x.cr0 && a->v->cpl == c->v->cpl;
}

static void report(uint64_t number)
{
    static const char *const names[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                          "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

    printf("# %s, case %" PRIu64 " at %x:%x (base %x, ss %x base %x, ds base %x limit %x):", mode->name, number, b.cs,
           b.eip, b.cs_base, start.seg[BP_SS].selector, (unsigned)start.seg[BP_SS].base,
           (unsigned)start.seg[BP_DS].base, start.seg[BP_DS].limit);
    for (unsigned n = 0, mark = 0; n < b.length; n++) {
        bool begins = mark < b.mark_count && b.marks[mark] == n;

        mark += begins;
        printf("%s%02x", begins ? " " : "", b.bytes[n]);
    }
    printf("\n#   rip: interp %" PRIx64 " tcg %" PRIx64 " flags start %" PRIx64 " interp %" PRIx64 " tcg %" PRIx64
           " cr2 %" PRIx64 " %" PRIx64 " cs %x %x shutdown %d %d\n",
           interp.x.rip, tcg.x.rip, start.rflags, interp.x.rflags, tcg.x.rflags, interp.x.cr2, tcg.x.cr2,
           interp.x.seg[BP_CS].selector, tcg.x.seg[BP_CS].selector, interp.shutdown, tcg.shutdown);
    for (unsigned n = 0; n < 16; n++) {
        if (interp.x.gpr[n] != tcg.x.gpr[n])
            printf("#   %s: start %" PRIx64 " interp %" PRIx64 " tcg %" PRIx64 "\n", names[n], start.gpr[n],
                   interp.x.gpr[n], tcg.x.gpr[n]);
    }
    for (unsigned n = 0; n < 6; n++) {
        if (memcmp(&interp.x.seg[n], &tcg.x.seg[n], sizeof(interp.x.seg[n])))
            printf("#   segment %u: interp %x %" PRIx64 " tcg %x %" PRIx64 "\n", n, interp.x.seg[n].selector,
                   interp.x.seg[n].base, tcg.x.seg[n].selector, tcg.x.seg[n].base);
    }
    for (unsigned n = 0, shown = 0; n < RAM && shown < 4; n += 4) {
        uint32_t p, q;

        memcpy(&p, interp.ram + n, 4);
        memcpy(&q, tcg.ram + n, 4);
        if (p != q) {
            printf("#   memory %x: start %02x%02x%02x%02x interp %08x tcg %08x\n", n, initial[n + 3], initial[n + 2],
                   initial[n + 1], initial[n], p, q);
            shown++;
        }
    }
    for (unsigned n = 0; n < RAM / 4096; n++) {
        if (interp.dirty[n] != tcg.dirty[n])
            printf("#   dirty %x: interp %x tcg %x\n", n, interp.dirty[n], tcg.dirty[n]);
    }
    if (memcmp(interp.x.vec, tcg.x.vec, sizeof(tcg.x.vec)) || memcmp(interp.x.fpr, tcg.x.fpr, sizeof(tcg.x.fpr)) ||
        interp.x.fsw != tcg.x.fsw || interp.x.mxcsr != tcg.x.mxcsr)
        printf("#   floating point: fsw %x %x, mxcsr %x %x\n", interp.x.fsw, tcg.x.fsw, interp.x.mxcsr, tcg.x.mxcsr);
}

/* A fault between an instruction and the CMP that hides what it leaves undefined. */
static bool only_flags_differ(void)
{
    uint64_t now = tcg.x.rflags;
    unsigned count = 0;
    bool same;

    if ((now ^ interp.x.rflags) & ~(uint64_t)F_ARITH)
        return false;
    for (unsigned n = 0; n < RAM; n++) { /* one byte of an image of flags, or the other, wherever it was pushed */
        unsigned d = tcg.ram[n] ^ interp.ram[n];

        if (!d)
            continue;
        if ((d & ~F_ARITH && d != F_OF >> 8) || ++count > 4)
            return false;
        tcg.ram[n] = interp.ram[n];
    }
    tcg.x.rflags = interp.x.rflags;
    same = equal(&interp, &tcg);
    tcg.x.rflags = now;
    return same;
}

/* The translation does not come to an end where the interpreter did. */
static void hangs(int number)
{
    (void)number;
    report(under_way);
    _exit(1);
}

static void *asker(void *opaque)
{
    struct tcg_cpu *c = opaque;

    for (;;) {
        __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
        usleep(50);
    }
    return NULL;
}

static void make_images(void)
{
    for (unsigned n = 0; n < IMAGES; n++) {
        rng_seed(n + 1);
        for (unsigned at = DATA; at < RAM; at += 4) {
            uint32_t value = chance(20)   ? (uint32_t)((G_FLAT + below(G_LAST - G_FLAT)) << 3 | below(2) * 3)
                             : chance(50) ? (uint32_t)below(0x10000)
                                          : (uint32_t)rng();

            put_at(image[n], at, value & ~(uint32_t)F_TF, 4);
        }
        for (unsigned at = DATA; at < RAM; at++) { /* run as code it stores no pointers of the x87, asks no time */
            uint8_t *p = &image[n][at];

            *p = (*p & 0xfb) == 0xd9 || *p == 0x0f ? HLT : *p;
        }
        memset(image[n] + CODE, HLT, 0x10000 + CODE_TAIL);
    }
}

/* What is missing here would only be slow, which no comparison sees. */
static const struct {
    const char *name, *mode;
    uint8_t bytes[8];
} expected[] = {
    {"mov eax, [ebx]", "flat-32-user", {0x8b, 0x03}},
    {"mov eax, [ebx]", "segments-32", {0x8b, 0x03}},
    {"mov ax, [bx + si]", "real", {0x8b, 0x00}},
    {"mov ax, [bx + si]", "v86", {0x8b, 0x00}},
    {"mov ax, [bx]", "protected-16", {0x8b, 0x07}},
    {"mov eax, [addr]", "compatibility", {0xa1, 1, 2, 3, 4}},
    {"push eax", "flat-32", {0x50}},
    {"push ax", "real", {0x50}},
    {"push cs", "real", {0x0e}},
    {"pop cx", "v86", {0x59}},
    {"call", "flat-32", {0xe8, 1, 2, 3, 4}},
    {"call", "real", {0xe8, 1, 2}},
    {"ret", "protected-16", {0xc3}},
    {"jmp [eax * 4 + addr]", "flat-32-pae", {0xff, 0x24, 0x85, 1, 2, 3, 4}},
    {"inc ecx", "compatibility", {0x41}},
    {"loop", "real", {0xe2, 0xfe}},
    {"pushf", "real", {0x9c}},
    {"popf", "flat-32", {0x9d}},
    {"cli", "real", {0xfa}},
    {"rep movsd", "flat-32-user", {0xf3, 0xa5}},
    {"cmpxchg8b [ebx]", "flat-32", {0x0f, 0xc7, 0x0b}},
    {"movaps xmm0, [eax]", "compatibility", {0x0f, 0x28, 0x00}},
    {"fld qword [eax]", "flat-32", {0xdd, 0x00}},
    {"es mov [di], ax", "real", {0x26, 0x89, 0x05}},
    {"sahf", "flat-32", {0x9e}},
    {"div cx", "real", {0xf7, 0xf1}},
    {"mov eax, gs:[0]", "compatibility", {0x65, 0xa1, 0, 0, 0, 0}},
    {"leave", "flat-32", {0xc9}},
    {"mov ah, [bx]", "real", {0x8a, 0x27}},
    {"add ch, ah", "flat-32", {0x00, 0xe5}},
    {"test ah, 0x45", "flat-32", {0xf6, 0xc4, 0x45}},
    {"lodsb", "flat-32", {0xac}},
    {"repne scasb", "compatibility", {0xf2, 0xae}},
};

static bool emitted(void)
{
    bool all = true;

    for (unsigned n = 0; n < BP_COUNT(expected); n++) {
        struct code_bytes code = {expected[n].bytes, sizeof(expected[n].bytes)};
        struct insn i;

        for (mode = modes; strcmp(mode->name, expected[n].mode);)
            mode++;
        memcpy(initial, image[0], RAM);
        build_tables(initial);
        make_block(n);
        choose_state();
        prepare(&tcg);
        tcg.c->mode_now = tb_mode(tcg.c);
        if (decode(tcg.v, &code, &i) == DECODE_MORE || !has_emitter(tcg.c, &i)) {
            printf("# no emitter: %s, %s\n", expected[n].name, expected[n].mode);
            all = false;
        }
    }
    return all;
}

static uint64_t compared[MODES], different[MODES], strayed, undefined;

static void one_case(uint64_t seed, uint64_t number, const char *only)
{
    unsigned which = 0;

    rng_seed(seed * UINT64_C(0xd1342543de82ef95) + number);
    which = (unsigned)below(MODES);
    for (unsigned n = 0; only && n < MODES; n++)
        which = strcmp(modes[n].name, only) == 0 ? n : which;
    mode = &modes[which];
    make_block((seed << 48) + number * UINT64_C(0x9e3779b97f4a7c15) + which);
    memcpy(initial, image[number % IMAGES], RAM);
    build_tables(initial);
    for (unsigned n = 0; n < b.length; n++) {
        uint32_t at = b.cs_base + b.eip + n;

        if (at >= CODE && at < CODE + 0x10000 + CODE_TAIL) /* whatever wraps elsewhere meets what is there */
            initial[at] = b.bytes[n];
    }
    choose_state();
    prepare(&interp);
    prepare(&tcg);
    if (!run_interp(&interp)) {
        strayed++;
        return;
    }
    run_tcg(&tcg);
    compared[which]++;
    if (equal(&interp, &tcg))
        return;
    memcpy(ended, tcg.ram, RAM);
    if (inside_one || only_flags_differ()) { /* what was met there may look at flags that are undefined */
        undefined++;
        return;
    }
    memcpy(tcg.ram, ended, RAM);
    if (different[which]++ < show)
        report(number);
}

static int worker(uint64_t cases, uint64_t first, uint64_t seed, const char *only)
{
    uint64_t wrong = 0, all = 0;
    bool slow, missing;
    pthread_t thread;

    values_init();
    make_images();
    mode = modes;
    if (!side_init(&interp, false) || !side_init(&tcg, true)) {
        printf("Bail out! no memory\n");
        return 1;
    }
    signal(SIGALRM, hangs);
    pthread_create(&thread, NULL, asker, tcg.c);
    for (uint64_t n = first; n < first + cases; n++) {
        under_way = n;
        alarm(20);
        one_case(seed, n, only);
    }
    for (unsigned n = 0; n < MODES; n++) {
        bool bad = different[n] || (!only && cases >= 1000 && !compared[n]);

        printf("%sok %u %s_is_as_interpreted\n# %" PRIu64 " cases, %" PRIu64 " differ\n", bad ? "not " : "", n + 1,
               modes[n].name, compared[n], different[n]);
        wrong += bad;
        all += compared[n];
    }
    slow = tcg.c->translated_blocks * 2 < all || tcg.c->spans * 100 < all || tcg.c->spans_missed ||
           undefined * 100 > all + 1000 || strayed * 10 > cases + 100;
    printf("# %" PRIu64 " blocks translated, %" PRIu64 " instructions in them, %" PRIu64
           " executions by the interpreter; %" PRIu64 " cases that go astray, %" PRIu64 " in undefined flags\n",
           tcg.c->translated_blocks, tcg.c->translated_insns, tcg.c->interpreted, strayed, undefined);
    printf("%sok %u most_blocks_are_translated\n", slow ? "not " : "", (unsigned)MODES + 1);
    missing = !emitted();
    printf("%sok %u common_instructions_have_emitters\n1..%u\n", missing ? "not " : "", (unsigned)MODES + 2,
           (unsigned)MODES + 2);
    return wrong || slow || missing;
}

int main(int argc, char **argv)
{
    uint64_t cases = 100000, seed = 1, first = 0;
    const char *only = NULL;
    int status;
    pid_t child;

    if (argc > 1 && !strcmp(argv[1], "-l")) {
        for (unsigned n = 0; n < MODES; n++)
            printf("%s_is_as_interpreted\n", modes[n].name);
        printf("most_blocks_are_translated\ncommon_instructions_have_emitters\n");
        return 0;
    }
    for (int n = 1; n + 1 < argc; n += 2) {
        uint64_t value = strtoull(argv[n + 1], NULL, 0);

        if (!strcmp(argv[n], "--cases"))
            cases = value;
        else if (!strcmp(argv[n], "--seed"))
            seed = value;
        else if (!strcmp(argv[n], "--first"))
            first = value;
        else if (!strcmp(argv[n], "--show"))
            show = value;
        else if (!strcmp(argv[n], "--mode"))
            only = argv[n + 1];
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (getenv("TCG_COMPARE_NOFORK"))
        return worker(cases, first, seed, only);
    child = fork(); /* a case that goes astray kills the child, not the report */
    if (child == 0)
        exit(worker(cases, first, seed, only));
    if (child < 0 || waitpid(child, &status, 0) < 0) {
        perror("legacy-compare");
        return 1;
    }
    if (WIFSIGNALED(status)) {
        printf("Bail out! signal %d\n", WTERMSIG(status));
        return 1;
    }
    return WEXITSTATUS(status);
}

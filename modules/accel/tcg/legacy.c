/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Code that is not 64-bit: addresses of 32 and 16 bits, segments, the offset in the code segment. Where a segment has
 * no base and no limit, an access is made as in 64-bit code: the TLB is asked for the page of the full sum, so that one
 * which would have to be truncated misses. Everything else computes its linear address first, which goes to the frame.
 * Intel SDM volume 1, 3.3.7; volume 3, 3.4 and 5.3.
 */
#include "translate.h"

/* ---- the mode of a block ---- */

uint32_t legacy_mode(const struct vcpu *v)
{
    uint32_t mode = (is_protected(v) ? 0 : MODE_REAL) | (v->cs_base ? 0 : MODE_CS0);

    for (unsigned n = 0; n < 6; n++) {
        if (v->flat >> n & 1 && (n >= BP_FS || v->x->seg[n].base == 0))
            mode |= 1u << (MODE_PLAIN_SHIFT + n);
    }
    return mode;
}

/* 16-bit code wraps at 64 KiB: there its page may not go beyond. */
uint32_t legacy_page_mode(const struct vcpu *v, uint64_t linear)
{
    uint32_t first = (uint32_t)(PAGE_OF(linear) - v->cs_base), limit = v->x->seg[BP_CS].limit;

    if ((v->mode & MODE_SIZE) == 0 && limit > 0xffff)
        limit = 0xffff;
    return limit == UINT32_MAX || (first <= limit && limit - first >= PAGE - 1) ? 0 : MODE_EDGE;
}

bool legacy_beyond(const struct vcpu *v, unsigned bytes)
{
    return v->mode & MODE_LIMITED && v->x->rip + bytes - 1 > v->x->seg[BP_CS].limit;
}

static void sync_segment(const struct vcpu *v, unsigned n, struct jit_segment *to)
{
    const struct bp_x86_segment *s = &v->x->seg[n];
    unsigned type = s->attr & 15;

    to->base = s->base;
    to->read = to->write = s->limit;
    if (!is_protected(v))
        return;
    if (!(s->attr & BP_X86_SEG_P) || (type & 12) == 4) /* expand-down: rare */
        to->read = to->write = -1;
    if ((type & 10) == 8)
        to->read = -1;
    if ((type & 10) != 2)
        to->write = -1;
}

void legacy_sync(struct tcg_cpu *c)
{
    const struct vcpu *v = &c->v;
    uint32_t mode = c->mode_running;

    c->f.cs_base = v->cs_base;
    c->f.cs_limit = v->x->seg[BP_CS].limit;
    for (unsigned n = 0; n < 6; n++) {
        if (!(mode >> (MODE_PLAIN_SHIFT + n) & 1))
            sync_segment(v, n, &c->f.segment[n]);
    }
}

/* ---- addresses ---- */

static bool is_plain(uint32_t mode, unsigned seg)
{
    return mode >> (MODE_PLAIN_SHIFT + seg) & 1;
}

/* Sums that hardly ever have to be truncated: one register and not much. */
static bool is_near(const struct where *w)
{
    return w->index < 0 && w->disp < INT32_MAX - 8192 && (w->base < 0 ? w->disp >= 0 : w->disp >= -65536);
}

static void add_segment(struct where *w, uint32_t mode, unsigned seg)
{
    if (!is_plain(mode, seg))
        w->checked = (uint8_t)(1 + seg);
    else if (seg >= BP_FS)
        w->segment = seg == BP_FS ? SLOT(fs_base) : SLOT(gs_base);
    else if (w->width == 4 && is_near(w))
        w->width = 0;
}

struct where legacy_where(uint32_t mode, const struct insn *i)
{
    struct where w = {.base = i->base == NO_REG ? -1 : (int8_t)i->base,
                      .index = i->index == NO_REG ? -1 : (int8_t)i->index, .scale = i->scale,
                      .disp = i->disp, .width = i->addrsize};

    add_segment(&w, mode, i->seg);
    return w;
}

struct where stack_at(const struct tr *t, unsigned base, int32_t disp)
{
    struct where w = {.base = (int8_t)base, .index = -1, .disp = disp};

    if (!legacy(t))
        return w;
    w.width = t->tb->mode & MODE_STACK32 ? 4 : 2;
    add_segment(&w, t->tb->mode, BP_SS);
    return w;
}

void stack_move(struct tr *t, unsigned from, int32_t by)
{
    struct rm rm = rm_mem(home_of[from], by);

    emit(&t->c, 0x8d, !legacy(t) ? 8 : t->tb->mode & MODE_STACK32 ? 4 : 2, home_of[BP_RSP], &rm);
}

static void truncate(struct tr *t, int reg)
{
    emit_rr(&t->c, 0x0fb7, 4, reg, reg);
}

static void sum(struct tr *t, int to, const struct where *w, int64_t extra)
{
    struct rm rm = rm_index(w->base < 0 ? -1 : home_of[w->base], w->index < 0 ? -1 : home_of[w->index], w->scale,
                            (int32_t)(uint32_t)(uint64_t)(w->disp + extra));

    if (w->base < 0 && w->index < 0)
        emit_mov32(&t->c, to, (uint32_t)rm.disp);
    else
        emit(&t->c, 0x8d, 4, to, &rm);
    if (w->width == 2)
        truncate(t, to);
}

void legacy_address(struct tr *t, int to, const struct where *w, int64_t extra)
{
    sum(t, to, w, extra);
}

static int32_t segment_slot(unsigned seg, size_t field)
{
    return SLOT(segment) + (int32_t)(seg * sizeof(struct jit_segment) + field);
}

struct where legacy_place(struct tr *t, const struct insn *i, const struct where *w, unsigned size, bool write)
{
    unsigned seg = w->checked - 1u;
    int32_t base = w->segment;

    sum(t, SCRATCH0, w, 0);
    if (w->checked) {
        emit_lea(&t->c, SCRATCH1, SCRATCH0, (int32_t)size - 1);
        emit_rm(&t->c, 0x3b, 8, SCRATCH1, FRAME,
                segment_slot(seg, write ? offsetof(struct jit_segment, write) : offsetof(struct jit_segment, read)));
        redo_if(t, i, CC_G);
        base = segment_slot(seg, offsetof(struct jit_segment, base));
    }
    emit_rm(&t->c, 0x03, 4, SCRATCH0, FRAME, base);
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(address));
    return (struct where){.base = -1, .index = -1, .slot = SLOT(address)};
}

/* ---- branches ---- */

void legacy_target(struct tr *t, const struct insn *i)
{
    uint32_t mode = t->tb->mode;

    if (i->opsize == 2)
        truncate(t, SCRATCH1);
    else
        emit_rr(&t->c, 0x89, 4, SCRATCH1, SCRATCH1);
    if (mode & MODE_LIMITED) {
        flags_save(t);
        t->host = false;
        emit_rm(&t->c, 0x3b, 4, SCRATCH1, FRAME, SLOT(cs_limit));
        redo_if(t, i, CC_A);
    }
    if (!(mode & MODE_CS0)) {
        flags_save(t);
        t->host = false;
        emit_rm(&t->c, 0x03, 4, SCRATCH1, FRAME, SLOT(cs_base));
    }
}

void legacy_jump(struct tr *t, int64_t delta)
{
    flags_save(t);
    t->host = false;
    emit_load(&t->c, SCRATCH1, FRAME, SLOT(page));
    emit_alu_imm(&t->c, 0, 4, SCRATCH1, (int32_t)(uint32_t)(uint64_t)delta);
    if (!(t->tb->mode & MODE_CS0))
        emit_rm(&t->c, 0x2b, 4, SCRATCH1, FRAME, SLOT(cs_base));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory operands. The software TLB is looked up inline: the entry's index comes from the first
 * byte's page, what is compared from the last one's, so that an access which crosses a page misses. A miss
 * goes out of line, fills the entry and tries again, or leaves the instruction to the interpreter.
 */
#include "translate.h"

#define ENTRY_SHIFT 5
_Static_assert(sizeof(struct tlb_entry) == 1 << ENTRY_SHIFT, "the index is scaled by a shift");

void use_mmu(struct tr *t, unsigned mmu)
{
    t->mmu = mmu;
    t->tlb = (unsigned)(offsetof(struct tcg_cpu, v) + offsetof(struct vcpu, sets) - FRAME_BIAS +
                        mmu * sizeof(struct tlb_set));
    t->other_mode = mmu != (t->tb->mode >> MODE_MMU_SHIFT & 3);
}

struct where where_of(const struct tr *t, const struct insn *i)
{
    return legacy(t) ? legacy_where(t->tb->mode, i) : where_at(i, t->next);
}

struct where where_at(const struct insn *i, unsigned next)
{
    struct where w = {.base = -1, .index = -1, .scale = i->scale, .disp = i->disp};

    if (i->base == BASE_RIP) {
        w.rip = true;
        w.disp += next;
    } else if (i->base != NO_REG) {
        w.base = (int8_t)i->base;
    }
    if (i->index != NO_REG)
        w.index = (int8_t)i->index;
    if (i->seg == BP_FS)
        w.segment = SLOT(fs_base);
    else if (i->seg == BP_GS)
        w.segment = SLOT(gs_base);
    return w;
}

/* A home, or -1. */
static int home(int guest)
{
    return guest < 0 ? -1 : home_of[guest];
}

/* `to` = address + extra. Changes no flags when segment is 0 and both registers have homes. */
void emit_address(struct tr *t, int to, const struct where *w, int64_t extra)
{
    int32_t disp = (int32_t)(w->disp + extra);
    int base = home(w->base), index = home(w->index);
    struct rm rm;

    if (w->width) {
        legacy_address(t, to, w, extra);
        return;
    }
    if (w->slot) {
        emit_load(&t->c, to, FRAME, w->slot);
        if (extra)
            emit_lea(&t->c, to, to, (int32_t)extra);
        return;
    }
    if (w->rip) {
        emit_load(&t->c, to, FRAME, SLOT(page));
        base = to;
    } else if (w->index >= 0 && index < 0) {
        emit_load(&t->c, to, FRAME, GPR_SLOT(w->index));
        if (w->base >= 0 && base < 0) {
            if (w->scale)
                emit_shift(&t->c, 4, 8, to, w->scale);
            emit_rm(&t->c, 0x03, 8, to, FRAME, GPR_SLOT(w->base));
            rm = rm_mem(to, disp);
            goto put;
        }
        index = to;
    } else if (w->base >= 0 && base < 0) {
        emit_load(&t->c, to, FRAME, GPR_SLOT(w->base));
        base = to;
    }
    if (base < 0 && index < 0) {
        emit_mov64(&t->c, to, (uint64_t)(int64_t)(w->disp + extra));
        goto segment;
    }
    rm = rm_index(base, index, w->scale, disp);
put:
    if (rm.index < 0 && disp == 0) {
        if (rm.base != to)
            emit_mov(&t->c, to, rm.base);
    } else {
        emit(&t->c, 0x8d, 8, to, &rm);
    }
segment:
    if (w->segment)
        emit_rm(&t->c, 0x03, 8, to, FRAME, w->segment);
}

struct stub *stub_new(struct tr *t, enum stub_kind kind, const struct insn *i)
{
    struct stub *s = &t->stubs[t->stub_count++];

    *s = (struct stub){.kind = (uint8_t)kind, .i = i, .info = t->offset};
    return s;
}

#define SPAN_HOST(slot) (SLOT(span) + (int32_t)((slot) * sizeof(struct span) + offsetof(struct span, host)))
#define SPAN_DIRTY(slot) (SLOT(span) + (int32_t)((slot) * sizeof(struct span) + offsetof(struct span, dirty)))

/* Behind a leader's check: SCRATCH0 is the entry's index, `at` where entries are. */
static struct rm span_begin(struct tr *t, const struct where *w, int32_t at)
{
    struct rm addend = rm_index(FRAME, SCRATCH0, 0, at + (int32_t)offsetof(struct tlb_entry, addend));
    struct rm dirty = rm_index(FRAME, SCRATCH0, 0, at + (int32_t)offsetof(struct tlb_entry, dirty));
    unsigned slot = t->plan->slot;
    int base = home(w->base);

    if (t->plan->write) {
        emit(&t->c, 0x8b, 8, SCRATCH1, &dirty);
        emit_store(&t->c, SCRATCH1, FRAME, SPAN_DIRTY(slot));
    }
    t->span[slot] = t->used = t->plan;
    emit(&t->c, 0x8b, 8, SCRATCH1, &addend);
    if (base >= 0)
        emit_rr(&t->c, 0x01, 8, base, SCRATCH1);
    else
        emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, w->rip ? SLOT(page) : GPR_SLOT(w->base));
    emit_store(&t->c, SCRATCH1, FRAME, SPAN_HOST(slot));
    return rm_mem(SCRATCH1, (int32_t)w->disp);
}

/* Changes no flags. */
static struct rm span_go_on(struct tr *t, const struct where *w)
{
    emit_load(&t->c, SCRATCH1, FRAME, SPAN_HOST(t->plan->slot));
    t->used = t->plan;
    return rm_mem(SCRATCH1, (int32_t)w->disp + t->plan->moved);
}

struct rm access(struct tr *t, const struct insn *i, const struct where *w, unsigned size, enum access kind,
                 unsigned align)
{
    bool planned = span_fits(t->plan, w, size, kind == ACCESS_WRITE, align), leads;
    int64_t low = 0, last = align > 1 ? 0 : (int64_t)size - 1;
    int32_t at = (int32_t)(t->tlb + (kind == ACCESS_WRITE ? sizeof(struct tlb_entry) * TLB_SIZE : 0));
    int base = home(w->base);
    const uint8_t *start;
    struct where placed;
    struct stub *s;

    t->used = NULL;
    if (planned && t->plan->role == SPAN_MEMBER && t->span[t->plan->slot] == t->plan - t->plan->back)
        return span_go_on(t, w);
    leads = planned && t->plan->role == SPAN_LEADER;
    if (leads) {
        low = t->plan->low;
        last = low + t->plan->length - 1;
    }
    flags_save(t);
    t->host = false;
    if (w->checked || (w->width && w->segment)) {
        placed = legacy_place(t, i, w, size, kind == ACCESS_WRITE);
        w = &placed;
    }
    start = t->c.p;
    emit_address(t, SCRATCH0, w, low);
    if (w->width)
        emit_lea(&t->c, SCRATCH1, SCRATCH0, (int32_t)last);
    else
        emit_address(t, SCRATCH1, w, last);
    emit_shift(&t->c, 5, 4, SCRATCH0, 12 - ENTRY_SHIFT);
    emit_alu_imm(&t->c, 4, 4, SCRATCH0, (TLB_SIZE - 1) << ENTRY_SHIFT);
    emit_alu_imm(&t->c, 4, 8, SCRATCH1, align > 1 ? (int32_t)(-4096 | (int32_t)(align - 1)) : -4096);
    emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, VCPU_SLOT(generation)); /* misaligned: no sum is equal */
    {
        struct rm tag = rm_index(FRAME, SCRATCH0, 0, at + (int32_t)offsetof(struct tlb_entry, tag));
        struct rm addend = rm_index(FRAME, SCRATCH0, 0, at + (int32_t)offsetof(struct tlb_entry, addend));

        emit(&t->c, 0x3b, 8, SCRATCH1, &tag);
        s = stub_new(t, STUB_ACCESS, i);
        s->site[0] = emit_jcc(&t->c, CC_NE);
        s->again = start;
        s->info |= (size - 1) << INFO_SIZE_SHIFT | (kind == ACCESS_WRITE ? INFO_WRITE : 0);
        s->where = *w;
        if (leads) {
            s->link = &t->tb->apart[t->tb->apart_count++];
            s->where.disp += low;
            s->info |= (uint32_t)t->plan->length << INFO_SPAN_SHIFT;
            return span_begin(t, w, at);
        }
        if (w->width) {
            emit_address(t, SCRATCH1, w, 0);
            emit(&t->c, 0x03, 8, SCRATCH1, &addend);
            return rm_mem(SCRATCH1, 0);
        }
        emit(&t->c, 0x8b, 8, SCRATCH1, &addend);
    }
    if (w->slot) {
        emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, w->slot);
        return rm_mem(SCRATCH1, 0);
    }
    if (w->segment)
        emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, w->segment);
    if (w->rip) {
        emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, SLOT(page));
        return rm_mem(SCRATCH1, (int32_t)w->disp);
    }
    if (w->base >= 0 && base < 0) {
        emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, GPR_SLOT(w->base));
        base = -1;
    }
    if (w->index >= 0) {
        int index = home(w->index);

        if (index >= 0 && base < 0)
            return rm_index(SCRATCH1, index, w->scale, (int32_t)w->disp);
        if (index >= 0 && w->scale == 0) {
            struct rm sum = rm_index(SCRATCH1, base, 0, 0);

            emit(&t->c, 0x8d, 8, SCRATCH1, &sum);
            return rm_index(SCRATCH1, index, 0, (int32_t)w->disp);
        }
        if (index >= 0) {
            struct rm sum = rm_index(SCRATCH1, base, 0, 0);

            emit(&t->c, 0x8d, 8, SCRATCH1, &sum);
            return rm_index(SCRATCH1, index, w->scale, (int32_t)w->disp);
        }
        for (unsigned n = 0; n < 1u << w->scale; n++) /* rare: the index lives in the frame */
            emit_rm(&t->c, 0x03, 8, SCRATCH1, FRAME, GPR_SLOT(w->index));
    }
    if (base >= 0)
        return rm_index(SCRATCH1, base, 0, (int32_t)w->disp);
    return rm_mem(SCRATCH1, (int32_t)w->disp);
}

void keep_entry(struct tr *t)
{
    if (t->used)
        return;
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(entry));
    t->entry_kept = true;
}

void wrote(struct tr *t)
{
    int32_t at = (int32_t)(t->tlb + sizeof(struct tlb_entry) * TLB_SIZE);
    struct rm dirty = rm_index(FRAME, SCRATCH0, 0, at + (int32_t)offsetof(struct tlb_entry, dirty));

    if (t->entry_kept)
        emit_load(&t->c, SCRATCH0, FRAME, SLOT(entry));
    t->entry_kept = false;
    if (t->used && !t->used->marks)
        return;
    if (t->used)
        emit_load(&t->c, SCRATCH1, FRAME, SPAN_DIRTY(t->used->slot));
    else
        emit(&t->c, 0x8b, 8, SCRATCH1, &dirty);
    emit_rm(&t->c, 0xc6, 1, 0, SCRATCH1, 0);
    put8(&t->c, BP_DIRTY_ALL);
}

void redo_if(struct tr *t, const struct insn *i, unsigned cc)
{
    struct stub *s = stub_new(t, STUB_REDO, i);

    s->site[0] = emit_jcc(&t->c, cc);
}

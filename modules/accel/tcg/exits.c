/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How blocks end. An exit inside the page is a jump that is patched once its target is translated; one that
 * leads to another page, or whose target is computed, asks the jump cache. Where a loop could go on for
 * ever, exit_request is looked at. What is rare stands out of line, behind the block.
 */
#include "translate.h"

static void store_delta(struct tr *t, int64_t delta)
{
    emit_rm(&t->c, 0xc7, 8, 0, FRAME, SLOT(exit_delta));
    put32(&t->c, (uint32_t)delta);
}

static uint8_t *poll(struct tr *t)
{
    emit_rm(&t->c, 0x83, 4, 7, FRAME, SLOT(exit_request));
    put8(&t->c, 0);
    return emit_jcc(&t->c, CC_NE);
}

/* SCRATCH1: the target, which is kept there; SCRATCH0: its entry in front of the jump cache, in what is emitted
 * next. On a request or a miss jumps to what is returned in ret_site; from the second one may come back to
 * ret_again, when thunk_probe has found it. */
static void probe(struct tr *t, uint8_t *ret_site[2], const uint8_t **ret_again)
{
    ret_site[0] = poll(t);
    emit_rr(&t->c, 0x69, 4, SCRATCH0, SCRATCH1); /* imul */
    put32(&t->c, QUICK_FACTOR);
    emit_shift(&t->c, 5, 4, SCRATCH0, QUICK_SHIFT - JUMP_SHIFT);
    emit_alu_imm(&t->c, 4, 4, SCRATCH0, (int32_t)((QUICK - 1) << JUMP_SHIFT));
    emit_rm(&t->c, 0x03, 8, SCRATCH0, FRAME, SLOT(quick));
    emit_rm(&t->c, 0x3b, 8, SCRATCH1, SCRATCH0, (int32_t)offsetof(struct jump, tag));
    ret_site[1] = emit_jcc(&t->c, CC_NE);
    *ret_again = t->c.p;
    emit_alu_imm(&t->c, 4, 8, SCRATCH1, -4096);
    emit_store(&t->c, SCRATCH1, FRAME, SLOT(page));
}

static void jump_found(struct tr *t)
{
    emit_rm(&t->c, 0xff, 4, 4, SCRATCH0, (int32_t)offsetof(struct jump, code));
    t->ended = true;
}

void exit_indirect(struct tr *t, const struct insn *i, void (*commit)(struct tr *, const struct insn *))
{
    const uint8_t *again;
    uint8_t *site[2];
    struct stub *s;

    flags_save(t);
    t->host = false;
    if (t->other_mode) {
        emit_store(&t->c, SCRATCH1, FRAME, SLOT(temp));
        s = stub_new(t, STUB_TARGET, i);
        s->site[0] = emit_jmp(&t->c);
        s->commit = commit;
        t->ended = true;
        return;
    }
    probe(t, site, &again);
    s = stub_new(t, STUB_REDO, i);
    s->site[0] = site[0];
    s = stub_new(t, STUB_TARGET, i);
    s->site[1] = site[1];
    s->again = again;
    s->commit = commit;
    if (commit)
        commit(t, i);
    jump_found(t);
}

void entry_poll(struct tr *t, const uint8_t *entry)
{
    int64_t delta = (int64_t)(t->linear & 0xfff);
    uint8_t *site;
    struct stub *s;

    t->tb->entry_poll = t->c.p;
    site = poll(t);
    if (!entry) {
        s = stub_new(t, STUB_LEAVE, NULL);
        s->site[0] = site;
        s->delta = delta;
        return;
    }
    emit_jmp_to(&t->c, entry); /* behind the block */
    patch(site, t->c.p);
    store_delta(t, delta);
    emit_jmp_to(&t->c, t->cpu->thunk_exit);
}

/* Flags are in the frame, or nobody looks at them. */
void take_budget(struct tr *t)
{
    struct stub *s;

    emit_mov64(&t->c, SCRATCH0, (uintptr_t)t->tb);
    emit_store(&t->c, SCRATCH0, FRAME, SLOT(tb));
    emit_rm(&t->c, 0x83, 4, 5, FRAME, SLOT(budget));
    put8(&t->c, t->tb->count);
    s = stub_new(t, STUB_SPENT, NULL);
    s->site[0] = emit_jcc(&t->c, CC_S);
    s->delta = (int64_t)(t->linear & 0xfff);
}

static void link_here(struct tr *t, unsigned n, uint8_t *site, int64_t delta)
{
    struct stub *s = stub_new(t, STUB_LINK, NULL);
    struct tb_link *l = &t->tb->link[n];

    l->site = site;
    l->owner = t->tb;
    l->to_saved = t->saved;
    l->backward = delta <= t->offset;
    s->link = l;
    s->delta = delta;
    s->host = t->host;
    s->saved = t->saved;
}

static bool in_page(int64_t delta)
{
    return delta >= 0 && delta < (int64_t)PAGE;
}

bool exit_chains(const struct tr *t, const struct insn *i, unsigned link, int64_t delta)
{
    uint32_t mode = t->tb->mode;

    if (t->other_mode || !in_page(delta) || (is_legacy(mode) && mode & MODE_EDGE))
        return false;
    return !is_legacy(mode) || link == 1 || i->opsize == 4 || (mode & MODE_SIZE) == 0;
}

void exit_probe(struct tr *t, const struct insn *i, int64_t delta)
{
    const uint8_t *again;
    uint8_t *site[2];
    struct stub *s;

    flags_save(t);
    t->host = false;
    emit_load(&t->c, SCRATCH1, FRAME, SLOT(page));
    emit_alu_imm(&t->c, 0, 8, SCRATCH1, (int32_t)delta);
    probe(t, site, &again);
    jump_found(t);
    s = stub_new(t, STUB_LEAVE, i);
    s->site[0] = site[0];
    s->delta = delta;
    s = stub_new(t, STUB_LEAVE, i);
    s->site[0] = site[1];
    s->again = again;
    s->delta = delta;
}

void exit_direct(struct tr *t, const struct insn *i, unsigned link, int64_t delta)
{
    if (legacy(t) && link == 0 && !exit_chains(t, i, link, delta)) {
        legacy_jump(t, delta);
        legacy_target(t, i);
        exit_indirect(t, i, NULL);
        return;
    }
    if (t->other_mode) {
        flags_save(t);
        t->host = false;
        store_delta(t, delta);
        emit_jmp_to(&t->c, t->cpu->thunk_exit);
        t->ended = true;
        return;
    }
    if (exit_chains(t, i, link, delta)) {
        link_here(t, link, emit_jmp(&t->c), delta);
        t->ended = true;
        return;
    }
    flags_save(t);
    t->host = false;
    exit_probe(t, i, delta);
}

void exit_if(struct tr *t, const struct insn *i, unsigned cc, int64_t delta)
{
    uint8_t *site = emit_jcc(&t->c, cc);
    struct stub *s;

    if (exit_chains(t, i, 0, delta)) {
        link_here(t, 0, site, delta);
        return;
    }
    s = stub_new(t, STUB_TAKEN, i);
    s->site[0] = site;
    s->delta = delta;
    s->host = t->host;
    s->saved = t->saved;
}

void call_with_insn(struct tr *t, const struct insn *i, const uint8_t *thunk, uint32_t info)
{
    flags_save(t);
    emit_mov64(&t->c, SCRATCH1, (uintptr_t)i);
    emit_mov32(&t->c, SCRATCH0, info);
    emit_call_to(&t->c, thunk);
    t->saved = true;
    t->host = false;
}

void call_interp(struct tr *t, const struct insn *i, bool last)
{
    call_with_insn(t, i, t->cpu->thunk_interp, t->offset | (last ? INFO_LAST : 0));
    t->simd_live = t->x87_live = false;
    t->ended = last;
}

static void need(struct tr *t, int32_t live, const uint8_t *thunk)
{
    uint8_t *skip;

    flags_save(t);
    t->host = false;
    emit_rm(&t->c, 0x83, 4, 7, FRAME, live);
    put8(&t->c, 0);
    put8(&t->c, 0x75); /* jne */
    skip = t->c.p;
    put8(&t->c, 0);
    emit_call_to(&t->c, thunk);
    *skip = (uint8_t)(t->c.p - skip - 1);
}

void need_simd(struct tr *t)
{
    if (!t->simd_live)
        need(t, SLOT(simd_live), t->cpu->thunk_simd);
    t->simd_live = true;
}

void need_x87(struct tr *t)
{
    if (!t->x87_live)
        need(t, SLOT(x87_live), t->cpu->thunk_x87);
    t->x87_live = true;
}

static void leave_by(struct tr *t, const struct tb_link *l, int64_t delta)
{
    if (l) {
        emit_mov64(&t->c, SCRATCH0, (uintptr_t)l);
        emit_store(&t->c, SCRATCH0, FRAME, SLOT(link));
    }
    store_delta(t, delta);
    emit_jmp_to(&t->c, t->cpu->thunk_exit);
}

/* SCRATCH1: where a span begins that was not found in the TLB. One that crosses a page never will be. */
static void crossing_exit(struct tr *t, const struct stub *s)
{
    emit_lea(&t->c, SCRATCH0, SCRATCH1, (int32_t)(s->info >> INFO_SPAN_SHIFT) - 1);
    emit_rr(&t->c, 0x33, 4, SCRATCH0, SCRATCH1);
    emit_rr(&t->c, 0xf7, 4, 0, SCRATCH0);
    put32(&t->c, PAGE);
    *s->link = (struct tb_link){.site = emit_jcc(&t->c, CC_NE), .owner = t->tb, .to_saved = 1, .apart = 1};
}

static void link_stub(struct tr *t, struct tb_link *l, int64_t delta)
{
    l->stub = t->c.p;
    patch(l->site, t->c.p);
    leave_by(t, l, delta);
}

/* The large jump cache, behind the small one. */
static void look_again(struct tr *t, const struct stub *s)
{
    if (!s->again)
        return;
    emit_call_to(&t->c, t->cpu->thunk_probe);
    emit_jcc_to(&t->c, CC_E, s->again);
}

static void stub_emit(struct tr *t, struct stub *s)
{
    struct tb_link *l;
    uint8_t *redo;

    t->host = s->host;
    t->saved = s->saved;
    for (unsigned n = 0; n < BP_COUNT(s->site); n++) {
        if (s->site[n])
            patch(s->site[n], t->c.p);
    }
    switch (s->kind) {
    case STUB_ACCESS:
        emit_address(t, SCRATCH1, &s->where, 0);
        if (s->link)
            crossing_exit(t, s);
        emit_mov32(&t->c, SCRATCH0, s->info);
        emit_call_to(&t->c, t->cpu->thunk_slow);
        emit_jmp_to(&t->c, s->again);
        if (s->link)
            link_stub(t, s->link, s->info & INFO_OFFSET);
        break;
    case STUB_REDO:
        emit_mov32(&t->c, SCRATCH0, s->info | INFO_REDO);
        emit_call_to(&t->c, t->cpu->thunk_slow);
        break;
    case STUB_LINK:
        l = s->link;
        if (l->backward && !l->to_saved) {
            l->save = t->c.p;
            flags_save(t);
            l->save_site = emit_jmp(&t->c);
            t->saved = s->saved;
        }
        l->stub = t->c.p;
        patch(l->site, t->c.p);
        flags_save(t);
        leave_by(t, l, s->delta);
        break;
    case STUB_SPENT: /* what it took, it gives back */
        emit_rm(&t->c, 0x83, 4, 0, FRAME, SLOT(budget));
        put8(&t->c, t->tb->count);
        /* fall through */
    case STUB_LEAVE:
        look_again(t, s);
        leave_by(t, NULL, s->delta);
        break;
    case STUB_TARGET: /* an address that has a tag; others fault before anything is committed */
        look_again(t, s);
        emit_load(&t->c, SCRATCH1, FRAME, SLOT(temp));
        emit_shift(&t->c, 4, 8, SCRATCH1, 16);
        emit_shift(&t->c, 7, 8, SCRATCH1, 16);
        emit_rm(&t->c, 0x3b, 8, SCRATCH1, FRAME, SLOT(temp));
        redo = emit_jcc(&t->c, CC_NE);
        if (s->commit)
            s->commit(t, s->i);
        emit_jmp_to(&t->c, t->cpu->thunk_target);
        patch(redo, t->c.p);
        emit_mov32(&t->c, SCRATCH0, s->info | INFO_REDO);
        emit_call_to(&t->c, t->cpu->thunk_slow);
        break;
    case STUB_TAKEN:
        t->offset = s->info & INFO_OFFSET;
        exit_direct(t, s->i, 0, s->delta);
        break;
    }
}

void stubs_emit(struct tr *t)
{
    for (unsigned n = 0; n < t->stub_count; n++) {
        struct stub s = t->stubs[n];

        stub_emit(t, &s);
    }
}

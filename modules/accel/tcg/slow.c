/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What translated code calls: single instructions that the interpreter executes, because the translator
 * doesn't know them or because they touch memory that has no direct way (I/O, page crossings, faults).
 */
#include "tcg.h"
#include <string.h>

/* Guest registers that have no host register (state.c). */
static const uint8_t homeless[] = {BP_R10, BP_R11, BP_R14, BP_R15};

void sync_in(struct tcg_cpu *c)
{
    struct bp_x86_cpu *x = c->v.x;

    if (c->f.x87_saved)
        x87_from_image(&c->f);
    for (unsigned n = 0; n < BP_COUNT(homeless); n++)
        x->gpr[homeless[n]] = c->f.gpr[homeless[n]];
    flags_set_eager(&c->v, flags_unpack(c->f.flags));
}

void sync_out(struct tcg_cpu *c)
{
    struct bp_x86_cpu *x = c->v.x;

    for (unsigned n = 0; n < BP_COUNT(homeless); n++)
        c->f.gpr[homeless[n]] = x->gpr[homeless[n]];
    c->f.flags = flags_pack(arith_flags(&c->v));
    c->f.fs_base = x->seg[BP_FS].base;
    c->f.gs_base = x->seg[BP_GS].base;
    if (!c->v.long64)
        legacy_sync(c);
}

static void execute(struct vcpu *v, const struct insn *i)
{
    v->cur = i;
    v->block_end = i + 1;
    v->x->rip += i->len;
    i->exec(v, i);
    v->cur = NULL;
}

/* -icount: the block has taken the instructions of it that are behind the one that info says, and that one, from the
 * budget; here they are still to come. */
static void count_begin(struct tcg_cpu *c)
{
    const struct tb *tb = c->f.tb;
    unsigned n = 0;

    if (!c->machine->counts)
        return;
    while (n < tb->count && tb->offsets[n] != (c->f.info & INFO_OFFSET))
        n++;
    c->v.owed = tb->count - (int32_t)n;
    c->v.broken_off = 0;
}

/* It was executed. `leaves`: the rest of the block is given back. */
static void count_end(struct tcg_cpu *c, bool leaves)
{
    if (!c->machine->counts)
        return;
    if (leaves)
        c->f.budget += c->v.owed - 1 + c->v.broken_off;
    c->v.owed = c->v.broken_off = 0;
}

static void fetch(struct vcpu *v, uint64_t linear, uint8_t *to, unsigned count)
{
    uint64_t phys = exec_phys(v, linear);
    const struct phys_page *p = phys_lookup(v, phys);

    for (unsigned n = 0; n < count; n++)
        to[n] = p->host ? p->host[(phys & 0xfff) + n] : (uint8_t)v->bus.read(v->bus.opaque, phys + n, 1);
}

/* The instruction at RIP, decoded again. */
static void decode_here(struct vcpu *v, struct insn *i)
{
    uint64_t linear = linear_of(v), next = PAGE_OF(linear) + PAGE;
    unsigned first = PAGE - (unsigned)(linear & 0xfff);
    uint8_t bytes[15];
    struct code_bytes code = {bytes, first < 15 ? first : 15};

    fetch(v, linear, bytes, code.avail);
    if (decode(v, &code, i) == DECODE_MORE) {
        fetch(v, v->long64 ? next : (uint32_t)next, bytes + first, 15 - first);
        code.avail = 15;
        decode(v, &code, i);
    }
}

/* Of what vcpu_attend() looks at, is there nothing to do? */
static bool settled(struct vcpu *v)
{
    const struct bp_x86_cpu *x = v->x;
    uint32_t pending = __atomic_load_n(&x->interrupts, __ATOMIC_RELAXED);

    if (__atomic_load_n(v->kick, __ATOMIC_RELAXED))
        return false;
    if (pending && (pending != BP_X86_INT_HARD || x->rflags & F_IF))
        return false;
    if (!v->attention)
        return true;
    if (v->shutdown || v->single || v->debug || x->shadow || x->halted || x->wait_for_sipi ||
        x->a20_masked != v->a20 || __atomic_load_n(&v->map_changed, __ATOMIC_RELAXED))
        return false;
    v->attention = 0;
    return true;
}

/* The code at RIP, when nothing has to be looked at before; else LEAVE. Raises fetch faults. */
static const uint8_t *go_on(struct tcg_cpu *c, struct tb_link *link)
{
    struct jit_frame *f = &c->f;
    struct vcpu *v = &c->v;
    const uint8_t *code;
    uint64_t linear;

    f->link = link;
    if (unlikely(c->check != NULL))
        return LEAVE;
    if (unlikely(__atomic_load_n(&f->exit_request, __ATOMIC_RELAXED)) || !settled(v) ||
        __atomic_load_n(&c->stale_count, __ATOMIC_RELAXED) ||
        __atomic_load_n(&c->machine->map.drops, __ATOMIC_RELAXED) != c->drops_seen)
        return LEAVE;
    key_update(c);
    linear = linear_of(v);
    code = link || few_left(c) ? NULL : jump_code(c, linear);
    if (!code) {
        struct tb *tb = cache_find(c, link);

        if (!tb || too_long(c, tb))
            return LEAVE;
        if (link && f->link == link)
            cache_link(c, link, tb);
        code = tb->entry_saved + c->exec_delta;
    }
    log_run(c, code);
    f->link = NULL;
    f->page = PAGE_OF(linear);
    sync_out(c);
    if (!code_enter(c))
        return LEAVE;
    return code;
}

const uint8_t *slow_next(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);

    code_leave(c);
    sync_in(c);
    c->v.x->rip = rip_at(&c->v, f->page + (uint64_t)f->exit_delta);
    return go_on(c, f->link);
}

const uint8_t *slow_target(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);

    code_leave(c);
    sync_in(c);
    c->v.x->rip = rip_at(&c->v, f->temp);
    return go_on(c, NULL);
}

const uint8_t *slow_insn(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    struct vcpu *v = &c->v;
    struct insn *i = &c->redo; /* outlives a fault's longjmp() */

    code_leave(c);
    sync_in(c);
    v->cur = NULL;
    v->x->rip = rip_at(v, f->page + (f->info & INFO_OFFSET));
    count_begin(c);
    decode_here(v, i);
    c->interpreted++;
    c->redone_by[i->map & 3][i->opcode & 0xff]++;
    execute(v, i);
    count_end(c, true);
    return go_on(c, NULL);
}

const uint8_t *slow_interp(struct jit_frame *f)
{
    struct tcg_cpu *c = tcg_of_frame(f);
    struct vcpu *v = &c->v;
    const struct insn *i = (const struct insn *)(uintptr_t)f->linear;

    code_leave(c);
    sync_in(c);
    v->x->rip = rip_at(v, f->page + (f->info & INFO_OFFSET));
    c->interpreted++;
    c->interpreted_by[i->map & 3][i->opcode & 0xff]++;
    count_begin(c);
    execute(v, i);
    if (f->info & INFO_LAST || !v->block_end || v->attention || __atomic_load_n(&f->exit_request, __ATOMIC_RELAXED) ||
        tb_mode(c) != c->mode_running || !settled(v) || f->budget < 0) {
        count_end(c, true);
        return go_on(c, NULL);
    }
    sync_out(c);
    if (code_enter(c)) {
        count_end(c, false);
        return NULL;
    }
    count_end(c, true);
    return LEAVE;
}

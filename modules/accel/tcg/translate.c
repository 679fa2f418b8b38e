/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One pass over a straight run of instructions: decode, find out backwards who looks at which flags, emit.
 * A block has two entries: one for predecessors that leave the flags in the host's register, one for those
 * that leave them in the frame; the block is built for what its first instructions want.
 */
#include "check.h"
#include "translate.h"
#include <bp/exact/cpu.h>
#include <bp/log.h>
#include <time.h>

/* STI: what its emitter makes holds interrupts back inside of the block only, so another instruction has to follow. */
static bool opens_shadow(const struct insn *i)
{
    return i->map == 0 && i->opcode == 0xfb;
}

static unsigned decode_run(struct tcg_cpu *c, const uint8_t *bytes, unsigned avail, unsigned max,
                           unsigned *ret_bytes, bool *ret_end)
{
    struct vcpu *v = &c->v;
    unsigned at = 0, count = 0;

    if (c->machine->one_insn)
        max = 1;
    *ret_end = false;
    while (count < max && at < avail) {
        struct code_bytes code = {bytes + at, avail - at};
        enum decode_result r = decode(v, &code, &v->decoded[count]);

        bool alone = c->check && r != DECODE_MORE && check_alone(&v->decoded[count]);

        if (r == DECODE_MORE || (alone && count))
            break;
        at += v->decoded[count++].len;
        if (r == DECODE_END && !opens_shadow(&v->decoded[count - 1])) {
            *ret_end = true;
            break;
        }
        if (alone)
            break;
    }
    *ret_bytes = at;
    return count;
}

/* Which instructions are followed by somebody who looks at the flags before all are written again. True: so
 * is the beginning. */
static bool liveness(const struct rule *rules, unsigned count, bool *after)
{
    bool live = true;

    for (unsigned n = count; n-- > 0;) {
        const struct rule *r = &rules[n];

        after[n] = live;
        if (!r->emit || r->memory || r->flags == FLAGS_USE || r->flags == FLAGS_USE_SET)
            live = true;
        else if (r->flags == FLAGS_SET)
            live = false;
    }
    return live;
}

/* Code that takes over the flags, and both entries. */
static void prologue(struct tr *t, const struct rule *rules, unsigned count, bool live)
{
    bool want_host = false;

    for (unsigned n = 0; live && n < count; n++) {
        const struct rule *r = &rules[n];

        if (!r->emit || r->memory || r->simd || r->x87)
            break;
        if (r->flags != FLAGS_NONE) {
            want_host = true;
            break;
        }
    }
    t->host = t->saved = false;
    t->tb->live = live;
    if (!live) {
        entry_poll(t, NULL);
        t->tb->entry_host = t->tb->entry_saved = t->c.p;
    } else if (t->cpu->machine->counts) {
        want_host = false; /* taking from the budget destroys them */
    }
    if (!live) {
        /* that is all */
    } else if (want_host) {
        entry_poll(t, NULL);
        t->tb->entry_saved = t->c.p;
        t->saved = true;
        flags_to_host(t);
        t->saved = false;
        t->tb->entry_host = t->c.p;
    } else {
        t->tb->entry_host = t->c.p;
        t->host = true;
        flags_save(t);
        t->host = false;
        t->tb->entry_saved = t->c.p;
    }
    if (t->cpu->machine->counts)
        take_budget(t);
}

static void count_span(struct tr *t)
{
    struct tcg_cpu *c = t->cpu;

    if (t->plan->role == SPAN_NONE)
        return;
    if (!t->used)
        c->spans_missed++;
    else if (t->plan->role == SPAN_LEADER)
        c->spans++;
    else
        c->span_members++;
}

static void emit_all(struct tr *t, const struct insn *const *insns, const struct rule *rules, const bool *after,
                     unsigned count, bool end, const struct span_plan *plan)
{
    const uint8_t *start = t->cpu->at;

    t->begun = 0;
    for (unsigned n = 0; n < count; n++) {
        const struct insn *i = insns[n];
        const struct rule *r = &rules[n];

        t->begins[t->begun++] = (uint32_t)(t->c.p - start);
        t->next = t->offset + i->len;
        t->flags_after = after[n];
        if (!r->emit) {
            call_interp(t, i, end && n == count - 1);
        } else {
            if (r->simd)
                need_simd(t);
            if (r->x87)
                need_x87(t);
            if (!r->memory && (r->flags >= FLAGS_USE || (r->flags == FLAGS_PART && after[n])))
                flags_to_host(t);
            t->entry_kept = false;
            t->plan = plan ? &plan[n] : NULL;
            t->used = NULL;
            r->emit(t, i);
            if (plan)
                count_span(t);
        }
        if (t->ended)
            break;
        t->offset = t->next;
    }
    if (!t->ended) {
        t->offset -= count ? insns[count - 1]->len : 0; /* a jump from the last one */
        exit_direct(t, NULL, 1, t->next);
    }
    t->ends = (uint32_t)(t->c.p - start);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Where each instruction is: those that are looked at when the block runs stay as long as it does. */
static bool keep(struct tcg_cpu *c, const struct rule *rules, unsigned count, const struct insn **ret_insns)
{
    for (unsigned n = 0; n < count; n++) {
        struct insn *kept;

        ret_insns[n] = &c->v.decoded[n];
        if (rules[n].emit && !rules[n].keep)
            continue;
        kept = cache_alloc(c, sizeof(*kept));
        if (!kept)
            return false;
        *kept = c->v.decoded[n];
        ret_insns[n] = kept;
    }
    return true;
}

/* Where in the page each instruction is. */
static const uint16_t *keep_offsets(struct tcg_cpu *c, uint64_t linear, unsigned count)
{
    uint16_t *at = cache_alloc(c, count * sizeof(*at));
    unsigned offset = linear & 0xfff;

    for (unsigned n = 0; at && n < count; n++) {
        at[n] = (uint16_t)offset;
        offset += c->v.decoded[n].len;
    }
    return at;
}

static void log_code(const struct tcg_cpu *c, uint64_t linear, const uint8_t *bytes, unsigned count)
{
    if (bp_log_on(BP_LOG_IN_ASM) && c->v.x->cpu)
        bp_cpu_log_code(c->v.x->cpu, 16u << (c->v.mode & MODE_SIZE), linear, bytes, count);
}

struct tb *translate(struct tcg_cpu *c, const uint8_t *host, const uint8_t *host2, uint64_t linear, uint32_t mode)
{
    static __thread struct tr t; /* large */
    unsigned avail = PAGE - (unsigned)((uintptr_t)host % PAGE), count, size;
    uint8_t bytes[MAX_BLOCK * 15]; /* read once: others may write meanwhile */
    struct rule rules[MAX_BLOCK];
    bool after[MAX_BLOCK], end, live;
    struct span_plan plan[MAX_BLOCK];
    unsigned leaders;
    uint64_t start = now_ns();
    const uint8_t *start_code;
    const struct insn *insns[MAX_BLOCK];
    struct tb *tb;

    avail = avail < sizeof(bytes) ? avail : (unsigned)sizeof(bytes);
    memcpy(bytes, host, avail);
    if (host2) {
        memcpy(bytes + avail, host2, 15 - avail);
        count = decode_run(c, bytes, 15, 1, &size, &end);
    } else {
        count = decode_run(c, bytes, avail, MAX_BLOCK, &size, &end);
    }
    if (count == 0)
        return NULL;
    c->mode_now = mode;
    for (unsigned n = 0; n < count; n++) {
        rules[n] = rule_of(c, &c->v.decoded[n]);
        if (n == count - 1 && opens_shadow(&c->v.decoded[n]))
            rules[n] = (struct rule){0};
    }
    tb = cache_alloc(c, sizeof(*tb) + size);
    if (!tb || !keep(c, rules, count, insns))
        return NULL;
    memset(tb, 0, sizeof(*tb));
    tb->host = host;
    tb->host2 = host2;
    tb->first = host2 ? (uint8_t)avail : 0;
    tb->mode = mode;
    tb->bytes = (uint16_t)size;
    tb->count = (uint16_t)count;
    memcpy(tb->code, bytes, size);
    leaders = mode & MODE_APART || c->machine->counts ? 0 :
              span_plan(mode, linear & 0xfff, c->v.decoded, rules, count, plan);
    if (leaders) {
        tb->apart = cache_alloc(c, leaders * sizeof(*tb->apart));
        if (!tb->apart)
            return NULL;
    }
    if (c->check)
        check_keep(c, tb);
    if (c->machine->counts && !(tb->offsets = keep_offsets(c, linear, count)))
        return NULL;
    live = liveness(rules, count, after);
    start_code = t.c.p = c->at;
    t.cpu = c;
    t.tb = tb;
    t.linear = linear;
    t.offset = linear & 0xfff;
    use_mmu(&t, mode >> MODE_MMU_SHIFT & 3);
    t.simd_live = t.x87_live = t.ended = t.entry_kept = false;
    t.stub_count = 0;
    t.plan = t.used = NULL;
    memset(t.span, 0, sizeof(t.span));
    prologue(&t, rules, count, live);
    emit_all(&t, insns, rules, after, count, end, leaders ? plan : NULL);
    stubs_emit(&t);
    if (!tb->entry_poll)
        entry_poll(&t, tb->entry_saved);
    c->translated_blocks++;
    c->translated_insns += count;
    c->translated_bytes += (uint64_t)(t.c.p - c->at);
    c->at = (uint8_t *)(((uintptr_t)t.c.p + 15) & ~(uintptr_t)15);
    if (perf_wanted)
        perf_code(c, start_code, (size_t)(t.c.p - start_code), "guest", linear);
    log_code(c, linear, bytes, size);
    if (unlikely(bp_log_on(BP_LOG_OP)))
        explain_block(c, &t, insns, rules, after, count, leaders ? plan : NULL);
    if (unlikely(bp_log_on(BP_LOG_OUT_ASM)) && c->v.x->cpu)
        bp_cpu_log_host_code(c->v.x->cpu, linear, start_code + c->exec_delta, (size_t)(t.c.p - start_code));
    c->translate_ns += now_ns() - start;
    return tb;
}

const uint8_t *translate_probe(struct tcg_cpu *c, int64_t delta, bool saved)
{
    static __thread struct tr t;
    const uint8_t *start = c->at;

    t.c.p = c->at;
    t.cpu = c;
    t.host = !saved;
    t.saved = saved;
    t.other_mode = false;
    t.stub_count = 0;
    t.plan = NULL;
    exit_probe(&t, NULL, delta);
    stubs_emit(&t);
    c->at = (uint8_t *)(((uintptr_t)t.c.p + 15) & ~(uintptr_t)15);
    return start;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -accel tcg,check=on. A block first runs on the interpreter, on a copy of the state and on copies of the pages that
 * it writes; then the translation runs on the machine, and registers and those pages are compared. A block is not
 * chained to others. What can be done only once (ports, device memory, the time, random numbers) is left to the
 * translation's side and counted. vCPUs run one block at a time, so that no other's store comes between; what devices
 * write does: when something differs, the interpreter repeats the block with what memory has become.
 */
#include "check.h"
#include <bp/error.h>
#include <bp/log.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { ABANDON_DEVICE = 2, ABANDON_LARGE };

static const uint32_t never;

static struct check *check_of(struct vcpu *v)
{
    return (struct check *)((uint8_t *)v - offsetof(struct check, v));
}

/* ---- the interpreter's memory ---- */

static uint8_t *before_of(const struct check *k, unsigned n)
{
    return k->memory + (size_t)n * 2 * PAGE;
}

static uint8_t *after_of(const struct check *k, unsigned n)
{
    return before_of(k, n) + PAGE;
}

static uint8_t *page_for(struct vcpu *v, uint8_t *host, uint64_t lin, bool write)
{
    struct check *k = check_of(v);

    if ((uintptr_t)host - (uintptr_t)k->memory < CHECK_PAGES * 2 * PAGE)
        return host; /* found by way of page tables: a copy already */
    for (unsigned n = 0; n < k->pages; n++) {
        if (k->page[n].host == host)
            return after_of(k, n);
    }
    if (!write)
        return host;
    if (k->pages == CHECK_PAGES)
        _longjmp(v->jmp, ABANDON_LARGE);
    k->page[k->pages] = (struct check_page){host, lin};
    memcpy(before_of(k, k->pages), host, PAGE);
    memcpy(after_of(k, k->pages), before_of(k, k->pages), PAGE);
    tlb_flush(v, false); /* it may have been read at another address */
    return after_of(k, k->pages++);
}

static void lookup(void *opaque, uint64_t address, struct phys_page *ret_page)
{
    const struct bus *bus = &((struct tcg_cpu *)opaque)->v.bus;

    bus->lookup(bus->opaque, address, ret_page);
}

static _Noreturn void abandon(void *opaque)
{
    _longjmp(((struct tcg_cpu *)opaque)->check->v.jmp, ABANDON_DEVICE);
}

static uint64_t no_read(void *opaque, uint64_t address, unsigned size)
{
    (void)address, (void)size;
    abandon(opaque);
}

static void no_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)address, (void)value, (void)size;
    abandon(opaque);
}

static uint64_t no_in(void *opaque, uint16_t port, unsigned size)
{
    (void)port, (void)size;
    abandon(opaque);
}

static void no_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)port, (void)value, (void)size;
    abandon(opaque);
}

/* ---- which instructions ---- */

static bool comes_from_outside(const struct insn *i)
{
    unsigned reg = i->modrm >> 3 & 7;

    switch (i->map) {
    case 0: /* INS, OUTS, IN, OUT, HLT */
        return (i->opcode >= 0x6c && i->opcode <= 0x6f) || (i->opcode >= 0xe4 && i->opcode <= 0xe7) ||
               (i->opcode >= 0xec && i->opcode <= 0xef) || i->opcode == 0xf4;
    case 1:
        switch (i->opcode) {
        case 0x01: return i->modrm != 0xf8 && i->modrm != 0xca && i->modrm != 0xcb; /* all but SWAPGS, CLAC, STAC */
        case 0x20 ... 0x23: /* control and debug registers: CR8 is the APIC's, the others change the TLB */
        case 0x30 ... 0x33: /* WRMSR, RDTSC, RDMSR, RDPMC */
        case 0xaa:          /* RSM */
            return true;
        case 0xc7: return i->rm != RM_MEM && reg >= 6; /* RDRAND, RDSEED */
        }
        return false;
    case 2: return i->opcode == 0x82 && !(i->prefixes & PREFIX_VEX); /* INVPCID */
    }
    return false;
}

static bool repeats(const struct insn *i)
{
    return i->map == 0 && i->prefixes & (PREFIX_REP | PREFIX_REPNE) &&
           ((i->opcode >= 0xa4 && i->opcode <= 0xa7) || (i->opcode >= 0xaa && i->opcode <= 0xaf));
}

bool check_alone(const struct insn *i)
{
    return comes_from_outside(i) || repeats(i);
}

/* The vCPU's state, and what is derived from it. */
static void derive(struct tcg_cpu *c, const struct bp_x86_cpu *from)
{
    struct check *k = c->check;
    const struct vcpu *o = &c->v;
    struct vcpu *v = &k->v;

    k->x = *from;
    k->x.cpu = NULL;
    k->x.apic = NULL;
    k->x.ferr = NULL;
    k->x.interrupts = 0;
    k->x.shadow = 0;
    v->cc_kind = CC_EAGER;
    v->cur = NULL;
    v->cpl = o->cpl;
    v->a20 = o->a20;
    v->single = v->resume = v->frozen = v->delivering = v->external = v->shutdown = 0;
    v->dr6_pending = 0;
    memcpy(v->pdpte, o->pdpte, sizeof(v->pdpte));
    v->generation = 0;
    mode_update(v);
    tlb_flush(v, false);
    if ((__atomic_load_n(&k->map_changed, __ATOMIC_RELAXED) &&
         __atomic_exchange_n(&k->map_changed, false, __ATOMIC_SEQ_CST)) || k->smm != from->smm || k->a20 != o->a20) {
        phys_forget(v);
        k->smm = from->smm;
        k->a20 = o->a20;
    }
}

void check_keep(struct tcg_cpu *c, struct tb *tb)
{
    struct insn *kept = cache_alloc(c, tb->count * sizeof(*kept));

    derive(c, c->v.x);
    for (unsigned n = 0, at = 0; kept && n < tb->count; n++) {
        struct code_bytes code = {tb->code + at, tb->bytes - at};

        if (decode(&c->check->v, &code, &kept[n]) == DECODE_MORE)
            kept = NULL;
        else
            at += kept[n].len;
    }
    tb->checked = kept;
}

/* ---- running ---- */

static void straight_on(struct vcpu *v, const struct insn *i, const struct insn *end)
{
    struct bp_x86_cpu *x = v->x;

    for (uint64_t rip = x->rip; i < end && x->rip == rip; i++) {
        x->shadow = 0;
        v->cur = i;
        v->block_end = i + 1;
        rip += i->len;
        x->rip = rip;
        i->exec(v, i);
    }
}

/* From `start` on, `count` instructions or as far as it goes straight on. 0: done; else why not. */
static int interpret(struct tcg_cpu *c, const struct tb *tb, unsigned count)
{
    struct check *k = c->check;
    struct vcpu *v = &k->v;
    int why;

    derive(c, &k->start);
    v->kick = &never;
    why = _setjmp(v->jmp);
    if (why == ABANDON_DEVICE || why == ABANDON_LARGE)
        return why;
    k->fault = why != 0;
    if (why)
        vcpu_fault(v);
    else
        straight_on(v, tb->checked, tb->checked + count);
    v->cur = NULL;
    flags_sync(v);
    return 0;
}

/*
 * Who has just run a block would nearly always be the next again, and a vCPU that spins would keep the one that it
 * waits for from running. So whoever came in vain is let go first, for a while: it may have been stopped since.
 */
static bool lock(struct tcg_cpu *c)
{
    enum { PATIENCE = 64 };
    struct tcg_machine *m = c->machine;
    struct check *k = c->check;
    uint32_t me = (uint32_t)c->v.x->apic_id + 1, next = __atomic_load_n(&m->check_next, __ATOMIC_RELAXED);

    if (next && next != me && k->waited < PATIENCE) {
        k->waited++;
        return false;
    }
    if (__atomic_exchange_n(&m->check_lock, 1, __ATOMIC_ACQUIRE)) {
        if (!next)
            __atomic_store_n(&m->check_next, me, __ATOMIC_RELAXED);
        return false;
    }
    k->locked = true;
    k->waited = 0;
    if (next)
        __atomic_store_n(&m->check_next, 0, __ATOMIC_RELAXED);
    return true;
}

static void unlock(struct tcg_cpu *c)
{
    c->check->tb = NULL;
    if (c->check->locked)
        __atomic_store_n(&c->machine->check_lock, 0, __ATOMIC_RELEASE);
    c->check->locked = false;
}

static void translation(struct tcg_cpu *c, const struct tb *tb)
{
    struct jit_frame *f = &c->f;

    f->link = NULL;
    f->page = PAGE_OF(linear_of(&c->v));
    sync_out(c);
    if (code_enter(c)) {
        c->enter((uint8_t *)f + FRAME_BIAS, tb->entry_saved + c->exec_delta);
        code_leave(c);
    }
    if (f->link && !f->link->apart) /* the twin of a block that stopped at a span goes on */
        f->link = NULL;
}

void check_run(struct tcg_cpu *c)
{
    struct check *k = c->check;
    struct tb *tb;
    int why;

    key_update(c);
    tb = cache_find(c, c->f.link);
    if (!tb) {
        c->f.link = NULL;
        k->device++; /* code that does not lie in memory: the interpreter executes it */
        vcpu_run_block(&c->v);
        return;
    }
    if (!lock(c)) {
        sched_yield(); /* the run loop looks at what is asked of it meanwhile */
        return;
    }
    if (__atomic_load_n(&c->stale_count, __ATOMIC_SEQ_CST) ||
        __atomic_load_n(&c->machine->map.drops, __ATOMIC_SEQ_CST) != c->drops_seen) {
        unlock(c);
        return;
    }
    flags_sync(&c->v);
    k->start = *c->v.x;
    k->pages = 0;
    if (!tb->checked || comes_from_outside(tb->checked)) {
        k->apart++;
    } else {
        why = interpret(c, tb, tb->count);
        if (why == ABANDON_DEVICE)
            k->device++;
        else if (why)
            k->unfinished++;
        else
            k->tb = tb;
    }
    translation(c, tb);
    check_after(c);
}

/* ---- comparing ---- */

#define FIELD(name) {#name, offsetof(struct bp_x86_cpu, name), sizeof(((struct bp_x86_cpu *)0)->name)}
/* Without the pointers of the x87, which the translator does not follow. */
static const struct {
    const char *name;
    size_t at, size;
} fields[] = {
    FIELD(rip), FIELD(seg), FIELD(ldtr), FIELD(tr), FIELD(gdtr), FIELD(idtr), FIELD(cr0), FIELD(cr2), FIELD(cr3),
    FIELD(cr4), FIELD(xcr0), FIELD(xss), FIELD(pkru), FIELD(dr), FIELD(efer), FIELD(fcw), FIELD(fsw), FIELD(fpu_valid),
    FIELD(opmask), FIELD(mxcsr), FIELD(star), FIELD(lstar), FIELD(cstar), FIELD(fmask), FIELD(kernel_gs_base),
    FIELD(tsc_aux), FIELD(sysenter_cs), FIELD(sysenter_esp), FIELD(sysenter_eip), FIELD(halted), FIELD(smm),
    FIELD(nmi_blocked),
};
static const char *const gprs[16] = {"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi",
                                     "r8",  "r9",  "r10", "r11", "r12", "r13", "r14", "r15"};

/* Flags that an instruction leaves undefined. Intel SDM volume 2. */
static uint32_t undefined_by(const struct insn *i)
{
    const uint32_t all_but_zf = F_CF | F_OF | F_SF | F_AF | F_PF, mul = F_SF | F_ZF | F_AF | F_PF;
    unsigned reg = i->modrm >> 3 & 7;

    switch (i->map) {
    case 0:
        switch (i->opcode) {
        case 0xc0: case 0xc1: case 0xd0 ... 0xd3: return F_OF | F_AF | (i->opsize < 4 ? F_CF : 0);
        case 0x69: case 0x6b: return mul;
        case 0xf6: case 0xf7: return reg >= 6 ? F_ARITH : reg >= 4 ? mul : 0;
        }
        return 0;
    case 1:
        switch (i->opcode) {
        case 0xa4: case 0xa5: case 0xac: case 0xad: return F_OF | F_AF | (i->opsize < 4 ? F_ARITH : 0);
        case 0xa3: case 0xab: case 0xb3: case 0xbb: case 0xba: return all_but_zf & ~F_CF;
        case 0xaf: return mul;
        case 0xbc: case 0xbd: return all_but_zf;
        }
        return 0;
    default: return i->prefixes & PREFIX_VEX && (i->opcode & 0xf0) == 0xf0 ? F_AF | F_PF | F_SF | F_OF : 0;
    }
}

/* Of the first `count`: what is undefined at the end; ret_any: at some place. */
static uint32_t undefined_flags(struct tcg_cpu *c, const struct tb *tb, unsigned count, uint32_t *ret_any)
{
    uint32_t now = 0;

    *ret_any = 0;
    c->mode_now = tb->mode;
    for (unsigned n = 0; n < count; n++) {
        uint32_t mine = undefined_by(&tb->checked[n]);

        now = defines_flags(c, &tb->checked[n]) ? mine : now | mine;
        *ret_any |= now;
    }
    return now;
}

enum verdict { EQUAL, UNDEFINED, DIFFERENT };

/* Registers. say: tells them. */
static enum verdict compare_state(struct tcg_cpu *c, uint32_t undefined, bool say)
{
    const struct bp_x86_cpu *a = &c->check->x, *b = c->v.x;
    const uint64_t flags = a->rflags ^ b->rflags;
    enum verdict verdict = flags & ~(uint64_t)undefined ? DIFFERENT : flags ? UNDEFINED : EQUAL;

    for (unsigned n = 0; n < BP_COUNT(gprs); n++) {
        if (a->gpr[n] == b->gpr[n])
            continue;
        verdict = DIFFERENT;
        if (say)
            bp_warn("  %s: interpreter %016" PRIx64 ", translation %016" PRIx64, gprs[n], a->gpr[n], b->gpr[n]);
    }
    if (say && verdict == DIFFERENT && flags & ~(uint64_t)undefined)
        bp_warn("  rflags: interpreter %" PRIx64 ", translation %" PRIx64, a->rflags, b->rflags);
    for (unsigned n = 0; n < BP_COUNT(a->vec); n++) {
        if (!memcmp(&a->vec[n], &b->vec[n], sizeof(a->vec[n])))
            continue;
        verdict = DIFFERENT;
        for (unsigned q = 0; say && q < sizeof(a->vec[n]) / 8; q++) {
            if (a->vec[n].q[q] != b->vec[n].q[q])
                bp_warn("  vector register %u, bits from %u on: interpreter %016" PRIx64 ", translation %016" PRIx64,
                        n, q * 64, a->vec[n].q[q], b->vec[n].q[q]);
        }
    }
    for (unsigned n = 0; n < BP_COUNT(a->fpr); n++) {
        if (a->fpr[n].mantissa == b->fpr[n].mantissa && a->fpr[n].sign_exponent == b->fpr[n].sign_exponent)
            continue;
        verdict = DIFFERENT;
        if (say)
            bp_warn("  x87 register %u: interpreter %04x %016" PRIx64 ", translation %04x %016" PRIx64, n,
                    a->fpr[n].sign_exponent, a->fpr[n].mantissa, b->fpr[n].sign_exponent, b->fpr[n].mantissa);
    }
    for (unsigned n = 0; n < BP_COUNT(fields); n++) {
        const uint8_t *p = (const uint8_t *)a + fields[n].at, *q = (const uint8_t *)b + fields[n].at;
        uint64_t left = 0, right = 0;

        if (!memcmp(p, q, fields[n].size))
            continue;
        verdict = DIFFERENT;
        memcpy(&left, p, fields[n].size < 8 ? fields[n].size : 8);
        memcpy(&right, q, fields[n].size < 8 ? fields[n].size : 8);
        if (say)
            bp_warn("  %s: interpreter %" PRIx64 ", translation %" PRIx64, fields[n].name, left, right);
    }
    return verdict;
}

/* One page; ret_others: bytes that the interpreter left alone have changed. any: flags that may be pushed undefined. */
static enum verdict compare_page(const struct check *k, unsigned n, uint32_t any, bool *ret_others, bool say)
{
    const uint8_t *before = before_of(k, n), *after = after_of(k, n), *now = k->page[n].host;
    enum verdict verdict = EQUAL;

    for (unsigned at = 0; at < PAGE; at += 8) {
        uint64_t a, b, was, wrong = 0;

        memcpy(&a, after + at, 8);
        memcpy(&b, now + at, 8);
        memcpy(&was, before + at, 8);
        if (a == b)
            continue;
        for (unsigned byte = 0; byte < 64; byte += 8) {
            uint64_t mask = UINT64_C(0xff) << byte;

            if (!((a ^ b) & mask))
                continue;
            if ((a ^ was) & mask)
                wrong |= (a ^ b) & mask;
            else
                *ret_others = true;
        }
        if (!wrong)
            continue;
        if (!(wrong & ~(uint64_t)any)) {
            verdict = verdict == EQUAL ? UNDEFINED : verdict;
            continue;
        }
        verdict = DIFFERENT;
        if (say)
            bp_warn("  memory at %016" PRIx64 ": interpreter %016" PRIx64 ", translation %016" PRIx64,
                    k->page[n].lin + at, a, b);
    }
    return verdict;
}

static enum verdict compare(struct tcg_cpu *c, const struct tb *tb, unsigned count, bool *ret_others, bool say)
{
    struct check *k = c->check;
    bool same = !memcmp(&k->x, c->v.x, offsetof(struct bp_x86_cpu, interrupts));
    uint32_t any, undefined;
    enum verdict verdict;

    *ret_others = false;
    for (unsigned n = 0; same && n < k->pages; n++)
        same = !memcmp(after_of(k, n), k->page[n].host, PAGE);
    if (likely(same) && k->x.halted == c->v.x->halted)
        return EQUAL;
    undefined = undefined_flags(c, tb, count, &any);
    verdict = compare_state(c, k->fault ? any : undefined, say);
    for (unsigned n = 0; n < k->pages; n++) {
        enum verdict v = EQUAL;

        if (memcmp(after_of(k, n), k->page[n].host, PAGE))
            v = compare_page(k, n, any, ret_others, say);
        verdict = v > verdict ? v : verdict;
    }
    return verdict;
}

/* Pages as they were; others: with what was written to them beside the block. */
static void pages_reset(struct check *k, bool others)
{
    for (unsigned n = 0; n < k->pages; n++) {
        uint8_t *before = before_of(k, n), *after = after_of(k, n);

        for (unsigned at = 0; others && at < PAGE; at++) {
            if (before[at] == after[at])
                before[at] = k->page[n].host[at];
        }
        memcpy(after, before, PAGE);
    }
}

/* How many instructions the translation executed before it left the block in the middle; count: all, or elsewhere. */
static unsigned executed(const struct tcg_cpu *c, const struct tb *tb)
{
    uint64_t at = c->check->start.rip;

    for (unsigned n = 0; n < tb->count; n++) {
        if (at == c->v.x->rip)
            return n;
        at += tb->checked[n].len;
    }
    return tb->count;
}

static void tell(struct tcg_cpu *c, const struct tb *tb, unsigned count)
{
    char bytes[3 * 64 + 4] = "";
    unsigned shown = tb->bytes < 64 ? tb->bytes : 64;
    bool others;

    for (unsigned n = 0; n < shown; n++)
        snprintf(bytes + n * 3, sizeof(bytes) - n * 3, " %02x", tb->code[n]);
    bp_warn("tcg: check=on: CPU %" PRIu32 ": the translation of the block at %#" PRIx64 " (%u bit, privilege level "
            "%u, %u instructions, %u executed) and the interpreter differ. Its bytes:%s%s", c->v.x->apic_id,
            c->check->start.rip, 16u << (tb->mode & MODE_SIZE),
            tb->mode & MODE_RING0 ? 0 : tb->mode & MODE_USER ? 3 : 1, tb->count, count, bytes,
            shown < tb->bytes ? " ..." : "");
    compare(c, tb, count, &others, true);
}

/* As compare(), of an execution of its own from the beginning. */
static enum verdict again(struct tcg_cpu *c, const struct tb *tb, unsigned count, bool *ret_others)
{
    pages_reset(c->check, false);
    return interpret(c, tb, count) ? DIFFERENT : compare(c, tb, count, ret_others, false);
}

/* With what memory holds now beside what the block writes: does that explain it? So it does when the interpreter itself
 * comes to something else now. */
static bool others_wrote(struct tcg_cpu *c, const struct tb *tb, unsigned part)
{
    struct check *k = c->check;
    bool ignored;

    again(c, tb, tb->count, &ignored);
    k->first = k->x;
    pages_reset(k, true);
    return again(c, tb, tb->count, &ignored) != DIFFERENT ||
           memcmp(&k->first, &k->x, offsetof(struct bp_x86_cpu, interrupts)) ||
           (part < tb->count && again(c, tb, part, &ignored) != DIFFERENT);
}

/* The translation left the block: as the interpreter did? */
static void judge(struct tcg_cpu *c, const struct tb *tb)
{
    struct check *k = c->check;
    unsigned part = tb->count;
    bool others;
    enum verdict v = compare(c, tb, tb->count, &others, false);

    if (v == DIFFERENT && (part = executed(c, tb)) < tb->count) {
        if (part == 0 && repeats(tb->checked)) {
            k->unfinished++; /* in the middle of a string */
            return;
        }
        v = again(c, tb, part, &others);
    }
    if (v != DIFFERENT && !others) {
        k->equal += v == EQUAL;
        k->undefined += v == UNDEFINED;
        return;
    }
    if (others_wrote(c, tb, part)) {
        k->others++;
        return;
    }
    k->failed = true;
    part = part == 0 ? tb->count : part; /* a jump to its own beginning */
    again(c, tb, part, &others);
    tell(c, tb, part);
}

void check_after(struct tcg_cpu *c)
{
    struct check *k = c->check;

    if (k->tb) {
        flags_sync(&c->v);
        judge(c, k->tb);
    }
    unlock(c);
}

/* ---- life ---- */

int check_init(struct tcg_cpu *c, struct bp_error *err)
{
    struct bus bus = {.opaque = c, .lookup = lookup, .read = no_read, .write = no_write, .port_in = no_in,
                      .port_out = no_out};
    struct check *k = calloc(1, sizeof(*k));

    if (!k)
        goto fail;
    k->memory = aligned_alloc(PAGE, CHECK_PAGES * 2 * PAGE);
    k->x = *c->v.x;
    if (!k->memory || vcpu_init(&k->v, &k->x, &bus, NULL))
        goto fail;
    k->v.beside = &c->v;
    k->v.page = page_for;
    c->check = k;
    return 0;
fail:
    if (k)
        free(k->memory);
    free(k);
    return bp_fail(err, ENOMEM, "no memory to check what is translated");
}

void check_free(struct tcg_cpu *c)
{
    if (!c->check)
        return;
    vcpu_deinit(&c->check->v);
    free(c->check->memory);
    free(c->check);
    c->check = NULL;
}

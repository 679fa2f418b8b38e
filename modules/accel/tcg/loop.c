/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run loop: look at what is asked, find or make the block at CS:RIP, enter translated code, look at why it
 * came back.
 */
#include "check.h"
#include "tcg.h"
#include <bp/error.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

/*
 * Entries of the jump cache answer to a key, which stands for what linear addresses mean: an epoch, a mode, and
 * an address space, of which the kernel's code is independent as long as it lies in global pages.
 */
void key_update(struct tcg_cpu *c)
{
    struct vcpu *v = &c->v;
    struct key now, *k;

    c->mode_running = tb_mode(c);
    if (c->kernel_epoch != v->exec_epoch) {
        c->kernel_epoch = v->exec_epoch;
        c->kernel_local = 0;
    }
    now = key_now(c, c->mode_running);
    if (key_use(c, &now))
        return;
    if (++c->key_counter > 0xffff) {
        c->key_counter = 1;
        memset(c->keys, 0, sizeof(c->keys));
        memset(c->f.jump, 0, sizeof(c->f.jump));
    }
    k = &c->keys[c->key_next++ % KEYS];
    *k = now;
    k->key = (uint16_t)c->key_counter;
    c->f.key = k->key;
    c->f.quick = c->quick[k - c->keys];
    memset(c->f.quick, 0, sizeof(c->quick[0]));
    c->f.quick[quick_index(0)].tag = 1; /* which nobody asks for there: all are empty */
}

static void enter(struct tcg_cpu *c, const uint8_t *code)
{
    struct jit_frame *f = &c->f;
    struct vcpu *v = &c->v;

    log_run(c, code);
    f->link = NULL;
    f->page = PAGE_OF(linear_of(v));
    sync_out(c);
    if (!code_enter(c))
        return;
    c->enter((uint8_t *)f + FRAME_BIAS, code);
    code_leave(c);
}

static void run_translated(struct tcg_cpu *c)
{
    struct tb_link *link = c->f.link;
    struct tb *tb;

    key_update(c);
    if (!link && !c->apart && !few_left(c)) {
        const uint8_t *code = jump_code(c, linear_of(&c->v));

        if (code) {
            enter(c, code);
            return;
        }
    }
    tb = cache_find(c, link);
    if (!tb || too_long(c, tb)) {
        c->f.link = NULL;
        vcpu_run_block(&c->v);
        return;
    }
    if (link && c->f.link == link)
        cache_link(c, link, tb);
    enter(c, tb->entry_saved + c->exec_delta);
}

enum bp_cpu_exit tcg_run(struct tcg_cpu *c, const uint32_t *kick)
{
    struct vcpu *v = &c->v;

    v->kick = kick;
    v->attention = 1;
    c->f.link = NULL;
    if (!c->begun)
        cache_begin(c);
    c->begun = 1;
    if (_setjmp(v->jmp)) {
        c->f.link = NULL;
        c->f.budget += v->owed; /* it has not been executed */
        v->owed = 0;
        code_leave(c);
        vcpu_fault(v);
        if (c->check)
            check_after(c);
    }
    for (;;) {
        __atomic_store_n(&c->f.exit_request, 0, __ATOMIC_SEQ_CST);
        if (unlikely(c->check && c->check->failed)) {
            c->check->failed = false; /* whoever lets the machine go on wants that */
            return BP_CPU_EXIT_ERROR;
        }
        if (unlikely(__atomic_load_n(v->kick, __ATOMIC_RELAXED) |
                     __atomic_load_n(&v->x->interrupts, __ATOMIC_RELAXED) | v->attention | vcpu_spent(v))) {
            const bool apart = c->f.link && c->f.link->apart;
            const uint64_t rip = v->x->rip;
            int why;

            c->f.link = NULL;
            why = vcpu_attend(v, v->kick);
            if (why >= 0)
                return (enum bp_cpu_exit)why;
            if (why == ATTEND_AGAIN)
                continue;
            /* An interrupt that has to wait brings us here each time: the block would stop at its span for ever. */
            c->apart = apart && v->x->rip == rip;
        }
        if (unlikely(__atomic_load_n(&c->stale_count, __ATOMIC_RELAXED)))
            stale_heed(c);
        if (unlikely(__atomic_load_n(&c->machine->map.drops, __ATOMIC_RELAXED) != c->drops_seen))
            cache_drop_stale(c);
        if (unlikely(c->check != NULL))
            check_run(c);
        else
            run_translated(c);
    }
}

/* ---- life ---- */

/* Code was dropped: every vCPU looks at its blocks before it goes on. [any] */
static void dropped(struct code_map *map)
{
    struct tcg_machine *m = (struct tcg_machine *)((uint8_t *)map - offsetof(struct tcg_machine, map));

    for (struct tcg_cpu *c = __atomic_load_n(&m->cpus, __ATOMIC_ACQUIRE); c;
         c = __atomic_load_n(&c->next, __ATOMIC_ACQUIRE))
        __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
}

/* Large pages can be put there (cache_begin()); zeroed, and nothing of it is touched. NULL: no memory */
static void *map_aligned(size_t size)
{
    uint8_t *p = mmap(NULL, size + LARGE_PAGE, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    size_t before;

    if (p == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)p % LARGE_PAGE;
    if (before)
        munmap(p, before);
    munmap(p + before + size, LARGE_PAGE - before);
    return p + before;
}

struct tcg_cpu *tcg_cpu_new(struct tcg_machine *m, struct bp_x86_cpu *x, const struct bus *bus, struct bp_error *err)
{
    struct tcg_cpu *c = map_aligned(CPU_BYTES);

    if (!c) {
        bp_fail(err, ENOMEM, "no memory for a vCPU");
        return NULL;
    }
    c->machine = m;
    c->f.x = x;
    c->f.host_mxcsr = 0x1f80;
    m->map.dropped = dropped;
    writers_init(m);
    if (vcpu_init(&c->v, x, bus, &m->map)) {
        bp_fail(err, ENOMEM, "no memory for a vCPU");
        goto fail;
    }
    if (cache_init(c, err)) {
        vcpu_deinit(&c->v);
        goto fail;
    }
    if (m->check && check_init(c, err)) {
        cache_free(c);
        vcpu_deinit(&c->v);
        goto fail;
    }
    c->v.writers = c->writers;
    if (m->counts)
        vcpu_count(&c->v, &c->f.budget);
    c->next = m->cpus;
    __atomic_store_n(&m->cpus, c, __ATOMIC_RELEASE);
    return c;
fail:
    munmap(c, CPU_BYTES);
    return NULL;
}

/* Its `next` stays, for those who are at it. */
void tcg_cpu_hide(struct tcg_cpu *c)
{
    struct tcg_cpu **link = &c->machine->cpus;

    while (*link && *link != c)
        link = &(*link)->next;
    if (*link)
        __atomic_store_n(link, c->next, __ATOMIC_RELEASE);
}

void tcg_cpu_free(struct tcg_cpu *c)
{
    tcg_cpu_hide(c);
    check_free(c);
    cache_free(c);
    vcpu_deinit(&c->v);
    munmap(c, CPU_BYTES);
}

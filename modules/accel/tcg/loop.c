/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run loop: look at what is asked, find or make the block at CS:RIP, enter translated code, look at why it
 * came back. Code that is not 64-bit runs on the interpreter.
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
    uint32_t mode = tb_mode(c);
    struct key now = {.epoch = v->exec_epoch, .mode = mode}, *k;

    c->mode_running = mode;
    if (c->kernel_epoch != v->exec_epoch) {
        c->kernel_epoch = v->exec_epoch;
        c->kernel_local = 0;
    }
    if (mode & MODE_USER || c->kernel_local)
        now.generation = (uint16_t)v->asid_generation;
    for (unsigned n = 0; n < KEYS; n++) {
        k = &c->keys[(c->key_last + n) % KEYS];
        if (k->epoch == now.epoch && k->mode == now.mode && k->generation == now.generation && k->key) {
            c->key_last += n;
            c->f.key = k->key;
            return;
        }
    }
    if (++c->key_counter > 0xffff) {
        c->key_counter = 1;
        memset(c->keys, 0, sizeof(c->keys));
        memset(c->f.jump, 0, sizeof(c->f.jump));
    }
    k = &c->keys[c->key_next++ % KEYS];
    *k = now;
    k->key = (uint16_t)c->key_counter;
    c->f.key = k->key;
}

static void enter(struct tcg_cpu *c, const uint8_t *code)
{
    struct jit_frame *f = &c->f;
    struct vcpu *v = &c->v;

    log_run(c, code);
    f->link = NULL;
    f->page = PAGE_OF(v->x->rip);
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
    if (!link && !few_left(c)) {
        const uint8_t *code = jump_code(c, c->v.x->rip);

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
            int why;

            c->f.link = NULL;
            why = vcpu_attend(v, v->kick);
            if (why >= 0)
                return (enum bp_cpu_exit)why;
            if (why == ATTEND_AGAIN)
                continue;
        }
        if (unlikely(__atomic_load_n(&c->stale_count, __ATOMIC_RELAXED)))
            stale_heed(c);
        if (unlikely(__atomic_load_n(&c->machine->map.drops, __ATOMIC_RELAXED) != c->drops_seen))
            cache_drop_stale(c);
        if (unlikely(c->check != NULL) && v->long64) {
            check_run(c);
        } else if (v->long64) {
            run_translated(c);
        } else {
            c->f.link = NULL;
            vcpu_run_block(v);
        }
    }
}

/* ---- life ---- */

/* Code was dropped: every vCPU looks at its blocks before it goes on. [any] */
static void dropped(struct code_map *map)
{
    struct tcg_machine *m = (struct tcg_machine *)((uint8_t *)map - offsetof(struct tcg_machine, map));

    for (struct tcg_cpu *c = __atomic_load_n(&m->cpus, __ATOMIC_ACQUIRE); c; c = c->next)
        __atomic_store_n(&c->f.exit_request, 1, __ATOMIC_SEQ_CST);
}

struct tcg_cpu *tcg_cpu_new(struct tcg_machine *m, struct bp_x86_cpu *x, const struct bus *bus, struct bp_error *err)
{
    struct tcg_cpu *c = mmap(NULL, sizeof(*c), PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (c == MAP_FAILED) {
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
    munmap(c, sizeof(*c));
    return NULL;
}

void tcg_cpu_free(struct tcg_cpu *c)
{
    struct tcg_cpu **link;

    for (link = &c->machine->cpus; *link; link = &(*link)->next) {
        if (*link == c) {
            *link = c->next;
            break;
        }
    }
    check_free(c);
    cache_free(c);
    vcpu_deinit(&c->v);
    munmap(c, sizeof(*c));
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cache of translated blocks: by the host memory that the code lies in and its mode, so that it is the
 * same at every linear address. Chained jumps stay inside a page; from page to page one goes through the jump
 * cache, whose tags hold a key that changes with the address space. When a page is written its blocks become
 * invalid and their exits are unchained; a block whose bytes turn out to be the same comes back.
 */
#include "tcg.h"
#include <bp/error.h>
#include <bp/exact/cpu.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older ones leave what was touched before in small pages */
#endif
#define DEFAULT_MIB 64u
#define WORDS (1u << CODE_MAP_BITS)

static void *map(size_t size, int prot)
{
    void *p = mmap(NULL, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

/* Code is written through one mapping and executed through another; neither allows both. */
static void map_twice(struct tcg_cpu *c)
{
    int fd = memfd_create("translated code", MFD_CLOEXEC);
    uint8_t *exec;

    if (fd < 0 || ftruncate(fd, (off_t)c->buffer_size) < 0)
        goto out;
    c->buffer = mmap(NULL, c->buffer_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    exec = mmap(NULL, c->buffer_size, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    if (c->buffer == MAP_FAILED || exec == MAP_FAILED) {
        if (c->buffer != MAP_FAILED)
            munmap(c->buffer, c->buffer_size);
        if (exec != MAP_FAILED)
            munmap(exec, c->buffer_size);
        c->buffer = NULL;
        goto out;
    }
    c->exec_delta = exec - c->buffer;
out:
    if (fd >= 0)
        close(fd);
}

int cache_init(struct tcg_cpu *c, struct bp_error *err)
{
    c->buffer_size = (size_t)(c->machine->tb_size ? c->machine->tb_size : DEFAULT_MIB) << 20;
    c->arena_size = c->buffer_size;
    if (c->machine->split_wx)
        map_twice(c);
    else
        c->buffer = map(c->buffer_size, PROT_READ | PROT_WRITE | PROT_EXEC);
    c->arena = map(c->arena_size, PROT_READ | PROT_WRITE);
    c->page_head = map(WORDS * sizeof(*c->page_head), PROT_READ | PROT_WRITE);
    c->page_generation = map(WORDS * sizeof(*c->page_generation), PROT_READ | PROT_WRITE);
    c->pages = map(WORDS * sizeof(*c->pages), PROT_READ | PROT_WRITE);
    c->writers = map(WORDS * sizeof(*c->writers), PROT_READ | PROT_WRITE);
    if (!c->writers || !c->buffer || !c->arena || !c->page_head || !c->page_generation || !c->pages) {
        cache_free(c);
        return bp_fail(err, ENOMEM, "no memory for translated code (tb-size=%zu MiB)", c->buffer_size >> 20);
    }
    thunks_make(c); /* the rest stays untouched until something runs: start-up time */
    c->at = c->buffer + THUNK_BYTES;
    return 0;
}

/* Large pages where the host has them: fewer faults, and code that is spread finds its way sooner. What is in use
 * already stays as it is; before something runs nothing is asked for. Of many processors most do little: they would
 * have 8 MiB each that they hardly use. */
#define MANY 64u
void cache_begin(struct tcg_cpu *c)
{
    unsigned count = 0;

    for (const struct tcg_cpu *p = __atomic_load_n(&c->machine->cpus, __ATOMIC_ACQUIRE); p && count <= MANY;
         p = __atomic_load_n(&p->next, __ATOMIC_ACQUIRE))
        count++;
    if (count > MANY)
        return;
    if (!c->exec_delta)
        madvise(c->buffer, c->buffer_size, MADV_HUGEPAGE);
    madvise(c->arena, c->arena_size, MADV_HUGEPAGE);
    /* The TLB and the tables of blocks are looked at everywhere. */
    madvise(c, CPU_BYTES, MADV_HUGEPAGE);
    madvise(c, CPU_BYTES, MADV_COLLAPSE);
}

static void unmap(void *p, size_t size)
{
    if (p)
        munmap(p, size);
}

void cache_free(struct tcg_cpu *c)
{
    if (c->exec_delta)
        unmap(c->buffer + c->exec_delta, c->buffer_size);
    unmap(c->buffer, c->buffer_size);
    unmap(c->arena, c->arena_size);
    unmap(c->page_head, WORDS * sizeof(*c->page_head));
    unmap(c->page_generation, WORDS * sizeof(*c->page_generation));
    unmap(c->pages, WORDS * sizeof(*c->pages));
    unmap(c->writers, WORDS * sizeof(*c->writers));
    c->buffer = c->arena = NULL;
}

/* No entry of the jump cache has a key that is to come. */
static void jumps_forget(struct tcg_cpu *c)
{
    memset(c->keys, 0, sizeof(c->keys));
    key_update(c);
}

void cache_flush(struct tcg_cpu *c)
{
    for (uint32_t n = 0; n < c->page_count; n++)
        c->page_head[c->pages[n]] = NULL;
    c->page_count = 0;
    c->crossing = NULL;
    memset(c->hash, 0, sizeof(c->hash));
    jumps_forget(c);
    c->f.link = NULL;
    c->at = c->buffer + THUNK_BYTES;
    c->arena_used = 0;
    c->flushes++;
}

void *cache_alloc(struct tcg_cpu *c, size_t size)
{
    void *p = c->arena + c->arena_used;

    size = (size + 15) & ~(size_t)15;
    if (c->arena_used + size > c->arena_size)
        return NULL;
    c->arena_used += size;
    return p;
}

/* ---- pages that are written ---- */

/* The jump's rel32; this vCPU is not in translated code. */
static void aim(uint8_t *site, const uint8_t *target)
{
    __atomic_store_n((uint32_t *)site, (uint32_t)(target - (site + 4)), __ATOMIC_RELAXED);
}

static void unchain(struct tb *tb)
{
    for (unsigned n = 0; n < 2; n++) {
        if (tb->link[n].site)
            aim(tb->link[n].site, tb->link[n].stub);
    }
    for (unsigned n = 0; n < tb->apart_count; n++)
        aim(tb->apart[n].site, tb->apart[n].stub);
}

static bool drop_crossing(struct tcg_cpu *c)
{
    bool any = false;

    for (struct tb **link = &c->crossing, *tb; (tb = *link);) {
        if (__atomic_load_n(&c->v.code_words[tb->index2], __ATOMIC_RELAXED) != tb->generation2 || !tb->valid) {
            tb->valid = 0;
            unchain(tb);
            *link = tb->crossing_next;
            any = true;
        } else {
            link = &tb->crossing_next;
        }
    }
    return any;
}

void cache_drop_stale(struct tcg_cpu *c)
{
    uint32_t kept = 0;
    bool any = false;

    c->drops_seen = __atomic_load_n(&c->machine->map.drops, __ATOMIC_ACQUIRE);
    for (uint32_t n = 0; n < c->page_count; n++) {
        uint32_t index = c->pages[n];

        if (__atomic_load_n(&c->v.code_words[index], __ATOMIC_RELAXED) == c->page_generation[index]) {
            c->pages[kept++] = index;
            continue;
        }
        for (struct tb *tb = c->page_head[index]; tb; tb = tb->page_next) {
            tb->valid = tb->listed = 0;
            unchain(tb);
        }
        c->page_head[index] = NULL;
        c->invalidated++;
        any = true;
    }
    c->page_count = kept;
    any |= drop_crossing(c);
    if (any) {
        jumps_forget(c);
        c->f.link = NULL;
    }
}

static void page_add(struct tcg_cpu *c, struct tb *tb, uint32_t generation)
{
    if (!c->page_head[tb->index]) {
        c->pages[c->page_count++] = tb->index;
        c->page_generation[tb->index] = generation;
    }
    if (!tb->listed) {
        tb->page_next = c->page_head[tb->index];
        c->page_head[tb->index] = tb;
        tb->listed = 1;
    }
    tb->valid = 1;
}

/* ---- finding ---- */

static struct tb **bucket(struct tcg_cpu *c, const uint8_t *host)
{
    return &c->hash[((uintptr_t)host ^ (uintptr_t)host >> 16) % TB_HASH];
}

/* Where the page behind this one lies; NULL: not in RAM. Raises fetch faults. */
static const uint8_t *next_page(struct tcg_cpu *c)
{
    uint64_t next = PAGE_OF(linear_of(&c->v)) + PAGE;
    uint64_t phys = exec_phys(&c->v, c->v.long64 ? next : (uint32_t)next);

    return phys_lookup(&c->v, phys)->host;
}

static void page_use(struct tcg_cpu *c, struct tb *tb, uint32_t generation)
{
    if (c->page_head[tb->index] && c->page_generation[tb->index] != generation)
        cache_drop_stale(c);
    page_add(c, tb, generation);
    if (tb->host2) {
        tb->crossing_next = c->crossing;
        c->crossing = tb;
    }
}

/* The page was written: is the block still what memory says? */
static bool comes_back(struct tcg_cpu *c, struct tb *tb)
{
    uint32_t generation = code_begin(&c->v, tb->index);
    unsigned here = tb->host2 ? tb->first : tb->bytes;

    if (tb->host2) {
        drop_crossing(c); /* it is in the list perhaps */
        tb->generation2 = code_begin(&c->v, tb->index2);
    }
    if (memcmp(tb->host, tb->code, here) || (tb->host2 && memcmp(tb->host2, tb->code + here, tb->bytes - here)))
        return false;
    page_use(c, tb, generation);
    return true;
}

static struct tb *look(struct tcg_cpu *c, const uint8_t *host, uint32_t mode)
{
    const uint8_t *host2 = NULL;
    struct tb **head = bucket(c, host);

    for (struct tb **link = head, *tb; (tb = *link); link = &tb->hash_next) {
        if (tb->host != host || tb->mode != mode)
            continue;
        if (tb->host2) {
            if (memcmp(host, tb->code, tb->first)) /* what does not cross any more asks for no page */
                continue;
            if (!host2)
                host2 = next_page(c);
            if (tb->host2 != host2)
                continue;
        }
        if (tb->valid || comes_back(c, tb)) {
            *link = tb->hash_next;
            tb->hash_next = *head;
            *head = tb; /* what is used again is found first */
            return tb;
        }
    }
    return NULL;
}

static struct tb *make(struct tcg_cpu *c, const uint8_t *host, uint64_t linear, uint32_t mode)
{
    uint32_t generation, generation2 = 0;
    const uint8_t *host2 = NULL;
    struct tb *tb, **head;

    if (c->at + MAX_TB_CODE > c->buffer + c->buffer_size || c->arena_used + MAX_TB_CODE > c->arena_size)
        cache_flush(c);
    generation = code_begin(&c->v, code_index(host));
    tb = translate(c, host, NULL, linear, mode);
    if (!tb && (linear & 0xfff) > PAGE - 15) {
        host2 = next_page(c);
        if (!host2)
            return NULL;
        generation2 = code_begin(&c->v, code_index(host2));
        tb = translate(c, host, host2, linear, mode);
    }
    if (!tb)
        return NULL;
    tb->index = code_index(host);
    tb->index2 = host2 ? code_index(host2) : 0;
    tb->generation2 = generation2;
    head = bucket(c, host);
    tb->hash_next = *head;
    *head = tb;
    page_use(c, tb, generation);
    return tb;
}

struct tb *cache_find(struct tcg_cpu *c, const struct tb_link *link)
{
    struct vcpu *v = &c->v;
    uint64_t linear = linear_of(v), phys;
    uint32_t mode = tb_mode(c) | (c->apart || (link && link->apart) ? MODE_APART : 0);
    const uint8_t *host;
    struct tb *tb;

    v->cur = NULL;
    c->apart = 0;
    if (is_legacy(mode)) {
        v->x->rip = (uint32_t)v->x->rip;
        if (legacy_beyond(v, 1))
            return NULL;
        mode |= legacy_page_mode(v, linear);
    }
    phys = exec_phys(v, linear);
    host = phys_lookup(v, phys)->host;
    if (!host)
        return NULL;
    host += phys % PAGE;
    tb = look(c, host, mode);
    if (!tb)
        tb = make(c, host, linear, mode);
    if (!tb || (is_legacy(mode) && legacy_beyond(v, tb->bytes)))
        return NULL;
    exec_note(v, linear);
    if (tb->host2)
        exec_note(v, v->long64 ? linear + PAGE : (uint32_t)(linear + PAGE));
    if (!(mode & MODE_USER) && !c->kernel_local && !(tlb_at(v, TLB_EXEC, linear)->flags & TLB_GLOBAL)) {
        c->kernel_local = 1;
        key_update(c);
    }
    if (!has_tag(linear) || mode & (MODE_NOCHAIN | MODE_APART))
        return tb;
    jump_note(c, linear, tb->entry_saved + c->exec_delta);
    return tb;
}

void cache_link(struct tcg_cpu *c, struct tb_link *from, struct tb *to)
{
    const uint8_t *target = from->to_saved ? to->entry_saved : to->entry_host;

    if (!from->owner->valid || PAGE_OF((uintptr_t)from->owner->host) != PAGE_OF((uintptr_t)to->host) ||
        (from->owner->mode ^ to->mode) & ~MODE_APART || to->mode & MODE_NOCHAIN)
        return;
    if (to->host2) { /* where it goes on depends on the address space */
        if (c->at + MAX_TB_CODE > c->buffer + c->buffer_size)
            return;
        target = translate_probe(c, (int64_t)((uintptr_t)to->host & 0xfff), from->to_saved);
    }
    if (from->backward && !to->host2) {
        target = to->entry_poll;
        if (to->live && !from->to_saved) {
            aim(from->save_site, target);
            target = from->save;
        }
    }
    aim(from->site, target);
}

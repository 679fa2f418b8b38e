/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The cache of decoded blocks. A block is a straight run of instructions inside one page, known by
 * the host memory that it lies in and its mode (the map may change what a physical address means).
 * Each entry compares the page's word in the code map with the one seen when it was decoded, so that
 * writes by anybody are noticed. An instruction that crosses a page is a block of its own whose
 * bytes are compared each time.
 */
#include "vcpu.h"
#include <bp/exact/cpu.h>
#include <bp/log.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SCRATCH_INSNS 1

static uint8_t *code_of(struct block *b)
{
    return (uint8_t *)&b->insn[b->count];
}

int blocks_init(struct vcpu *v)
{
    v->scratch = calloc(1, sizeof(struct block) + SCRATCH_INSNS * sizeof(struct insn) + 16);
    return v->scratch ? 0 : -ENOMEM;
}

void blocks_free(struct vcpu *v)
{
    for (unsigned n = 0; n < v->chunk_count; n++)
        free(v->chunk[n]);
    free(v->scratch);
}

void blocks_drop(struct vcpu *v)
{
    memset(v->hash, 0, sizeof(v->hash));
    memset(v->jump, 0, sizeof(v->jump));
    v->prev = NULL;
    v->chunk_at = 0;
    v->chunk_used = 0;
}

/* Room for a block; NULL only when the host has no memory at all. */
static struct block *allocate(struct vcpu *v, size_t size)
{
    struct block *b;

    size = (size + 63) & ~(size_t)63;
    if (v->chunk_at < v->chunk_count && v->chunk_used + size > CHUNK_BYTES) {
        v->chunk_at++;
        v->chunk_used = 0;
    }
    if (v->chunk_at == MAX_CHUNKS)
        blocks_drop(v);
    if (v->chunk_at == v->chunk_count) {
        uint8_t *memory = aligned_alloc(64, CHUNK_BYTES);

        if (memory) {
            v->chunk[v->chunk_count++] = memory;
        } else {
            if (v->chunk_count == 0)
                return NULL;
            blocks_drop(v);
        }
    }
    b = (struct block *)(v->chunk[v->chunk_at] + v->chunk_used);
    v->chunk_used += size;
    return b;
}

static struct block **bucket(struct vcpu *v, const uint8_t *host)
{
    return &v->hash[((uintptr_t)host ^ (uintptr_t)host >> 14) % HASH_SIZE];
}

/* Bytes of physical memory; through the bus where it is not RAM. */
static void fetch(struct vcpu *v, uint64_t phys, uint8_t *buf, unsigned n)
{
    const struct phys_page *p = phys_lookup(v, phys);

    for (unsigned k = 0; k < n; k++)
        buf[k] = p->host ? p->host[(phys + k) % PAGE] : (uint8_t)v->bus.read(v->bus.opaque, phys + k, 1);
}

static void log_code(const struct vcpu *v, uint64_t lin, const uint8_t *bytes, unsigned count)
{
    if (bp_log_on(BP_LOG_IN_ASM) && v->x->cpu)
        bp_cpu_log_code(v->x->cpu, 16u << (v->mode & MODE_SIZE), lin, bytes, count);
}

/* One instruction that is decoded anew each time: it crosses a page, or comes from I/O space. */
static struct block *uncached(struct vcpu *v, uint64_t lin, uint64_t phys)
{
    unsigned first = PAGE - (unsigned)(phys % PAGE);
    struct block *b = v->scratch;
    uint8_t bytes[15];
    struct code_bytes code = {bytes, first < 15 ? first : 15};

    fetch(v, phys, bytes, code.avail);
    if (decode(v, &code, &b->insn[0]) == DECODE_MORE) {
        uint64_t next = PAGE_OF(lin) + PAGE;

        if (!v->long64)
            next = (uint32_t)next;
        fetch(v, exec_phys(v, next), bytes + first, 15 - first);
        code.avail = 15;
        decode(v, &code, &b->insn[0]);
    }
    b->count = 1;
    b->bytes = b->insn[0].len;
    log_code(v, lin, bytes, b->bytes);
    b->mode = v->mode;
    b->generation = 0;
    b->word = &b->generation;
    b->succ[0] = b->succ[1] = NULL;
    b->host = NULL;
    return b;
}

uint32_t code_begin(struct vcpu *v, uint32_t index)
{
    uint32_t before = __atomic_fetch_or(&v->code_words[index], CODE_CACHED, __ATOMIC_SEQ_CST);
    uint32_t seen = before | CODE_CACHED, settled = seen | CODE_SETTLED;

    if (v->code_map->cached && !(before & CODE_SETTLED))
        v->code_map->cached(v->code_map, v, index);
    if (seen == settled)
        return settled;
    /* A writer that did not see the flag has its write in memory behind this. Nobody who comes later may
     * rely on it before: hence the second flag. */
    if (__atomic_load_n(&v->code_map->users, __ATOMIC_RELAXED) > 1)
        syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
    /* When the page was written meanwhile, the block will not be current, and is looked at again. */
    __atomic_compare_exchange_n(&v->code_words[index], &seen, settled, false, __ATOMIC_SEQ_CST,
                                __ATOMIC_RELAXED);
    return settled;
}

static struct block *make(struct vcpu *v, uint64_t lin, const uint8_t *host)
{
    uint32_t index = code_index(host);
    unsigned avail = PAGE - (unsigned)((uintptr_t)host % PAGE), at = 0, count = 0;
    uint8_t bytes[MAX_BLOCK * 15]; /* read once: others may write meanwhile */
    uint32_t generation = code_begin(v, index);
    struct block *b, **head;

    avail = avail < sizeof(bytes) ? avail : sizeof(bytes);
    memcpy(bytes, host, avail);
    while (count < MAX_BLOCK && at < avail) {
        struct code_bytes code = {bytes + at, avail - at};
        enum decode_result r = decode(v, &code, &v->decoded[count]);

        if (r == DECODE_MORE)
            break;
        at += v->decoded[count++].len;
        if (r == DECODE_END || v->mode & MODE_SINGLE)
            break;
    }
    if (count == 0)
        return NULL;
    b = allocate(v, sizeof(*b) + count * sizeof(struct insn) + at);
    if (!b)
        return NULL;
    b->succ[0] = b->succ[1] = NULL;
    b->bytes = (uint16_t)at;
    b->count = (uint16_t)count;
    b->mode = v->mode;
    b->generation = generation;
    b->word = &v->code_words[index];
    b->host = host;
    memcpy(b->insn, v->decoded, count * sizeof(struct insn));
    memcpy(code_of(b), bytes, at);
    head = bucket(v, host);
    b->hash_next = *head;
    *head = b;
    log_code(v, lin, bytes, at);
    return b;
}

static bool is_current(const struct block *b)
{
    return __atomic_load_n(b->word, __ATOMIC_RELAXED) == b->generation;
}

/* The page was written: is the block still what memory says? */
static bool revalidate(struct vcpu *v, struct block *b)
{
    uint32_t index = (uint32_t)(b->word - v->code_words);
    uint32_t generation = code_begin(v, index);

    if (memcmp(b->host, code_of(b), b->bytes))
        return false;
    b->generation = generation;
    return true;
}

static void check_limit(struct vcpu *v, struct block **b, uint64_t lin, uint64_t phys)
{
    uint64_t limit = v->x->seg[BP_CS].limit;

    if (v->x->rip > limit)
        raise_exception_code(v, EXC_GP, 0);
    if (v->x->rip + (*b)->bytes - 1 <= limit)
        return;
    *b = uncached(v, lin, phys);
    if (v->x->rip + (*b)->bytes - 1 > limit)
        raise_exception_code(v, EXC_GP, 0);
}

static struct block *find(struct vcpu *v, uint64_t lin, uint64_t phys)
{
    const uint8_t *host = phys_lookup(v, phys)->host;
    struct block **link, *b;

    if (!host)
        return uncached(v, lin, phys);
    host += phys % PAGE;
    for (link = bucket(v, host); (b = *link); link = &b->hash_next) {
        if (b->host != host || b->mode != v->mode)
            continue;
        if (is_current(b) || revalidate(v, b))
            return b;
        *link = b->hash_next;
        break;
    }
    b = make(v, lin, host);
    return b ? b : uncached(v, lin, phys);
}

static struct block *find_slow(struct vcpu *v, uint64_t lin, struct jump_entry *e)
{
    struct block *b;
    uint64_t phys;

    v->cur = NULL; /* a fault belongs to no instruction */
    v->prev = NULL;
    if (v->mode & MODE_LIMITED && v->x->rip > v->x->seg[BP_CS].limit)
        raise_exception_code(v, EXC_GP, 0);
    phys = exec_phys(v, lin);
    b = find(v, lin, phys);
    if (b != v->scratch) {
        e->linear = lin;
        e->key = v->jump_key | v->mode;
        e->block = b;
    }
    if (v->mode & MODE_LIMITED)
        check_limit(v, &b, lin, phys);
    return b;
}

struct block *block_next(struct vcpu *v)
{
    uint64_t lin = v->cs_base + v->x->rip;
    struct block *prev = v->prev, *b;
    struct jump_entry *e;

    if (!v->long64) {
        v->x->rip = (uint32_t)v->x->rip;
        lin = (uint32_t)lin;
    }
    e = &v->jump[(lin ^ lin >> 12) % JUMP_SIZE];
    if (prev && PAGE_OF(v->prev_linear ^ lin) == 0 && prev->mode == v->mode && !(v->mode & MODE_LIMITED)) {
        unsigned off = lin & 0xfff;

        for (unsigned k = 0; k < 2; k++) {
            b = prev->succ[k];
            if (b && prev->succ_offset[k] == off && is_current(b))
                goto found;
        }
        if (e->linear == lin && e->key == (v->jump_key | v->mode) && is_current(e->block)) {
            unsigned k = prev->succ[0] && is_current(prev->succ[0]);

            b = e->block;
            prev->succ[k] = b;
            prev->succ_offset[k] = (uint16_t)off;
            goto found;
        }
    } else if (e->linear == lin && e->key == (v->jump_key | v->mode) && is_current(e->block) &&
               !(v->mode & MODE_LIMITED)) {
        b = e->block;
        goto found;
    }
    b = find_slow(v, lin, e);
found:
    if (unlikely(bp_log_on(BP_LOG_EXEC | BP_LOG_CPU)) && v->x->cpu)
        bp_cpu_log_run(v->x->cpu, b, lin, v->mode);
    v->prev = b == v->scratch ? NULL : b;
    v->prev_linear = lin;
    return b;
}

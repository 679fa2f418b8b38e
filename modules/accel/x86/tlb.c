/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The software TLB and the slow paths of memory accesses: refills, I/O, accesses that cross a page,
 * code pages, watched pages. A flush starts a new generation; entries of a PCID come back to life
 * with their generation, global ones are carried over when they are missed. Intel SDM volume 3, 4.10.
 */
#include "paging.h"
#include <string.h>

static unsigned set_of(const struct vcpu *v)
{
    return (unsigned)(v->mmu - v->sets);
}

static void drop_code(struct code_map *map, uint32_t index)
{
    uint32_t *word = &map->word[index];
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);

    for (;;) {
        if (!(old & CODE_CACHED))
            return;
        if (__atomic_compare_exchange_n(word, &old, (old & ~CODE_FLAGS) + CODE_FLAGS + 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
            break;
    }
    __atomic_fetch_add(&map->drops, 1, __ATOMIC_SEQ_CST);
    if (map->dropped)
        map->dropped(map);
}

void code_invalidate(struct vcpu *v, uint32_t index)
{
    drop_code(v->code_map, index);
    /* The rest of the running block may be what was just changed. */
    end_block(v);
}

bool code_written(struct code_map *map, const uint8_t *host, uint64_t length)
{
    uint32_t first = code_index(host), index;
    uint64_t pages = (((uintptr_t)host & 0xfff) + length + 0xfff) >> 12;
    bool found = false;

    if (pages > BP_COUNT(map->word))
        pages = BP_COUNT(map->word);
    for (uint64_t n = 0; n < pages; n++) {
        index = (first + (uint32_t)n) % BP_COUNT(map->word);
        if (__atomic_load_n(&map->word[index], __ATOMIC_RELAXED) & CODE_CACHED) {
            drop_code(map, index);
            found = true;
        }
    }
    return found;
}

/* What the other one's TLB says, which may be older than the tables, else the tables; NULL: no RAM. */
static uint8_t *page_beside(struct vcpu *v, unsigned kind, uint64_t lin)
{
    const struct vcpu *o = v->beside;
    const struct tlb_entry *e = &o->sets[set_of(v)].e[kind][(lin >> 12) % TLB_SIZE];
    struct walk w = {.lin = lin, .kind = kind, .set = set_of(v)};
    uint64_t page = PAGE_OF(lin);
    const struct phys_page *p;

    if (PAGE_OF(e->tag) == page && e->tag & 0xfff &&
        ((e->tag & 0xfff) == o->asid_generation ||
         (e->flags & TLB_GLOBAL && e->flags >> 16 == o->global_generation)))
        return (uint8_t *)(page + e->addend);
    page_walk(v, &w);
    p = phys_lookup(v, w.phys);
    return kind == TLB_WRITE && p->readonly ? NULL : p->host;
}

static struct tlb_entry *fill_beside(struct vcpu *v, unsigned kind, uint64_t lin)
{
    struct tlb_entry *e = tlb_at(v, kind, lin);
    uint8_t *host = page_beside(v, kind, lin);

    if (!host)
        return NULL;
    host = v->page(v, host, PAGE_OF(lin), kind == TLB_WRITE);
    *e = (struct tlb_entry){.addend = (uintptr_t)host - PAGE_OF(lin), .dirty = &v->no_dirty,
                            .tag = PAGE_OF(lin) | v->asid_generation};
    v->tlb_used = 1;
    return e;
}

static struct tlb_entry *fill(struct vcpu *v, unsigned kind, uint64_t lin)
{
    struct tlb_entry *e = tlb_at(v, kind, lin);
    struct walk w = {.lin = lin, .kind = kind, .set = set_of(v)};
    const struct phys_page *p;
    uint64_t page = PAGE_OF(lin);

    if (unlikely(v->beside != NULL))
        return fill_beside(v, kind, lin);
    /* A global entry of another generation is still good. */
    if (PAGE_OF(e->tag) == page && e->tag & 0xfff && e->flags & TLB_GLOBAL &&
        e->flags >> 16 == v->global_generation) {
        e->tag = page | v->asid_generation;
        return e;
    }
    page_walk(v, &w);
    p = phys_lookup(v, w.phys);
    if (kind != TLB_EXEC && debug_page_watched(v, page))
        return NULL;
    if (!p->host && kind != TLB_EXEC)
        return NULL;
    if (kind == TLB_WRITE && p->readonly)
        return NULL;
    e->code = code_index(p->host);
    e->addend = (uintptr_t)p->host - page;
    if (kind == TLB_EXEC)
        e->phys = w.phys;
    else
        e->dirty = p->dirty ? p->dirty : &v->no_dirty;
    e->flags = (w.global ? TLB_GLOBAL : 0) | (w.large ? TLB_LARGE : 0) |
               (uint32_t)v->global_generation << 16;
    if (w.large) {
        v->large[page >> 36 & 63] |= (uint64_t)1 << (page >> 30 & 63);
    }
    e->tag = page | v->asid_generation;
    v->tlb_used = 1;
    /* Code pages have no lasting entry to write through: translated code does not look. */
    if (kind == TLB_WRITE)
        writer_note(v, e);
    if (kind == TLB_WRITE && __atomic_load_n(&v->code_words[e->code], __ATOMIC_SEQ_CST) & CODE_CACHED)
        e->tag = 0;
    return e;
}

uint64_t exec_phys(struct vcpu *v, uint64_t lin)
{
    struct tlb_entry *e = tlb_at(v, TLB_EXEC, lin);

    if (v->long64 && !is_canonical(v, lin))
        raise_exception_code(v, EXC_GP, 0);
    if (!tlb_hit(v, e, lin, 1))
        e = fill(v, TLB_EXEC, lin);
    return e->phys | (lin & 0xfff);
}

/* Physical address for an access that has no direct way. */
static uint64_t translate(struct vcpu *v, unsigned kind, uint64_t lin)
{
    struct walk w = {.lin = lin, .kind = kind, .set = set_of(v)};

    page_walk(v, &w);
    return w.phys | (lin & 0xfff);
}

static void check_linear(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    const struct bp_x86_cpu *x = v->x;

    if (v->long64 && (!is_canonical(v, lin) || !is_canonical(v, lin + size - 1)))
        raise_exception_code(v, seg == BP_SS ? EXC_SS : EXC_GP, 0);
    if (v->cpl == 3 && lin & (size - 1) && x->cr0 & CR0_AM && x->rflags & F_AC && v->mmu == &v->sets[MMU_USER])
        raise_exception_code(v, EXC_AC, 0);
}

static uint64_t linear_wrap(const struct vcpu *v, uint64_t lin)
{
    return is_long(v) ? lin : (uint32_t)lin;
}

static uint64_t load_in_page(struct vcpu *v, uint64_t lin, unsigned size)
{
    struct tlb_entry *e = tlb_at(v, TLB_READ, lin);
    uint64_t value = 0, phys;
    const struct phys_page *p;

    if (!tlb_hit(v, e, lin, size))
        e = fill(v, TLB_READ, lin);
    if (e) {
        switch (size) { /* one access each, so that other vCPUs see it whole */
        case 1: return *(volatile any8 *)(lin + e->addend);
        case 2: return *(volatile any16 *)(lin + e->addend);
        case 4: return *(volatile any32 *)(lin + e->addend);
        case 8: return *(volatile any64 *)(lin + e->addend);
        }
        memcpy(&value, (void *)(lin + e->addend), size);
        return value;
    }
    phys = translate(v, TLB_READ, lin);
    p = phys_lookup(v, phys);
    if (p->host) { /* a watched page */
        memcpy(&value, p->host + phys % PAGE, size);
        debug_data(v, lin, size, false);
        return value;
    }
    for (unsigned done = 0; done < size;) {
        unsigned n = size - done >= 8 && !(phys & 7) ? 8 : size - done >= 4 && !(phys & 3) ? 4 :
                     size - done >= 2 && !(phys & 1) ? 2 : 1;

        if (size == 2 || size == 4 || size == 8) /* the machine splits what is not aligned */
            n = size;
        value |= (v->bus.read(v->bus.opaque, phys, n) & size_mask(n)) << (done * 8);
        done += n;
        phys += n;
    }
    return value;
}

static void store_in_page(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size)
{
    struct tlb_entry *e = tlb_at(v, TLB_WRITE, lin);
    const struct phys_page *p;
    uint64_t phys;

    if (!tlb_hit(v, e, lin, size))
        e = fill(v, TLB_WRITE, lin);
    if (e) {
        switch (size) {
        case 1: *(volatile any8 *)(lin + e->addend) = (uint8_t)value; break;
        case 2: *(volatile any16 *)(lin + e->addend) = (uint16_t)value; break;
        case 4: *(volatile any32 *)(lin + e->addend) = (uint32_t)value; break;
        case 8: *(volatile any64 *)(lin + e->addend) = value; break;
        default: memcpy((void *)(lin + e->addend), &value, size);
        }
        written(v, e);
        return;
    }
    phys = translate(v, TLB_WRITE, lin);
    p = phys_lookup(v, phys);
    if (p->host && !p->readonly) { /* a watched page */
        uint32_t code = code_index(p->host);

        memcpy(p->host + phys % PAGE, &value, size);
        if (p->dirty)
            mark_dirty(p->dirty);
        if (__atomic_load_n(&v->code_words[code], __ATOMIC_RELAXED) & CODE_CACHED)
            code_invalidate(v, code);
        debug_data(v, lin, size, true);
        return;
    }
    if (size == 1 || size == 2 || size == 4 || size == 8) {
        v->bus.write(v->bus.opaque, phys, value & size_mask(size), size);
        return;
    }
    for (unsigned n = 0; n < size; n++)
        v->bus.write(v->bus.opaque, phys + n, (uint8_t)(value >> (n * 8)), 1);
}

uint64_t load_slow(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    unsigned first = PAGE - (unsigned)(lin & 0xfff);
    uint64_t low;

    check_linear(v, lin, size, seg);
    if (first >= size)
        return load_in_page(v, lin, size);
    low = load_in_page(v, lin, first);
    return low | load_in_page(v, linear_wrap(v, lin + first), size - first) << (first * 8);
}

void probe_write(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    struct tlb_entry *e = tlb_at(v, TLB_WRITE, lin);
    uint64_t last = linear_wrap(v, lin + size - 1);

    check_linear(v, lin, size == 0 ? 1 : size & -size, seg);
    if (!tlb_hit(v, e, lin, 1))
        fill(v, TLB_WRITE, lin);
    if (PAGE_OF(last) != PAGE_OF(lin)) {
        if (v->long64 && !is_canonical(v, last))
            raise_exception_code(v, seg == BP_SS ? EXC_SS : EXC_GP, 0);
        e = tlb_at(v, TLB_WRITE, last);
        if (!tlb_hit(v, e, last, 1))
            fill(v, TLB_WRITE, PAGE_OF(last));
    }
}

void store_slow(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size, unsigned seg)
{
    unsigned first = PAGE - (unsigned)(lin & 0xfff);

    check_linear(v, lin, size, seg);
    if (first >= size) {
        store_in_page(v, lin, value, size);
        return;
    }
    probe_write(v, lin, size, seg);
    store_in_page(v, lin, value, first);
    store_in_page(v, linear_wrap(v, lin + first), value >> (first * 8), size - first);
}

struct tlb_entry *write_entry_slow(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    struct tlb_entry *e = tlb_at(v, TLB_WRITE, lin);

    check_linear(v, lin, size, seg);
    if ((lin & 0xfff) + size > PAGE) {
        probe_write(v, lin, size, seg);
        return NULL;
    }
    if (!tlb_hit(v, e, lin, size))
        e = fill(v, TLB_WRITE, lin);
    return e;
}

uint64_t load_any(struct vcpu *v, uint64_t lin, unsigned size, unsigned seg)
{
    switch (size) {
    case 1: return load8(v, lin, seg);
    case 2: return load16(v, lin, seg);
    case 4: return load32(v, lin, seg);
    default: return load64(v, lin, seg);
    }
}

void store_any(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size, unsigned seg)
{
    switch (size) {
    case 1: store8(v, lin, (uint8_t)value, seg); break;
    case 2: store16(v, lin, (uint16_t)value, seg); break;
    case 4: store32(v, lin, (uint32_t)value, seg); break;
    default: store64(v, lin, value, seg); break;
    }
}

struct tlb_set *mmu_swap(struct vcpu *v, unsigned set)
{
    struct tlb_set *old = v->mmu;

    v->mmu = &v->sets[set];
    return old;
}

unsigned mmu_implicit(const struct vcpu *v)
{
    return v->x->cr4 & CR4_SMAP && (v->cpl == 3 || !(v->x->rflags & F_AC)) ? MMU_SMAP : MMU_SUPERVISOR;
}

uint64_t sys_load(struct vcpu *v, uint64_t lin, unsigned size)
{
    struct tlb_set *old = mmu_swap(v, mmu_implicit(v));
    uint64_t value = load_any(v, linear_wrap(v, lin), size, BP_DS);

    v->mmu = old;
    return value;
}

void sys_store(struct vcpu *v, uint64_t lin, uint64_t value, unsigned size)
{
    struct tlb_set *old = mmu_swap(v, mmu_implicit(v));

    store_any(v, linear_wrap(v, lin), value, size, BP_DS);
    v->mmu = old;
}

/* ---- flushes ---- */

static void jump_flush(struct vcpu *v)
{
    v->jump_key = ++v->jump_counter << 8;
    v->prev = NULL;
}

void writers_drop(struct vcpu *v, uint32_t index)
{
    struct tlb_entry *all = &v->sets[0].e[0][0];
    uint32_t number = v->writers[index];

    v->writers[index] = 0;
    if (number == 0)
        return;
    if (number != WRITERS_MANY) {
        if (all[number - 1].code == index)
            all[number - 1].tag = 0;
        return;
    }
    for (unsigned s = 0; s < MMU_SETS; s++) {
        for (unsigned n = 0; n < TLB_SIZE; n++) {
            struct tlb_entry *e = &v->sets[s].e[TLB_WRITE][n];

            if (e->code == index)
                e->tag = 0;
        }
    }
}

void exec_forget(struct vcpu *v)
{
    v->exec_epoch++;
    if (v->exec_noted)
        memset(v->exec_filter, 0, sizeof(v->exec_filter));
    v->exec_noted = 0;
}

static void use_generation(struct vcpu *v, uint64_t generation)
{
    v->asid_generation = generation;
    if (v->generation != 0xfff)
        v->generation = generation;
}

void tlb_reset(struct vcpu *v)
{
    if (v->tlb_used) { /* a vCPU that has not run leaves its pages untouched: start-up time */
        memset(v->sets, 0, sizeof(v->sets));
        v->tlb_used = 0;
    }
    exec_forget(v);
    memset(v->pcid_generation, 0, sizeof(v->pcid_generation));
    v->next_generation = 1;
    use_generation(v, v->next_generation++);
    memset(v->large, 0, sizeof(v->large));
    jump_flush(v);
}

static uint16_t new_generation(struct vcpu *v)
{
    if (v->next_generation > 0xffe)
        tlb_reset(v);
    return v->next_generation++;
}

static unsigned current_pcid(const struct vcpu *v)
{
    return v->x->cr4 & CR4_PCIDE ? v->x->cr3 & 0xfff : 0;
}

/* `global`: everything, of every PCID. */
void tlb_flush(struct vcpu *v, bool global)
{
    if (global) {
        if (++v->global_generation == 0)
            tlb_reset(v);
        memset(v->pcid_generation, 0, sizeof(v->pcid_generation));
        memset(v->large, 0, sizeof(v->large));
        exec_forget(v);
    }
    use_generation(v, new_generation(v));
    v->pcid_generation[current_pcid(v)] = (uint16_t)v->asid_generation;
    jump_flush(v);
}

void tlb_flush_pcid(struct vcpu *v, unsigned pcid)
{
    if (pcid == current_pcid(v))
        tlb_flush(v, false);
    else
        v->pcid_generation[pcid] = 0;
}

void tlb_set_pcid(struct vcpu *v, bool flush)
{
    unsigned pcid = current_pcid(v);

    if (!(v->x->cr4 & CR4_PCIDE) || flush || !v->pcid_generation[pcid]) {
        tlb_flush(v, false);
        return;
    }
    use_generation(v, v->pcid_generation[pcid]);
    jump_flush(v);
}

static void flush_large(struct vcpu *v, uint64_t lin)
{
    uint64_t mask = v->x->cr4 & CR4_PAE ? ~(uint64_t)0x1fffff : ~(uint64_t)0x3fffff;

    if (feature(v, BP_X86_FW_80000001_EDX, 26))
        mask = ~(uint64_t)0x3fffffff;
    for (unsigned s = 0; s < MMU_SETS; s++) {
        for (unsigned k = 0; k < 3; k++) {
            for (unsigned n = 0; n < TLB_SIZE; n++) {
                struct tlb_entry *e = &v->sets[s].e[k][n];

                if (e->flags & TLB_LARGE && !((e->tag ^ lin) & mask))
                    e->tag = 0;
            }
        }
    }
}

void tlb_flush_page(struct vcpu *v, uint64_t lin)
{
    for (unsigned s = 0; s < MMU_SETS; s++) {
        for (unsigned k = 0; k < 3; k++) {
            struct tlb_entry *e = &v->sets[s].e[k][(lin >> 12) % TLB_SIZE];

            if (PAGE_OF(e->tag) == PAGE_OF(lin))
                e->tag = 0;
        }
    }
    if (v->large[lin >> 36 & 63] >> (lin >> 30 & 63) & 1) {
        flush_large(v, lin);
        exec_forget(v);
    } else if (v->exec_filter[lin >> 18 & 1023] >> (lin >> 12 & 63) & 1) {
        exec_forget(v);
    }
    jump_flush(v);
}

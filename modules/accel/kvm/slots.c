/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Guest memory as the kernel knows it: one slot for each section of RAM or ROM, cut to whole pages. What is not in a
 * slot comes back as an access and goes through the memory core. A slot that has to go is taken away while no vCPU
 * runs guest code: none sees a map that never was.
 */
#include "kvm.h"
#include <bp/exact/machine.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- the gate ---- */

void kvm_gate_enter(struct kvm_vcpu *c)
{
    struct kvm_machine *m = c->m;

    pthread_mutex_lock(&m->gate);
    while (m->closed)
        pthread_cond_wait(&m->opened, &m->gate);
    m->inside++;
    __atomic_store_n(&c->run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&c->inside, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_unlock(&m->gate);
}

void kvm_gate_leave(struct kvm_vcpu *c)
{
    struct kvm_machine *m = c->m;

    pthread_mutex_lock(&m->gate);
    __atomic_store_n(&c->inside, 0, __ATOMIC_SEQ_CST);
    if (--m->inside == 0)
        pthread_cond_signal(&m->idle);
    pthread_mutex_unlock(&m->gate);
}

static void gate_close(struct kvm_machine *m)
{
    pthread_mutex_lock(&m->gate);
    m->closed = true;
    for (struct kvm_vcpu *c = m->first; c; c = c->next) {
        if (__atomic_load_n(&c->inside, __ATOMIC_SEQ_CST))
            kvm_kick(c);
    }
    while (m->inside > 0)
        pthread_cond_wait(&m->idle, &m->gate);
    pthread_mutex_unlock(&m->gate);
}

static void gate_open(struct kvm_machine *m)
{
    pthread_mutex_lock(&m->gate);
    m->closed = false;
    pthread_cond_broadcast(&m->opened);
    pthread_mutex_unlock(&m->gate);
}

/* ---- slots ---- */

static int set_slot(struct kvm_machine *m, const struct kvm_slot *s, uint64_t length)
{
    struct kvm_userspace_memory_region region = {
        .slot = s->number, .flags = s->flags, .guest_phys_addr = s->start, .memory_size = length,
        .userspace_addr = (uintptr_t)s->host};

    if (length == 0)
        region.flags = 0;
    if (ioctl(m->vm, KVM_SET_USER_MEMORY_REGION, &region) == 0)
        return 0;
    bp_warn("kvm: memory at %#llx, %#llx bytes, cannot be %s: %s", (unsigned long long)s->start,
            (unsigned long long)s->length, length ? "given to the guest" : "taken away", strerror(errno));
    return -errno;
}

/* What the kernel saw written goes to the logs. */
static void fetch_dirty(struct kvm_machine *m, const struct kvm_slot *s)
{
    uint64_t pages = s->length / PAGE, words = (pages + 63) / 64;
    uint64_t *bits;
    struct kvm_dirty_log log = {.slot = s->number};

    if (m->dirty_ring > 0) {
        kvm_ring_empty(m);
        return;
    }
    bits = calloc(words, sizeof(*bits));
    log.dirty_bitmap = bits;
    if (!bits || ioctl(m->vm, KVM_GET_DIRTY_LOG, &log) < 0) {
        free(bits);
        bp_region_mark_dirty(s->region, s->offset, s->length);
        return;
    }
    for (uint64_t w = 0; w < words; w++) {
        while (bits[w]) {
            uint64_t page = w * 64 + (unsigned)__builtin_ctzll(bits[w]), run = 1;

            bits[w] &= bits[w] - 1;
            for (; bits[w] && (unsigned)__builtin_ctzll(bits[w]) == page % 64 + run; run++)
                bits[w] &= bits[w] - 1;
            bp_region_mark_dirty(s->region, s->offset + page * PAGE, run * PAGE);
        }
    }
    free(bits);
}

static bool same_memory(const struct kvm_slot *a, const struct kvm_slot *b)
{
    return a->start == b->start && a->length == b->length && a->host == b->host && a->region == b->region &&
           !((a->flags ^ b->flags) & KVM_MEM_READONLY);
}

/* To one of the two lists, which have the same room. */
static bool append(struct kvm_machine *m, struct kvm_slot **list, unsigned *count, const struct kvm_slot *s)
{
    const struct kvm_slot slot = *s; /* perhaps of a list that moves */

    if (m->next_count == m->room || m->count == m->room) {
        unsigned room = m->room ? m->room * 2 : 64;
        struct kvm_slot *slots = realloc(m->slots, room * sizeof(*slots)), *next;

        if (!slots)
            return false;
        m->slots = slots;
        next = realloc(m->next, room * sizeof(*next));
        if (!next)
            return false;
        m->next = next;
        m->room = room;
    }
    (*list)[(*count)++] = slot;
    return true;
}

static int take_number(struct kvm_machine *m, uint32_t *ret_number)
{
    for (unsigned n = 0; n < m->slots_max; n++) {
        if (!(m->used[n / 64] >> n % 64 & 1)) {
            m->used[n / 64] |= (uint64_t)1 << n % 64;
            *ret_number = n;
            return 0;
        }
    }
    return -ENOSPC;
}

/* ---- the listener ---- */

static void map_begin(void *opaque)
{
    struct kvm_machine *m = opaque;

    m->next_count = 0;
    for (unsigned n = 0; n < m->count; n++)
        m->slots[n].keep = true;
}

static bool cut(const struct bp_section *section, struct kvm_slot *ret_slot)
{
    uint64_t skip = -section->start & (PAGE - 1);

    if (!section->host || section->length <= skip || (uintptr_t)(section->host + skip) % PAGE)
        return false;
    *ret_slot = (struct kvm_slot){
        .start = section->start + skip, .length = (section->length - skip) & ~(uint64_t)(PAGE - 1),
        .offset = section->offset + skip, .host = section->host + skip, .region = section->region,
        .flags = (section->readonly ? KVM_MEM_READONLY : 0) | (section->logged ? KVM_MEM_LOG_DIRTY_PAGES : 0)};
    return ret_slot->length > 0;
}

static void map_removed(void *opaque, const struct bp_section *section)
{
    struct kvm_machine *m = opaque;
    struct kvm_slot s;

    if (!section->host) {
        kvm_bells_removed(m, false, section);
        kvm_coalesced_removed(m, section);
    }
    if (!cut(section, &s))
        return;
    for (unsigned n = 0; n < m->count; n++) {
        if (same_memory(&m->slots[n], &s))
            m->slots[n].keep = false;
    }
}

static void map_added(void *opaque, const struct bp_section *section)
{
    struct kvm_machine *m = opaque;
    struct kvm_slot s;

    if (!section->host) {
        kvm_bells_added(m, false, section);
        kvm_coalesced_added(m, section);
    }
    if (!cut(section, &s))
        return;
    for (unsigned n = 0; n < m->count; n++) { /* only what is logged changed */
        struct kvm_slot *old = &m->slots[n];

        if (old->keep || !same_memory(old, &s))
            continue;
        if (old->flags & ~s.flags & KVM_MEM_LOG_DIRTY_PAGES)
            fetch_dirty(m, old);
        old->keep = true;
        if (old->flags != s.flags) {
            old->flags = s.flags;
            set_slot(m, old, old->length);
        }
        return;
    }
    if (!append(m, &m->next, &m->next_count, &s))
        bp_warn("kvm: no memory for a map of the guest's memory");
}

static void remove_slots(struct kvm_machine *m)
{
    unsigned kept = 0;

    for (unsigned n = 0; n < m->count; n++) {
        struct kvm_slot *s = &m->slots[n];

        if (s->keep) {
            m->slots[kept++] = *s;
            continue;
        }
        if (s->flags & KVM_MEM_LOG_DIRTY_PAGES)
            fetch_dirty(m, s);
        set_slot(m, s, 0);
        m->used[s->number / 64] &= ~((uint64_t)1 << s->number % 64);
    }
    m->count = kept;
}

static void map_commit(void *opaque)
{
    struct kvm_machine *m = opaque;
    bool closes = false;

    for (unsigned n = 0; n < m->count; n++)
        closes |= !m->slots[n].keep;
    if (closes)
        gate_close(m);
    remove_slots(m);
    for (unsigned n = 0; n < m->next_count; n++) {
        struct kvm_slot s = m->next[n];

        if (take_number(m, &s.number) < 0) {
            bp_warn("kvm: the kernel has no more than %u pieces of memory; what is at %#llx is slow now",
                    m->slots_max, (unsigned long long)s.start);
            continue;
        }
        if (set_slot(m, &s, s.length) < 0 || !append(m, &m->slots, &m->count, &s))
            m->used[s.number / 64] &= ~((uint64_t)1 << s.number % 64);
    }
    m->next_count = 0;
    if (closes)
        gate_open(m);
    for (struct kvm_vcpu *c = m->first; c; c = c->next) {
        if (c->soft)
            __atomic_store_n(&c->soft->map_changed, 1, __ATOMIC_SEQ_CST);
    }
}

static void log_sync(void *opaque, const struct bp_section *section)
{
    struct kvm_machine *m = opaque;

    if (m->dirty_ring > 0) { /* a vCPU may keep some for itself until it leaves the guest */
        gate_close(m);
        kvm_ring_empty(m);
        gate_open(m);
        return;
    }
    for (unsigned n = 0; n < m->count; n++) {
        const struct kvm_slot *s = &m->slots[n];

        if (s->region == section->region && s->flags & KVM_MEM_LOG_DIRTY_PAGES && s->start >= section->start &&
            s->start - section->start < section->length)
            fetch_dirty(m, s);
    }
}

static void settle(void *opaque, const struct bp_section *section)
{
    (void)section;
    kvm_coalesced_take(((struct kvm_machine *)opaque)->first);
}

static void bells_changed(void *opaque, const struct bp_section *section)
{
    kvm_bells_added(opaque, false, section);
}

static const struct bp_memory_listener listener = {
    .size = sizeof(listener), .begin = map_begin, .removed = map_removed, .added = map_added, .commit = map_commit,
    .log_sync = log_sync, .doorbells = bells_changed, .settle = settle};

int kvm_memory_begin(struct kvm_machine *m, struct bp_space *space, struct bp_space *io, struct bp_error *err)
{
    if (m->space)
        return m->space == space ? 0
                                 : bp_fail(err, ENOTSUP, "the processors of this machine see different memory, which "
                                           "KVM does not do; -accel tcg does");
    m->used = calloc((m->slots_max + 63) / 64, sizeof(*m->used));
    if (!m->used)
        return bp_fail(err, ENOMEM, "no memory for a map of the guest's memory");
    m->space = space;
    kvm_bells_begin(m, io);
    bp_space_listen(space, &listener, m);
    return 0;
}

void kvm_memory_end(struct kvm_machine *m)
{
    if (m->space) {
        bp_space_unlisten(m->space, &listener, m);
        kvm_bells_end(m);
    }
    m->space = NULL;
    free(m->slots);
    free(m->next);
    free(m->used);
    m->slots = m->next = NULL;
    m->used = NULL;
    m->count = m->next_count = m->room = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Doorbells (bp/doorbell.h). Writers walk a region's list without a lock. A ring sets `pending`; who
 * set it first schedules the deferred call by which the handler comes, so that others cost an
 * exchange.
 *
 * Who refers to a bell: the lists (let go after a grace period), its owner, its deferred call and the watch
 * of its descriptor (until nobody runs them), and a writer between the list and the ring.
 */
#include <bp/loop.h>

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <glib.h>

#include "doorbell.h"
#include "loop.h"
#include "marks.h"
#include "memory.h"
#include "read-side.h"

struct bp_doorbell {
    struct bpc_claim claim;
    struct bp_doorbell *next; /* atomic; of the region */
    struct bp_doorbell *all_next;
    struct bp_region *region; /* under list_lock: a reference; NULL: off the lists */
    struct bp_context *ctx;
    struct bp_watch *watch;   /* of fd; the owner's: it goes before the bell does */
    int fd;                   /* atomic; -1: nobody asked for it */
    int lent;                 /* machine lock; -1: nothing */
    struct bp_doorbell_match match;
    void (*rung)(void *opaque);
    void *opaque;
    pthread_mutex_t lock;          /* a leaf but for the context's: */
    struct bp_deferred *deferred;  /* NULL: freed */
    uint64_t value;                /* atomic, like what follows */
    uint32_t fresh, pending, refs;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER; /* of all lists; a leaf */
static struct bp_doorbell *all;
static bool held; /* atomic: the machine stands */

static void ref(struct bp_doorbell *bell)
{
    __atomic_fetch_add(&bell->refs, 1, __ATOMIC_RELAXED);
}

static void unref(void *opaque)
{
    struct bp_doorbell *bell = opaque;

    if (__atomic_sub_fetch(&bell->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (bell->fd >= 0)
        close(bell->fd);
    pthread_mutex_destroy(&bell->lock);
    g_free(bell);
}

/* ---- ringing ---- */

static void schedule(struct bp_doorbell *bell)
{
    pthread_mutex_lock(&bell->lock);
    if (bell->deferred)
        bp_deferred_schedule(bell->deferred);
    pthread_mutex_unlock(&bell->lock);
}

void bp_doorbell_ring(struct bp_doorbell *bell)
{
    /* Held: the start schedules it, and looks after it has said that nothing is held any more. */
    if (__atomic_exchange_n(&bell->pending, 1, __ATOMIC_SEQ_CST) == 0 &&
        !__atomic_load_n(&held, __ATOMIC_SEQ_CST))
        schedule(bell);
}

/* On the bell's context, under the owner's lock if it has one. */
static void handle(void *opaque)
{
    struct bp_doorbell *bell = opaque;

    if (!__atomic_load_n(&held, __ATOMIC_SEQ_CST) &&
        __atomic_exchange_n(&bell->pending, 0, __ATOMIC_SEQ_CST))
        bell->rung(bell->opaque);
}

static bool matches(const struct bp_doorbell_match *m, uint64_t offset, unsigned size,
                    uint64_t value)
{
    return m->offset == offset && (m->access_size == 0 || m->access_size == size) &&
           (!(m->flags & BP_DOORBELL_MATCH_VALUE) || m->value == value);
}

bool bpc_doorbell_written(const struct bp_region *region, uint64_t offset, unsigned size,
                          uint64_t value)
{
    struct bp_doorbell *bell;

    if (bpc_region_dead(region))
        return false;
    bpc_memory_read_lock();
    bell = __atomic_load_n(&region->bells, __ATOMIC_ACQUIRE);
    while (bell && !matches(&bell->match, offset, size, value))
        bell = __atomic_load_n(&bell->next, __ATOMIC_ACQUIRE);
    if (bell)
        ref(bell);
    bpc_memory_read_unlock();
    if (!bell)
        return false;
    if (bell->match.flags & BP_DOORBELL_KEEP_VALUE) {
        __atomic_store_n(&bell->value, value, __ATOMIC_RELAXED);
        __atomic_store_n(&bell->fresh, 1, __ATOMIC_RELEASE);
    }
    bp_doorbell_ring(bell);
    unref(bell);
    return true;
}

bool bp_doorbell_take(struct bp_doorbell *bell, uint64_t *ret_value)
{
    if (!__atomic_exchange_n(&bell->fresh, 0, __ATOMIC_ACQUIRE))
        return false;
    *ret_value = __atomic_load_n(&bell->value, __ATOMIC_RELAXED);
    return true;
}

/* Takes the writes to its descriptor: were there any? */
static bool take_writes(struct bp_doorbell *bell)
{
    int fd = __atomic_load_n(&bell->fd, __ATOMIC_ACQUIRE);
    uint64_t count;

    return fd >= 0 && read(fd, &count, sizeof(count)) == sizeof(count);
}

/* In its context. It is pending before the writes are taken, for who drains it in between. */
static void fd_written(void *opaque, unsigned events)
{
    (void)events;
    bp_doorbell_ring(opaque);
    (void)take_writes(opaque);
}

void bp_doorbell_clear(struct bp_doorbell *bell)
{
    (void)take_writes(bell);
    __atomic_store_n(&bell->pending, 0, __ATOMIC_SEQ_CST);
    __atomic_store_n(&bell->fresh, 0, __ATOMIC_RELEASE);
}

/* ---- making and freeing ---- */

static int check(const struct bp_region *region, const struct bp_doorbell_match *m,
                 struct bp_error *err)
{
    uint32_t size = m->access_size;
    uint32_t flags = m->flags;

    if (region->type != BPC_IO)
        return bp_fail(err, EINVAL, "region '%s' has no doorbells: it is not an I/O region",
                       region->name);
    if (size > 8 || (size & (size - 1)))
        return bp_fail(err, EINVAL, "doorbell of '%s': no write has %u bytes; 0 (any), 1, 2, 4 or "
                       "8", region->name, (unsigned)size);
    if (m->offset >= region->size || size > region->size - m->offset)
        return bp_fail(err, EINVAL, "doorbell of '%s' at 0x%" G_GINT64_MODIFIER "x: the region ends "
                       "at 0x%" G_GINT64_MODIFIER "x", region->name, m->offset, region->size);
    if (flags & ~(BP_DOORBELL_MATCH_VALUE | BP_DOORBELL_KEEP_VALUE) ||
        flags == (BP_DOORBELL_MATCH_VALUE | BP_DOORBELL_KEEP_VALUE))
        return bp_fail(err, EINVAL, "doorbell of '%s': flags 0x%x: BP_DOORBELL_MATCH_VALUE or "
                       "BP_DOORBELL_KEEP_VALUE or none", region->name, (unsigned)flags);
    if (flags & BP_DOORBELL_MATCH_VALUE && size && size < 8 && m->value >> (size * 8))
        return bp_fail(err, EINVAL, "doorbell of '%s': value 0x%" G_GINT64_MODIFIER "x does not fit "
                       "into %u bytes", region->name, m->value, (unsigned)size);
    return 0;
}

/* Could one write ring both? */
static bool collide(const struct bp_doorbell_match *a, const struct bp_doorbell_match *b)
{
    return a->offset == b->offset &&
           (!a->access_size || !b->access_size || a->access_size == b->access_size) &&
           (!(a->flags & b->flags & BP_DOORBELL_MATCH_VALUE) || a->value == b->value);
}

static void tell(const struct bpc_listener *listener, const struct bp_section *section)
{
    if (listener->copy.doorbells)
        listener->copy.doorbells(listener->opaque, section);
}

static void tell_listeners(struct bp_region *region)
{
    bp_machine_lock(NULL);
    bpc_tell_sections(region, tell);
    bp_machine_unlock(NULL);
}

/* No writer finds it from now on. */
static void withdraw(struct bpc_claim *claim)
{
    struct bp_doorbell *bell = (struct bp_doorbell *)claim; /* its first member */
    struct bp_region *region;

    pthread_mutex_lock(&list_lock);
    region = bell->region;
    if (region) {
        struct bp_doorbell **link = &region->bells;

        while (*link != bell)
            link = &(*link)->next;
        __atomic_store_n(link, bell->next, __ATOMIC_RELEASE);
        for (link = &all; *link != bell;)
            link = &(*link)->all_next;
        *link = bell->all_next;
        bell->region = NULL;
    }
    pthread_mutex_unlock(&list_lock);
    if (!region)
        return;
    tell_listeners(region);
    bpc_region_unref(region);
    bpc_grace_call(unref, bell);
}

static void release(struct bpc_claim *claim)
{
    struct bp_doorbell *bell = (struct bp_doorbell *)claim;
    struct bp_deferred *deferred;

    withdraw(claim);
    pthread_mutex_lock(&bell->lock);
    deferred = bell->deferred;
    bell->deferred = NULL;
    pthread_mutex_unlock(&bell->lock);
    bp_deferred_free(deferred);
    unref(bell);
}

static bool enlist(struct bp_doorbell *bell, struct bp_region *region)
{
    struct bp_doorbell *other;

    pthread_mutex_lock(&list_lock);
    for (other = region->bells; other && !collide(&other->match, &bell->match);)
        other = other->next;
    if (!other) {
        bpc_region_ref(region);
        bell->region = region;
        bell->all_next = all;
        all = bell;
        bell->next = region->bells;
        __atomic_store_n(&region->bells, bell, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&list_lock);
    return !other;
}

int bp_doorbell_new(struct bp_owner *owner, struct bp_context *ctx, struct bp_region *region,
                    const struct bp_doorbell_match *match, void (*rung)(void *opaque), void *opaque,
                    struct bp_doorbell **ret_bell, struct bp_error *err)
{
    bpc_assert_locked();
    struct bp_doorbell_match own = {.size = sizeof(own)};
    struct bp_doorbell *bell;
    int ret;

    if (match->size < offsetof(struct bp_doorbell_match, reserved))
        return bp_fail(err, EINVAL, "doorbell of '%s': its match says that it has %zu bytes: .size "
                       "is sizeof of it", region->name, match->size);
    memcpy(&own, match, MIN(match->size, sizeof(own)));
    own.size = sizeof(own);
    ret = check(region, &own, err);
    if (ret < 0)
        return ret;
    bell = g_new0(struct bp_doorbell, 1);
    bell->match = own;
    bell->rung = rung;
    bell->opaque = opaque;
    bell->ctx = ctx;
    bell->fd = bell->lent = -1;
    bell->refs = 3; /* the owner, the lists, the deferred call */
    pthread_mutex_init(&bell->lock, NULL);
    bell->deferred = bpc_deferred_new(owner, ctx, "doorbell", handle, unref, bell);
    if (!enlist(bell, region)) {
        bp_deferred_free(bell->deferred);
        unref(bell);
        unref(bell);
        return bp_fail(err, EEXIST, "doorbell of '%s' at 0x%" G_GINT64_MODIFIER "x: a write could "
                       "ring another one too", region->name, own.offset);
    }
    bpc_claim(owner, &bell->claim, release); /* newer than the deferred call: goes before it */
    bell->claim.withdraw = withdraw;
    tell_listeners(region);
    *ret_bell = bell;
    return 0;
}

void bp_doorbell_free(struct bp_doorbell *bell)
{
    bpc_assert_locked();
    if (!bell)
        return;
    bpc_unclaim(&bell->claim);
    bp_watch_free(bell->watch);
    release(&bell->claim);
}

void bp_doorbell_each(struct bp_region *region,
                      void (*fn)(struct bp_doorbell *bell, const struct bp_doorbell_match *match,
                                 void *opaque),
                      void *opaque)
{
    pthread_mutex_lock(&list_lock);
    for (struct bp_doorbell *bell = region->bells; bell; bell = bell->next)
        fn(bell, &bell->match, opaque);
    pthread_mutex_unlock(&list_lock);
}

int bp_doorbell_fd(struct bp_doorbell *bell)
{
    bool swapped = bell->match.flags & BP_DOORBELL_MATCH_VALUE && bell->region && bell->region->ops.big_endian;
    int fd = bell->lent >= 0 ? bell->lent : bell->fd;

    if (fd >= 0)
        return fd;
    if (bell->match.flags & BP_DOORBELL_KEEP_VALUE || swapped || !bell->region)
        return -ENOTSUP;
    fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return -errno;
    ref(bell);
    __atomic_store_n(&bell->fd, fd, __ATOMIC_RELEASE);
    bell->watch = bpc_watch_new(bell->claim.owner, bell->ctx, fd, fd_written, unref, bell);
    return fd;
}

void bp_doorbell_lend(struct bp_doorbell *bell, int fd)
{
    bpc_assert_main();
    if (bell->lent == fd)
        return;
    bell->lent = fd;
    if (bell->region)
        tell_listeners(bell->region);
}

/* ---- draining ---- */

/* `settle`: waits for a handler that runs, also when nothing is to be called any more. */
static void drain(struct bp_doorbell *bell, bool settle)
{
    struct bpc_drain *wait = NULL;

    if (take_writes(bell))
        __atomic_store_n(&bell->pending, 1, __ATOMIC_SEQ_CST);
    pthread_mutex_lock(&bell->lock);
    if (bell->deferred) {
        /* Who rang first may not have come to it yet. */
        if (__atomic_load_n(&bell->pending, __ATOMIC_SEQ_CST) && !settle)
            bp_deferred_schedule(bell->deferred);
        wait = bpc_deferred_drain_begin(bell->deferred);
    }
    pthread_mutex_unlock(&bell->lock);
    if (wait)
        bpc_deferred_drain_end(wait);
}

int bp_doorbell_drain(struct bp_doorbell *bell)
{
    if (bpc_owner_lock_held())
        return -EDEADLK;
    drain(bell, __atomic_load_n(&held, __ATOMIC_SEQ_CST));
    return 0;
}

/* The lists' bells, each with a reference. */
static GPtrArray *every_bell(void)
{
    GPtrArray *bells = g_ptr_array_new_with_free_func(unref);

    pthread_mutex_lock(&list_lock);
    for (struct bp_doorbell *bell = all; bell; bell = bell->all_next) {
        ref(bell);
        g_ptr_array_add(bells, bell);
    }
    pthread_mutex_unlock(&list_lock);
    return bells;
}

void bpc_doorbells_drain(void)
{
    GPtrArray *bells = every_bell();
    bool settle = __atomic_load_n(&held, __ATOMIC_SEQ_CST);

    for (guint i = 0; i < bells->len; i++)
        drain(bells->pdata[i], settle);
    g_ptr_array_unref(bells);
}

void bpc_doorbells_stop(void)
{
    bpc_doorbells_drain();
    __atomic_store_n(&held, true, __ATOMIC_SEQ_CST);
    bpc_doorbells_drain(); /* what began meanwhile */
}

void bpc_doorbells_start(void)
{
    GPtrArray *bells;

    __atomic_store_n(&held, false, __ATOMIC_SEQ_CST);
    bells = every_bell();
    for (guint i = 0; i < bells->len; i++) {
        struct bp_doorbell *bell = bells->pdata[i];

        __atomic_store_n(&bell->pending, 1, __ATOMIC_SEQ_CST);
        schedule(bell);
    }
    g_ptr_array_unref(bells);
}

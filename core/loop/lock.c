/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The machine lock: recursive, with a per-thread depth, so that asking whether this thread holds it
 * costs a load. It is not fair; whoever holds it for long (the main loop) yields when others wait.
 */
#include <assert.h>
#include <glib.h>
#include <pthread.h>

#include "blame.h"
#include "fibre.h"
#include "loop.h"
#include "owner.h"

#ifdef BPC_TSAN
#include <sanitizer/tsan_interface.h>
#endif

static pthread_mutex_t machine_lock = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
static unsigned waiters; /* atomic */
static __thread unsigned depth __attribute__((tls_model("initial-exec")));
static __thread struct bpc_owner_lock *held __attribute__((tls_model("initial-exec")));

/* ---- measuring ---- */

static bool profiling;              /* atomic */
static struct bpc_lock_stats stats; /* under the machine lock */
static int64_t taken_at;            /* under it; 0: taken before profiling began */

static void note_taken(int64_t asked_at, bool waited)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    taken_at = now;
    stats.taken++;
    if (!waited)
        return;
    stats.waited++;
    stats.wait_ns += (uint64_t)(now - asked_at);
    stats.longest_wait_ns = MAX(stats.longest_wait_ns, (uint64_t)(now - asked_at));
}

static void note_given_up(void)
{
    uint64_t ns;

    if (taken_at == 0)
        return;
    ns = (uint64_t)(bp_clock_ns(BP_CLOCK_REALTIME) - taken_at);
    taken_at = 0;
    stats.held_ns += ns;
    if (ns <= stats.longest_held_ns)
        return;
    stats.longest_held_ns = ns;
    /* Who is being called now, if anybody; a turn of the main loop has many. */
    g_snprintf(stats.longest_holder, sizeof(stats.longest_holder), "%s%s%s",
               bpc_blame.what ? bpc_blame.what : bpc_loop_is_main() ? "main loop" : "thread",
               bpc_blame.type ? " of " : "", bpc_blame.type ? bpc_blame.type : "");
}

void bpc_lock_profile(bool on)
{
    __atomic_store_n(&profiling, on, __ATOMIC_RELAXED);
}

void bpc_lock_profile_reset(void)
{
    bp_machine_lock(NULL);
    stats = (struct bpc_lock_stats){.on = false};
    bp_machine_unlock(NULL);
}

void bpc_lock_profile_get(struct bpc_lock_stats *ret_stats)
{
    bp_machine_lock(NULL);
    *ret_stats = stats;
    bp_machine_unlock(NULL);
    ret_stats->on = __atomic_load_n(&profiling, __ATOMIC_RELAXED);
}

/* ---- the lock ---- */

static void take(void)
{
    bool measured = __atomic_load_n(&profiling, __ATOMIC_RELAXED);
    int64_t asked_at = 0;

    if (pthread_mutex_trylock(&machine_lock) == 0) {
        if (measured)
            note_taken(0, false);
        return;
    }
    if (measured)
        asked_at = bp_clock_ns(BP_CLOCK_REALTIME);
    __atomic_fetch_add(&waiters, 1, __ATOMIC_RELAXED);
    pthread_mutex_lock(&machine_lock);
    __atomic_fetch_sub(&waiters, 1, __ATOMIC_RELAXED);
    if (measured)
        note_taken(asked_at, true);
}

static void give_up(void)
{
    if (__atomic_load_n(&profiling, __ATOMIC_RELAXED))
        note_given_up();
    else
        taken_at = 0;
    pthread_mutex_unlock(&machine_lock);
}

void bp_machine_lock(struct bp_machine *machine)
{
    (void)machine; /* one per process today */
    assert(depth > 0 || !held); /* the machine lock comes before a device's */
    if (depth == 0)
        take();
    depth++;
}

void bp_machine_unlock(struct bp_machine *machine)
{
    (void)machine;
    assert(depth > 0);
    if (--depth == 0)
        give_up();
}

bool bp_machine_locked(struct bp_machine *machine)
{
    (void)machine;
    return depth > 0;
}

/* ---- locks of devices ---- */

struct bpc_owner_lock {
    pthread_mutex_t mutex;
};

void bpc_owner_lock_make(struct bp_owner *owner)
{
    if (owner->lock)
        return;
    owner->lock = g_new0(struct bpc_owner_lock, 1);
    pthread_mutex_init(&owner->lock->mutex, NULL);
}

void bpc_owner_lock_free(struct bp_owner *owner)
{
    if (!owner->lock)
        return;
    pthread_mutex_destroy(&owner->lock->mutex);
    g_free(owner->lock);
    owner->lock = NULL;
}

void bpc_owner_lock_take(struct bp_owner *owner)
{
    assert(!held);
    if (!owner->lock) {
        bp_machine_lock(NULL);
        return;
    }
    pthread_mutex_lock(&owner->lock->mutex);
    held = owner->lock;
}

void bpc_owner_lock_drop(struct bp_owner *owner)
{
    assert(held == owner->lock);
    if (!owner->lock) {
        bp_machine_unlock(NULL);
        return;
    }
    held = NULL;
    pthread_mutex_unlock(&owner->lock->mutex);
}

bool bpc_owner_lock_held(void)
{
    return held != NULL;
}

struct bpc_hold bpc_owner_hold(struct bp_owner *owner)
{
    struct bpc_owner_lock *want = owner ? owner->lock : NULL;
    struct bpc_hold hold = {.before = held, .same = want && want == held};

    if (hold.same)
        return hold;
    if (held)
        pthread_mutex_unlock(&held->mutex);
    held = NULL;
    if (want) {
        pthread_mutex_lock(&want->mutex);
        held = want;
    } else if (depth == 0) {
        bp_machine_lock(NULL);
        hold.machine = true;
    }
    return hold;
}

void bpc_owner_let_go(struct bp_owner *owner, struct bpc_hold hold)
{
    if (hold.same)
        return;
    if (owner && owner->lock)
        pthread_mutex_unlock(&owner->lock->mutex);
    else if (hold.machine)
        bp_machine_unlock(NULL);
    held = hold.before;
    if (held)
        pthread_mutex_lock(&held->mutex);
}

unsigned bpc_machine_depth(void)
{
    return depth;
}

bool bpc_machine_held(void)
{
    return depth > 0;
}

unsigned bpc_machine_unlock_all(void)
{
    unsigned held = depth;

    if (held > 0) {
        depth = 0;
        give_up();
    }
    return held;
}

void bpc_machine_relock(unsigned held)
{
    assert(depth == 0);
    if (held > 0) {
        take();
        depth = held;
    }
}

bool bpc_machine_lock_wanted(void)
{
    return __atomic_load_n(&waiters, __ATOMIC_RELAXED) > 0;
}

#ifdef BPC_TSAN
void bpc_machine_tell_handed_over(bool taken)
{
    if (depth == 0)
        return;
    if (taken) {
        __tsan_mutex_pre_lock(&machine_lock, __tsan_mutex_try_lock);
        __tsan_mutex_post_lock(&machine_lock, __tsan_mutex_try_lock, 0);
    } else {
        __tsan_mutex_pre_unlock(&machine_lock, 0);
        __tsan_mutex_post_unlock(&machine_lock, 0);
    }
}
#endif

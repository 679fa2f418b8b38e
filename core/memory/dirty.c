/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dirty logs (bp/memory.h). A region of RAM has one byte for each page; each log owns a bit. While no
 * log is on, maps lead to no dirty bytes and writers store none. Switching the first one on is a change
 * of the map; until each vCPU has passed a quiet point and each reader its section, somebody may write
 * without saying so: that long, pages stay dirty whoever asks.
 */
#include <bp/loop.h>
#include <bp/memory.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"

struct bp_dirty_log {
    struct bpc_claim claim;
    char *name;
    unsigned bit;
    GPtrArray *regions; /* references, one for each start */
};

static struct bp_dirty_log *logs[BPC_DIRTY_LOGS]; /* machine lock */

static uint8_t bit_of(const struct bp_dirty_log *log)
{
    return (uint8_t)(1u << log->bit);
}

/* ---- on and off ---- */

struct settling {
    struct bpc_quiet quiet;
    struct bp_region *region; /* a reference */
};

static void settled(void *opaque)
{
    struct settling *s = opaque;

    __atomic_fetch_sub(&s->region->log_settling, 1, __ATOMIC_RELEASE);
    bpc_region_unref(s->region);
    g_free(s);
}

static void vcpus_know(struct bpc_quiet *quiet)
{
    bpc_grace_call(settled, quiet); /* its first member */
}

static void tell_start(const struct bpc_listener *listener, const struct bp_section *section)
{
    if (listener->copy.log_start)
        listener->copy.log_start(listener->opaque, section);
}

static void tell_stop(const struct bpc_listener *listener, const struct bp_section *section)
{
    if (listener->copy.log_stop)
        listener->copy.log_stop(listener->opaque, section);
}

static void tell_sync(const struct bpc_listener *listener, const struct bp_section *section)
{
    if (listener->copy.log_sync)
        listener->copy.log_sync(listener->opaque, section);
}

static void switch_on(struct bp_dirty_log *log, struct bp_region *region)
{
    struct settling *s = g_new0(struct settling, 1);
    bool first = region->logs == 0;

    __atomic_fetch_add(&region->log_settling, 1, __ATOMIC_SEQ_CST);
    if (first)
        memset(region->dirty, BP_DIRTY_ALL, region->host_size >> BPC_PAGE_SHIFT);
    for (uint64_t page = 0; !first && page < region->host_size >> BPC_PAGE_SHIFT; page++)
        __atomic_fetch_or(&region->dirty[page], bit_of(log), __ATOMIC_RELAXED);
    bp_memory_begin();
    __atomic_fetch_or(&region->logs, bit_of(log), __ATOMIC_SEQ_CST);
    bpc_memory_changed();
    bp_memory_commit();
    if (first)
        bpc_tell_sections(region, tell_start);
    bpc_region_ref(region);
    s->region = region;
    bpc_quiet_call(&s->quiet, vcpus_know);
}

static void switch_off(struct bp_dirty_log *log, struct bp_region *region)
{
    bp_memory_begin();
    __atomic_fetch_and(&region->logs, (uint8_t)~bit_of(log), __ATOMIC_SEQ_CST);
    bpc_memory_changed();
    bp_memory_commit();
    if (region->logs == 0)
        bpc_tell_sections(region, tell_stop);
}

void bp_dirty_log_start(struct bp_dirty_log *log, struct bp_region *region)
{
    bpc_assert_main();
    if (!region->dirty)
        return;
    bp_machine_lock(NULL);
    bpc_region_ref(region);
    g_ptr_array_add(log->regions, region);
    if (region->log_starts[log->bit]++ == 0)
        switch_on(log, region);
    bp_machine_unlock(NULL);
}

void bp_dirty_log_stop(struct bp_dirty_log *log, struct bp_region *region)
{
    bpc_assert_main();
    bp_machine_lock(NULL);
    if (g_ptr_array_remove_fast(log->regions, region)) {
        if (--region->log_starts[log->bit] == 0)
            switch_off(log, region);
        bpc_region_unref(region);
    }
    bp_machine_unlock(NULL);
}

/* ---- life ---- */

static void release(struct bpc_claim *claim)
{
    struct bp_dirty_log *log = (struct bp_dirty_log *)((char *)claim -
                                                       offsetof(struct bp_dirty_log, claim));

    bp_machine_lock(NULL);
    while (log->regions->len > 0)
        bp_dirty_log_stop(log, log->regions->pdata[0]);
    logs[log->bit] = NULL;
    bp_machine_unlock(NULL);
    g_ptr_array_free(log->regions, true);
    g_free(log->name);
    g_free(log);
}

int bp_dirty_log_new(struct bp_owner *owner, const char *name, struct bp_dirty_log **ret_log,
                     struct bp_error *err)
{
    bpc_assert_main();
    struct bp_dirty_log *log;
    unsigned bit = 0;

    bp_machine_lock(NULL);
    while (bit < BPC_DIRTY_LOGS && logs[bit])
        bit++;
    if (bit == BPC_DIRTY_LOGS) {
        bp_machine_unlock(NULL);
        return bp_fail(err, EBUSY, "dirty log '%s': there are %u already, the last is '%s'", name,
                       BPC_DIRTY_LOGS, logs[bit - 1]->name);
    }
    log = logs[bit] = g_new0(struct bp_dirty_log, 1);
    bp_machine_unlock(NULL);
    log->name = g_strdup(name);
    log->bit = bit;
    log->regions = g_ptr_array_new();
    bpc_claim(owner, &log->claim, release);
    *ret_log = log;
    return 0;
}

void bp_dirty_log_free(struct bp_dirty_log *log)
{
    bpc_assert_main();
    if (!log)
        return;
    bpc_unclaim(&log->claim);
    release(&log->claim);
}

/* ---- pages ---- */

/* Cuts a range to the region's pages: *ret_first up to, not including, the result. */
static uint64_t pages(const struct bp_region *region, uint64_t offset, uint64_t len,
                      uint64_t *ret_first)
{
    if (!region->dirty || len == 0 || offset >= region->host_size) {
        *ret_first = 0;
        return 0;
    }
    if (len > region->host_size - offset)
        len = region->host_size - offset;
    *ret_first = offset >> BPC_PAGE_SHIFT;
    return ((offset + len - 1) >> BPC_PAGE_SHIFT) + 1;
}

void bp_region_mark_dirty(struct bp_region *region, uint64_t offset, uint64_t len)
{
    uint64_t page, end;

    if (__atomic_load_n(&region->logs, __ATOMIC_RELAXED)) {
        end = pages(region, offset, len, &page);
        for (; page < end; page++)
            __atomic_store_n(&region->dirty[page], BP_DIRTY_ALL, __ATOMIC_RELEASE);
    }
    if (region->host && len > 0 && offset < region->host_size)
        bpc_tell_written(region->host + offset, MIN(len, region->host_size - offset));
}

void bp_dirty_log_sync(struct bp_dirty_log *log, struct bp_region *region)
{
    bpc_assert_main();
    bp_machine_lock(NULL);
    if (region->log_starts[log->bit] > 0)
        bpc_tell_sections(region, tell_sync);
    bp_machine_unlock(NULL);
}

bool bp_dirty_log_test_clear(struct bp_dirty_log *log, struct bp_region *region, uint64_t offset,
                             uint64_t len)
{
    uint8_t bit = bit_of(log);
    uint64_t page, end = pages(region, offset, len, &page);
    bool found = false;

    if (end == 0 || !(__atomic_load_n(&region->logs, __ATOMIC_ACQUIRE) & bit))
        return false;
    if (__atomic_load_n(&region->log_settling, __ATOMIC_ACQUIRE) > 0)
        return true;
    while (page < end) {
        /* Most pages are clean: eight at a time. */
        if (page % 8 == 0 && page + 8 <= end &&
            __atomic_load_n((uint64_t *)(void *)&region->dirty[page], __ATOMIC_RELAXED) == 0) {
            page += 8;
            continue;
        }
        /* Cleared before the caller looks at the page, so that a later write is seen next time. */
        if (__atomic_load_n(&region->dirty[page], __ATOMIC_RELAXED) & bit) {
            __atomic_fetch_and(&region->dirty[page], (uint8_t)~bit, __ATOMIC_ACQ_REL);
            found = true;
        }
        page++;
    }
    return found;
}

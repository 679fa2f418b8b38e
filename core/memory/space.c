/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Address spaces, transactions and listeners: who is told when the tree of regions changes. */
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>

#include <string.h>

#include <glib.h>

#include "memory.h"
#include "marks.h"

static struct bp_space *spaces;
static unsigned depth;  /* open transactions */
static bool changed;    /* something to publish */
static bool publishing; /* a listener that changes the map is served by the loop that called it */
static unsigned telling;    /* listeners are being called: none is freed */
static unsigned generation; /* of the list of spaces */

struct bp_space *bpc_space_all(void)
{
    return spaces;
}

void bpc_memory_changed(void)
{
    changed = true;
}

/* Frees the listeners that left while others were told. */
static void sweep(struct bp_space *space)
{
    struct bpc_listener **link = &space->listeners, *entry;

    while ((entry = *link)) {
        if (entry->table) {
            link = &entry->next;
        } else {
            *link = entry->next;
            g_free(entry);
        }
    }
}

static void tell_listeners(struct bp_space *space, const struct bpc_view *before,
                           const struct bpc_view *after)
{
    telling++;
    for (struct bpc_listener *entry = space->listeners; entry; entry = entry->next)
        if (entry->table)
            bpc_view_tell_changes(before, after, entry);
    if (--telling == 0)
        sweep(space);
}

static void refresh(struct bp_space *space)
{
    struct bpc_view *before = space->view, *after = bpc_view_build(space->root);

    if (bpc_view_equal(before, after)) {
        bpc_view_free(after);
        return;
    }
    __atomic_store_n(&space->view, after, __ATOMIC_RELEASE);
    bpc_quiet_map_changed();
    if (bp_log_on(BP_LOG_PAGE))
        bpc_view_log(space->name, after);
    tell_listeners(space, before, after);
    bpc_view_retire(before);
}

void bp_memory_begin(void)
{
    bpc_assert_locked();
    bp_machine_lock(NULL);
    depth++;
}

static void publish(void)
{
    publishing = true;
    while (changed) {
        unsigned seen = generation;

        changed = false;
        for (struct bp_space *space = spaces; space; space = space->next) {
            refresh(space);
            if (generation != seen) { /* a listener made or freed a space */
                changed = true;
                break;
            }
        }
    }
    publishing = false;
}

void bp_memory_commit(void)
{
    bpc_assert_locked();
    if (--depth == 0 && changed && !publishing)
        publish();
    bp_machine_unlock(NULL);
}

/* A listener of the space itself may not do this. */
static void release(struct bpc_claim *claim)
{
    struct bp_space *space = (struct bp_space *)((char *)claim - offsetof(struct bp_space, claim));
    struct bp_space **link = &spaces;

    bp_machine_lock(NULL);
    while (*link != space)
        link = &(*link)->next;
    *link = space->next;
    generation++;
    bp_machine_unlock(NULL);
    while (space->listeners) {
        struct bpc_listener *listener = space->listeners;

        space->listeners = listener->next;
        g_free(listener);
    }
    bpc_view_retire(space->view);
    bpc_region_unref(space->root);
    g_free(space->name);
    bpc_grace_call(g_free, space); /* somebody may be looking for its view */
}

struct bp_space *bp_space_new(struct bp_owner *owner, const char *name, struct bp_region *root)
{
    bpc_assert_locked();
    struct bp_space *space = g_new0(struct bp_space, 1);

    space->name = g_strdup(name);
    bpc_region_ref(root);
    space->root = root;
    bp_machine_lock(NULL);
    space->view = bpc_view_build(root);
    space->next = spaces;
    spaces = space;
    generation++;
    bp_machine_unlock(NULL);
    bpc_claim(owner, &space->claim, release);
    return space;
}

void bp_space_free(struct bp_space *space)
{
    bpc_assert_locked();
    if (!space)
        return;
    bpc_unclaim(&space->claim);
    release(&space->claim);
}

void bpc_tell_sections(struct bp_region *region,
                       void (*fn)(const struct bpc_listener *listener,
                                  const struct bp_section *section))
{
    telling++;
    for (struct bp_space *space = spaces; space; space = space->next) {
        for (size_t i = 0; i < space->view->count; i++) {
            struct bp_section section = bpc_section_of(&space->view->ranges[i]);

            if (section.region != region)
                continue;
            for (struct bpc_listener *entry = space->listeners; entry; entry = entry->next)
                if (entry->table)
                    fn(entry, &section);
        }
    }
    if (--telling == 0) {
        for (struct bp_space *space = spaces; space; space = space->next)
            sweep(space);
    }
}

static void settle(const struct bpc_listener *listener, const struct bp_section *section)
{
    if (listener->copy.settle)
        listener->copy.settle(listener->opaque, section);
}

void bp_region_settle(struct bp_region *region)
{
    bpc_assert_main();
    bp_machine_lock(NULL);
    bpc_tell_sections(region, settle);
    bp_machine_unlock(NULL);
}

struct bp_region *bp_space_root(struct bp_space *space)
{
    return space->root;
}

void bp_space_listen(struct bp_space *space, const struct bp_memory_listener *listener,
                     void *opaque)
{
    bpc_assert_locked();
    static const struct bpc_view nothing;
    struct bpc_listener *entry = g_new0(struct bpc_listener, 1), **link = &space->listeners;

    entry->table = listener;
    memcpy(&entry->copy, listener, MIN(listener->size, sizeof(entry->copy)));
    entry->opaque = opaque;
    bp_machine_lock(NULL);
    while (*link)
        link = &(*link)->next;
    *link = entry;
    bpc_view_tell_changes(&nothing, space->view, entry);
    bp_machine_unlock(NULL);
}

void bp_space_unlisten(struct bp_space *space, const struct bp_memory_listener *listener,
                       void *opaque)
{
    bpc_assert_locked();
    struct bpc_listener **link = &space->listeners, *entry;

    bp_machine_lock(NULL);
    while ((entry = *link) && (entry->table != listener || entry->opaque != opaque))
        link = &entry->next;
    if (entry && telling > 0) {
        entry->table = NULL;
    } else if (entry) {
        *link = entry->next;
        g_free(entry);
    }
    bp_machine_unlock(NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Watchers of a text console. */
#include "watchers.h"

#include <stdlib.h>
#include <string.h>

/* What is kept, in two parts of the ring; from the beginning of a line on where something is lost. */
static void tell_kept(const struct vc_watchers *w, const struct bp_vc_watcher *to)
{
    uint64_t from = w->written > VC_KEPT ? w->written - VC_KEPT : 0;

    while (w->written > VC_KEPT && from < w->written && w->kept[from % VC_KEPT] != '\n')
        from++;
    while (from < w->written) {
        uint64_t at = from % VC_KEPT, n = VC_KEPT - at;

        n = n < w->written - from ? n : w->written - from;
        to->ops->output(to->opaque, w->kept + at, (size_t)n);
        from += n;
    }
}

struct bp_vc_watcher *vc_watchers_add(struct vc_watchers *w, const struct bp_vc_watcher_ops *ops, void *opaque,
                                      void *console)
{
    struct bp_vc_watcher *watcher = bp_alloc(sizeof(*watcher));

    *watcher = (struct bp_vc_watcher){.next = w->first, .ops = ops, .opaque = opaque, .console = console};
    w->first = watcher;
    tell_kept(w, watcher);
    return watcher;
}

void vc_watchers_remove(struct vc_watchers *w, struct bp_vc_watcher *watcher)
{
    struct bp_vc_watcher **at = &w->first;

    while (*at && *at != watcher)
        at = &(*at)->next;
    if (*at)
        *at = watcher->next;
    free(watcher);
}

void vc_watchers_write(struct vc_watchers *w, const uint8_t *bytes, size_t count)
{
    if (!w->kept)
        w->kept = bp_alloc(VC_KEPT);
    for (size_t i = 0; i < count; i++)
        w->kept[w->written++ % VC_KEPT] = bytes[i];
    for (struct bp_vc_watcher *watcher = w->first; watcher; watcher = watcher->next)
        watcher->ops->output(watcher->opaque, bytes, count);
}

void vc_watchers_room(struct vc_watchers *w)
{
    struct bp_vc_watcher *watcher, *next;

    for (watcher = w->first; watcher; watcher = next) {
        next = watcher->next;
        if (!watcher->waits)
            continue;
        watcher->waits = false;
        watcher->ops->writable(watcher->opaque); /* it may be removed in there, no other one */
    }
}

void vc_watchers_close(struct vc_watchers *w)
{
    while (w->first) {
        struct bp_vc_watcher *watcher = w->first;

        w->first = watcher->next;
        watcher->ops->gone(watcher->opaque);
        free(watcher);
    }
    free(w->kept);
    w->kept = NULL;
    w->written = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Who else shows what is written to a text console; with what was written before. */
#ifndef VC_WATCHERS_H
#define VC_WATCHERS_H

#include <bp/host/vc.h>

#define VC_KEPT 65536u /* bytes */

struct vc_watchers {
    struct bp_vc_watcher *first;
    uint8_t *kept; /* owned, VC_KEPT bytes in a ring; NULL: nothing was written */
    uint64_t written;
};
struct bp_vc_watcher {
    struct bp_vc_watcher *next;
    const struct bp_vc_watcher_ops *ops;
    void *opaque;
    void *console; /* the module's */
    bool waits;    /* for room */
};

struct bp_vc_watcher *vc_watchers_add(struct vc_watchers *w, const struct bp_vc_watcher_ops *ops, void *opaque,
                                      void *console);
void vc_watchers_remove(struct vc_watchers *w, struct bp_vc_watcher *watcher);
void vc_watchers_write(struct vc_watchers *w, const uint8_t *bytes, size_t count);
void vc_watchers_room(struct vc_watchers *w); /* tells those that wait */
void vc_watchers_close(struct vc_watchers *w);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Text consoles for others: interface vc/1, offered by the `chardev-vc` module. Who has a terminal of its own (a page
 * in a browser) shows the bytes that are written to a chardev vc, and types there.
 */
#ifndef BP_HOST_VC_H
#define BP_HOST_VC_H

#include <bp/base.h>
#include <bp/error.h>

BP_BEGIN_DECLS

struct bp_vc_watcher; /* opaque */

struct bp_vc_watcher_ops {
    uint32_t size; /* sizeof(struct bp_vc_watcher_ops) */
    uint32_t flags; /* none yet: 0 */
    /* Bytes that were written, as they were. [any] under the machine lock; it calls nothing of this interface. */
    void (*output)(void *opaque, const uint8_t *bytes, size_t count);
    /* There is room again, after type() took less than it got. [main] */
    void (*writable)(void *opaque);
    /* The console goes; the watcher is gone when this returns. [main] */
    void (*gone)(void *opaque);
    void *reserved[4];
};

struct bp_vc_interface { /* vc/1; [main] under the machine lock */
    uint32_t size;
    /* The id of the n-th console, from 0, in the order of their making, and its size in characters; NULL: there are
     * fewer. Borrowed. */
    const char *(*console_at)(unsigned n, uint32_t *ret_columns, uint32_t *ret_rows);
    /*
     * `ops` is borrowed. What was written before, as far as it is kept (64 KiB, from the beginning of a line on), comes
     * by output() before this returns. -ENOENT: there is no such console.
     */
    int (*watch)(const char *id, const struct bp_vc_watcher_ops *ops, void *opaque,
                 struct bp_vc_watcher **ret_watcher, struct bp_error *err);
    void (*unwatch)(struct bp_vc_watcher *watcher); /* NULL is fine */
    /* Types bytes; returns how many were taken. */
    size_t (*type)(struct bp_vc_watcher *watcher, const uint8_t *bytes, size_t count);
    void *reserved[4];
};

BP_END_DECLS

#endif

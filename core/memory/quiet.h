/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Quiet points. A vCPU that runs guest code is a reader of the memory map for as long as it runs:
 * what its accelerator caches (host addresses, decoded code) stays valid until it has come out of
 * cpu_exec() once after the change. Outside (halted, paused, waiting) it is quiet.
 *
 * Epochs: a reader notes the epoch when it enters and 0 when it leaves. What waits takes the next
 * epoch and is called when every reader is quiet or has entered since. Nobody blocks for it.
 */
#ifndef BPC_QUIET_H
#define BPC_QUIET_H

#include <bp/base.h>

struct bpc_reader {
    uint64_t seen;              /* atomic; epoch of the last entry, 0: quiet */
    bool changed_map;           /* its own thread: it has changed a map since it entered */
    void (*kick)(void *opaque); /* makes it come out soon; [any], must not wait */
    void *opaque;
    struct bpc_reader *next;
};

/* Something to be called once; zeroed, kept by the caller until then. */
struct bpc_quiet {
    void (*fn)(struct bpc_quiet *item);
    uint64_t epoch;
    struct bpc_quiet *next;
};

void bpc_reader_add(struct bpc_reader *reader); /* quiet; [any] */
void bpc_reader_remove(struct bpc_reader *reader);
/* The calling thread is this reader's. */
void bpc_reader_bind(struct bpc_reader *reader);
void bpc_reader_enter(struct bpc_reader *reader); /* [its thread] */
void bpc_reader_leave(struct bpc_reader *reader); /* [its thread], without locks */

/* Calls fn once every reader has passed a quiet point: at once when all are quiet, else on the
 * thread of the last one. fn takes no machine lock. [any] */
void bpc_quiet_call(struct bpc_quiet *item, void (*fn)(struct bpc_quiet *item));
/* This thread has changed a map (if it is a reader it has to wait for the others, see above). */
void bpc_quiet_map_changed(void);

/* Calls fn on a thread of the RCU library when every read-side section that is open now has ended.
 * It must not wait. [any] */
void bpc_grace_call(void (*fn)(void *opaque), void *opaque);
/* Returns when all that bpc_grace_call() was asked for before has been called. Outside of sections. */
void bpc_grace_wait(void);
void bpc_grace_sync(void); /* only for read-side sections, not for calls that were asked for before */

#endif

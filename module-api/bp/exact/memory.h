/* SPDX-License-Identifier: MIT */
/*
 * What an accelerator has to know about guest memory. Tier: exact.
 *
 * Quiet points. While a vCPU is inside cpu_exec() it is a reader of the memory map: host addresses
 * that it took from bp_space_lookup() stay valid until it returns from there, even when they left
 * the map meanwhile. The core makes it return (bp_cpu_kick) after every change that matters. So:
 * - what is kept from one call of cpu_exec() to the next is looked up again when a listener of the
 *   space has heard of a change since;
 * - a change that the vCPU makes itself (a listener runs on its thread, inside an access) is heeded
 *   before its next instruction: cpu_exec() returns BP_CPU_EXIT_KICKED at the end of this one. The
 *   core does not let it go on before every other vCPU has passed a quiet point.
 */
#ifndef BP_EXACT_MEMORY_H
#define BP_EXACT_MEMORY_H

#include <bp/base.h>

BP_BEGIN_DECLS

struct bp_owner;
struct bp_write_watch; /* opaque */

/*
 * Write watch. `written` is called after every write to RAM or ROM that is not a vCPU's own store
 * through a host address (DMA, monitor, loader, a device's direct write), before the writer's access
 * has ended, and when host memory is about to be used for something else. An accelerator that keeps
 * what it made from these bytes drops it there. `host` and `length` name the host memory written.
 *
 * Who makes something of a page first notes that it does, then a full barrier, then reads the page;
 * the core has one between the write and this call: one of the two sees the other.
 *
 * [any] inside a read-side section: it takes no lock, does not wait and is quick. It may still be
 * called for a grace period after bp_write_watch_free(); the owner's end is such a free.
 */
struct bp_write_watch *bp_write_watch_new(struct bp_owner *owner,
                                          void (*written)(void *opaque, const uint8_t *host,
                                                          uint64_t length),
                                          void *opaque); /* [any] */
void bp_write_watch_free(struct bp_write_watch *watch);  /* NULL is fine; [any] */

BP_END_DECLS

#endif

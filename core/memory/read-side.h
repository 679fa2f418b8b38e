/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Read-side sections: what a reader sees of a view stays until it leaves. Inline, for they stand
 * around every access. The inline code of the RCU library assumes an alignment that its own arena
 * does not give, which UBSan reports: sanitized builds call the library instead.
 */
#ifndef BPC_READ_SIDE_H
#define BPC_READ_SIDE_H

#ifndef __SANITIZE_ADDRESS__
#define _LGPL_SOURCE
#endif
#include <urcu-bp.h>

/* The library is not instrumented: ThreadSanitizer is told what its grace periods order. */
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
extern char bpc_grace;
#define BPC_TELL_LEAVING() __tsan_release(&bpc_grace)
#define BPC_TELL_GRACE_PERIOD() __tsan_acquire(&bpc_grace)
#else
#define BPC_TELL_LEAVING() ((void)0)
#define BPC_TELL_GRACE_PERIOD() ((void)0)
#endif

static inline void bpc_memory_read_lock(void)
{
    rcu_read_lock();
}

static inline void bpc_memory_read_unlock(void)
{
    BPC_TELL_LEAVING();
    rcu_read_unlock();
}

#endif

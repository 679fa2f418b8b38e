/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The marks of the headers, asserted where a public function begins: [main], "under the machine lock", "without
 * it", [waits]; and [vcpu] where the core calls what has that mark.
 * Compiled in with -Dassert_marks=true (./dev asan and tsan say so); nothing otherwise. Before
 * bpc_loop_init() there is one thread and no lock: nothing is asserted.
 */
#ifndef BPC_MARKS_H
#define BPC_MARKS_H

#include <stdbool.h>

bool bpc_marks_asserted(void); /* was it compiled in? */

#ifdef BPC_ASSERT_MARKS
#include <assert.h>

bool bpc_mark_main(void);
bool bpc_mark_locked(void);
bool bpc_mark_unlocked(void);
bool bpc_mark_coroutine(void);
#define bpc_assert_main() assert(bpc_mark_main()) /* the main thread, under the machine lock */
#define bpc_assert_locked() assert(bpc_mark_locked()) /* any thread, under the machine lock */
#define bpc_assert_unlocked() assert(bpc_mark_unlocked()) /* any thread, which holds neither it nor a device's */
/* Inside a coroutine: in the main context under the machine lock, elsewhere without, holding no device's. */
#define bpc_assert_coroutine() assert(bpc_mark_coroutine())
/* The thread of this vCPU (`current`: of the calling one), holding no lock. */
#define bpc_assert_vcpu(cpu, current) assert((cpu) == (current) && bpc_mark_unlocked())
#else
#define bpc_assert_main() ((void)0)
#define bpc_assert_locked() ((void)0)
#define bpc_assert_unlocked() ((void)0)
#define bpc_assert_coroutine() ((void)0)
#define bpc_assert_vcpu(cpu, current) ((void)0)
#endif

#endif

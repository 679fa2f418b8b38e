/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The marks of the headers, asserted where a public function begins: [main], and "under the machine lock".
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
#define bpc_assert_main() assert(bpc_mark_main()) /* the main thread, under the machine lock */
#define bpc_assert_locked() assert(bpc_mark_locked()) /* any thread, under the machine lock */
#else
#define bpc_assert_main() ((void)0)
#define bpc_assert_locked() ((void)0)
#endif

#endif

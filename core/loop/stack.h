/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stacks of coroutines: mapped, with a guard page below, a few kept for the next. [any] */
#ifndef BPC_STACK_H
#define BPC_STACK_H

#include <stddef.h>

#define BPC_STACK_GUARD 4096u /* at least; a host page */

/* BP_CO_STACK usable bytes; NULL: the host gives no more. */
void *bpc_stack_get(void);
void bpc_stack_put(void *stack);
size_t bpc_stack_guard(void); /* bytes below a stack that fault */

#endif

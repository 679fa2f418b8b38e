/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What marks.h asks. */
#include "marks.h"

#include "context.h"
#include "coroutine.h"
#include "loop.h"

bool bpc_marks_asserted(void)
{
#ifdef BPC_ASSERT_MARKS
    return true;
#else
    return false;
#endif
}

#ifdef BPC_ASSERT_MARKS

bool bpc_mark_main(void)
{
    return !bpc_main_context.glib || (bpc_loop_is_main() && bpc_machine_held());
}

bool bpc_mark_locked(void)
{
    return !bpc_main_context.glib || bpc_machine_held();
}

bool bpc_mark_unlocked(void)
{
    return !bpc_main_context.glib || (!bpc_machine_held() && !bpc_owner_lock_held());
}

bool bpc_mark_coroutine(void)
{
    struct bp_co *co = bp_co_current();

    return co && bpc_machine_held() == co->ctx->is_main;
}
#endif

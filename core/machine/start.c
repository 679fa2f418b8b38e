/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What comes between a machine that is made and one that may run: who is waited for, and what is done
 * only then. */
#include <glib.h>

#include <bp/log.h>
#include <bp/run.h>

#include "config.h"
#include "machine.h"
#include "marks.h"

struct bp_start_hold {
    char *what;
};

struct on_start {
    void (*fn)(void *opaque);
    void *opaque;
};

static GPtrArray *holds; /* of bp_start_hold, oldest first */
static bool started;
static GArray *waiting; /* of on_start */

struct bp_start_hold *bp_start_hold(const char *what)
{
    bpc_assert_main();
    struct bp_start_hold *hold;

    if (started)
        return NULL;
    if (!holds)
        holds = g_ptr_array_new();
    hold = g_new0(struct bp_start_hold, 1);
    hold->what = g_strdup(what);
    g_ptr_array_add(holds, hold);
    return hold;
}

void bp_start_release(struct bp_start_hold *hold)
{
    bpc_assert_main();
    if (!hold)
        return;
    g_ptr_array_remove(holds, hold);
    g_free(hold->what);
    g_free(hold);
}

void bp_on_start(void (*fn)(void *opaque), void *opaque)
{
    bpc_assert_main();
    struct on_start call = {fn, opaque};

    if (started) {
        fn(opaque);
        return;
    }
    if (!waiting)
        waiting = g_array_new(FALSE, FALSE, sizeof(struct on_start));
    g_array_append_val(waiting, call);
}

struct on_complete {
    int (*fn)(void *opaque, struct bp_error *err);
    void *opaque;
};

static GArray *completing; /* of on_complete */

void bp_on_complete(int (*fn)(void *opaque, struct bp_error *err), void *opaque)
{
    bpc_assert_main();
    struct on_complete call = {fn, opaque};

    if (!completing)
        completing = g_array_new(FALSE, FALSE, sizeof(struct on_complete));
    g_array_append_val(completing, call);
}

int bpc_start_complete(struct bp_error *err)
{
    GArray *calls = completing;
    int ret = 0;

    completing = NULL;
    for (guint i = 0; calls && ret == 0 && i < calls->len; i++) {
        const struct on_complete *call = &g_array_index(calls, struct on_complete, i);

        ret = call->fn(call->opaque, err);
    }
    if (calls)
        g_array_free(calls, TRUE);
    return ret;
}

bool bp_leaves_terminal(void)
{
    return bpc_config.daemonize;
}

bool bpc_start_is_held(void)
{
    return holds && holds->len > 0;
}

void bpc_start_tell_held(void)
{
    for (guint i = 0; holds && i < holds->len; i++)
        bp_info("waiting for %s", ((struct bp_start_hold *)g_ptr_array_index(holds, i))->what);
}

void bpc_start_done(void)
{
    GArray *calls = waiting;

    started = true;
    waiting = NULL;
    for (guint i = 0; calls && i < calls->len; i++) {
        const struct on_start *call = &g_array_index(calls, struct on_start, i);

        call->fn(call->opaque);
    }
    if (calls)
        g_array_free(calls, TRUE);
}

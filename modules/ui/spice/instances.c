/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What other modules give to the server (interface spice/1): it waits until there is one. */
#define BP_SHARED
#include "spice-server.h"

#include <errno.h>
#include <stdlib.h>

#include <bp/host/spice.h>

struct waiting {
    struct waiting *next;
    SpiceBaseInstance *instance;
    void (*added)(void *opaque);
    void *opaque;
};

static struct waiting *all; /* what was added too */

static bool is_asked(void)
{
    return spice_ui.server || bp_option_given("spice", NULL, NULL) || bp_option_given("display", "type", "spice-app");
}

static int give(const struct waiting *w, struct bp_error *err)
{
    if (spice_server_add_interface(spice_ui.server, w->instance) != 0)
        return bp_fail(err, EINVAL, "the SPICE server does not take another '%s'", w->instance->sif->description);
    w->added(w->opaque);
    return 0;
}

static int add(void *instance, void (*added)(void *opaque), void *opaque, struct bp_error *err)
{
    struct waiting *w, **at = &all;
    int r;

    if (!is_asked())
        return bp_fail(err, ENODEV, "there is no SPICE server: add -spice");
    w = bp_alloc(sizeof(*w));
    w->instance = instance;
    w->added = added;
    w->opaque = opaque;
    r = spice_ui.server ? give(w, err) : 0;
    if (r < 0) {
        free(w);
        return r;
    }
    while (*at)
        at = &(*at)->next;
    *at = w;
    return 0;
}

static void remove_instance(void *instance)
{
    struct waiting **at = &all, *w;

    while (*at && (*at)->instance != instance)
        at = &(*at)->next;
    w = *at;
    if (!w)
        return;
    *at = w->next;
    free(w);
    if (spice_ui.server)
        spice_server_remove_interface(instance);
}

int spice_instances_give(struct bp_error *err)
{
    int r = 0;

    for (const struct waiting *w = all; w && r == 0; w = w->next)
        r = give(w, err);
    return r;
}

static const struct bp_spice_interface table = {
    .size = sizeof(table), .is_asked = is_asked, .add = add, .remove = remove_instance};
BP_INTERFACE(spice_interface, "spice", 1, 0, &table);

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * One context for each machine, for devices that do much I/O and whose user named no iothread. It is made
 * when the first asks, and goes with the last. Under the machine lock.
 */
#include <errno.h>
#include <stdlib.h>

#include "engine.h"

struct shared_context {
    struct bp_machine *machine;
    struct bp_context *ctx;
    unsigned users;
    struct shared_context *next;
};

static struct shared_context *all; /* one for each machine that has such devices */

int virtio_shared_context(struct bp_virtio *v, struct bp_context **ret_ctx, struct bp_error *err)
{
    struct bp_machine *machine = bp_device_machine(v->dev);
    struct shared_context *s = all;
    int ret = 0;

    while (s && s->machine != machine)
        s = s->next;
    if (!s) {
        s = calloc(1, sizeof(*s));
        if (!s)
            return bp_fail(err, ENOMEM, "virtio: no memory for a context");
        ret = bp_context_new(machine, "io", &s->ctx, err);
        if (ret < 0) {
            free(s);
            return ret;
        }
        s->machine = machine;
        s->next = all;
        all = s;
    }
    if (!v->shared) {
        v->shared = s;
        s->users++;
    }
    *ret_ctx = s->ctx;
    return 0;
}

void virtio_shared_leave(struct bp_virtio *v)
{
    struct shared_context *s = v->shared, **link = &all;

    v->shared = NULL;
    if (!s || --s->users > 0)
        return;
    while (*link != s)
        link = &(*link)->next;
    *link = s->next;
    bp_context_free(s->ctx);
    free(s);
}

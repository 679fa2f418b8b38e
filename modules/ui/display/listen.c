/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lists of those who want to hear of something. */
#include <stdlib.h>

#include "display.h"

void listener_add(struct listener **list, void (*fn)(void *opaque), void *opaque)
{
    struct listener *l = bp_alloc(sizeof(*l));

    l->fn = fn;
    l->opaque = opaque;
    while (*list)
        list = &(*list)->next;
    *list = l;
}

void listener_remove(struct listener **list, void (*fn)(void *opaque), void *opaque)
{
    for (; *list; list = &(*list)->next) {
        struct listener *l = *list;

        if (l->fn != fn || l->opaque != opaque)
            continue;
        *list = l->next;
        free(l);
        return;
    }
}

void listeners_call(struct listener *const *list)
{
    /* One that is called may take itself away, but no other one. */
    for (struct listener *l = *list, *next; l; l = next) {
        next = l->next;
        l->fn(l->opaque);
    }
}

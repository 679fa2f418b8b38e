/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* RAM that back ends offer to boards and devices, each to one (bp/ram.h). [main] */
#include <bp/ram.h>

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include <glib.h>

#include "marks.h"
#include "memory.h"
#include "object.h"

struct offer {
    struct bpc_claim claim;
    struct bp_object *backend; /* the claim is its owner's */
    struct bp_region *ram;
    struct taking *taken; /* by whom, or NULL */
    struct offer *next;
};

struct taking {
    struct bpc_claim claim;
    struct offer *offer; /* NULL: it was taken back */
    char *who;
};

static struct offer *offers;

static void release_offer(struct bpc_claim *claim)
{
    struct offer *offer = (struct offer *)((char *)claim - offsetof(struct offer, claim));
    struct offer **link = &offers;

    while (*link != offer)
        link = &(*link)->next;
    *link = offer->next;
    if (offer->taken) {
        offer->taken->offer = NULL;
        bpc_region_unref(offer->ram);
    }
    g_free(offer);
}

static void release_taking(struct bpc_claim *claim)
{
    struct taking *taking = (struct taking *)((char *)claim - offsetof(struct taking, claim));

    if (taking->offer) {
        taking->offer->taken = NULL;
        bp_region_remove(taking->offer->ram);
        bpc_region_unref(taking->offer->ram);
    }
    g_free(taking->who);
    g_free(taking);
}

void bp_ram_offer(struct bp_object *backend, struct bp_region *ram)
{
    bpc_assert_main();
    struct offer *offer = g_new0(struct offer, 1);

    offer->backend = backend;
    offer->ram = ram;
    offer->next = offers;
    offers = offer;
    bpc_claim(bp_object_owner(backend), &offer->claim, release_offer);
}

static struct offer *find(const struct bp_object *backend)
{
    struct offer *offer = offers;

    while (offer && offer->backend != backend)
        offer = offer->next;
    return offer;
}

static int none(const char *id, const char *who, struct bp_error *err)
{
    GString *names = g_string_new(NULL);
    int ret;

    for (const struct offer *offer = offers; offer; offer = offer->next)
        g_string_append_printf(names, "%s%s", names->len ? ", " : "; there is: ",
                               bp_object_id(offer->backend));
    if (names->len == 0)
        g_string_append(names, "; -object memory-backend-ram,id=ID,size=SIZE makes one");
    ret = bp_fail(err, ENOENT, "%s: there is no memory back end '%.100s'%.200s", who, id, names->str);
    g_string_free(names, true);
    return ret;
}

int bp_ram_take(const char *id, struct bp_owner *owner, const char *who, struct bp_region **ret_ram,
                struct bp_error *err)
{
    bpc_assert_main();
    struct bp_object *obj = bpc_object_child(bpc_object_container("/objects"), id);
    struct offer *offer;
    struct taking *taking;

    if (!obj)
        obj = bp_object_resolve(id, NULL, NULL);
    offer = obj ? find(obj) : NULL;
    if (!offer)
        return none(id, who, err);
    if (offer->taken)
        return bp_fail(err, EBUSY, "%s: memory back end '%s' is in use by %s already", who, id,
                       offer->taken->who);
    taking = g_new0(struct taking, 1);
    taking->offer = offer;
    taking->who = g_strdup(who);
    offer->taken = taking;
    bpc_region_ref(offer->ram); /* who has it may go later than the back end */
    bpc_claim(owner, &taking->claim, release_taking);
    *ret_ram = offer->ram;
    return 0;
}

bool bp_ram_is_taken(const struct bp_object *backend)
{
    bpc_assert_locked();
    const struct offer *offer = find(backend);

    return offer && offer->taken;
}

void bp_ram_each(void (*fn)(struct bp_object *backend, struct bp_region *ram, void *opaque),
                 void *opaque)
{
    bpc_assert_main();
    for (const struct offer *offer = offers, *next; offer; offer = next) {
        next = offer->next;
        fn(offer->backend, offer->ram, opaque);
    }
}

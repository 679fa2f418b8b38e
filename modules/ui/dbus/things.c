/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Things at object paths, on all links. The library asks for them when somebody calls. */
#include "dbus-display.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern const struct dbus_thing_interface dbus_all_interfaces[];

struct offer {
    struct offer *next;
    struct dbus_link *link;
};

static struct dbus_thing *things;
static struct offer *offers;

static const struct dbus_thing_interface *interface_of(const struct dbus_thing *t, const char *name)
{
    const struct dbus_thing_interface *i = t->interfaces;

    while (i->name && strcmp(i->name, name) != 0)
        i++;
    return i->name ? i : NULL;
}

static int find(sd_bus *bus, const char *path, const char *interface, void *opaque, void **ret_found,
                sd_bus_error *error)
{
    struct dbus_thing *t = things;

    (void)bus;
    (void)opaque;
    (void)error;
    while (t && strcmp(t->path, path) != 0)
        t = t->next;
    if (!t || !interface_of(t, interface))
        return 0;
    *ret_found = t->opaque;
    return 1;
}

static int list(sd_bus *bus, const char *prefix, void *opaque, char ***ret_nodes, sd_bus_error *error)
{
    unsigned count = 0;

    (void)bus;
    (void)prefix;
    (void)opaque;
    (void)error;
    for (const struct dbus_thing *t = things; t; t = t->next)
        count++;
    *ret_nodes = bp_alloc((count + 1) * sizeof(**ret_nodes));
    for (const struct dbus_thing *t = things; t; t = t->next)
        (*ret_nodes)[--count] = bp_strdup(t->path);
    return 0;
}

int dbus_things_offer(struct dbus_link *link, struct bp_error *err)
{
    struct offer *o;
    sd_bus *bus = dbus_link_bus(link);
    int r = sd_bus_add_object_manager(bus, NULL, DBUS_ROOT);

    if (r >= 0)
        r = sd_bus_add_node_enumerator(bus, NULL, DBUS_ROOT, list, NULL);
    for (const struct dbus_thing_interface *i = dbus_all_interfaces; i->name && r >= 0; i++)
        r = sd_bus_add_fallback_vtable(bus, NULL, DBUS_ROOT, i->name, i->table, find, NULL);
    if (r < 0)
        return bp_fail(err, -r, "D-Bus: objects cannot be offered: %s", strerror(-r));
    o = bp_alloc(sizeof(*o));
    o->link = link;
    o->next = offers;
    offers = o;
    return 0;
}

void dbus_things_withdraw(struct dbus_link *link)
{
    struct offer **at = &offers, *o;

    while (*at && (*at)->link != link)
        at = &(*at)->next;
    o = *at;
    if (!o)
        return;
    *at = o->next;
    free(o);
}

struct dbus_link *dbus_things_link(const sd_bus *bus)
{
    for (struct offer *o = offers; o; o = o->next)
        if (dbus_link_bus(o->link) == bus)
            return o->link;
    return NULL;
}

int dbus_thing_add(struct dbus_thing *thing, struct bp_error *err)
{
    for (const struct dbus_thing *t = things; t; t = t->next)
        if (!strcmp(t->path, thing->path))
            return bp_fail(err, EEXIST, "D-Bus: the object path %s is taken", thing->path);
    thing->next = things;
    things = thing;
    for (struct offer *o = offers; o; o = o->next) {
        sd_bus_emit_object_added(dbus_link_bus(o->link), thing->path);
        dbus_link_sent(o->link);
    }
    return 0;
}

void dbus_thing_remove(struct dbus_thing *thing)
{
    struct dbus_thing **at = &things;

    while (*at && *at != thing)
        at = &(*at)->next;
    if (!*at)
        return;
    for (struct offer *o = offers; o; o = o->next) {
        sd_bus_emit_object_removed(dbus_link_bus(o->link), thing->path);
        dbus_link_sent(o->link);
    }
    *at = thing->next;
}

void dbus_thing_changed(const struct dbus_thing *thing, const char *interface, const char *property)
{
    for (struct offer *o = offers; o; o = o->next) {
        sd_bus_emit_properties_changed(dbus_link_bus(o->link), thing->path, interface, property, NULL);
        dbus_link_sent(o->link);
    }
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Filters: their places in the list of a netdev. What they do with packets is in port.c. [main] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "net.h"

static int find_place(struct bp_netdev *nd, const struct bp_net_filter_conf *conf,
                      struct bp_net_filter ***ret_link, struct bp_error *err)
{
    const char *position = conf->position ? conf->position : "tail";
    struct bp_net_filter **link = &nd->port.filters;

    if (!strcmp(position, "head")) {
        *ret_link = link;
        return 0;
    }
    if (!strcmp(position, "tail")) {
        while (*link)
            link = &(*link)->next;
        *ret_link = link;
        return 0;
    }
    if (strncmp(position, "id=", 3))
        return bp_fail(err, EINVAL, "property 'position': '%s' is not head, tail or id=ID", position);
    while (*link && strcmp(bp_object_id((*link)->obj), position + 3) != 0)
        link = &(*link)->next;
    if (!*link)
        return bp_fail(err, ENOENT, "property 'position': netdev '%s' has no filter '%s'", nd->id,
                       position + 3);
    *ret_link = conf->insert == 1 ? link : &(*link)->next;
    return 0;
}

int filter_new(struct bp_object *obj, struct bp_net_filter_conf *conf,
               const struct bp_net_filter_ops *ops, void *opaque, struct bp_error *err)
{
    struct bp_netdev *nd = conf->netdev ? netdev_find(conf->netdev) : NULL;
    struct bp_net_filter *filter, **link = NULL;
    int r;

    if (!conf->netdev)
        return bp_fail(err, EINVAL, "property 'netdev' is missing: the id of the netdev that it sits on");
    if (!nd)
        return bp_fail(err, ENOENT, "property 'netdev': there is no netdev '%s'", conf->netdev);
    if (nd->class->rings)
        return bp_fail(err, EINVAL, "property 'netdev': no packets pass through '%s': another process serves the rings "
                       "of its card", conf->netdev);
    r = find_place(nd, conf, &link, err);
    if (r < 0)
        return r;
    filter = bp_alloc(sizeof(*filter));
    filter->obj = obj;
    filter->conf = conf;
    filter->ops = ops;
    filter->opaque = opaque;
    filter->netdev = nd;
    filter->next = *link;
    *link = filter;
    conf->filter = filter;
    return 0;
}

void filter_free(struct bp_net_filter *filter)
{
    struct bp_net_filter **link;

    if (!filter)
        return;
    if (filter->netdev) {
        link = &filter->netdev->port.filters;
        while (*link && *link != filter)
            link = &(*link)->next;
        if (*link)
            *link = filter->next;
    }
    free(filter);
}

void filters_orphan(struct bp_netdev *nd)
{
    for (struct bp_net_filter *f = nd->port.filters, *next; f; f = next) {
        next = f->next;
        f->next = NULL;
        f->netdev = NULL;
    }
    nd->port.filters = NULL;
}

bool filter_pass(struct bp_net_filter *filter, enum bp_net_direction direction, unsigned queue,
                 const struct bp_net_packet *packet)
{
    return filter->netdev && port_pass(&filter->netdev->port, filter, direction, queue, packet);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NICs: addresses, and the cable to a netdev. A NIC whose machine stands takes nothing. [main] */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/run.h>

#include "net.h"

struct bp_nic *nic_all;

/* ---- as a port ---- */

static unsigned receive(struct port *port, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct bp_nic *nic = port->self;

    return nic->ops->receive(nic->opaque, queue, packets, count);
}

static void ready(struct port *port, unsigned queue)
{
    struct bp_nic *nic = port->self;

    if (nic->ops->ready)
        nic->ops->ready(nic->opaque, queue);
}

static void link_changed(struct port *port, bool up)
{
    struct bp_nic *nic = port->self;

    if (nic->ops->link)
        nic->ops->link(nic->opaque, up);
}

static bool runs(const struct port *port)
{
    return bp_machine_running(bp_device_machine(((const struct bp_nic *)port->self)->dev));
}

static void run_changed(void *opaque, bool running)
{
    for (struct bp_nic *nic = nic_all; nic; nic = nic->next)
        if (nic == opaque && running)
            port_taking(&nic->port);
}

/* ---- addresses ---- */

int mac_parse(const char *text, uint8_t ret_mac[6], struct bp_error *err)
{
    unsigned v[6];
    int end = -1;
    bool dashes = strchr(text, '-') != NULL;
    const char *form = dashes ? "%2x-%2x-%2x-%2x-%2x-%2x%n" : "%2x:%2x:%2x:%2x:%2x:%2x%n";

    if (strspn(text, "0123456789abcdefABCDEF:-") != strlen(text) ||
        sscanf(text, form, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &end) != 6 || text[end])
        return bp_fail(err, EINVAL, "'%s' is no hardware address: 52:54:00:12:34:56 is one", text);
    if (v[0] & 1)
        return bp_fail(err, EINVAL, "'%s' is a multicast address, which no NIC can have; the first byte is "
                       "even in others", text);
    for (unsigned i = 0; i < 6; i++)
        ret_mac[i] = (uint8_t)v[i];
    return 0;
}

static bool mac_in_use(const uint8_t mac[6])
{
    for (struct bp_nic *nic = nic_all; nic; nic = nic->next)
        if (!memcmp(nic->mac, mac, 6))
            return true;
    return false;
}

static int choose_mac(struct bp_nic *nic, struct bp_netdev *nd, struct bp_error *err)
{
    char text[18];

    if (nic->conf->mac)
        return mac_parse(nic->conf->mac, nic->mac, err);
    if (!nd || !nd->class->default_mac || !nd->class->default_mac(nd, nic->mac))
        memcpy(nic->mac, (uint8_t[]){0x52, 0x54, 0x00, 0x12, 0x34, 0x56}, 6);
    while (mac_in_use(nic->mac))
        if (++nic->mac[5] == 0)
            nic->mac[4]++;
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", nic->mac[0], nic->mac[1], nic->mac[2],
             nic->mac[3], nic->mac[4], nic->mac[5]);
    nic->conf->mac = bp_strdup(text);
    return 0;
}

/* ---- life ---- */

static char *name_it(struct bp_device *dev)
{
    const char *id = bp_device_id(dev), *type = bp_object_type(bp_device_object(dev));
    char text[160];
    unsigned n = 0;
    bool taken;

    if (id)
        return bp_strdup(id);
    do {
        snprintf(text, sizeof(text), "%.120s.%u", type, n++);
        taken = false;
        for (struct bp_nic *nic = nic_all; nic; nic = nic->next)
            taken |= !strcmp(nic->name, text);
    } while (taken);
    return bp_strdup(text);
}

static int find_peer(const struct bp_net_conf *conf, uint32_t takes, struct bp_netdev **ret_nd,
                     struct bp_error *err)
{
    struct bp_netdev *nd = conf->netdev && *conf->netdev ? netdev_find(conf->netdev) : NULL;

    if (conf->netdev && *conf->netdev && !nd)
        return bp_fail(err, ENOENT, "property 'netdev': there is no netdev '%s'", conf->netdev);
    if (nd && nd->port.peer)
        return bp_fail(err, EBUSY, "property 'netdev': '%s' is in use", conf->netdev);
    if (nd && nd->class->rings && !(takes & BP_NET_TAKES_RINGS))
        return bp_fail(err, EINVAL, "property 'netdev': '%s' (%s) serves the rings of a virtio network card: only "
                       "virtio-net can have it", conf->netdev, netdev_type(nd));
    *ret_nd = nd;
    return 0;
}

int nic_new(struct bp_device *dev, struct bp_net_conf *conf, unsigned queues,
            const struct bp_nic_ops *ops, void *opaque, struct bp_nic **ret_nic, struct bp_error *err)
{
    struct bp_nic *nic, **link = &nic_all;
    struct bp_netdev *nd = NULL;
    int r;

    if (ops->size < offsetof(struct bp_nic_ops, reserved) || ops->size > 4096)
        return bp_fail(err, EINVAL, "a NIC says that its callbacks are %u bytes", ops->size);
    r = find_peer(conf, ops->takes, &nd, err);
    if (r < 0)
        return r;
    nic = bp_alloc(sizeof(*nic));
    nic->dev = dev;
    nic->conf = conf;
    nic->ops = ops;
    nic->opaque = opaque;
    r = choose_mac(nic, nd, err);
    if (r < 0) {
        free(nic);
        return r;
    }
    memcpy(nic->guest_mac, nic->mac, 6);
    nic->name = name_it(dev);
    nic->port = (struct port){.receive = receive, .ready = ready, .runs = runs,
                              .takes = ops->takes & ~BP_NET_TAKES_RINGS, .queues = queues, .is_nic = true};
    port_init(&nic->port, nic);
    while (*link)
        link = &(*link)->next;
    *link = nic;
    if (nd)
        port_connect(&nic->port, &nd->port);
    nic->port.told_up = nd && port_up(&nic->port);
    nic->port.link_changed = link_changed; /* it asks how things are when it begins */
    bp_machine_on_run_change(bp_device_machine(dev), bp_device_owner(dev), BP_RUN_ORDER_DEVICE,
                             run_changed, nic);
    *ret_nic = nic;
    return 0;
}

void nic_free(struct bp_nic *nic)
{
    struct bp_nic **link = &nic_all;

    if (!nic)
        return;
    port_finish(&nic->port);
    while (*link && *link != nic)
        link = &(*link)->next;
    if (*link)
        *link = nic->next;
    free(nic->name);
    free(nic);
}

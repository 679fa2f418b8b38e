/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of netdevs: made of a back end's class, found by id, joined with another end, removed. [main] */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/value.h>

#include "net.h"

#define MAX_ID 127u /* characters of an id */

struct bp_netdev *netdev_all;

struct bp_netdev *netdev_find(const char *id)
{
    struct bp_netdev *nd = netdev_all;

    while (nd && (!id || strcmp(nd->id, id) != 0))
        nd = nd->next;
    return nd;
}

const char *netdev_type(const struct bp_netdev *nd)
{
    const char *name = nd->class->type.name;

    return strncmp(name, "netdev-", 7) ? name : name + 7;
}

/* ---- as a port ---- */

static unsigned receive(struct port *port, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    struct bp_netdev *nd = port->self;

    return nd->class->receive(nd, queue < port->queues ? queue : 0, packets, count);
}

static void ready(struct port *port, unsigned queue)
{
    struct bp_netdev *nd = port->self;

    if (nd->class->ready)
        nd->class->ready(nd, queue);
}

static void link_changed(struct port *port, bool up)
{
    struct bp_netdev *nd = port->self;

    if (nd->class->link)
        nd->class->link(nd, up);
}

static void peer_changed(struct port *port)
{
    struct bp_netdev *nd = port->self;

    if (nd->class->peer_takes)
        nd->class->peer_takes(nd, port->peer ? port->peer->takes : 0);
}

static bool runs(const struct port *port)
{
    return ((const struct bp_netdev *)port->self)->opened;
}

/* ---- making ---- */

static bool id_well_formed(const char *id)
{
    if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z')))
        return false;
    for (; *id; id++)
        if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') ||
              (*id >= '0' && *id <= '9') || strchr("-._", *id)))
            return false;
    return true;
}

static int check_id(const char *id, struct bp_error *err)
{
    if (!id)
        return bp_fail(err, EINVAL, "Parameter 'id' is missing: others refer to the netdev by it");
    /* '#' begins the names that are made up for -nic and -net. */
    if (id[0] != '#' && !id_well_formed(id))
        return bp_fail(err, EINVAL, "Parameter 'id' expects an identifier: letters, digits, '-', '.', "
                       "'_', starting with a letter; not '%s'", id);
    if (strlen(id) > MAX_ID)
        return bp_fail(err, EINVAL, "Parameter 'id' expects at most %u characters, not %zu", MAX_ID,
                       strlen(id));
    if (netdev_find(id))
        return bp_fail(err, EEXIST, "Duplicate ID '%s' for netdev", id);
    return 0;
}

/* What the manual has and nobody provides. */
static const char *missing(const char *type)
{
    static const struct {
        const char *type, *what;
    } known[] = {
        {"tap", "TAP interfaces"}, {"bridge", "bridges of the host"},
        {"socket", "networks over sockets"}, {"stream", "networks over stream sockets"},
        {"dgram", "networks over datagram sockets"}, {"l2tpv3", "L2TPv3 tunnels"},
        {"vde", "VDE switches (libvdeplug)"}, {"af-xdp", "AF_XDP sockets (libbpf)"},
        {"vhost-user", "networks of another process (vhost-user)"}, {"passt", "passt"},
        {"vhost-vdpa", "vDPA devices, which need hardware of the kind"},
        {"netmap", "netmap, which Linux does not have"},
        {"user", "networks without privileges (libslirp)"}, {"hubport", "hubs"},
        {"switch", "switches between machines"},
    };

    for (unsigned i = 0; i < BP_COUNT(known); i++)
        if (!strcmp(type, known[i].type))
            return known[i].what;
    return NULL;
}

static void destroy(struct bp_netdev *nd)
{
    struct bp_netdev **link = &netdev_all;

    port_finish(&nd->port);
    if (nd->opened && nd->class->close)
        nd->class->close(nd);
    nd->opened = false;
    filters_orphan(nd);
    while (*link && *link != nd)
        link = &(*link)->next;
    if (*link)
        *link = nd->next;
    bp_object_destroy(nd->obj);
    free(nd->id);
    free(nd);
}

static int make(const char *id, const char *type, struct bp_value *props, struct bp_netdev **ret_nd,
                struct bp_error *err)
{
    struct bp_netdev *nd, **link = &netdev_all;
    struct bp_object *obj;
    int r = bp_object_new("netdev", type, id, NULL, props, &obj, err);

    if (r < 0)
        return r;
    nd = bp_alloc(sizeof(*nd));
    nd->obj = obj;
    nd->class = bp_object_class(obj);
    nd->id = bp_strdup(id);
    nd->internal = id[0] == '#';
    nd->port = (struct port){.receive = receive, .ready = ready, .link_changed = link_changed,
                             .peer_changed = peer_changed, .runs = runs, .takes = nd->class->takes};
    port_init(&nd->port, nd);
    while (*link)
        link = &(*link)->next;
    *link = nd;
    r = nd->class->open ? nd->class->open(nd, err) : 0;
    if (r < 0) {
        destroy(nd);
        return r;
    }
    nd->opened = true;
    port_taking(&nd->port);
    *ret_nd = nd;
    return 0;
}

int netdev_create(struct bp_value *args, struct bp_netdev **ret_nd, struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "type"), *id = bp_value_get_string(args, "id");
    struct bp_value *props;
    int r;

    if (!type)
        return bp_fail(err, EINVAL, "Parameter 'type' is missing: say which kind of netdev it is");
    if (!bp_provided("netdev", type) && missing(type))
        return bp_fail(err, ENOTSUP, "netdev: %s: not built yet: %s", type, missing(type));
    if (bp_provided("netdev", type)) {
        r = check_id(id, err);
        if (r < 0)
            return r;
    }
    props = bp_value_copy(args);
    bp_value_remove(props, "type");
    bp_value_remove(props, "id");
    r = make(id ? id : "nameless", type, props, ret_nd, err);
    bp_value_unref(props);
    return r;
}

int netdev_remove(const char *id, struct bp_error *err)
{
    struct bp_netdev *nd = netdev_find(id);

    if (!nd)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Device '%s' not found", id);
    if (nd->class->rings && nd->port.peer)
        return bp_fail(err, EBUSY, "netdev '%s' serves the rings of a network card: it goes after that", id);
    destroy(nd);
    return 0;
}

void netdev_remove_all(void)
{
    while (netdev_all)
        destroy(netdev_all);
}

int netdev_connect(struct bp_netdev *nd, struct bp_netdev *other, struct bp_error *err)
{
    if (nd == other)
        return bp_fail(err, EINVAL, "netdev '%s' cannot be joined with itself", nd->id);
    if (nd->class->rings || other->class->rings)
        return bp_fail(err, EINVAL, "netdev '%s' serves the rings of a virtio network card: it has no packets for "
                       "a hub", nd->class->rings ? nd->id : other->id);
    if (nd->port.peer || other->port.peer)
        return bp_fail(err, EBUSY, "netdev '%s' is joined with something else already",
                       nd->port.peer ? nd->id : other->id);
    port_connect(&nd->port, &other->port);
    return 0;
}

/* ---- interface ---- */

static struct bp_netdev *of_object(struct bp_object *obj)
{
    struct bp_netdev *nd = netdev_all;

    while (nd && nd->obj != obj)
        nd = nd->next;
    return nd;
}

static void *netdev_state(struct bp_netdev *nd)
{
    return bp_object_state(nd->obj);
}

static struct bp_netdev *netdev_of_state(void *state)
{
    return of_object(bp_object_of_state(state));
}

static const char *netdev_id(const struct bp_netdev *nd)
{
    return nd->id;
}

static struct bp_owner *netdev_owner(struct bp_netdev *nd)
{
    return bp_object_owner(nd->obj);
}

static void set_queues(struct bp_netdev *nd, unsigned queues)
{
    nd->port.queues = queues ? queues : 1;
}

static unsigned send(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                     unsigned count)
{
    return port_send(&nd->port, queue, packets, count, false);
}

static unsigned push(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets,
                     unsigned count)
{
    unsigned n = port_send(&nd->port, queue, packets, count, true);

    nd->port.blocked = false; /* it does not come again */
    nd->port.dropped += count - n;
    return n;
}

static bool can_send(struct bp_netdev *nd, unsigned queue)
{
    (void)queue;
    if (port_has_room(&nd->port))
        return true;
    nd->port.blocked = true;
    return false;
}

static void taking(struct bp_netdev *nd, unsigned queue)
{
    (void)queue;
    port_taking(&nd->port);
}

static void takes(struct bp_netdev *nd, uint32_t what)
{
    port_set_takes(&nd->port, what);
}

static uint32_t peer_takes(const struct bp_netdev *nd)
{
    return nd->port.peer ? nd->port.peer->takes : 0;
}

static bool connected(const struct bp_netdev *nd)
{
    return nd->port.peer != NULL;
}

static void set_link(struct bp_netdev *nd, bool up)
{
    nd->port.cut = !up;
    port_update_link(&nd->port);
}

/* ---- the interface's other half ---- */

static void nic_mac(const struct bp_nic *nic, uint8_t ret_mac[6])
{
    memcpy(ret_mac, nic->mac, 6);
}

static unsigned nic_send(struct bp_nic *nic, unsigned queue, const struct bp_net_packet *packets,
                         unsigned count)
{
    return port_send(&nic->port, queue, packets, count, false);
}

static void nic_ready(struct bp_nic *nic, unsigned queue)
{
    (void)queue;
    port_taking(&nic->port);
}

static bool nic_link(const struct bp_nic *nic)
{
    return nic->port.peer && port_up(&nic->port);
}

static void nic_takes(struct bp_nic *nic, uint32_t what)
{
    port_set_takes(&nic->port, what);
}

static uint32_t nic_peer_takes(const struct bp_nic *nic)
{
    return nic->port.peer ? nic->port.peer->takes : 0;
}

static unsigned nic_peer_queues(const struct bp_nic *nic)
{
    return nic->port.peer ? nic->port.peer->queues : 1;
}

static void nic_set_mac(struct bp_nic *nic, const uint8_t mac[6])
{
    memcpy(nic->guest_mac, mac, 6);
}

static struct bp_netdev *nic_rings(const struct bp_nic *nic, const struct bp_net_rings **ret_rings)
{
    struct bp_netdev *nd = nic->port.peer && !nic->port.peer->is_nic ? nic->port.peer->self : NULL;

    if (!nd || !nd->class->rings)
        return NULL;
    *ret_rings = nd->class->rings;
    return nd;
}

const struct bp_net_interface net_table = {
    .size = sizeof(net_table), .nic_new = nic_new, .nic_free = nic_free, .nic_mac = nic_mac,
    .nic_send = nic_send, .nic_ready = nic_ready, .nic_link = nic_link, .nic_takes = nic_takes,
    .nic_peer_takes = nic_peer_takes, .nic_peer_queues = nic_peer_queues, .nic_set_mac = nic_set_mac,
    .make_nics = make_nics, .netdev_state = netdev_state, .netdev_of_state = netdev_of_state,
    .netdev_id = netdev_id, .netdev_owner = netdev_owner, .netdev_find = netdev_find,
    .netdev_set_queues = set_queues, .netdev_send = send, .netdev_push = push,
    .netdev_can_send = can_send, .netdev_ready = taking, .netdev_takes = takes,
    .netdev_peer_takes = peer_takes, .netdev_connected = connected, .netdev_set_link = set_link,
    .netdev_connect = netdev_connect, .netdev_create = netdev_create, .netdev_remove = netdev_remove,
    .filter_new = filter_new, .filter_free = filter_free, .filter_pass = filter_pass,
    .copy = packet_copy, .nic_rings = nic_rings,
};

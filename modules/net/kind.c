/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kind `netdev` (bp/host/net.h): what back ends must have, and how one is tried. */
#include <errno.h>
#include <string.h>

#include <bp/value.h>

#include "net.h"

static int check_class(const void *desc, struct bp_error *err)
{
    const struct bp_netdev_class *class = desc;

    return class->receive ? 0 : bp_fail(err, EINVAL, "has no receive function");
}

/* ---- trying one: `backplane-module check` ---- */

static unsigned swallow(struct port *port, unsigned queue, const struct bp_net_packet *packets,
                        unsigned count)
{
    (void)port;
    (void)queue;
    (void)packets;
    return count;
}

static void send_frames(struct port *port)
{
    uint8_t frame[1514];

    memset(frame, 0xff, 6);
    for (unsigned i = 6; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i * 7);
    for (unsigned length = 0; length < sizeof(frame); length += 101) {
        struct iovec halves[2] = {{frame, length / 2}, {frame + length / 2, length - length / 2}};
        struct bp_net_packet packet = {halves, 2, length, {0}};

        port_send(port, 0, &packet, 1, false);
    }
}

static int exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    struct port other = {.receive = swallow};
    struct bp_value *args = bp_value_dict();
    struct bp_error why = {0};
    struct bp_netdev *nd;
    int r;

    bp_value_set(args, "id", bp_value_string("check"));
    bp_value_set(args, "type", bp_value_string(name));
    r = netdev_create(args, &nd, &why);
    bp_value_unref(args);
    if (r < 0)
        return bp_fail(err, ENOTSUP, "does not open with defaults alone: %s", why.message);
    port_init(&other, NULL);
    port_connect(&other, &nd->port);
    send_frames(&other);
    wait(opaque);
    port_finish(&other);
    r = netdev_remove("check", &why);
    return r < 0 ? bp_fail(err, -r, "is not removed: %s", why.message) : 0;
}

const struct bp_kind netdev_kind = {BP_NETDEV_KIND, .check = check_class, .exercise = exercise};

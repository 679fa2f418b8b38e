/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network over datagrams: each is one frame. To one peer, to whoever wrote last, or to a multicast group, which
 * makes a bus of all that are in it. [main]; frames of the guest: under the machine lock.
 */
#ifndef DATAGRAM_H
#define DATAGRAM_H

#include <bp/host/net.h>

#include "address.h"

struct datagram {
    const struct bp_net_interface *net;
    struct bp_netdev *nd;
    struct place local, remote; /* family 0: not given */
    int fd, send_fd;            /* send_fd: a group's other socket, so that our own frames are told from others' */
    union address own;          /* of send_fd */
    socklen_t own_length;
    struct bp_watch *watch, *send_watch;
    uint8_t *in;
    uint32_t in_length; /* a frame that the other end has not taken yet */
    bool wants_out;
};

/* With net, nd, local, remote set. */
int datagram_open(struct datagram *d, const char *type, struct bp_error *err);
void datagram_close(struct datagram *d);
unsigned datagram_receive(struct datagram *d, const struct bp_net_packet *packets, unsigned count);
void datagram_ready(struct datagram *d);
char *datagram_text(struct datagram *d); /* malloc'd */

#endif

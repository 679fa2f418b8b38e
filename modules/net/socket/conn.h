/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A network over a connection: each frame behind four bytes of its length, the highest first. One connection at a
 * time, made or awaited; while there is none the NIC's cable is out. [main]; frames of the guest: under the machine
 * lock.
 */
#ifndef CONN_H
#define CONN_H

#include <bp/host/net.h>

#include "address.h"

#define CONN_HEAD 4u
#define CONN_IN (2 * (BP_NET_MAX_PACKET + CONN_HEAD))
#define CONN_OUT CONN_IN
#define CONN_BATCH 64u /* frames that are handed over at once */

struct conn {
    const struct bp_net_interface *net;
    struct bp_netdev *nd;
    struct place place;
    bool server;
    int64_t retry_ms; /* 0: a connection that ends is not made again */
    /* It came (text: the other side) or went (NULL). */
    void (*changed)(struct conn *conn, const char *text);

    int listener, fd; /* -1: none */
    bool connecting, paused;
    unsigned tried; /* of the place's other addresses, since the last success */
    struct bp_watch *listen_watch, *watch;
    struct bp_timer *retry;
    uint8_t *in;      /* CONN_IN bytes */
    uint32_t in_length;
    uint8_t *out;     /* CONN_OUT bytes: whole frames that go together, and the rest of one that was sent in part */
    uint32_t out_length, out_done;
    struct bp_deferred *flush;
    bool blocked;     /* the other side takes nothing now */
    bool wants_out;   /* the network waits for room in it */
};

/* With net, nd, place, server, retry_ms, changed set. On failure nothing is left to close. */
int conn_open(struct conn *conn, const char *type, struct bp_error *err);
void conn_close(struct conn *conn);
unsigned conn_receive(struct conn *conn, const struct bp_net_packet *packets, unsigned count);
void conn_ready(struct conn *conn);

#endif

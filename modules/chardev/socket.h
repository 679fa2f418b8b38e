/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module `chardev-socket`. */
#ifndef SOCKET_H
#define SOCKET_H

#include <bp/host/chardev.h>
#include <bp/loop.h>
#include <bp/run.h>

#include <sys/socket.h>
#include <sys/types.h>

enum { AUTO, ON, OFF }; /* of BP_KIND_ON_OFF_AUTO */

/* What telnet is in the middle of, in each direction. */
struct telnet {
    unsigned state;    /* of the input: see telnet.c */
    uint8_t command;
    uint8_t out[32];   /* not yet sent: negotiation, or the rest of a doubled 0xff */
    unsigned out_len;
};

struct socket_state {
    struct bp_chardev *chr;
    /* properties */
    char *host, *port, *path, *fd;
    uint16_t to;
    int ipv4, ipv6, wait;
    bool abstract, tight, server, telnet, nodelay, delay;
    uint64_t reconnect, reconnect_ms;

    int listen_fd, conn_fd; /* -1: none */
    struct bp_watch *listen_watch, *conn_watch;
    unsigned events;        /* that conn_watch waits for */
    bool hung;              /* hang-up with bytes that the front end does not take yet */
    bool connecting;        /* conn_fd: connect() is under way */
    char *bound;            /* owned: `path`, absolute, is our file: it goes with us */
    dev_t bound_dev;        /* by which it is known as ours */
    ino_t bound_ino;
    struct bp_start_hold *hold; /* the machine waits for the first client */
    bool reported;          /* a client's failed attempts were told once */
    struct bp_timer *retry;
    struct bp_deferred *drop; /* the connection broke while something was written */
    struct telnet t;
};

/* socket-address.c. All are close-on-exec; -errno and err on failure. */
int address_listen(struct socket_state *s, struct bp_error *err);
/* `wait` false: returns a descriptor whose connect() may still be under way (*ret_pending). */
int address_connect(struct socket_state *s, bool wait, bool *ret_pending, struct bp_error *err);
int address_check(struct socket_state *s, struct bp_error *err);
void address_unbind(struct socket_state *s); /* removes the file, if it is still ours */
bool address_is_local(const struct socket_state *s); /* unix */
/* "unix:PATH" or "tcp:HOST:PORT" of what is listened on or connected to; malloc'd. */
char *address_text(const struct socket_state *s);

/* telnet.c (RFC 854, 856, 857, 858) */
void telnet_start(struct telnet *t);
/* Takes telnet's own bytes out of buf; returns what remains, in place. `on_break` may be called. */
size_t telnet_input(struct telnet *t, uint8_t *buf, size_t len, void (*on_break)(void *opaque),
                    void *opaque);
/* Sends t->out; then bytes of buf with 0xff doubled. Returns bytes of buf taken, or -errno. */
ssize_t telnet_send(struct telnet *t, int fd, const uint8_t *buf, size_t len);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module `chardev-socket`. */
#ifndef SOCKET_H
#define SOCKET_H

#include <bp/host/chardev.h>
#include <bp/host/tls.h>
#include <bp/loop.h>
#include <bp/run.h>

#include <sys/socket.h>
#include <sys/types.h>

#include "bytes.h"
#include "websocket.h"

enum { AUTO, ON, OFF }; /* of BP_KIND_ON_OFF_AUTO */

/* What telnet's input is in the middle of. */
struct telnet {
    unsigned state; /* see telnet.c */
};

/*
 * What lies between the socket and the front end, when it is more than the bytes themselves: TLS, then WebSocket or
 * telnet (layers.c). What is to be sent waits in `wire`, in the form that TLS or the socket takes; what was received
 * and belongs to the front end waits in `payload`, and while it does nothing more is read.
 */
struct layers {
    bool used;   /* there are any */
    bool open;   /* handshakes are over */
    bool ended;  /* nothing more will come */
    bool warned; /* of a handshake that failed; again after one that succeeds: who knocks for ever fills no log */
    const struct bp_tls_ops *tls; /* with session */
    struct bp_tls_session *session;
    struct bytes in, payload, wire;
    struct websocket ws;
    struct telnet telnet;
    struct bp_deferred *pump; /* reads what is decrypted already */
    struct bp_authz_question *question; /* may it? */
};

struct socket_state {
    struct bp_chardev *chr;
    /* properties */
    char *host, *port, *path, *fd;
    uint16_t to;
    int ipv4, ipv6, wait;
    bool abstract, tight, server, telnet, tn3270, websocket, nodelay, delay;
    char *tls_creds, *tls_authz, *tls_hostname;
    uint64_t reconnect, reconnect_ms;

    int listen_fd, conn_fd; /* -1: none */
    struct bp_watch *listen_watch, *conn_watch;
    unsigned events;        /* that conn_watch waits for */
    bool hung;              /* hang-up with bytes that the front end does not take yet */
    bool connecting;        /* conn_fd: connect() is under way */
    char *absolute;         /* owned: `path`, where it is one: -daemonize changes the directory, and a client may come
                             * back later */
    char *bound;            /* owned: `path`, absolute, is our file: it goes with us */
    dev_t bound_dev;        /* by which it is known as ours */
    ino_t bound_ino;
    struct bp_start_hold *hold; /* the machine waits for the first client */
    bool reported;          /* a client's failed attempts were told once */
    struct bp_timer *retry;
    struct bp_deferred *drop; /* the connection broke while something was written */
    struct layers layers;
};

/* socket.c */
extern const struct bp_chardev_interface *const *const socket_chardev;
void socket_watch(struct socket_state *s, unsigned events);
void socket_disconnected(struct socket_state *s);
void socket_ready(struct socket_state *s); /* the peer may talk to the front end */
void socket_break(void *opaque);

/* layers.c */
/* The keys that are about them. */
int layers_check(struct socket_state *s, struct bp_error *err);
void layers_begin(struct socket_state *s); /* there is a connection: handshakes, then socket_ready() */
void layers_end(struct socket_state *s);   /* it goes */
void layers_event(struct socket_state *s, unsigned events);
void layers_accept(struct socket_state *s); /* the front end takes more */
/* Bytes that were taken, 0: full, or -errno. */
int layers_write(struct socket_state *s, const uint8_t *buf, size_t len);

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
void telnet_start(struct telnet *t, struct bytes *to); /* what we offer */
/* Takes telnet's own bytes out of buf; returns what remains, in place. `on_break` may be called. */
size_t telnet_input(struct telnet *t, uint8_t *buf, size_t len, void (*on_break)(void *opaque),
                    void *opaque);
void telnet_wrap(struct bytes *to, const uint8_t *buf, size_t len); /* 0xff doubled */

#endif

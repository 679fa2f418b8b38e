/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Between the socket and the front end: TLS (bp/host/tls.h), then WebSocket (RFC 6455, the server's side) or
 * telnet. Handshakes go on while the machine runs; until they are over the front end sees nobody.
 */
#include <bp/log.h>

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

#define chardev (*socket_chardev)
#define HANDSHAKE_NS 60000000000ll
#define READ_AT_ONCE 4096u
#define WRITE_AT_ONCE 16000u /* with what is put around it, about a record of TLS */
#define UNSENT_MOST 65536u   /* answers to pings: who does not read them is not read */
#define ROUNDS 16u           /* until others have their turn */

static const char *name_of(struct socket_state *s)
{
    return bp_object_id(bp_object_of_state(s));
}

static const char *name_of_server(const struct socket_state *s)
{
    return s->server ? NULL : s->tls_hostname ? s->tls_hostname : s->host;
}

static bool verifies(struct bp_object *creds)
{
    struct bp_value *v = NULL;
    bool on = bp_object_get(creds, "verify-peer", &v, NULL) < 0 || bp_value_as_bool(v);

    bp_value_unref(v);
    return on;
}

static int check_tls(const struct socket_state *s, struct bp_error *err)
{
    const struct bp_tls_ops *tls;
    struct bp_object *creds;
    int r = bp_tls_find(s->tls_creds, s->server, &tls, &creds, err);

    if (r < 0)
        return r;
    if (!s->server && tls->kind == BP_TLS_X509 && !name_of_server(s) && verifies(creds))
        return bp_fail(err, EINVAL, "'tls-hostname' is missing: there is no 'host' that the server's certificate could "
                       "be for (credentials with verify-peer=off take any)");
    return 0;
}

int layers_check(struct socket_state *s, struct bp_error *err)
{

    if (s->tn3270)
        return bp_fail(err, ENOTSUP, "'tn3270': there are no terminals of mainframes here; telnet=on speaks to others");
    if (s->websocket && !s->server)
        return bp_fail(err, EINVAL, "'websocket' needs server=on: the other end calls");
    if (s->websocket && s->telnet)
        return bp_fail(err, EINVAL, "'websocket' and 'telnet' exclude each other");
    if (s->tls_authz && (!s->tls_creds || !s->server))
        return bp_fail(err, EINVAL, "'tls-authz' needs %s", s->tls_creds ? "server=on" : "'tls-creds'");
    if (s->tls_hostname && (!s->tls_creds || s->server || !*s->tls_hostname))
        return bp_fail(err, EINVAL, "'tls-hostname' %s", !s->tls_creds ? "needs 'tls-creds'" : s->server
                       ? "is a client's: server=on asks nobody for a name" : "is empty");
    s->layers.used = s->telnet || s->websocket || s->tls_creds;
    return s->tls_creds ? check_tls(s, err) : 0;
}

/* ---- output ---- */

static ssize_t send_raw(struct socket_state *s, const uint8_t *buf, size_t len)
{
    ssize_t n;

    if (s->layers.session)
        return s->layers.tls->write(s->layers.session, buf, len);
    do
        n = send(s->conn_fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* 0: as far as it goes, -errno: the connection is broken. */
static int flush(struct socket_state *s)
{
    struct layers *l = &s->layers;
    size_t at = 0;
    ssize_t n = 0;

    while (at < l->wire.size && (n = send_raw(s, l->wire.data + at, l->wire.size - at)) > 0)
        at += (size_t)n;
    bytes_drop(&l->wire, at);
    return n < 0 && n != -EAGAIN ? (int)n : 0;
}

static void watch(struct socket_state *s)
{
    struct layers *l = &s->layers;
    unsigned events = l->payload.size || l->ended || l->wire.size > UNSENT_MOST ? 0 : BP_WATCH_IN;

    socket_watch(s, events | (l->wire.size ? BP_WATCH_OUT : 0));
}

int layers_write(struct socket_state *s, const uint8_t *buf, size_t len)
{
    struct layers *l = &s->layers;
    int r = flush(s);

    if (r < 0)
        return r;
    if (l->ws.closed) /* nothing follows the answer to that */
        return (int)len;
    len = len < WRITE_AT_ONCE ? len : WRITE_AT_ONCE;
    if (l->wire.size)
        len = 0;
    if (len) {
        if (s->websocket)
            websocket_wrap(&l->wire, len);
        if (s->telnet)
            telnet_wrap(&l->wire, buf, len);
        else
            bytes_put(&l->wire, buf, len);
        r = flush(s);
    }
    if (r < 0)
        return r;
    if (s->conn_watch)
        watch(s);
    return (int)len;
}

/* ---- input ---- */

static ssize_t receive_raw(struct socket_state *s, uint8_t *buf, size_t size)
{
    ssize_t n;

    if (s->layers.session)
        return s->layers.tls->read(s->layers.session, buf, size);
    n = recv(s->conn_fd, buf, size, MSG_DONTWAIT);
    return n >= 0 ? n : errno == EINTR ? -EAGAIN : -errno;
}

/* What was received goes through the protocol. False: it broke the protocol. */
static bool unwrap(struct socket_state *s, uint8_t *buf, size_t len)
{
    struct layers *l = &s->layers;
    const char *why = NULL;
    ssize_t n;

    if (s->telnet)
        len = telnet_input(&l->telnet, buf, len, socket_break, s);
    if (!s->websocket) {
        bytes_put(&l->payload, buf, len);
        return true;
    }
    bytes_put(&l->in, buf, len);
    n = websocket_input(&l->ws, l->in.data, l->in.size, &l->payload, &l->wire, &why);
    if (n < 0) {
        bp_log(BP_LOG_TRACE, "chardev %s: %s\n", name_of(s), why);
        return false;
    }
    bytes_drop(&l->in, (size_t)n);
    return true;
}

static void deliver(struct socket_state *s)
{
    struct layers *l = &s->layers;

    while (l->payload.size && s->conn_fd >= 0) {
        size_t n = chardev->can_read(s->chr);
        uint8_t part[READ_AT_ONCE];

        n = n < l->payload.size ? n : l->payload.size;
        n = n < sizeof(part) ? n : sizeof(part);
        if (n == 0)
            break;
        memcpy(part, l->payload.data, n);
        bytes_drop(&l->payload, n);
        chardev->received(s->chr, part, n); /* may close everything */
    }
}

/* One piece. False: there is none now. */
static bool take_some(struct socket_state *s)
{
    struct layers *l = &s->layers;
    uint8_t buf[READ_AT_ONCE];
    ssize_t n = receive_raw(s, buf, sizeof(buf));

    if (n == -EAGAIN)
        return false;
    if (n <= 0 || !unwrap(s, buf, (size_t)n) || l->ws.closed)
        l->ended = true;
    if (!l->open && (s->websocket ? l->ws.open : true) && !l->ended) {
        l->open = true;
        socket_ready(s);
    }
    return true;
}

/* Reads until there is nothing, or the front end takes nothing. */
static void pump(void *opaque)
{
    struct socket_state *s = opaque;
    struct layers *l = &s->layers;
    unsigned round;
    bool waited;

    for (round = 0; round < ROUNDS; round++) {
        deliver(s);
        if (s->conn_fd < 0)
            return;
        if (l->ended && !l->payload.size) {
            flush(s); /* why, for those who can hear it */
            socket_disconnected(s);
            return;
        }
        if (l->payload.size || l->wire.size > UNSENT_MOST || !take_some(s))
            break;
    }
    if (round == ROUNDS)
        bp_deferred_schedule(l->pump);
    waited = l->wire.size != 0;
    if (flush(s) < 0) {
        socket_disconnected(s);
        return;
    }
    if (waited && l->wire.size == 0 && l->open) {
        chardev->writable(s->chr); /* no event will tell of that room */
        if (s->conn_fd < 0)
            return;
    }
    watch(s);
}

void layers_event(struct socket_state *s, unsigned events)
{
    struct layers *l = &s->layers;

    if (events & BP_WATCH_OUT) {
        if (flush(s) < 0) {
            socket_disconnected(s);
            return;
        }
        if (l->wire.size == 0 && l->open)
            chardev->writable(s->chr);
        if (s->conn_fd < 0)
            return;
    }
    if ((events & BP_WATCH_HUP) && (l->payload.size || l->ended)) {
        bp_watch_free(s->conn_watch); /* it would be told again and again, until the front end takes the rest */
        s->conn_watch = NULL;
        return;
    }
    pump(s);
}

void layers_accept(struct socket_state *s)
{
    if (s->layers.open)
        bp_deferred_schedule(s->layers.pump);
}

/* ---- life ---- */

static void begin_protocol(struct socket_state *s)
{
    struct layers *l = &s->layers;

    if (s->telnet)
        telnet_start(&l->telnet, &l->wire);
    l->open = !s->websocket;
    if (l->open)
        socket_ready(s);
    if (s->conn_fd >= 0)
        bp_deferred_schedule(l->pump);
}

static void judged(void *opaque, int ret, const struct bp_error *err)
{
    struct socket_state *s = opaque;

    s->layers.question = NULL;
    if (ret == 0) {
        s->layers.warned = false;
        begin_protocol(s);
        return;
    }
    if (!s->layers.warned)
        bp_warn("chardev %s: %s", name_of(s), err->message);
    s->layers.warned = true;
    socket_disconnected(s);
}

static void secured(void *opaque, int ret, const struct bp_error *err)
{
    struct socket_state *s = opaque;

    if (ret == 0 && s->tls_authz)
        s->layers.question = bp_authz_ask(s->tls_authz, s->layers.tls->peer_name(s->layers.session), judged, s);
    else
        judged(s, ret, err);
}

void layers_begin(struct socket_state *s)
{
    struct layers *l = &s->layers;
    struct bp_error err = {0};
    struct bp_object *creds = NULL;
    int r;

    l->open = l->ended = false;
    if (!l->pump)
        l->pump = bp_deferred_new(NULL, NULL, pump, s);
    if (!s->tls_creds) {
        begin_protocol(s);
        return;
    }
    r = bp_tls_find(s->tls_creds, s->server, &l->tls, &creds, &err);
    if (r == 0)
        r = l->tls->session_new(creds, s->server, name_of_server(s), s->conn_fd, &l->session, &err);
    if (r < 0) {
        bp_warn("chardev %s: %s", name_of(s), err.message);
        bp_deferred_schedule(s->drop);
        return;
    }
    l->tls->start(l->session, NULL, HANDSHAKE_NS, secured, s);
}

void layers_end(struct socket_state *s)
{
    struct layers *l = &s->layers;

    if (!l->used)
        return;
    bp_authz_drop(l->question);
    l->question = NULL;
    if (s->conn_fd >= 0 && l->open) {
        if (s->websocket && !l->ws.closed)
            websocket_bye(&l->wire);
        flush(s);
        if (l->session)
            l->tls->bye(l->session);
    }
    if (l->session)
        l->tls->session_free(l->session);
    l->session = NULL;
    bytes_free(&l->in);
    bytes_free(&l->payload);
    bytes_free(&l->wire);
    bp_deferred_free(l->pump);
    l->pump = NULL;
    l->ws = (struct websocket){0};
    l->open = l->ended = false;
}

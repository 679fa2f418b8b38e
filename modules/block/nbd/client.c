/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-nbd`: disks of NBD servers. Many requests are under way at once; one coroutine reads the answers, in
 * whatever order they come, and connects again when the connection breaks. Whoever may not wait does the same by
 * poll().
 * Leaves out: more than one connection.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nbd.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

struct nbd_state {
    char *filename, *host, *port, *path, *export, *tls_creds, *tls_hostname;
    struct bp_value *server;
    uint64_t reconnect_delay, open_timeout;
    struct conn *conn;
};

static struct conn *conn_of(struct bp_block_node *node)
{
    return ((struct nbd_state *)block->state(node))->conn;
}

/* ---- the driver ---- */

static int nbd_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct nbd_request r = {.type = CMD_READ, .offset = req->offset, .bytes = (uint32_t)req->bytes, .iov = req->iov,
                            .iov_count = req->iov_count};

    return conn_request(conn_of(node), &r);
}

static int nbd_flush(struct bp_block_node *node)
{
    struct nbd_request r = {.type = CMD_FLUSH};

    return conn_of(node)->facts.flags & HAS_FLUSH ? conn_request(conn_of(node), &r) : 0;
}

static int change(struct bp_block_node *node, unsigned type, unsigned flags, const struct bp_block_request *req)
{
    struct conn *c = conn_of(node);
    bool fua = req->flags & BP_BLOCK_FUA;
    struct nbd_request r = {.type = (uint16_t)type, .offset = req->offset, .bytes = (uint32_t)req->bytes,
                            .flags = (uint16_t)(flags | (fua && c->facts.flags & HAS_FUA ? CMD_FUA : 0)),
                            .iov = req->iov, .iov_count = req->iov_count};
    int ret = conn_request(c, &r);

    return ret == 0 && fua && !(c->facts.flags & HAS_FUA) ? nbd_flush(node) : ret;
}

static int nbd_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return change(node, CMD_WRITE, 0, req);
}

static int nbd_zeroes(struct bp_block_node *node, const struct bp_block_request *req)
{
    unsigned has = conn_of(node)->facts.flags;

    if (!(has & HAS_ZEROES) || (req->flags & BP_BLOCK_NO_FALLBACK && !(has & HAS_FAST_ZERO)))
        return -ENOTSUP;
    return change(node, CMD_ZEROES, (req->flags & BP_BLOCK_MAY_UNMAP ? 0 : CMD_NO_HOLE) |
                  (req->flags & BP_BLOCK_NO_FALLBACK ? CMD_FAST_ZERO : 0), req);
}

static int nbd_discard(struct bp_block_node *node, const struct bp_block_request *req)
{
    return conn_of(node)->facts.flags & HAS_TRIM ? change(node, CMD_TRIM, 0, req) : -ENOTSUP;
}

static int nbd_status(struct bp_block_node *node, uint64_t offset, uint64_t bytes, struct bp_block_status *ret)
{
    struct conn *c = conn_of(node);
    uint32_t least = c->facts.least ? c->facts.least : 1;
    struct nbd_request r = {.type = CMD_STATUS, .flags = CMD_REQ_ONE, .offset = offset / least * least};
    int error;

    ret->flags = BP_BLOCK_STATUS_DATA | BP_BLOCK_STATUS_ALLOCATED;
    ret->bytes = bytes;
    if (!c->facts.has_status)
        return 0;
    bytes += offset - r.offset;
    bytes = bytes > 1u << 30 ? 1u << 30 : (bytes + least - 1) / least * least;
    if (bytes > c->facts.size - r.offset)
        bytes = c->facts.size - r.offset;
    r.bytes = (uint32_t)bytes;
    error = conn_request(c, &r);
    if (error < 0)
        return error == -EIO || error == -ECANCELED ? error : 0;
    if (r.state_bytes <= offset - r.offset)
        return 0;
    ret->bytes = r.state_bytes - (offset - r.offset);
    ret->flags = BP_BLOCK_STATUS_ALLOCATED | (r.state & STATE_HOLE ? 0 : BP_BLOCK_STATUS_DATA) |
                 (r.state & STATE_ZERO ? BP_BLOCK_STATUS_ZERO : 0);
    if (!(ret->flags & BP_BLOCK_STATUS_ZERO))
        ret->flags |= BP_BLOCK_STATUS_DATA;
    return 0;
}

static int64_t nbd_length(struct bp_block_node *node)
{
    return (int64_t)conn_of(node)->facts.size;
}

static void nbd_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    const struct nbd_facts *f = &conn_of(node)->facts;
    uint32_t least = f->least ? f->least : 1;
    uint64_t most = f->most && f->most < MAX_NBD_REQUEST ? f->most / least * least : MAX_NBD_REQUEST;

    limits->request_alignment = f->size % least ? 1 : least;
    limits->max_transfer = most;
    limits->max_discard = limits->max_zero = f->most && f->most < 1u << 30 ? most : 1u << 30;
}

static int take_place(struct nbd_state *s, struct nbd_place *place, struct bp_error *err)
{
    unsigned ways = !!s->filename + !!s->server + !!s->path + !!s->host;

    if (ways != 1)
        return bp_fail(err, EINVAL,
                       "nbd: say where the server is, by one of: server.type=inet,server.host=,server.port= "
                       "or server.type=unix,server.path=; host= and port=; path=; a name like nbd://HOST/EXPORT");
    if (s->filename && s->export)
        return bp_fail(err, EINVAL, "key 'export': the name says it already");
    if (s->filename)
        return place_of_name(s->filename, place, err);
    place->export = bp_strdup(s->export ? s->export : "");
    if (strlen(place->export) > 4096)
        return bp_fail(err, EINVAL, "key 'export': a name has at most 4096 bytes");
    if (s->server)
        return place_of_server(s->server, place, err);
    place->path = s->path ? bp_strdup(s->path) : NULL;
    place->host = s->host ? bp_strdup(s->host) : NULL;
    place->port = s->host ? bp_strdup(s->port ? s->port : NBD_DEFAULT_PORT) : NULL;
    return 0;
}

/* As long as open-timeout says. */
static int first_time(struct nbd_state *s, struct conn *c, struct bp_error *err)
{
    int64_t until = bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)(s->open_timeout * UINT64_C(1000000000));

    for (;;) {
        struct bp_error why = {0};
        struct nbd_wire wire;
        int ret = nbd_connect(&c->place, &wire, &c->facts, &why);

        if (ret == 0)
            return conn_set_up(c, wire);
        if (ret == -EACCES || bp_clock_ns(BP_CLOCK_REALTIME) >= until) {
            if (err)
                *err = why;
            return ret;
        }
        if (block->may_wait())
            bp_co_sleep(BP_CLOCK_REALTIME, 50000000);
        else
            poll(NULL, 0, 50);
    }
}

static int nbd_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct nbd_state *s = block->state(node);
    const struct bp_tls_ops *tls;
    struct bp_object *creds;
    struct conn *c;
    char *name;
    int ret;

    if (s->tls_hostname && !s->tls_creds)
        return bp_fail(err, EINVAL, "key 'tls-hostname' is for TLS: tls-creds= is missing");
    ret = s->tls_creds ? bp_tls_find(s->tls_creds, false, &tls, &creds, err) : 0;
    if (ret < 0)
        return ret;
    if (s->reconnect_delay > 1000000000 || s->open_timeout > 1000000000)
        return bp_fail(err, EINVAL, "keys 'reconnect-delay' and 'open-timeout' expect at most 1000000000 seconds");
    c = bp_alloc(sizeof(*c));
    *c = (struct conn){.refs = 1, .wire.fd = -1, .out = -1, .delay = s->reconnect_delay};
    c->queue_tail = &c->queue;
    c->place.creds = s->tls_creds ? bp_strdup(s->tls_creds) : NULL;
    c->place.name = s->tls_hostname ? bp_strdup(s->tls_hostname) : NULL;
    ret = take_place(s, &c->place, err);
    if (ret == 0)
        ret = first_time(s, c, err);
    if (ret == 0 && c->facts.flags & HAS_READ_ONLY && !flags->read_only) {
        if (flags->auto_read_only)
            block->set_read_only(node);
        else
            ret = bp_fail(err, EACCES, "nbd: the server lets its export only be read: read-only=on opens it");
    }
    if (ret == 0) {
        c->refs++;
        ret = bp_co_new(NULL, bp_context_main(NULL), "nbd", conn_read_answers, c, &c->reader, err);
        c->refs -= ret < 0;
    }
    if (ret < 0) {
        conn_unref(c);
        return ret;
    }
    s->conn = c;
    name = place_name(&c->place);
    block->set_filename(node, name);
    free(name);
    bp_co_wake(c->reader);
    return 0;
}

static void nbd_close(struct bp_block_node *node)
{
    struct conn *c = conn_of(node);
    uint8_t bye[28] = {0};
    struct iovec part = {bye, sizeof(bye)};

    c->closing = true;
    if (c->wire.fd >= 0 && !c->queue) {
        put32(bye, NBD_REQUEST);
        put16(bye + 6, CMD_DISC);
        if (wire_writev(&c->wire, &part, 1) < 0)
            c->failing = true; /* gone already */
        else if (c->wire.tls)
            c->wire.ops->bye(c->wire.tls);
    }
    if (c->wire.fd >= 0)
        shutdown(c->wire.fd, SHUT_RDWR);
    bp_co_cancel(c->reader);
    bp_co_unref(c->reader);
    conn_unref(c);
}

static const struct bp_field props[] = {
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct nbd_state, server),
     .help = "server.type=inet with server.host= and server.port=, or server.type=unix with server.path="},
    BP_PROP("export", STRING, struct nbd_state, export, NULL, "name of the export; without it, the usual one"),
    BP_PROP("host", STRING, struct nbd_state, host, NULL, "host of the server (older form)"),
    BP_PROP("port", STRING, struct nbd_state, port, NULL, "its port (older form); 10809"),
    BP_PROP("path", STRING, struct nbd_state, path, NULL, "its unix socket (older form)"),
    BP_PROP("filename", STRING, struct nbd_state, filename, NULL, "all of it as a URI: nbd://HOST[:PORT]/[EXPORT]"),
    BP_PROP("tls-creds", STRING, struct nbd_state, tls_creds, NULL,
            "id of the TLS credentials (a client's) that secure it"),
    BP_PROP("tls-hostname", STRING, struct nbd_state, tls_hostname, NULL,
            "name that the server's certificate has to have; without it, the host's"),
    BP_PROP("reconnect-delay", UINT64, struct nbd_state, reconnect_delay, "0",
            "seconds that requests wait for a new connection"),
    BP_PROP("open-timeout", UINT64, struct nbd_state, open_timeout, "0", "seconds that the first connection may take"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(nbd_driver, "nbd", "Disks of NBD servers", struct nbd_state, props, .flags = BP_BLOCK_PROTOCOL,
                .native = BP_BLOCK_FUA, .open = nbd_open, .close = nbd_close, .read = nbd_read, .write = nbd_write,
                .flush = nbd_flush, .write_zeroes = nbd_zeroes, .discard = nbd_discard, .status = nbd_status,
                .length = nbd_length, .limits = nbd_limits);
BP_MODULE("block-nbd", "Network block devices", imports, {BP_PROVIDE_OTHER, &nbd_driver});

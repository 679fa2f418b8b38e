/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-ssh`: images on SSH servers, read and written by SFTP through libssh. Requests of a node go one after
 * the other to a worker thread, so the main loop never waits. Users are known to the server by ssh-agent alone.
 * Leaves out: new files, holes, a second connection.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssh.h"

BP_USE(block, struct bp_block_interface, "block", 1);
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define MAX_SSH_REQUEST (256u << 10) /* bytes */

struct ssh_state {
    char *filename, *host, *port, *user, *path, *host_key_check;
    struct bp_value *server, *key_check;
    uint64_t timeout;

    struct ssh_link *link;
    struct bp_co_mutex *turn; /* one worker of the pool for each node */
};

struct work {
    struct ssh_link *link;
    enum { WORK_OPEN, WORK_READ, WORK_WRITE, WORK_FLUSH, WORK_RESIZE, WORK_FREE } what;
    bool write, fall_back;
    uint64_t offset;
    uint8_t *buf;
    size_t bytes;
    struct bp_error *err;
    int ret;
};

/* On a worker thread. */
static void carry_out(void *opaque)
{
    struct work *w = opaque;

    switch (w->what) {
    case WORK_OPEN: w->ret = link_open(w->link, w->write, w->fall_back, w->err); break;
    case WORK_READ: w->ret = link_read(w->link, w->offset, w->buf, w->bytes); break;
    case WORK_WRITE: w->ret = link_write(w->link, w->offset, w->buf, w->bytes); break;
    case WORK_FLUSH: w->ret = link_flush(w->link); break;
    case WORK_RESIZE: w->ret = link_resize(w->link, w->offset, w->err); break;
    case WORK_FREE: link_free(w->link); break;
    }
}

static int perform(struct ssh_state *s, struct work *w)
{
    w->link = s->link;
    if (!block->may_wait()) {
        carry_out(w);
        return w->ret;
    }
    bp_co_mutex_lock(s->turn);
    bp_co_worker(carry_out, w);
    bp_co_mutex_unlock(s->turn);
    return w->ret;
}

static int ssh_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct work w = {.what = WORK_READ, .offset = req->offset, .bytes = (size_t)req->bytes};
    const uint8_t *from;
    int ret;

    w.buf = malloc(w.bytes);
    if (!w.buf)
        return -ENOMEM;
    ret = perform(block->state(node), &w);
    from = w.buf;
    for (unsigned i = 0; ret == 0 && i < req->iov_count; i++) {
        memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
        from += req->iov[i].iov_len;
    }
    free(w.buf);
    return ret;
}

static int ssh_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    struct work w = {.what = WORK_WRITE, .offset = req->offset, .bytes = (size_t)req->bytes};
    uint8_t *to;
    int ret;

    w.buf = to = malloc(w.bytes);
    if (!w.buf)
        return -ENOMEM;
    for (unsigned i = 0; i < req->iov_count; i++) {
        memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
        to += req->iov[i].iov_len;
    }
    ret = perform(block->state(node), &w);
    free(w.buf);
    return ret;
}

static int ssh_flush(struct bp_block_node *node)
{
    struct work w = {.what = WORK_FLUSH};

    return perform(block->state(node), &w);
}

static int ssh_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    struct work w = {.what = WORK_RESIZE, .offset = length, .err = err};

    (void)exact;
    return perform(block->state(node), &w);
}

static int64_t ssh_length(struct bp_block_node *node)
{
    struct ssh_state *s = block->state(node);

    return (int64_t)__atomic_load_n(&s->link->length, __ATOMIC_RELAXED);
}

static void ssh_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = MAX_SSH_REQUEST;
}

/* ---- where it is ---- */

static int take_server(struct ssh_state *s, struct ssh_place *p, struct bp_error *err)
{
    const char *type = bp_value_get_string(s->server, "type"), *host = bp_value_get_string(s->server, "host");
    struct bp_value *port = bp_value_get(s->server, "port");
    char text[24];

    if (bp_value_type(s->server) != BP_VALUE_DICT || !host || !port || (type && strcmp(type, "inet") != 0))
        return bp_fail(err, EINVAL, "key 'server' has members: server.host=,server.port=");
    snprintf(text, sizeof(text), "%llu", (unsigned long long)bp_value_as_uint(port));
    return place_set_host(p, host, bp_value_as_string(port) ? bp_value_as_string(port) : text, err);
}

static int take_place(struct ssh_state *s, struct ssh_place *p, struct bp_error *err)
{
    int ret;

    if (s->filename && (s->host || s->port || s->server || s->user || s->path))
        return bp_fail(err, EINVAL, "ssh: a URL says where the file is: the keys host, port, server, user and path are "
                       "for who gives none");
    if (!s->filename && (!!s->host + !!s->server != 1 || (s->server && s->port)))
        return bp_fail(err, EINVAL, "ssh: say where the server is: host= and port=, or server.host= and server.port=, "
                       "or a URL: ssh://[USER@]HOST[:PORT]/PATH");
    if (!s->filename && !s->path)
        return bp_fail(err, EINVAL, "ssh: key 'path' is missing: the file on the server");
    if (s->host_key_check && s->key_check)
        return bp_fail(err, EINVAL, "keys 'host_key_check' and 'host-key-check' are the same: give one");
    ret = s->filename ? place_of_name(s->filename, p, err)
          : s->server ? take_server(s, p, err) : place_set_host(p, s->host, s->port, err);
    if (ret == 0 && s->host_key_check)
        ret = place_set_check(p, s->host_key_check, err);
    if (ret == 0 && s->key_check)
        ret = place_set_check_dict(p, s->key_check, err);
    if (ret == 0 && !s->filename) {
        p->path = bp_strdup(s->path);
        p->user = s->user ? bp_strdup(s->user) : NULL;
    }
    return ret == 0 ? place_check(p, err) : ret;
}

static void release(struct ssh_state *s)
{
    struct work w = {.what = WORK_FREE};

    perform(s, &w);
    bp_co_mutex_free(s->turn);
    free(s->link);
    s->link = NULL;
}

static int ssh_open_node(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct ssh_state *s = block->state(node);
    struct work w = {.what = WORK_OPEN, .write = !flags->read_only, .fall_back = flags->auto_read_only, .err = err};
    char *name;
    int ret;

    if (s->timeout > 86400)
        return bp_fail(err, EINVAL, "key 'timeout' expects seconds, at most 86400");
    s->link = bp_alloc(sizeof(*s->link));
    *s->link = (struct ssh_link){.timeout = s->timeout};
    link_init(s->link);
    s->turn = bp_co_mutex_new();
    ret = take_place(s, &s->link->place, err);
    if (ret == 0)
        ret = perform(s, &w);
    if (ret < 0) {
        release(s);
        return ret;
    }
    if (!flags->read_only && !s->link->writable)
        block->set_read_only(node);
    name = place_name(&s->link->place);
    block->set_filename(node, name);
    free(name);
    return 0;
}

static void ssh_close(struct bp_block_node *node)
{
    release(block->state(node));
}

static int ssh_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                      struct bp_error *err)
{
    struct ssh_state *s = block->state(node);

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "driver 'ssh' cannot change its own keys while it is open");
    if (!flags->read_only && !s->link->writable)
        return bp_fail(err, EACCES, "ssh: the file was opened to be read: a new node opens it for writing");
    return 0;
}

static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct ssh_state, filename, NULL,
            "all of it as a URL: ssh://[USER@]HOST[:PORT]/PATH[?host_key_check=...]"),
    BP_PROP("host", STRING, struct ssh_state, host, NULL, "host of the server"),
    BP_PROP("port", STRING, struct ssh_state, port, NULL, "its port; 22"),
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct ssh_state, server),
     .help = "the same as server.host= and server.port="},
    BP_PROP("user", STRING, struct ssh_state, user, NULL, "user there; without it, who runs us"),
    BP_PROP("path", STRING, struct ssh_state, path, NULL, "the file there; begins with '/'"),
    BP_PROP("host_key_check", STRING, struct ssh_state, host_key_check, NULL,
            "yes: by known_hosts; no; md5:HASH, sha1:HASH, sha256:HASH"),
    {.name = "host-key-check", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL,
     .offset = offsetof(struct ssh_state, key_check),
     .help = "the same as mode=none|known_hosts|hash, type=md5|sha1|sha256 and hash="},
    BP_PROP("timeout", UINT64, struct ssh_state, timeout, "60", "seconds that an answer may take; 0: any time"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(ssh_driver, "ssh", "Images on SSH servers", struct ssh_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_GROWS, .open = ssh_open_node, .close = ssh_close,
                .read = ssh_read, .write = ssh_write, .flush = ssh_flush, .resize = ssh_resize, .length = ssh_length,
                .limits = ssh_limits, .reopen_prepare = ssh_reopen);
BP_MODULE("block-ssh", "Disk images on SSH servers", imports, {BP_PROVIDE_OTHER, &ssh_driver});

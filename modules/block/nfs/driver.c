/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-nfs`: images on NFS servers.
 * Leaves out: NFS 4 (libnfs 4.0 calls its own not functional), locks (the server's lock manager is not asked),
 * Kerberos, holes, preallocation.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nfs.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define USUAL_TIMEOUT 60u

struct nfs_state {
    char *filename, *path;
    struct bp_value *server;
    int64_t user, group, syn_count, readahead, page_cache, debug, mount_port;
    uint64_t timeout;
    struct session *session;
    struct nfs_facts facts;
};

static struct session *session_of(struct bp_block_node *node)
{
    struct nfs_state *s = block->state(node);

    return s->session;
}

static int move(struct bp_block_node *node, enum request_op op, const struct bp_block_request *req)
{
    struct request r = {.op = op, .offset = req->offset, .bytes = req->bytes, .iov = req->iov,
                        .iov_count = req->iov_count};

    return session_request(session_of(node), &r);
}

static int nfs_node_read(struct bp_block_node *node, const struct bp_block_request *req)
{
    return move(node, REQUEST_READ, req);
}

static int nfs_node_write(struct bp_block_node *node, const struct bp_block_request *req)
{
    return move(node, REQUEST_WRITE, req);
}

static int nfs_node_flush(struct bp_block_node *node)
{
    struct nfs_state *s = block->state(node);
    struct request r = {.op = REQUEST_FLUSH};

    return s->facts.writable ? session_request(s->session, &r) : 0;
}

/* What was written before is on stable storage first: it is not sent again beyond a new end. */
static int resize(struct session *session, uint64_t length)
{
    struct request flush = {.op = REQUEST_FLUSH}, r = {.op = REQUEST_RESIZE, .bytes = length};
    int ret = session_request(session, &flush);

    return ret < 0 ? ret : session_request(session, &r);
}

static int nfs_node_resize(struct bp_block_node *node, uint64_t length, bool exact, struct bp_error *err)
{
    int ret = resize(session_of(node), length);

    (void)exact;
    return ret < 0 ? bp_fail(err, -ret, "nfs: the length could not be changed: %s", strerror(-ret)) : 0;
}

static int64_t nfs_node_length(struct bp_block_node *node)
{
    struct request r = {.op = REQUEST_STAT};
    int ret = session_request(session_of(node), &r);

    return ret < 0 ? ret : r.length > BP_BLOCK_MAX_LENGTH ? -EFBIG : (int64_t)r.length;
}

static int64_t nfs_node_allocated(struct bp_block_node *node)
{
    struct request r = {.op = REQUEST_STAT};
    int ret = session_request(session_of(node), &r);

    return ret < 0 ? ret : r.allocated > INT64_MAX ? -ENOTSUP : (int64_t)r.allocated;
}

static void nfs_node_limits(struct bp_block_node *node, struct bp_block_limits *limits)
{
    (void)node;
    limits->max_transfer = NFS_MAX_REQUEST;
}

/* ---- where it is ---- */

static int take_keys(const struct nfs_state *s, struct nfs_place *p, struct bp_error *err)
{
    const struct {
        int64_t given, *to;
    } numbers[] = {{s->user, &p->user}, {s->group, &p->group}, {s->syn_count, &p->syn_count},
                   {s->readahead, &p->readahead}, {s->page_cache, &p->page_cache}, {s->debug, &p->debug},
                   {s->mount_port, &p->mount_port}};

    for (size_t i = 0; i < BP_COUNT(numbers); i++) {
        if (numbers[i].given == -1)
            continue;
        if (s->filename && *numbers[i].to != -1)
            return bp_fail(err, EINVAL, "nfs: a number is given in the URL and by a key: give it once");
        *numbers[i].to = numbers[i].given;
    }
    p->timeout = s->timeout;
    return place_check(p, err);
}

static int take_place(const struct nfs_state *s, struct nfs_place *p, struct bp_error *err)
{
    int ret;

    if (s->filename && (s->server || s->path))
        return bp_fail(err, EINVAL, "nfs: a URL says where the file is: the keys server and path are for who gives "
                       "none");
    if (!s->filename && (!s->server || !s->path))
        return bp_fail(err, EINVAL, "nfs: key '%s' is missing (or a URL: nfs://HOST/FOLDER/FILE)",
                       s->server ? "path" : "server");
    ret = s->filename ? place_of_name(s->filename, p, err) : place_set_server(s->server, p, err);
    if (ret == 0 && !s->filename)
        ret = place_set_path(s->path, p, err);
    return ret < 0 ? ret : take_keys(s, p, err);
}

static enum nfs_how how_of(const struct bp_block_open_flags *flags)
{
    return flags->read_only ? NFS_READ_ONLY : flags->auto_read_only ? NFS_WRITE_OR_READ : NFS_WRITE;
}

static int nfs_node_open(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_error *err)
{
    struct nfs_state *s = block->state(node);
    struct nfs_place place;
    char *name = NULL;
    int ret;

    place_init(&place);
    ret = take_place(s, &place, err);
    if (ret == 0 && flags->direct && (place.readahead > 0 || place.page_cache > 0))
        ret = bp_fail(err, EINVAL, "nfs: readahead-size and page-cache-size are caches: they do not go with "
                      "cache.direct=on");
    if (ret == 0) {
        name = place_name(&place);
        ret = session_new(&place, how_of(flags), &s->session, &s->facts, err);
    }
    place_free(&place);
    if (ret == 0 && !flags->read_only && !s->facts.writable)
        block->set_read_only(node);
    if (ret == 0)
        block->set_filename(node, name);
    free(name);
    return ret;
}

static void nfs_node_close(struct bp_block_node *node)
{
    session_free(session_of(node));
}

static int nfs_reopen(struct bp_block_node *node, const struct bp_block_open_flags *flags, struct bp_value *options,
                      struct bp_error *err)
{
    struct nfs_state *s = block->state(node);

    if (bp_value_length(options) > 0)
        return bp_fail(err, ENOTSUP, "driver 'nfs' cannot change its own keys while it is open");
    if (!flags->read_only && !s->facts.writable)
        return bp_fail(err, EACCES, "nfs: the file was opened to be read: a new node opens it for writing");
    return 0;
}

static int64_t number_of(struct bp_value *dict, const char *key)
{
    return bp_value_has(dict, key) ? (int64_t)bp_value_as_uint(bp_value_get(dict, key)) : -1;
}

/* {"filename": URL} or {"location": {...}}, as the keys of a node. */
static int nfs_node_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    struct bp_value *at = bp_value_get(options, "location");
    const char *how = bp_value_get_string(options, "preallocation");
    struct nfs_state s = {.timeout = USUAL_TIMEOUT};
    struct nfs_place place;
    int ret;

    (void)file;
    if (how && strcmp(how, "off") != 0)
        return bp_fail(err, ENOTSUP, "nfs: preallocation is not built; 'off' is");
    at = at ? at : options;
    s.filename = (char *)(uintptr_t)bp_value_get_string(at, "filename");
    s.path = (char *)(uintptr_t)bp_value_get_string(at, "path");
    s.server = bp_value_get(at, "server");
    s.user = number_of(at, "user");
    s.group = number_of(at, "group");
    s.syn_count = number_of(at, "tcp-syn-count");
    s.readahead = number_of(at, "readahead-size");
    s.page_cache = number_of(at, "page-cache-size");
    s.debug = number_of(at, "debug");
    s.mount_port = number_of(at, "mount-port");
    place_init(&place);
    ret = take_place(&s, &place, err);
    if (ret == 0)
        ret = session_new(&place, NFS_CREATE, &s.session, &s.facts, err);
    place_free(&place);
    if (ret < 0)
        return ret;
    ret = resize(s.session, bp_value_as_uint(bp_value_get(options, "size")));
    session_free(s.session);
    return ret < 0 ? bp_fail(err, -ret, "nfs: the new file does not get its length: %s", strerror(-ret)) : 0;
}

static const struct bp_field props[] = {
    BP_PROP("filename", STRING, struct nfs_state, filename, NULL,
            "all of it as a URL: nfs://HOST[:PORT]/FOLDER/FILE[?uid=N&gid=N&...]"),
    {.name = "server", .kind = BP_KIND_ANY, .flags = BP_FIELD_OPTIONAL, .offset = offsetof(struct nfs_state, server),
     .help = "server.type=inet,server.host=; server.port= when its port mapper is not to be asked"},
    BP_PROP("path", STRING, struct nfs_state, path, NULL, "the file there; begins with '/'"),
    BP_PROP("user", INT64, struct nfs_state, user, "-1", 
            "number of the user as whom the server is asked; -1: who runs us"),
    BP_PROP("group", INT64, struct nfs_state, group, "-1", "number of the group; -1: that of who runs us"),
    BP_PROP("tcp-syn-count", INT64, struct nfs_state, syn_count, "-1",
            "how often a connection is asked for, 1 to 255; -1: as the host does"),
    BP_PROP("readahead-size", INT64, struct nfs_state, readahead, "-1", "bytes read ahead, at most 1048576; -1: none"),
    BP_PROP("page-cache-size", INT64, struct nfs_state, page_cache, "-1",
            "bytes that libnfs keeps, at most 67108864; -1: none"),
    BP_PROP("debug", INT64, struct nfs_state, debug, "-1", "how much libnfs says on standard error, 0 to 9"),
    BP_PROP("mount-port", INT64, struct nfs_state, mount_port, "-1",
            "port of the server's mount daemon; -1: its port mapper is asked"),
    BP_PROP("timeout", UINT64, struct nfs_state, timeout, "60", "seconds that an answer may take; 0: any time"),
    BP_FIELDS_END};

BP_BLOCK_DRIVER(nfs_driver, "nfs", "Images on NFS servers", struct nfs_state, props,
                .flags = BP_BLOCK_PROTOCOL | BP_BLOCK_GROWS, .open = nfs_node_open, .close = nfs_node_close,
                .read = nfs_node_read, .write = nfs_node_write, .flush = nfs_node_flush, .resize = nfs_node_resize,
                .length = nfs_node_length, .allocated = nfs_node_allocated, .limits = nfs_node_limits,
                .reopen_prepare = nfs_reopen, .create = nfs_node_create);
BP_MODULE("block-nfs", "Disk images on NFS servers", imports, {BP_PROVIDE_OTHER, &nfs_driver});

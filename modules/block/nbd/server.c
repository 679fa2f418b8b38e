/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `block-nbd-server`: nodes for NBD clients, over TCP or a unix socket. Commands nbd-server-start, -add,
 * -remove, -stop and block-export-add, -del, query-block-exports. Leaves out: exports of other kinds.
 */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/option.h>
#include <bp/run.h>

#include "server.h"

const struct bp_block_interface *block;
BP_NOTE("requires=block/1");
static const struct bp_import imports[] = {BP_IMPORT(block, "block", 1), {0}};

#define MAX_EXPORTS 1024u
#define MAX_HANDSHAKES 64u   /* clients that have not come to an export; of more, the oldest ones go */
#define HANDSHAKE_SECONDS 10u

struct export *nbd_exports;
char *nbd_tls_creds, *nbd_tls_authz;
static struct client *clients;
static struct {
    int fd; /* -1: no server */
    unsigned most, count, patience; /* patience: seconds of a handshake; 0: any */
    bool until_unused; /* the program ends when the last client that had an export has gone */
    char *path; /* of a unix socket, to be removed; or NULL */
    struct bp_co *co;
    struct bp_co_queue *room; /* of who waits for a client to go */
} server = {.fd = -1};

static const struct bp_field deleted_data[] = {BP_ARG("id", STRING, "the export"), BP_FIELDS_END};
BP_EVENT(deleted_event, "BLOCK_EXPORT_DELETED", "an export has gone", deleted_data, 0);

bool nbd_one_client(void)
{
    return server.most == 1;
}

struct export *export_find(const char *name)
{
    struct export *e = nbd_exports;

    while (e && strcmp(e->name, name) != 0)
        e = e->next;
    return e;
}

void export_unref(struct export *e)
{
    struct bp_value *data;

    if (--e->refs > 0)
        return;
    block->close(e->blk);
    block->node_unref(e->node);
    bp_owner_free(e->owner);
    data = bp_value_dict();
    bp_value_set(data, "id", bp_value_string(e->id));
    bp_event_send(&deleted_event, data);
    free(e->id);
    free(e->name);
    free(e->description);
    free(e->node_name);
    for (unsigned i = 0; i < e->bitmap_count; i++)
        free(e->bitmaps[i]);
    free(e->bitmaps);
    free(e);
}

/* ---- clients ---- */

static bool some_have_exports(void)
{
    const struct client *c = clients;

    while (c && !c->export)
        c = c->next;
    return c;
}

static void serve(void *opaque)
{
    struct client *c = opaque, **link = &clients;

    c->chosen = serve_handshake(c);
    c->until = 0;
    if (c->chosen)
        serve_requests(c);
    while (*link != c)
        link = &(*link)->next;
    *link = c->next;
    server.count--;
    if (c->wire.tls)
        c->wire.ops->bye(c->wire.tls);
    wire_close(&c->wire);
    if (c->export) {
        c->export->clients--;
        export_unref(c->export);
        if (server.until_unused && !some_have_exports())
            bp_machine_request_exit(NULL, 0);
    }
    if (server.room)
        bp_co_queue_wake_all(server.room);
    client_free_buffers(c);
    client_close_pipe(c);
    bp_co_mutex_free(c->sending);
    bp_co_queue_free(c->room);
    bp_co_unref(c->co);
    free(c);
}

/* Whoever only knocks takes no place from others for long. */
static void bound_handshakes(void)
{
    struct client *oldest = NULL;
    unsigned n = 0;

    for (struct client *c = clients; c; c = c->next) {
        if (c->chosen || c->closing)
            continue;
        oldest = c;
        n++;
    }
    if (n < MAX_HANDSHAKES)
        return;
    oldest->closing = true;
    shutdown(oldest->wire.fd, SHUT_RDWR);
}

static void welcome(int fd)
{
    struct client *c = bp_alloc(sizeof(*c));
    int one = 1, room = 1 << 20; /* of which the host gives what its limits allow */

    bound_handshakes();
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *c = (struct client){.next = clients, .wire.fd = fd, .sending = bp_co_mutex_new(), .room = bp_co_queue_new(),
                          .until = server.patience ? bp_clock_ns(BP_CLOCK_REALTIME) +
                                                         server.patience * INT64_C(1000000000)
                                                   : 0};
    if (bp_co_new(NULL, bp_context_main(NULL), "nbd-client", serve, c, &c->co, NULL) < 0) {
        bp_co_mutex_free(c->sending);
        bp_co_queue_free(c->room);
        close(fd);
        free(c);
        return;
    }
    clients = c;
    server.count++;
    bp_co_wake(c->co);
}

static void listen_loop(void *opaque)
{
    int listener = server.fd;

    (void)opaque;
    while (server.fd == listener) {
        int fd;

        if (server.most && server.count >= server.most) { /* others wait to be accepted */
            if (bp_co_queue_wait(server.room, NULL) < 0)
                break;
            continue;
        }
        if (bp_co_wait_fd(listener, BP_WATCH_IN, -1) < 0)
            break;
        fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0 && server.fd == listener)
            welcome(fd);
        else if (fd >= 0)
            close(fd);
        else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM)
            bp_co_sleep(BP_CLOCK_REALTIME, 100000000);
    }
    close(listener);
}

/* ---- the server ---- */

/* A socket that whoever started the program has left open for it, by its number. */
static int listen_on(const char *number, struct bp_error *err)
{
    int on = 0, flags, fd;
    socklen_t size = sizeof(on);
    char *end;
    long n;

    errno = 0;
    n = number ? strtol(number, &end, 10) : -1;
    if (!number || end == number || *end || errno || n < 3 || n > 65535)
        return bp_fail(err, EINVAL, "member 'addr': 'str' is the number of a socket that listens, from 3 on");
    fd = (int)n;
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &size) < 0 || !on)
        return bp_fail(err, EINVAL, "descriptor %d is not a socket that listens", fd);
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
        return bp_fail(err, errno, "descriptor %d: %s", fd, strerror(errno));
    return fd;
}

static int listen_at(struct bp_value *addr, struct bp_error *err)
{
    const char *type = bp_value_get_string(addr, "type");
    struct bp_value *data = bp_value_get(addr, "data");
    struct bp_value *a = bp_value_type(data) == BP_VALUE_DICT ? data : addr;
    const char *path = bp_value_get_string(a, "path"), *host = bp_value_get_string(a, "host");
    const char *port = bp_value_get_string(a, "port");
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICHOST}, *list;
    int fd, one = 1, ret;

    if (type && !strcmp(type, "unix") && path) {
        if (strlen(path) >= sizeof(local.sun_path))
            return bp_fail(err, ENAMETOOLONG, "the socket's name '%s' is too long", path);
        strcpy(local.sun_path, path);
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd >= 0 && bind(fd, (struct sockaddr *)&local, sizeof(local)) == 0 && listen(fd, 64) == 0) {
            server.path = bp_strdup(path);
            return fd;
        }
        ret = errno;
        if (fd >= 0)
            close(fd);
        return bp_fail(err, ret, "'%s': %s", path, strerror(ret));
    }
    if (type && !strcmp(type, "fd"))
        return listen_on(bp_value_get_string(a, "str"), err);
    if (!type || strcmp(type, "inet") != 0 || !host || !port)
        return bp_fail(err, EINVAL,
                       "member 'addr' is {\"type\": \"inet\", \"data\": {\"host\": ADDRESS, \"port\": PORT}}, "
                       "{\"type\": \"unix\", \"data\": {\"path\": PATH}} or "
                       "{\"type\": \"fd\", \"data\": {\"str\": NUMBER}}");
    ret = getaddrinfo(*host ? host : NULL, port, &hints, &list);
    if (ret)
        return bp_fail(err, EINVAL, "'%s': %s (an address in numbers is wanted)", host, gai_strerror(ret));
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd >= 0)
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    ret = fd < 0 || bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, 64) < 0 ? errno : 0;
    freeaddrinfo(list);
    if (ret && fd >= 0)
        close(fd);
    return ret ? bp_fail(err, ret, "%s:%s: %s", host, port, strerror(ret)) : fd;
}

static int qmp_start(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *creds = bp_value_get_string(args, "tls-creds"), *authz = bp_value_get_string(args, "tls-authz");
    const struct bp_tls_ops *ops;
    struct bp_object *obj;
    int fd, ret;

    if (server.fd >= 0)
        return bp_fail(err, EBUSY, "the NBD server runs already");
    if (creds) {
        ret = bp_tls_find(creds, true, &ops, &obj, err);
        if (ret < 0)
            return ret;
    } else if (authz) {
        return bp_fail(err, EINVAL, "member 'tls-authz' says who may come by TLS: 'tls-creds' is missing");
    }
    fd = listen_at(bp_value_get(args, "addr"), err);
    if (fd < 0)
        return fd;
    server.fd = fd;
    server.patience = bp_value_has(args, "handshake-max-seconds")
                          ? (unsigned)bp_value_as_uint(bp_value_get(args, "handshake-max-seconds"))
                          : HANDSHAKE_SECONDS;
    server.most = bp_value_has(args, "max-connections") ? (unsigned)bp_value_as_uint(bp_value_get(args,
        "max-connections"))
                                                         : 100;
    server.until_unused = bp_value_as_bool(bp_value_get(args, "x-until-unused"));
    server.room = server.room ? server.room : bp_co_queue_new();
    ret = bp_co_new(NULL, bp_context_main(NULL), "nbd-listen", listen_loop, NULL, &server.co, err);
    if (ret < 0) {
        close(fd);
        server.fd = -1;
        return ret;
    }
    nbd_tls_creds = creds ? bp_strdup(creds) : NULL;
    nbd_tls_authz = authz ? bp_strdup(authz) : NULL;
    bp_co_wake(server.co);
    *ret_value = bp_value_dict();
    return 0;
}

static int remove_export(struct export *e, bool hard, struct bp_error *err)
{
    struct export **link = &nbd_exports;

    if (e->clients && !hard)
        return bp_fail(err, EBUSY, "export '%s' has %u clients: mode=hard sends them away", e->id, e->clients);
    while (*link != e)
        link = &(*link)->next;
    *link = e->next;
    e->removed = true;
    for (struct client *c = clients; c; c = c->next)
        if (c->export == e) {
            c->closing = true;
            shutdown(c->wire.fd, SHUT_RDWR);
        }
    export_unref(e);
    return 0;
}

static void stop(void)
{
    while (nbd_exports)
        remove_export(nbd_exports, true, NULL);
    if (server.fd < 0)
        return;
    for (struct client *c = clients; c; c = c->next) {
        c->closing = true;
        shutdown(c->wire.fd, SHUT_RDWR);
    }
    server.fd = -1;
    bp_co_queue_wake_all(server.room);
    bp_co_cancel(server.co);
    bp_co_unref(server.co);
    server.co = NULL;
    if (server.path)
        unlink(server.path);
    free(server.path);
    server.path = NULL;
    free(nbd_tls_creds);
    free(nbd_tls_authz);
    nbd_tls_creds = nbd_tls_authz = NULL;
}

static int qmp_stop(struct bp_error *err)
{
    if (server.fd < 0)
        return bp_fail(err, EINVAL, "there is no NBD server");
    stop();
    return 0;
}

/* ---- exports ---- */

/* `bitmaps` of block-export-add: names, or {"node", "name"}; `bitmap` of nbd-server-add: a name. */
static int take_bitmap(struct export *e, struct bp_value *v, struct bp_error *err)
{
    const char *name = bp_value_type(v) == BP_VALUE_DICT ? bp_value_get_string(v, "name") : bp_value_as_string(v);
    uint64_t offset, bytes;

    if (!name)
        return bp_fail(err, EINVAL, "member 'bitmaps' is a list of names, or of {\"node\": N, \"name\": B}");
    if (e->bitmap_count == MAX_BITMAPS)
        return bp_fail(err, EFBIG, "an export has at most %u bitmaps", MAX_BITMAPS);
    if (block->bitmap_next(e->node, name, 0, &offset, &bytes) < 0)
        return bp_fail(err, ENOENT, "node '%s' has no bitmap '%s' that can be relied on", block->node_name(e->node),
                       name);
    e->bitmaps[e->bitmap_count++] = bp_strdup(name);
    return 0;
}

static int take_contexts(struct export *e, struct bp_value *args, struct bp_error *err)
{
    struct bp_value *list = bp_value_get(args, "bitmaps"), *one = bp_value_get(args, "bitmap");
    int ret = 0;

    e->depth = bp_value_as_bool(bp_value_get(args, "allocation-depth"));
    e->bitmaps = bp_alloc(MAX_BITMAPS * sizeof(*e->bitmaps));
    if (list && bp_value_type(list) != BP_VALUE_LIST)
        return take_bitmap(e, list, err);
    for (size_t i = 0; ret == 0 && list && i < bp_value_length(list); i++)
        ret = take_bitmap(e, bp_value_at(list, i), err);
    return ret == 0 && one ? take_bitmap(e, one, err) : ret;
}

static int add(const char *id, const char *node_name, const char *name, struct bp_value *args, struct bp_error *err)
{
    static const struct bp_blk_ops reads = {.size = sizeof(reads), .flags = BP_BLK_READ_ONLY},
                                   writes = {.size = sizeof(writes), .flags = 0};
    bool writable = bp_value_as_bool(bp_value_get(args, "writable"));
    const char *description = bp_value_get_string(args, "description");
    struct bp_block_node *node = block->find(node_name);
    struct bp_blk_conf conf = {.share_rw = true, .write_cache = 1};
    struct export *e, **link = &nbd_exports;
    unsigned count = 0;
    int ret;

    if (server.fd < 0)
        return bp_fail(err, EINVAL, "there is no NBD server: nbd-server-start starts it");
    if (!node)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "there is no drive or node '%s'", node_name);
    if (strlen(name) > 4096 || (description && strlen(description) > 4096))
        return bp_fail(err, EINVAL, "names and descriptions of exports have at most 4096 bytes");
    for (; *link; link = &(*link)->next, count++)
        if (!strcmp((*link)->name, name) || !strcmp((*link)->id, id))
            return bp_fail(err, EEXIST, "there is an export '%s' already", !strcmp((*link)->id, id) ? id : name);
    if (count == MAX_EXPORTS)
        return bp_fail(err, EFBIG, "there are at most %u exports", MAX_EXPORTS);
    e = bp_alloc(sizeof(*e));
    *e = (struct export){.node = block->node_ref(node), .owner = bp_owner_new(NULL, "nbd-export", id, 0),
                         .writable = writable, .refs = 1};
    conf.drive = (char *)(uintptr_t)block->node_name(node);
    if (bp_value_as_bool(bp_value_get(args, "writethrough")))
        conf.write_cache = 2;
    ret = take_contexts(e, args, err);
    if (ret == 0)
        ret = block->open(NULL, e->owner, NULL, &conf, writable ? &writes : &reads, e, &e->blk, err);
    if (ret < 0) {
        bp_owner_free(e->owner);
        block->node_unref(node);
        for (unsigned i = 0; i < e->bitmap_count; i++)
            free(e->bitmaps[i]);
        free(e->bitmaps);
        free(e);
        return ret;
    }
    e->id = bp_strdup(id);
    e->name = bp_strdup(name);
    e->node_name = bp_strdup(block->node_name(node));
    e->description = description ? bp_strdup(description) : NULL;
    *link = e;
    return 0;
}

static int qmp_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *device = bp_value_get_string(args, "device"), *name = bp_value_get_string(args, "name");
    int ret;

    if (!device)
        return bp_fail(err, EINVAL, "member 'device' is missing");
    name = name ? name : device;
    ret = add(name, device, name, args, err);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

static int qmp_export_add(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *type = bp_value_get_string(args, "type"), *id = bp_value_get_string(args, "id");
    const char *node = bp_value_get_string(args, "node-name"), *name = bp_value_get_string(args, "name");
    int ret;

    if (!type || !id || !node)
        return bp_fail(err, EINVAL, "members 'type', 'id' and 'node-name' are needed");
    if (strcmp(type, "nbd") != 0)
        return bp_fail(err, ENOTSUP, "exports of type '%s' are not built yet; nbd is", type);
    ret = add(id, node, name ? name : node, args, err);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

static int del(const char *id, bool by_name, struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    const char *mode = bp_value_get_string(args, "mode");
    struct export *e = nbd_exports;
    int ret;

    while (id && e && strcmp(by_name ? e->name : e->id, id) != 0)
        e = e->next;
    if (!id || !e)
        return bp_fail(err, ENOENT, "there is no export '%s'", id ? id : "");
    if (mode && strcmp(mode, "safe") != 0 && strcmp(mode, "hard") != 0)
        return bp_fail(err, EINVAL, "member 'mode' is safe or hard");
    ret = remove_export(e, mode && *mode == 'h', err);
    *ret_value = ret == 0 ? bp_value_dict() : NULL;
    return ret;
}

static int qmp_remove(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    return del(bp_value_get_string(args, "name"), true, args, ret_value, err);
}

static int qmp_export_del(struct bp_value *args, struct bp_value **ret_value, struct bp_error *err)
{
    return del(bp_value_get_string(args, "id"), false, args, ret_value, err);
}

static int qmp_query(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct export *e = nbd_exports; e; e = e->next) {
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "id", bp_value_string(e->id));
        bp_value_set(v, "type", bp_value_string("nbd"));
        bp_value_set(v, "node-name", bp_value_string(e->node_name));
        bp_value_set(v, "shutting-down", bp_value_bool(false));
        bp_value_append(list, v);
    }
    *ret_value = list;
    return 0;
}

static const struct bp_field start_args[] = {
    BP_ARG("addr", ANY, "where it listens: type inet (host, port), unix (path) or fd (str: its number)"),
    BP_ARG_OPT("max-connections", UINT32, "clients at a time; 0: any number"),
    BP_ARG_OPT("handshake-max-seconds", UINT32, "that a client has to choose an export; 10; 0: any time"),
    BP_ARG_OPT("x-until-unused", BOOL, "the program ends when the last client that had an export has gone"),
    BP_ARG_OPT("tls-creds", STRING, "id of TLS credentials (a server's): nothing is told in the clear"),
    BP_ARG_OPT("tls-authz", STRING, "id of the authz object that says who may come"), BP_FIELDS_END};
static const struct bp_field add_args[] = {
    BP_ARG("device", STRING, "drive or node"), BP_ARG_OPT("name", STRING, "of the export; without it, the device's"),
    BP_ARG_OPT("description", STRING, "for lists"), BP_ARG_OPT("writable", BOOL, "clients may write to it"),
    BP_ARG_OPT("bitmap", STRING, "dirty one that clients may ask for"), BP_FIELDS_END};
static const struct bp_field remove_args[] = {
    BP_ARG("name", STRING, "the export"), BP_ARG_OPT("mode", STRING, "safe: only without clients; hard"),
        BP_FIELDS_END};
static const struct bp_field export_add_args[] = {
    BP_ARG("type", STRING, "nbd"), BP_ARG("id", STRING, "of the export"), BP_ARG("node-name", STRING, "the node"),
    BP_ARG_OPT("name", STRING, "for clients; without it, the node's"), BP_ARG_OPT("description", STRING, "for lists"),
    BP_ARG_OPT("writable", BOOL, "clients may write to it"),
    BP_ARG_OPT("bitmaps", ANY, "dirty ones that clients may ask for"),
    BP_ARG_OPT("writethrough", BOOL, "what a client has written is on stable storage when it is told so"),
    BP_ARG_OPT("allocation-depth", BOOL, "clients may ask in which image of the chain data lies"),
        BP_FIELDS_END};
static const struct bp_field export_del_args[] = {
    BP_ARG("id", STRING, "the export"), BP_ARG_OPT("mode", STRING, "safe: only without clients; hard"), BP_FIELDS_END};
static const struct bp_field export_members[] = {
    BP_ARG("id", STRING, "the export"), BP_ARG("type", STRING, "nbd"), BP_ARG("node-name", STRING, "what it shows"),
    BP_ARG("shutting-down", BOOL, "it goes when its clients have gone"), BP_FIELDS_END};
static const struct bp_schema export_schema = {"BlockExportInfo", BP_KIND_STRUCT, .members = export_members};
static const struct bp_schema export_list = {"BlockExportInfoList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                             .element = &export_schema};

/* ---- options: the same at the start ---- */

static int apply(int (*run)(struct bp_value *args, struct bp_value **ret, struct bp_error *err), struct bp_value *args,
                 struct bp_error *err)
{
    struct bp_value *ret_value = NULL;
    int ret = run(args, &ret_value, err);

    bp_value_unref(ret_value);
    return ret;
}

static int apply_server(struct bp_value *args, struct bp_error *err)
{
    return apply(qmp_start, args, err);
}

static int apply_export(struct bp_value *args, struct bp_error *err)
{
    return apply(qmp_export_add, args, err);
}

#define PHASE_SERVER ((enum bp_option_phase)(BP_PHASE_LATE - 2))
#define PHASE_EXPORT ((enum bp_option_phase)(BP_PHASE_LATE - 1))
BP_OPTION(option_server, "nbd-server", "start the NBD server (as nbd-server-start)", .phase = PHASE_SERVER,
          .arg = "addr.type=inet|unix|fd,addr.host=H,addr.port=P|addr.path=F|addr.str=N[,tls-creds=ID]"
                 "[,tls-authz=ID][,max-connections=N]",
          .group = "Disks", .keys = start_args, .apply = apply_server);
BP_OPTION(option_export, "export", "export a node (as block-export-add)", .phase = PHASE_EXPORT,
          .arg = "[type=]nbd,id=ID,node-name=N[,name=NAME][,description=TEXT][,writable=on|off]",
          .group = "Disks", .keys = export_add_args, .implied = "type", .apply = apply_export);

#define RAW_WAITS (BP_COMMAND_RAW | BP_COMMAND_COROUTINE)
BP_COMMAND(cmd_start, "nbd-server-start", "start the NBD server", start_args, NONE, NULL, qmp_start, RAW_WAITS);
BP_COMMAND(cmd_add, "nbd-server-add", "export a disk over NBD", add_args, NONE, NULL, qmp_add, RAW_WAITS);
BP_COMMAND(cmd_remove, "nbd-server-remove", "end an export", remove_args, NONE, NULL, qmp_remove, RAW_WAITS);
BP_COMMAND(cmd_stop, "nbd-server-stop", "end the NBD server and its exports", NULL, NONE, NULL, qmp_stop,
           BP_COMMAND_COROUTINE);
BP_COMMAND(cmd_export_add, "block-export-add", "export a node", export_add_args, NONE, NULL, qmp_export_add, RAW_WAITS);
BP_COMMAND(cmd_export_del, "block-export-del", "end an export", export_del_args, NONE, NULL, qmp_export_del, RAW_WAITS);
BP_COMMAND(cmd_query, "query-block-exports", "list exports", NULL, LIST, &export_list, qmp_query, 0);

BP_MODULE_WITH_FINI("block-nbd-server", "Disks for NBD clients", imports, NULL, stop,
                    {BP_PROVIDE_OPTION, &option_server}, {BP_PROVIDE_OPTION, &option_export},
                    {BP_PROVIDE_EVENT, &deleted_event}, {BP_PROVIDE_COMMAND, &cmd_start},
                    {BP_PROVIDE_COMMAND, &cmd_add}, {BP_PROVIDE_COMMAND, &cmd_remove}, {BP_PROVIDE_COMMAND, &cmd_stop},
                    {BP_PROVIDE_COMMAND, &cmd_export_add}, {BP_PROVIDE_COMMAND, &cmd_export_del},
                    {BP_PROVIDE_COMMAND, &cmd_query});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Character devices over QMP: the nested arguments of chardev-add (a union of structs, addresses in
 * them) become the flat keys that -chardev has, and one path makes both.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "chardev.h"

#define COMMON_KEYS \
    BP_ARG_OPT("logfile", STRING, "file that gets a copy of all output"), \
    BP_ARG_OPT("logappend", BOOL, "append to the log file")
#define STRUCT_OF(ident, NAME, ...) \
    static const struct bp_field ident##_members[] = {__VA_ARGS__, BP_FIELDS_END}; \
    static const struct bp_schema ident = {NAME, BP_KIND_STRUCT, .members = ident##_members}
/* A variant's branch holds its struct under "data". */
#define BRANCH_OF(ident, NAME, ...) \
    STRUCT_OF(ident, NAME, __VA_ARGS__); \
    STRUCT_OF(ident##_wrapper, NAME "Wrapper", BP_ARG_TYPED("data", STRUCT, &ident, 0, "settings"))

BRANCH_OF(inet, "InetSocketAddress",
          BP_ARG("host", STRING, "name or address"), BP_ARG("port", STRING, "port or service name"),
          BP_ARG_OPT("numeric", BOOL, "host and port are numbers"),
          BP_ARG_OPT("to", UINT16, "last port to try when listening"),
          BP_ARG_OPT("ipv4", BOOL, "use IPv4"), BP_ARG_OPT("ipv6", BOOL, "use IPv6"));
BRANCH_OF(local, "UnixSocketAddress",
          BP_ARG("path", STRING, "path in the file system"),
          BP_ARG_OPT("abstract", BOOL, "in the abstract name space"),
          BP_ARG_OPT("tight", BOOL, "abstract names: only the bytes of the name"));
BRANCH_OF(handle, "String", BP_ARG("str", STRING, "number of a descriptor, or its name (getfd)"));
static const char *const address_kinds[] = {"inet", "unix", "fd", NULL};
static const struct bp_schema address_kind = {"SocketAddressType", BP_KIND_ENUM,
                                              .choices = address_kinds};
static const struct bp_field address_members[] = {
    BP_ARG_TYPED("type", ENUM, &address_kind, 0, "kind of address"), BP_FIELDS_END};
static const struct bp_variant address_variants[] = {
    {"inet", &inet_wrapper}, {"unix", &local_wrapper}, {"fd", &handle_wrapper}, {NULL, NULL}};
static const struct bp_schema address = {
    "SocketAddressLegacy", BP_KIND_UNION, .members = address_members, .discriminator = "type",
    .variants = address_variants};

BRANCH_OF(file, "ChardevFile", BP_ARG_OPT("in", STRING, "file to read"),
          BP_ARG("out", STRING, "file to write"), BP_ARG_OPT("append", BOOL, "append to it"),
          COMMON_KEYS);
BRANCH_OF(host_device, "ChardevHostdev", BP_ARG("device", STRING, "path"), COMMON_KEYS);
BRANCH_OF(socket_, "ChardevSocket", BP_ARG_TYPED("addr", UNION, &address, 0, "where"),
          BP_ARG_OPT("server", BOOL, "listen (the default)"),
          BP_ARG_OPT("wait", BOOL, "listening: wait for a client first"),
          BP_ARG_OPT("nodelay", BOOL, "TCP_NODELAY"),
          BP_ARG_OPT("telnet", BOOL, "speak telnet"),
          BP_ARG_OPT("reconnect", INT64, "client: seconds between attempts"),
          BP_ARG_OPT("reconnect-ms", INT64, "client: milliseconds between attempts"),
          COMMON_KEYS);
BRANCH_OF(udp, "ChardevUdp", BP_ARG_TYPED("remote", UNION, &address, 0, "the other side"),
          BP_ARG_TYPED("local", UNION, &address, BP_FIELD_OPTIONAL, "this side"), COMMON_KEYS);
BRANCH_OF(stdio_, "ChardevStdio", BP_ARG_OPT("signal", BOOL, "Ctrl-c is a signal"), COMMON_KEYS);
BRANCH_OF(ringbuf, "ChardevRingbuf", BP_ARG_OPT("size", INT64, "bytes"), COMMON_KEYS);
BRANCH_OF(pty, "ChardevPty", BP_ARG_OPT("path", STRING, "a link to it"), COMMON_KEYS);
BRANCH_OF(vc, "ChardevVC", BP_ARG_OPT("width", INT64, "pixels"), BP_ARG_OPT("height", INT64, "pixels"),
          BP_ARG_OPT("cols", INT64, "characters of a line"), BP_ARG_OPT("rows", INT64, "lines"), COMMON_KEYS);
BRANCH_OF(spicevmc, "ChardevSpiceChannel", BP_ARG("type", STRING, "vdagent, usbredir or smartcard"), COMMON_KEYS);
BRANCH_OF(spiceport, "ChardevSpicePort", BP_ARG("fqdn", STRING, "what clients find it by"), COMMON_KEYS);
static const struct bp_schema name_list = {.name = "strList", .kind = BP_KIND_LIST, .element_kind = BP_KIND_STRING};
BRANCH_OF(hub, "ChardevHub", BP_ARG_TYPED("chardevs", LIST, &name_list, 0, "ids of the back ends"), COMMON_KEYS);
BRANCH_OF(dbus, "ChardevDBus", BP_ARG("name", STRING, "what clients find it by"), COMMON_KEYS);
BRANCH_OF(vdagent, "ChardevQemuVDAgent", BP_ARG_OPT("mouse", BOOL, "it moves the pointer"),
          BP_ARG_OPT("clipboard", BOOL, "it shares the clipboard"), COMMON_KEYS);
BRANCH_OF(plain, "ChardevCommon", COMMON_KEYS);

static const char *const kinds[] = {"file", "pipe", "socket", "udp", "pty", "null", "stdio",
                                    "serial", "parallel", "ringbuf", "memory", "vc",
                                    "spicevmc", "spiceport", "msmouse", "wctablet", "hub",
                                    "braille", "dbus", "qemu-vdagent", NULL};
static const struct bp_schema kind = {"ChardevBackendKind", BP_KIND_ENUM, .choices = kinds};
static const struct bp_field backend_members[] = {
    BP_ARG_TYPED("type", ENUM, &kind, 0, "kind of back end"), BP_FIELDS_END};
static const struct bp_variant backend_variants[] = {
    {"file", &file_wrapper}, {"pipe", &host_device_wrapper}, {"socket", &socket__wrapper},
    {"udp", &udp_wrapper}, {"pty", &pty_wrapper}, {"serial", &host_device_wrapper}, {"parallel", &host_device_wrapper},
    {"hub", &hub_wrapper}, {"null", &plain_wrapper},
    {"stdio", &stdio__wrapper}, {"ringbuf", &ringbuf_wrapper}, {"memory", &ringbuf_wrapper},
    {"vc", &vc_wrapper}, {"spicevmc", &spicevmc_wrapper}, {"spiceport", &spiceport_wrapper},
    {"msmouse", &plain_wrapper}, {"wctablet", &plain_wrapper}, {"braille", &plain_wrapper}, {"dbus", &dbus_wrapper},
    {"qemu-vdagent", &vdagent_wrapper},
    {NULL, NULL}};
const struct bp_schema qmp_backend_schema = {
    "ChardevBackend", BP_KIND_UNION, .members = backend_members, .discriminator = "type",
    .variants = backend_variants};

struct flatten {
    struct bp_value *args;
    bool local; /* inside "local": keys get their other names */
};

static int flatten_member(const char *key, struct bp_value *member, void *opaque);

static void flatten_address(struct bp_value *value, bool local, struct flatten *into)
{
    struct bp_value *data = bp_value_get(value, "data");
    struct flatten inner = {into->args, local};

    bp_value_each(data ? data : value, flatten_member, &inner);
}

static int flatten_member(const char *key, struct bp_value *member, void *opaque)
{
    static const struct {
        const char *from, *to, *local;
    } names[] = {
        {"out", "path", NULL}, {"in", "input-path", NULL}, {"device", "path", NULL},
        {"str", "fd", NULL}, {"fqdn", "name", NULL}, {"host", "host", "localaddr"}, {"port", "port", "localport"},
    };
    struct flatten *into = opaque;
    const char *name = key;

    if (bp_value_type(member) == BP_VALUE_DICT) {
        flatten_address(member, !strcmp(key, "local"), into);
        return 0;
    }
    if (!strcmp(key, "type") || !strcmp(key, "numeric")) /* names resolve to numbers anyway */
        return 0;
    for (unsigned i = 0; i < BP_COUNT(names); i++)
        if (!strcmp(key, names[i].from))
            name = into->local && names[i].local ? names[i].local : names[i].to;
    /* The flat key is an on/off/auto: say so in its words. */
    if ((!strcmp(name, "ipv4") || !strcmp(name, "ipv6") || !strcmp(name, "wait")) &&
        bp_value_type(member) == BP_VALUE_BOOL)
        bp_value_set(into->args, name, bp_value_string(bp_value_as_bool(member) ? "on" : "off"));
    else
        bp_value_set(into->args, name, bp_value_ref(member));
    return 0;
}

/* What QMP leaves out means something else than on the command line. */
static void socket_defaults(struct bp_value *args)
{
    if (!bp_value_has(args, "server"))
        bp_value_set(args, "server", bp_value_bool(true));
    if (bp_value_as_bool(bp_value_get(args, "server")) && !bp_value_has(args, "wait"))
        bp_value_set(args, "wait", bp_value_string("off"));
}

/* As the command line has them; a new reference. */
static struct bp_value *flattened(const char *id, struct bp_value *backend)
{
    const char *type = bp_value_get_string(backend, "type");
    struct flatten into = {bp_value_dict(), false};
    struct bp_value *data = bp_value_get(backend, "data");

    if (data)
        bp_value_each(data, flatten_member, &into);
    if (type && !strcmp(type, "socket"))
        socket_defaults(into.args);
    if (type && data && !strcmp(type, "spicevmc") && bp_value_has(data, "type"))
        bp_value_set(into.args, "name", bp_value_ref(bp_value_get(data, "type")));
    bp_value_set(into.args, "id", bp_value_string(id));
    if (type)
        bp_value_set(into.args, "backend", bp_value_string(type));
    return into.args;
}

static struct bp_value *answer_for(struct bp_value *backend, struct bp_chardev *chr)
{
    struct bp_value *answer = bp_value_dict();

    if (!strcmp(bp_value_get_string(backend, "type"), "pty")) {
        char *name = chardev_filename(chr);

        bp_value_set(answer, "pty", bp_value_string(strncmp(name, "pty:", 4) ? name : name + 4));
        free(name);
    }
    return answer;
}

int qmp_chardev_add(const char *id, struct bp_value *backend, struct bp_value **ret_value,
                    struct bp_error *err)
{
    struct bp_value *args = flattened(id, backend);
    struct bp_chardev *chr;
    int r = create_from_args(args, &chr, err);

    bp_value_unref(args);
    if (r == 0)
        *ret_value = answer_for(backend, chr);
    return r;
}

int qmp_chardev_change(const char *id, struct bp_value *backend, struct bp_value **ret_value,
                       struct bp_error *err)
{
    struct bp_value *args = flattened(id, backend);
    int r = create_change(id, args, err);

    bp_value_unref(args);
    if (r == 0)
        *ret_value = answer_for(backend, chardev_find(id));
    return r;
}

int qmp_chardev_remove(const char *id, struct bp_error *err)
{
    return chardev_remove(id, err);
}

int qmp_query_chardev(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    for (struct bp_chardev *chr = chardev_all; chr; chr = chr->next) {
        struct bp_value *info = bp_value_dict();
        char *name = chardev_filename(chr);
        bool used = false;

        for (unsigned i = 0; i < FRONTS; i++)
            used |= chardev_behind(chr)->fronts[i] != NULL;
        bp_value_set(info, "label", bp_value_string(chr->id));
        bp_value_set(info, "filename", bp_value_string(name));
        bp_value_set(info, "frontend-open", bp_value_bool(used));
        bp_value_append(list, info);
        free(name);
    }
    *ret_value = list;
    return 0;
}

static void add_name(const char *name, const char *summary, void *opaque)
{
    struct bp_value *entry = bp_value_dict();

    (void)summary;
    bp_value_set(entry, "name", bp_value_string(strncmp(name, "chardev-", 8) ? name : name + 8));
    bp_value_append(opaque, entry);
}

int qmp_query_backends(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *list = bp_value_list();

    (void)err;
    bp_provided_each("chardev", add_name, list);
    *ret_value = list;
    return 0;
}

int qmp_send_break(const char *id, struct bp_error *err)
{
    struct bp_chardev *chr = chardev_find(id);

    if (!chr)
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_FOUND, ENOENT, "Chardev '%s' not found", id);
    back_break(chardev_behind(chr));
    return 0;
}

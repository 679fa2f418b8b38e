/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What monitors ask of the SPICE server and tell it, and events of its channels. */
#define BP_SHARED
#include "spice-server.h"

#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* A channel that is there, or what happened to one. */
struct channel {
    struct channel *next;
    int event, connection, type, id;
    bool tls;
    char host[64], port[32], our_host[64], our_port[32];
    const char *family;
};

static struct channel *channels; /* [main] */
static struct bp_deferred *teller;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct channel *news, **last_news = &news; /* lock */

/* ---- shapes ---- */

static const struct bp_field end_fields[] = {
    BP_ARG("host", STRING, "address"), BP_ARG("port", STRING, "port, or path"),
    BP_ARG("family", STRING, "ipv4, ipv6, unix or unknown"), BP_FIELDS_END};
static const struct bp_schema end_info = {.name = "SpiceBasicInfo", .kind = BP_KIND_STRUCT, .members = end_fields};
static const struct bp_field channel_fields[] = {
    BP_ARG("host", STRING, "address"), BP_ARG("port", STRING, "port, or path"),
    BP_ARG("family", STRING, "ipv4, ipv6, unix or unknown"), BP_ARG("connection-id", INT64, "the client"),
    BP_ARG("channel-type", INT64, "1: main, 2: display, 3: inputs, 4: cursor, 5: playback, 6: record"),
    BP_ARG("channel-id", INT64, "of several of a type"), BP_ARG("tls", BOOL, "it is encrypted"), BP_FIELDS_END};
static const struct bp_schema channel_info = {.name = "SpiceChannel", .kind = BP_KIND_STRUCT,
                                              .members = channel_fields};
static const struct bp_schema channel_list = {.name = "SpiceChannelList", .kind = BP_KIND_LIST,
                                              .element_kind = BP_KIND_STRUCT, .element = &channel_info};
static const struct bp_field plain_event_fields[] = {
    BP_ARG_TYPED("server", STRUCT, &end_info, 0, "our end"), BP_ARG_TYPED("client", STRUCT, &end_info, 0, "its end"),
    BP_FIELDS_END};
static const struct bp_field full_event_fields[] = {
    BP_ARG_TYPED("server", STRUCT, &end_info, 0, "our end"),
    BP_ARG_TYPED("client", STRUCT, &channel_info, 0, "its end"), BP_FIELDS_END};
BP_EVENT(spice_connected, "SPICE_CONNECTED", "A SPICE channel has come", plain_event_fields, 0);
BP_EVENT(spice_initialized, "SPICE_INITIALIZED", "A SPICE channel has got through the handshake", full_event_fields,
         0);
BP_EVENT(spice_disconnected, "SPICE_DISCONNECTED", "A SPICE channel has gone", plain_event_fields, 0);

static struct bp_value *end_value(const char *host, const char *port, const char *family)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "host", bp_value_string(host));
    bp_value_set(v, "port", bp_value_string(port));
    bp_value_set(v, "family", bp_value_string(family));
    return v;
}

static struct bp_value *channel_value(const struct channel *c)
{
    struct bp_value *v = end_value(c->host, c->port, c->family);

    bp_value_set(v, "connection-id", bp_value_int(c->connection));
    bp_value_set(v, "channel-type", bp_value_int(c->type));
    bp_value_set(v, "channel-id", bp_value_int(c->id));
    bp_value_set(v, "tls", bp_value_bool(c->tls));
    return v;
}

/* ---- events ---- */

static void tell(struct channel *c)
{
    struct bp_value *data = bp_value_dict();
    struct channel **at = &channels;

    bp_value_set(data, "server", end_value(c->our_host, c->our_port, c->family));
    bp_value_set(data, "client", c->event == SPICE_CHANNEL_EVENT_INITIALIZED ? channel_value(c)
                                                                            : end_value(c->host, c->port, c->family));
    bp_event_send(c->event == SPICE_CHANNEL_EVENT_CONNECTED     ? &spice_connected
                  : c->event == SPICE_CHANNEL_EVENT_INITIALIZED ? &spice_initialized
                                                                : &spice_disconnected, data);
    if (c->event == SPICE_CHANNEL_EVENT_INITIALIZED) {
        c->next = channels;
        channels = c;
        return;
    }
    while (c->event == SPICE_CHANNEL_EVENT_DISCONNECTED && *at) {
        struct channel *old = *at;

        if (old->connection == c->connection && old->type == c->type && old->id == c->id) {
            *at = old->next;
            free(old);
        } else {
            at = &old->next;
        }
    }
    free(c);
}

static void tell_all(void *opaque)
{
    struct channel *list;

    (void)opaque;
    pthread_mutex_lock(&lock);
    list = news;
    news = NULL;
    last_news = &news;
    pthread_mutex_unlock(&lock);
    while (list) {
        struct channel *c = list;

        list = c->next;
        tell(c);
    }
}

static const char *describe(const struct sockaddr_storage *address, socklen_t length, char host[64], char port[32])
{
    if (address->ss_family == AF_UNIX) {
        snprintf(port, 32, "%.31s", length > offsetof(struct sockaddr_un, sun_path)
                                        ? ((const struct sockaddr_un *)address)->sun_path : "");
        return "unix";
    }
    if (getnameinfo((const struct sockaddr *)address, length, host, 64, port, 32, NI_NUMERICHOST | NI_NUMERICSERV))
        return "unknown";
    return address->ss_family == AF_INET6 ? "ipv6" : "ipv4";
}

void spice_channel_event(int event, SpiceChannelEventInfo *info)
{
    struct channel *c = bp_alloc(sizeof(*c));

    c->event = event;
    c->connection = info->connection_id;
    c->type = info->type;
    c->id = info->id;
    c->tls = info->flags & SPICE_CHANNEL_EVENT_FLAG_TLS;
    c->family = "unknown";
    if (info->flags & SPICE_CHANNEL_EVENT_FLAG_ADDR_EXT) {
        describe(&info->laddr_ext, info->llen_ext, c->our_host, c->our_port);
        c->family = describe(&info->paddr_ext, info->plen_ext, c->host, c->port);
    }
    pthread_mutex_lock(&lock);
    *last_news = c;
    last_news = &c->next;
    pthread_mutex_unlock(&lock);
    bp_deferred_schedule(teller);
}

void spice_commands_start(struct bp_machine *machine)
{
    teller = bp_deferred_new(NULL, bp_context_main(machine), tell_all, NULL);
}

bool spice_has_clients(void)
{
    return channels != NULL;
}

/* ---- query-spice, info spice ---- */

static const char *const mouse_modes[] = {"client", "server", "unknown", NULL};
static const struct bp_schema mouse_schema = {.name = "SpiceQueryMouseMode", .kind = BP_KIND_ENUM,
                                              .choices = mouse_modes};
static const struct bp_field info_fields[] = {
    BP_ARG("enabled", BOOL, "there is a server"), BP_ARG("migrated", BOOL, "clients went to another one: never"),
    BP_ARG_OPT("host", STRING, "where it listens"), BP_ARG_OPT("port", INT64, "without encryption"),
    BP_ARG_OPT("tls-port", INT64, "encrypted"), BP_ARG_OPT("auth", STRING, "none, spice or sasl"),
    BP_ARG_OPT("compiled-version", STRING, "of the library"),
    BP_ARG_TYPED("mouse-mode", ENUM, &mouse_schema, 0, "who says where the pointer is"),
    BP_ARG_TYPED("channels", LIST, &channel_list, BP_FIELD_OPTIONAL, "of clients that are there"), BP_FIELDS_END};
static const struct bp_schema info_schema = {.name = "SpiceInfo", .kind = BP_KIND_STRUCT, .members = info_fields};

static int query(struct bp_value **ret_value, struct bp_error *err)
{
    struct bp_value *v = bp_value_dict(), *list;
    char version[24];

    (void)err;
    *ret_value = v;
    bp_value_set(v, "enabled", bp_value_bool(spice_ui.server != NULL));
    bp_value_set(v, "migrated", bp_value_bool(false));
    if (!spice_ui.server) {
        bp_value_set(v, "mouse-mode", bp_value_string("unknown"));
        return 0;
    }
    bp_value_set(v, "host", bp_value_string(spice_ui.addr ? spice_ui.addr : "*"));
    if (spice_ui.port)
        bp_value_set(v, "port", bp_value_int(spice_ui.port));
    if (spice_ui.tls_port)
        bp_value_set(v, "tls-port", bp_value_int(spice_ui.tls_port));
    bp_value_set(v, "auth", bp_value_string(spice_ui.auth));
    snprintf(version, sizeof(version), "%d.%d.%d", SPICE_SERVER_VERSION >> 16, SPICE_SERVER_VERSION >> 8 & 255,
             SPICE_SERVER_VERSION & 255);
    bp_value_set(v, "compiled-version", bp_value_string(version));
    bp_value_set(v, "mouse-mode", bp_value_string(spice_server_is_server_mouse(spice_ui.server) ? "server" : "client"));
    list = bp_value_list();
    for (const struct channel *c = channels; c; c = c->next)
        bp_value_append(list, channel_value(c));
    bp_value_set(v, "channels", list);
    return 0;
}
BP_COMMAND(spice_query, "query-spice", "The SPICE server and its channels", NULL, STRUCT, &info_schema, query, 0);

static void info(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    if (!spice_ui.server) {
        bp_monitor_printf(mon, "Server: disabled\n");
        return;
    }
    bp_monitor_printf(mon, "Server:\n");
    if (spice_ui.port || spice_ui.unix_socket)
        bp_monitor_printf(mon, "     address: %s:%u\n", spice_ui.addr ? spice_ui.addr : "*", spice_ui.port);
    if (spice_ui.tls_port)
        bp_monitor_printf(mon, "     address: %s:%u [tls]\n", spice_ui.addr ? spice_ui.addr : "*", spice_ui.tls_port);
    bp_monitor_printf(mon, "    migrated: false\n        auth: %s\n  mouse-mode: %s\n", spice_ui.auth,
                      spice_server_is_server_mouse(spice_ui.server) ? "server" : "client");
    if (!channels)
        bp_monitor_printf(mon, "Channels: none\n");
    for (const struct channel *c = channels; c; c = c->next)
        bp_monitor_printf(mon, "Channel:\n     address: %s:%s%s\n     session: %d\n     channel: %d:%d\n", c->host,
                          c->port, c->tls ? " [tls]" : "", c->connection, c->type, c->id);
}
BP_HMP(spice_info, "info spice", "", "show the spice server status", NULL, info);

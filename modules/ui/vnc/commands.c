/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What monitors ask of VNC servers and tell them, and events. */
#define BP_SHARED
#include "vnc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "module.h"

/* ---- shapes ---- */

static const struct bp_field end_fields[] = {
    BP_ARG("host", STRING, "address"), BP_ARG("service", STRING, "port, or path"),
    BP_ARG("family", STRING, "ipv4, ipv6, unix or unknown"), BP_ARG("websocket", BOOL, "it speaks WebSocket"),
    BP_ARG_OPT("auth", STRING, "none, vnc, sasl or vencrypt"),
    BP_ARG_OPT("vencrypt", STRING, "tls- or x509-, and none, vnc or sasl"),
    BP_ARG_OPT("x509_dname", STRING, "name in the viewer's certificate"),
    BP_ARG_OPT("sasl_username", STRING, "whom the viewer has proved to be"), BP_FIELDS_END};
static const struct bp_schema end_info = {.name = "VncBasicInfo", .kind = BP_KIND_STRUCT, .members = end_fields};
static const struct bp_field event_fields[] = {
    BP_ARG_TYPED("server", STRUCT, &end_info, 0, "our end"),
    BP_ARG_TYPED("client", STRUCT, &end_info, 0, "the viewer's end"), BP_FIELDS_END};
BP_EVENT(vnc_connected, "VNC_CONNECTED", "A viewer has come", event_fields, 0);
BP_EVENT(vnc_initialized, "VNC_INITIALIZED", "A viewer has got through the handshake", event_fields, 0);
BP_EVENT(vnc_disconnected, "VNC_DISCONNECTED", "A viewer has gone", event_fields, 0);

static const char *vencrypt_of(const struct vnc *s)
{
    if (s->proof)
        return vnc_vencrypt(s) == RFB_VENCRYPT_X509 ? "x509-sasl" : "tls-sasl";
    if (vnc_vencrypt(s) == RFB_VENCRYPT_X509)
        return vnc_wants_password(s) ? "x509-vnc" : "x509-none";
    return vnc_wants_password(s) ? "tls-vnc" : "tls-none";
}

static const char *auth_of(const struct vnc *s)
{
    return s->tls_creds ? "vencrypt" : s->proof ? "sasl" : vnc_wants_password(s) ? "vnc" : "none";
}

static struct bp_value *end_value(const char *host, const char *service, const char *family, bool websocket)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "host", bp_value_string(host));
    bp_value_set(v, "service", bp_value_string(service));
    bp_value_set(v, "family", bp_value_string(family));
    bp_value_set(v, "websocket", bp_value_bool(websocket));
    return v;
}

static struct bp_value *socket_value(int fd, bool websocket)
{
    char host[64], service[32], family[8];

    vnc_describe_socket(fd, false, host, service, family);
    return end_value(host, service, family, websocket);
}

struct bp_value *vnc_client_info(const struct vnc_client *c)
{
    struct bp_value *v = end_value(c->host, c->service, c->family, c->is_websocket);
    const char *name = c->session ? c->tls->peer_name(c->session) : NULL;

    if (name)
        bp_value_set(v, "x509_dname", bp_value_string(name));
    name = vnc_proof_user(c);
    if (name)
        bp_value_set(v, "sasl_username", bp_value_string(name));
    return v;
}

void vnc_tell(const struct vnc_client *c, enum vnc_event event)
{
    static const struct bp_event *const events[] = {&vnc_connected, &vnc_initialized, &vnc_disconnected};
    struct bp_value *data = bp_value_dict(), *ours = socket_value(c->fd, c->is_websocket);

    bp_value_set(ours, "auth", bp_value_string(auth_of(c->server)));
    bp_value_set(data, "server", ours);
    bp_value_set(data, "client", vnc_client_info(c));
    bp_event_send(events[event], data);
}

/* ---- query-vnc, query-vnc-servers ---- */

static struct bp_value *clients_value(const struct vnc *s)
{
    struct bp_value *list = bp_value_list();

    for (const struct vnc_client *c = s->clients; c; c = c->next) {
        if (!c->closing && c->rfb.state == RFB_NORMAL)
            bp_value_append(list, vnc_client_info(c));
    }
    return list;
}

static const struct bp_schema end_list = {.name = "VncBasicInfoList", .kind = BP_KIND_LIST,
                                          .element_kind = BP_KIND_STRUCT, .element = &end_info};
static const struct bp_field info_fields[] = {
    BP_ARG("enabled", BOOL, "there is a server"), BP_ARG_OPT("host", STRING, "where it listens"),
    BP_ARG_OPT("family", STRING, "ipv4, ipv6 or unix"), BP_ARG_OPT("service", STRING, "port, or path"),
    BP_ARG_OPT("auth", STRING, "none, vnc, sasl or vencrypt"),
    BP_ARG_TYPED("clients", LIST, &end_list, BP_FIELD_OPTIONAL, "viewers that are there"), BP_FIELDS_END};
static const struct bp_schema vnc_info_schema = {.name = "VncInfo", .kind = BP_KIND_STRUCT, .members = info_fields};

/* Not one of -vnc none that nobody uses. */
static bool is_there(const struct vnc *s)
{
    return vnc_is_on(s) || s->clients;
}

static int query(struct bp_value **ret_value, struct bp_error *err)
{
    const struct vnc *s = vnc_find(NULL);
    struct bp_value *v = bp_value_dict();

    (void)err;
    *ret_value = v;
    bp_value_set(v, "enabled", bp_value_bool(s && is_there(s)));
    if (!s || !is_there(s))
        return 0;
    for (unsigned i = 0; i < VNC_LISTENERS; i++) {
        char host[64], service[32], family[8];

        if (!s->listeners[i].watch || s->listeners[i].websocket)
            continue;
        vnc_describe_socket(s->listeners[i].fd, false, host, service, family);
        bp_value_set(v, "host", bp_value_string(host));
        bp_value_set(v, "service", bp_value_string(service));
        bp_value_set(v, "family", bp_value_string(family));
        break;
    }
    bp_value_set(v, "auth", bp_value_string(auth_of(s)));
    bp_value_set(v, "clients", clients_value(s));
    return 0;
}
BP_COMMAND(vnc_query, "query-vnc", "The first VNC server and its viewers", NULL, STRUCT, &vnc_info_schema, query,
           0);

static const struct bp_field server_fields[] = {
    BP_ARG("id", STRING, "its name"), BP_ARG_TYPED("server", LIST, &end_list, 0, "where it listens"),
    BP_ARG_TYPED("clients", LIST, &end_list, 0, "viewers that are there"),
    BP_ARG("auth", STRING, "none, vnc, sasl or vencrypt"),
    BP_ARG_OPT("vencrypt", STRING, "tls- or x509-, and none, vnc or sasl"),
    BP_ARG_OPT("display", STRING, "device whose screen it shows"),
    BP_FIELDS_END};
static const struct bp_schema server_info = {.name = "VncInfo2", .kind = BP_KIND_STRUCT, .members = server_fields};
static const struct bp_schema server_list = {.name = "VncInfo2List", .kind = BP_KIND_LIST,
                                             .element_kind = BP_KIND_STRUCT, .element = &server_info};

static struct bp_value *listeners_value(const struct vnc *s)
{
    struct bp_value *list = bp_value_list();

    for (unsigned i = 0; i < VNC_LISTENERS; i++) {
        struct bp_value *end;

        if (!s->listeners[i].watch)
            continue;
        end = socket_value(s->listeners[i].fd, s->listeners[i].websocket);
        bp_value_set(end, "auth", bp_value_string(auth_of(s)));
        if (s->tls_creds)
            bp_value_set(end, "vencrypt", bp_value_string(vencrypt_of(s)));
        bp_value_append(list, end);
    }
    return list;
}

static int query_servers(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    for (const struct vnc *s = vnc_servers; s; s = s->next) {
        struct bp_value *v;

        if (!is_there(s))
            continue;
        v = bp_value_dict();
        bp_value_set(v, "id", bp_value_string(s->id));
        bp_value_set(v, "server", listeners_value(s));
        bp_value_set(v, "clients", clients_value(s));
        bp_value_set(v, "auth", bp_value_string(auth_of(s)));
        if (s->tls_creds)
            bp_value_set(v, "vencrypt", bp_value_string(vencrypt_of(s)));
        if (s->device)
            bp_value_set(v, "display", bp_value_string(s->device));
        bp_value_append(*ret_value, v);
    }
    return 0;
}
BP_COMMAND(vnc_query_servers, "query-vnc-servers", "VNC servers and their viewers", NULL, LIST, &server_list,
           query_servers, 0);

static void info(struct bp_monitor *mon, struct bp_value *args)
{
    bool any = false;

    (void)args;
    for (const struct vnc *s = vnc_servers; s; s = s->next)
        any |= is_there(s);
    if (!any)
        bp_monitor_printf(mon, "None\n");
    for (const struct vnc *s = vnc_servers; s; s = s->next) {
        if (!is_there(s))
            continue;
        bp_monitor_printf(mon, "%s:\n", s->id);
        for (unsigned i = 0; i < VNC_LISTENERS; i++) {
            char host[64], service[32], family[8];

            if (!s->listeners[i].watch)
                continue;
            vnc_describe_socket(s->listeners[i].fd, false, host, service, family);
            bp_monitor_printf(mon, "  Server: %s:%s (%s%s)\n", host, service, family,
                              s->listeners[i].websocket ? ", WebSocket" : "");
        }
        bp_monitor_printf(mon, "    Auth: %s\n", auth_of(s));
        for (const struct vnc_client *c = s->clients; c; c = c->next) {
            if (!c->closing && c->rfb.state == RFB_NORMAL)
                bp_monitor_printf(mon, "  Client: %s:%s (%s%s), %ux%u\n", c->host, c->service, c->family,
                                  c->is_websocket ? ", WebSocket" : "", c->width, c->height);
        }
    }
}
BP_HMP(vnc_info, "info vnc", "", "show the vnc server status", NULL, info);

/* ---- passwords ---- */

static int server_of(const char *id, struct vnc **ret_server, struct bp_error *err)
{
    struct vnc *s = vnc_find(id);

    if (!s)
        return id ? bp_fail(err, ENOENT, "there is no VNC server '%.60s'", id)
                  : bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no VNC server");
    *ret_server = s;
    return 0;
}

static int set_password(const char *id, const char *password, enum bp_password_connected connected,
                        struct bp_error *err)
{
    struct vnc *s = NULL;
    int r = server_of(id, &s, err);

    if (r < 0)
        return r;
    if (connected != BP_PASSWORD_KEEP)
        return bp_fail(err, EINVAL, "argument 'connected': VNC has 'keep' only");
    if (!vnc_wants_password(s))
        return bp_fail(err, EINVAL, "VNC server '%.60s' wants no password: start it with password=on", s->id);
    free(s->secret);
    s->secret = bp_strdup(password);
    return 0;
}

static int expire_password(const char *id, int64_t when_s, struct bp_error *err)
{
    struct vnc *s = NULL;
    int r = server_of(id, &s, err);

    if (r == 0)
        s->expires_s = when_s;
    return r;
}
const struct bp_password_server vnc_password_server = {
    .size = sizeof(vnc_password_server), .protocol = "vnc", .set = set_password, .expire = expire_password};

static const struct bp_field change_args[] = {BP_ARG("password", STRING, "the new password"), BP_FIELDS_END};

static int change_password(const char *password, struct bp_error *err)
{
    return set_password(NULL, password, BP_PASSWORD_KEEP, err);
}
BP_COMMAND(vnc_change_password, "change-vnc-password", "Sets the password that viewers of the first VNC server need",
           change_args, NONE, NULL, change_password, 0);

/* ---- certificates ---- */

static const char *const reload_types[] = {"vnc", NULL};
static const struct bp_schema reload_type = {.name = "DisplayReloadType", .kind = BP_KIND_ENUM,
                                             .choices = reload_types};
static const struct bp_field reload_args[] = {
    BP_ARG_TYPED("type", ENUM, &reload_type, 0, "vnc"),
    BP_ARG_OPT("tls-certs", BOOL, "read the TLS certificates again"), BP_FIELDS_END};

static int reload(int type, bool has_certs, bool certs, struct bp_error *err)
{
    bool any = false;

    (void)type;
    for (const struct vnc *s = vnc_servers; s && has_certs && certs; s = s->next) {
        const struct bp_tls_ops *ops;
        struct bp_object *creds;
        int r = s->tls_creds ? bp_tls_find(s->tls_creds, true, &ops, &creds, err) : 0;

        if (r == 0 && s->tls_creds)
            r = ops->reload(creds, err);
        if (r < 0)
            return r;
        any |= s->tls_creds != NULL;
    }
    return any || !has_certs || !certs ? 0 : bp_fail(err, EINVAL, "no VNC server has TLS certificates (tls-creds=)");
}
BP_COMMAND(vnc_reload, "display-reload", "Reads the TLS certificates of displays again", reload_args, NONE, NULL,
           reload, 0);

/* ---- add_client, change vnc ---- */

static int add_client(int fd, bool skip_auth, bool tls, struct bp_error *err)
{
    struct vnc *s = vnc_find(NULL);

    (void)tls; /* which the server's credentials say */
    if (!s || s->client_count == VNC_CLIENTS) {
        close(fd);
        return s ? bp_fail(err, EMFILE, "there are %u viewers already", s->client_count)
                 : bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no VNC server; start it with -vnc");
    }
    vnc_client_add(s, fd, false, skip_auth);
    return 0;
}
const struct bp_client_server vnc_client_server = {
    .size = sizeof(vnc_client_server), .protocol = "vnc", .add = add_client};

static void hmp_change(struct bp_monitor *mon, struct bp_value *args)
{
    const char *target = bp_value_get_string(args, "target"), *password = bp_value_get_string(args, "password");
    bool is_password = target && (!strcmp(target, "password") || !strcmp(target, "passwd"));
    struct bp_error err = {0};
    struct vnc *s = NULL;
    int r = server_of(NULL, &s, &err);

    if (r == 0 && is_password && !password)
        r = bp_fail(&err, EINVAL, "the password is missing: change vnc password PASSWORD");
    else if (r == 0 && !is_password && (password || strchr(target, ',')))
        r = bp_fail(&err, EINVAL, "a display stands alone: change vnc HOST:DISPLAY; the other keys stay those of -vnc");
    else if (r == 0)
        r = is_password ? set_password(NULL, password, BP_PASSWORD_KEEP, &err) : vnc_move(s, target, &err);
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}

static const struct bp_field hmp_change_args[] = {
    BP_ARG("target", STRING, "HOST:DISPLAY, unix:PATH, none, or password"),
    BP_ARG_OPT("password", STRING, "the new one"), BP_FIELDS_END};
BP_HMP(vnc_change, "change vnc", "DISPLAY|password PASSWORD", "move the first VNC server, or change its password",
       hmp_change_args, hmp_change);

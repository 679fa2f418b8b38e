/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* set_password and expire_password: what they say goes to the server that speaks the protocol. */
#define BP_SHARED
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <bp/command.h>

#include "display.h"
#include "options.h"

enum { VNC, SPICE, PROTOCOLS };
static const char *const protocols[] = {"vnc", "spice", NULL};
static const char *const names[] = {"VNC", "SPICE"};
static const struct bp_schema protocol_schema = {.name = "DisplayProtocol", .kind = BP_KIND_ENUM,
                                                 .choices = protocols};
static const char *const connected_choices[] = {"keep", "fail", "disconnect", NULL};
static const struct bp_schema connected_schema = {.name = "SetPasswordAction", .kind = BP_KIND_ENUM,
                                                  .choices = connected_choices};

static const struct bp_password_server *servers[PROTOCOLS]; /* [main] */

static int index_of(const char *const *choices, const char *text)
{
    int i = 0;

    while (choices[i] && strcmp(choices[i], text) != 0)
        i++;
    return choices[i] ? i : -1;
}

void password_server(const struct bp_password_server *server)
{
    int protocol = index_of(protocols, server->protocol);

    if (protocol >= 0)
        servers[protocol] = server;
}

static int server_of(int protocol, const struct bp_password_server **ret_server, struct bp_error *err)
{
    if (!servers[protocol])
        return bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no %s server", names[protocol]);
    *ret_server = servers[protocol];
    return 0;
}

/* ---- set_password ---- */

static const struct bp_field set_args[] = {
    BP_ARG_TYPED("protocol", ENUM, &protocol_schema, 0, "vnc or spice"), BP_ARG("password", STRING, "the new password"),
    BP_ARG_TYPED("connected", ENUM, &connected_schema, BP_FIELD_OPTIONAL,
                 "what becomes of viewers that are there: keep; with spice also fail or disconnect"),
    BP_ARG_OPT("display", STRING, "name of the VNC server"), BP_FIELDS_END};

static int set(int protocol, const char *password, bool has_connected, int connected, const char *id,
               struct bp_error *err)
{
    const struct bp_password_server *server = NULL;
    int r = server_of(protocol, &server, err);

    return r < 0 ? r : server->set(id, password, has_connected ? (enum bp_password_connected)connected
                                                               : BP_PASSWORD_KEEP, err);
}
BP_COMMAND(set_password, "set_password", "Sets the password that viewers need", set_args, NONE, NULL, set, 0);

/* ---- expire_password ---- */

/* "now", "never", "+SECONDS", or seconds since the epoch. */
static int parse_time(const char *text, int64_t *ret_time, struct bp_error *err)
{
    char *end;
    long long number;

    if (strcmp(text, "now") == 0) {
        *ret_time = 0;
        return 0;
    }
    if (strcmp(text, "never") == 0) {
        *ret_time = INT64_MAX;
        return 0;
    }
    errno = 0;
    number = strtoll(text + (*text == '+'), &end, 10);
    if (errno || *end || text[*text == '+'] < '0' || text[*text == '+'] > '9' || number > INT64_MAX / 2)
        return bp_fail(err, EINVAL, "time '%.60s' is none; use now, never, +SECONDS or seconds since 1970", text);
    *ret_time = *text == '+' ? (int64_t)time(NULL) + number : number;
    return 0;
}

static const struct bp_field expire_args[] = {
    BP_ARG_TYPED("protocol", ENUM, &protocol_schema, 0, "vnc or spice"),
    BP_ARG("time", STRING, "now, never, +SECONDS, or seconds since 1970"),
    BP_ARG_OPT("display", STRING, "name of the VNC server"), BP_FIELDS_END};

static int expire(int protocol, const char *text, const char *id, struct bp_error *err)
{
    const struct bp_password_server *server = NULL;
    int64_t when = 0;
    int r = server_of(protocol, &server, err);

    if (r == 0)
        r = parse_time(text, &when, err);
    return r < 0 ? r : server->expire(id, when, err);
}
BP_COMMAND(expire_password, "expire_password", "Says until when the password is good", expire_args, NONE, NULL,
           expire, 0);

/* ---- the same for people ---- */

static int protocol_of(struct bp_value *args, struct bp_error *err)
{
    const char *text = bp_value_get_string(args, "protocol");
    int protocol = index_of(protocols, text);

    return protocol >= 0 ? protocol : bp_fail(err, EINVAL, "protocol '%.60s' is not vnc or spice", text);
}

static const struct bp_field hmp_set_args[] = {
    BP_ARG("protocol", STRING, "vnc or spice"), BP_ARG("password", STRING, "password"),
    BP_ARG_OPT("connected", STRING, "keep, fail or disconnect"), BP_FIELDS_END};

static void hmp_set(struct bp_monitor *mon, struct bp_value *args)
{
    const char *text = bp_value_get_string(args, "connected");
    int connected = text ? index_of(connected_choices, text) : BP_PASSWORD_KEEP;
    struct bp_error err = {0};
    int r = protocol_of(args, &err);

    if (r >= 0 && connected < 0)
        r = bp_fail(&err, EINVAL, "argument 'connected': '%.60s' is not keep, fail or disconnect", text);
    if (r >= 0)
        r = set(r, bp_value_get_string(args, "password"), true, connected, NULL, &err);
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}
BP_HMP(hmp_set_password, "set_password", "protocol password [keep|fail|disconnect]", "set spice/vnc password",
       hmp_set_args, hmp_set);

static const struct bp_field hmp_expire_args[] = {
    BP_ARG("protocol", STRING, "vnc or spice"), BP_ARG("time", STRING, "now, never, +SECONDS or seconds since 1970"),
    BP_FIELDS_END};

static void hmp_expire(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_error err = {0};
    int r = protocol_of(args, &err);

    if (r >= 0)
        r = expire(r, bp_value_get_string(args, "time"), NULL, &err);
    if (r < 0)
        bp_monitor_printf(mon, "Error: %s\n", err.message);
}
BP_HMP(hmp_expire_password, "expire_password", "protocol time", "set spice/vnc password expire-time",
       hmp_expire_args, hmp_expire);

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `net-stream`: -netdev stream, a network over a connection (conn.h), with events as that comes and goes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/command.h>

#include "conn.h"

BP_USE(net, struct bp_net_interface, "net", 1);

struct stream {
    struct conn conn; /* first */
    bool server;
    int64_t reconnect, reconnect_ms;
    struct bp_value *addr;
    char *peer;
};

static const struct bp_field connected_data[] = {
    BP_ARG("netdev-id", STRING, "the netdev"), BP_ARG("addr", STRING, "the other side"), BP_FIELDS_END};
static const struct bp_field disconnected_data[] = {BP_ARG("netdev-id", STRING, "the netdev"), BP_FIELDS_END};
BP_EVENT(event_connected, "NETDEV_STREAM_CONNECTED", "a netdev's connection came", connected_data, 0);
BP_EVENT(event_disconnected, "NETDEV_STREAM_DISCONNECTED", "a netdev's connection ended", disconnected_data, 0);

static void changed(struct conn *conn, const char *text)
{
    struct stream *s = (struct stream *)conn;
    struct bp_value *data = bp_value_dict();

    free(s->peer);
    s->peer = bp_strdup(text);
    bp_value_set(data, "netdev-id", bp_value_string(net->netdev_id(conn->nd)));
    if (text)
        bp_value_set(data, "addr", bp_value_string(text));
    bp_event_send(text ? &event_connected : &event_disconnected, data);
}

static int open_stream(struct bp_netdev *nd, struct bp_error *err)
{
    struct stream *s = net->netdev_state(nd);
    int r;

    if (!s->addr)
        return bp_fail(err, EINVAL, "netdev: stream: 'addr' is missing: addr.type=inet, unix or fd, and its keys");
    if (s->reconnect < 0 || s->reconnect_ms < 0 || (s->reconnect && s->reconnect_ms))
        return bp_fail(err, EINVAL, "netdev: stream: 'reconnect-ms' is a number of milliseconds; 'reconnect' says "
                       "the same in seconds");
    if (s->server && (s->reconnect || s->reconnect_ms))
        return bp_fail(err, EINVAL, "netdev: stream: 'reconnect-ms' is for a client, not for server=on");
    s->conn.net = net;
    s->conn.nd = nd;
    s->conn.server = s->server;
    s->conn.retry_ms = s->reconnect_ms ? s->reconnect_ms : s->reconnect * 1000;
    s->conn.changed = changed;
    r = place_read("stream", "addr", s->addr, s->server ? PLACE_LISTENS : 0, &s->conn.place, err);
    return r < 0 ? r : conn_open(&s->conn, "stream", err);
}

static void close_stream(struct bp_netdev *nd)
{
    struct stream *s = net->netdev_state(nd);

    conn_close(&s->conn);
    free(s->peer);
    s->peer = NULL;
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    (void)queue;
    return conn_receive(net->netdev_state(nd), packets, count);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    (void)queue;
    conn_ready(net->netdev_state(nd));
}

static char *info(struct bp_netdev *nd)
{
    struct stream *s = net->netdev_state(nd);
    char *place = place_text(&s->conn.place), *text = NULL;
    int r = s->peer ? asprintf(&text, "connected to %s", s->peer)
                    : asprintf(&text, s->server ? "listening at %s" : "not connected to %s", place ? place : "?");

    free(place);
    return r < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP("server", BOOL, struct stream, server, "off", "listen for the connection"),
    {.name = "addr", .kind = BP_KIND_UNION, .offset = offsetof(struct stream, addr), .help = "where: addr.type=...",
     .schema = &place_schema},
    BP_PROP("reconnect-ms", INT64, struct stream, reconnect_ms, "0",
            "client: milliseconds until a connection that ended is made again; 0: never"),
    BP_PROP("reconnect", INT64, struct stream, reconnect, "0", "the same in seconds"), BP_FIELDS_END};
BP_NETDEV(stream_netdev, "stream", "Connection by a stream socket", struct stream, props, .open = open_stream,
          .close = close_stream, .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-stream", "Networks over stream sockets", imports, {BP_PROVIDE_OTHER, &stream_netdev},
          {BP_PROVIDE_EVENT, &event_connected}, {BP_PROVIDE_EVENT, &event_disconnected});

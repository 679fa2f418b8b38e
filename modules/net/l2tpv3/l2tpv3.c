/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-l2tpv3`: -netdev l2tpv3, an Ethernet pseudowire (RFC 3931, RFC 4719) over UDP or raw IP with a static
 * session: no control messages. A data message over UDP: flags and version, session, cookie, counter, offset, frame;
 * over IP it begins with the session.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <bp/host/net.h>
#include <bp/loop.h>

BP_USE(net, struct bp_net_interface, "net", 1);

#define DATA_V3 0x00030000u /* RFC 3931, 4.1.2.1: T is 0, version 3 */
#define PROTOCOL 115        /* of IP */
#define HEAD_MAX (4u + 4u + 8u + 4u + 4096u)
#define IN_SIZE (60u + HEAD_MAX + BP_NET_MAX_PACKET)
#define AT_ONCE 64u
#define MAX_VECTORS 256u

struct tunnel {
    struct bp_netdev *nd;
    /* properties */
    char *src, *dst, *srcport, *dstport, *txsession, *rxsession, *txcookie, *rxcookie;
    bool ipv6, udp, cookie64, counter, pincounter;
    uint32_t offset;

    uint32_t tx_session, rx_session;
    uint64_t tx_cookie, rx_cookie;
    bool has_tx_cookie, has_rx_cookie;
    int fd;
    struct bp_watch *watch;
    uint32_t sent, received; /* counters */
    bool heard;
    uint8_t *in;
    const uint8_t *frame; /* within `in`: not taken yet */
    uint32_t frame_length;
    bool wants_out;
};

static uint8_t *put_be32(uint8_t *p, uint32_t v)
{
    v = htonl(v);
    memcpy(p, &v, 4);
    return p + 4;
}

static uint32_t get_be32(const uint8_t *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return ntohl(v);
}

static void set_events(struct tunnel *s)
{
    bp_watch_set(s->watch, (s->frame_length ? 0 : BP_WATCH_IN) | (s->wants_out ? BP_WATCH_OUT : 0));
}

/* ---- to there ---- */

static size_t make_head(struct tunnel *s, uint8_t *head)
{
    uint8_t *p = head;

    if (s->udp)
        p = put_be32(p, DATA_V3);
    p = put_be32(p, s->tx_session);
    if (s->has_tx_cookie && s->cookie64)
        p = put_be32(p, (uint32_t)(s->tx_cookie >> 32));
    if (s->has_tx_cookie)
        p = put_be32(p, (uint32_t)s->tx_cookie);
    if (s->counter)
        p = put_be32(p, s->pincounter ? 0 : s->sent);
    memset(p, 0, s->offset);
    return (size_t)(p - head) + s->offset;
}

static bool send_frame(struct tunnel *s, const struct bp_net_packet *p)
{
    uint8_t head[HEAD_MAX], *flat = NULL;
    struct iovec vectors[MAX_VECTORS + 1] = {{head, make_head(s, head)}};
    struct msghdr message = {.msg_iov = vectors, .msg_iovlen = p->count + 1};
    ssize_t n;

    if (p->count > MAX_VECTORS) {
        flat = bp_alloc(p->length);
        net->copy(p, 0, flat, p->length);
        vectors[1] = (struct iovec){flat, p->length};
        message.msg_iovlen = 2;
    } else {
        memcpy(vectors + 1, p->vectors, p->count * sizeof(*vectors));
    }
    n = sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    free(flat);
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS))
        return false;
    s->sent++;
    return true; /* what the other side refuses is lost, as on any wire */
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct tunnel *s = net->netdev_state(nd);

    (void)queue;
    for (unsigned i = 0; i < count; i++) {
        if (send_frame(s, &packets[i]))
            continue;
        s->wants_out = true;
        set_events(s);
        return i;
    }
    return count;
}

/* ---- from there ---- */

/* The frame of a message that is for us; NULL: it is not. */
static const uint8_t *open_message(struct tunnel *s, const uint8_t *p, size_t n, uint32_t *ret_length)
{
    const uint8_t *end = p + n;
    uint64_t cookie;
    uint32_t count = 0;

    if (!s->udp && !s->ipv6) { /* a raw socket shows the header of IPv4 */
        if (n < 20 || n < (p[0] & 15u) * 4u)
            return NULL;
        p += (p[0] & 15u) * 4u;
    }
#define NEED(BYTES) if (end - p < (ptrdiff_t)(BYTES)) return NULL
    if (s->udp) {
        NEED(4);
        if ((get_be32(p) & 0x800f0000u) != DATA_V3)
            return NULL;
        p += 4;
    }
    NEED(4);
    if (get_be32(p) != s->rx_session)
        return NULL;
    p += 4;
    if (s->has_rx_cookie) {
        NEED(s->cookie64 ? 8 : 4);
        cookie = s->cookie64 ? (uint64_t)get_be32(p) << 32 | get_be32(p + 4) : get_be32(p);
        if (cookie != (s->cookie64 ? s->rx_cookie : (uint32_t)s->rx_cookie))
            return NULL;
        p += s->cookie64 ? 8 : 4;
    }
    if (s->counter) {
        NEED(4);
        count = get_be32(p);
        /* Older than what came already: late, or sent again. */
        /* Who does not count has zeroes there, as Linux has unless it is told to. */
        if (!s->pincounter && s->heard && count != 0 && (int32_t)(count - s->received) <= 0)
            return NULL;
        p += 4;
    }
    NEED(s->offset + 14);
#undef NEED
    p += s->offset;
    *ret_length = (uint32_t)(end - p);
    if (*ret_length > BP_NET_MAX_PACKET)
        return NULL;
    s->received = count;
    s->heard = true;
    return p;
}

static bool hand_over(struct tunnel *s)
{
    struct iovec vector = {(void *)s->frame, s->frame_length};
    struct bp_net_packet packet = {&vector, 1, s->frame_length, {0}};

    if (net->netdev_send(s->nd, 0, &packet, 1) == 0)
        return false;
    s->frame_length = 0;
    return true;
}

static void read_some(struct tunnel *s)
{
    for (unsigned i = 0; i < AT_ONCE && s->frame_length == 0; i++) {
        ssize_t n = recv(s->fd, s->in, IN_SIZE, MSG_DONTWAIT);

        if (n < 0)
            break;
        s->frame = open_message(s, s->in, (size_t)n, &s->frame_length);
        if (!s->frame)
            s->frame_length = 0;
        else if (!hand_over(s))
            break;
    }
}

static void socket_ready(void *opaque, unsigned events)
{
    struct tunnel *s = opaque;

    if ((events & BP_WATCH_OUT) && s->wants_out) {
        s->wants_out = false;
        net->netdev_ready(s->nd, 0);
    }
    if (s->frame_length == 0)
        read_some(s);
    set_events(s);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct tunnel *s = net->netdev_state(nd);

    (void)queue;
    if (s->frame_length && hand_over(s))
        read_some(s);
    set_events(s);
}

/* ---- life ---- */

static int number(const char *key, const char *text, bool wide, uint64_t *ret, struct bp_error *err)
{
    char *end;

    errno = 0;
    *ret = strtoull(text, &end, 0);
    if (!*text || *text == '-' || *end || errno || (!wide && *ret > UINT32_MAX))
        return bp_fail(err, EINVAL, "netdev: l2tpv3: %s=%s: expected a number of %d bits", key, text, wide ? 64 : 32);
    return 0;
}

static int read_numbers(struct tunnel *s, struct bp_error *err)
{
    uint64_t v = 0;
    int r;

    if (!s->src || !s->dst || !s->txsession)
        return bp_fail(err, EINVAL, "netdev: l2tpv3: '%s' is missing", !s->src ? "src" : !s->dst ? "dst" : "txsession");
    r = number("txsession", s->txsession, false, &v, err);
    s->tx_session = s->rx_session = (uint32_t)v;
    if (r == 0 && s->rxsession) {
        r = number("rxsession", s->rxsession, false, &v, err);
        s->rx_session = (uint32_t)v;
    }
    s->has_tx_cookie = s->txcookie != NULL;
    s->has_rx_cookie = s->rxcookie != NULL;
    if (r == 0 && s->txcookie)
        r = number("txcookie", s->txcookie, s->cookie64, &s->tx_cookie, err);
    if (r == 0 && s->rxcookie)
        r = number("rxcookie", s->rxcookie, s->cookie64, &s->rx_cookie, err);
    if (r == 0 && s->offset > 4096)
        r = bp_fail(err, EINVAL, "netdev: l2tpv3: offset=%u: at most 4096", s->offset);
    if (r == 0 && s->udp && (!s->srcport || !s->dstport))
        r = bp_fail(err, EINVAL, "netdev: l2tpv3: udp=on needs 'srcport' and 'dstport'");
    return r;
}

static int look_up(const struct tunnel *s, const char *host, const char *port, struct addrinfo **ret,
                   struct bp_error *err)
{
    struct addrinfo hints = {.ai_family = s->ipv6 ? AF_INET6 : AF_INET, .ai_socktype = s->udp ? SOCK_DGRAM : SOCK_RAW,
                             .ai_protocol = s->udp ? 0 : PROTOCOL};
    int r = getaddrinfo(host, s->udp ? port : NULL, &hints, ret);

    return r ? bp_fail(err, EINVAL, "netdev: l2tpv3: %s: %s", host, gai_strerror(r)) : 0;
}

static int open_tunnel(struct bp_netdev *nd, struct bp_error *err)
{
    struct tunnel *s = net->netdev_state(nd);
    struct addrinfo *from = NULL, *to = NULL;
    int r = read_numbers(s, err), code = 0;

    s->nd = nd;
    s->fd = -1;
    if (r == 0)
        r = look_up(s, s->src, s->srcport, &from, err);
    if (r == 0)
        r = look_up(s, s->dst, s->dstport, &to, err);
    if (r == 0) {
        s->fd = socket(from->ai_family, from->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, s->udp ? 0 : PROTOCOL);
        if (s->fd < 0 || bind(s->fd, from->ai_addr, from->ai_addrlen) < 0 ||
            connect(s->fd, to->ai_addr, to->ai_addrlen) < 0)
            code = errno;
        if (code)
            r = bp_fail(err, code, "netdev: l2tpv3: from %s to %s: %s%s", s->src, s->dst, strerror(code),
                        code == EPERM ? "; raw IP needs privileges, udp=on none" : "");
    }
    if (from)
        freeaddrinfo(from);
    if (to)
        freeaddrinfo(to);
    if (r < 0) {
        if (s->fd >= 0)
            close(s->fd);
        return r;
    }
    s->in = bp_alloc(IN_SIZE);
    s->watch = bp_watch_new(net->netdev_owner(nd), NULL, s->fd, BP_WATCH_IN, socket_ready, s);
    return 0;
}

static void close_tunnel(struct bp_netdev *nd)
{
    struct tunnel *s = net->netdev_state(nd);

    bp_watch_free(s->watch);
    close(s->fd);
    free(s->in);
}

static char *info(struct bp_netdev *nd)
{
    const struct tunnel *s = net->netdev_state(nd);
    char *text = NULL;

    return asprintf(&text, "from %s to %s,udp=%s", s->src, s->dst, s->udp ? "on" : "off") < 0 ? NULL : text;
}

#define KEY(NAME, FIELD, HELP) BP_PROP(NAME, STRING, struct tunnel, FIELD, NULL, HELP)
#define FLAG(NAME, FIELD, DEFAULT, HELP) BP_PROP(NAME, BOOL, struct tunnel, FIELD, DEFAULT, HELP)
static const struct bp_field props[] = {
    KEY("src", src, "address of this side"), KEY("dst", dst, "address of the other side"),
    KEY("srcport", srcport, "UDP port of this side"), KEY("dstport", dstport, "UDP port of the other side"),
    KEY("txsession", txsession, "session of what is sent"),
    KEY("rxsession", rxsession, "session of what is received (default: the same)"),
    KEY("txcookie", txcookie, "cookie of what is sent"), KEY("rxcookie", rxcookie, "cookie of what is received"),
    FLAG("ipv6", ipv6, "off", "over IPv6"), FLAG("udp", udp, "off", "over UDP"),
    FLAG("cookie64", cookie64, "off", "cookies have 64 bits"), FLAG("counter", counter, "on", "messages are counted"),
    FLAG("pincounter", pincounter, "off", "the counter stands at 0, and the other side's is not looked at"),
    BP_PROP("offset", UINT32, struct tunnel, offset, "0", "bytes between header and frame"), BP_FIELDS_END};
BP_NETDEV(tunnel_class, "l2tpv3", "L2TPv3 pseudowire", struct tunnel, props, .open = open_tunnel,
          .close = close_tunnel, .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-l2tpv3", "L2TPv3 pseudowires", imports, {BP_PROVIDE_OTHER, &tunnel_class});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Echoes of ICMPv6 to hosts beyond the guest's network (RFC 4443, 4), which libslirp does not
 * carry: a socket for each destination and identifier, of the kind that needs no privileges where
 * the host's net.ipv4.ping_group_range allows it. The kernel puts in an identifier of its own; the
 * answer gets the guest's back. [main], and [vcpu] for what the guest sends
 */
#define BP_SHARED
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "user.h"

#define HEADERS 54u /* Ethernet and IPv6 */
#define PROTOCOL 58
#define REQUEST 128
#define ANSWER 129
#define MOST 64u /* sockets */
#define IDLE_NS 30000000000
#define LONGEST 65535u /* of an IPv6 payload */

struct echo {
    struct echo *next;
    struct user *user;
    struct bp_watch *watch;
    int fd;
    uint8_t head[HEADERS]; /* of the answer, without its length */
    uint8_t ident[2];
    int64_t used;
};

static uint64_t add(uint64_t sum, const uint8_t *p, size_t n)
{
    for (; n > 1; p += 2, n -= 2)
        sum += (unsigned)(p[0] << 8 | p[1]);
    return n ? sum + (unsigned)(p[0] << 8) : sum;
}

/* Over addresses, length, protocol and message (RFC 8200, 8.1); 0: what stands in it is right. */
static uint16_t checksum(const uint8_t *frame, const uint8_t *message, size_t n)
{
    uint64_t sum = add(add(n + PROTOCOL, frame + 22, 32), message, n);

    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void echo_free(struct echo **link)
{
    struct echo *e = *link;

    *link = e->next;
    bp_watch_free(e->watch);
    close(e->fd);
    free(e);
}

void echo6_free_all(struct user *s)
{
    while (s->echoes)
        echo_free(&s->echoes);
}

static void answered(void *opaque, unsigned events)
{
    struct echo *e = opaque;
    static uint8_t frame[HEADERS + LONGEST]; /* [main]: one at a time */
    ssize_t n = recv(e->fd, frame + HEADERS, LONGEST, MSG_DONTWAIT);
    uint8_t *message = frame + HEADERS;
    uint16_t sum;
    struct iovec vector = {frame, 0};
    struct bp_net_packet packet = {&vector, 1, 0, {.flags = BP_NET_CHECKSUM_VALID}};

    (void)events;
    if (n < 8 || message[0] != ANSWER)
        return; /* an error that came back: the guest waits, as for an answer that is lost */
    memcpy(frame, e->head, HEADERS);
    frame[18] = (uint8_t)(n >> 8);
    frame[19] = (uint8_t)n;
    memcpy(message + 4, e->ident, 2);
    message[2] = message[3] = 0;
    sum = checksum(frame, message, (size_t)n);
    message[2] = (uint8_t)(sum >> 8);
    message[3] = (uint8_t)sum;
    vector.iov_len = packet.length = HEADERS + (uint32_t)n;
    user_net->netdev_push(e->user->nd, 0, &packet, 1);
}

/* Does it lead out of the guest's network? */
static bool far(const struct user *s, const uint8_t *to)
{
    static const uint8_t nobody[15];
    const uint8_t *prefix = s->config.vprefix_addr6.s6_addr;
    unsigned bits = s->config.vprefix_len, whole = bits / 8;

    if (to[0] == 0xff || (to[0] == 0xfe && (to[1] & 0xc0) == 0x80) || !memcmp(to, nobody, 15))
        return false;
    return memcmp(to, prefix, whole) != 0 ||
           (bits % 8 && ((to[whole] ^ prefix[whole]) & (0xff00u >> bits % 8) & 0xffu));
}

static void forget_idle(struct user *s, int64_t now)
{
    unsigned n = 0;

    /* The newest first: what is beyond the limit is the oldest. */
    for (struct echo **link = &s->echoes; *link;) {
        if (now - (*link)->used > IDLE_NS || n >= MOST - 1) {
            echo_free(link);
        } else {
            link = &(*link)->next;
            n++;
        }
    }
}

static struct echo *make(struct user *s, const uint8_t *frame)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, IPPROTO_ICMPV6);
    struct echo *e;

    if (fd < 0 && (errno == EACCES || errno == EPERM) && !s->warned_ping) {
        s->warned_ping = true;
        bp_warn(
            "netdev %s: the guest's pings do not leave it: this host forbids them; see its sysctl "
            "net.ipv4.ping_group_range",
            user_net->netdev_id(s->nd));
    }
    if (fd < 0)
        return NULL;
    memcpy(&to.sin6_addr, frame + 38, 16);
    if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0) { /* nowhere to go */
        close(fd);
        return NULL;
    }
    e = bp_alloc(sizeof(*e));
    e->user = s;
    e->fd = fd;
    memcpy(e->head, frame + 6, 6); /* the way back */
    memcpy(e->head + 6, frame, 6);
    memcpy(e->head + 12, frame + 12, 10);
    memcpy(e->head + 22, frame + 38, 16);
    memcpy(e->head + 38, frame + 22, 16);
    e->head[21] = 64; /* hops */
    memcpy(e->ident, frame + HEADERS + 4, 2);
    e->watch = bp_watch_new(user_net->netdev_owner(s->nd), NULL, fd, BP_WATCH_IN, answered, e);
    e->next = s->echoes;
    s->echoes = e;
    return e;
}

bool echo6_take(struct user *s, const uint8_t *frame, uint32_t length)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);
    struct echo *e;
    size_t n;

    if (length < HEADERS + 8 || frame[12] != 0x86 || frame[13] != 0xdd || frame[20] != PROTOCOL ||
        frame[54] != REQUEST || !s->config.in6_enabled || !far(s, frame + 38))
        return false;
    n = (size_t)(frame[18] << 8 | frame[19]);
    if (s->restricted || n < 8 || n > length - HEADERS || checksum(frame, frame + HEADERS, n) != 0)
        return true;
    for (e = s->echoes; e; e = e->next)
        if (!memcmp(e->ident, frame + HEADERS + 4, 2) && !memcmp(e->head + 22, frame + 38, 16) &&
            !memcmp(e->head + 38, frame + 22, 16))
            break;
    if (!e) {
        forget_idle(s, now);
        e = make(s, frame);
    }
    if (e) {
        e->used = now;
        send(e->fd, frame + HEADERS, n, MSG_DONTWAIT);
    }
    return true;
}

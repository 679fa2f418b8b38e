/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-switch`: -netdev switch,name=NAME joins the machines of one user that name the same switch, without
 * privileges and without a process in between: each member has a datagram socket in a folder that only its user can
 * enter, and sends to the others there itself. It learns which of them an address is behind, as a switch does, and
 * tells all when it does not know. What it sends can be made late, uneven, lossy and slow, repeatably (seed).
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/host/net.h>
#include <bp/loop.h>

BP_USE(net, struct bp_net_interface, "net", 1);

#define LEARNED 1024u        /* places of addresses, by a hash */
#define AGE_NS INT64_C(300000000000)
#define AT_ONCE 64u
#define DELAYED_MAX 4096u    /* frames on their way */
#define RETRY_NS 200000     /* a member's queue is short: it is asked again, */
#define RETRIES 100u        /* so often, then the frame is lost for it */
#define IN_SIZE (BP_NET_MAX_PACKET + 1)

struct learned {
    uint8_t mac[6];
    int64_t seen; /* 0: free */
    struct sockaddr_un at;
};

struct delayed {
    struct delayed *next;
    int64_t due;
    uint32_t length;
    unsigned tries;        /* of a member that was full */
    struct sockaddr_un to; /* that one; path "": the switch decides */
    uint8_t bytes[];
};

struct net_switch {
    struct bp_netdev *nd;
    /* properties */
    char *name;
    uint32_t delay, jitter; /* ms */
    double loss;            /* per cent */
    uint64_t rate, seed;    /* bits a second; 0: no limit */

    char folder[sizeof(((struct sockaddr_un *)0)->sun_path) - 24];
    struct sockaddr_un own;
    int fd;
    struct bp_watch *watch;
    uint8_t *in;
    uint32_t in_length;
    struct learned *learned;
    struct delayed *first;
    unsigned count;
    struct bp_timer *timer;
    int64_t hold;      /* nothing goes before: a full member is asked again then */
    int64_t line_free; /* when what was sent before has left, with rate= */
    uint64_t random;
};

static unsigned made; /* members of this process */

/* ---- chance (xorshift64*, Vigna 2014) ---- */

static uint64_t next_random(struct net_switch *s)
{
    s->random ^= s->random >> 12;
    s->random ^= s->random << 25;
    s->random ^= s->random >> 27;
    return s->random * UINT64_C(2685821657736338717);
}

static double chance(struct net_switch *s) /* 0 <= x < 1 */
{
    return (double)(next_random(s) >> 11) / 9007199254740992.0;
}

/* ---- addresses ---- */

static struct learned *place_of(struct net_switch *s, const uint8_t *mac)
{
    uint32_t hash = 2166136261u;

    for (unsigned i = 0; i < 6; i++)
        hash = (hash ^ mac[i]) * 16777619u;
    return &s->learned[hash % LEARNED];
}

static void learn(struct net_switch *s, const uint8_t *mac, const struct sockaddr_un *from)
{
    struct learned *l = place_of(s, mac);

    if (mac[0] & 1)
        return;
    memcpy(l->mac, mac, 6);
    l->seen = bp_clock_ns(BP_CLOCK_REALTIME) + 1;
    l->at = *from;
}

static const struct sockaddr_un *look_up(struct net_switch *s, const uint8_t *mac)
{
    const struct learned *l = place_of(s, mac);

    if (!l->seen || memcmp(l->mac, mac, 6) != 0 || bp_clock_ns(BP_CLOCK_REALTIME) - l->seen > AGE_NS)
        return NULL;
    return &l->at;
}

/* ---- to the others ---- */

static void enqueue(struct net_switch *s, struct delayed *d)
{
    struct delayed **link = &s->first;

    while (*link && (*link)->due <= d->due)
        link = &(*link)->next;
    d->next = *link;
    *link = d;
    s->count++;
    bp_timer_set(s->timer, s->first->due);
}

static void again(struct net_switch *s, const struct sockaddr_un *to, const void *bytes, uint32_t length,
                  unsigned tries)
{
    struct delayed *d = tries < RETRIES && s->count < DELAYED_MAX ? malloc(sizeof(*d) + length) : NULL;

    if (!d)
        return;
    s->hold = bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS;
    d->due = s->hold;
    d->length = length;
    d->tries = tries + 1;
    d->to = *to;
    memcpy(d->bytes, bytes, length);
    enqueue(s, d);
}

/* A member that has gone without a word leaves its socket: whoever finds that takes it away. */
static void send_to(struct net_switch *s, const struct sockaddr_un *to, const void *bytes, uint32_t length,
                    unsigned tries)
{
    if (sendto(s->fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)to, sizeof(*to)) >= 0)
        return;
    if (errno == ECONNREFUSED)
        unlink(to->sun_path);
    else if (errno == EAGAIN || errno == ENOBUFS)
        again(s, to, bytes, length, tries);
}

static void send_to_all(struct net_switch *s, const void *bytes, uint32_t length)
{
    DIR *dir = opendir(s->folder);

    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        struct sockaddr_un to = {.sun_family = AF_UNIX};

        if (e->d_name[0] == '.' ||
            snprintf(to.sun_path, sizeof(to.sun_path), "%s/%s", s->folder, e->d_name) >= (int)sizeof(to.sun_path))
            continue;
        if (strcmp(to.sun_path, s->own.sun_path) != 0)
            send_to(s, &to, bytes, length, 0);
    }
    if (dir)
        closedir(dir);
}

static void put_on_the_line(struct net_switch *s, const uint8_t *bytes, uint32_t length)
{
    const struct sockaddr_un *to = length >= 6 && !(bytes[0] & 1) ? look_up(s, bytes) : NULL;

    if (to)
        send_to(s, to, bytes, length, 0);
    else
        send_to_all(s, bytes, length);
}

static void due(void *opaque)
{
    struct net_switch *s = opaque;
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    while (s->first && s->first->due <= now) {
        struct delayed *d = s->first;

        s->first = d->next;
        s->count--;
        if (d->to.sun_path[0])
            send_to(s, &d->to, d->bytes, d->length, d->tries);
        else
            put_on_the_line(s, d->bytes, d->length);
        free(d);
    }
    if (s->first)
        bp_timer_set(s->timer, s->first->due);
}

/* When it arrives; -1: never. */
static int64_t arrival(struct net_switch *s, uint32_t length)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME), at = now;

    if (s->loss > 0 && chance(s) * 100 < s->loss)
        return -1;
    if (s->rate) {
        s->line_free = (s->line_free > now ? s->line_free : now) + (int64_t)((double)length * 8e9 / (double)s->rate);
        at = s->line_free;
    }
    at += (int64_t)s->delay * 1000000;
    if (s->jitter)
        at += (int64_t)((chance(s) * 2 - 1) * s->jitter * 1e6);
    at = at < now ? now : at;
    return at < s->hold ? s->hold : at;
}

static void send_later(struct net_switch *s, const struct bp_net_packet *p, int64_t at)
{
    struct delayed *d = s->count < DELAYED_MAX ? malloc(sizeof(*d) + p->length) : NULL;

    if (!d)
        return; /* as a switch whose memory is full */
    d->due = at;
    d->length = p->length;
    d->tries = 0;
    d->to.sun_path[0] = 0;
    net->copy(p, 0, d->bytes, p->length);
    enqueue(s, d);
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct net_switch *s = net->netdev_state(nd);

    (void)queue;
    for (unsigned i = 0; i < count; i++) {
        int64_t at = arrival(s, packets[i].length);

        if (at < 0)
            continue;
        if (s->delay || s->jitter || s->rate || s->first) {
            send_later(s, &packets[i], at);
        } else {
            uint8_t *flat = malloc(packets[i].length);

            if (flat)
                put_on_the_line(s, flat, (uint32_t)net->copy(&packets[i], 0, flat, packets[i].length));
            free(flat);
        }
    }
    return count;
}

/* ---- from the others ---- */

static bool hand_over(struct net_switch *s)
{
    struct iovec vector = {s->in, s->in_length};
    struct bp_net_packet packet = {&vector, 1, s->in_length, {0}};

    if (net->netdev_send(s->nd, 0, &packet, 1) == 0)
        return false;
    s->in_length = 0;
    return true;
}

static void read_some(struct net_switch *s)
{
    for (unsigned i = 0; i < AT_ONCE && s->in_length == 0; i++) {
        struct sockaddr_un from = {.sun_family = AF_UNIX};
        socklen_t length = sizeof(from);
        ssize_t n = recvfrom(s->fd, s->in, IN_SIZE, MSG_DONTWAIT | MSG_TRUNC, (struct sockaddr *)&from, &length);

        if (n < 0)
            break;
        if (n < 14 || n > (ssize_t)BP_NET_MAX_PACKET)
            continue;
        /* Only a member's socket in the folder is worth remembering. */
        from.sun_path[sizeof(from.sun_path) - 1] = 0;
        if (length > sizeof(sa_family_t) && !strncmp(from.sun_path, s->folder, strlen(s->folder)))
            learn(s, s->in + 6, &from);
        s->in_length = (uint32_t)n;
        if (!hand_over(s))
            break;
    }
    bp_watch_set(s->watch, s->in_length ? 0 : BP_WATCH_IN);
}

static void socket_ready(void *opaque, unsigned events)
{
    struct net_switch *s = opaque;

    (void)events;
    if (s->in_length == 0)
        read_some(s);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct net_switch *s = net->netdev_state(nd);

    (void)queue;
    if (s->in_length && !hand_over(s))
        return;
    read_some(s);
}

/* ---- life ---- */

static int make_folder(struct net_switch *s, struct bp_error *err)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    char base[sizeof(s->folder)];
    struct stat st;
    int n;

    if (run && *run)
        n = snprintf(base, sizeof(base), "%s/backplane-switch", run);
    else
        n = snprintf(base, sizeof(base), "/tmp/backplane-switch-%u", (unsigned)geteuid());
    if (n >= (int)sizeof(base) || snprintf(s->folder, sizeof(s->folder), "%s/%s", base,
                                           s->name) >= (int)sizeof(s->folder))
        return bp_fail(err, ENAMETOOLONG, "netdev: switch: name=%s is too long for a path of a socket", s->name);
    for (unsigned i = 0; i < 2; i++) {
        const char *path = i ? s->folder : base;

        if (mkdir(path, 0700) < 0 && errno != EEXIST)
            return bp_fail(err, errno, "netdev: switch: %s: %s", path, strerror(errno));
        if (lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
            return bp_fail(err, EPERM, "netdev: switch: %s is not a folder that only we can enter", path);
    }
    return 0;
}

static int open_switch(struct bp_netdev *nd, struct bp_error *err)
{
    struct net_switch *s = net->netdev_state(nd);
    int r, size = 4 << 20;

    s->nd = nd;
    s->fd = -1;
    if (!s->name || !*s->name || strchr(s->name, '/') || s->name[0] == '.')
        return bp_fail(err, EINVAL,
                       "netdev: switch: 'name' is missing, or no name: machines that give the same one are joined");
    if (s->jitter > s->delay)
        return bp_fail(err, EINVAL,
                       "netdev: switch: jitter=%u is more than delay=%u: nothing arrives before it is sent",
                       s->jitter, s->delay);
    if (!(s->loss >= 0 && s->loss <= 100))
        return bp_fail(err, EINVAL, "netdev: switch: 'loss' is a part in a hundred, 0 to 100");
    r = make_folder(s, err);
    if (r < 0)
        return r;
    s->own.sun_family = AF_UNIX;
    snprintf(s->own.sun_path, sizeof(s->own.sun_path), "%s/%d-%u", s->folder, (int)getpid(), made++);
    s->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    unlink(s->own.sun_path);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&s->own, sizeof(s->own)) < 0) {
        r = bp_fail(err, errno, "netdev: switch: %s: %s", s->own.sun_path, strerror(errno));
        if (s->fd >= 0)
            close(s->fd);
        return r;
    }
    setsockopt(s->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    s->in = bp_alloc(IN_SIZE);
    s->learned = bp_alloc(LEARNED * sizeof(*s->learned));
    s->random = s->seed ? s->seed : ((uint64_t)getpid() << 32 | (uint32_t)bp_clock_ns(BP_CLOCK_HOST)) | 1;
    s->timer = bp_timer_new(net->netdev_owner(nd), NULL, BP_CLOCK_REALTIME, due, s);
    s->watch = bp_watch_new(net->netdev_owner(nd), NULL, s->fd, BP_WATCH_IN, socket_ready, s);
    return 0;
}

static void close_switch(struct bp_netdev *nd)
{
    struct net_switch *s = net->netdev_state(nd);

    bp_watch_free(s->watch);
    bp_timer_free(s->timer);
    close(s->fd);
    unlink(s->own.sun_path);
    rmdir(s->folder); /* the last one */
    for (struct delayed *d = s->first, *next; d; d = next) {
        next = d->next;
        free(d);
    }
    free(s->in);
    free(s->learned);
}

/* Machines of one switch must differ: each process and member has its own. */
static bool default_mac(struct bp_netdev *nd, uint8_t mac[6])
{
    const struct net_switch *s = net->netdev_state(nd);
    uint32_t hash = 2166136261u;

    for (const char *p = s->own.sun_path; *p; p++)
        hash = (hash ^ (uint8_t)*p) * 16777619u;
    mac[0] = 0x52;
    mac[1] = 0x54;
    mac[2] = (uint8_t)(hash >> 24 | 1); /* not among those that count up from 00 */
    mac[3] = (uint8_t)(hash >> 16);
    mac[4] = (uint8_t)(hash >> 8);
    mac[5] = (uint8_t)hash;
    return true;
}

static char *info(struct bp_netdev *nd)
{
    const struct net_switch *s = net->netdev_state(nd);
    char *text = NULL;

    return asprintf(&text, "name=%s,delay=%u,jitter=%u,loss=%g,rate=%llu", s->name, s->delay, s->jitter, s->loss,
                    (unsigned long long)s->rate) < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP("name", STRING, struct net_switch, name, NULL, "machines of one user that give the same are joined"),
    BP_PROP_RANGE("delay", UINT32, struct net_switch, delay, "0", 0, 60000, "ms that a frame takes"),
    BP_PROP_RANGE("jitter", UINT32, struct net_switch, jitter, "0", 0, 60000, "ms that it takes more or less"),
    BP_PROP("loss", NUMBER, struct net_switch, loss, "0", "frames of a hundred that are lost"),
    BP_PROP("rate", UINT64, struct net_switch, rate, "0", "bits a second; 0: no limit"),
    BP_PROP("seed", UINT64, struct net_switch, seed, "0", "makes chance repeatable; 0: it is not"), BP_FIELDS_END};
BP_NETDEV(switch_class, "switch", "Named switch between machines of one user", struct net_switch, props,
          .open = open_switch, .close = close_switch, .receive = receive, .ready = ready, .info = info,
          .default_mac = default_mac);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-switch", "Named switches between machines", imports, {BP_PROVIDE_OTHER, &switch_class});

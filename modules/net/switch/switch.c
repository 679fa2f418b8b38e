/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-switch`: -netdev switch,name=NAME joins the machines of one user that name the same switch, without
 * privileges and without a process in between: each member has a datagram socket in a folder that only its user can
 * enter, and sends to the others there itself. It learns which of them an address is behind, as a switch does, and
 * tells all when it does not know. What it sends can be made late, uneven, lossy and slow, repeatably (seed).
 *
 * A datagram is MAGIC and frames one after the other, each behind its length and its offloads (struct record): frames
 * that go to the same member together need one call, and segments of TCP stay whole from guest to guest.
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
#define RETRY_NS 100000     /* a member's queue is short: it is asked again, */
#define RETRIES 200u        /* so often, then the frames are lost for it */
#define RECORDS_MAX (BP_NET_MAX_PACKET + (uint32_t)sizeof(struct record) + 65536u) /* bytes of frames in one datagram */
#define TAKES (BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN)

static const uint8_t magic[4] = {'b', 'p', 's', '1'};

struct record {
    uint32_t length; /* of the frame behind this */
    struct bp_net_offload offload;
};

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
    uint8_t bytes[];       /* records */
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
    uint8_t *in;          /* records that came; those from in_at on have not been taken */
    uint32_t in_at, in_length;
    uint8_t *out;         /* records that gather for out_to (path "": for all) */
    uint32_t out_length;
    unsigned out_tries;
    struct sockaddr_un out_to;
    struct bp_deferred *flush;
    struct sockaddr_un deaf; /* who did not take what was kept for it: for that one nothing is kept */
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

static void set_timer(struct net_switch *s)
{
    if (s->first)
        bp_timer_set(s->timer, s->first->due > s->hold ? s->first->due : s->hold);
}

static void enqueue(struct net_switch *s, struct delayed *d)
{
    struct delayed **link = &s->first;

    while (*link && (*link)->due <= d->due)
        link = &(*link)->next;
    d->next = *link;
    *link = d;
    s->count++;
    set_timer(s);
}

static struct delayed *delayed_new(struct net_switch *s, uint32_t length)
{
    struct delayed *d = s->count < DELAYED_MAX ? malloc(sizeof(*d) + length) : NULL;

    if (d)
        *d = (struct delayed){.length = length};
    return d;
}

/* A member is full: before all others, so that nothing overtakes it. */
static void again(struct net_switch *s, const struct sockaddr_un *to, const void *bytes, uint32_t length,
                  unsigned tries)
{
    bool deaf = strcmp(to->sun_path, s->deaf.sun_path) == 0;
    struct delayed *d = tries < RETRIES && !deaf ? delayed_new(s, length) : NULL;

    if (!d) {
        s->deaf = *to;
        return;
    }
    s->hold = bp_clock_ns(BP_CLOCK_REALTIME) + RETRY_NS;
    d->tries = tries + 1;
    d->to = *to;
    memcpy(d->bytes, bytes, length);
    d->next = s->first;
    s->first = d;
    s->count++;
    set_timer(s);
}

/* A member that has gone without a word leaves its socket: whoever finds that takes it away. */
static void send_to(struct net_switch *s, const struct sockaddr_un *to, void *bytes, uint32_t length, unsigned tries)
{
    struct iovec vectors[] = {{(void *)(uintptr_t)magic, sizeof(magic)}, {bytes, length}};
    struct msghdr message = {.msg_name = (void *)(uintptr_t)to, .msg_namelen = sizeof(*to), .msg_iov = vectors,
                             .msg_iovlen = 2};

    if (sendmsg(s->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) {
        if (strcmp(to->sun_path, s->deaf.sun_path) == 0)
            s->deaf.sun_path[0] = 0;
    } else if (errno == ECONNREFUSED) {
        unlink(to->sun_path);
    } else if (errno == EAGAIN || errno == ENOBUFS) {
        again(s, to, bytes, length, tries);
    }
}

static void send_to_all(struct net_switch *s, void *bytes, uint32_t length)
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

/* What has gathered goes. */
static void flush(void *opaque)
{
    struct net_switch *s = opaque;
    uint32_t length = s->out_length;

    s->out_length = 0;
    if (length && s->out_to.sun_path[0])
        send_to(s, &s->out_to, s->out, length, s->out_tries);
    else if (length)
        send_to_all(s, s->out, length);
}

/* Whether so many bytes for this member cannot go with what has gathered. */
static bool go_apart(const struct net_switch *s, const struct sockaddr_un *to, uint32_t length)
{
    return s->out_length && (strcmp(to->sun_path, s->out_to.sun_path) != 0 || s->out_length + length > RECORDS_MAX);
}

/* Room for records for one member, or (path "") for all, behind those that gather for it. */
static uint8_t *gather(struct net_switch *s, const struct sockaddr_un *to, uint32_t length, unsigned tries)
{
    uint8_t *at;

    if (s->out_length == 0) {
        s->out_to = *to;
        s->out_tries = 0;
    }
    at = s->out + s->out_length;
    s->out_length += length;
    s->out_tries = tries > s->out_tries ? tries : s->out_tries;
    return at;
}

static const struct sockaddr_un *way_of(struct net_switch *s, const uint8_t *frame, uint32_t length)
{
    static const struct sockaddr_un all = {.sun_family = AF_UNIX};
    const struct sockaddr_un *to = length >= 6 && !(frame[0] & 1) ? look_up(s, frame) : NULL;

    return to ? to : &all;
}

static void put_record(uint8_t *to, const struct bp_net_packet *packet)
{
    struct record head = {packet->length, packet->offload};

    memcpy(to, &head, sizeof(head));
    net->copy(packet, 0, to + sizeof(head), packet->length);
}

/* What is due goes, until a member is full. */
static void due(void *opaque)
{
    struct net_switch *s = opaque;
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    flush(s);
    while (s->first && s->first->due <= now && s->hold <= now) {
        struct delayed *d = s->first;
        const struct sockaddr_un *to = &d->to;

        if (!to->sun_path[0])
            to = way_of(s, d->bytes + sizeof(struct record), d->length - (uint32_t)sizeof(struct record));
        if (go_apart(s, to, d->length)) {
            flush(s); /* a member that is full is before this one now */
            continue;
        }
        s->first = d->next;
        s->count--;
        memcpy(gather(s, to, d->length, d->tries), d->bytes, d->length);
        free(d);
    }
    flush(s);
    set_timer(s);
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
    struct delayed *d = delayed_new(s, p->length + (uint32_t)sizeof(struct record));

    if (!d)
        return; /* as a switch whose memory is full */
    d->due = at;
    put_record(d->bytes, p);
    enqueue(s, d);
}

static void send_now(struct net_switch *s, const struct bp_net_packet *p)
{
    uint32_t length = p->length + (uint32_t)sizeof(struct record);
    const struct sockaddr_un *to;
    uint8_t mac[6];

    to = way_of(s, mac, (uint32_t)net->copy(p, 0, mac, sizeof(mac)));
    if (go_apart(s, to, length))
        flush(s);
    if (s->first) { /* the one before found a member full */
        send_later(s, p, s->hold);
        return;
    }
    put_record(gather(s, to, length, 0), p);
    bp_deferred_schedule(s->flush);
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct net_switch *s = net->netdev_state(nd);

    (void)queue;
    for (unsigned i = 0; i < count; i++) {
        int64_t at = arrival(s, packets[i].length);

        if (at < 0)
            continue;
        if (s->delay || s->jitter || s->rate || s->first)
            send_later(s, &packets[i], at);
        else
            send_now(s, &packets[i]);
    }
    return count;
}

/* ---- from the others ---- */

/* The records from in_at on that are whole, up to AT_ONCE; what is none ends the datagram. */
static unsigned whole_records(const struct net_switch *s, struct bp_net_packet *packets, struct iovec *vectors,
                              uint32_t *ret_end)
{
    uint32_t at = s->in_at;
    unsigned count = 0;

    while (count < AT_ONCE && s->in_length - at > sizeof(struct record)) {
        struct record head;

        memcpy(&head, s->in + at, sizeof(head));
        if (head.length < 14 || head.length > BP_NET_MAX_PACKET || head.length > s->in_length - at - sizeof(head)) {
            at = s->in_length;
            break;
        }
        vectors[count] = (struct iovec){s->in + at + sizeof(head), head.length};
        packets[count] = (struct bp_net_packet){&vectors[count], 1, head.length, head.offload};
        at += (uint32_t)sizeof(head) + head.length;
        count++;
    }
    *ret_end = count < AT_ONCE ? s->in_length : at;
    return count;
}

/* False: some are left. */
static bool hand_over(struct net_switch *s)
{
    struct bp_net_packet packets[AT_ONCE];
    struct iovec vectors[AT_ONCE];

    while (s->in_at < s->in_length) {
        uint32_t end;
        unsigned count = whole_records(s, packets, vectors, &end), taken;

        taken = count ? net->netdev_send(s->nd, 0, packets, count) : 0;
        if (taken < count) {
            s->in_at = (uint32_t)((uint8_t *)vectors[taken].iov_base - s->in - sizeof(struct record));
            return false;
        }
        s->in_at = end;
    }
    s->in_at = s->in_length = 0;
    return true;
}

/* Whom the frames come from, as far as they say it. */
static void learn_from(struct net_switch *s, struct sockaddr_un *from, socklen_t length)
{
    uint32_t at = 0;

    /* Only a member's socket in the folder is worth remembering. */
    from->sun_path[sizeof(from->sun_path) - 1] = 0;
    if (length <= sizeof(sa_family_t) || strncmp(from->sun_path, s->folder, strlen(s->folder)) != 0)
        return;
    while (s->in_length - at >= sizeof(struct record) + 14) {
        struct record head;

        memcpy(&head, s->in + at, sizeof(head));
        learn(s, s->in + at + sizeof(head) + 6, from);
        if (head.length > s->in_length - at - sizeof(head))
            return;
        at += (uint32_t)sizeof(head) + head.length;
    }
}

static void read_some(struct net_switch *s)
{
    for (unsigned i = 0; i < AT_ONCE && s->in_length == 0; i++) {
        struct sockaddr_un from = {.sun_family = AF_UNIX};
        uint8_t first[sizeof(magic)];
        struct iovec vectors[] = {{first, sizeof(first)}, {s->in, RECORDS_MAX}};
        struct msghdr message = {.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = vectors, .msg_iovlen = 2};
        ssize_t n = recvmsg(s->fd, &message, MSG_DONTWAIT);

        if (n < 0)
            break;
        if (n <= (ssize_t)sizeof(magic) || (message.msg_flags & MSG_TRUNC) || memcmp(first, magic, sizeof(magic)) != 0)
            continue;
        s->in_at = 0;
        s->in_length = (uint32_t)n - (uint32_t)sizeof(magic);
        learn_from(s, &from, message.msg_namelen);
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
    s->in = bp_alloc(RECORDS_MAX);
    s->out = bp_alloc(RECORDS_MAX);
    s->flush = bp_deferred_new(net->netdev_owner(nd), NULL, flush, s);
    if (s->delay || s->jitter || s->loss > 0 || s->rate)
        net->netdev_takes(nd, 0); /* these are counted by frames */
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
    flush(s);
    bp_deferred_free(s->flush);
    close(s->fd);
    unlink(s->own.sun_path);
    rmdir(s->folder); /* the last one */
    for (struct delayed *d = s->first, *next; d; d = next) {
        next = d->next;
        free(d);
    }
    free(s->in);
    free(s->out);
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
BP_NETDEV(switch_class, "switch", "Named switch between machines of one user", struct net_switch, props, .takes = TAKES,
          .open = open_switch, .close = close_switch, .receive = receive, .ready = ready, .info = info,
          .default_mac = default_mac);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-switch", "Named switches between machines", imports, {BP_PROVIDE_OTHER, &switch_class});

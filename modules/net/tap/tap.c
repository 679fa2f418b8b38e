/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-tap`: -netdev tap, an interface of the host (Linux Documentation/networking/tuntap), and -netdev
 * bridge, one that a helper with privileges has put on a bridge. Frames go with a header of virtio, so that
 * checksums and segments are left to whoever can do them. Several queues are several descriptors.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/host/net.h>
#include <bp/log.h>
#include <bp/loop.h>

#include "helper.h"

BP_USE(net, struct bp_net_interface, "net", 1);

#define HEADER 10 /* bytes of struct virtio_net_hdr (virtio 1.2, 5.1.6, without the number of buffers) */
#define NEEDS_CHECKSUM 1u
#define DATA_VALID 2u
#define MAX_QUEUES 64u
#define AT_ONCE 64u
#define IN_SIZE (HEADER + BP_NET_MAX_PACKET + 1)
#define MAX_VECTORS 256u
#define TAKES (BP_NET_TAKES_CHECKSUM | BP_NET_TAKES_TCP4 | BP_NET_TAKES_TCP6 | BP_NET_TAKES_ECN)
#define DEFAULT_SCRIPT "/etc/qemu-ifup"
#define DEFAULT_DOWN "/etc/qemu-ifdown"

struct tap;

struct tap_queue {
    struct tap *tap;
    int fd;
    unsigned index;
    struct bp_watch *watch;
    uint8_t *in;
    uint32_t in_length; /* a frame, with its header, that the other end has not taken yet */
    bool wants_out;
};

struct tap {
    struct bp_netdev *nd;
    /* properties */
    char *fd, *fds, *ifname, *script, *downscript, *br, *helper, *vhostfd, *vhostfds;
    int vhost, vnet_hdr;
    bool vhostforce;
    uint32_t queues;
    uint64_t sndbuf;

    bool header; /* frames have one */
    bool owned;  /* we configured it: downscript= at the end */
    char name[IFNAMSIZ];
    struct tap_queue queue[MAX_QUEUES];
    unsigned count;
};

/* ---- from the host ---- */

static uint16_t host16(const uint8_t *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof(v)); /* a tap's header is in the host's order */
    return v;
}

static void set_events(struct tap_queue *q)
{
    bp_watch_set(q->watch, (q->in_length ? 0 : BP_WATCH_IN) | (q->wants_out ? BP_WATCH_OUT : 0));
}

static bool hand_over(struct tap_queue *q)
{
    unsigned skip = q->tap->header ? HEADER : 0;
    struct iovec vector = {q->in + skip, q->in_length - skip};
    struct bp_net_packet packet = {&vector, 1, q->in_length - skip, {0}};

    if (skip)
        packet.offload = (struct bp_net_offload){
            .flags = (uint8_t)((q->in[0] & NEEDS_CHECKSUM ? BP_NET_NEEDS_CHECKSUM : 0) |
                               (q->in[0] & DATA_VALID ? BP_NET_CHECKSUM_VALID : 0)),
            .segment = q->in[1], .header_length = host16(q->in + 2), .segment_size = host16(q->in + 4),
            .checksum_start = host16(q->in + 6), .checksum_offset = host16(q->in + 8)};
    if (net->netdev_send(q->tap->nd, q->index, &packet, 1) == 0)
        return false;
    q->in_length = 0;
    return true;
}

static void read_some(struct tap_queue *q)
{
    for (unsigned i = 0; i < AT_ONCE && q->in_length == 0; i++) {
        ssize_t n = read(q->fd, q->in, IN_SIZE);

        if (n <= (q->tap->header ? HEADER : 0))
            break;
        q->in_length = (uint32_t)n;
        if (!hand_over(q))
            break;
    }
}

static void queue_ready(void *opaque, unsigned events)
{
    struct tap_queue *q = opaque;

    if ((events & BP_WATCH_OUT) && q->wants_out) {
        q->wants_out = false;
        net->netdev_ready(q->tap->nd, q->index);
    }
    if (q->in_length == 0)
        read_some(q);
    set_events(q);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct tap *s = net->netdev_state(nd);
    struct tap_queue *q = &s->queue[queue];

    if (queue >= s->count || !q->watch)
        return;
    if (q->in_length && hand_over(q))
        read_some(q);
    set_events(q);
}

/* ---- to the host ---- */

static bool write_frame(struct tap_queue *q, const struct bp_net_packet *p)
{
    const struct bp_net_offload *o = &p->offload;
    struct {
        uint8_t flags, segment;
        uint16_t header_length, segment_size, checksum_start, checksum_offset;
    } head = {(uint8_t)(o->flags & BP_NET_NEEDS_CHECKSUM ? NEEDS_CHECKSUM : 0), o->segment, o->header_length,
              o->segment_size, o->checksum_start, o->checksum_offset};
    struct iovec vectors[MAX_VECTORS + 1] = {{&head, HEADER}};
    unsigned first = q->tap->header ? 0 : 1, n = p->count;
    uint8_t *flat = NULL;
    ssize_t r;

    if (n > MAX_VECTORS) {
        flat = bp_alloc(p->length);
        net->copy(p, 0, flat, p->length);
        vectors[1] = (struct iovec){flat, p->length};
        n = 1;
    } else {
        memcpy(vectors + 1, p->vectors, n * sizeof(*vectors));
    }
    r = writev(q->fd, vectors + first, (int)(n + 1 - first));
    free(flat);
    /* A frame that the kernel refuses (too short, a lie in its header) is dropped. */
    return r >= 0 || errno != EAGAIN;
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct tap *s = net->netdev_state(nd);
    struct tap_queue *q = &s->queue[queue < s->count ? queue : 0];

    for (unsigned i = 0; i < count; i++) {
        if (write_frame(q, &packets[i]))
            continue;
        q->wants_out = true;
        set_events(q);
        return i;
    }
    return count;
}

/* What the guest takes, the kernel need not do for it. */
static void peer_takes(struct bp_netdev *nd, uint32_t takes)
{
    struct tap *s = net->netdev_state(nd);
    unsigned flags = 0;

    if (!s->header)
        return;
    if (takes & BP_NET_TAKES_CHECKSUM) {
        flags = TUN_F_CSUM | (takes & BP_NET_TAKES_TCP4 ? TUN_F_TSO4 : 0) |
                (takes & BP_NET_TAKES_TCP6 ? TUN_F_TSO6 : 0);
        if (flags & (TUN_F_TSO4 | TUN_F_TSO6))
            flags |= takes & BP_NET_TAKES_ECN ? TUN_F_TSO_ECN : 0;
    }
    for (unsigned i = 0; i < s->count; i++)
        ioctl(s->queue[i].fd, TUNSETOFFLOAD, flags);
}

/* ---- the interface ---- */

static int add_queue(struct tap *s, int fd, struct bp_error *err)
{
    struct tap_queue *q = &s->queue[s->count];
    struct ifreq request = {0};
    int size = HEADER;

    if (ioctl(fd, TUNGETIFF, &request) < 0)
        return bp_fail(err, EINVAL, "descriptor %d is no TAP interface", fd);
    if (!(request.ifr_flags & IFF_TAP) || !(request.ifr_flags & IFF_NO_PI))
        return bp_fail(err, EINVAL,
                       "descriptor %d: an interface of kind TAP, without packet information, is wanted", fd);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    s->header = request.ifr_flags & IFF_VNET_HDR;
    if (s->header && ioctl(fd, TUNSETVNETHDRSZ, &size) < 0)
        return bp_fail(err, errno, "descriptor %d: %s", fd, strerror(errno));
    memcpy(s->name, request.ifr_name, sizeof(s->name));
    s->name[sizeof(s->name) - 1] = 0;
    *q = (struct tap_queue){.tap = s, .fd = fd, .index = s->count, .in = bp_alloc(IN_SIZE)};
    s->count++;
    return 0;
}

static int make_interface(struct tap *s, struct bp_error *err)
{
    unsigned features = 0, n = s->queues ? s->queues : 1;
    struct ifreq request = {0};

    for (unsigned i = 0; i < n; i++) {
        int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK), r;

        if (fd < 0)
            return bp_fail(err, errno, "/dev/net/tun: %s", strerror(errno));
        ioctl(fd, TUNGETFEATURES, &features);
        request.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (s->vnet_hdr != 2 ? features & IFF_VNET_HDR : 0) |
                                    (n > 1 ? IFF_MULTI_QUEUE : 0));
        if (i == 0)
            snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", s->ifname ? s->ifname : "tap%d");
        if (ioctl(fd, TUNSETIFF, &request) < 0) {
            r = errno;
            close(fd);
            return bp_fail(err, r, "could not make the interface %s: %s%s", s->ifname ? s->ifname : "tap%d",
                           strerror(r),
                           r == EPERM ? "; -netdev bridge or helper= needs no privileges" : "");
        }
        r = add_queue(s, fd, err);
        if (r < 0) {
            close(fd);
            return r;
        }
    }
    return 0;
}

static int take_descriptors(struct tap *s, struct bp_error *err)
{
    char *list = bp_strdup(s->fd ? s->fd : s->fds), *rest = NULL;
    int r = 0;

    for (char *word = strtok_r(list, ":", &rest); word && r == 0; word = strtok_r(NULL, ":", &rest)) {
        char *end;
        long fd = strtol(word, &end, 10);

        if (!*word || *end) {
            fd = bp_fd_take(word, err);
            r = fd < 0 ? (int)fd : 0;
        } else if (fd < 0 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0) {
            r = bp_fail(err, EBADF, "fd=%s: there is no such descriptor", word);
        }
        if (r == 0 && s->count == MAX_QUEUES)
            r = bp_fail(err, EINVAL, "fds: at most %u", MAX_QUEUES);
        if (r == 0)
            r = add_queue(s, (int)fd, err);
    }
    free(list);
    return r;
}

static bool no(const char *text)
{
    return text && (!strcmp(text, "no") || !*text);
}

/* The kernel's vhost-net: who wishes for it does without, who insists is told. */
static int check_vhost(const struct tap *s, struct bp_error *err)
{
    const char *why = access("/dev/vhost-net", F_OK) < 0 ? "this host has no /dev/vhost-net (kernel module vhost_net)"
                                                         : "not built yet: the kernel's vhost-net";

    if (s->vhost == 0 && !s->vhostforce && (s->vhostfd || s->vhostfds))
        return bp_fail(err, EINVAL, "vhost=off and a descriptor of vhost-net do not go together");
    if (s->vhostforce || s->vhostfd || s->vhostfds)
        return bp_fail(err, ENOTSUP, "%s: %s; use vhost=off", s->vhostforce ? "vhostforce=on" : "vhostfd", why);
    if (s->vhost == 1)
        bp_warn("netdev %s: vhost=on: %s; this process moves the frames (vhostforce=on makes it an error)",
                net->netdev_id(s->nd), why);
    return 0;
}

static int check_keys(struct tap *s, struct bp_error *err)
{
    if ((s->fd || s->fds) && (s->ifname || s->script || s->downscript || s->helper || s->br || s->queues))
        return bp_fail(err, EINVAL,
                       "'fd' is an interface that is configured already: ifname, script, downscript, helper, "
                       "br and queues do not go with it");
    if (s->fd && s->fds)
        return bp_fail(err, EINVAL, "either 'fd' or 'fds'");
    if (s->helper && (s->ifname || s->script || s->downscript || s->queues))
        return bp_fail(err, EINVAL, "'helper' makes the interface: ifname, script, downscript and queues do not "
                       "go with it");
    if (s->queues > MAX_QUEUES)
        return bp_fail(err, EINVAL, "queues=%u: at most %u", s->queues, MAX_QUEUES);
    if (s->ifname && strlen(s->ifname) >= IFNAMSIZ)
        return bp_fail(err, EINVAL, "ifname=%s: a name of an interface has at most %d characters", s->ifname,
                       IFNAMSIZ - 1);
    return 0;
}

static int take_from_helper(struct tap *s, struct bp_error *err)
{
    int fd, r = helper_run(s->helper, s->br ? s->br : "br0", &fd, err);

    if (r < 0)
        return r;
    r = add_queue(s, fd, err);
    if (r < 0)
        close(fd);
    return r;
}

static void finish(struct tap *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        bp_watch_free(s->queue[i].watch);
        close(s->queue[i].fd);
        free(s->queue[i].in);
        s->queue[i].watch = NULL;
    }
    s->count = 0;
}

static int begin(struct tap *s, struct bp_error *err)
{
    int r = s->fd || s->fds ? take_descriptors(s, err)
            : s->helper || s->br ? take_from_helper(s, err) : make_interface(s, err);

    if (r == 0 && !s->fd && !s->fds && !s->helper && !s->br && !no(s->script)) {
        r = script_run(s->script ? s->script : DEFAULT_SCRIPT, s->name, err);
        s->owned = r == 0;
    }
    if (r == 0 && s->sndbuf && s->sndbuf < INT32_MAX) {
        int bytes = (int)s->sndbuf;

        if (ioctl(s->queue[0].fd, TUNSETSNDBUF, &bytes) < 0)
            r = bp_fail(err, errno, "sndbuf: %s", strerror(errno));
    }
    return r;
}

static int start(struct bp_netdev *nd, const char *type, struct bp_error *err)
{
    struct tap *s = net->netdev_state(nd);
    int r;

    s->nd = nd;
    r = check_keys(s, err);
    if (r == 0)
        r = check_vhost(s, err);
    if (r == 0)
        r = begin(s, err);
    if (r < 0) {
        finish(s);
        bp_error_prefix(err, "netdev: %s", type);
        return r;
    }
    for (unsigned i = 0; i < s->count; i++)
        s->queue[i].watch = bp_watch_new(net->netdev_owner(nd), NULL, s->queue[i].fd, BP_WATCH_IN, queue_ready,
                                         &s->queue[i]);
    net->netdev_set_queues(nd, s->count);
    net->netdev_takes(nd, s->header ? TAKES : 0);
    peer_takes(nd, 0);
    return 0;
}

static int open_tap(struct bp_netdev *nd, struct bp_error *err)
{
    return start(nd, "tap", err);
}

static int open_bridge(struct bp_netdev *nd, struct bp_error *err)
{
    struct tap *s = net->netdev_state(nd);

    if (!s->br)
        s->br = bp_strdup("br0");
    return start(nd, "bridge", err);
}

static void close_tap(struct bp_netdev *nd)
{
    struct tap *s = net->netdev_state(nd);
    struct bp_error err = {0};

    /* While the interface is still there. */
    if (s->owned && !no(s->downscript) &&
        (s->downscript || access(DEFAULT_DOWN, X_OK) == 0) &&
        script_run(s->downscript ? s->downscript : DEFAULT_DOWN, s->name, &err) < 0)
        bp_warn("netdev %s: %s", net->netdev_id(nd), err.message);
    finish(s);
}

static char *info(struct bp_netdev *nd)
{
    const struct tap *s = net->netdev_state(nd);
    char *text = NULL;
    int r;

    if (s->br || s->helper)
        r = asprintf(&text, "ifname=%s,br=%s", s->name, s->br ? s->br : "br0");
    else if (s->fd || s->fds)
        r = asprintf(&text, "fd=%d,ifname=%s", s->queue[0].fd, s->name);
    else
        r = asprintf(&text, "ifname=%s,script=%s,downscript=%s", s->name, s->script ? s->script : DEFAULT_SCRIPT,
                     s->downscript ? s->downscript : DEFAULT_DOWN);
    return r < 0 ? NULL : text;
}

#define KEY(NAME, FIELD, HELP) BP_PROP(NAME, STRING, struct tap, FIELD, NULL, HELP)
static const struct bp_field tap_props[] = {
    KEY("ifname", ifname, "name of the interface (default: the kernel's choice)"),
    KEY("fd", fd, "an open interface: its number, or its name (getfd)"),
    KEY("fds", fds, "the queues of an open interface: NUMBER:NUMBER..."),
    KEY("script", script, "program that configures it (default: /etc/qemu-ifup), or no"),
    KEY("downscript", downscript, "program for the end (default: /etc/qemu-ifdown), or no"),
    KEY("br", br, "bridge that a helper puts it on (default: br0)"),
    KEY("helper", helper, "program that makes it, with privileges that we need not have"),
    BP_PROP("sndbuf", SIZE, struct tap, sndbuf, "0", "bytes that may wait to be sent; 0: no limit"),
    BP_PROP("vnet_hdr", ON_OFF_AUTO, struct tap, vnet_hdr, "auto", "frames have a header of virtio"),
    BP_PROP("vhost", ON_OFF_AUTO, struct tap, vhost, "auto", "the kernel moves the frames; where it cannot, a warning"),
    KEY("vhostfd", vhostfd, "an open /dev/vhost-net"), KEY("vhostfds", vhostfds, "several"),
    BP_PROP("vhostforce", BOOL, struct tap, vhostforce, "off",
            "vhost also for guests without MSI-X; where it cannot be, an error"),
    BP_PROP("queues", UINT32, struct tap, queues, "0", "how many pairs of queues it has"), BP_FIELDS_END};
static const struct bp_field bridge_props[] = {
    KEY("br", br, "the bridge (default: br0)"),
    KEY("helper", helper, "program that makes the interface (default: the one that is installed)"), BP_FIELDS_END};
BP_NETDEV(tap_class, "tap", "TAP interface of the host", struct tap, tap_props, .open = open_tap, .close = close_tap,
          .receive = receive, .ready = ready, .peer_takes = peer_takes, .info = info);
BP_NETDEV(bridge_class, "bridge", "TAP interface on a bridge of the host, by a helper", struct tap, bridge_props,
          .open = open_bridge, .close = close_tap, .receive = receive, .ready = ready, .peer_takes = peer_takes,
          .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-tap", "TAP interfaces and bridges of the host", imports, {BP_PROVIDE_OTHER, &tap_class},
          {BP_PROVIDE_OTHER, &bridge_class});

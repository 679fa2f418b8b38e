/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-af-xdp`: -netdev af-xdp, queues of an interface of the host by AF_XDP sockets, one for each queue. Frames
 * go from their memory to the guest's without another copy. [main]; frames of the guest: under the machine lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/clock.h>
#include <bp/command.h>
#include <bp/host/net.h>
#include <bp/loop.h>

#include "program.h"
#include "xsk.h"

BP_USE(net, struct bp_net_interface, "net", 1);

#define MAX_QUEUES 64u
#define AT_ONCE 64u
#define PAUSE_NS 100000ll
#define PAUSE_MOST_NS 10000000ll

struct lane {
    struct xdp *xdp;
    unsigned number;
    struct xsk xsk;
    struct bp_watch *watch;
    struct bp_timer *again; /* what was not sent yet; frames that come back tell no event */
    int64_t pause_ns;
    bool full, wants_out; /* the guest takes no more now; the interface did not */
};

struct xdp {
    struct bp_netdev *nd;
    /* properties */
    char *ifname, *mode, *sock_fds;
    bool force_copy, inhibit;
    uint32_t queues, start_queue;

    struct program program;
    struct lane *lanes;
    unsigned opened;
};

static void set_events(struct lane *l)
{
    bp_watch_set(l->watch, l->full ? 0 : BP_WATCH_IN);
}

/* ---- to the interface ---- */

/* The socket is ready for output all the time, as its ring has room for more frames than there are: a timer looks. */
static void send_again(void *opaque)
{
    struct lane *l = opaque;
    bool left = xsk_kick(&l->xsk);

    if (l->wants_out && xsk_can_send(&l->xsk)) {
        l->wants_out = false;
        l->pause_ns = PAUSE_NS;
        net->netdev_ready(l->xdp->nd, l->number); /* may set the timer */
    }
    if (!left && !l->wants_out)
        return;
    bp_timer_set(l->again, bp_timer_now(l->again) + l->pause_ns);
    l->pause_ns = l->pause_ns * 2 < PAUSE_MOST_NS ? l->pause_ns * 2 : PAUSE_MOST_NS;
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct xdp *s = net->netdev_state(nd);
    struct lane *l = &s->lanes[queue < s->opened ? queue : 0];
    unsigned i;

    for (i = 0; i < count; i++) {
        uint8_t *frame;

        if (packets[i].length > XSK_FRAME) /* no interface sends that: it is lost */
            continue;
        frame = xsk_frame(&l->xsk);
        if (!frame)
            break;
        xsk_send(&l->xsk, frame, (uint32_t)net->copy(&packets[i], 0, frame, XSK_FRAME));
    }
    l->wants_out |= i < count;
    if (xsk_kick(&l->xsk) || l->wants_out) {
        l->pause_ns = PAUSE_NS;
        bp_timer_set(l->again, bp_timer_now(l->again) + l->pause_ns);
    }
    return i;
}

/* ---- from there ---- */

static void hand_over(struct lane *l)
{
    struct bp_net_packet packets[AT_ONCE];
    struct iovec vectors[AT_ONCE];
    unsigned count = 0, taken;
    uint32_t length;
    uint8_t *frame;

    while (count < AT_ONCE && xsk_peek(&l->xsk, count, &frame, &length)) {
        vectors[count] = (struct iovec){frame, length};
        packets[count] = (struct bp_net_packet){&vectors[count], 1, length, {0}};
        count++;
    }
    if (count == 0)
        return;
    taken = net->netdev_send(l->xdp->nd, l->number, packets, count);
    xsk_taken(&l->xsk, taken);
    l->full = taken < count;
}

static void lane_ready(void *opaque, unsigned events)
{
    struct lane *l = opaque;

    (void)events;
    if (!l->full)
        hand_over(l);
    set_events(l);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct xdp *s = net->netdev_state(nd);

    if (queue >= s->opened)
        return;
    s->lanes[queue].full = false;
    hand_over(&s->lanes[queue]);
    set_events(&s->lanes[queue]);
}

/* ---- life ---- */

static int check(const struct xdp *s, enum program_mode *ret_mode, struct bp_error *err)
{
    *ret_mode = PROGRAM_ANY;
    if (!s->ifname)
        return bp_fail(err, EINVAL, "netdev: af-xdp: 'ifname' is missing: an interface of the host");
    if (s->mode && strcmp(s->mode, "native") != 0 && strcmp(s->mode, "skb") != 0)
        return bp_fail(err, EINVAL, "netdev: af-xdp: mode=%s: expected native or skb", s->mode);
    if (s->mode)
        *ret_mode = s->mode[0] == 'n' ? PROGRAM_NATIVE : PROGRAM_SKB;
    if (s->inhibit != (s->sock_fds != NULL))
        return bp_fail(err, EINVAL, s->inhibit ? "netdev: af-xdp: inhibit=on needs 'sock-fds': sockets that a program "
                       "of somebody else's hands frames to" : "netdev: af-xdp: 'sock-fds' needs inhibit=on");
    if (s->inhibit && s->mode)
        return bp_fail(err, EINVAL, "netdev: af-xdp: 'mode' is of the program that inhibit=on keeps away");
    return 0;
}

/* The descriptors of sock-fds, one for each queue. They are ours from now on. */
static int take_sockets(struct xdp *s, int *fds, struct bp_error *err)
{
    char *list = bp_strdup(s->sock_fds), *rest = NULL;
    unsigned count = 0;
    int ret = 0;

    for (char *word = strtok_r(list, ":", &rest); ret == 0 && word; word = strtok_r(NULL, ":", &rest), count++) {
        char *end;
        long fd = strtol(word, &end, 10);

        if (count >= s->queues)
            continue;
        if (*end)
            fd = bp_fd_take(word, err);
        else if (fd < 0 || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0)
            fd = bp_fail(err, EBADF, "netdev: af-xdp: sock-fds: there is no descriptor %s", word);
        if (fd < 0)
            ret = (int)fd;
        else
            fds[count] = (int)fd;
    }
    free(list);
    if (ret == 0 && count != s->queues)
        ret = bp_fail(err, EINVAL, "netdev: af-xdp: sock-fds has %u descriptors for queues=%u: one for each", count,
                      s->queues);
    return ret;
}

static int open_lane(struct xdp *s, unsigned ifindex, int fd, struct bp_error *err)
{
    struct lane *l = &s->lanes[s->opened];
    const struct xsk_bind how = {ifindex, s->start_queue + s->opened, s->force_copy, fd};
    int ret = xsk_open(&l->xsk, &how, err);

    l->xdp = s;
    l->number = s->opened;
    if (ret == 0 && !s->inhibit)
        ret = program_add(&s->program, how.queue, l->xsk.fd, err);
    if (ret < 0) {
        xsk_close(&l->xsk);
        return ret;
    }
    l->pause_ns = PAUSE_NS;
    l->again = bp_timer_new(net->netdev_owner(s->nd), NULL, BP_CLOCK_REALTIME, send_again, l);
    l->watch = bp_watch_new(net->netdev_owner(s->nd), NULL, l->xsk.fd, BP_WATCH_IN, lane_ready, l);
    s->opened++;
    return 0;
}

static void close_all(struct bp_netdev *nd)
{
    struct xdp *s = net->netdev_state(nd);

    program_detach(&s->program);
    while (s->opened) {
        struct lane *l = &s->lanes[--s->opened];

        bp_watch_free(l->watch);
        bp_timer_free(l->again);
        xsk_close(&l->xsk);
    }
    free(s->lanes);
    s->lanes = NULL;
}

static int open_all(struct bp_netdev *nd, struct bp_error *err)
{
    struct xdp *s = net->netdev_state(nd);
    enum program_mode mode;
    unsigned ifindex = 0;
    int fds[MAX_QUEUES], ret = check(s, &mode, err);

    s->nd = nd;
    s->program = (struct program){-1, -1, -1};
    for (unsigned i = 0; i < MAX_QUEUES; i++)
        fds[i] = -1;
    if (ret == 0 && !(ifindex = if_nametoindex(s->ifname)))
        ret = bp_fail(err, errno, "netdev: af-xdp: interface %s: %s", s->ifname, strerror(errno));
    if (ret == 0 && s->inhibit)
        ret = take_sockets(s, fds, err);
    else if (ret == 0)
        ret = program_attach(&s->program, ifindex, s->start_queue + s->queues, mode, err);
    if (ret == 0)
        s->lanes = bp_alloc(s->queues * sizeof(*s->lanes));
    while (ret == 0 && s->opened < s->queues) {
        int fd = fds[s->opened];

        fds[s->opened] = -1; /* open_lane() closes it when it fails */
        ret = open_lane(s, ifindex, fd, err);
    }
    for (unsigned i = 0; i < MAX_QUEUES; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    if (ret < 0) {
        close_all(nd);
        return ret;
    }
    net->netdev_set_queues(nd, s->queues);
    return 0;
}

static char *info(struct bp_netdev *nd)
{
    const struct xdp *s = net->netdev_state(nd);
    char *text = NULL;

    if (asprintf(&text, "ifname=%s,queues=%u to %u", s->ifname, s->start_queue, s->start_queue + s->queues - 1) < 0)
        return NULL;
    return text;
}

static const struct bp_field props[] = {
    BP_PROP("ifname", STRING, struct xdp, ifname, NULL, "interface of the host"),
    BP_PROP("mode", STRING, struct xdp, mode, NULL, "how the program is attached: native or skb (default: the first "
                                                    "that works)"),
    BP_PROP("force-copy", BOOL, struct xdp, force_copy, "off", "frames are copied even where the driver could do "
                                                               "without"),
    BP_PROP_RANGE("queues", UINT32, struct xdp, queues, "1", 1, MAX_QUEUES, "queues of the interface"),
    BP_PROP_RANGE("start-queue", UINT32, struct xdp, start_queue, "0", 0, 4095, "the first of them"),
    BP_PROP("inhibit", BOOL, struct xdp, inhibit, "off", "no program is loaded: sockets of 'sock-fds' are fed by "
                                                         "another"),
    BP_PROP("sock-fds", STRING, struct xdp, sock_fds, NULL, "open AF_XDP sockets, NUMBER:NUMBER...: one for each "
                                                            "queue"),
    BP_FIELDS_END};
BP_NETDEV(xdp_class, "af-xdp", "Queues of an interface, by AF_XDP", struct xdp, props, .open = open_all,
          .close = close_all, .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-af-xdp", "Interfaces of the host by AF_XDP", imports, {BP_PROVIDE_OTHER, &xdp_class});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `net-vde`: -netdev vde, a port of a switch of Virtual Distributed Ethernet, by libvdeplug: one frame is one
 * message. The descriptor for events is the library's; its calls are made on the main loop. [main]; frames of the
 * guest: under the machine lock.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include <libvdeplug.h>

#include <bp/host/net.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(net, struct bp_net_interface, "net", 1);

#define AT_ONCE 64u
#define ANSWER_S 10 /* in which a switch has to answer; meanwhile the machine stands still */

struct plug {
    struct bp_netdev *nd;
    /* properties */
    char *sock, *group, *mode;
    uint16_t port;

    VDECONN *conn;
    struct bp_watch *watch, *control; /* control: readable when the switch has gone */
    uint32_t length;                  /* of `in`: a frame that was not taken yet */
    bool wants_out, gone;
    uint8_t in[VDE_ETHBUFSIZE], out[VDE_ETHBUFSIZE];
};

static void set_events(struct plug *s)
{
    if (s->watch)
        bp_watch_set(s->watch, (s->length ? 0 : BP_WATCH_IN) | (s->wants_out ? BP_WATCH_OUT : 0));
}

/* The switch has gone: the port stays, and what is sent is lost, as with a cable whose other end hangs loose. */
static void left_alone(struct plug *s)
{
    if (s->gone)
        return;
    s->gone = true;
    bp_watch_free(s->watch);
    bp_watch_free(s->control);
    s->watch = s->control = NULL;
    s->wants_out = false;
    bp_warn("netdev %s: the VDE switch has closed the connection", net->netdev_id(s->nd));
    net->netdev_set_link(s->nd, false);
}

static unsigned receive(struct bp_netdev *nd, unsigned queue, const struct bp_net_packet *packets, unsigned count)
{
    struct plug *s = net->netdev_state(nd);

    (void)queue;
    for (unsigned i = 0; i < count && !s->gone; i++) {
        size_t n = net->copy(&packets[i], 0, s->out, sizeof(s->out));

        if (n < packets[i].length) /* longer than any frame of a switch: it is lost there */
            continue;
        if (vde_send(s->conn, s->out, n, 0) < 0 && (errno == EAGAIN || errno == ENOBUFS)) {
            s->wants_out = true;
            set_events(s);
            return i;
        }
    }
    return count;
}

static bool hand_over(struct plug *s)
{
    struct iovec vector = {s->in, s->length};
    struct bp_net_packet packet = {&vector, 1, s->length, {0}};

    if (net->netdev_send(s->nd, 0, &packet, 1) == 0)
        return false;
    s->length = 0;
    return true;
}

static void read_some(struct plug *s)
{
    for (unsigned i = 0; i < AT_ONCE && s->length == 0; i++) {
        ssize_t n = vde_recv(s->conn, s->in, sizeof(s->in), MSG_DONTWAIT);

        if (n < 0)
            break;
        s->length = n >= 14 ? (uint32_t)n : 0;
        if (s->length && !hand_over(s))
            break;
    }
}

static void socket_ready(void *opaque, unsigned events)
{
    struct plug *s = opaque;

    if ((events & BP_WATCH_OUT) && s->wants_out) {
        s->wants_out = false;
        net->netdev_ready(s->nd, 0);
    }
    if (s->length == 0)
        read_some(s);
    set_events(s);
}

static void control_ready(void *opaque, unsigned events)
{
    struct plug *s = opaque;
    char byte;

    (void)events;
    if (recv(vde_ctlfd(s->conn), &byte, 1, MSG_DONTWAIT) == 0)
        left_alone(s);
}

static void ready(struct bp_netdev *nd, unsigned queue)
{
    struct plug *s = net->netdev_state(nd);

    (void)queue;
    if (s->gone)
        return;
    if (s->length && hand_over(s))
        read_some(s);
    set_events(s);
}

/* ---- opening ---- */

/* The library waits for the switch's answer for ever: it does that on a thread, which may stay behind. */
struct dial {
    pthread_mutex_t lock;
    pthread_cond_t over;
    unsigned refs; /* under the lock */
    bool done, unwanted;
    char *sock, *group;
    struct vde_open_args args;
    VDECONN *conn;
    int why;
};

static void dial_unref(struct dial *d) /* its lock is held */
{
    bool last = --d->refs == 0;

    pthread_mutex_unlock(&d->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&d->lock);
    pthread_cond_destroy(&d->over);
    free(d->sock);
    free(d->group);
    free(d);
}

static void *dial_main(void *opaque)
{
    struct dial *d = opaque;
    VDECONN *conn;
    int why;

    errno = 0;
    conn = vde_open(d->sock, (char *)"backplane", &d->args);
    why = errno ? errno : ENOENT;
    pthread_mutex_lock(&d->lock);
    if (conn && d->unwanted)
        vde_close(conn);
    else
        d->conn = conn;
    d->why = why;
    d->done = true;
    pthread_cond_signal(&d->over);
    dial_unref(d);
    return NULL;
}

static struct dial *dial_new(const struct plug *s, mode_t mode)
{
    pthread_condattr_t attr;
    struct dial *d = bp_alloc(sizeof(*d));

    memset(d, 0, sizeof(*d));
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&d->over, &attr);
    pthread_condattr_destroy(&attr);
    d->refs = 2;
    d->sock = s->sock ? bp_strdup(s->sock) : NULL;
    d->group = s->group ? bp_strdup(s->group) : NULL;
    d->args = (struct vde_open_args){.port = s->port, .group = d->group, .mode = mode};
    return d;
}

/* NULL and *ret_why: it cannot be had, or does not answer (ETIMEDOUT). */
static VDECONN *dial(const struct plug *s, mode_t mode, int *ret_why)
{
    struct dial *d = dial_new(s, mode);
    struct timespec end;
    VDECONN *conn;
    pthread_t thread;
    int r = bp_thread_start(&thread, "vde", dial_main, d);

    if (r == 0)
        pthread_detach(thread);

    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += ANSWER_S;
    pthread_mutex_lock(&d->lock);
    if (r != 0) {
        d->refs--;
        d->done = true;
        d->why = r;
    }
    for (r = 0; !d->done && r == 0;)
        r = pthread_cond_timedwait(&d->over, &d->lock, &end);
    d->unwanted = !d->done;
    conn = d->conn;
    *ret_why = d->done ? d->why : ETIMEDOUT;
    dial_unref(d);
    return conn;
}

static int open_plug(struct bp_netdev *nd, struct bp_error *err)
{
    struct plug *s = net->netdev_state(nd);
    char *end = NULL;
    int why = 0;
    unsigned long mode = s->mode ? strtoul(s->mode, &end, 8) : 0700; /* 0 shuts us out, too */

    s->nd = nd;
    if (s->mode && (!*s->mode || *s->mode == '-' || *end || mode > 0777))
        return bp_fail(err, EINVAL, "netdev: vde: mode=%s is no octal number up to 777", s->mode);
    if (s->group && !getgrnam(s->group)) /* the library would say nothing */
        return bp_fail(err, EINVAL, "netdev: vde: group=%s is no group of this host", s->group);
    s->conn = dial(s, (mode_t)mode, &why);
    if (!s->conn && why == ETIMEDOUT)
        return bp_fail(err, why, "netdev: vde: the switch %s does not answer",
                       s->sock ? s->sock : "at the default place");
    if (!s->conn)
        return bp_fail(err, why, "netdev: vde: cannot connect to the switch %s%s%s: %s; "
                       "vde_switch -s %s starts one", s->sock ? s->sock : "at the default place",
                       s->port ? ", port " : "", s->port ? "as given" : "",
                       strerror(why), s->sock ? s->sock : "/var/run/vde.ctl");
    /* The library's own calls wait, whatever flags they are given. */
    fcntl(vde_datafd(s->conn), F_SETFL, fcntl(vde_datafd(s->conn), F_GETFL) | O_NONBLOCK);
    s->watch = bp_watch_new(net->netdev_owner(nd), NULL, vde_datafd(s->conn), BP_WATCH_IN, socket_ready, s);
    if (vde_ctlfd(s->conn) >= 0)
        s->control = bp_watch_new(net->netdev_owner(nd), NULL, vde_ctlfd(s->conn), BP_WATCH_IN, control_ready, s);
    return 0;
}

static void close_plug(struct bp_netdev *nd)
{
    struct plug *s = net->netdev_state(nd);

    bp_watch_free(s->watch);
    bp_watch_free(s->control);
    if (s->conn)
        vde_close(s->conn);
}

static char *info(struct bp_netdev *nd)
{
    const struct plug *s = net->netdev_state(nd);
    char *text = NULL;

    if (asprintf(&text, "sock=%s%s", s->sock ? s->sock : "", s->gone ? ", the switch has gone" : "") < 0)
        return NULL;
    return text;
}

static const struct bp_field props[] = {
    BP_PROP("sock", STRING, struct plug, sock, NULL, "folder of the switch's sockets (default: the library's)"),
    BP_PROP("port", UINT16, struct plug, port, "0", "port of the switch; 0: any"),
    BP_PROP("group", STRING, struct plug, group, NULL, "group that the port's socket belongs to"),
    BP_PROP("mode", STRING, struct plug, mode, NULL, "who may use the port's socket, an octal number"), BP_FIELDS_END};
BP_NETDEV(plug_class, "vde", "Port of a VDE switch", struct plug, props, .open = open_plug, .close = close_plug,
          .receive = receive, .ready = ready, .info = info);
static const struct bp_import imports[] = {BP_IMPORT(net, "net", 1), {0}};
BP_MODULE("net-vde", "Ports of VDE switches", imports, {BP_PROVIDE_OTHER, &plug_class});

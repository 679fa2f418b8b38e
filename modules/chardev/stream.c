/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Descriptors as a character device; see stream.h. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream.h"

static void input_ended(struct stream *s)
{
    bp_watch_free(s->in_watch);
    s->in_watch = NULL;
    s->hung = false;
    if (s->ended)
        s->ended(s);
}

static void input_ready(void *opaque, unsigned events)
{
    struct stream *s = opaque;
    uint8_t buf[4096];
    size_t n = s->chardev->can_read(s->chr);
    ssize_t got;

    if (n == 0) {
        if (events & BP_WATCH_HUP) {
            /* It would be reported without end: wait for the front end without watching. */
            bp_watch_free(s->in_watch);
            s->in_watch = NULL;
            s->hung = true;
        } else {
            s->reads = false;
            bp_watch_set(s->in_watch, 0);
        }
        return;
    }
    got = read(s->in, buf, n < sizeof(buf) ? n : sizeof(buf));
    if (got > 0)
        s->chardev->received(s->chr, buf, (size_t)got);
    else if (got == 0 || (errno != EAGAIN && errno != EINTR) || (events & BP_WATCH_HUP))
        input_ended(s);
}

void stream_watch_input(struct stream *s)
{
    if (s->in < 0 || s->in_watch)
        return;
    s->reads = true;
    s->hung = false;
    s->in_watch = bp_watch_new(NULL, NULL, s->in, BP_WATCH_IN, input_ready, s);
}

void stream_accept_input(struct stream *s)
{
    if (s->hung) {
        stream_watch_input(s);
    } else if (s->in_watch && !s->reads && s->chardev->can_read(s->chr) > 0) {
        s->reads = true;
        bp_watch_set(s->in_watch, BP_WATCH_IN);
    }
}

static void output_ready(void *opaque, unsigned events)
{
    struct stream *s = opaque;

    (void)events;
    bp_watch_free(s->out_watch);
    s->out_watch = NULL;
    s->chardev->writable(s->chr);
}

/* A descriptor shared with others keeps its mode; then what poll() promises is all that is written.
 */
static ssize_t write_some(int fd, const uint8_t *buf, size_t len)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    ssize_t n = send(fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);

    if (n >= 0 || errno != ENOTSOCK)
        return n;
    if (poll(&p, 1, 0) != 1 || !(p.revents & POLLOUT)) {
        errno = p.revents & (POLLERR | POLLNVAL) ? EPIPE : EAGAIN;
        return -1;
    }
    return write(fd, buf, len < 512 ? len : 512);
}

int stream_write(struct stream *s, const uint8_t *buf, size_t len)
{
    ssize_t n;

    if (s->out < 0)
        return (int)len;
    do
        n = s->borrowed ? write_some(s->out, buf, len) : write(s->out, buf, len);
    while (n < 0 && errno == EINTR);
    if (n >= 0)
        return (int)n;
    if (errno != EAGAIN)
        return -errno;
    if (!s->out_watch)
        s->out_watch = bp_watch_new(NULL, NULL, s->out, BP_WATCH_OUT, output_ready, s);
    return 0;
}

void stream_start(struct stream *s, const struct bp_chardev_interface *chardev,
                  struct bp_chardev *chr, int in, int out)
{
    s->chardev = chardev;
    s->chr = chr;
    s->in = in;
    s->out = out;
    stream_watch_input(s);
}

void stream_unwatch(struct stream *s)
{
    bp_watch_free(s->in_watch);
    bp_watch_free(s->out_watch);
    s->in_watch = s->out_watch = NULL;
}

void stream_stop(struct stream *s)
{
    stream_unwatch(s);
    if (!s->borrowed) {
        if (s->in >= 0)
            close(s->in);
        if (s->out >= 0 && s->out != s->in)
            close(s->out);
    }
    s->in = s->out = -1;
}

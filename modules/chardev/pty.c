/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-pty`: a pseudo terminal (pty(7)). Its path is told on standard output, for
 * scripts. While nobody has the other side open the master reports a hang-up; it is then looked at
 * four times a second, since poll() cannot wait for the end of a hang-up.
 */
#include <bp/clock.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "stream.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define LOOK_NS 250000000

struct pty_state {
    struct stream stream;
    struct bp_timer *look;
    char *path;   /* a link to it; or NULL */
    bool linked;  /* by us: it goes at the end */
    char name[64];
};

static void pty_look(void *opaque)
{
    struct pty_state *state = opaque;
    struct pollfd p = {.fd = state->stream.out};

    if (poll(&p, 1, 0) == 1 && (p.revents & POLLHUP)) {
        bp_timer_set(state->look, bp_clock_ns(BP_CLOCK_REALTIME) + LOOK_NS);
        return;
    }
    state->stream.in = state->stream.out;
    chardev->opened(state->stream.chr);
    stream_watch_input(&state->stream);
}

/* The other side was closed. */
static void pty_ended(struct stream *stream)
{
    struct pty_state *state = chardev->state(stream->chr);

    stream_unwatch(stream);
    chardev->closed(stream->chr);
    bp_timer_set(state->look, bp_clock_ns(BP_CLOCK_REALTIME) + LOOK_NS);
}

/* A master without a raw line discipline would echo the guest's output back as input. */
static int make_pty(struct pty_state *state, struct bp_error *err)
{
    struct termios modes;
    int slave, fd = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0 || grantpt(fd) < 0 || unlockpt(fd) < 0 ||
        ptsname_r(fd, state->name, sizeof(state->name)) != 0 || tcgetattr(fd, &modes) < 0) {
        int code = errno;

        if (fd >= 0)
            close(fd);
        return bp_fail(err, code, "Failed to create PTY: %s", strerror(code));
    }
    cfmakeraw(&modes);
    tcsetattr(fd, TCSAFLUSH, &modes);
    /* Only after it was open once does the master report that it is not. */
    slave = open(state->name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave >= 0)
        close(slave);
    return fd;
}

static int pty_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct pty_state *state = chardev->state(chr);
    int fd = make_pty(state, err);

    if (fd < 0)
        return fd;
    if (state->path && symlink(state->name, state->path) < 0) {
        int code = errno;

        close(fd);
        return bp_fail(err, code, "Failed to create PTY symlink '%s': %s", state->path, strerror(code));
    }
    state->linked = state->path != NULL;
    stream_start(&state->stream, chardev, chr, -1, fd);
    state->stream.ended = pty_ended;
    state->look = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, pty_look, state);
    bp_timer_set(state->look, bp_clock_ns(BP_CLOCK_REALTIME) + LOOK_NS / 10);
    printf("char device redirected to %s (label %s)\n", state->name,
           bp_object_id(bp_object_of_state(state)));
    fflush(stdout);
    return 0;
}

/* Unless somebody else has put something in its place. */
static void unlink_ours(struct pty_state *state)
{
    char target[sizeof(state->name)];
    ssize_t n = state->linked ? readlink(state->path, target, sizeof(target)) : -1;

    if (n == (ssize_t)strlen(state->name) && memcmp(target, state->name, (size_t)n) == 0)
        unlink(state->path);
    state->linked = false;
}

static void pty_close(struct bp_chardev *chr)
{
    struct pty_state *state = chardev->state(chr);

    bp_timer_free(state->look);
    unlink_ours(state);
    stream_stop(&state->stream);
}

static int pty_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    int r = stream_write(&((struct pty_state *)chardev->state(chr))->stream, buf, len);

    return r == -EIO ? (int)len : r; /* nobody there */
}

static void pty_accept_input(struct bp_chardev *chr)
{
    stream_accept_input(&((struct pty_state *)chardev->state(chr))->stream);
}

static char *pty_filename(struct bp_chardev *chr)
{
    struct pty_state *state = chardev->state(chr);
    char *text = NULL;

    return asprintf(&text, "pty:%s", state->name) < 0 ? NULL : text;
}

static const struct bp_field props[] = {
    BP_PROP("path", STRING, struct pty_state, path, NULL, "symbolic link that is made to it, and goes at the end"),
    BP_FIELDS_END};
BP_CHARDEV(pty_class, "pty", "Pseudo terminal", struct pty_state, props,
           .open = pty_open, .close = pty_close, .write = pty_write,
           .accept_input = pty_accept_input, .filename = pty_filename);
BP_MODULE("chardev-pty", "Pseudo terminals as a character device", imports,
          {BP_PROVIDE_OTHER, &pty_class});

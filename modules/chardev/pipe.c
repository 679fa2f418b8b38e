/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-pipe`: named pipes (fifo(7)) PATH.in, read, and PATH.out, written; or one at PATH
 * for both. Each is opened for reading and writing, so that opening never waits for the other side
 * and its leaving never ends the stream.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "stream.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct pipe_state {
    struct stream stream;
    char *path;
};

static int open_with(const char *path, const char *suffix)
{
    char name[4096];

    if (snprintf(name, sizeof(name), "%s%s", path, suffix) >= (int)sizeof(name)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return open(name, O_RDWR | O_NONBLOCK | O_CLOEXEC);
}

static int pipe_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct pipe_state *state = chardev->state(chr);
    int in, out;

    if (!state->path || !*state->path)
        return bp_fail(err, EINVAL, "chardev: pipe: no device path given");
    in = open_with(state->path, ".in");
    out = open_with(state->path, ".out");
    if (in < 0 || out < 0) {
        if (in >= 0)
            close(in);
        if (out >= 0)
            close(out);
        in = out = open_with(state->path, "");
        if (in < 0)
            return bp_fail(err, errno, "Could not open '%s' (nor '%s.in' and '%s.out'): %s",
                           state->path, state->path, state->path, strerror(errno));
    }
    stream_start(&state->stream, chardev, chr, in, out);
    chardev->opened(chr);
    return 0;
}

static void pipe_close(struct bp_chardev *chr)
{
    stream_stop(&((struct pipe_state *)chardev->state(chr))->stream);
}

static int pipe_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    return stream_write(&((struct pipe_state *)chardev->state(chr))->stream, buf, len);
}

static void pipe_accept_input(struct bp_chardev *chr)
{
    stream_accept_input(&((struct pipe_state *)chardev->state(chr))->stream);
}

static const struct bp_field props[] = {BP_PROP("path", STRING, struct pipe_state, path, NULL,
                                                "PATH.in and PATH.out, or PATH for both"),
                                        BP_FIELDS_END};
BP_CHARDEV(pipe_class, "pipe", "Named pipes", struct pipe_state, props,
           .open = pipe_open, .close = pipe_close, .write = pipe_write,
           .accept_input = pipe_accept_input);
BP_MODULE("chardev-pipe", "Named pipes as a character device", imports,
          {BP_PROVIDE_OTHER, &pipe_class});

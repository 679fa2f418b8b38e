/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-stdio`: the process's standard input and output. A terminal or pipe is opened
 * again, so that its non-blocking mode is ours alone and the shell's stays as it was; a terminal is
 * set raw by the framework, which also restores it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <bp/run.h>

#include "stream.h"

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct stdio_state {
    struct stream in, out; /* `in` only reads, `out` only writes: each may be borrowed */
    bool signal;
};

/* One for the process: there is one standard input. */
static struct bp_chardev *in_use;

/* A descriptor of our own for fd's terminal or pipe, or -1: use fd itself. */
static int open_again(int fd, int mode)
{
    struct stat st;
    char path[32];

    if (fstat(fd, &st) < 0 || (!isatty(fd) && !S_ISFIFO(st.st_mode)))
        return -1;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return open(path, mode | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void start(struct stream *s, struct bp_chardev *chr, int fd, bool output)
{
    int own = open_again(fd, output ? O_WRONLY : O_RDONLY);

    s->borrowed = own < 0;
    if (own < 0)
        own = fd;
    stream_start(s, chardev, chr, output ? -1 : own, output ? own : -1);
}

static int stdio_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct stdio_state *state = chardev->state(chr);

    if (bp_leaves_terminal())
        return bp_fail(err, EINVAL, "cannot use stdio with -daemonize, which leaves the terminal; "
                       "use a socket, a pty or a file");
    if (in_use)
        return bp_fail(err, EBUSY, "cannot use stdio by multiple character devices");
    chardev->terminal_raw(0, state->signal);
    in_use = chr;
    start(&state->out, chr, 1, true);
    start(&state->in, chr, 0, false);
    chardev->opened(chr);
    return 0;
}

static void stdio_close(struct bp_chardev *chr)
{
    struct stdio_state *state = chardev->state(chr);

    stream_stop(&state->in);
    stream_stop(&state->out);
    chardev->terminal_restore();
    in_use = NULL;
}

static int stdio_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    return stream_write(&((struct stdio_state *)chardev->state(chr))->out, buf, len);
}

static void stdio_accept_input(struct bp_chardev *chr)
{
    stream_accept_input(&((struct stdio_state *)chardev->state(chr))->in);
}

static const struct bp_field props[] = {
    BP_PROP("signal", BOOL, struct stdio_state, signal, "on",
            "whether Ctrl-c and the like are signals to the emulator, not bytes for the guest"),
    BP_FIELDS_END};
BP_CHARDEV(stdio_class, "stdio", "Standard input and output", struct stdio_state, props,
           .open = stdio_open, .close = stdio_close, .write = stdio_write,
           .accept_input = stdio_accept_input);
BP_MODULE("chardev-stdio", "Standard input and output as a character device", imports,
          {BP_PROVIDE_OTHER, &stdio_class});

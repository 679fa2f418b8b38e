/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A pair of descriptors as a character device: what stdio, file, pipe and pty share. Compiled into
 * each of these modules. Reads only what the front end takes; writes without blocking.
 */
#ifndef STREAM_H
#define STREAM_H

#include <bp/host/chardev.h>
#include <bp/loop.h>

struct stream {
    const struct bp_chardev_interface *chardev;
    struct bp_chardev *chr;
    int in, out;      /* -1: none; may be the same. Owned unless `borrowed` */
    bool borrowed;
    bool reads;       /* the input watch waits for bytes */
    bool hung;        /* hang-up met while the front end took nothing: see stream_accept_input() */
    struct bp_watch *in_watch, *out_watch;
    /* The input has ended (pty: the other side closed). NULL: it is just watched no more. */
    void (*ended)(struct stream *stream);
};

void stream_start(struct stream *stream, const struct bp_chardev_interface *chardev,
                  struct bp_chardev *chr, int in, int out);
void stream_watch_input(struct stream *stream); /* again, after it ended */
void stream_unwatch(struct stream *stream);
void stream_accept_input(struct stream *stream);
int stream_write(struct stream *stream, const uint8_t *buf, size_t len);
void stream_stop(struct stream *stream); /* closes what is owned */

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Large reads that the host's kernel sends by itself: pages of its cache go into a pipe, and from there to the socket.
 * What is in the pipe is known before anything is said of it, so no answer has to be broken off; what is not to be had
 * that way is read. A write that comes while an answer waits in the socket may show in it: those two overlap, and their
 * client could not tell which one came first. Not with TLS. splice(2). [co]
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"

#define LEAST (64u << 10) /* what is shorter is copied as fast */
#define PIPE_BYTES (1 << 20)

void client_close_pipe(struct client *c)
{
    if (c->pipe_room) {
        close(c->pipe[0]);
        close(c->pipe[1]);
    }
    c->pipe_room = 0;
}

static bool has_pipe(struct client *c)
{
    int room;

    if (c->pipe_room || c->no_pipe)
        return c->pipe_room;
    c->no_pipe = pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK) < 0;
    if (c->no_pipe)
        return false;
    room = fcntl(c->pipe[1], F_SETPIPE_SZ, PIPE_BYTES);
    if (room < 0) /* the user has too many of them */
        room = fcntl(c->pipe[1], F_GETPIPE_SZ);
    c->pipe_room = room > 0 ? (uint32_t)room : 1;
    c->no_pipe = c->pipe_room < LEAST;
    if (c->no_pipe)
        client_close_pipe(c);
    return c->pipe_room;
}

static int send_pipe(struct client *c, uint32_t bytes)
{
    while (bytes > 0) {
        ssize_t n = wire_splice(&c->wire, c->pipe[0], bytes);
        int ret = n == -EAGAIN ? client_wait(c, BP_WATCH_OUT) : n < 0 ? (int)n : n == 0 ? -EIO : 0;

        if (ret < 0)
            return ret;
        bytes -= n > 0 ? (uint32_t)n : 0;
    }
    return 0;
}

/* `got` bytes that are in the pipe. */
static int send_part(struct work *w, uint32_t got)
{
    struct client *c = w->c;
    uint8_t head[28];
    int ret;

    if (c->structured) {
        chunk_head(head, w, got == w->bytes - w->done, CHUNK_DATA, 8 + got);
        put64(head + 20, w->offset + w->done);
    } else {
        put32(head, NBD_SIMPLE);
        put32(head + 4, 0);
        put64(head + 8, w->cookie);
    }
    ret = client_write_ahead(c, head, c->structured ? 28 : 16);
    return ret == 0 ? send_pipe(c, got) : ret;
}

/* The next part of the answer, or all of it: 1: there may be more; 0: none. Under `sending`. */
static int next_part(struct work *w)
{
    struct client *c = w->c;
    uint64_t offset = w->offset + w->done;
    uint32_t left = w->bytes - w->done, most;
    bool in_parts = c->structured && !(w->flags & CMD_DF);
    int64_t got;

    if (!c->export->blk || !has_pipe(c))
        return 0;
    most = c->pipe_room - (uint32_t)(offset % (uint64_t)sysconf(_SC_PAGESIZE)); /* a page, a place */
    if (left > most && !in_parts)
        return 0;
    got = block->splice(c->export->blk, offset, left < most ? left : most, c->pipe[1]);
    if (got <= 0)
        return 0;
    if (got < left && !in_parts) {
        client_close_pipe(c); /* with what is in it */
        return 0;
    }
    if (send_part(w, (uint32_t)got) < 0) { /* nothing can be said any more on this connection */
        client_close_pipe(c);
        shutdown(c->wire.fd, SHUT_RDWR);
        w->done = w->bytes;
        return 0;
    }
    w->done += (uint32_t)got;
    return w->done < w->bytes;
}

void serve_spliced(struct work *w)
{
    struct client *c = w->c;
    int more = !c->wire.tls && w->bytes >= LEAST;

    while (more) {
        bp_co_mutex_lock(c->sending);
        more = next_part(w);
        bp_co_mutex_unlock(c->sending);
    }
}

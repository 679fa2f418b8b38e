/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A text console (chardev vc) of a page: what is written there goes out on a WebSocket (RFC 6455) as it is, what comes
 * is typed. Who does not take what is written is cut off when LATE_MOST bytes wait; the page comes again, and gets what
 * the console keeps. What is typed waits for whoever reads it: meanwhile nothing is read from the page.
 */
#include "web.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/log.h>

#include "websocket.h"

#define LATE_MOST (1u << 20)
#define READ_AT_ONCE 4096u

struct web_console {
    struct web *web;
    struct web_console *next;
    int fd;
    struct bp_watch *watch;
    struct bp_deferred *sender;
    struct bp_vc_watcher *watcher; /* NULL: it is gone */
    struct websocket ws;
    struct bytes in, typed, written, wire; /* as received; unwrapped; as the console wrote it; to be sent */
    bool ended;
};

void web_console_free(struct web_console *c)
{
    struct web_console **at = &c->web->consoles;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->web->console_count--;
    (*web_vc)->unwatch(c->watcher);
    bp_watch_free(c->watch);
    bp_deferred_free(c->sender);
    close(c->fd);
    bytes_free(&c->in);
    bytes_free(&c->typed);
    bytes_free(&c->written);
    bytes_free(&c->wire);
    free(c);
}

/* ---- output ---- */

/* False: the connection is broken. */
static bool flush(struct web_console *c)
{
    if (c->ws.open && !c->ws.closed && c->written.size) {
        websocket_wrap(&c->wire, c->written.size);
        bytes_put(&c->wire, c->written.data, c->written.size);
        bytes_drop(&c->written, c->written.size);
    }
    while (c->wire.size) {
        ssize_t n = send(c->fd, c->wire.data, c->wire.size, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN;
        bytes_drop(&c->wire, (size_t)n);
    }
    return true;
}

/* It may be gone after this. */
static void push(struct web_console *c)
{
    if (!flush(c) || c->ended || (c->ws.closed && !c->wire.size)) {
        web_console_free(c);
        return;
    }
    bp_watch_set(c->watch, (c->typed.size ? 0 : BP_WATCH_IN) | (c->wire.size ? BP_WATCH_OUT : 0));
}

static void send_soon(void *opaque)
{
    push(opaque);
}

static void output(void *opaque, const uint8_t *bytes, size_t count)
{
    struct web_console *c = opaque;

    if (c->written.size + c->wire.size + count > LATE_MOST)
        c->ended = true;
    else
        bytes_put(&c->written, bytes, count);
    bp_deferred_schedule(c->sender);
}

static void gone(void *opaque)
{
    struct web_console *c = opaque;

    c->watcher = NULL;
    c->ended = true;
    bp_deferred_schedule(c->sender);
}

/* ---- input ---- */

static void type(struct web_console *c)
{
    if (c->typed.size && c->watcher)
        bytes_drop(&c->typed, (*web_vc)->type(c->watcher, c->typed.data, c->typed.size));
}

static void writable(void *opaque)
{
    struct web_console *c = opaque;

    type(c);
    bp_deferred_schedule(c->sender);
}

static const struct bp_vc_watcher_ops watcher_ops = {
    .size = sizeof(watcher_ops), .output = output, .writable = writable, .gone = gone};

/* False: it says what is no WebSocket. */
static bool digest(struct web_console *c)
{
    const char *why = NULL;
    ssize_t n = websocket_input(&c->ws, c->in.data, c->in.size, &c->typed, &c->wire, &why);

    if (n < 0) {
        bp_log(BP_LOG_TRACE, "web: console: %s\n", why);
        return false;
    }
    bytes_drop(&c->in, (size_t)n);
    type(c);
    return c->in.size <= WEBSOCKET_REQUEST_MAX && c->wire.size <= LATE_MOST;
}

static void ready(void *opaque, unsigned events)
{
    struct web_console *c = opaque;

    if (events & BP_WATCH_IN && !c->typed.size) {
        ssize_t n = recv(c->fd, bytes_reserve(&c->in, READ_AT_ONCE), READ_AT_ONCE, 0);

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            web_console_free(c);
            return;
        }
        c->in.size += n > 0 ? (size_t)n : 0;
        c->ended |= !digest(c);
    } else if (events & BP_WATCH_HUP) {
        c->ended = true;
    }
    push(c);
}

int web_console_new(struct web *web, int fd, const char *id, const void *data, size_t size, struct bp_error *err)
{
    struct bp_context *main = bp_context_main(web->machine);
    struct web_console *c;
    int r;

    if (web->console_count == WEB_CONSOLES) {
        close(fd);
        return bp_fail(err, EMFILE, "%u consoles are shown already", web->console_count);
    }
    c = bp_alloc(sizeof(*c));
    memset(c, 0, sizeof(*c));
    c->web = web;
    c->fd = fd;
    c->sender = bp_deferred_new(NULL, main, send_soon, c);
    c->watch = bp_watch_new(NULL, main, fd, BP_WATCH_IN, ready, c);
    c->next = web->consoles;
    web->consoles = c;
    web->console_count++;
    r = (*web_vc)->watch(id, &watcher_ops, c, &c->watcher, err);
    bytes_put(&c->in, data, size);
    if (r == 0 && !digest(c))
        r = bp_fail(err, EPROTO, "console '%s': it is no WebSocket", id);
    if (r < 0)
        web_console_free(c);
    else
        push(c);
    return r;
}

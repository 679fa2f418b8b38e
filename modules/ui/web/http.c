/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One request on a connection: GET of what stands under /TOKEN/, or a WebSocket at /TOKEN/rfb, which goes to the VNC
 * server when it comes from our page. Everything else is 404, so that who does not know the token learns nothing.
 */
#include "web.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/log.h>

#include "websocket.h"

#define REQUEST_MAX 8192u
#define FILE_MAX (4u << 20)
#define WAIT_NS 20000000000ll /* for a request, and for its answer to be taken */
#define NOVNC "/usr/share/novnc/"

struct web_client {
    struct web *web;
    struct web_client *next;
    int fd;
    struct bp_watch *watch;
    struct bp_timer *give_up;
    char in[REQUEST_MAX + 1];
    size_t got;
    char *out; /* owned: the answer, or NULL */
    size_t size, sent;
};

void web_client_free(struct web_client *c)
{
    struct web_client **at = &c->web->clients;

    while (*at != c)
        at = &(*at)->next;
    *at = c->next;
    c->web->client_count--;
    bp_watch_free(c->watch);
    bp_timer_free(c->give_up);
    if (c->fd >= 0)
        close(c->fd);
    free(c->out);
    free(c);
}

/* ---- answers ---- */

/* `body` is copied. */
static void answer(struct web_client *c, const char *status, const char *type, const char *body, size_t length)
{
    char head[640];
    int n = snprintf(head, sizeof(head),
                     "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\nConnection: close\r\n"
                     "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n"
                     "X-Frame-Options: DENY\r\nContent-Security-Policy: default-src 'self'; img-src 'self' data:; "
                     "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss:\r\n\r\n", status, type, length);

    c->size = (size_t)n + length;
    c->out = bp_alloc(c->size);
    memcpy(c->out, head, (size_t)n);
    memcpy(c->out + n, body, length);
    bp_watch_set(c->watch, BP_WATCH_OUT);
}

static void answer_words(struct web_client *c, const char *status)
{
    answer(c, status, "text/plain", status, strlen(status));
}

static const char *type_of(const char *path)
{
    static const char *const types[][2] = {
        {".js", "text/javascript"}, {".css", "text/css"}, {".html", "text/html"}, {".svg", "image/svg+xml"},
        {".png", "image/png"}, {".json", "application/json"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot && i < BP_COUNT(types); i++)
        if (!strcmp(dot, types[i][0]))
            return types[i][1];
    return "application/octet-stream";
}

/* A name of noVNC's files: no way leads out of their folder. */
static bool is_plain(const char *name)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";

    return *name && *name != '/' && strspn(name, known) == strlen(name) && !strstr(name, "..") && strlen(name) < 200;
}

static void answer_file(struct web_client *c, const char *name)
{
    char path[256], *data;
    struct stat st;
    ssize_t n;
    int fd;

    snprintf(path, sizeof(path), NOVNC "%s", name);
    fd = is_plain(name) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        if (fd >= 0)
            close(fd);
        answer_words(c, "404 Not Found");
        return;
    }
    data = bp_alloc((size_t)st.st_size + 1);
    n = read(fd, data, (size_t)st.st_size);
    close(fd);
    if (n < 0)
        answer_words(c, "404 Not Found");
    else
        answer(c, "200 OK", type_of(name), data, (size_t)n);
    free(data);
}

/* ---- requests ---- */

/* Takes as long whatever is wrong with it. */
static bool knows_token(const struct web *web, const char *path)
{
    unsigned differs = 0;

    if (strlen(path) < WEB_TOKEN + 2 || path[0] != '/' || path[WEB_TOKEN + 1] != '/')
        return false;
    for (unsigned i = 0; i < WEB_TOKEN; i++)
        differs |= (unsigned)(web->token[i] ^ path[1 + i]);
    return differs == 0;
}

static void serve(struct web_client *c, const char *path)
{
    const char *name = path + WEB_TOKEN + 2;
    struct bp_error err = {0};

    if (!knows_token(c->web, path)) {
        answer_words(c, "404 Not Found");
    } else if (!*name) {
        answer(c, "200 OK", "text/html; charset=utf-8", web_page, strlen(web_page));
    } else if (!strcmp(name, "page.js")) {
        answer(c, "200 OK", "text/javascript", web_script, strlen(web_script));
    } else if (!strncmp(name, "novnc/", 6)) {
        answer_file(c, name + 6);
    } else if (!strcmp(name, "rfb") && !websocket_comes_from_host(c->in, c->got)) {
        answer_words(c, "403 Forbidden");
    } else if (!strcmp(name, "rfb")) {
        int fd = c->fd;

        c->fd = -1; /* the VNC server's from now on */
        bp_watch_free(c->watch);
        c->watch = NULL;
        if ((*web_vnc)->serve(c->web->machine, fd, c->in, c->got, &err) < 0)
            bp_log(BP_LOG_TRACE, "web: %s\n", err.message);
        web_client_free(c);
    } else {
        answer_words(c, "404 Not Found");
    }
}

static void digest(struct web_client *c)
{
    char path[256], *end, *space;

    c->in[c->got] = '\0';
    if (strlen(c->in) != c->got) { /* a NUL */
        answer_words(c, "400 Bad Request");
        return;
    }
    if (!strstr(c->in, "\r\n\r\n")) {
        if (c->got == REQUEST_MAX)
            answer_words(c, "431 Request Header Fields Too Large");
        return;
    }
    if (strncmp(c->in, "GET ", 4) != 0) {
        answer_words(c, "405 Method Not Allowed");
        return;
    }
    end = strstr(c->in, "\r\n");
    space = memchr(c->in + 4, ' ', (size_t)(end - c->in - 4));
    if (!space || space - (c->in + 4) >= (ptrdiff_t)sizeof(path)) {
        answer_words(c, "400 Bad Request");
        return;
    }
    snprintf(path, sizeof(path), "%.*s", (int)(space - (c->in + 4)), c->in + 4);
    path[strcspn(path, "?#")] = '\0';
    serve(c, path);
}

static void ready(void *opaque, unsigned events)
{
    struct web_client *c = opaque;
    ssize_t n;

    if (c->out) {
        n = send(c->fd, c->out + c->sent, c->size - c->sent, MSG_NOSIGNAL);
        if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & BP_WATCH_HUP))
            return;
        c->sent += n > 0 ? (size_t)n : 0;
        if (n <= 0 || c->sent == c->size)
            web_client_free(c);
        return;
    }
    n = recv(c->fd, c->in + c->got, REQUEST_MAX - c->got, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR) && !(events & BP_WATCH_HUP))
        return;
    if (n <= 0) {
        web_client_free(c);
        return;
    }
    c->got += (size_t)n;
    digest(c);
}

static void too_slow(void *opaque)
{
    web_client_free(opaque);
}

void web_client_new(struct web *web, int fd)
{
    struct bp_context *main = bp_context_main(web->machine);
    struct web_client *c;

    if (web->client_count == WEB_CLIENTS) {
        close(fd);
        return;
    }
    c = bp_alloc(sizeof(*c));
    c->web = web;
    c->fd = fd;
    c->watch = bp_watch_new(NULL, main, fd, BP_WATCH_IN, ready, c);
    c->give_up = bp_timer_new(NULL, main, BP_CLOCK_REALTIME, too_slow, c);
    bp_timer_set(c->give_up, bp_timer_now(c->give_up) + WAIT_NS);
    c->next = web->clients;
    web->clients = c;
    web->client_count++;
}

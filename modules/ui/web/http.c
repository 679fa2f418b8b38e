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
#define CONSOLE "console/"
#define XTERM "/usr/share/nodejs/xterm/lib/"

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

/* A name of others' files, or a console's: no way leads out of their folder. */
static bool is_plain(const char *name)
{
    static const char known[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";

    return *name && *name != '/' && strspn(name, known) == strlen(name) && !strstr(name, "..") && strlen(name) < 200;
}

/* `module`: a file for Node.js, which the page's script runs. */
static void answer_file(struct web_client *c, const char *folder, const char *name, bool module)
{
    char path[300], head[300] = "", *data;
    const char *tail = module ? "\n});\n" : "";
    size_t before, after = strlen(tail);
    struct stat st;
    ssize_t n;
    int fd;

    if (module)
        snprintf(head, sizeof(head), "define('%.*s', (require, exports, module) => {\n", (int)strlen(name) - 3, name);
    before = strlen(head);
    snprintf(path, sizeof(path), "%s%s", folder, name);
    fd = is_plain(name) ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX) {
        if (fd >= 0)
            close(fd);
        answer_words(c, "404 Not Found");
        return;
    }
    data = bp_alloc(before + (size_t)st.st_size + after + 1);
    memcpy(data, head, before);
    n = read(fd, data + before, (size_t)st.st_size);
    close(fd);
    memcpy(data + before + (n > 0 ? n : 0), tail, after);
    if (n < 0)
        answer_words(c, "404 Not Found");
    else
        answer(c, "200 OK", type_of(name), data, before + (size_t)n + after);
    free(data);
}

/* Ids and sizes of the text consoles, in JSON. */
static void answer_consoles(struct web_client *c)
{
    struct bytes text = {NULL, 0, 0};
    uint32_t columns, rows;
    const char *id;

    bytes_put8(&text, '[');
    for (unsigned n = 0; (id = (*web_vc)->console_at(n, &columns, &rows)); n++) {
        char one[320];
        int length = snprintf(one, sizeof(one), "%s{\"id\": \"%s\", \"columns\": %u, \"rows\": %u}",
                              text.size > 1 ? ", " : "", id, columns, rows);

        if (is_plain(id)) /* others have no address */
            bytes_put(&text, one, (size_t)length);
    }
    bytes_put8(&text, ']');
    answer(c, "200 OK", "application/json", (const char *)text.data, text.size);
    bytes_free(&text);
}

static void answer_text(struct web_client *c)
{
    struct bytes text = {NULL, 0, 0};

    if (web_text(c->web->machine, &text))
        answer(c, "200 OK", "text/plain; charset=utf-8", text.data ? (const char *)text.data : "", text.size);
    else
        answer_words(c, "404 Not Found");
    bytes_free(&text);
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

/* The connection becomes a WebSocket, of the VNC server or of a console. */
static void hand_over(struct web_client *c, const char *name)
{
    struct bp_error err = {0};
    int fd = c->fd, r;

    c->fd = -1; /* another one's from now on */
    bp_watch_free(c->watch);
    c->watch = NULL;
    r = !strcmp(name, "rfb") ? (*web_vnc)->serve(c->web->machine, fd, c->in, c->got, &err)
                             : web_console_new(c->web, fd, name + strlen(CONSOLE), c->in, c->got, &err);
    if (r < 0)
        bp_log(BP_LOG_TRACE, "web: %s\n", err.message);
    web_client_free(c);
}

static void serve(struct web_client *c, const char *path)
{
    const char *name = path + WEB_TOKEN + 2;

    if (!knows_token(c->web, path)) {
        answer_words(c, "404 Not Found");
    } else if (!*name) {
        answer(c, "200 OK", "text/html; charset=utf-8", web_page, strlen(web_page));
    } else if (!strcmp(name, "page.js")) {
        answer(c, "200 OK", "text/javascript", web_script, strlen(web_script));
    } else if (!strncmp(name, "novnc/", 6)) {
        answer_file(c, NOVNC, name + 6, false);
    } else if (!strncmp(name, "xterm/", 6)) {
        answer_file(c, XTERM, name + 6, strlen(name) > 9 && !strcmp(name + strlen(name) - 3, ".js"));
    } else if (!strcmp(name, "consoles")) {
        answer_consoles(c);
    } else if (!strcmp(name, "text")) {
        answer_text(c);
    } else if (!strcmp(name, "rfb") || (!strncmp(name, CONSOLE, strlen(CONSOLE)) && is_plain(name + strlen(CONSOLE)))) {
        if (websocket_comes_from_host(c->in, c->got))
            hand_over(c, name);
        else
            answer_words(c, "403 Forbidden");
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

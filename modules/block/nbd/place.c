/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an NBD server is: URIs (the specification's uri.md), the older names, SocketAddress of the options. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nbd.h"
#include "url-text.h"

#define MAX_EXPORT 4096u

void place_free(struct nbd_place *p)
{
    free(p->host);
    free(p->port);
    free(p->path);
    free(p->export);
    free(p->creds);
    free(p->name);
    *p = (struct nbd_place){.host = NULL};
}

static char *piece(const char *text, size_t length)
{
    char *out = bp_alloc(length + 1);

    memcpy(out, text, length);
    out[length] = '\0';
    return out;
}

/* host, host:port, [v6]:port */
static int take_host(const char *text, size_t length, struct nbd_place *p, struct bp_error *err)
{
    const char *end = text + length, *colon;

    if (length && *text == '[') {
        colon = memchr(text, ']', length);
        if (!colon)
            return bp_fail(err, EINVAL, "nbd: an IPv6 address ends with ']'");
        p->host = piece(text + 1, (size_t)(colon - text - 1));
        colon++;
    } else {
        for (colon = end; colon > text && colon[-1] != ':'; colon--)
            ;
        colon = colon > text ? colon - 1 : end;
        p->host = piece(text, (size_t)(colon - text));
    }
    if (colon < end && *colon != ':')
        return bp_fail(err, EINVAL, "nbd: a ':' and a port follow an address");
    p->port = colon < end && colon + 1 < end ? piece(colon + 1, (size_t)(end - colon - 1)) :
        bp_strdup(NBD_DEFAULT_PORT);
    return *p->host ? 0 : bp_fail(err, EINVAL, "nbd: a host is missing");
}

static int of_uri(const char *scheme_end, bool local, struct nbd_place *p, struct bp_error *err)
{
    const char *at = scheme_end + 3, *slash = at + strcspn(at, "/?"), *query = strchr(slash, '?');
    const char *path_end = query ? query : slash + strlen(slash), *user = memchr(at, '@', (size_t)(slash - at));
    int ret = 0;

    if (user)
        at = user + 1;
    p->export = *slash == '/' ? url_decoded(slash + 1, (size_t)(path_end - slash - 1)) : bp_strdup("");
    if (!p->export)
        return bp_fail(err, EINVAL, "nbd: the export's name has a damaged '%%' in it");
    while (ret == 0 && query) {
        const char *key = query + 1, *end = key + strcspn(key, "&;"), *equals = memchr(key, '=', (size_t)(end - key));

        if (equals && equals - key == 6 && !strncmp(key, "socket", 6) && !p->path) {
            p->path = url_decoded(equals + 1, (size_t)(end - equals - 1));
            ret = p->path ? 0 : bp_fail(err, EINVAL, "nbd: the socket's name has a damaged '%%' in it");
        } else {
            ret = bp_fail(err, EINVAL, "nbd: '%.*s' is not known in a URI; socket= is", (int)(end - key), key);
        }
        query = *end ? end : NULL;
    }
    if (ret < 0)
        return ret;
    if (local)
        return !p->path ? bp_fail(err, EINVAL, "nbd: nbd+unix:///export?socket=PATH: the socket is missing")
               : at != slash ? bp_fail(err, EINVAL, "nbd: nbd+unix:///export?socket=PATH has no host") : 0;
    return p->path ? bp_fail(err, EINVAL, "nbd: socket= is for nbd+unix:") : take_host(at, (size_t)(slash - at), p,
        err);
}

static int of_old_name(const char *name, struct nbd_place *p, struct bp_error *err)
{
    const char *export = strstr(name, ":exportname="), *end = export ? export : name + strlen(name);

    p->export = bp_strdup(export ? export + 12 : "");
    if (!strncmp(name, "unix:", 5)) {
        p->path = piece(name + 5, (size_t)(end - name - 5));
        return *p->path ? 0 : bp_fail(err, EINVAL, "nbd: nbd:unix:PATH: the path is missing");
    }
    return take_host(name, (size_t)(end - name), p, err);
}

int place_of_name(const char *name, struct nbd_place *p, struct bp_error *err)
{
    const char *uri = strstr(name, "://");
    size_t scheme = uri ? (size_t)(uri - name) : 0;
    int ret;

    if (strlen(name) > MAX_EXPORT + 4096)
        return bp_fail(err, ENAMETOOLONG, "nbd: the name is too long");
    if (uri && ((scheme == 3 && !strncmp(name, "nbd", 3)) || (scheme == 7 && !strncmp(name, "nbd+tcp", 7))))
        ret = of_uri(uri, false, p, err);
    else if (uri && scheme == 8 && !strncmp(name, "nbd+unix", 8))
        ret = of_uri(uri, true, p, err);
    else if (!strncmp(name, "nbd:", 4))
        ret = of_old_name(name + 4, p, err);
    else
        ret = bp_fail(err, EINVAL, "nbd: '%s' is neither nbd://HOST[:PORT]/[EXPORT], nbd+unix:///[EXPORT]?socket=PATH, "
                      "nbd:HOST:PORT[:exportname=EXPORT] nor nbd:unix:PATH[:exportname=EXPORT]", name);
    if (ret == 0 && strlen(p->export) > MAX_EXPORT)
        ret = bp_fail(err, EINVAL, "nbd: an export's name has at most %u bytes", MAX_EXPORT);
    return ret;
}

int place_of_server(struct bp_value *server, struct nbd_place *p, struct bp_error *err)
{
    const char *type = bp_value_get_string(server, "type"), *path = bp_value_get_string(server, "path");
    const char *host = bp_value_get_string(server, "host");
    struct bp_value *port = bp_value_get(server, "port");
    char text[24];

    if (bp_value_type(server) != BP_VALUE_DICT || !type)
        return bp_fail(err, EINVAL, "key 'server' has members: server.type=inet,server.host=,server.port= or "
                       "server.type=unix,server.path=");
    if (!strcmp(type, "unix") && path && *path) {
        p->path = bp_strdup(path);
        return 0;
    }
    if (!strcmp(type, "inet") && host && port) {
        snprintf(text, sizeof(text), "%llu", (unsigned long long)bp_value_as_uint(port));
        p->host = bp_strdup(host);
        p->port = bp_strdup(bp_value_as_string(port) ? bp_value_as_string(port) : text);
        return 0;
    }
    return strcmp(type, "unix") && strcmp(type, "inet")
               ? bp_fail(err, EINVAL, "key 'server.type' is inet or unix, not '%s'", type)
               : bp_fail(err, EINVAL, "key 'server': %s is missing", *type == 'u' ? "path" : host ? "port" : "host");
}

static void append(char **text, const char *more, bool escape)
{
    size_t n = *text ? strlen(*text) : 0;
    char *out = bp_alloc(n + 3 * strlen(more) + 1), *to = out + n;

    if (n)
        memcpy(out, *text, n);
    for (const char *p = more; *p; p++) {
        if (!escape || isalnum((unsigned char)*p) || strchr("/-._~", *p))
            *to++ = *p;
        else
            to += sprintf(to, "%%%02X", (unsigned char)*p);
    }
    *to = '\0';
    free(*text);
    *text = out;
}

char *place_name(const struct nbd_place *p)
{
    bool v6 = p->host && strchr(p->host, ':');
    char *text = NULL;

    append(&text, p->path ? "nbd+unix://" : "nbd://", false);
    if (!p->path) {
        append(&text, v6 ? "[" : "", false);
        append(&text, p->host, false);
        append(&text, v6 ? "]" : "", false);
        if (strcmp(p->port, NBD_DEFAULT_PORT) != 0) {
            append(&text, ":", false);
            append(&text, p->port, false);
        }
    }
    if (p->path || *p->export)
        append(&text, "/", false);
    append(&text, p->export, true);
    if (p->path) {
        append(&text, "?socket=", false);
        append(&text, p->path, true);
    }
    return text;
}

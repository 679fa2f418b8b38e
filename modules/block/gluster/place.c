/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where an image is: URIs (RFC 3986) and lists of servers. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "gluster.h"
#include "url-text.h"

#define MAX_TEXT 4095u

void place_free(struct gluster_place *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        free(p->servers[i].host);
        free(p->servers[i].socket);
    }
    free(p->servers);
    free(p->volume);
    free(p->path);
    *p = (struct gluster_place){.volume = NULL};
}

static struct gluster_server *another(struct gluster_place *p)
{
    struct gluster_server *list = realloc(p->servers, (p->count + 1) * sizeof(*list));

    if (!list)
        return NULL;
    p->servers = list;
    list[p->count] = (struct gluster_server){.port = GLUSTER_PORT};
    return &list[p->count++];
}

static int take_port(const char *text, unsigned *ret, struct bp_error *err)
{
    char *end;
    unsigned long port = strtoul(text, &end, 10);

    if (!isdigit((unsigned char)*text) || *end || port == 0 || port > 65535)
        return bp_fail(err, EINVAL, "gluster: a port is 1 to 65535, not '%.32s'", text);
    *ret = (unsigned)port;
    return 0;
}

/* HOST, HOST:PORT, [IPV6]:PORT */
static int take_host(const char *text, size_t length, struct gluster_server *s, struct bp_error *err)
{
    char *copy = url_decoded(text, length), *colon, *from = copy;
    int ret = 0;

    if (!copy)
        return bp_fail(err, EINVAL, "gluster: the host has a damaged '%%' in it");
    colon = strrchr(copy, ':');
    if (*copy == '[') {
        char *end = strchr(copy, ']');

        if (!end || (end[1] && end[1] != ':')) {
            free(copy);
            return bp_fail(err, EINVAL, "gluster: an IPv6 address is [ADDRESS] or [ADDRESS]:PORT");
        }
        colon = end[1] ? end + 1 : NULL;
        *end = '\0';
        from++;
    }
    if (colon) {
        *colon = '\0';
        ret = colon[1] ? take_port(colon + 1, &s->port, err) : 0;
    }
    s->host = bp_strdup(*from ? from : "localhost");
    free(copy);
    return ret;
}

static int take_query(const char *query, struct gluster_server *s, struct bp_error *err)
{
    if (strncmp(query, "socket=", 7) != 0 || strpbrk(query, "&;"))
        return bp_fail(err, EINVAL, "gluster: '%.200s' is not known in a URI; socket= is", query);
    s->socket = url_decoded(query + 7, strlen(query + 7));
    return s->socket ? 0 : bp_fail(err, EINVAL, "gluster: the socket's name has a damaged '%%' in it");
}

int place_of_name(const char *name, struct gluster_place *p, struct bp_error *err)
{
    const char *type = name + strlen("gluster"), *at = strstr(name, "://"), *path, *file, *query;
    struct gluster_server *s;
    bool local;
    int ret = 0;

    if (strlen(name) > MAX_TEXT || strncmp(name, "gluster", 7) != 0 || !at)
        return bp_fail(err, EINVAL, "gluster: '%.200s' is not gluster[+tcp|+unix]://[HOST[:PORT]]/VOLUME/PATH", name);
    local = at - type == 5 && !strncmp(type, "+unix", 5);
    if (at != type && !local && !(at - type == 4 && !strncmp(type, "+tcp", 4)))
        return bp_fail(err, at - type == 5 && !strncmp(type, "+rdma", 5) ? ENOTSUP : EINVAL,
                       "gluster: transport '%.*s' is not known; tcp and unix are", (int)(at - type), type);
    at += 3;
    query = strchr(at, '?');
    path = at + strcspn(at, "/?");
    file = *path == '/' ? strchr(path + 1, '/') : NULL;
    if (!file || (query && file > query))
        return bp_fail(err, EINVAL, "gluster: '%.200s': a volume and a path follow the host: /VOLUME/PATH", name);
    s = another(p);
    if (!s)
        return bp_fail(err, ENOMEM, "gluster: no memory");
    p->volume = url_decoded(path + 1, (size_t)(file - path - 1));
    p->path = url_decoded(file + 1, query ? (size_t)(query - file - 1) : strlen(file + 1));
    if (!p->volume || !p->path)
        return bp_fail(err, EINVAL, "gluster: the volume or the path has a damaged '%%' in it");
    if (query)
        ret = take_query(query + 1, s, err);
    if (ret == 0 && local != (s->socket != NULL))
        ret = bp_fail(err, EINVAL, local ? "gluster: gluster+unix:///VOLUME/PATH?socket=PATH: the socket is missing"
                                         : "gluster: socket= is for gluster+unix:");
    if (ret == 0 && local && path != at)
        ret = bp_fail(err, EINVAL, "gluster: gluster+unix:///VOLUME/PATH?socket=PATH has no host");
    return ret < 0 || local ? ret : take_host(at, (size_t)(path - at), s, err);
}

static int take_server(struct bp_value *v, struct gluster_place *p, struct bp_error *err)
{
    const char *type = bp_value_get_string(v, "type"), *host = bp_value_get_string(v, "host");
    const char *socket = bp_value_get_string(v, "socket");
    struct bp_value *port = bp_value_get(v, "port");
    struct gluster_server *s;
    char text[24];

    socket = socket ? socket : bp_value_get_string(v, "path");
    if (!type || (strcmp(type, "tcp") != 0 && strcmp(type, "inet") != 0 && strcmp(type, "unix") != 0))
        return bp_fail(err, EINVAL, "key 'server': type '%.32s' of a server is not known; tcp and unix are",
                       type ? type : "");
    if (*type == 'u' ? !socket || !*socket : !host || !*host)
        return bp_fail(err, EINVAL, "key 'server': a server of type %s needs %s", type,
                       *type == 'u' ? "socket=" : "host=");
    if (p->count == MAX_SERVERS)
        return bp_fail(err, EFBIG, "key 'server': at most %u servers are taken", MAX_SERVERS);
    s = another(p);
    if (!s)
        return bp_fail(err, ENOMEM, "gluster: no memory");
    if (*type == 'u') {
        s->socket = bp_strdup(socket);
        return 0;
    }
    s->host = bp_strdup(host);
    if (!port)
        return 0;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)bp_value_as_uint(port));
    return take_port(bp_value_as_string(port) ? bp_value_as_string(port) : text, &s->port, err);
}

int place_of_servers(struct bp_value *servers, struct gluster_place *p, struct bp_error *err)
{
    int ret = 0;

    if (bp_value_type(servers) == BP_VALUE_DICT && bp_value_has(servers, "type"))
        return take_server(servers, p, err);
    if (bp_value_type(servers) != BP_VALUE_LIST && bp_value_type(servers) != BP_VALUE_DICT)
        return bp_fail(err, EINVAL, "key 'server' expects a list: server.0.type=tcp,server.0.host=...");
    for (unsigned i = 0; ret == 0 && i < bp_value_length(servers); i++) {
        char number[16];
        struct bp_value *v;

        snprintf(number, sizeof(number), "%u", i);
        v = bp_value_type(servers) == BP_VALUE_LIST ? bp_value_at(servers, i) : bp_value_get(servers, number);
        ret = bp_value_type(v) == BP_VALUE_DICT
                  ? take_server(v, p, err)
                  : bp_fail(err, EINVAL, "key 'server': the servers are server.0, server.1, ...; server.%u is missing",
                            i);
    }
    return ret;
}

int place_check(const struct gluster_place *p, struct bp_error *err)
{
    if (!p->volume || !*p->volume)
        return bp_fail(err, EINVAL, "gluster: the volume's name is missing");
    if (!p->path || !p->path[strspn(p->path, "/")])
        return bp_fail(err, EINVAL, "gluster: the path in the volume is missing");
    if (!p->count)
        return bp_fail(err, EINVAL, "gluster: a server is missing: server.0.type=tcp,server.0.host=HOST");
    if (strlen(p->volume) > 1000 || strlen(p->path) > MAX_TEXT)
        return bp_fail(err, ENAMETOOLONG, "gluster: the volume's name or the path is too long");
    for (unsigned i = 0; i < p->count; i++)
        if (p->servers[i].socket && strlen(p->servers[i].socket) >= sizeof(((struct sockaddr_un *)NULL)->sun_path))
            return bp_fail(err, ENAMETOOLONG, "gluster: the socket's name '%.200s' is too long", p->servers[i].socket);
    return 0;
}

static size_t put(char *to, const char *text, bool escape)
{
    size_t n = 0;

    for (; *text; text++) {
        if (!escape || isalnum((unsigned char)*text) || strchr("/-._~", *text))
            to[n++] = *text;
        else
            n += (size_t)sprintf(to + n, "%%%02X", (unsigned char)*text);
    }
    to[n] = '\0';
    return n;
}

char *place_name(const struct gluster_place *p)
{
    const struct gluster_server *s = &p->servers[0];
    char *text = bp_alloc(64 + 3 * (strlen(p->volume) + strlen(p->path) + strlen(s->socket ? s->socket : s->host)));
    size_t n = put(text, s->socket ? "gluster+unix://" : "gluster://", false);

    if (!s->socket && strchr(s->host, ':'))
        n += (size_t)sprintf(text + n, "[%s]", s->host);
    else if (!s->socket)
        n += put(text + n, s->host, true);
    if (!s->socket && s->port != GLUSTER_PORT)
        n += (size_t)sprintf(text + n, ":%u", s->port);
    n += put(text + n, "/", false);
    n += put(text + n, p->volume, true);
    n += put(text + n, *p->path == '/' ? "" : "/", false);
    n += put(text + n, p->path, true);
    if (s->socket) {
        n += put(text + n, "?socket=", false);
        put(text + n, s->socket, true);
    }
    return text;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a file is on an NFS server: URLs (RFC 2224, with the arguments that libnfs documents) and keys. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfs.h"
#include "url-text.h"

#define MAX_HOST 255u
#define MAX_PATH 1023u /* MNTPATHLEN of RFC 1813 is 1024 */
static const char form[] = "nfs://HOST[:PORT]/FOLDER/FILE[?KEY=NUMBER[&KEY=NUMBER...]]";

void place_init(struct nfs_place *p)
{
    *p = (struct nfs_place){.port = -1, .mount_port = -1, .version = -1, .user = -1, .group = -1, .syn_count = -1,
                            .readahead = -1, .page_cache = -1, .debug = -1};
}

void place_free(struct nfs_place *p)
{
    free(p->host);
    free(p->folder);
    free(p->file);
    p->host = p->folder = p->file = NULL;
}

/* All of `length` bytes are digits, and their number is at most `most`; else -1. */
static int64_t number(const char *text, size_t length, uint64_t most)
{
    uint64_t value = 0;

    for (size_t i = 0; i < length; i++) {
        if (!isdigit((unsigned char)text[i]) || value > most)
            return -1;
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    return length > 0 && value <= most ? (int64_t)value : -1;
}

/* HOST, HOST:PORT, [IPV6], [IPV6]:PORT */
static int take_host(const char *text, size_t length, struct nfs_place *p, struct bp_error *err)
{
    const char *end = text + length, *close = *text == '[' ? memchr(text, ']', length) : NULL, *colon;
    size_t skip = *text == '[';

    if (skip && (!close || (close + 1 < end && close[1] != ':')))
        return bp_fail(err, EINVAL, "nfs: an IPv6 address is written [ADDRESS] or [ADDRESS]:PORT");
    colon = skip ? (close + 1 < end ? close + 1 : NULL) : memchr(text, ':', length);
    if (colon) {
        p->port = number(colon + 1, (size_t)(end - colon - 1), 65535);
        if (p->port <= 0)
            return bp_fail(err, EINVAL, "nfs: a port is a number from 1 to 65535");
    }
    p->host = url_decoded(text + skip, (size_t)((skip ? close : colon ? colon : end) - text) - skip);
    return p->host ? 0 : bp_fail(err, EINVAL, "nfs: the host's name has a damaged '%%' in it");
}

static int take_argument(const char *key, size_t length, struct nfs_place *p, struct bp_error *err)
{
    const struct {
        const char *name;
        int64_t *value;
        uint64_t most;
    } known[] = {{"uid", &p->user, UINT32_MAX}, {"gid", &p->group, UINT32_MAX}, {"tcp-syncnt", &p->syn_count, 255},
                 {"readahead", &p->readahead, UINT32_MAX}, {"pagecache", &p->page_cache, UINT32_MAX},
                 {"debug", &p->debug, UINT32_MAX}, {"version", &p->version, 255}, {"nfsport", &p->port, 65535},
                 {"mountport", &p->mount_port, 65535}};
    const char *equals = memchr(key, '=', length);
    size_t n = equals ? (size_t)(equals - key) : length;

    for (size_t i = 0; i < BP_COUNT(known); i++) {
        if (strlen(known[i].name) != n || strncmp(key, known[i].name, n) != 0)
            continue;
        *known[i].value = equals ? number(equals + 1, length - n - 1, known[i].most) : -1;
        return *known[i].value >= 0 ? 0 : bp_fail(err, EINVAL, "nfs: '%s' of a URL expects a number, at most %llu",
                                                  known[i].name, (unsigned long long)known[i].most);
    }
    return bp_fail(err, EINVAL, "nfs: '%.*s' is not known in a URL; uid, gid, tcp-syncnt, readahead, pagecache, debug, "
                   "version, nfsport and mountport are", (int)(n < 64 ? n : 64), key);
}

int place_set_path(const char *path, struct nfs_place *p, struct bp_error *err)
{
    const char *slash = strrchr(path, '/');

    if (*path != '/' || !slash[1] || !strcmp(slash, "/.") || !strcmp(slash, "/.."))
        return bp_fail(err, EINVAL, "nfs: a path begins with '/' and ends with a file's name");
    p->folder = slash == path ? bp_strdup("/") : bp_strdup(path);
    p->folder[slash == path ? 1 : slash - path] = '\0';
    p->file = bp_strdup(slash);
    return 0;
}

int place_of_name(const char *name, struct nfs_place *p, struct bp_error *err)
{
    const char *at, *slash, *query;
    char *path;
    int ret;

    if (strncmp(name, "nfs://", 6) != 0)
        return bp_fail(err, EINVAL, "nfs: '%.128s' is not %s", name, form);
    at = name + 6;
    slash = at + strcspn(at, "/?#");
    query = strchr(slash, '?');
    if (*slash != '/')
        return bp_fail(err, EINVAL, "nfs: the path is missing: %s", form);
    if (strchr(slash, '#'))
        return bp_fail(err, EINVAL, "nfs: a URL has no '#' in it: in a path, it is written %%23");
    if (memchr(at, '@', (size_t)(slash - at)))
        return bp_fail(err, EINVAL, "nfs: a URL has no user in it: uid= and gid= say as whom the server is asked");
    ret = take_host(at, (size_t)(slash - at), p, err);
    if (ret < 0)
        return ret;
    path = url_decoded(slash, query ? (size_t)(query - slash) : strlen(slash));
    ret = path ? place_set_path(path, p, err) : bp_fail(err, EINVAL, "nfs: the path has a damaged '%%' in it");
    free(path);
    for (const char *key = query ? query + 1 : ""; ret == 0 && *key;) {
        size_t length = strcspn(key, "&;");

        ret = take_argument(key, length, p, err);
        key += length + (key[length] != '\0');
    }
    return ret;
}

int place_set_server(struct bp_value *server, struct nfs_place *p, struct bp_error *err)
{
    const char *type = bp_value_get_string(server, "type"), *host = bp_value_get_string(server, "host");
    struct bp_value *port = bp_value_get(server, "port");
    const char *text = bp_value_as_string(port);

    if (bp_value_type(server) != BP_VALUE_DICT || !host || (type && strcmp(type, "inet") != 0))
        return bp_fail(err, EINVAL, "key 'server' has members: server.type=inet,server.host=");
    if (port) {
        uint64_t value = text ? (uint64_t)number(text, strlen(text), 65535) : bp_value_as_uint(port);

        if (value == 0 || value > 65535)
            return bp_fail(err, EINVAL, "nfs: a port is a number from 1 to 65535");
        p->port = (int64_t)value;
    }
    p->host = bp_strdup(host);
    return 0;
}

static int check_numbers(const struct nfs_place *p, struct bp_error *err)
{
    const struct {
        const char *name;
        int64_t value, least, most;
    } all[] = {{"user", p->user, 0, INT32_MAX}, {"group", p->group, 0, INT32_MAX},
               {"tcp-syn-count", p->syn_count, 1, 255}, {"readahead-size", p->readahead, 0, NFS_MAX_READAHEAD},
               {"page-cache-size", p->page_cache, 0, NFS_MAX_PAGE_CACHE}, {"debug", p->debug, 0, 9},
               {"port", p->port, 1, 65535}, {"mount-port", p->mount_port, 1, 65535}};

    for (size_t i = 0; i < BP_COUNT(all); i++)
        if (all[i].value != -1 && (all[i].value < all[i].least || all[i].value > all[i].most))
            return bp_fail(err, EINVAL, "nfs: key '%s' expects %lld to %lld", all[i].name, (long long)all[i].least,
                           (long long)all[i].most);
    if (p->version != -1 && p->version != 3)
        return bp_fail(err, ENOTSUP, "nfs: version 3 of the protocol is spoken, not %lld", (long long)p->version);
    if (p->timeout > NFS_MAX_TIMEOUT)
        return bp_fail(err, EINVAL, "nfs: key 'timeout' expects seconds, at most %u", NFS_MAX_TIMEOUT);
    return 0;
}

int place_check(const struct nfs_place *p, struct bp_error *err)
{
    if (!p->host || !*p->host || strlen(p->host) > MAX_HOST)
        return bp_fail(err, EINVAL, "nfs: a host's name has 1 to %u characters", MAX_HOST);
    for (const char *c = p->host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".-_:%", *c))
            return bp_fail(err, EINVAL, "nfs: a host's name has letters, digits, '.', '-' and '_' in it, or is an "
                           "address");
    if (!p->file || strlen(p->folder) > MAX_PATH || strlen(p->file) > 256)
        return bp_fail(err, EINVAL, "nfs: a path begins with '/' and has folders of at most %u bytes and a file's name "
                       "of at most 255", MAX_PATH);
    return check_numbers(p, err);
}

static char *put(char *to, const char *text)
{
    for (; *text; text++)
        to += isalnum((unsigned char)*text) || strchr("/-._~", *text)
            ? sprintf(to, "%c", *text) : sprintf(to, "%%%02X", (unsigned char)*text);
    *to = '\0';
    return to;
}

char *place_name(const struct nfs_place *p)
{
    const struct {
        const char *name;
        int64_t value;
    } all[] = {{"uid", p->user}, {"gid", p->group}, {"tcp-syncnt", p->syn_count}, {"readahead", p->readahead},
               {"pagecache", p->page_cache}, {"debug", p->debug}, {"mountport", p->mount_port}};
    char *text = bp_alloc(3 * (strlen(p->folder) + strlen(p->file) + strlen(p->host)) + 300), *to = text;
    char separator = '?';

    to += sprintf(to, strchr(p->host, ':') ? "nfs://[" : "nfs://");
    for (const char *c = p->host; *c; c++)
        to += sprintf(to, *c == '%' ? "%%25" : "%c", *c);
    to += sprintf(to, strchr(p->host, ':') ? "]" : "");
    if (p->port != -1)
        to += sprintf(to, ":%lld", (long long)p->port);
    to = put(to, strcmp(p->folder, "/") ? p->folder : "");
    to = put(to, p->file);
    for (size_t i = 0; i < BP_COUNT(all); i++) {
        if (all[i].value == -1)
            continue;
        to += sprintf(to, "%c%s=%lld", separator, all[i].name, (long long)all[i].value);
        separator = '&';
    }
    return text;
}

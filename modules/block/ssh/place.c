/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where a file is on an SSH server (URLs as in draft-ietf-secsh-scp-sftp-ssh-uri), and which host key is believed. */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "ssh.h"

#define MAX_HOST 255u
#define MAX_USER 255u
#define MAX_PATH 4095u

void place_free(struct ssh_place *p)
{
    free(p->host);
    free(p->user);
    free(p->path);
    p->host = p->user = p->path = NULL;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 :
        -1;
}

/* malloc'd, without its escapes. */
static int decode(const char *what, const char *text, size_t length, char **ret, struct bp_error *err)
{
    char *out = bp_alloc(length + 1);
    size_t n = 0;

    for (size_t i = 0; i < length; i++) {
        int value = (uint8_t)text[i];

        if (text[i] == '%') {
            bool whole = length - i > 2 && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0;

            value = whole ? hex(text[i + 1]) * 16 + hex(text[i + 2]) : 0;
            i += 2;
        }
        if (value == 0) {
            free(out);
            return bp_fail(err, EINVAL, "ssh: the %s has a damaged '%%' in it: %%20 is a space, %%25 a '%%'", what);
        }
        out[n++] = (char)value;
    }
    out[n] = '\0';
    *ret = out;
    return 0;
}

/* ---- host keys ---- */

static const struct {
    const char *name;
    enum ssh_publickey_hash_type type;
    size_t length;
} hashes[] = {{"md5", SSH_PUBLICKEY_HASH_MD5, 16}, {"sha1", SSH_PUBLICKEY_HASH_SHA1, 20},
              {"sha256", SSH_PUBLICKEY_HASH_SHA256, 32}};

/* With or without colons between the bytes. */
static bool of_hex(const char *text, uint8_t *out, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (i > 0 && *text == ':')
            text++;
        if (hex(text[0]) < 0 || hex(text[1]) < 0)
            return false;
        out[i] = (uint8_t)(hex(text[0]) * 16 + hex(text[1]));
        text += 2;
    }
    return *text == '\0';
}

/* RFC 4648, with or without '=' at the end. */
static bool of_base64(const char *text, uint8_t *out, size_t length)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    unsigned count = 0;
    size_t n = 0;

    for (; *text && *text != '='; text++) {
        const char *at = strchr(digits, *text);

        if (!at)
            return false;
        bits = bits << 6 | (uint32_t)(at - digits);
        count += 6;
        if (count >= 8) {
            count -= 8;
            if (n == length)
                return false;
            out[n++] = (uint8_t)(bits >> count);
        }
    }
    return n == length && strspn(text, "=") == strlen(text);
}

static int set_hash(struct ssh_place *p, const char *type, size_t type_length, const char *hash, struct bp_error *err)
{
    for (size_t i = 0; i < BP_COUNT(hashes); i++) {
        if (strlen(hashes[i].name) != type_length || strncasecmp(type, hashes[i].name, type_length) != 0)
            continue;
        p->check = KEY_HASH;
        p->hash_type = hashes[i].type;
        p->hash_length = hashes[i].length;
        if (of_hex(hash, p->hash, p->hash_length) ||
            (p->hash_type != SSH_PUBLICKEY_HASH_MD5 && of_base64(hash, p->hash, p->hash_length)))
            return 0;
        return bp_fail(err, EINVAL, "ssh: host_key_check: a hash by %s has %u bytes: in hexadecimal, with or without "
                       "':' between%s", hashes[i].name, (unsigned)hashes[i].length,
                       p->hash_type == SSH_PUBLICKEY_HASH_MD5 ? "" : ", or in base64 as ssh-keygen -l writes it");
    }
    return bp_fail(err, EINVAL, "ssh: host_key_check: '%.*s' is no known hash: md5, sha1, sha256 are",
                   (int)(type_length < 64 ? type_length : 64), type);
}

int place_set_check(struct ssh_place *p, const char *text, struct bp_error *err)
{
    const char *colon = strchr(text, ':');

    if (colon)
        return set_hash(p, text, (size_t)(colon - text), colon + 1, err);
    if (strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return bp_fail(err, EINVAL, "ssh: host_key_check expects yes (by known_hosts), no, md5:HASH, sha1:HASH or "
                       "sha256:HASH, not '%.64s'", text);
    p->check = *text == 'y' ? KEY_KNOWN_HOSTS : KEY_ANY;
    return 0;
}

int place_set_check_dict(struct ssh_place *p, struct bp_value *dict, struct bp_error *err)
{
    const char *mode = bp_value_get_string(dict, "mode"), *type = bp_value_get_string(dict, "type");
    const char *hash = bp_value_get_string(dict, "hash");

    if (bp_value_type(dict) != BP_VALUE_DICT || !mode ||
        (strcmp(mode, "none") != 0 && strcmp(mode, "known_hosts") != 0 && strcmp(mode, "hash") != 0))
        return bp_fail(err, EINVAL, "key 'host-key-check.mode' expects none, known_hosts or hash");
    if (!strcmp(mode, "hash"))
        return type && hash ? set_hash(p, type, strlen(type), hash, err)
                            : bp_fail(err, EINVAL, "key 'host-key-check': mode hash needs type and hash");
    if (type || hash)
        return bp_fail(err, EINVAL, "key 'host-key-check': type and hash are for mode hash");
    p->check = *mode == 'k' ? KEY_KNOWN_HOSTS : KEY_ANY;
    return 0;
}

/* ---- hosts, users, paths ---- */

int place_set_host(struct ssh_place *p, const char *host, const char *port, struct bp_error *err)
{
    unsigned number = port ? 0 : SSH_DEFAULT_PORT;

    for (const char *c = port; c && *c; c++) {
        if (!isdigit((unsigned char)*c) || number > 65535)
            return bp_fail(err, EINVAL, "ssh: a port is a number from 1 to 65535, not '%.32s'", port);
        number = number * 10 + (unsigned)(*c - '0');
    }
    if (number == 0 || number > 65535)
        return bp_fail(err, EINVAL, "ssh: a port is a number from 1 to 65535, not '%.32s'", port);
    p->host = bp_strdup(host);
    p->port = number;
    return 0;
}

int place_check(const struct ssh_place *p, struct bp_error *err)
{
    if (!p->host || !*p->host || strlen(p->host) > MAX_HOST)
        return bp_fail(err, EINVAL, "ssh: a host's name has 1 to %u characters", MAX_HOST);
    for (const char *c = p->host; *c; c++)
        if (!isalnum((unsigned char)*c) && !strchr(".-_:%", *c))
            return bp_fail(err, EINVAL, "ssh: a host's name has letters, digits, '.', '-' and '_' in it, or is an "
                           "address");
    if (p->user && (!*p->user || strlen(p->user) > MAX_USER))
        return bp_fail(err, EINVAL, "ssh: a user's name has 1 to %u bytes", MAX_USER);
    for (const char *c = p->user; c && *c; c++)
        if ((unsigned char)*c < 32)
            return bp_fail(err, EINVAL, "ssh: a user's name has no control characters in it");
    if (!p->path || *p->path != '/' || strlen(p->path) > MAX_PATH)
        return bp_fail(err, EINVAL, "ssh: a path begins with '/' and has at most %u bytes", MAX_PATH);
    return 0;
}

/* host, host:port, [v6]:port */
static int of_host(const char *text, size_t length, struct ssh_place *p, struct bp_error *err)
{
    char *copy = NULL, *host, *port = NULL;
    int ret = decode("host's name", text, length, &copy, err);

    if (ret < 0)
        return ret;
    host = copy;
    if (*host == '[') {
        char *end = strchr(++host, ']');

        if (!end || (end[1] && end[1] != ':'))
            ret = bp_fail(err, EINVAL, "ssh: an IPv6 address is written [ADDRESS] or [ADDRESS]:PORT");
        else
            port = end[1] ? end + 2 : NULL;
        if (end)
            *end = '\0';
    } else {
        char *colon = strchr(host, ':');

        port = colon ? colon + 1 : NULL;
        if (colon)
            *colon = '\0';
    }
    if (ret == 0)
        ret = place_set_host(p, host, port, err);
    free(copy);
    return ret;
}

static int of_query(const char *query, struct ssh_place *p, struct bp_error *err)
{
    int ret = 0;

    for (const char *key = query, *end; ret == 0 && *key; key = *end ? end + 1 : end) {
        const char *equals;
        char *value = NULL;

        end = key + strcspn(key, "&;");
        equals = memchr(key, '=', (size_t)(end - key));
        if (!equals || equals - key != 14 || strncmp(key, "host_key_check", 14) != 0)
            return bp_fail(err, EINVAL, "ssh: '%.*s' is not known in a URL; host_key_check= is",
                           (int)(end - key < 64 ? end - key : 64), key);
        ret = decode("host_key_check", equals + 1, (size_t)(end - equals - 1), &value, err);
        if (ret == 0)
            ret = place_set_check(p, value, err);
        free(value);
    }
    return ret;
}

int place_of_name(const char *name, struct ssh_place *p, struct bp_error *err)
{
    const char *at, *slash, *user, *query;
    int ret = 0;

    if (strncmp(name, "ssh://", 6) != 0)
        return bp_fail(err, EINVAL, "ssh: '%.128s' is not ssh://[USER@]HOST[:PORT]/PATH[?host_key_check=...]", name);
    at = name + 6;
    slash = at + strcspn(at, "/?#");
    user = memchr(at, '@', (size_t)(slash - at));
    query = strchr(slash, '?');
    if (*slash != '/')
        return bp_fail(err, EINVAL, "ssh: the path is missing: ssh://[USER@]HOST[:PORT]/PATH");
    if (strchr(slash, '#'))
        return bp_fail(err, EINVAL, "ssh: a URL has no '#' in it: in a path, it is written %%23");
    if (user && memchr(at, ':', (size_t)(user - at)))
        return bp_fail(err, EINVAL, "ssh: a URL has no password in it: who you are is shown by ssh-agent");
    if (user)
        ret = decode("user's name", at, (size_t)(user - at), &p->user, err);
    at = user ? user + 1 : at;
    if (ret == 0)
        ret = of_host(at, (size_t)(slash - at), p, err);
    if (ret == 0)
        ret = decode("path", slash, query ? (size_t)(query - slash) : strlen(slash), &p->path, err);
    return ret == 0 && query ? of_query(query + 1, p, err) : ret;
}

static char *put(char *to, const char *text)
{
    for (; *text; text++)
        to += isalnum((unsigned char)*text) || strchr("/-._~", *text)
            ? sprintf(to, "%c", *text) : sprintf(to, "%%%02X", (unsigned char)*text);
    return to;
}

char *place_name(const struct ssh_place *p)
{
    bool v6 = strchr(p->host, ':') != NULL;
    char *text = bp_alloc(3 * (strlen(p->path) + (p->user ? strlen(p->user) : 0)) + strlen(p->host) + 32);
    char *to = text + sprintf(text, "ssh://");

    if (p->user) {
        to = put(to, p->user);
        *to++ = '@';
    }
    to += sprintf(to, v6 ? "[%s]" : "%s", p->host);
    if (p->port != SSH_DEFAULT_PORT)
        to += sprintf(to, ":%u", p->port);
    *put(to, p->path) = '\0';
    return text;
}

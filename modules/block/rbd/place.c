/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which image of which cluster: names and keys. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rbd.h"

#define MAX_TEXT 8191u
static const char form[] = "rbd:POOL[/NAMESPACE]/IMAGE[@SNAPSHOT][:KEY=VALUE...]";

void place_free(struct rbd_place *p)
{
    for (unsigned i = 0; i < p->count; i++) {
        free(p->settings[i].key);
        free(p->settings[i].value);
    }
    free(p->pool);
    free(p->namespace);
    free(p->image);
    free(p->snapshot);
    free(p->user);
    free(p->conf);
    free(p->key_secret);
    free(p->passphrase_secret);
    *p = (struct rbd_place){.pool = NULL};
}

/* Takes key and value over. */
static int set(struct rbd_place *p, char *key, char *value, struct bp_error *err)
{
    if (p->count == RBD_MAX_SETTINGS) {
        free(key);
        free(value);
        return bp_fail(err, EINVAL, "rbd: at most %u settings of Ceph are taken", RBD_MAX_SETTINGS);
    }
    p->settings[p->count++] = (struct rbd_setting){key, value};
    return 0;
}

/* Up to one of the separators (or the end); *text is behind what was taken. malloc'd, without its '\'. */
static char *take(const char **text, const char *separators)
{
    const char *s = *text;
    char *out = bp_alloc(strlen(s) + 1), *to = out;

    for (; *s && !strchr(separators, *s); s++) {
        if (*s == '\\' && s[1])
            s++;
        *to++ = *s;
    }
    *to = '\0';
    *text = s;
    return out;
}

static int take_setting(const char **text, struct rbd_place *p, struct bp_error *err)
{
    char *key = take(text, "=:"), *value;
    char **own = !strcmp(key, "id") ? &p->user : !strcmp(key, "conf") ? &p->conf : NULL;

    if (**text != '=' || !*key) {
        int ret = bp_fail(err, EINVAL, "rbd: '%.64s' is not KEY=VALUE, as what follows a ':' has to be", key);

        free(key);
        return ret;
    }
    ++*text;
    value = take(text, ":");
    if (!own)
        return set(p, key, value, err);
    free(key);
    free(*own);
    *own = value;
    return 0;
}

int place_of_name(const char *name, struct rbd_place *p, struct bp_error *err)
{
    const char *at = name + 4;
    int ret = 0;

    if (strncmp(name, "rbd:", 4) != 0 || strlen(name) > MAX_TEXT)
        return bp_fail(err, EINVAL, "rbd: '%.128s' is not %s", name, form);
    p->pool = take(&at, "/");
    if (*at != '/')
        return bp_fail(err, EINVAL, "rbd: the image is missing: %s", form);
    at++;
    p->image = take(&at, "/@:");
    if (*at == '/') {
        at++;
        p->namespace = p->image;
        p->image = take(&at, "@:");
    }
    if (*at == '@') {
        at++;
        p->snapshot = take(&at, ":");
    }
    while (ret == 0 && *at == ':' && at[1]) {
        at++;
        ret = take_setting(&at, p, err);
    }
    return ret;
}

/* ---- keys ---- */

static struct bp_value *member(struct bp_value *list, unsigned i)
{
    char number[16];

    snprintf(number, sizeof(number), "%u", i);
    return bp_value_type(list) == BP_VALUE_LIST ? bp_value_at(list, i) : bp_value_get(list, number);
}

static bool is_list(struct bp_value *v)
{
    return bp_value_type(v) == BP_VALUE_LIST || bp_value_type(v) == BP_VALUE_DICT;
}

int place_set_servers(struct bp_value *servers, struct rbd_place *p, struct bp_error *err)
{
    char *text = NULL;
    size_t size;
    FILE *f = open_memstream(&text, &size);
    int ret = is_list(servers) && bp_value_length(servers) > 0
                  ? 0 : bp_fail(err, EINVAL, "key 'server' expects a list of monitors: server.0.host=,server.0.port=");

    if (!f)
        return bp_fail(err, ENOMEM, "rbd: no memory");
    for (unsigned i = 0; ret == 0 && i < bp_value_length(servers); i++) {
        struct bp_value *v = member(servers, i), *port = bp_value_get(v, "port");
        const char *host = bp_value_get_string(v, "host"), *digits = bp_value_as_string(port);
        unsigned long number = digits ? strtoul(digits, NULL, 10) : (unsigned long)bp_value_as_uint(port);

        if (!host || !*host || strpbrk(host, ";, \t\n") || (port && (number == 0 || number > 65535)))
            ret = bp_fail(err, EINVAL, "key 'server.%u' expects host= and port=, 1 to 65535", i);
        else if (port)
            fprintf(f, strchr(host, ':') ? "%s[%s]:%lu" : "%s%s:%lu", i ? "," : "", host, number);
        else
            fprintf(f, strchr(host, ':') ? "%s[%s]" : "%s%s", i ? "," : "", host);
    }
    if (fclose(f) != 0 && ret == 0)
        ret = bp_fail(err, ENOMEM, "rbd: no memory");
    if (ret == 0)
        return set(p, bp_strdup("mon_host"), text, err);
    free(text);
    return ret;
}

int place_set_auth(struct bp_value *modes, struct rbd_place *p, struct bp_error *err)
{
    bool cephx = false, none = false;

    for (unsigned i = 0; is_list(modes) && i < bp_value_length(modes); i++) {
        const char *mode = bp_value_as_string(member(modes, i));

        if (!mode || (strcmp(mode, "cephx") != 0 && strcmp(mode, "none") != 0))
            return bp_fail(err, EINVAL, "key 'auth-client-required' expects a list of cephx and none");
        cephx |= *mode == 'c';
        none |= *mode == 'n';
    }
    if (!cephx && !none)
        return bp_fail(err, EINVAL, "key 'auth-client-required' expects a list of cephx and none");
    return set(p, bp_strdup("auth_client_required"), bp_strdup(cephx && none ? "cephx;none" : cephx ? "cephx" : "none"),
               err);
}

int place_set_encryption(struct bp_value *encrypt, struct rbd_place *p, struct bp_error *err)
{
    const char *format = bp_value_get_string(encrypt, "format"), *id = bp_value_get_string(encrypt, "key-secret");

    if (bp_value_type(encrypt) != BP_VALUE_DICT || !format || !id)
        return bp_fail(err, EINVAL, "key 'encrypt' has members: encrypt.format=luks|luks2,encrypt.key-secret=");
    if (bp_value_has(encrypt, "parent") || !strcmp(format, "luks-any") || !strcmp(format, "luks2-any"))
        return bp_fail(err, ENOTSUP, "rbd: encryption of an image's parents of its own is not built");
    if (strcmp(format, "luks") != 0 && strcmp(format, "luks2") != 0)
        return bp_fail(err, EINVAL, "key 'encrypt.format' expects luks or luks2");
    p->format = format[4] ? RBD_LUKS2 : RBD_LUKS1;
    p->passphrase_secret = bp_strdup(id);
    return 0;
}

int place_check(const struct rbd_place *p, struct bp_error *err)
{
    const struct {
        const char *what, *text;
        bool needed;
    } names[] = {{"pool", p->pool, true}, {"namespace", p->namespace, false}, {"image", p->image, true},
                 {"snapshot", p->snapshot, false}, {"user", p->user, false}};

    for (size_t i = 0; i < BP_COUNT(names); i++) {
        if (!names[i].text && !names[i].needed)
            continue;
        if (!names[i].text || !*names[i].text || strlen(names[i].text) > RBD_MAX_NAME)
            return bp_fail(err, EINVAL, "rbd: the name of the %s has 1 to %u bytes", names[i].what, RBD_MAX_NAME);
        for (const char *c = names[i].text; *c; c++)
            if ((unsigned char)*c < 32)
                return bp_fail(err, EINVAL, "rbd: the name of the %s has control characters in it", names[i].what);
    }
    if (p->timeout > RBD_MAX_TIMEOUT)
        return bp_fail(err, EINVAL, "rbd: key 'timeout' expects seconds, at most %u", RBD_MAX_TIMEOUT);
    return 0;
}

static char *put(char *to, const char *text)
{
    for (; *text; text++) {
        if (strchr("\\/@:=", *text))
            *to++ = '\\';
        *to++ = *text;
    }
    *to = '\0';
    return to;
}

char *place_name(const struct rbd_place *p)
{
    char *text = bp_alloc(4 * 2 * RBD_MAX_NAME + 16), *to = text + sprintf(text, "rbd:");

    to = put(to, p->pool);
    *to++ = '/';
    if (p->namespace) {
        to = put(to, p->namespace);
        *to++ = '/';
    }
    to = put(to, p->image);
    if (p->snapshot) {
        *to++ = '@';
        put(to, p->snapshot);
    }
    return text;
}

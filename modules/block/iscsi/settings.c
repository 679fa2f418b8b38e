/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Option -iscsi (and group [iscsi] of configuration files): how sessions log in, by target or for all of them. */
#define BP_SHARED /* the option is listed in iscsi.c */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/exact/machine.h>
#include <bp/host/secret.h>
#include <bp/option.h>
#include <bp/run.h>

#include "iscsi.h"

const struct bp_secret_interface *secret;
BP_NOTE("requires=secret/1");

#define DEFAULT_INITIATOR "iqn.2008-11.org.linux-kvm"
#define MAX_NAME 223u /* bytes of an iSCSI name (RFC 7143, 4.2.7.1) */

struct settings {
    struct settings *next;
    char *id; /* the target's name; NULL: every target that has none of its own */
    char *user, *password, *password_secret, *initiator;
    bool has_digest, has_timeout;
    enum iscsi_header_digest digest;
    unsigned timeout;
};

static struct settings *all; /* [main] */

int digest_of_name(const char *name, enum iscsi_header_digest *ret, struct bp_error *err)
{
    static const struct {
        const char *name;
        enum iscsi_header_digest digest;
    } names[] = {{"none", ISCSI_HEADER_DIGEST_NONE}, {"crc32c", ISCSI_HEADER_DIGEST_CRC32C},
                 {"none-crc32c", ISCSI_HEADER_DIGEST_NONE_CRC32C}, {"crc32c-none", ISCSI_HEADER_DIGEST_CRC32C_NONE}};

    for (unsigned i = 0; i < BP_COUNT(names); i++) {
        if (strcasecmp(name, names[i].name) != 0)
            continue;
        *ret = names[i].digest;
        return 0;
    }
    return bp_fail(err, EINVAL, "key 'header-digest' expects none, crc32c, none-crc32c or crc32c-none, not '%s'", name);
}

int password_of_secret(const char *id, char **ret_password, struct bp_error *err)
{
    const uint8_t *data;
    size_t length;
    int ret = secret->get(id, &data, &length, err);

    if (ret < 0) {
        bp_error_prefix(err, "key 'password-secret'");
        return ret;
    }
    if (length > MAX_STRING_SIZE || memchr(data, 0, length))
        return bp_fail(err, EINVAL, "key 'password-secret': a password has at most %d bytes, none of them 0",
                       MAX_STRING_SIZE);
    *ret_password = bp_alloc(length + 1);
    memcpy(*ret_password, data, length);
    (*ret_password)[length] = '\0';
    return 0;
}

static void free_one(struct settings *s)
{
    free(s->id);
    free(s->user);
    free(s->password);
    free(s->password_secret);
    free(s->initiator);
    free(s);
}

void settings_free(void)
{
    while (all) {
        struct settings *s = all;

        all = s->next;
        free_one(s);
    }
}

static char *text_of(struct bp_value *args, const char *key)
{
    const char *text = bp_value_get_string(args, key);

    return text ? bp_strdup(text) : NULL;
}

static int check(const struct settings *s, struct bp_error *err)
{
    const char *const texts[] = {s->user, s->password, s->password_secret};

    if (s->password && s->password_secret)
        return bp_fail(err, EINVAL, "keys 'password' and 'password-secret' exclude each other");
    if ((s->password || s->password_secret) && !s->user)
        return bp_fail(err, EINVAL, "key 'user' is missing: a password is somebody's");
    if (s->user && !s->password && !s->password_secret)
        return bp_fail(err, EINVAL, "key 'user' wants 'password' or 'password-secret' with it");
    for (unsigned i = 0; i < BP_COUNT(texts); i++)
        if (texts[i] && strlen(texts[i]) > MAX_STRING_SIZE)
            return bp_fail(err, EINVAL, "names and passwords have at most %d bytes", MAX_STRING_SIZE);
    if (s->initiator && (!*s->initiator || strlen(s->initiator) > MAX_NAME))
        return bp_fail(err, EINVAL, "key 'initiator-name' expects a name like iqn.2001-04.com.example:me, at most %u "
                       "bytes", MAX_NAME);
    return 0;
}

static int apply(struct bp_value *args, struct bp_error *err)
{
    const char *digest = bp_value_get_string(args, "header-digest");
    struct settings *s = bp_alloc(sizeof(*s)), **last = &all;
    uint64_t timeout = 0;
    int ret;

    *s = (struct settings){.id = text_of(args, "id"), .user = text_of(args, "user"),
                           .password = text_of(args, "password"), .password_secret = text_of(args, "password-secret"),
                           .initiator = text_of(args, "initiator-name"), .has_digest = digest != NULL,
                           .has_timeout = bp_value_has(args, "timeout")};
    ret = check(s, err);
    if (ret == 0 && digest)
        ret = digest_of_name(digest, &s->digest, err);
    if (ret == 0 && s->has_timeout) {
        timeout = bp_value_as_uint(bp_value_get(args, "timeout"));
        if (timeout > 86400)
            ret = bp_fail(err, EINVAL, "key 'timeout' expects seconds, at most 86400");
        s->timeout = (unsigned)timeout;
    }
    for (; ret == 0 && *last; last = &(*last)->next)
        if (s->id ? (*last)->id && !strcmp((*last)->id, s->id) : !(*last)->id)
            ret = s->id ? bp_fail(err, EEXIST, "there is one with id '%s' already", s->id)
                        : bp_fail(err, EEXIST, "there is one without id already: others name their target, id=IQN");
    if (ret < 0)
        free_one(s);
    else
        *last = s;
    return ret;
}

static const struct bp_field keys[] = {
    BP_ARG_OPT("id", STRING, "name of the target that this is for; without it, of all others"),
    BP_ARG_OPT("user", STRING, "CHAP: the user"),
    BP_ARG_OPT("password", STRING, "CHAP: the user's password; other users of the host may see it here"),
    BP_ARG_OPT("password-secret", STRING, "CHAP: id of the secret with the password"),
    BP_ARG_OPT("header-digest", STRING, "none, crc32c, none-crc32c, crc32c-none: checksums of headers, best first"),
    BP_ARG_OPT("initiator-name", STRING, "name of this host, iqn....; default: " DEFAULT_INITIATOR "[:NAME or :UUID]"),
    BP_ARG_OPT("timeout", UINT64, "seconds that a request may take; 0: any time"), BP_FIELDS_END};
BP_OPTION(iscsi_option, "iscsi", "how sessions with iSCSI targets are begun", .phase = BP_PHASE_EARLY,
          .arg = "[id=TARGET][,KEY=VALUE...]", .group = "Disks", .keys = keys, .apply = apply);

static char *default_initiator(void)
{
    static const uint8_t none[16];
    const char *name = bp_machine_guest_name(NULL);
    const uint8_t *uuid = bp_machine_uuid(NULL);
    char text[MAX_NAME + 1], digits[37];
    size_t n = 0;

    if (!name && memcmp(uuid, none, sizeof(none)) != 0) {
        for (unsigned i = 0; i < 16; i++)
            n += (size_t)snprintf(digits + n, sizeof(digits) - n, "%s%02x",
                                  i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", uuid[i]);
        name = digits;
    }
    snprintf(text, sizeof(text), "%s%s%s", DEFAULT_INITIATOR, name ? ":" : "", name ? name : "");
    return bp_strdup(text);
}

int settings_apply(struct iscsi_place *place, bool digest_given, bool timeout_given, struct bp_error *err)
{
    const struct settings *s = NULL;

    for (const struct settings *t = all; t; t = t->next)
        if (t->id ? !strcmp(t->id, place->target) : !s)
            s = t;
    if (s && s->has_digest && !digest_given)
        place->digest = s->digest;
    if (s && s->has_timeout && !timeout_given)
        place->timeout = s->timeout;
    if (s && s->initiator && !place->initiator)
        place->initiator = bp_strdup(s->initiator);
    if (!place->initiator)
        place->initiator = default_initiator();
    if (!s || !s->user || place->user)
        return 0;
    place->user = bp_strdup(s->user);
    if (s->password)
        place->password = bp_strdup(s->password);
    return s->password ? 0 : password_of_secret(s->password_secret, &place->password, err);
}

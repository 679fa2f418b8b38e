/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "format.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int format_io(struct bp_block_child *child, enum bp_block_op op, uint64_t offset, void *buf, uint64_t bytes)
{
    struct iovec iov = {buf, (size_t)bytes};
    struct bp_block_request req = {.size = sizeof(req), .offset = offset, .bytes = bytes, .iov = buf ? &iov : NULL,
                                   .iov_count = buf ? 1 : 0};

    return block->child_request(child, op, &req);
}

int option_size(struct bp_value *options, const char *key, uint64_t *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, key);
    const char *text = v ? bp_value_as_string(v) : NULL;
    char *end = NULL;

    if (!v)
        return 0;
    if (!text) {
        *ret = bp_value_as_uint(v);
        return 0;
    }
    *ret = strtoull(text, &end, 0);
    if (end != text && *end) {
        const char *at = strchr("bkmgtpe", *end | 0x20);
        unsigned shift = at ? 10 * (unsigned)(at - "bkmgtpe") : 0;

        if (!at || end[1] || *ret > UINT64_MAX >> shift)
            return bp_fail(err, EINVAL, "option '%s' expects a size, not '%s'", key, text);
        *ret <<= shift;
    } else if (end == text || *text == '-') {
        return bp_fail(err, EINVAL, "option '%s' expects a size, not '%s'", key, text);
    }
    return 0;
}

int option_switch(struct bp_value *options, const char *key, bool *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, key);
    const char *text = v ? bp_value_as_string(v) : NULL;

    if (!v)
        return 0;
    if (!text)
        *ret = bp_value_as_bool(v);
    else if (!strcmp(text, "on") || !strcmp(text, "true") || !strcmp(text, "yes"))
        *ret = true;
    else if (!strcmp(text, "off") || !strcmp(text, "false") || !strcmp(text, "no"))
        *ret = false;
    else
        return bp_fail(err, EINVAL, "option '%s' expects 'on' or 'off'", key);
    return 0;
}

int option_choice(struct bp_value *options, const char *key, const char *const *names, unsigned *ret,
                  struct bp_error *err)
{
    const char *text = bp_value_get_string(options, key);
    char all[160] = "";

    if (!text)
        return 0;
    for (unsigned i = 0; names[i]; i++) {
        if (!strcmp(names[i], text)) {
            *ret = i;
            return 0;
        }
        snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s", i ? ", " : "", names[i]);
    }
    return bp_fail(err, EINVAL, "option '%s' does not take '%s'; accepted: %s", key, text, all);
}

int option_disk_size(struct bp_value *options, uint64_t most, uint64_t *ret, struct bp_error *err)
{
    uint64_t size = 0;
    int r = option_size(options, "size", &size, err);

    if (r < 0)
        return r;
    if (size > most)
        return bp_fail(err, EFBIG, "an image of %llu bytes is too long: the format has room for %llu",
                       (unsigned long long)size, (unsigned long long)most);
    *ret = round_up(size, 512);
    return 0;
}

void format_uuid(uint8_t uuid[16])
{
    if (getrandom(uuid, 16, 0) != 16)
        memset(uuid, 0x5a, 16); /* an early boot: only that it is not all zero matters */
    uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x40);
    uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}

struct bp_value *format_facts(const char *name, struct bp_value *data)
{
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "type", bp_value_string(name));
    bp_value_set(v, "data", data);
    return v;
}

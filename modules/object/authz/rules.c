/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rules.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int bad(struct bp_error *err, const char *what, const char *key, const char *wanted)
{
    return bp_fail(err, EINVAL, "%s: '%s' has to be %s", what, key, wanted);
}

static bool is_policy(const char *text)
{
    return text && (!strcmp(text, "allow") || !strcmp(text, "deny"));
}

struct member_check {
    const char *what;
    struct bp_error *err;
};

static int check_member(const char *key, struct bp_value *member, void *opaque)
{
    const struct member_check *c = opaque;
    const char *text = bp_value_as_string(member);

    if (!strcmp(key, "match"))
        return text ? 0 : bad(c->err, c->what, key, "a string");
    if (!strcmp(key, "policy"))
        return is_policy(text) ? 0 : bad(c->err, c->what, key, "\"allow\" or \"deny\"");
    if (!strcmp(key, "format"))
        return text && (!strcmp(text, "exact") || !strcmp(text, "glob"))
                   ? 0 : bad(c->err, c->what, key, "\"exact\" or \"glob\"");
    return bp_fail(c->err, EINVAL, "%s: a rule has 'match', 'policy' and 'format', and no '%s'", c->what, key);
}

int rules_check(const char *what, const struct bp_value *rules, struct bp_error *err)
{
    struct member_check c = {what, err};

    if (rules && bp_value_type(rules) != BP_VALUE_LIST)
        return bad(err, what, "rules", "a list");
    for (size_t i = 0; i < bp_value_length(rules); i++) {
        const struct bp_value *rule = bp_value_at(rules, i);
        int r = bp_value_type(rule) == BP_VALUE_DICT ? bp_value_each(rule, check_member, &c)
                                                     : bad(err, what, "rules", "a list of objects");

        if (r < 0)
            return r;
        if (!bp_value_has(rule, "match") || !bp_value_has(rule, "policy"))
            return bp_fail(err, EINVAL, "%s: rule %zu needs 'match' and 'policy'", what, i);
    }
    return 0;
}

int rules_decide(const struct bp_value *rules, bool policy_allows, const char *identity, struct bp_error *err)
{
    for (size_t i = 0; i < bp_value_length(rules); i++) {
        const struct bp_value *rule = bp_value_at(rules, i);
        const char *match = bp_value_get_string(rule, "match"), *format = bp_value_get_string(rule, "format");
        bool glob = format && !strcmp(format, "glob");

        if (glob ? fnmatch(match, identity, FNM_NOESCAPE) != 0 : strcmp(match, identity) != 0)
            continue;
        if (!strcmp(bp_value_get_string(rule, "policy"), "allow"))
            return 0;
        return bp_fail(err, EACCES, "rule %zu ('%s') denies it to '%s'", i, match, identity);
    }
    return policy_allows ? 0 : bp_fail(err, EACCES, "no rule allows it to '%s'", identity);
}

static int read_text(const char *path, char **ret_text, size_t *ret_size, struct bp_error *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    char *text;
    size_t size = 0;
    ssize_t n = 0;

    if (fd < 0)
        return bp_fail(err, errno, "Unable to read '%s': %s", path, strerror(errno));
    text = bp_alloc(RULES_MOST_BYTES + 1);
    while (size <= RULES_MOST_BYTES && (n = read(fd, text + size, RULES_MOST_BYTES + 1 - size)) > 0)
        size += (size_t)n;
    if (n < 0)
        n = bp_fail(err, errno, "Unable to read '%s': %s", path, strerror(errno));
    else if (size > RULES_MOST_BYTES)
        n = bp_fail(err, EFBIG, "'%s' is longer than %u bytes", path, RULES_MOST_BYTES);
    close(fd);
    if (n < 0) {
        free(text);
        return (int)n;
    }
    *ret_text = text;
    *ret_size = size;
    return 0;
}

static int check_top(const char *key, struct bp_value *member, void *opaque)
{
    const struct member_check *c = opaque;

    if (!strcmp(key, "rules"))
        return rules_check(c->what, member, c->err);
    if (!strcmp(key, "policy"))
        return is_policy(bp_value_as_string(member)) ? 0 : bad(c->err, c->what, key, "\"allow\" or \"deny\"");
    return bp_fail(c->err, EINVAL, "%s: there are 'rules' and 'policy', and no '%s'", c->what, key);
}

int rules_load(const char *path, struct bp_value **ret_rules, bool *ret_allows, struct bp_error *err)
{
    struct member_check c = {path, err};
    struct bp_value *top;
    const char *policy;
    char *text = NULL;
    size_t size = 0;
    int r = read_text(path, &text, &size, err);

    if (r < 0)
        return r;
    r = bp_value_parse(text, size, &top, err);
    free(text);
    if (r < 0) {
        bp_error_prefix(err, "%s is no JSON (RFC 8259: no comma before a closing bracket)", path);
        return r;
    }
    r = bp_value_type(top) == BP_VALUE_DICT ? bp_value_each(top, check_top, &c)
                                            : bp_fail(err, EINVAL, "%s: an object {...} is expected", path);
    if (r == 0) {
        policy = bp_value_get_string(top, "policy");
        *ret_allows = policy && !strcmp(policy, "allow");
        *ret_rules = bp_value_ref(bp_value_get(top, "rules"));
    }
    bp_value_unref(top);
    return r;
}

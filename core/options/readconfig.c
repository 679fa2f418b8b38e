/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -readconfig: groups in INI syntax, each one use of an option.
 *
 *     # comment
 *     [device "net0"]
 *       driver = "e1000"
 *
 * A group's name is an option's (or one of the older group names below); its quoted id becomes the
 * key "id". Values stand in double quotes, or alone up to the end of the line.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <glib.h>

#include "keyval.h"
#include "option-groups.h"
#include "options.h"

#define MAX_FILE (1u << 20)

struct reader {
    unsigned line;
    char *group;            /* option's name; NULL: no group opened yet */
    struct bp_value *args;
};

static int end_group(struct reader *rd, struct bp_error *err)
{
    int ret = 0;

    if (rd->group) {
        ret = bpc_keyval_finish(&rd->args, err);
        if (ret == 0 && strcmp(rd->group, "global") == 0) {
            /* -global takes text; as JSON it is the same three keys */
            char *json = bp_value_print(rd->args, false);

            ret = bpc_options_add("global", json, NULL, err);
            free(json);
        } else if (ret == 0) {
            ret = bpc_options_add(rd->group, NULL, rd->args, err);
        }
    }
    g_free(rd->group);
    bp_value_unref(rd->args);
    rd->group = NULL;
    rd->args = NULL;
    return ret;
}

/* "[name]" or "[name "id"]" */
static int open_group(struct reader *rd, char *text, struct bp_error *err)
{
    char *end = strrchr(text, ']'), *id = NULL, *space;
    int ret = end_group(rd, err);

    if (ret < 0)
        return ret;
    if (!end || end[1])
        return bp_fail(err, EINVAL, "line %u: expected ']'", rd->line);
    *end = '\0';
    text = g_strstrip(text + 1);
    space = strpbrk(text, " \t");
    if (space) {
        *space = '\0';
        id = g_strstrip(space + 1);
        size_t n = strlen(id);
        if (n < 2 || id[0] != '"' || id[n - 1] != '"')
            return bp_fail(err, EINVAL, "line %u: the id after '%.60s' stands in quotes", rd->line,
                           text);
        id[n - 1] = '\0';
        id++;
    }
    if (!*text)
        return bp_fail(err, EINVAL, "line %u: the group's name is missing", rd->line);
    rd->group = g_strdup(bpc_option_of_group(text));
    rd->args = bp_value_dict();
    if (id)
        bp_value_set(rd->args, "id", bp_value_string(id));
    return 0;
}

static int read_key(struct reader *rd, char *text, struct bp_error *err)
{
    const struct bpc_keyval_syntax syntax = {NULL, NULL, true};
    char *equals = strchr(text, '='), *value;
    size_t n;

    if (!equals)
        return bp_fail(err, EINVAL, "line %u: expected KEY = VALUE", rd->line);
    if (!rd->group)
        return bp_fail(err, EINVAL, "line %u: a group such as [machine] has to come first",
                       rd->line);
    *equals = '\0';
    text = g_strstrip(text);
    value = g_strstrip(equals + 1);
    n = strlen(value);
    if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
        value[n - 1] = '\0';
        value++;
    } else if (*value == '"') {
        return bp_fail(err, EINVAL, "line %u: the closing quote is missing", rd->line);
    }
    int ret = bpc_keyval_store(rd->args, &syntax, text, bp_value_string(value), err);
    if (ret < 0)
        bp_error_prefix(err, "line %u", rd->line);
    return ret;
}

/* At most one byte more than is allowed: what never ends is a file as well. */
static int read_text(const char *path, char **ret_text, gsize *ret_length, struct bp_error *err)
{
    FILE *file = fopen(path, "re");
    char *text;
    gsize length;

    if (!file)
        return bp_fail(err, errno, "%s", g_strerror(errno));
    text = g_malloc(MAX_FILE + 2);
    length = fread(text, 1, MAX_FILE + 1, file);
    bool failed = ferror(file);
    fclose(file);
    if (failed) {
        g_free(text);
        return bp_fail(err, EIO, "it cannot be read as a file");
    }
    text[length] = '\0';
    *ret_text = text;
    *ret_length = length;
    return 0;
}

int bpc_readconfig(const char *path, struct bp_error *err)
{
    struct reader rd = {0};
    char *text = NULL;
    gsize length = 0;
    int ret = 0;

    ret = read_text(path, &text, &length, err);
    if (ret < 0)
        return ret;
    if (length > MAX_FILE || !g_utf8_validate(text, (gssize)length, NULL)) {
        g_free(text);
        return bp_fail(err, EINVAL, "not a configuration file (UTF-8 text of at most 1 MiB)");
    }
    char **lines = g_strsplit(text, "\n", -1);
    for (char **l = lines; ret == 0 && *l; l++) {
        char *line = g_strstrip(*l);

        rd.line++;
        if (!*line || *line == '#')
            continue;
        ret = *line == '[' ? open_group(&rd, line, err) : read_key(&rd, line, err);
    }
    if (ret == 0)
        ret = end_group(&rd, err);
    g_free(rd.group);
    bp_value_unref(rd.args);
    g_strfreev(lines);
    g_free(text);
    return ret;
}

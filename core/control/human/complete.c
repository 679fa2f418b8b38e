/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Completion of a line: names of commands, then what their arguments name: devices and objects by type and by
 * id, their properties, character devices, block devices, paths of the object tree. It asks the commands of the
 * machine protocol, as any client would.
 */
#include <string.h>

#include "command.h"
#include "hmp.h"
#include "registry.h"

struct walk {
    GPtrArray *matches;
    const char *line;   /* up to the word that is being completed */
    size_t kept;        /* bytes of it */
    const char *prefix; /* of the word */
    const char *suffix;
};

static void offer(struct walk *w, const char *name)
{
    if (name && g_str_has_prefix(name, w->prefix))
        g_ptr_array_add(w->matches, g_strdup_printf("%.*s%s%s", (int)w->kept, w->line, name, w->suffix));
}

static void offer_known(const struct bpc_known *known, void *opaque)
{
    offer(opaque, known->name);
}

/* The answer of a command, or NULL: completion complains of nothing. */
static struct bp_value *ask(const char *name, const char *key, const char *value)
{
    struct bp_value *args = bp_value_dict(), *result = NULL;
    const struct bp_command *command;

    if (key)
        bp_value_set(args, key, bp_value_string(value));
    if (bpc_command_find(name, &command, NULL) < 0 || bpc_command_call(command, args, &result, NULL) < 0)
        result = NULL;
    bp_value_unref(args);
    return result;
}

/* Offers the member `key` of each entry of a list. Takes the list. */
static void offer_members(struct walk *w, struct bp_value *list, const char *key)
{
    for (size_t i = 0; list && i < bp_value_length(list); i++)
        offer(w, bp_value_get_string(bp_value_at(list, i), key));
    bp_value_unref(list);
}

/* ---- kinds of words ---- */

/* "device_add DRIVER", then ",PROPERTY=" */
static void complete_options(struct walk *w, const char *rest, enum bp_provide_kind kind, const char *query)
{
    const char *comma = strrchr(rest, ','), *end = strchr(rest, ',');
    char *type;

    if (!comma) {
        bpc_each_known(kind, offer_known, w);
        return;
    }
    if (strchr(comma, '='))
        return; /* a value */
    type = g_strndup(rest, (gsize)(end - rest));
    w->kept = (size_t)(comma + 1 - w->line);
    w->prefix = comma + 1;
    w->suffix = "=";
    offer(w, "id");
    offer_members(w, ask(query, "typename", type), "name");
    g_free(type);
}

static void device_types(struct walk *w, const char *rest)
{
    complete_options(w, rest, BP_PROVIDE_DEVICE, "device-list-properties");
}

static void object_types(struct walk *w, const char *rest)
{
    complete_options(w, rest, BP_PROVIDE_OBJECT, "qom-list-properties");
}

static void children_of(struct walk *w, const char *path)
{
    struct bp_value *list = ask("qom-list", "path", path);

    for (size_t i = 0; list && i < bp_value_length(list); i++) {
        const char *type = bp_value_get_string(bp_value_at(list, i), "type");

        if (type && g_str_has_prefix(type, "child<"))
            offer(w, bp_value_get_string(bp_value_at(list, i), "name"));
    }
    bp_value_unref(list);
}

static void device_ids(struct walk *w, const char *rest)
{
    (void)rest;
    children_of(w, "/machine/peripheral");
}

static void object_ids(struct walk *w, const char *rest)
{
    (void)rest;
    children_of(w, "/objects");
}

static void chardev_ids(struct walk *w, const char *rest)
{
    (void)rest;
    offer_members(w, ask("query-chardev", NULL, NULL), "label");
}

static void block_ids(struct walk *w, const char *rest)
{
    (void)rest;
    offer_members(w, ask("query-block", NULL, NULL), "device");
}

/* "/machine/per": a path up to its last slash, then a child. */
static void tree_paths(struct walk *w, const char *rest)
{
    const char *slash = strrchr(rest, '/');
    char *parent;

    if (strchr(rest, ' ')) { /* "PATH PROPERTY" */
        char *path = g_strndup(rest, strcspn(rest, " "));

        offer_members(w, ask("qom-list", "path", path), "name");
        g_free(path);
        return;
    }
    if (!slash)
        return;
    parent = slash == rest ? g_strdup("/") : g_strndup(rest, (gsize)(slash - rest));
    w->kept = (size_t)(slash + 1 - w->line);
    w->prefix = slash + 1;
    w->suffix = "";
    children_of(w, parent);
    g_free(parent);
}

static void offer_command(const struct bpc_known *known, void *opaque)
{
    if (!strchr(known->name, ' '))
        offer(opaque, known->name);
}

static void command_names(struct walk *w, const char *rest)
{
    (void)rest;
    bpc_each_known(BP_PROVIDE_HMP, offer_command, w);
    offer(w, "info");
}

static void offer_info(const struct bpc_known *known, void *opaque)
{
    if (g_str_has_prefix(known->name, "info "))
        offer(opaque, known->name + 5);
}

static void info_names(struct walk *w, const char *rest)
{
    if (!strchr(rest, ' '))
        bpc_each_known(BP_PROVIDE_HMP, offer_info, w);
}

static const struct {
    const char *command;
    void (*fn)(struct walk *w, const char *rest);
} arguments[] = {
    {"info", info_names}, {"help", command_names}, {"?", command_names}, {"device_add", device_types},
    {"device_del", device_ids}, {"object_add", object_types}, {"object_del", object_ids},
    {"chardev-remove", chardev_ids}, {"chardev-change", chardev_ids}, {"chardev-send-break", chardev_ids},
    {"ringbuf_read", chardev_ids}, {"ringbuf_write", chardev_ids}, {"eject", block_ids}, {"change", block_ids},
    {"block_resize", block_ids}, {"commit", block_ids}, {"drive_del", block_ids}, {"qom-list", tree_paths},
    {"qom-get", tree_paths}, {"qom-set", tree_paths},
};

GPtrArray *bpc_hmp_complete(const char *line)
{
    const char *space = strchr(line, ' '), *rest, *last = strrchr(line, ' ');
    struct walk w = {g_ptr_array_new_with_free_func(g_free), line, 0, line, ""};

    if (!space) {
        command_names(&w, line);
        return w.matches;
    }
    for (rest = space; *rest == ' '; rest++)
        continue;
    w.kept = (size_t)(last + 1 - line);
    w.prefix = last + 1;
    for (size_t i = 0; i < BP_COUNT(arguments); i++) {
        size_t n = strlen(arguments[i].command);

        if (n == (size_t)(space - line) && strncmp(line, arguments[i].command, n) == 0)
            arguments[i].fn(&w, rest);
    }
    return w.matches;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The life of character devices: made from a back end's class, found by id, removed, and closed
 * when the process ends (so that sockets vanish and terminals come back).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/file.h>

#include "chardev.h"

#define MAX_ID 127u /* characters of an id, as the manual has it */

struct bp_chardev *chardev_all;

struct bp_chardev *chardev_find(const char *id)
{
    struct bp_chardev *chr = chardev_all;

    while (chr && strcmp(chr->id, id) != 0)
        chr = chr->next;
    return chr;
}

struct bp_chardev *chardev_behind(struct bp_chardev *chr)
{
    return chr->behind ? chr->behind : chr;
}

struct bp_chardev *chardev_from_object(struct bp_object *obj)
{
    struct bp_chardev *chr = chardev_all;

    while (chr && chr->obj != obj && !(chr->behind && chr->behind->obj == obj))
        chr = chr->next;
    return chr && chr->obj != obj ? chr->behind : chr;
}

bool chardev_busy(const struct bp_chardev *chr)
{
    for (unsigned i = 0; i < FRONTS; i++)
        if (chr->fronts[i] || (chr->behind && chr->behind->fronts[i]))
            return true;
    return bp_object_users(chr->obj) > 0;
}

int chardev_ioctl(struct bp_chardev *chr, enum bp_chardev_ioctl cmd, void *arg)
{
    chr = chardev_behind(chr);
    if (cmd == BP_CHARDEV_SET_PARAMS)
        memcpy(&chr->params, arg, sizeof(chr->params));
    return chr->class->ioctl ? chr->class->ioctl(chr, cmd, arg) : -ENOTSUP;
}

char *chardev_filename(struct bp_chardev *chr)
{
    chr = chardev_behind(chr);
    char *text = chr->class->filename ? chr->class->filename(chr) : NULL;
    const char *type = chr->class->type.name;

    if (text)
        return text;
    if (strncmp(type, "chardev-", 8) == 0)
        type += 8;
    return bp_strdup(type);
}

static bool common_bool(struct bp_value *common, const char *key, bool *ret, struct bp_error *err)
{
    struct bp_value *v = common ? bp_value_get(common, key) : NULL;
    const char *text = v ? bp_value_as_string(v) : NULL;

    *ret = false;
    if (!v)
        return true;
    if (bp_value_type(v) == BP_VALUE_BOOL) {
        *ret = bp_value_as_bool(v);
        return true;
    }
    if (text && (!strcmp(text, "on") || !strcmp(text, "yes") || !strcmp(text, "true"))) {
        *ret = true;
        return true;
    }
    if (text && (!strcmp(text, "off") || !strcmp(text, "no") || !strcmp(text, "false")))
        return true;
    bp_fail(err, EINVAL, "Parameter '%s' expects 'on' or 'off'", key);
    return false;
}

static int open_log(struct bp_value *common, int *ret_fd, struct bp_error *err)
{
    const char *path = common ? bp_value_get_string(common, "logfile") : NULL;
    bool append;
    int fd;

    if (!common_bool(common, "logappend", &append, err))
        return -EINVAL;
    if (!path)
        return 0;
    /* A pipe that nobody reads must not hold up anybody, now or later. */
    fd = bp_open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | (append ? O_APPEND : O_TRUNC), 0666);
    if (fd < 0)
        return bp_fail(err, -fd, "Unable to open logfile '%s': %s", path, strerror(-fd));
    *ret_fd = fd;
    return 0;
}

static bool id_well_formed(const char *id)
{
    if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z')))
        return false;
    for (; *id; id++)
        if (!((*id >= 'a' && *id <= 'z') || (*id >= 'A' && *id <= 'Z') ||
              (*id >= '0' && *id <= '9') || strchr("-._", *id)))
            return false;
    return true;
}

static void link_last(struct bp_chardev *chr)
{
    struct bp_chardev **link = &chardev_all;

    while (*link)
        link = &(*link)->next;
    *link = chr;
}

/* Undoes chardev_new() and what happened since. A back end that was changed for another is closed already. */
static void destroy(struct bp_chardev *chr, bool close_it)
{
    struct bp_chardev **link = &chardev_all;

    if (chr->behind)
        destroy(chr->behind, close_it);
    else if (close_it && chr->class->close)
        chr->class->close(chr);
    while (*link && *link != chr)
        link = &(*link)->next;
    if (*link)
        *link = chr->next;
    bp_object_destroy(chr->obj);
    if (chr->log_fd >= 0)
        close(chr->log_fd);
    for (unsigned i = 0; i < chr->fd_count; i++)
        close(chr->fds[i]);
    for (unsigned i = 0; i < FRONTS; i++)
        free(chr->fronts[i]);
    free(chr->out);
    free(chr->id);
    free(chr);
}

static int make(const char *id, const char *type, struct bp_value *props, struct bp_value *common, bool listed,
                struct bp_chardev **ret_chr, struct bp_error *err)
{
    struct bp_chardev *chr;
    struct bp_object *obj;
    bool mux, raw = terminal_active();
    int r, log_fd = -1;

    if (!common_bool(common, "mux", &mux, err))
        return -EINVAL;
    r = bp_object_new("chardev", type, id, NULL, props, &obj, err);
    if (r < 0)
        return r;
    r = open_log(common, &log_fd, err);
    if (r < 0) {
        bp_object_destroy(obj);
        return r;
    }
    chr = bp_alloc(sizeof(*chr));
    chr->obj = obj;
    chr->class = bp_object_class(obj);
    chr->id = bp_strdup(id);
    chr->mux = mux;
    chr->focus = -1;
    chr->log_fd = log_fd;
    if (listed)
        link_last(chr);
    r = chr->class->open ? chr->class->open(chr, err) : 0;
    if (r < 0) {
        destroy(chr, false);
        return r;
    }
    chr->terminal = !raw && terminal_active();
    *ret_chr = chr;
    return 0;
}

int chardev_new(const char *id, const char *type, struct bp_value *props, struct bp_value *common,
                struct bp_chardev **ret_chr, struct bp_error *err)
{
    if (!id_well_formed(id))
        return bp_fail(err, EINVAL, "Parameter 'id' expects an identifier: letters, digits, '-', "
                       "'.', '_', starting with a letter; not '%s'", id);
    if (strlen(id) > MAX_ID)
        return bp_fail(err, EINVAL, "Parameter 'id' expects at most %u characters, not %zu", MAX_ID,
                       strlen(id));
    if (chardev_find(id))
        return bp_fail(err, EEXIST, "Chardev with id '%s' already exists", id);
    return make(id, type, props, common, true, ret_chr, err);
}

int chardev_change(const char *id, const char *type, struct bp_value *props, struct bp_value *common,
                   struct bp_error *err)
{
    static unsigned changes;
    struct bp_chardev *chr = chardev_find(id), *before, *now;
    char name[MAX_ID + 16];
    int r;

    if (!chr)
        return bp_fail(err, ENOENT, "Chardev '%s' does not exist", id);
    if (chr->mux || (common && bp_value_has(common, "mux")))
        return bp_fail(err, ENOTSUP, "Chardev '%s': a multiplexer is not changed for another back end, and no back end "
                                     "for one", id);
    if (chardev_behind(chr)->delivering) /* its back end's code is what called */
        return bp_fail(err, EBUSY, "Chardev '%s' is busy: what came by it asks for its change", id);
    /* In the tree of objects it has a name of its own: the old one stays, as those that link to it know it. */
    snprintf(name, sizeof(name), "%s.%u", id, ++changes);
    r = make(name, type, props, common, false, &now, err);
    if (r < 0)
        return r;
    before = chardev_behind(chr);
    now->params = before->params;
    back_flush_wait(before, 10);
    back_closed(before);
    if (before->class->close)
        before->class->close(before);
    chr->behind = now;
    if (now->params.size && now->class->ioctl)
        now->class->ioctl(now, BP_CHARDEV_SET_PARAMS, &now->params);
    front_move(before, now);
    if (before != chr)
        destroy(before, false);
    return 0;
}

int chardev_remove(const char *id, struct bp_error *err)
{
    struct bp_chardev *chr = chardev_find(id);

    if (!chr)
        return bp_fail(err, ENOENT, "Chardev '%s' not found", id);
    if (chardev_busy(chr))
        return bp_fail(err, EBUSY, "Chardev '%s' is busy", id);
    destroy(chr, true);
    return 0;
}

static void close_all(void)
{
    for (struct bp_chardev *listed = chardev_all; listed; listed = listed->next) {
        struct bp_chardev *chr = chardev_behind(listed);

        back_flush_wait(chr, 100);
        if (chr->class->close)
            chr->class->close(chr);
        chr->open = false;
    }
    terminal_restore();
}

int chardev_init(struct bp_error *err)
{
    if (atexit(close_all) != 0)
        return bp_fail(err, ENOMEM, "cannot arrange for terminals to be restored at exit");
    return 0;
}

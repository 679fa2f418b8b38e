/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The host's folder: what is in it when it is opened. Symbolic links are not followed, and left out like sockets,
 * pipes, devices and what FAT cannot have: some names, files of 4 GiB or more.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "vvfat.h"

void tree_free(struct tree *t)
{
    for (uint32_t i = 0; i < t->count; i++) {
        free(t->items[i].name);
        free(t->items[i].entries);
    }
    free(t->items);
    free(t->path);
    if (t->fd >= 0)
        close(t->fd);
    *t = (struct tree){.fd = -1};
}

int tree_open(const struct tree *t, uint32_t item, int flags)
{
    uint32_t way[MOST_DEPTH + 2], depth = 0;
    struct stat st;
    int fd = t->fd, next, error;

    for (uint32_t i = item; i != 0; i = t->items[i].parent)
        way[depth++] = i;
    if (depth == 0)
        fd = openat(t->fd, ".", flags | O_DIRECTORY | O_CLOEXEC);
    while (depth-- > 0) {
        next = openat(fd, t->items[way[depth]].name, O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY |
                      (depth ? O_PATH | O_DIRECTORY : flags));
        error = errno;
        if (fd != t->fd)
            close(fd);
        fd = next;
        if (fd < 0)
            return -error;
    }
    if (fd < 0)
        return -errno;
    if (fstat(fd, &st) < 0 || st.st_ino != t->items[item].inode || st.st_dev != t->items[item].device) {
        close(fd);
        return -ESTALE;
    }
    return fd;
}

static void leave_out(struct tree *t, const char *name)
{
    size_t n = 0;

    if (t->left_out++)
        return;
    for (; name[n] && n < sizeof(t->first_left_out) - 1; n++)
        t->first_left_out[n] = (uint8_t)name[n] < 32 || (uint8_t)name[n] == 127 ? '?' : name[n];
    t->first_left_out[n] = '\0';
}

static struct item *another(struct tree *t)
{
    if (t->count == t->room) {
        uint32_t room = t->room ? 2 * t->room : 64;
        struct item *items = realloc(t->items, room * sizeof(*items));

        if (!items)
            return NULL;
        t->items = items;
        t->room = room;
    }
    t->items[t->count] = (struct item){.name = NULL};
    return &t->items[t->count++];
}

static int add(struct tree *t, uint32_t parent, const char *name, const struct stat *st, struct bp_error *err)
{
    struct item *item;

    if (t->count == MOST_ENTRIES)
        return bp_fail(err, EFBIG, "vvfat: '%s': it and the folders in it have more than %u files", t->path,
                       MOST_ENTRIES);
    item = another(t);
    if (!item || (name && !(item->name = strdup(name))))
        return bp_fail(err, ENOMEM, "vvfat: no memory for %u files", t->count);
    item->parent = parent;
    item->folder = S_ISDIR(st->st_mode);
    item->size = item->folder ? 0 : (uint64_t)st->st_size;
    item->time = st->st_mtime;
    item->inode = st->st_ino;
    item->device = st->st_dev;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int order = name_order(x->name, y->name);

    return order ? order : strcmp(x->name, y->name);
}

/* Of names that are one to FAT, one stays. */
static void sort(struct tree *t, uint32_t folder)
{
    struct item *items = t->items + t->items[folder].first_child;
    uint32_t count = t->count - t->items[folder].first_child, kept = 0;

    if (count > 0)
        qsort(items, count, sizeof(*items), by_name);
    for (uint32_t i = 0; i < count; i++) {
        if (kept > 0 && name_order(items[kept - 1].name, items[i].name) == 0) {
            leave_out(t, items[i].name);
            free(items[i].name);
            continue;
        }
        items[kept++] = items[i];
    }
    t->items[folder].children = kept;
    t->count -= count - kept;
}

static int look(struct tree *t, uint32_t folder, DIR *dir, struct bp_error *err)
{
    uint16_t units[MOST_UNITS];
    struct dirent *e;
    struct stat st;
    int ret = 0;

    while (ret == 0 && (e = readdir(dir))) {
        if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue; /* it has just gone */
        if ((!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode)) || long_name(e->d_name, units) < 0 ||
            (S_ISREG(st.st_mode) && st.st_size > UINT32_MAX))
            leave_out(t, e->d_name);
        else
            ret = add(t, folder, e->d_name, &st, err);
    }
    return ret;
}

static uint32_t depth_of(const struct tree *t, uint32_t item)
{
    uint32_t depth = 0;

    for (; item != 0; item = t->items[item].parent)
        depth++;
    return depth;
}

static int scan_folder(struct tree *t, uint32_t folder, struct bp_error *err)
{
    int fd, ret;
    DIR *dir;

    if (depth_of(t, folder) > MOST_DEPTH)
        return bp_fail(err, ELOOP, "vvfat: '%s': its folders are nested deeper than %u", t->path, MOST_DEPTH);
    fd = tree_open(t, folder, O_RDONLY);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        ret = fd < 0 ? -fd : errno;
        if (fd >= 0)
            close(fd);
        return bp_fail(err, ret, "vvfat: folder '%s' in '%s' cannot be read: %s",
                       folder ? t->items[folder].name : ".", t->path, strerror(ret));
    }
    t->items[folder].first_child = t->count;
    ret = look(t, folder, dir, err);
    closedir(dir);
    if (ret < 0)
        return ret;
    sort(t, folder);
    if (!short_names(t->items + t->items[folder].first_child, t->items[folder].children))
        return bp_fail(err, ENOMEM, "vvfat: no memory for names");
    return 0;
}

int tree_scan(struct tree *t, const char *path, struct bp_error *err)
{
    struct stat st;
    int ret = 0;

    *t = (struct tree){.fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC)};
    if (t->fd < 0 || fstat(t->fd, &st) < 0)
        return bp_fail(err, errno, "vvfat: folder '%s' cannot be opened: %s", path, strerror(errno));
    t->path = bp_strdup(path);
    ret = add(t, 0, NULL, &st, err);
    for (uint32_t i = 0; ret == 0 && i < t->count; i++)
        if (t->items[i].folder)
            ret = scan_folder(t, i, err);
    return ret;
}

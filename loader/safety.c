/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Opens files whose place nobody else could have changed (safety.h). A path is walked with
 * descriptors: each component is looked at without following it, and what is opened is compared with
 * what was looked at, so that renaming in between is seen. Access control lists are not looked at:
 * the group bits show their mask.
 */
#include "safety.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#define MAX_LINKS 40
#define MAX_REST (2 * PATH_MAX)

struct walk {
    int directory;       /* where the walk stands: O_PATH */
    char shown[PATH_MAX]; /* its path, for messages */
    char rest[MAX_REST];  /* components still to go */
    unsigned links;
    struct bp_error *err;
};

bool safety_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

/* Whoever owns the program could have put anything into it, so modules may be theirs too: a
 * developer's tree that is run as root. */
static uid_t program_owner(void)
{
    static uid_t owner = (uid_t)-1;
    struct stat st;

    if (owner == (uid_t)-1)
        owner = stat("/proc/self/exe", &st) == 0 ? st.st_uid : 0;
    return owner;
}

/* In a user namespace that knows one user, root's files seem to belong to the overflow user. They
 * cannot be told from other strangers' there, so they count as root's. A privileged program never
 * takes that way: its users would choose the namespace. */
static bool root_is_hidden(uid_t uid)
{
    static int hidden = -1;
    unsigned first = 0, outside = 0, count = 0;
    FILE *map;

    if (uid != 65534 || safety_privileged())
        return false;
    if (hidden >= 0)
        return hidden;
    hidden = 0;
    map = fopen("/proc/self/uid_map", "re");
    if (map) {
        hidden = 1;
        while (fscanf(map, "%u %u %u", &first, &outside, &count) == 3)
            if (outside == 0)
                hidden = 0; /* this namespace shows root, or is the first one */
        fclose(map);
    }
    return hidden;
}

/* -EPERM unless only root, the user and the program's owner can have changed it. */
static int check_owner(const struct walk *w, const char *name, const struct stat *st)
{
    const char *slash = strcmp(w->shown, "/") == 0 || !*name ? "" : "/";
    bool sticky = S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX);

    if (st->st_uid != 0 && st->st_uid != geteuid() && st->st_uid != program_owner() &&
        !root_is_hidden(st->st_uid))
        return bp_fail(w->err, EPERM, "is not used: %s%s%s belongs to user %u, who is neither root "
                       "nor you", w->shown, slash, name, (unsigned)st->st_uid);
    if (S_ISLNK(st->st_mode) || sticky)
        return 0;
    if (st->st_mode & S_IWOTH)
        return bp_fail(w->err, EPERM, "is not used: %s%s%s may be written by others (mode %04o); "
                       "chmod o-w would end that", w->shown, slash, name, st->st_mode & 07777);
    if (st->st_mode & S_IWGRP && st->st_gid != 0 && st->st_gid != getegid())
        return bp_fail(w->err, EPERM, "is not used: %s%s%s may be written by group %u (mode %04o); "
                       "chmod g-w would end that", w->shown, slash, name, (unsigned)st->st_gid,
                       st->st_mode & 07777);
    return 0;
}

/* Cuts the next component off; false at the end. */
static bool next_component(struct walk *w, char name[static NAME_MAX + 1])
{
    size_t start, length;

    do {
        start = strspn(w->rest, "/");
        length = strcspn(w->rest + start, "/");
        if (length > NAME_MAX)
            length = NAME_MAX; /* what follows will not be found */
        memcpy(name, w->rest + start, length);
        name[length] = '\0';
        memmove(w->rest, w->rest + start + length, strlen(w->rest + start + length) + 1);
    } while (strcmp(name, ".") == 0);
    return length > 0;
}

static int fail_errno(const struct walk *w, int code, const char *name)
{
    const char *slash = strcmp(w->shown, "/") == 0 || !*name ? "" : "/";

    return bp_fail(w->err, code, "cannot be opened: %s%s%s: %s", w->shown, slash, name,
                   strerror(code));
}

static void show(struct walk *w, const char *name)
{
    size_t length = strlen(w->shown);

    if (strcmp(name, "/") == 0) {
        strcpy(w->shown, "/");
    } else if (strcmp(name, "..") == 0) {
        char *slash = strrchr(w->shown, '/');

        if (slash)
            slash[slash == w->shown] = '\0';
    } else {
        snprintf(w->shown + length, sizeof(w->shown) - length, "%s%s",
                 strcmp(w->shown, "/") == 0 ? "" : "/", name);
    }
}

static int enter(struct walk *w, const char *name)
{
    int fd = openat(w->directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    int ret;

    if (fd < 0)
        return fail_errno(w, errno, name);
    show(w, name);
    ret = fstat(fd, &st) < 0 ? fail_errno(w, errno, "") : check_owner(w, "", &st);
    close(w->directory);
    w->directory = fd;
    return ret;
}

/* The link's text takes the place of its name. */
static int follow(struct walk *w, const char *name)
{
    char target[PATH_MAX];
    ssize_t n = readlinkat(w->directory, name, target, sizeof(target) - 1);

    if (n < 0)
        return fail_errno(w, errno, name);
    target[n] = '\0';
    if (++w->links > MAX_LINKS || (size_t)n + strlen(w->rest) + 2 > sizeof(w->rest))
        return fail_errno(w, ELOOP, name);
    memmove(w->rest + n + 1, w->rest, strlen(w->rest) + 1);
    memcpy(w->rest, target, (size_t)n);
    w->rest[n] = '/';
    return target[0] == '/' ? enter(w, "/") : 0;
}

/* Opens the last component for reading; it must be what was looked at. */
static int open_last(struct walk *w, const char *name, const struct stat *seen, int *ret_fd,
                     struct stat *ret_stat)
{
    struct stat st;
    int fd;

    if (!S_ISREG(seen->st_mode))
        return bp_fail(w->err, ENOEXEC, "is not a regular file");
    fd = openat(w->directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return fail_errno(w, errno, name);
    if (fstat(fd, &st) < 0 || st.st_ino != seen->st_ino || st.st_dev != seen->st_dev ||
        check_owner(w, name, &st) < 0) {
        close(fd);
        return w->err && w->err->code ? -w->err->code
                                      : bp_fail(w->err, EAGAIN, "is not used: %s/%s was replaced "
                                                "while it was opened", w->shown, name);
    }
    *ret_fd = fd;
    *ret_stat = st;
    return 0;
}

static int walk(struct walk *w, int *ret_fd, struct stat *ret_stat)
{
    char name[NAME_MAX + 1];
    int ret = 0;

    while (ret == 0 && next_component(w, name)) {
        bool last = w->rest[strspn(w->rest, "/")] == '\0';
        struct stat st;

        if (fstatat(w->directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            return fail_errno(w, errno, name);
        ret = check_owner(w, name, &st);
        if (ret < 0)
            return ret;
        if (S_ISLNK(st.st_mode))
            ret = follow(w, name);
        else if (!last || !ret_stat)
            ret = enter(w, name);
        else
            return open_last(w, name, &st, ret_fd, ret_stat);
    }
    if (ret == 0 && ret_stat)
        return bp_fail(w->err, ENOEXEC, "is not a regular file");
    if (ret == 0) {
        *ret_fd = w->directory;
        w->directory = -1;
    }
    return ret;
}

/* The error is always kept, since its code decides what is told. */
static int begin(struct walk *w, const char *path, struct bp_error *err, struct bp_error *spare)
{
    size_t used = 0;

    *spare = (struct bp_error){0};
    w->err = err ? err : spare;
    w->links = 0;
    strcpy(w->shown, "/");
    w->directory = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (w->directory < 0)
        return fail_errno(w, errno, "");
    if (path[0] != '/') {
        if (!getcwd(w->rest, PATH_MAX))
            return fail_errno(w, errno, "");
        used = strlen(w->rest);
        w->rest[used++] = '/';
    }
    if (strlen(path) + used + 1 > sizeof(w->rest))
        return fail_errno(w, ENAMETOOLONG, "");
    strcpy(w->rest + used, path);
    return 0;
}

static void end(struct walk *w)
{
    if (w->directory >= 0)
        close(w->directory);
}

int safety_open_file(const char *path, int *ret_fd, struct stat *ret_stat, struct bp_error *err)
{
    struct bp_error spare;
    struct stat st;
    struct walk w;
    int ret = begin(&w, path, err, &spare);

    if (ret == 0)
        ret = walk(&w, ret_fd, ret_stat ? ret_stat : &st);
    end(&w);
    return ret;
}

int safety_open_directory(const char *path, int *ret_fd, struct bp_error *err)
{
    struct bp_error spare;
    struct walk w;
    int fd, readable, ret = begin(&w, path, err, &spare);

    if (ret == 0)
        ret = walk(&w, &fd, NULL);
    if (ret == 0) {
        /* An O_PATH descriptor cannot be listed; this one is of the same directory. */
        readable = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (readable < 0)
            ret = fail_errno(&w, errno, "");
        else
            *ret_fd = readable;
        close(fd);
    }
    end(&w);
    return ret;
}

int safety_open_at(int directory, const char *directory_path, const char *name, int *ret_fd,
                   struct stat *ret_stat, struct bp_error *err)
{
    struct bp_error spare = {0};
    struct stat st, ignored;
    struct walk w; /* of pages: what is not used is not cleared */
    int ret;

    w.directory = directory;
    w.rest[0] = '\0';
    w.links = 0;
    w.err = err ? err : &spare;
    snprintf(w.shown, sizeof(w.shown), "%s", directory_path);
    if (fstatat(directory, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return fail_errno(&w, errno, name);
    if (S_ISLNK(st.st_mode)) { /* rare: all of the way is walked */
        char *path = NULL;

        if (asprintf(&path, "%s/%s", directory_path, name) < 0)
            return fail_errno(&w, ENOMEM, name);
        ret = safety_open_file(path, ret_fd, ret_stat, err);
        free(path);
        return ret;
    }
    ret = check_owner(&w, name, &st);
    return ret < 0 ? ret : open_last(&w, name, &st, ret_fd, ret_stat ? ret_stat : &ignored);
}

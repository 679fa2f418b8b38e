/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sets of descriptors: a list of sets in ascending order, each a list in the order of adding. */
#include "fd-set.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>

#include <bp/file.h>

#define PREFIX "/dev/fdset/"
#define MAX_FDS 1024 /* in all */

struct member {
    struct member *next;
    int fd;
    char *opaque;
};

struct set {
    struct set *next;
    int64_t id;
    struct member *members;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct set *sets;
static unsigned fds;

/* Where the set is linked, or would be. */
static struct set **find(int64_t id)
{
    struct set **link = &sets;

    while (*link && (*link)->id < id)
        link = &(*link)->next;
    return link;
}

static int64_t free_id(void)
{
    int64_t id = 0;

    for (struct set *s = sets; s && s->id == id; s = s->next)
        id++;
    return id;
}

int64_t bpc_fdset_add(int64_t set, int fd, const char *opaque, struct bp_error *err)
{
    struct member *m = g_new0(struct member, 1), **end;
    struct set **link;

    m->fd = fd;
    m->opaque = g_strdup(opaque);
    pthread_mutex_lock(&lock);
    if (fds >= MAX_FDS) {
        pthread_mutex_unlock(&lock);
        close(fd);
        g_free(m->opaque);
        g_free(m);
        return bp_fail(err, EMFILE, "sets hold %d file descriptors at most", MAX_FDS);
    }
    fds++;
    if (set == BPC_FDSET_NEW)
        set = free_id();
    link = find(set);
    if (!*link || (*link)->id != set) {
        struct set *s = g_new0(struct set, 1);

        s->id = set;
        s->next = *link;
        *link = s;
    }
    for (end = &(*link)->members; *end; end = &(*end)->next)
        continue;
    *end = m;
    pthread_mutex_unlock(&lock);
    return set;
}

static void free_member(struct member **link)
{
    struct member *m = *link;

    *link = m->next;
    close(m->fd);
    g_free(m->opaque);
    g_free(m);
    fds--;
}

int bpc_fdset_remove(int64_t set, int64_t fd, struct bp_error *err)
{
    struct set **link;
    bool found = false;

    pthread_mutex_lock(&lock);
    link = find(set);
    if (*link && (*link)->id == set) {
        for (struct member **m = &(*link)->members; *m;) {
            if (fd < 0 || (*m)->fd == fd) {
                free_member(m);
                found = true;
            } else {
                m = &(*m)->next;
            }
        }
        if (!(*link)->members) {
            struct set *s = *link;

            *link = s->next;
            g_free(s);
        }
    }
    pthread_mutex_unlock(&lock);
    if (found)
        return 0;
    if (fd < 0)
        return bp_fail(err, ENOENT, "File descriptor named 'fdset-id:%lld' not found", (long long)set);
    return bp_fail(err, ENOENT, "File descriptor named 'fdset-id:%lld, fd:%lld' not found",
                   (long long)set, (long long)fd);
}

struct bp_value *bpc_fdset_query(void)
{
    struct bp_value *list = bp_value_list();

    pthread_mutex_lock(&lock);
    for (struct set *s = sets; s; s = s->next) {
        struct bp_value *entry = bp_value_dict(), *members = bp_value_list();

        for (struct member *m = s->members; m; m = m->next) {
            struct bp_value *one = bp_value_dict();

            bp_value_set(one, "fd", bp_value_int(m->fd));
            if (m->opaque)
                bp_value_set(one, "opaque", bp_value_string(m->opaque));
            bp_value_append(members, one);
        }
        bp_value_set(entry, "fdset-id", bp_value_int(s->id));
        bp_value_set(entry, "fds", members);
        bp_value_append(list, entry);
    }
    pthread_mutex_unlock(&lock);
    return list;
}

/* ---- bp/file.h ---- */

static int mode_of(int fd)
{
    int flags = fcntl(fd, F_GETFL);

    return flags < 0 ? -1 : flags & O_ACCMODE;
}

/* A descriptor of the set that does just this, or else one that does more. lock held. */
static int choose(const struct set *s, int access)
{
    int wider = -1;

    for (const struct member *m = s->members; m; m = m->next) {
        int mode = mode_of(m->fd);

        if (mode == access)
            return m->fd;
        if (mode == O_RDWR && wider < 0)
            wider = m->fd;
    }
    return wider;
}

/* What open(2) would have done besides. */
static int apply(int fd, int flags)
{
    int set = flags & (O_APPEND | O_NONBLOCK | O_DIRECT), now = fcntl(fd, F_GETFL);
    struct stat st;

    if (now < 0 || fcntl(fd, F_SETFL, now | set) < 0)
        return -errno;
    if (flags & O_TRUNC && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && ftruncate(fd, 0) < 0)
        return -errno;
    return 0;
}

static int open_of_set(int64_t id, int flags)
{
    int fd = -EACCES, chosen, ret;
    struct set *s;

    pthread_mutex_lock(&lock);
    s = *find(id);
    if (!s || s->id != id) {
        fd = -ENOENT;
    } else if ((chosen = choose(s, flags & O_ACCMODE)) >= 0) {
        fd = fcntl(chosen, F_DUPFD_CLOEXEC, 3);
        fd = fd < 0 ? -errno : fd;
    }
    pthread_mutex_unlock(&lock);
    if (fd < 0)
        return fd;
    ret = apply(fd, flags);
    if (ret < 0)
        close(fd);
    return ret < 0 ? ret : fd;
}

int bp_open(const char *path, int flags, unsigned mode)
{
    int fd;

    if (strncmp(path, PREFIX, sizeof(PREFIX) - 1) == 0) {
        const char *number = path + sizeof(PREFIX) - 1;
        gint64 id;

        if (!g_ascii_isdigit(*number) ||
            !g_ascii_string_to_signed(number, 10, 0, G_MAXINT64, &id, NULL))
            return -ENOENT;
        return open_of_set(id, flags);
    }
    fd = open(path, flags | O_CLOEXEC, (mode_t)mode);
    return fd < 0 ? -errno : fd;
}

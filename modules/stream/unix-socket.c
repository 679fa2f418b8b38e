/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* UNIX sockets of servers: what an earlier process left makes way, what is ours goes with us. */
#include "unix-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/base.h>

static int make_way(const char *path, const struct sockaddr_un *address, struct bp_error *err)
{
    struct stat st;
    int fd, why;

    if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return 0; /* bind() tells */
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* no server takes it for a client */
    if (fd < 0)
        return bp_fail(err, errno, "%s: %s", path, strerror(errno));
    why = connect(fd, (const struct sockaddr *)address, sizeof(*address)) < 0 ? errno : 0;
    close(fd);
    if (why == ECONNREFUSED)
        return unlink(path) < 0 ? bp_fail(err, errno, "%s: %s", path, strerror(errno)) : 0;
    /* EPROTOTYPE: somebody serves it; 0: with datagrams; EACCES: not ours. */
    return bp_fail(err, EADDRINUSE, "%s: another process serves this socket%s%s", path,
                   why && why != EPROTOTYPE ? ": " : "", why && why != EPROTOTYPE ? strerror(why) : "");
}

static void remember(struct unix_socket *s, const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? bp_strdup(path) : bp_strdup(".");
    struct stat st;

    if (slash)
        folder[slash == path ? 1 : slash - path] = '\0';
    s->folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    free(folder);
    if (s->folder < 0 || lstat(path, &st) < 0)
        return;
    s->name = bp_strdup(slash ? slash + 1 : path);
    s->dev = st.st_dev;
    s->ino = st.st_ino;
}

int unix_socket_address(const char *path, struct sockaddr_un *ret_address, struct bp_error *err)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof(ret_address->sun_path))
        return bp_fail(err, ENAMETOOLONG, "a UNIX socket's path has 1 to %zu bytes: '%.60s'",
                       sizeof(ret_address->sun_path) - 1, path);
    memcpy(ret_address->sun_path, path, strlen(path));
    return 0;
}

int unix_socket_listen(struct unix_socket *s, const char *path, struct bp_error *err)
{
    struct sockaddr_un address;
    int fd, r = unix_socket_address(path, &address, err);

    if (r == 0)
        r = make_way(path, &address, err);
    if (r < 0)
        return r;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        r = bp_fail(err, errno, "%s: %s", path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return r;
    }
    remember(s, path);
    if (listen(fd, 128) < 0) {
        r = bp_fail(err, errno, "%s: %s", path, strerror(errno));
        unix_socket_remove(s);
        close(fd);
        return r;
    }
    return fd;
}

void unix_socket_remove(struct unix_socket *s)
{
    struct stat st;

    if (!s->name)
        return;
    if (fstatat(s->folder, s->name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == s->dev && st.st_ino == s->ino)
        unlinkat(s->folder, s->name, 0);
    close(s->folder);
    free(s->name);
    s->name = NULL;
}

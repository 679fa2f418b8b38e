/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * -daemonize and -pidfile. The parent of a daemon exits with 0 only after the child has said that
 * everything listens; when the child ends before, its message has reached the shared standard error
 * and the parent exits with 1.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include "options.h"

static int ready_fd = -1;
static int pidfile_fd = -1;
static char *pidfile_path;

static BP_NORETURN void wait_for_child(int fd)
{
    char status;
    ssize_t n;

    do
        n = read(fd, &status, 1);
    while (n < 0 && errno == EINTR);
    _exit(n == 1 && status == 0 ? 0 : 1);
}

int bpc_daemon_fork(struct bp_error *err)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0)
        return bp_fail(err, errno, "-daemonize: %s", g_strerror(errno));
    fflush(NULL);
    pid = fork();
    if (pid < 0) {
        int code = errno;

        close(fds[0]);
        close(fds[1]);
        return bp_fail(err, code, "-daemonize: %s", g_strerror(code));
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_child(fds[0]);
    }
    close(fds[0]);
    setsid();
    ready_fd = fds[1];
    return 0;
}

int bpc_daemon_ready(struct bp_error *err)
{
    char status = 0;
    int null;

    if (ready_fd < 0)
        return 0;
    if (chdir("/") < 0)
        return bp_fail(err, errno, "-daemonize: /: %s", g_strerror(errno));
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null < 0)
        return bp_fail(err, errno, "-daemonize: /dev/null: %s", g_strerror(errno));
    umask(077);
    fflush(NULL);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(null, STDERR_FILENO);
    if (null > STDERR_FILENO)
        close(null);
    if (write(ready_fd, &status, 1) != 1)
        return bp_fail(err, EPIPE, "-daemonize: the parent process is gone");
    close(ready_fd);
    ready_fd = -1;
    return 0;
}

int bpc_pidfile_write(const char *path, struct bp_error *err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), n;

    if (fd < 0)
        return bp_fail(err, errno, "-pidfile %s: %s", path, g_strerror(errno));
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        int code = errno;

        close(fd);
        if (code == EAGAIN || code == EACCES)
            return bp_fail(err, code, "-pidfile %s: another process has locked it", path);
        return bp_fail(err, code, "-pidfile %s: %s", path, g_strerror(code));
    }
    n = g_snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) < 0 || write(fd, text, (size_t)n) != n) {
        int code = errno;

        close(fd);
        return bp_fail(err, code, "-pidfile %s: %s", path, g_strerror(code));
    }
    /* The daemon's directory changes: the absolute name is what is removed at the end. */
    pidfile_path = realpath(path, NULL);
    pidfile_fd = fd; /* stays open: the lock lasts as long as the process */
    return 0;
}

void bpc_pidfile_remove(void)
{
    struct stat ours, there;

    if (pidfile_fd < 0)
        return;
    if (pidfile_path && fstat(pidfile_fd, &ours) == 0 && stat(pidfile_path, &there) == 0 &&
        ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
        unlink(pidfile_path);
    close(pidfile_fd);
    free(pidfile_path);
    pidfile_path = NULL;
    pidfile_fd = -1;
}

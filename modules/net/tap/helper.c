/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Programs that make or configure a TAP interface (helper.h). */
#include <errno.h>
#include <poll.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helper.h"

#define PATIENCE_MS 20000

extern char **environ;

static int wait_for(pid_t pid)
{
    int status;

    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    return status;
}

static int status_text(int status, char *buf, size_t size)
{
    if (WIFEXITED(status))
        return snprintf(buf, size, "it ended with status %d", WEXITSTATUS(status));
    return snprintf(buf, size, "signal %d ended it", WIFSIGNALED(status) ? WTERMSIG(status) : 0);
}

int script_run(const char *script, const char *interface, struct bp_error *err)
{
    char *argv[] = {(char *)script, (char *)interface, NULL};
    char why[64];
    pid_t pid;
    int r = posix_spawn(&pid, script, NULL, NULL, argv, environ);

    if (r != 0)
        return bp_fail(err, r, "network script %s: %s; script=no does without", script, strerror(r));
    r = wait_for(pid);
    if (r == 0)
        return 0;
    status_text(r, why, sizeof(why));
    return bp_fail(err, EIO, "network script %s %s: %s", script, interface, why);
}

/* ---- the helper ---- */

static const char *default_helper(void)
{
    static char beside[4096];
    static const char *const places[] = {BP_BRIDGE_HELPER, "/usr/lib/qemu/qemu-bridge-helper",
                                         "/usr/libexec/qemu-bridge-helper"};
    ssize_t n = readlink("/proc/self/exe", beside, sizeof(beside) - 64);

    for (unsigned i = 0; i < sizeof(places) / sizeof(places[0]); i++)
        if (access(places[i], X_OK) == 0)
            return places[i];
    if (n > 0) {
        beside[n] = 0;
        strcpy(strrchr(beside, '/') + 1, "backplane-bridge-helper");
        if (access(beside, X_OK) == 0)
            return beside;
    }
    return NULL;
}

static int receive_fd(int channel)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control;
    char byte;
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = &control,
                             .msg_controllen = sizeof(control)};
    struct pollfd poller = {channel, POLLIN, 0};
    int fd;

    if (poll(&poller, 1, PATIENCE_MS) <= 0 || recvmsg(channel, &message, MSG_CMSG_CLOEXEC) <= 0)
        return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof(fd)))
            continue;
        memcpy(&fd, CMSG_DATA(c), sizeof(fd));
        return fd;
    }
    return -1;
}

static int start(const char *helper, const char *bridge, int channel, pid_t *ret_pid)
{
    char fd_word[32], *bridge_word = malloc(strlen(bridge) + 8), *line = NULL;
    posix_spawn_file_actions_t actions;
    char *argv[5];
    int r;

    if (!bridge_word)
        return ENOMEM;
    sprintf(bridge_word, "--br=%s", bridge);
    snprintf(fd_word, sizeof(fd_word), "--fd=%d", channel);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel, channel); /* the child keeps it */
    if (strpbrk(helper, " \t")) { /* words of its own: for the shell */
        line = malloc(strlen(helper) + strlen(bridge_word) + 64);
        sprintf(line, "exec %s --use-vnet %s \"$0\"", helper, fd_word);
        argv[0] = (char *)"/bin/sh";
        argv[1] = (char *)"-c";
        argv[2] = line;
        argv[3] = bridge_word;
        argv[4] = NULL;
    } else {
        argv[0] = (char *)helper;
        argv[1] = (char *)"--use-vnet";
        argv[2] = fd_word;
        argv[3] = bridge_word;
        argv[4] = NULL;
    }
    r = posix_spawn(ret_pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    free(bridge_word);
    free(line);
    return r;
}

int helper_run(const char *helper, const char *bridge, int *ret_fd, struct bp_error *err)
{
    int channel[2], fd, r;
    char why[64];
    pid_t pid;

    if (!helper)
        helper = default_helper();
    if (!helper)
        return bp_fail(err, ENOENT, "the bridge helper (backplane-bridge-helper) is not installed; name one with "
                       "helper=");
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel) < 0)
        return bp_fail(err, errno, "helper %s: %s", helper, strerror(errno));
    r = start(helper, bridge, channel[1], &pid);
    close(channel[1]);
    if (r != 0) {
        close(channel[0]);
        return bp_fail(err, r, "helper %s: %s", helper, strerror(r));
    }
    fd = receive_fd(channel[0]);
    close(channel[0]);
    r = wait_for(pid);
    if (fd >= 0 && r == 0) {
        *ret_fd = fd;
        return 0;
    }
    if (fd >= 0)
        close(fd);
    status_text(r, why, sizeof(why));
    return bp_fail(err, EPERM, "helper %s made no interface on bridge %s: %s", helper, bridge, why);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A test's temporary folder, which goes when the test ends in whatever way, a failed assertion or a
 * signal included: another process waits for that and removes it. Called before threads are made.
 */
#ifndef WORK_FOLDER_H
#define WORK_FOLDER_H

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <unistd.h>

/* In the child: only calls that are safe after fork(). */
static inline void work_folder_wait_and_remove(int ended, const char *folder)
{
    char byte;
    int null = open("/dev/null", O_RDWR);

    setsid();
    signal(SIGTERM, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    for (int fd = 0; fd < 3 && null >= 0; fd++)
        dup2(null, fd);
    while (read(ended, &byte, 1) < 0 && errno == EINTR)
        ;
    execlp("rm", "rm", "-rf", folder, (char *)NULL);
    _exit(1);
}

/* Returns: its path; the caller's. */
static inline char *work_folder(const char *name)
{
    char *template = g_strconcat(name, "-XXXXXX", NULL), *folder = g_dir_make_tmp(template, NULL);
    int ends[2];

    g_assert_nonnull(folder);
    g_assert_cmpint(pipe(ends), ==, 0);
    g_assert_cmpint(fcntl(ends[1], F_SETFD, FD_CLOEXEC), ==, 0);
    if (fork() == 0) {
        close(ends[1]);
        work_folder_wait_and_remove(ends[0], folder);
    }
    close(ends[0]); /* the other end stays open as long as we live */
    g_free(template);
    return folder;
}

#endif

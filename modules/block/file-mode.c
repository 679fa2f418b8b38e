/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * How a file is open, for reading or for both: with auto-read-only=on for both only while somebody writes. The
 * number of the descriptor stays (dup3(2)), so that requests under way never meet a closed one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/file.h>

#include "file.h"

#define WRITES (BP_BLOCK_PERM_WRITE | BP_BLOCK_PERM_RESIZE | BP_BLOCK_PERM_UNCHANGED)

static bool is_passed(const struct file_state *s)
{
    return strncmp(s->filename, "/dev/fdset/", 11) == 0;
}

/* The same file, by its descriptor: its name may lead elsewhere by now. */
int file_mode_again(const struct file_state *s, int flags)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    return bp_open(is_passed(s) ? s->filename : path, flags | O_NOCTTY | O_NONBLOCK, 0);
}

bool file_mode_is_refusal(int error)
{
    return error == -EACCES || error == -EROFS || error == -EPERM;
}

/* Whether opening it for writing would be refused. It is not tried: closing a device that was open for writing is
 * an event that others (udev) act on. */
bool file_mode_may_write(const struct file_state *s)
{
    char path[64];
    struct stat st;
    int fd, read_only = 0;

    if (is_passed(s)) {
        fd = bp_open(s->filename, O_RDWR | O_NONBLOCK, 0); /* another number for it, no more */
        if (fd >= 0)
            close(fd);
        return fd >= 0;
    }
    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
        return false;
    return fstat(s->fd, &st) < 0 || !S_ISBLK(st.st_mode) || ioctl(s->fd, BLKROGET, &read_only) < 0 || !read_only;
}

/* 0 and s->fd; *ret_fell_back: only for reading, for want of leave. */
int file_mode_open(struct file_state *s, const struct bp_block_open_flags *flags, bool *ret_fell_back,
                   struct bp_error *err)
{
    int direct = flags->direct ? O_DIRECT : 0;

    s->automatic = flags->auto_read_only && !flags->read_only;
    s->access = flags->read_only || s->automatic ? O_RDONLY : O_RDWR;
    s->fd = file_open_fd(s->filename, s->access | direct, err);
    if (s->fd < 0 && s->automatic && file_mode_is_refusal(s->fd)) { /* one that may only be written to */
        s->access = O_RDWR;
        s->fd = file_open_fd(s->filename, s->access | direct, err);
    }
    if (s->fd < 0)
        return s->fd;
    *ret_fell_back = s->automatic && s->access == O_RDONLY && !file_mode_may_write(s);
    return 0;
}

int file_mode_prepare(struct file_state *s, uint32_t need, struct bp_error *err)
{
    int access = need & WRITES ? O_RDWR : O_RDONLY;

    s->mode_fd = -1;
    if (!s->automatic || access == __atomic_load_n(&s->access, __ATOMIC_ACQUIRE))
        return 0;
    s->mode_fd = file_mode_again(s, access | (s->direct ? O_DIRECT : 0));
    if (s->mode_fd < 0 && access == O_RDWR)
        return bp_fail(err, -s->mode_fd, "'%s' is open for reading, and cannot be opened for writing: %s",
                       s->filename, strerror(-s->mode_fd));
    return 0;
}

static void put_in_place(struct file_state *s, int fd, int access)
{
    while (dup3(fd, s->fd, O_CLOEXEC) < 0 && (errno == EINTR || errno == EBUSY))
        ;
    close(fd);
    __atomic_store_n(&s->access, access, __ATOMIC_RELEASE);
}

void file_mode_commit(struct file_state *s)
{
    if (s->mode_fd < 0)
        return;
    put_in_place(s, s->mode_fd, s->access == O_RDWR ? O_RDONLY : O_RDWR);
    s->mode_fd = -1;
}

void file_mode_abort(struct file_state *s)
{
    if (s->mode_fd >= 0)
        close(s->mode_fd);
    s->mode_fd = -1;
}

/* Who changes a node without being its user (a monitor's command) asks nobody for permission first. [any] */
int file_mode_writes(struct file_state *s)
{
    int fd;

    if (!s->automatic || __atomic_load_n(&s->access, __ATOMIC_ACQUIRE) == O_RDWR)
        return 0;
    fd = file_mode_again(s, O_RDWR | (s->direct ? O_DIRECT : 0));
    if (fd < 0)
        return fd;
    put_in_place(s, fd, O_RDWR);
    return 0;
}

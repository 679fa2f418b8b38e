/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening files and devices of the host, and what they ask of requests. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/file.h>

#include "file.h"

int file_open_fd(const char *name, int flags, struct bp_error *err)
{
    struct stat st;
    int fd, error;

    fd = bp_open(name, flags | O_NOCTTY | O_NONBLOCK, 0);
    error = -fd;
    if (fd < 0 && error == EINVAL && flags & O_DIRECT)
        return bp_fail(err, EINVAL, "cannot open '%s' with cache.direct=on: its file system has no "
                       "direct I/O", name);
    if (fd < 0)
        return bp_fail(err, error, "cannot open '%s': %s", name, strerror(error));
    if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode) && !file_is_generic(fd)) {
        close(fd);
        return bp_fail(err, EINVAL, "'%s' is %s, neither a file nor a block device", name,
                       S_ISDIR(st.st_mode) ? "a directory" : S_ISCHR(st.st_mode) ? "a character device"
                                                                              : "a pipe or socket");
    }
    return fd;
}

int64_t file_fd_length(int fd, bool device)
{
    uint64_t bytes;
    struct stat st;

    if (device)
        return ioctl(fd, BLKGETSIZE64, &bytes) < 0 ? -errno : (int64_t)bytes;
    return fstat(fd, &st) < 0 ? -errno : (int64_t)st.st_size;
}

static bool reads(int fd, void *buf, size_t bytes)
{
    return pread(fd, buf, bytes, 0) >= 0;
}

/* What O_DIRECT asks for: told by the kernel (statx), by the device, or found by trying. */
void file_probe_alignment(struct file_state *s)
{
    char *buf = NULL;
    int sector = 0;

    s->align = s->memory_align = 1;
    if (!s->direct)
        return;
    s->align = s->memory_align = 4096; /* what every medium takes */
#ifdef STATX_DIOALIGN
    struct statx stx;

    if (statx(s->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 && stx.stx_mask & STATX_DIOALIGN &&
        stx.stx_dio_offset_align) {
        s->align = stx.stx_dio_offset_align;
        s->memory_align = stx.stx_dio_mem_align;
        return;
    }
#endif
    if (s->device && ioctl(s->fd, BLKSSZGET, &sector) == 0 && sector >= 512) {
        s->align = (unsigned)sector;
        s->memory_align = (unsigned)sector;
        return;
    }
    if (file_fd_length(s->fd, s->device) < 4096 || posix_memalign((void **)&buf, 8192, 8192) != 0)
        return; /* reading nothing tells nothing */
    for (unsigned align = 512; align < 4096; align *= 2) {
        if (!reads(s->fd, buf, align))
            continue;
        s->align = align;
        for (unsigned mem = 512; mem <= 4096; mem *= 2) {
            if (reads(s->fd, buf + mem, align) && reads(s->fd, buf + 3 * mem % 8192 / mem * mem, align)) {
                s->memory_align = mem;
                break;
            }
        }
        break;
    }
    free(buf);
}

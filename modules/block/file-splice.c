/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages of the host's cache go into a pipe as they are. Only what is there: the kernel is asked first, since splice(2)
 * would wait for the disk. splice(2), cachestat(2) (Linux 6.5; without it, nothing is spliced), preadv2(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "file.h"

#define SYS_CACHESTAT 451 /* on every architecture; the host's headers may be older than its kernel */

struct cached_range {
    uint64_t offset, bytes;
};

struct cached_pages {
    uint64_t cached, dirty, written_back, evicted, recently_evicted;
};

/* Pages that are being read in count as cached: those that come last tell. */
static bool is_here(int fd, uint64_t at)
{
    char byte;
    struct iovec iov = {&byte, 1};

    return preadv2(fd, &iov, 1, (off_t)at, RWF_NOWAIT) == 1;
}

static bool is_cached(struct file_state *s, uint64_t offset, uint64_t bytes)
{
    struct cached_range range = {offset, bytes};
    struct cached_pages pages;
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), wanted = (offset + bytes - 1) / page - offset / page + 1;

    if (syscall(SYS_CACHESTAT, s->fd, &range, &pages, 0) < 0) {
        __atomic_store_n(&s->cannot_splice, true, __ATOMIC_RELAXED);
        return false;
    }
    return pages.cached >= wanted && is_here(s->fd, offset) && is_here(s->fd, offset + bytes - 1);
}

int64_t file_splice(struct file_state *s, uint64_t offset, uint64_t bytes, int pipe)
{
    off_t at = (off_t)offset;
    ssize_t n;

    if (s->direct || s->device || s->generic || __atomic_load_n(&s->cannot_splice, __ATOMIC_RELAXED))
        return -ENOTSUP;
    if (!is_cached(s, offset, bytes))
        return -EAGAIN;
    n = splice(s->fd, &at, pipe, NULL, bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    return n > 0 ? n : n == 0 ? -EAGAIN : errno == EINVAL ? -ENOTSUP : -errno;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Preloaded, it writes down in the file SPLICE_SHIM_LOG how many bytes each splice(2) has moved out of files, and lets
 * preadv(2) and preadv2(2) beyond SPLICE_SHIM_BAD, when that is given, fail with EIO.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t bytes, unsigned flags)
{
    ssize_t (*real)(int, off64_t *, int, off64_t *, size_t, unsigned) =
        (ssize_t(*)(int, off64_t *, int, off64_t *, size_t, unsigned))(uintptr_t)dlsym(RTLD_NEXT, "splice");
    ssize_t n = real(in, in_at, out, out_at, bytes, flags);
    FILE *f = in_at && n > 0 ? fopen(getenv("SPLICE_SHIM_LOG"), "ae") : NULL;

    if (f) {
        fprintf(f, "%zd\n", n);
        fclose(f);
    }
    return n;
}

static bool is_bad(const struct iovec *iov, int count, off64_t at)
{
    const char *bad = getenv("SPLICE_SHIM_BAD");
    off64_t end = at;

    for (int i = 0; i < count; i++)
        end += (off64_t)iov[i].iov_len;
    if (!bad || end <= atoll(bad))
        return false;
    errno = EIO;
    return true;
}

static ssize_t read_good(const char *name, int fd, const struct iovec *iov, int count, off64_t at)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t))(uintptr_t)dlsym(RTLD_NEXT, name);

    return is_bad(iov, count, at) ? -1 : real(fd, iov, count, at);
}

static ssize_t read_good2(const char *name, int fd, const struct iovec *iov, int count, off64_t at, int flags)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t, int))(uintptr_t)dlsym(RTLD_NEXT, name);

    return is_bad(iov, count, at) ? -1 : real(fd, iov, count, at, flags);
}

ssize_t preadv(int fd, const struct iovec *iov, int count, off_t at)
{
    return read_good("preadv", fd, iov, count, at);
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t at)
{
    return read_good("preadv64", fd, iov, count, at);
}

ssize_t preadv2(int fd, const struct iovec *iov, int count, off_t at, int flags)
{
    return read_good2("preadv2", fd, iov, count, at, flags);
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t at, int flags)
{
    return read_good2("preadv64v2", fd, iov, count, at, flags);
}

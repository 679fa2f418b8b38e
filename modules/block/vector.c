/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Vectors of memory: parts of them, copies, zeroes. [any] */
#include <string.h>

#include "block.h"

/* Fills `to` with what lies from `skip` for `bytes` bytes; returns how many entries that is, at most n. */
unsigned iov_slice(struct iovec *to, const struct iovec *iov, unsigned n, size_t skip, size_t bytes)
{
    unsigned used = 0;

    for (unsigned i = 0; i < n && bytes > 0; i++) {
        size_t len = iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        if (len > bytes)
            len = bytes;
        to[used].iov_base = (char *)iov[i].iov_base + skip;
        to[used++].iov_len = len;
        bytes -= len;
        skip = 0;
    }
    return used;
}

/* Calls fn for each piece from `skip` for `bytes` bytes. */
static size_t each(const struct iovec *iov, unsigned n, size_t skip, size_t bytes,
                   void (*fn)(void *piece, size_t at, size_t len, void *opaque), void *opaque)
{
    size_t at = 0;

    for (unsigned i = 0; i < n && at < bytes; i++) {
        size_t len = iov[i].iov_len;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        len -= skip;
        if (len > bytes - at)
            len = bytes - at;
        fn((char *)iov[i].iov_base + skip, at, len, opaque);
        at += len;
        skip = 0;
    }
    return at;
}

static void fill(void *piece, size_t at, size_t len, void *opaque)
{
    (void)at;
    memset(piece, *(const int *)opaque, len);
}

void iov_fill(const struct iovec *iov, unsigned n, size_t skip, int byte, size_t bytes)
{
    each(iov, n, skip, bytes, fill, &byte);
}

static void copy_out(void *piece, size_t at, size_t len, void *opaque)
{
    memcpy((char *)opaque + at, piece, len);
}

size_t iov_gather(const struct iovec *iov, unsigned n, size_t skip, void *buf, size_t bytes)
{
    return each(iov, n, skip, bytes, copy_out, buf);
}

static void copy_in(void *piece, size_t at, size_t len, void *opaque)
{
    memcpy(piece, (const char *)opaque + at, len);
}

void iov_scatter(const struct iovec *iov, unsigned n, size_t skip, const void *buf, size_t bytes)
{
    each(iov, n, skip, bytes, copy_in, (void *)(uintptr_t)buf);
}

static bool is_zero(const uint8_t *p, size_t len)
{
    if (len == 0)
        return true;
    /* Equal to itself, moved on by one byte, and its first one is zero. */
    return p[0] == 0 && memcmp(p, p + 1, len - 1) == 0;
}

bool iov_is_zero(const struct iovec *iov, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (!is_zero(iov[i].iov_base, iov[i].iov_len))
            return false;
    return true;
}

bool iov_is_aligned(const struct iovec *iov, unsigned n, size_t alignment)
{
    if (alignment <= 1)
        return true;
    for (unsigned i = 0; i < n; i++)
        if (((uintptr_t)iov[i].iov_base | iov[i].iov_len) & (alignment - 1))
            return false;
    return true;
}

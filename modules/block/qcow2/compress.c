/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressed clusters: raw deflate with a window of 4 KiB (RFC 1951), or a zstd frame. */
#include <errno.h>
#include <string.h>
#include <zlib.h>
#ifdef HAVE_LIBDEFLATE
#include <libdeflate.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#endif

#include "qcow2.h"

#define WINDOW_BITS (-12)
#define ZSTD_LEVEL 4 /* the first one that packs programs, too, at least as well as zlib does */

bool has_zstd(void)
{
#ifdef HAVE_ZSTD
    return true;
#else
    return false;
#endif
}

static int deflate_it(const uint8_t *data, uint32_t length, uint8_t *out, uint32_t *ret_bytes)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = length, .next_out = out, .avail_out = length - 1};
    int ret;

    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS, 9, Z_DEFAULT_STRATEGY) != Z_OK)
        return -ENOMEM;
    ret = deflate(&z, Z_FINISH);
    *ret_bytes = ret == Z_STREAM_END ? (uint32_t)z.total_out : 0;
    deflateEnd(&z);
    return ret == Z_STREAM_END || ret == Z_OK || ret == Z_BUF_ERROR ? 0 : -EIO;
}

/* What follows the stream, up to the end of a sector, is nothing. */
static int inflate_it(const uint8_t *data, uint32_t bytes, uint8_t *out, uint32_t length)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)data, .avail_in = bytes, .next_out = out, .avail_out = length};
    int ret;

    if (inflateInit2(&z, WINDOW_BITS) != Z_OK)
        return -ENOMEM;
    ret = inflate(&z, Z_FINISH);
    inflateEnd(&z);
    return (ret == Z_STREAM_END || ret == Z_BUF_ERROR) && z.avail_out == 0 ? 0 : -EIO;
}

int pack(const struct qcow *s, const uint8_t *data, uint8_t *out, uint32_t *ret_bytes)
{
#ifdef HAVE_ZSTD
    if (s->compression == 1) {
        size_t n = ZSTD_compress(out, s->cluster - 1, data, s->cluster, ZSTD_LEVEL);

        *ret_bytes = ZSTD_isError(n) ? 0 : (uint32_t)n;
        return 0;
    }
#endif
    return deflate_it(data, s->cluster, out, ret_bytes);
}

#ifdef HAVE_LIBDEFLATE
/* Takes less than half of the time. It wants streams that end where the cluster does; the others are zlib's. */
static bool inflate_whole(struct unpacker *u, const uint8_t *data, uint32_t bytes, uint8_t *out, uint32_t length)
{
    size_t used, made;

    if (!u->deflate)
        u->deflate = libdeflate_alloc_decompressor();
    return u->deflate && libdeflate_deflate_decompress_ex(u->deflate, data, bytes, out, length, &used, &made) == 0 &&
           made == length;
}
#endif

int unpack(const struct qcow *s, struct unpacker *u, const uint8_t *data, uint32_t bytes, uint8_t *out)
{
#ifdef HAVE_ZSTD
    if (s->compression == 1) {
        ZSTD_inBuffer in = {data, bytes, 0};
        ZSTD_outBuffer to = {out, s->cluster, 0};
        size_t ret = 1;

        if (!u->zstd)
            u->zstd = ZSTD_createDCtx();
        if (!u->zstd)
            return -ENOMEM;
        ZSTD_DCtx_reset(u->zstd, ZSTD_reset_session_only);
        while (to.pos < to.size && in.pos < in.size && ret != 0) {
            ret = ZSTD_decompressStream(u->zstd, &to, &in);
            if (ZSTD_isError(ret))
                break;
        }
        return to.pos == to.size ? 0 : -EIO;
    }
#endif
#ifdef HAVE_LIBDEFLATE
    if (inflate_whole(u, data, bytes, out, s->cluster))
        return 0;
#endif
    (void)u;
    return inflate_it(data, bytes, out, s->cluster);
}

void unpack_end(struct unpacker *u)
{
#ifdef HAVE_ZSTD
    ZSTD_freeDCtx(u->zstd);
#endif
#ifdef HAVE_LIBDEFLATE
    if (u->deflate)
        libdeflate_free_decompressor(u->deflate);
#endif
    *u = (struct unpacker){NULL, NULL};
}

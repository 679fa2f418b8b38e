/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Requests whose data goes through a buffer of its own. Pure. [any] */
#ifndef FORMAT_VECTORS_H
#define FORMAT_VECTORS_H

#include <string.h>

#include <bp/host/block.h>

/* All of a request's vectors, one behind the other. */
static inline void vectors_gather(const struct bp_block_request *req, uint8_t *to)
{
    for (unsigned i = 0; i < req->iov_count; to += req->iov[i++].iov_len)
        memcpy(to, req->iov[i].iov_base, req->iov[i].iov_len);
}

static inline void vectors_scatter(const struct bp_block_request *req, const uint8_t *from)
{
    for (unsigned i = 0; i < req->iov_count; from += req->iov[i++].iov_len)
        memcpy(req->iov[i].iov_base, from, req->iov[i].iov_len);
}

#endif

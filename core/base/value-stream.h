/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * JSON from a byte stream (QMP): bytes go in as they arrive, complete top-level values come out.
 * A value is held back until its end is seen; scalars end at the next white space or bracket.
 * After an error that breaks the structure the rest of the line is skipped, so that the next line
 * is read afresh; bytes 0xff and other control bytes also restart the parser. Not for two threads
 * at once.
 */
#ifndef BPC_VALUE_STREAM_H
#define BPC_VALUE_STREAM_H

#include <bp/value.h>

#define BPC_VALUE_STREAM_MAX (UINT64_C(64) << 20) /* bytes of one value */

struct bpc_value_stream;

struct bpc_value_stream *bpc_value_stream_new(void);
void bpc_value_stream_free(struct bpc_value_stream *stream); /* NULL is fine */
/* Takes over all bytes. Call bpc_value_stream_next() until it gives 0 after each. */
void bpc_value_stream_feed(struct bpc_value_stream *stream, const void *data, size_t length);
/* 1: *ret_value is the next value (the caller owns it); 0: nothing complete yet; negative: a bad
 * token or value, described by err; go on calling. */
int bpc_value_stream_next(struct bpc_value_stream *stream, struct bp_value **ret_value,
                          struct bp_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SHA-1 (FIPS 180-4) of short texts: WebSocket's handshake has it. Good for nothing that has to be safe. */
#ifndef STREAM_SHA1_H
#define STREAM_SHA1_H

#include <bp/base.h>

#define SHA1_BYTES 20
void sha1(const uint8_t *data, size_t size, uint8_t digest[SHA1_BYTES]);

#endif

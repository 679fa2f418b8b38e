/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* WebSocket (RFC 6455), the server's side: what comes is unwrapped, what goes is wrapped. */
#ifndef STREAM_WEBSOCKET_H
#define STREAM_WEBSOCKET_H

#include <sys/types.h>

#include "bytes.h"

#define WEBSOCKET_REQUEST_MAX 8192u

struct websocket {
    bool open;            /* the handshake is over */
    bool in_payload;      /* `left` bytes of a frame are to come */
    uint8_t opcode, mask[4];
    uint64_t left, at;    /* of the payload */
    uint8_t control[125]; /* payload of a ping or of a close */
    bool closed;          /* the client says that it is the end, and has an answer in `reply` */
};

/* Is a request (RFC 6454: header Origin) of a page that the host it is sent to has made? True where it says none:
 * then no browser sends it. */
bool websocket_comes_from_host(const char *request, size_t size);
/* Takes what it can of the bytes: the handshake's answer, pongs and closes go to `reply` (as they are), payload to
 * `payload`. Returns the bytes taken; negative: no WebSocket, and why. */
ssize_t websocket_input(struct websocket *w, const uint8_t *data, size_t size, struct bytes *payload,
                        struct bytes *reply, const char **ret_why);
/* Puts a frame that says that we are going away; nothing may follow. */
void websocket_bye(struct bytes *to);
/* Puts the head of a frame of so many bytes. */
void websocket_wrap(struct bytes *to, size_t size);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One AF_XDP socket with memory of its own: four rings shared with the kernel (Linux, Documentation/networking/
 * af_xdp.rst). Frames to be received wait in the fill ring, those that came are in the rx ring; frames to be sent go to
 * the tx ring and come back in the completion ring. [main]; sending: under the machine lock.
 */
#ifndef XSK_H
#define XSK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/error.h>

#define XSK_FRAME 4096u
#define XSK_RING 1024u /* frames for each direction */

struct xsk_ring {
    void *map;
    size_t map_size;
    uint32_t *producer, *consumer, *flags;
    void *entries; /* uint64_t (fill, completion) or struct xdp_desc */
};

struct xsk {
    int fd;
    uint8_t *memory; /* 2 * XSK_RING frames: the first half is received into */
    struct xsk_ring fill, completion, rx, tx;
    uint64_t free_frames[XSK_RING]; /* to send with */
    uint32_t free_count;
};

struct xsk_bind {
    unsigned ifindex, queue;
    bool force_copy;
    int fd; /* an open socket that is not bound; -1: a new one. It is taken */
};

/* On failure nothing is left open. -EPERM: it needs CAP_NET_RAW, and memory locked. */
int xsk_open(struct xsk *s, const struct xsk_bind *how, struct bp_error *err);
void xsk_close(struct xsk *s);

/* The n-th frame that waits, from 0. false: there is none. It stays until xsk_taken(). */
bool xsk_peek(const struct xsk *s, uint32_t n, uint8_t **ret_frame, uint32_t *ret_length);
/* The first `count` were taken: their memory goes back to the kernel. */
void xsk_taken(struct xsk *s, uint32_t count);

/* XSK_FRAME bytes to fill and give to xsk_send(), or NULL: all are on their way. */
uint8_t *xsk_frame(struct xsk *s);
void xsk_send(struct xsk *s, uint8_t *frame, uint32_t length);
bool xsk_can_send(struct xsk *s); /* would xsk_frame() give one? */
/* The kernel is told that there is something to send. True: it has not taken all, and no event will tell when it does:
 * it has to be told again, soon. */
bool xsk_kick(struct xsk *s);

#endif

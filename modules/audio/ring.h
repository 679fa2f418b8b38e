/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A ring of frames between the main thread and a sound server's: one writes, one reads, no lock. [any]
 */
#ifndef AUDIO_RING_H
#define AUDIO_RING_H

#include <stdatomic.h>
#include <stdint.h>

struct audio_ring {
    uint8_t *data;
    uint32_t frames, frame; /* size; bytes of one */
    _Atomic uint32_t written, read; /* frames since the beginning, modulo 2^32 */
};

/* `frames` is rounded up to a power of two. */
void audio_ring_init(struct audio_ring *ring, uint32_t frames, uint32_t frame_bytes);
void audio_ring_free(struct audio_ring *ring);
uint32_t audio_ring_used(struct audio_ring *ring);
uint32_t audio_ring_room(struct audio_ring *ring);
/* Return the frames moved. */
uint32_t audio_ring_write(struct audio_ring *ring, const void *data, uint32_t frames);
uint32_t audio_ring_read(struct audio_ring *ring, void *data, uint32_t frames);
/* By the reader: what is in it is dropped. */
void audio_ring_drop(struct audio_ring *ring);

#endif

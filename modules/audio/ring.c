/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ring.h"

#include <stdlib.h>
#include <string.h>

#include <bp/base.h>

void audio_ring_init(struct audio_ring *ring, uint32_t frames, uint32_t frame_bytes)
{
    ring->frames = 64;
    while (ring->frames < frames && ring->frames < 1u << 22)
        ring->frames *= 2;
    ring->frame = frame_bytes;
    ring->data = bp_alloc((size_t)ring->frames * frame_bytes);
    atomic_init(&ring->written, 0);
    atomic_init(&ring->read, 0);
}

void audio_ring_free(struct audio_ring *ring)
{
    free(ring->data);
    ring->data = NULL;
}

uint32_t audio_ring_used(struct audio_ring *ring)
{
    return atomic_load_explicit(&ring->written, memory_order_acquire) -
           atomic_load_explicit(&ring->read, memory_order_acquire);
}

uint32_t audio_ring_room(struct audio_ring *ring)
{
    return ring->frames - audio_ring_used(ring);
}

/* The two stretches of `n` frames from `at` on. */
static uint32_t first_stretch(const struct audio_ring *ring, uint32_t at, uint32_t n)
{
    uint32_t left = ring->frames - at % ring->frames;

    return n < left ? n : left;
}

uint32_t audio_ring_write(struct audio_ring *ring, const void *data, uint32_t frames)
{
    uint32_t at = atomic_load_explicit(&ring->written, memory_order_relaxed), room = audio_ring_room(ring);
    uint32_t n = frames < room ? frames : room, first = first_stretch(ring, at, n);
    size_t bytes = (size_t)first * ring->frame;

    memcpy(ring->data + (size_t)(at % ring->frames) * ring->frame, data, bytes);
    memcpy(ring->data, (const uint8_t *)data + bytes, (size_t)(n - first) * ring->frame);
    atomic_store_explicit(&ring->written, at + n, memory_order_release);
    return n;
}

uint32_t audio_ring_read(struct audio_ring *ring, void *data, uint32_t frames)
{
    uint32_t at = atomic_load_explicit(&ring->read, memory_order_relaxed), used = audio_ring_used(ring);
    uint32_t n = frames < used ? frames : used, first = first_stretch(ring, at, n);
    size_t bytes = (size_t)first * ring->frame;

    memcpy(data, ring->data + (size_t)(at % ring->frames) * ring->frame, bytes);
    memcpy((uint8_t *)data + bytes, ring->data, (size_t)(n - first) * ring->frame);
    atomic_store_explicit(&ring->read, at + n, memory_order_release);
    return n;
}

void audio_ring_drop(struct audio_ring *ring)
{
    atomic_store_explicit(&ring->read, atomic_load_explicit(&ring->written, memory_order_acquire),
                          memory_order_release);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtio sound: what the files of the device share. */
#ifndef VIRTIO_SOUND_H
#define VIRTIO_SOUND_H

#include <bp/host/audio.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

#define SOUND_MOST 64u /* jacks, streams and channel maps, of each */

enum { SOUND_OK = 0x8000, SOUND_BAD_MSG, SOUND_NOT_SUPP, SOUND_IO_ERR }; /* 5.14.6.1 */

/* What a stream has been told (5.14.6.6.1). */
enum pcm_state { PCM_NEW, PCM_SET, PCM_PREPARED, PCM_STARTED, PCM_STOPPED, PCM_RELEASED, PCM_STATES };

/* Even streams play, odd ones record. */
struct pcm {
    struct sound *sound;
    struct bp_voice *voice;        /* [main] */
    struct bp_audio_format voiced; /* what the voice has now; [main] */
    struct bp_audio_format format; /* what the driver has set; [locked], as the rest */
    struct pcm_buffer *first, *last; /* those that the driver gave, oldest first */
    uint32_t rate;                 /* of `format`, while saving and loading */
    uint8_t state, channels, sample;
    bool input;
};

/* Kept with each request of the queues tx and rx. */
struct pcm_buffer {
    struct bp_virtq_request *request;
    struct pcm_buffer *next;
    uint64_t bytes, done;
};

struct sound {
    struct bp_object *audiodev;
    uint32_t jacks, streams, chmaps, channels; /* how many */
    struct bp_device *dev;
    struct bp_virtio *virtio; /* NULL: leaving */
    struct bp_virtq *control, *events, *tx, *rx;
    struct bp_owner *main; /* its calls hold the machine lock */
    struct bp_deferred *follow;
    struct pcm pcm[SOUND_MOST];
};

extern const struct bp_virtio_interface *const *const sound_virtio;
extern const struct bp_audio_interface *const *const sound_audio;

static inline uint32_t sound_get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void sound_put32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++, v >>= 8)
        p[i] = (uint8_t)v;
}

/* ---- control.c ---- */
bool sound_handle_control(void *opaque, struct bp_virtq *queue);

/* ---- pcm.c ---- */
/* Formats and rates of 5.14.6.6.2 that a voice can have, as masks of their numbers. */
uint64_t pcm_formats(void);
uint64_t pcm_rates(void);
/* Requests of the control queue; each gives a status. [locked] */
uint32_t pcm_set_params(struct pcm *p, const uint8_t params[24]);
uint32_t pcm_go(struct pcm *p, enum pcm_state to);
bool pcm_handle(void *opaque, struct bp_virtq *queue); /* of tx and rx */
/* Gives back what the driver gave, unheard. */
void pcm_let_go(struct pcm *p);
void pcm_drop_all(struct sound *s, const struct bp_virtq *queue); /* NULL: of both; in a reset */
/* [main]: voices do what the streams' states say. */
int pcm_open(struct sound *s, struct bp_error *err);
void pcm_close(struct sound *s);
void pcm_follow(void *sound);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Virtio sound: streams (Virtio I/O Device 1.2, 5.14.6.6). The driver's requests are carried out in the device's
 * context; voices are the main loop's and follow. A voice that is asked for frames takes them out of the buffers that
 * the driver gave, and each buffer goes back when it has been taken (or filled) to its end.
 */
#include <bp/log.h>

#include "sound.h"

#define XFER 4u   /* bytes before what is played: the stream */
#define STATUS 8u /* after: status, latency in bytes */
#define PIECE 4096u

static const struct {
    uint8_t number, sample;
} formats[] = {{3, BP_SAMPLE_S8}, {4, BP_SAMPLE_U8}, {5, BP_SAMPLE_S16}, {6, BP_SAMPLE_U16}, {17, BP_SAMPLE_S32},
               {18, BP_SAMPLE_U32}, {19, BP_SAMPLE_F32}};
static const uint32_t rates[] = {5512, 8000, 11025, 16000, 22050, 32000, 44100, 48000, 64000, 88200, 96000, 176400,
                                 192000, 384000};

uint64_t pcm_formats(void)
{
    uint64_t mask = 0;

    for (size_t i = 0; i < BP_COUNT(formats); i++)
        mask |= UINT64_C(1) << formats[i].number;
    return mask;
}

uint64_t pcm_rates(void)
{
    return (UINT64_C(1) << BP_COUNT(rates)) - 1;
}

/* ---- the control queue's requests ---- */

uint32_t pcm_set_params(struct pcm *p, const uint8_t params[24])
{
    uint32_t buffer = sound_get32(params + 8), period = sound_get32(params + 12), features = sound_get32(params + 16);
    uint8_t channels = params[20], format = params[21], rate = params[22];
    unsigned n = 0;

    if (p->state == PCM_STARTED || p->state == PCM_STOPPED || !period || period > buffer)
        return SOUND_BAD_MSG;
    while (n < BP_COUNT(formats) && formats[n].number != format)
        n++;
    if (features || n == BP_COUNT(formats) || rate >= BP_COUNT(rates) || channels < 1 || channels > p->sound->channels)
        return SOUND_NOT_SUPP;
    pcm_let_go(p);
    p->format = (struct bp_audio_format){rates[rate], channels, formats[n].sample, {0}};
    p->state = PCM_SET;
    return SOUND_OK;
}

uint32_t pcm_go(struct pcm *p, enum pcm_state to)
{
    static const uint8_t from[PCM_STATES] = { /* masks of states */
        [PCM_PREPARED] = 1u << PCM_SET | 1u << PCM_PREPARED | 1u << PCM_RELEASED,
        [PCM_STARTED] = 1u << PCM_PREPARED | 1u << PCM_STOPPED,
        [PCM_STOPPED] = 1u << PCM_STARTED,
        [PCM_RELEASED] = 1u << PCM_PREPARED | 1u << PCM_STOPPED};

    if (!(from[to] >> p->state & 1))
        return SOUND_BAD_MSG;
    if (to == PCM_RELEASED)
        pcm_let_go(p); /* before the answer */
    p->state = (uint8_t)to;
    bp_deferred_schedule(p->sound->follow);
    return SOUND_OK;
}

/* ---- buffers ---- */

static struct bp_virtq *queue_of(const struct pcm *p)
{
    return p->input ? p->sound->rx : p->sound->tx;
}

/* Ends a request: its status stands behind what was recorded. */
static void answer(struct bp_virtq *queue, struct bp_virtq_request *r, uint32_t status, uint32_t latency)
{
    uint8_t text[STATUS];

    sound_put32(text, status);
    sound_put32(text + 4, latency);
    if (r->in_bytes >= STATUS)
        bp_virtq_write(r, r->in_bytes - STATUS, text, STATUS);
    (*sound_virtio)->push(queue, r, r->in_bytes >= STATUS ? r->in_bytes : 0);
}

static struct pcm_buffer *take(struct pcm *p)
{
    struct pcm_buffer *b = p->first;

    if (b)
        p->first = b->next;
    if (!p->first)
        p->last = NULL;
    return b;
}

void pcm_let_go(struct pcm *p)
{
    struct pcm_buffer *b;

    if (!p->first)
        return;
    while ((b = take(p)))
        answer(queue_of(p), b->request, SOUND_IO_ERR, 0);
    (*sound_virtio)->flush(queue_of(p));
}

void pcm_drop_all(struct sound *s, const struct bp_virtq *queue)
{
    struct pcm_buffer *b;

    for (unsigned n = 0; n < s->streams; n++) {
        if (queue && queue != queue_of(&s->pcm[n]))
            continue;
        while ((b = take(&s->pcm[n])))
            (*sound_virtio)->drop(queue_of(&s->pcm[n]), b->request);
    }
}

/* False: it is nobody's. */
static bool accept(struct sound *s, const struct bp_virtq *queue, struct bp_virtq_request *r)
{
    struct pcm_buffer *b = r->own;
    uint8_t header[XFER];
    struct pcm *p;
    uint32_t id;

    if (bp_virtq_read(r, 0, header, XFER) != XFER || r->in_bytes < STATUS)
        return false;
    id = sound_get32(header);
    p = id < s->streams ? &s->pcm[id] : NULL;
    if (!p || queue_of(p) != queue || p->state < PCM_PREPARED || p->state > PCM_STOPPED)
        return false;
    *b = (struct pcm_buffer){.request = r, .bytes = p->input ? r->in_bytes - STATUS : r->out_bytes - XFER};
    if (p->last)
        p->last->next = b;
    else
        p->first = b;
    p->last = b;
    return true;
}

bool pcm_handle(void *opaque, struct bp_virtq *queue)
{
    const struct bp_virtio_interface *virtio = *sound_virtio;
    struct bp_virtq_request *r;
    bool refused = false;

    while ((r = virtio->pop(queue))) {
        if (accept(opaque, queue, r))
            continue;
        answer(queue, r, SOUND_BAD_MSG, 0);
        refused = true;
    }
    if (refused)
        virtio->flush(queue);
    return true;
}

/* ---- voices [main] ---- */

/* Moves up to `frames` between a buffer and the voice; returns how many. */
static uint32_t move(struct pcm *p, struct pcm_buffer *b, uint32_t frames)
{
    uint32_t unit = bp_audio_frame_bytes(&p->format), got;
    uint64_t left = (b->bytes - b->done) / unit;
    uint8_t piece[PIECE];

    frames = frames < left ? frames : (uint32_t)left;
    frames = frames < PIECE / unit ? frames : PIECE / unit;
    if (p->input) {
        got = (*sound_audio)->voice_read(p->voice, piece, frames);
        bp_virtq_write(b->request, b->done, piece, (uint64_t)got * unit);
    } else {
        bp_virtq_read(b->request, XFER + b->done, piece, (uint64_t)frames * unit);
        got = (*sound_audio)->voice_write(p->voice, piece, frames);
    }
    b->done += (uint64_t)got * unit;
    return got;
}

static uint32_t latency_bytes(const struct pcm *p)
{
    uint64_t us = (*sound_audio)->voice_latency(p->voice);

    return (uint32_t)(us * p->format.rate / 1000000 * bp_audio_frame_bytes(&p->format));
}

/* Whole frames; what is left over of the last is nothing. */
static void exchange(struct pcm *p, uint32_t frames)
{
    uint32_t unit = bp_audio_frame_bytes(&p->format);
    bool ended = false;

    while (p->first) {
        struct pcm_buffer *b = p->first;
        uint32_t got = frames ? move(p, b, frames) : 0;

        frames -= got;
        if (b->bytes - b->done >= unit) {
            if (got)
                continue;
            break;
        }
        take(p);
        answer(queue_of(p), b->request, SOUND_OK, latency_bytes(p));
        ended = true;
    }
    if (ended)
        (*sound_virtio)->flush(queue_of(p));
}

static bool same(const struct bp_audio_format *a, const struct bp_audio_format *b)
{
    return a->rate == b->rate && a->channels == b->channels && a->sample == b->sample;
}

static void process(void *opaque, uint32_t frames)
{
    struct pcm *p = opaque;

    bp_device_lock(p->sound->dev);
    if (p->state == PCM_STARTED && same(&p->voiced, &p->format))
        exchange(p, frames);
    bp_device_unlock(p->sound->dev);
}

void pcm_follow(void *opaque)
{
    struct sound *s = opaque;

    for (unsigned n = 0; s->virtio && n < s->streams; n++) {
        struct pcm *p = &s->pcm[n];
        struct bp_audio_format format;
        struct bp_error err = {0};
        bool on;

        bp_device_lock(s->dev);
        format = p->format;
        on = p->state == PCM_STARTED;
        bp_device_unlock(s->dev);
        if (!on)
            (*sound_audio)->voice_set_active(p->voice, false);
        if (on && !same(&p->voiced, &format)) {
            if ((*sound_audio)->voice_set_format(p->voice, &format, &err) < 0) {
                bp_warn("virtio-sound: %s", err.message);
                continue;
            }
            p->voiced = format;
        }
        if (on)
            (*sound_audio)->voice_set_active(p->voice, true);
    }
}

int pcm_open(struct sound *s, struct bp_error *err)
{
    static const struct bp_voice_ops ops = {.size = sizeof(ops), .process = process};
    int ret = 0;

    for (unsigned n = 0; ret == 0 && n < s->streams; n++) {
        struct pcm *p = &s->pcm[n];

        p->sound = s;
        p->input = n & 1;
        p->format = p->voiced = (struct bp_audio_format){48000, 2, BP_SAMPLE_S16, {0}};
        ret = (*sound_audio)->voice_new(bp_device_object(s->dev), s->audiodev, p->input,
                                        p->input ? "virtio-sound.in" : "virtio-sound.out", &p->format, &ops, p,
                                        &p->voice, err);
    }
    return ret;
}

void pcm_close(struct sound *s)
{
    for (unsigned n = 0; n < s->streams; n++) {
        (*sound_audio)->voice_free(s->pcm[n].voice);
        s->pcm[n].voice = NULL;
    }
}

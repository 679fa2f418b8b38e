/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Virtio sound: the control queue (Virtio I/O Device 1.2, 5.14.6.1 to 5.14.6.8). */
#include <string.h>

#include "sound.h"

enum { JACK_INFO = 1, JACK_REMAP = 2, PCM_INFO = 0x100, PCM_SET_PARAMS, PCM_PREPARE, PCM_RELEASE, PCM_START, PCM_STOP,
       CHMAP_INFO = 0x200 };
enum { JACK_SIZE = 24, PCM_SIZE = 32, CHMAP_SIZE = 24, ITEM_MOST = 32, SIZE_MOST = 1024 };
/* Places of channels, in the order in which frames have them, which is that of WAV files. */
enum { MONO = 2, FL, FR, RL, RR, FC, LFE, SL, SR, RC };
static const uint8_t places[BP_AUDIO_CHANNELS_MAX][BP_AUDIO_CHANNELS_MAX] = {
    {MONO}, {FL, FR}, {FL, FR, FC}, {FL, FR, RL, RR}, {FL, FR, FC, RL, RR}, {FL, FR, FC, LFE, RL, RR},
    {FL, FR, FC, LFE, RC, SL, SR}, {FL, FR, FC, LFE, RL, RR, SL, SR}};
/* Pins as HD Audio describes them (7.3.3.31, 7.3.4.9): jacks at the back, for a line out and a microphone. */
#define LINE_OUT 0x01014010u
#define MICROPHONE 0x01a19020u
#define CAN_PLAY 0x10u
#define CAN_RECORD 0x20u

static void describe_jack(const struct sound *s, uint32_t n, uint8_t *item)
{
    (void)s;
    sound_put32(item + 8, n & 1 ? MICROPHONE : LINE_OUT);
    sound_put32(item + 12, n & 1 ? CAN_RECORD : CAN_PLAY);
    item[16] = 1; /* something is plugged in */
}

static void describe_pcm(const struct sound *s, uint32_t n, uint8_t *item)
{
    uint64_t formats = pcm_formats(), rates = pcm_rates();

    sound_put32(item + 8, (uint32_t)formats);
    sound_put32(item + 12, (uint32_t)(formats >> 32));
    sound_put32(item + 16, (uint32_t)rates);
    sound_put32(item + 20, (uint32_t)(rates >> 32));
    item[24] = n & 1;
    item[25] = 1;
    item[26] = (uint8_t)s->channels;
}

static void describe_chmap(const struct sound *s, uint32_t n, uint8_t *item)
{
    item[4] = n & 1;
    item[5] = (uint8_t)s->channels;
    memcpy(item + 6, places[s->channels - 1], s->channels);
}

/* So many items from one on, each in as many bytes as the driver has for it. */
static uint32_t list(const struct sound *s, struct bp_virtq_request *r, const uint8_t query[16], uint32_t number,
                     void (*describe)(const struct sound *s, uint32_t n, uint8_t *item))
{
    uint32_t first = sound_get32(query + 4), count = sound_get32(query + 8), size = sound_get32(query + 12);

    if (first > number || count > number - first || !size || size > SIZE_MOST ||
        r->in_bytes - 4 < (uint64_t)count * size)
        return SOUND_BAD_MSG;
    for (uint32_t i = 0; i < count; i++) {
        uint8_t item[ITEM_MOST] = {0};

        describe(s, first + i, item);
        for (uint32_t at = 0; at < size; at += ITEM_MOST) {
            uint32_t n = size - at < ITEM_MOST ? size - at : ITEM_MOST;

            bp_virtq_write(r, 4 + (uint64_t)i * size + at, item, n);
            memset(item, 0, sizeof(item)); /* what the driver has more is 0 */
        }
    }
    return SOUND_OK;
}

static uint32_t of_stream(struct sound *s, uint32_t code, const uint8_t *request, uint64_t length)
{
    static const uint8_t to[] = {[PCM_PREPARE - PCM_INFO] = PCM_PREPARED, [PCM_RELEASE - PCM_INFO] = PCM_RELEASED,
                                 [PCM_START - PCM_INFO] = PCM_STARTED, [PCM_STOP - PCM_INFO] = PCM_STOPPED};
    uint32_t id = sound_get32(request + 4);

    if (length < (code == PCM_SET_PARAMS ? 24 : 8) || id >= s->streams)
        return SOUND_BAD_MSG;
    return code == PCM_SET_PARAMS ? pcm_set_params(&s->pcm[id], request)
                                  : pcm_go(&s->pcm[id], (enum pcm_state)to[code - PCM_INFO]);
}

static uint32_t carry_out(struct sound *s, struct bp_virtq_request *r)
{
    uint8_t request[24] = {0};
    uint64_t length = bp_virtq_read(r, 0, request, sizeof(request));
    uint32_t code = sound_get32(request);

    if (length < 4)
        return SOUND_BAD_MSG;
    switch (code) {
    case JACK_INFO:
        return length < 16 ? SOUND_BAD_MSG : list(s, r, request, s->jacks, describe_jack);
    case JACK_REMAP:
        return length < 16 || sound_get32(request + 4) >= s->jacks ? SOUND_BAD_MSG : SOUND_NOT_SUPP;
    case PCM_INFO:
        return length < 16 ? SOUND_BAD_MSG : list(s, r, request, s->streams, describe_pcm);
    case CHMAP_INFO:
        return length < 16 ? SOUND_BAD_MSG : list(s, r, request, s->chmaps, describe_chmap);
    default:
        return code > PCM_INFO && code <= PCM_STOP ? of_stream(s, code, request, length) : SOUND_NOT_SUPP;
    }
}

bool sound_handle_control(void *opaque, struct bp_virtq *queue)
{
    const struct bp_virtio_interface *virtio = *sound_virtio;
    struct bp_virtq_request *r;

    while ((r = virtio->pop(queue))) {
        uint8_t status[4];
        bool room = r->in_bytes >= sizeof(status);

        if (room) { /* else nobody would hear of what was done */
            sound_put32(status, carry_out(opaque, r));
            bp_virtq_write(r, 0, status, sizeof(status));
        }
        virtio->push(queue, r, room ? r->in_bytes : 0);
    }
    virtio->flush(queue);
    return true;
}

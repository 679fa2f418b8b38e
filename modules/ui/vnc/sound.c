/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sound for viewers: pseudo-encoding -259 and the messages of kind 255, 1 of the community's description of RFB. A
 * viewer that does not keep up misses some; little-endian samples.
 */
#include "vnc.h"

#include <stdio.h>

#include <bp/host/audio.h>

#define WAITING_MOST (256u << 10) /* bytes of sound, behind those of pictures */
enum { OP_ENABLE, OP_DISABLE, OP_FORMAT };
enum { TOLD_END, TOLD_BEGIN, TOLD_DATA };

static const struct bp_audio_interface *audio; /* NULL: not needed yet */

int vnc_sound_find(struct vnc *s, struct bp_error *err)
{
    const void *table;
    int r = bp_interface_require("audio", 1, &table, err);

    if (r < 0) {
        bp_error_prefix(err, "key 'audiodev'");
        return r;
    }
    audio = table;
    s->sounds = true;
    return 0;
}

static void put_message(struct vnc_client *c, uint16_t what)
{
    bytes_put8(&c->sound, 255);
    bytes_put8(&c->sound, 1);
    bytes_put16(&c->sound, what);
}

/* What a viewer that takes nothing is not told now, it is with the next sound. */
static void running(void *opaque, bool on)
{
    struct vnc_client *c = opaque;

    if (c->sounding == on || c->sound.size > WAITING_MOST)
        return;
    c->sounding = on;
    put_message(c, on ? TOLD_BEGIN : TOLD_END);
    bp_deferred_schedule(c->sounder);
}

static void heard(void *opaque, const void *data, uint32_t frames)
{
    struct vnc_client *c = opaque;
    uint32_t bytes = frames * bp_audio_frame_bytes(&c->sound_format);

    running(c, true);
    if (!c->sounding || c->sound.size + c->rfb.out.size > WAITING_MOST)
        return;
    put_message(c, TOLD_DATA);
    bytes_put32(&c->sound, bytes);
    bytes_put(&c->sound, data, bytes);
    bp_deferred_schedule(c->sounder);
}

static const struct bp_capture_ops ops = {.size = sizeof(ops), .heard = heard, .running = running};

static void stop(struct vnc_client *c)
{
    if (c->capture)
        audio->capture_free(c->capture);
    c->capture = NULL;
    running(c, false);
}

static bool start(struct vnc_client *c)
{
    struct bp_object *audiodev;
    char path[256];

    if (c->capture)
        return true;
    snprintf(path, sizeof(path), "/audiodevs/%s", c->server->audiodev);
    audiodev = bp_object_resolve(path, NULL, NULL);
    return audiodev && audio->capture_new(audiodev, &c->sound_format, &ops, c, &c->capture, NULL) == 0;
}

void vnc_sound_init(struct vnc_client *c)
{
    c->sound_format = (struct bp_audio_format){.rate = 44100, .channels = 2, .sample = BP_SAMPLE_S16};
}

bool vnc_sound_asked(struct vnc_client *c, unsigned op, uint8_t sample, uint8_t channels, uint32_t rate)
{
    static const uint8_t samples[] = {BP_SAMPLE_U8, BP_SAMPLE_S8, BP_SAMPLE_U16, BP_SAMPLE_S16, BP_SAMPLE_U32,
                                      BP_SAMPLE_S32};
    bool was_on = c->capture != NULL;

    if (!c->server->sounds)
        return false;
    if (op == OP_ENABLE)
        return start(c);
    stop(c);
    if (op == OP_DISABLE)
        return true;
    if (sample >= sizeof(samples) || (channels != 1 && channels != 2) || rate < BP_AUDIO_RATE_MIN || rate > 192000)
        return false;
    c->sound_format = (struct bp_audio_format){.rate = rate, .channels = channels, .sample = samples[sample]};
    return !was_on || start(c);
}

void vnc_sound_put(struct vnc_client *c)
{
    if (c->sending || !c->sound.size)
        return;
    bytes_put(&c->rfb.out, c->sound.data, c->sound.size);
    bytes_drop(&c->sound, c->sound.size);
}

void vnc_sound_free(struct vnc_client *c)
{
    if (c->capture)
        audio->capture_free(c->capture);
    c->capture = NULL;
    bytes_free(&c->sound);
}

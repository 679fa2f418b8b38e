/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio-sdl`: what SDL 2 plays on. Its thread takes from a ring and puts into one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <SDL.h>

#include <bp/host/audio.h>

#include "ring.h"

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define DEFAULT_BUFFER_US 46440u

struct sdl {
    struct bp_audiodev_options options;
    uint32_t in_count, out_count;
    bool started;
};

struct sdl_stream {
    SDL_AudioDeviceID id;
    struct audio_ring ring;
    uint32_t frame, rate, silence;
    uint32_t most; /* frames that wait in the ring, which may be larger */
    bool input;
};

static int sdl_open(struct bp_object *obj, struct bp_error *err)
{
    struct sdl *s = bp_object_state(obj);

    SDL_SetHint(SDL_HINT_NO_SIGNAL_HANDLERS, "1"); /* SIGINT and SIGTERM are the emulator's */
    if (SDL_InitSubSystem(SDL_INIT_AUDIO) < 0)
        return bp_fail(err, ENODEV, "SDL has no sound here: %s", SDL_GetError());
    s->started = true;
    return 0;
}

static void sdl_close(struct bp_object *obj)
{
    struct sdl *s = bp_object_state(obj);

    if (s->started)
        SDL_QuitSubSystem(SDL_INIT_AUDIO);
    s->started = false;
}

static void callback(void *opaque, Uint8 *data, int bytes)
{
    struct sdl_stream *t = opaque;
    uint32_t frames = (uint32_t)bytes / t->frame, n;

    if (t->input) {
        audio_ring_write(&t->ring, data, frames);
        return;
    }
    n = audio_ring_read(&t->ring, data, frames);
    memset(data + (size_t)n * t->frame, (int)t->silence, (size_t)(frames - n) * t->frame);
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    static const struct {
        SDL_AudioFormat theirs;
        uint8_t ours;
    } map[BP_SAMPLE_END] = {
        {AUDIO_U8, BP_SAMPLE_U8}, {AUDIO_S8, BP_SAMPLE_S8}, {AUDIO_S16LSB, BP_SAMPLE_S16},
        {AUDIO_S16LSB, BP_SAMPLE_S16}, {AUDIO_S32LSB, BP_SAMPLE_S32}, {AUDIO_S32LSB, BP_SAMPLE_S32},
        {AUDIO_F32LSB, BP_SAMPLE_F32}};
    const struct sdl *s = bp_object_state(obj);
    struct bp_audio_format *f = &request->format;
    uint32_t count = request->input ? s->in_count : s->out_count;
    uint32_t us = request->buffer_us ? request->buffer_us : DEFAULT_BUFFER_US;
    uint32_t frames = (uint32_t)((uint64_t)us * f->rate / 1000000), piece = 256;
    struct sdl_stream *t = bp_alloc(sizeof(*t));
    SDL_AudioSpec spec = {.freq = (int)f->rate, .format = map[f->sample].theirs, .channels = f->channels,
                          .callback = callback, .userdata = t};

    while (piece * 2 * count <= frames && piece < 16384)
        piece *= 2;
    spec.samples = (Uint16)piece;
    f->sample = map[f->sample].ours;
    t->input = request->input;
    t->rate = f->rate;
    t->frame = bp_audio_frame_bytes(f);
    t->silence = f->sample == BP_SAMPLE_U8 ? 0x80 : 0;
    t->most = piece * count + 2 * (uint32_t)((uint64_t)s->options.timer_period * f->rate / 1000000);
    audio_ring_init(&t->ring, t->most, t->frame);
    t->id = SDL_OpenAudioDevice(NULL, request->input, &spec, NULL, 0);
    if (!t->id) {
        audio_ring_free(&t->ring);
        free(t);
        return bp_fail(err, ENODEV, "SDL does not %s: %s", request->input ? "record" : "play", SDL_GetError());
    }
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct sdl_stream *t = stream;

    SDL_CloseAudioDevice(t->id); /* the callback has ended */
    audio_ring_free(&t->ring);
    free(t);
}

static void stream_run(void *stream, bool on)
{
    struct sdl_stream *t = stream;

    if (on && t->input) {
        SDL_LockAudioDevice(t->id);
        audio_ring_drop(&t->ring);
        SDL_UnlockAudioDevice(t->id);
    }
    SDL_PauseAudioDevice(t->id, !on);
}

static uint32_t stream_room(void *stream)
{
    struct sdl_stream *t = stream;
    uint32_t used = audio_ring_used(&t->ring);

    return t->input ? used : used < t->most ? t->most - used : 0;
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    return audio_ring_write(&((struct sdl_stream *)stream)->ring, data, frames);
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    return audio_ring_read(&((struct sdl_stream *)stream)->ring, data, frames);
}

static uint32_t stream_latency(void *stream)
{
    struct sdl_stream *t = stream;

    return (uint32_t)((uint64_t)audio_ring_used(&t->ring) * 1000000 / t->rate);
}

static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct sdl, options),
    BP_PROP_RANGE("in.buffer-count", UINT32, struct sdl, in_count, "4", 1, 64, "buffers that make up the host's"),
    BP_PROP_RANGE("out.buffer-count", UINT32, struct sdl, out_count, "4", 1, 64, "buffers that make up the host's"),
    BP_FIELDS_END};
BP_AUDIODEV(sdl_class, "sdl", "SDL 2", struct sdl, options, props, .preference = 20, .open = sdl_open,
            .close = sdl_close, .stream_open = stream_open, .stream_close = stream_close,
            .stream_run = stream_run, .stream_room = stream_room, .stream_write = stream_write,
            .stream_read = stream_read, .stream_latency = stream_latency);
BP_MODULE("audio-sdl", "Sound by SDL", imports, {BP_PROVIDE_OTHER, &sdl_class});

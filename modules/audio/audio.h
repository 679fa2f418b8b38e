/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inside of module `audio`: back ends that were made, their streams, the voices on them. */
#ifndef AUDIO_H
#define AUDIO_H

#include <samplerate.h>

#include <bp/clock.h>
#include <bp/host/audio.h>

#define AUDIO_CHUNK 1024u /* frames mixed at once */

/* Frames one after the other: taken from the front, added at the end. */
struct audio_queue {
    uint8_t *data;
    size_t start, size, room; /* bytes */
};

struct audio_stream;

struct bp_voice {
    struct audio_dev *dev;
    struct audio_stream *stream;
    struct bp_machine *machine;
    bool input, active, mute, dead;
    float volume[2];
    struct bp_audio_format format;
    const struct bp_voice_ops *ops; /* owned copy */
    void *opaque;
    char *name;
    struct audio_queue queue; /* output: in the stream's rate, as the engine works; input: in the voice's rate */
    SRC_STATE *resampler;     /* NULL: the rates are the same, or there is no mixing */
    struct bp_voice *next;    /* on the same stream */
};

struct audio_stream {
    struct audio_dev *dev;
    const struct bp_audiodev_class *class; /* the dev's; `none` for a direction that it has not */
    struct bp_machine *machine;
    bool input, raw, running, busy;
    struct bp_audio_format format; /* as the host has it */
    void *host;
    struct bp_voice *voices;
    struct bp_timer *timer;
    int64_t start_ns; /* paced: guest time of frame 0 */
    uint64_t done;    /* frames since */
    uint64_t missing; /* frames for which a voice had nothing */
    bool polled;      /* the device calls when it has room */
    bool timed;       /* it cannot, or does not do it well: the timer looks */
    unsigned wakes;   /* calls since `wakes_ns`, which is real time */
    int64_t wakes_ns;
    int64_t turn_ns; /* real time of the last turn */
    struct audio_stream *next;
};

struct audio_dev {
    struct bp_object *obj;
    const struct bp_audiodev_class *class;
    const struct bp_audiodev_options *options;
    char *id;
    struct audio_stream *streams;
    struct audio_dev *next;
};

extern const struct bp_audiodev_class none_class;

/* ---- devices.c ---- */
extern struct audio_dev *audio_devs; /* of the process, as they were made */
/* From the keys of -audiodev, "driver" and "id" among them. */
int audio_create(struct bp_value *args, struct audio_dev **ret_dev, struct bp_error *err);
/* `obj` NULL: the default one, made when there is none. */
int audio_find(struct bp_object *obj, struct audio_dev **ret_dev, struct bp_error *err);
void audio_set_default(struct audio_dev *dev);
void audio_close_all(void);
int audio_exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err);
const struct bp_audiodev_direction *audio_direction(const struct audio_dev *dev, bool input);

/* ---- stream.c ---- */
/* The stream that a voice with this format shall be on. */
int audio_stream_for(struct audio_dev *dev, struct bp_voice *voice, struct audio_stream **ret_stream,
                     struct bp_error *err);
void audio_stream_leave(struct bp_voice *voice); /* closes the stream when it was the last */
void audio_stream_update(struct audio_stream *stream); /* a voice became active, or stopped */
/* Looks at the host once: what the timer does. */
void audio_stream_turn(struct audio_stream *stream);
void audio_stream_sync(struct audio_stream *s); /* a turn, if something is due */

/* ---- voice.c ---- */
extern const struct bp_audio_interface audio_table;
size_t audio_queue_frames(const struct audio_queue *q, size_t frame_bytes);
void audio_queue_add(struct audio_queue *q, const void *data, size_t bytes);
void audio_queue_take(struct audio_queue *q, void *data, size_t bytes); /* data NULL: dropped */
void audio_queue_clear(struct audio_queue *q);
size_t audio_voice_unit(const struct bp_voice *v); /* bytes of a frame in its queue */
/* `frames` floats of the stream's channels, from the host, for an input voice. */
void audio_voice_hear(struct bp_voice *v, const float *in, uint32_t frames);
void audio_voice_destroy(struct bp_voice *v);

/* ---- capture.c ---- */
int audio_capture_new(struct bp_object *audiodev, const struct bp_audio_format *format,
                      const struct bp_capture_ops *ops, void *opaque, struct bp_capture **ret_capture,
                      struct bp_error *err);
void audio_capture_free(struct bp_capture *capture);
/* `frames` of the stream's rate and channels, at most AUDIO_CHUNK. */
void audio_capture_hear(struct audio_stream *stream, const float *mix, uint32_t frames);
void audio_capture_running(const struct audio_stream *stream, bool on);
bool audio_is_captured(const struct audio_dev *dev);

/* ---- format.c ---- */
int audio_parse_sample(const char *text, uint8_t *ret_sample); /* -EINVAL */
int audio_check_format(const struct bp_audio_format *f, struct bp_error *err);
/* `samples`: frames times channels. */
void audio_to_float(float *to, const void *from, unsigned sample, size_t samples);
void audio_from_float(void *to, const float *from, unsigned sample, size_t samples);
/* Other channels: mono goes to both sides, surround is folded into them. Not in place. */
void audio_map_channels(float *to, unsigned to_channels, const float *from, unsigned from_channels,
                        size_t frames);

#endif

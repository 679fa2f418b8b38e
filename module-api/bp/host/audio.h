/* SPDX-License-Identifier: MIT */
/*
 * Audio: interface audio/1, offered by the `audio` module, and the kind `audiodev` of what -audiodev names.
 *
 * A sound card has voices: streams of frames in one format, out of the guest or into it. A back end opens
 * streams on the host. The mixing engine lies between: it converts, resamples and adds voices up. Whoever has
 * a clock pulls: the host's sound card takes frames at its own rate, so the engine asks voices for as
 * many, and a card's position advances as the host's does; no drift can add up. A back end
 * without a clock (a file, nothing) is paced by guest time. While no voice is active nothing runs.
 *
 * A frame is one sample for each channel. All functions and callbacks are [main] under the machine
 * lock, but where one says [any].
 */
#ifndef BP_HOST_AUDIO_H
#define BP_HOST_AUDIO_H

#include <bp/kind.h>
#include <bp/module.h>
#include <bp/object.h>

BP_BEGIN_DECLS

struct bp_voice; /* opaque */

enum bp_sample { BP_SAMPLE_U8, BP_SAMPLE_S8, BP_SAMPLE_U16, BP_SAMPLE_S16, BP_SAMPLE_U32, BP_SAMPLE_S32,
                 BP_SAMPLE_F32, BP_SAMPLE_END };

#define BP_AUDIO_RATE_MIN 1000u
#define BP_AUDIO_RATE_MAX 384000u
#define BP_AUDIO_CHANNELS_MAX 8u

struct bp_audio_format {
    uint32_t rate;    /* frames per second, BP_AUDIO_RATE_MIN..BP_AUDIO_RATE_MAX */
    uint8_t channels; /* 1..BP_AUDIO_CHANNELS_MAX; front left, front right, ... as WAV orders them */
    uint8_t sample;   /* enum bp_sample; little-endian, F32 from -1 to 1 */
    uint8_t reserved8[2];
};

/* ---- sound cards ---- */

struct bp_voice_ops {
    uint32_t size;  /* sizeof(struct bp_voice_ops) */
    uint32_t flags; /* none yet: 0 */
    /* Output: up to `frames` (of the voice's rate) are wanted: voice_write() them; for those that do not come
     * there is silence. Input: as many can be read by voice_read(). Only while the voice is active
     * and the machine runs. It may stop or free voices. */
    void (*process)(void *opaque, uint32_t frames);
    void *reserved[4];
};

struct bp_capture; /* opaque: who hears what is played, beside the host */

struct bp_capture_ops {
    uint32_t size;  /* sizeof(struct bp_capture_ops) */
    uint32_t flags; /* none yet: 0 */
    /* What was mixed, in the format that was asked for; as fast as it is played. It frees no capture. */
    void (*heard)(void *opaque, const void *data, uint32_t frames);
    void (*running)(void *opaque, bool on); /* something begins to play, nothing plays any more; NULL: never mind */
    void *reserved[4];
};

struct bp_audio_interface { /* audio/1 */
    uint32_t size;

    /* `audiodev` NULL: the default one (-audio, or what this host has). `device` and `audiodev` are borrowed, ops
     * is copied; `name` for mixers of the host ("ac97.out"). -EINVAL: the format makes no sense. */
    int (*voice_new)(struct bp_object *device, struct bp_object *audiodev, bool input, const char *name,
                     const struct bp_audio_format *format, const struct bp_voice_ops *ops, void *opaque,
                     struct bp_voice **ret_voice, struct bp_error *err);
    void (*voice_free)(struct bp_voice *voice); /* NULL is fine */
    /* What was queued in the old format is dropped. */
    int (*voice_set_format)(struct bp_voice *voice, const struct bp_audio_format *format,
                            struct bp_error *err);
    void (*voice_set_active)(struct bp_voice *voice, bool on);
    bool (*voice_is_active)(const struct bp_voice *voice);
    /* 0..1 as a factor. */
    void (*voice_set_volume)(struct bp_voice *voice, bool mute, float left, float right);
    /* Return the frames taken or given. */
    uint32_t (*voice_write)(struct bp_voice *voice, const void *data, uint32_t frames);
    uint32_t (*voice_read)(struct bp_voice *voice, void *data, uint32_t frames);
    /* Microseconds from voice_write() to the ear (or from the microphone to voice_read()), as far as known. */
    uint32_t (*voice_latency)(const struct bp_voice *voice);
    /* 1.1: hears what voices play on an audiodev (NULL: the default one; with voices=N the first host stream), at most
     * 192000 frames a second. `ops` is copied. -EINVAL: the format makes no sense. */
    int (*capture_new)(struct bp_object *audiodev, const struct bp_audio_format *format,
                       const struct bp_capture_ops *ops, void *opaque, struct bp_capture **ret_capture,
                       struct bp_error *err);
    void (*capture_free)(struct bp_capture *capture); /* NULL is fine */
    /* 1.2: before a card tells where it is: moves what is due by now, to a tenth of a millisecond; process() may be
     * called inside. Voices move in steps of timer-period else, which drivers that measure a card's clock see. */
    void (*voice_sync)(struct bp_voice *voice);
    void *reserved[5];
};

static inline uint32_t bp_audio_sample_bytes(unsigned sample)
{
    return sample <= BP_SAMPLE_S8 ? 1 : sample <= BP_SAMPLE_S16 ? 2 : 4;
}

static inline uint32_t bp_audio_frame_bytes(const struct bp_audio_format *f)
{
    return f->channels * bp_audio_sample_bytes(f->sample);
}

/* ---- back ends ---- */

/* Keys that each back end has, for `in` and for `out`. Fields that are 0 (NULL) were not given. */
struct bp_audiodev_direction {
    bool mixing_engine, fixed_settings;
    uint32_t frequency, channels, voices, buffer_length; /* the last in microseconds */
    char *format;
};
struct bp_audiodev_options {
    struct bp_audiodev_direction in, out;
    uint32_t timer_period; /* microseconds */
};
#define BP_AUDIODEV_DIRECTION_PROPS(STATE, FIELD, DIR) \
    BP_PROP(#DIR ".mixing-engine", BOOL, STATE, FIELD.DIR.mixing_engine, "on", \
            "convert, resample and mix; off: one host stream for each voice, as it is"), \
    BP_PROP(#DIR ".fixed-settings", BOOL, STATE, FIELD.DIR.fixed_settings, "on", \
            "the host's format is the one given here; off: that of the guest"), \
    BP_PROP_RANGE(#DIR ".frequency", UINT32, STATE, FIELD.DIR.frequency, NULL, 0, BP_AUDIO_RATE_MAX, \
                  "frames a second, 44100 if not given"), \
    BP_PROP_RANGE(#DIR ".channels", UINT32, STATE, FIELD.DIR.channels, NULL, 0, BP_AUDIO_CHANNELS_MAX, \
                  "channels, 2 if not given"), \
    BP_PROP(#DIR ".format", STRING, STATE, FIELD.DIR.format, NULL, \
            "s8, s16, s32, u8, u16, u32 or f32; s16 if not given"), \
    BP_PROP_RANGE(#DIR ".voices", UINT32, STATE, FIELD.DIR.voices, "1", 1, 64, "host streams to be used"), \
    BP_PROP_RANGE(#DIR ".buffer-length", UINT32, STATE, FIELD.DIR.buffer_length, NULL, 0, 10000000, \
                  "microseconds of the host's buffer")
#define BP_AUDIODEV_PROPS(STATE, FIELD) \
    BP_AUDIODEV_DIRECTION_PROPS(STATE, FIELD, in), BP_AUDIODEV_DIRECTION_PROPS(STATE, FIELD, out), \
    BP_PROP_RANGE("timer-period", UINT32, STATE, FIELD.timer_period, "10000", 1000, 1000000, \
                  "microseconds between two looks at the host's streams")

/* A stream that the engine wants. */
struct bp_audio_request {
    uint32_t size;
    bool input;
    uint8_t reserved8[3];
    struct bp_audio_format format; /* wanted; set to what the host gives, when that is another one */
    uint32_t buffer_us;            /* 0: as the back end likes */
    const char *name;              /* of the voice that asked first */
    void *reserved[4];
};

/* type.props are the keys of -audiodev NAME,..., BP_AUDIODEV_PROPS among them. */
struct bp_audiodev_class {
    struct bp_type_info type; /* name: "audiodev-wav"; see BP_AUDIODEV */
    size_t options;           /* offset of its struct bp_audiodev_options in the state */
    uint32_t audio_flags;     /* BP_AUDIO_* */
    uint32_t preference;      /* when nobody says which one: the highest that opens; 0: never by itself */
    uint32_t reserved32;
    /* Properties are set: look whether there is what it needs. -ENODEV: nothing to play on here. */
    int (*open)(struct bp_object *obj, struct bp_error *err);
    void (*close)(struct bp_object *obj);
    /* -ENOTSUP: it has no such direction; -ENODEV: the host has nothing to play on, or to record from (the guest
     * then records silence); -ENOENT: not what the user named. */
    int (*stream_open)(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err);
    void (*stream_close)(void *stream);
    void (*stream_run)(void *stream, bool on);
    /* Frames that can be written (read) now. With BP_AUDIO_PACED it is not asked. */
    uint32_t (*stream_room)(void *stream);
    uint32_t (*stream_write)(void *stream, const void *data, uint32_t frames);
    uint32_t (*stream_read)(void *stream, void *data, uint32_t frames);
    uint32_t (*stream_latency)(void *stream); /* microseconds; NULL: none */
    /* While the stream runs: from now on `ready` is called, in the main context, whenever the device has room (or
     * frames that were recorded); `ready` NULL: no more. An error, or NULL: it cannot tell, a timer looks. */
    int (*stream_poll)(void *stream, void (*ready)(void *opaque), void *opaque);
    void *reserved[5];
};
#define BP_AUDIO_PACED 1u   /* has no clock of its own */

static const struct bp_shape_slot bp_audiodev_slots[] BP_UNUSED = {BP_SHAPE_TYPE, BP_SHAPE_END};
static const struct bp_shape bp_audiodev_shape BP_UNUSED = {
    "bp_audiodev_class", sizeof(struct bp_audiodev_class), bp_audiodev_slots};
#define BP_AUDIODEV_KIND \
    .size = sizeof(struct bp_kind), .major = 1, .minor = 0, .name = "audiodev", \
    .heading = "Available audio drivers:", .summary = "Audio back ends", .option = "audiodev", \
    .prefix = "audiodev-", .parent = "audiodev", .container = "/audiodevs", \
    .shape = &bp_audiodev_shape
static const struct bp_kind bp_audiodev_kind BP_UNUSED = {
    BP_AUDIODEV_KIND, .check = NULL, .exercise = NULL, .reserved = {NULL}};

/* Listed as {BP_PROVIDE_OTHER, &ident}. OPTIONS: the member of STATE with the common keys. */
#define BP_AUDIODEV(ident, NAME, SUMMARY, STATE, OPTIONS, PROPS, ...) \
    BP_NOTE("provides=audiodev:" NAME ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_audiodev_class ident = { \
        .type = {.size = sizeof(struct bp_audiodev_class), .flags = 0, .name = "audiodev-" NAME, \
                 .parent = NULL, .summary = SUMMARY, .state_size = sizeof(STATE), .props = PROPS, \
                 .state = NULL, .kind = &bp_audiodev_kind, .reserved = {NULL}}, \
        .options = offsetof(STATE, OPTIONS), __VA_ARGS__}

BP_END_DECLS

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Sound device (Virtual I/O Device 1.2, 5.14): streams that play and record, jacks and channel maps that say what there
 * is. Left out: remapping of jacks, events (no jack is ever pulled out), formats of other than whole bytes, more than
 * eight channels, shared memory and the other features of streams.
 */
#include <errno.h>
#include <string.h>

#include "sound.h"

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);
const struct bp_virtio_interface *const *const sound_virtio = &virtio;
const struct bp_audio_interface *const *const sound_audio = &audio;

#define CONFIG 12u

static bool handle_events(void *opaque, struct bp_virtq *queue)
{
    (void)opaque, (void)queue;
    return false; /* buffers wait for events, of which there are none */
}

static void stop(struct sound *s)
{
    pcm_drop_all(s, NULL);
    for (unsigned n = 0; n < s->streams; n++)
        s->pcm[n].state = PCM_NEW;
    bp_deferred_schedule(s->follow);
}

static void reset(void *opaque)
{
    stop(opaque);
}

static void running(void *opaque, bool on)
{
    if (!on)
        stop(opaque);
}

static void reset_queue(void *opaque, struct bp_virtq *queue)
{
    pcm_drop_all(opaque, queue);
}

/* Nothing there is the driver's to write. */
static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    (void)offset, (void)size;
    memcpy(virtio->config(((struct sound *)opaque)->virtio), old, CONFIG);
}

static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 25, .config_size = CONFIG, .name = "virtio-sound",
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .config_written = config_written, .running = running, .reset = reset};
static const struct bp_virtq_info control_info = {.size = sizeof(control_info), .entries = 64,
                                                  .handle = sound_handle_control};
static const struct bp_virtq_info event_info = {.size = sizeof(event_info), .entries = 64, .handle = handle_events};
static const struct bp_virtq_info pcm_info = {.size = sizeof(pcm_info), .entries = 64, .handle = pcm_handle,
                                              .own_size = sizeof(struct pcm_buffer), .reset = reset_queue};

static int add_queues(struct sound *s, struct bp_error *err)
{
    int ret = virtio->add_queue(s->virtio, &control_info, &s->control, err);

    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &event_info, &s->events, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &pcm_info, &s->tx, err);
    return ret < 0 ? ret : virtio->add_queue(s->virtio, &pcm_info, &s->rx, err);
}

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct sound *s = state;
    uint8_t *config;
    int ret;

    s->dev = bp_device_from_object(obj);
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-sound", bp_device_id(s->dev), 0);
    s->follow = bp_deferred_new(s->main, NULL, pcm_follow, s);
    ret = pcm_open(s, err);
    if (ret == 0)
        ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = add_queues(s, err);
    if (ret < 0) {
        pcm_close(s);
        return ret;
    }
    config = virtio->config(s->virtio);
    sound_put32(config, s->jacks);
    sound_put32(config + 4, s->streams);
    sound_put32(config + 8, s->chmaps);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    struct sound *s = state;

    (void)obj;
    pcm_close(s);
    pcm_drop_all(s, NULL);
    s->virtio = NULL;
}

static int before_save(void *state, struct bp_error *err)
{
    struct sound *s = state;

    (void)err;
    for (unsigned n = 0; n < SOUND_MOST; n++) {
        struct pcm *p = &s->pcm[n];

        p->rate = p->format.rate;
        p->channels = p->format.channels;
        p->sample = p->format.sample;
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct sound *s = state;

    (void)version;
    for (unsigned n = 0; n < s->streams; n++) {
        struct pcm *p = &s->pcm[n];

        if (p->channels < 1 || p->channels > s->channels || p->rate < BP_AUDIO_RATE_MIN)
            return bp_fail(err, EINVAL, "virtio-sound: stream %u of the state has %u channels and %u frames a second",
                           n, p->channels, p->rate);
        p->format = (struct bp_audio_format){p->rate, p->channels, p->sample, {0}};
    }
    for (unsigned n = s->streams; n < SOUND_MOST; n++) {
        if (s->pcm[n].state != PCM_NEW)
            return bp_fail(err, EINVAL, "virtio-sound: the state has a stream %u, the device has %u", n, s->streams);
    }
    bp_deferred_schedule(s->follow);
    return 0;
}

static const struct bp_state_field pcm_fields[] = {
    BP_SAVE_RANGE(UINT8, struct pcm, state, 0, PCM_STATES - 1), BP_SAVE_RANGE(UINT32, struct pcm, rate, 0, 384000),
    BP_SAVE(UINT8, struct pcm, channels), BP_SAVE_RANGE(UINT8, struct pcm, sample, 0, BP_SAMPLE_END - 1), BP_SAVE_END};
static const struct bp_state_table pcm_table = {.name = "virtio-sound-pcm", .version = 1, .oldest = 1,
                                                .fields = pcm_fields};
static const struct bp_state_field fields[] = {BP_SAVE_STRUCTS(struct sound, pcm, &pcm_table), BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct sound, audiodev, "where it is heard; none: the default one"),
    BP_PROP_RANGE("jacks", UINT32, struct sound, jacks, "0", 0, SOUND_MOST, "jacks: lines out and microphones in turn"),
    BP_PROP_RANGE("streams", UINT32, struct sound, streams, "2", 1, SOUND_MOST,
                  "streams: those that play and those that record in turn"),
    BP_PROP_RANGE("chmaps", UINT32, struct sound, chmaps, "0", 0, SOUND_MOST,
                  "channel maps, of each direction in turn"),
    BP_PROP_RANGE("channels", UINT32, struct sound, channels, "2", 1, BP_AUDIO_CHANNELS_MAX,
                  "most channels of a stream; 6 and 8 are 5.1 and 7.1"),
    BP_FIELDS_END};

static const struct bp_level_class virtio_sound = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "virtio-sound-base",
             .summary = "Sound device", .state_size = sizeof(struct sound), .props = props, .state = &table},
    .attach = attach, .detach = detach};

BP_VIRTIO_NAMES(sound, "virtio-sound", 0x0401, "Sound device", &virtio_sound, .category = "sound");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-virtio-sound", "Virtio sound device", imports, {BP_PROVIDE_DEVICE, &sound_pci},
          {BP_PROVIDE_DEVICE, &sound_device});

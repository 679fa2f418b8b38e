/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Back ends as -audiodev and -audio make them, and the one that is taken when nobody named one. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/log.h>

#include "audio.h"

struct audio_dev *audio_devs;
static struct audio_dev *chosen; /* the default one */

const struct bp_audiodev_direction *audio_direction(const struct audio_dev *dev, bool input)
{
    return input ? &dev->options->in : &dev->options->out;
}

/* ---- keys ---- */

static int check_direction(const struct bp_audiodev_direction *d, const char *dir, struct bp_error *err)
{
    uint8_t sample;

    if (d->format && audio_parse_sample(d->format, &sample) < 0)
        return bp_fail(err, EINVAL, "key '%s.format': '%.40s' is none; use s8, s16, s32, u8, u16, u32 or f32", dir,
                       d->format);
    if (d->frequency && d->frequency < BP_AUDIO_RATE_MIN)
        return bp_fail(err, EINVAL, "key '%s.frequency' must be %u to %u", dir, BP_AUDIO_RATE_MIN,
                       BP_AUDIO_RATE_MAX);
    if (!d->mixing_engine && d->fixed_settings)
        return bp_fail(err, EINVAL, "%s.mixing-engine=off takes the guest's format: it needs "
                       "%s.fixed-settings=off", dir, dir);
    if (!d->fixed_settings && (d->frequency || d->channels || d->format))
        return bp_fail(err, EINVAL, "%s.fixed-settings=off takes the guest's format: %s.%s cannot be given", dir,
                       dir, d->frequency ? "frequency" : d->channels ? "channels" : "format");
    if (d->mixing_engine && d->channels > 2)
        return bp_fail(err, EINVAL, "key '%s.channels': mixing knows mono and stereo; more channels need "
                       "%s.mixing-engine=off,%s.fixed-settings=off", dir, dir, dir);
    return 0;
}

struct flat {
    struct bp_value *to;
    const char *prefix;
};

/* {"out": {"frequency": 8000}} is out.frequency=8000. */
static int flatten(const char *key, struct bp_value *member, void *opaque)
{
    struct flat *flat = opaque;
    char name[128];

    if (!flat->prefix && (!strcmp(key, "driver") || !strcmp(key, "id") || !strcmp(key, "model")))
        return 0;
    snprintf(name, sizeof(name), "%s%s%.100s", flat->prefix ? flat->prefix : "", flat->prefix ? "." : "", key);
    if (!flat->prefix && bp_value_type(member) == BP_VALUE_DICT) {
        struct flat inner = {flat->to, key};

        return bp_value_each(member, flatten, &inner);
    }
    bp_value_set(flat->to, name, bp_value_ref(member));
    return 0;
}

/* ---- life ---- */

static void destroy(struct audio_dev *dev)
{
    struct audio_dev **link = &audio_devs;

    while (*link && *link != dev)
        link = &(*link)->next;
    if (*link)
        *link = dev->next;
    if (chosen == dev)
        chosen = NULL;
    bp_object_destroy(dev->obj);
    free(dev->id);
    free(dev);
}

static int make(const char *driver, const char *id, struct bp_value *props, struct audio_dev **ret_dev,
                struct bp_error *err)
{
    struct audio_dev *dev, **link = &audio_devs;
    struct bp_object *obj;
    int r = bp_object_new("audiodev", driver, id, NULL, props, &obj, err);

    if (r < 0)
        return r;
    dev = bp_alloc(sizeof(*dev));
    dev->obj = obj;
    dev->class = bp_object_class(obj);
    dev->options = (const void *)((const char *)bp_object_state(obj) + dev->class->options);
    dev->id = bp_strdup(id);
    while (*link)
        link = &(*link)->next;
    *link = dev;
    r = check_direction(&dev->options->in, "in", err);
    if (r == 0)
        r = check_direction(&dev->options->out, "out", err);
    if (r == 0 && dev->class->open)
        r = dev->class->open(obj, err);
    if (r < 0)
        destroy(dev);
    else
        *ret_dev = dev;
    return r;
}

/* What the manual has and no module offers yet, or never will here. A module of the name comes first. */
static const struct {
    const char *name, *missing;
} not_built[] = {
    {"coreaudio", "Core Audio, which is of macOS"}, {"dsound", "DirectSound, which is of Windows"},
    {"spice", "a SPICE server, which package backplane-spice has"}, {"dbus", "audio over D-Bus"}, {"jack", "JACK"},
    {"alsa", "ALSA"}, {"oss", "OSS"}, {"pa", "PulseAudio"}, {"pipewire", "PipeWire"}, {"sdl", "audio of SDL"},
    {"sndio", "sndio"},
};

int audio_create(struct bp_value *args, struct audio_dev **ret_dev, struct bp_error *err)
{
    const char *driver = bp_value_get_string(args, "driver"), *id = bp_value_get_string(args, "id");
    struct flat flat = {NULL, NULL};
    int r;

    if (!driver)
        return bp_fail(err, EINVAL, "\"driver\" is missing: say which one it is");
    if (!bp_provided("audiodev", driver))
        for (unsigned i = 0; i < BP_COUNT(not_built); i++)
            if (!strcmp(driver, not_built[i].name))
                return bp_fail(err, ENOTSUP, "%s: not built yet: %s; use none or wav", driver,
                               not_built[i].missing);
    if (!id)
        return bp_fail(err, EINVAL, "\"id\" is missing: sound cards name it with audiodev=ID");
    for (const struct audio_dev *dev = audio_devs; dev; dev = dev->next)
        if (!strcmp(dev->id, id))
            return bp_fail(err, EEXIST, "id '%s' is taken by another one", id);
    flat.to = bp_value_dict();
    bp_value_each(args, flatten, &flat);
    r = make(driver, id, flat.to, ret_dev, err);
    bp_value_unref(flat.to);
    return r;
}

/* ---- the default one ---- */

void audio_set_default(struct audio_dev *dev)
{
    chosen = dev;
}

struct candidates {
    const char *name[32];
    uint32_t preference[32];
    unsigned count;
};

static void collect(const char *name, const char *summary, void *opaque)
{
    struct candidates *c = opaque;
    const void *desc;
    uint32_t preference;
    unsigned at = 0;

    (void)summary;
    if (c->count == BP_COUNT(c->name) || bp_provided_class("audiodev", name, &desc, NULL) < 0)
        return;
    preference = ((const struct bp_audiodev_class *)desc)->preference;
    if (!preference)
        return;
    while (at < c->count && c->preference[at] >= preference)
        at++;
    memmove(&c->name[at + 1], &c->name[at], (c->count - at) * sizeof(c->name[0]));
    memmove(&c->preference[at + 1], &c->preference[at], (c->count - at) * sizeof(c->preference[0]));
    c->name[at] = name;
    c->preference[at] = preference;
    c->count++;
}

/* There may be a server or library, and nothing that it plays on. */
static bool plays(struct audio_dev *dev)
{
    struct bp_audio_request request = {.size = sizeof(request), .format = {44100, 2, BP_SAMPLE_S16, {0}},
                                       .name = "default"};
    void *stream;

    if (dev->class->stream_open(dev->obj, &request, &stream, NULL) < 0)
        return false;
    dev->class->stream_close(stream);
    return true;
}

static void unmake(struct audio_dev *dev)
{
    if (dev->class->close)
        dev->class->close(dev->obj);
    destroy(dev);
}

/* The best that plays here; in the end nothing, which always does. */
static int make_default(struct bp_error *err)
{
    struct candidates c = {.count = 0};
    struct audio_dev *dev;

    bp_provided_each("audiodev", collect, &c);
    for (unsigned i = 0; i < c.count; i++) {
        if (make(c.name[i], "default-audiodev", NULL, &dev, NULL) < 0)
            continue;
        if (plays(dev)) {
            chosen = dev;
            return 0;
        }
        unmake(dev);
    }
    return make("none", "default-audiodev", NULL, &chosen, err);
}

int audio_find(struct bp_object *obj, struct audio_dev **ret_dev, struct bp_error *err)
{
    struct audio_dev *dev = audio_devs;
    int r = 0;

    while (obj && dev && dev->obj != obj)
        dev = dev->next;
    if (obj && !dev)
        return bp_fail(err, ENOENT, "the audiodev is gone");
    if (!obj && !chosen)
        r = make_default(err);
    if (r == 0)
        *ret_dev = obj ? dev : chosen;
    return r;
}

void audio_close_all(void)
{
    for (struct audio_dev *dev = audio_devs; dev; dev = dev->next)
        if (!dev->streams && dev->class->close)
            dev->class->close(dev->obj);
}

/* ---- trying one: `backplane-module check` ---- */

int audio_exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    struct bp_audio_request request = {.size = sizeof(request), .format = {44100, 2, BP_SAMPLE_S16, {0}},
                                       .name = "check"};
    static const uint8_t silence[4096];
    struct bp_error why = {0};
    struct audio_dev *dev;
    void *stream = NULL;
    int r = make(name, "check", NULL, &dev, &why);

    if (r == 0) {
        r = dev->class->stream_open(dev->obj, &request, &stream, &why);
        if (r == 0) {
            if (dev->class->stream_run)
                dev->class->stream_run(stream, true);
            dev->class->stream_write(stream, silence, sizeof(silence) / bp_audio_frame_bytes(&request.format));
            wait(opaque);
            if (dev->class->stream_run)
                dev->class->stream_run(stream, false);
            dev->class->stream_close(stream);
        }
        unmake(dev);
    }
    return r < 0 ? bp_fail(err, ENOTSUP, "does not play with defaults alone: %s", why.message) : 0;
}

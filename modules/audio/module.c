/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `audio`: interface audio/1, the kind `audiodev`, options -audiodev and -audio, query-audiodevs. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <bp/command.h>
#include <bp/option.h>

#include "audio.h"

/* ---- the kind ---- */

static int check_class(const void *desc, struct bp_error *err)
{
    const struct bp_audiodev_class *class = desc;
    const char *missing = !class->stream_open    ? "stream_open"
                          : !class->stream_close ? "stream_close"
                          : !class->stream_write && !class->stream_read ? "stream_write"
                          : !class->stream_room && !(class->audio_flags & BP_AUDIO_PACED) ? "stream_room" : NULL;

    if (missing)
        return bp_fail(err, EINVAL, "has no %s function", missing);
    return class->options + sizeof(struct bp_audiodev_options) <= class->type.state_size
               ? 0 : bp_fail(err, EINVAL, "its common options lie outside of its state");
}

BP_DECLARE_KIND("audiodev", "Audio back ends");
static const struct bp_kind kind = {BP_AUDIODEV_KIND, .check = check_class, .exercise = audio_exercise,
                                    .reserved = {NULL}};
BP_INTERFACE(interface, "audio", 1, 2, &audio_table);

/* ---- -audiodev ---- */

static const struct bp_field audiodev_keys[] = {
    BP_ARG_OPT("driver", STRING, "name of the back end; help lists them"),
    BP_ARG_OPT("id", STRING, "name by which sound cards refer to it"), BP_FIELDS_END};

static int apply_audiodev(struct bp_value *args, struct bp_error *err)
{
    struct audio_dev *dev;

    return audio_create(args, &dev, err);
}
BP_OPTION(audiodev_option, "audiodev", "make an audio back end", .phase = BP_PHASE_OBJECT,
          .arg = "driver,id=ID[,KEY=VALUE...]", .group = "Audio", .keys = audiodev_keys, .implied = "driver",
          .any_keys = true, .apply = apply_audiodev);

/* ---- -audio ---- */

/* Names of the manual for what a sound card is made of; the one with the audiodev is last. */
static const struct model {
    const char *name, *summary, *device[2];
} models[] = {
    {"ac97", "Intel 82801AA AC97 Audio", {"AC97"}},
    {"adlib", "Yamaha YM3812 (OPL2)", {"adlib"}},
    {"cs4231a", "CS4231A", {"cs4231a"}},
    {"es1370", "ENSONIQ AudioPCI ES1370", {"ES1370"}},
    {"gus", "Gravis Ultrasound GF1", {"gus"}},
    {"hda", "Intel HD Audio", {"intel-hda", "hda-duplex"}},
    {"sb16", "Creative Sound Blaster 16", {"sb16"}},
    {"usb-audio", "USB sound card", {"usb-audio"}},
    {"virtio", "virtio sound", {"virtio-sound-pci"}},
};

static bool is_built(const struct model *m)
{
    for (unsigned i = 0; i < BP_COUNT(m->device) && m->device[i]; i++)
        if (!bp_provided("device", m->device[i]))
            return false;
    return true;
}

static int add_card(const char *name, const char *id, struct bp_error *err)
{
    const struct model *m = models;

    while (m < models + BP_COUNT(models) && strcmp(m->name, name) != 0)
        m++;
    if (m == models + BP_COUNT(models))
        return bp_fail(err, EINVAL, "there is no sound card '%.40s'; model=help lists them", name);
    if (!is_built(m))
        return bp_fail(err, ENOTSUP, "not built yet: %s; model=help lists what is", m->summary);
    for (unsigned i = 0; i < BP_COUNT(m->device) && m->device[i]; i++) {
        struct bp_value *keys = bp_value_dict();
        bool last = i + 1 == BP_COUNT(m->device) || !m->device[i + 1];
        int r;

        bp_value_set(keys, "driver", bp_value_string(m->device[i]));
        if (last)
            bp_value_set(keys, "audiodev", bp_value_string(id));
        r = bp_option_add("device", keys, err);
        bp_value_unref(keys);
        if (r < 0)
            return r;
    }
    return 0;
}

static int apply_audio(struct bp_value *args, struct bp_error *err)
{
    const char *model = bp_value_get_string(args, "model");
    static unsigned count;
    struct audio_dev *dev;
    struct bp_value *keys;
    char id[32];
    int r;

    if (!model && count)
        return bp_fail(err, EINVAL, "there is a default back end already; name others with -audiodev");
    keys = bp_value_copy(args);
    snprintf(id, sizeof(id), "audiodev%u", count);
    if (!bp_value_has(keys, "id"))
        bp_value_set(keys, "id", bp_value_string(id));
    r = audio_create(keys, &dev, err);
    if (r == 0)
        count++;
    if (r == 0 && model)
        r = add_card(model, dev->id, err);
    else if (r == 0)
        audio_set_default(dev);
    bp_value_unref(keys);
    return r;
}

static void print_driver(const char *name, const char *summary, void *opaque)
{
    (void)summary;
    (void)opaque;
    printf("%s\n", name);
}

static int help_audio(struct bp_value *args, struct bp_error *err)
{
    const char *model = bp_value_get_string(args, "model");

    (void)err;
    if (model && !strcmp(model, "help")) {
        printf("Valid audio device model names:\n");
        for (unsigned i = 0; i < BP_COUNT(models); i++)
            if (is_built(&models[i]))
                printf("%-11s %s\n", models[i].name, models[i].summary);
        return 0;
    }
    printf("Available audio drivers:\n");
    bp_provided_each("audiodev", print_driver, NULL);
    return 0;
}

static const struct bp_field audio_keys[] = {
    BP_ARG_OPT("driver", STRING, "name of the back end; help lists them"),
    BP_ARG_OPT("model", STRING, "sound card to be made; help lists them. None: it is the default back end"),
    BP_FIELDS_END};
BP_OPTION(audio_option, "audio", "make an audio back end, and a sound card for it", .phase = BP_PHASE_OBJECT,
          .arg = "driver[,model=CARD][,KEY=VALUE...]", .group = "Audio", .keys = audio_keys,
          .implied = "driver", .any_keys = true, .apply = apply_audio, .show_help = help_audio);

/* ---- query-audiodevs ---- */

static void set_direction(struct bp_value *dict, const struct audio_dev *dev, bool input)
{
    const struct bp_audiodev_direction *d = audio_direction(dev, input);
    struct bp_value *v = bp_value_dict();

    bp_value_set(v, "mixing-engine", bp_value_bool(d->mixing_engine));
    bp_value_set(v, "fixed-settings", bp_value_bool(d->fixed_settings));
    if (d->fixed_settings) {
        bp_value_set(v, "frequency", bp_value_uint(d->frequency ? d->frequency : 44100));
        bp_value_set(v, "channels", bp_value_uint(d->channels ? d->channels : 2));
        bp_value_set(v, "format", bp_value_string(d->format ? d->format : "s16"));
    }
    bp_value_set(v, "voices", bp_value_uint(d->voices));
    if (d->buffer_length)
        bp_value_set(v, "buffer-length", bp_value_uint(d->buffer_length));
    bp_value_set(dict, input ? "in" : "out", v);
}

static int query_audiodevs(struct bp_value **ret_value, struct bp_error *err)
{
    (void)err;
    *ret_value = bp_value_list();
    for (const struct audio_dev *dev = audio_devs; dev; dev = dev->next) {
        struct bp_value *v = bp_value_dict();

        bp_value_set(v, "id", bp_value_string(dev->id));
        bp_value_set(v, "driver", bp_value_string(dev->class->type.name + strlen("audiodev-")));
        bp_value_set(v, "timer-period", bp_value_uint(dev->options->timer_period));
        set_direction(v, dev, true);
        set_direction(v, dev, false);
        bp_value_append(*ret_value, v);
    }
    return 0;
}

static const struct bp_field direction_members[] = {
    BP_ARG("mixing-engine", BOOL, "it converts, resamples and mixes"),
    BP_ARG("fixed-settings", BOOL, "the host's format is the one given here"),
    BP_ARG_OPT("frequency", UINT32, "frames a second"), BP_ARG_OPT("channels", UINT32, "channels"),
    BP_ARG_OPT("format", STRING, "of samples"), BP_ARG("voices", UINT32, "host streams"),
    BP_ARG_OPT("buffer-length", UINT32, "microseconds of the host's buffer"), BP_FIELDS_END};
static const struct bp_schema direction_schema = {"AudiodevPerDirectionOptions", BP_KIND_STRUCT,
                                                  .members = direction_members};
static const struct bp_field audiodev_members[] = {
    BP_ARG("id", STRING, "name"), BP_ARG("driver", STRING, "back end"),
    BP_ARG("timer-period", UINT32, "microseconds between two looks at the host's streams"),
    BP_ARG_TYPED("in", STRUCT, &direction_schema, 0, "from the host"),
    BP_ARG_TYPED("out", STRUCT, &direction_schema, 0, "to the host"), BP_FIELDS_END};
static const struct bp_schema audiodev_schema = {"Audiodev", BP_KIND_STRUCT, .members = audiodev_members};
static const struct bp_schema audiodev_list = {"AudiodevList", BP_KIND_LIST, .element_kind = BP_KIND_STRUCT,
                                               .element = &audiodev_schema};
BP_COMMAND(cmd_query, "query-audiodevs", "list the audio back ends", NULL, LIST, &audiodev_list, query_audiodevs,
           BP_COMMAND_PRECONFIG);

/* ---- info audio ---- */

static void hmp_info_audio(struct bp_monitor *mon, struct bp_value *args)
{
    (void)args;
    for (const struct audio_dev *dev = audio_devs; dev; dev = dev->next) {
        bp_monitor_printf(mon, "%s: %s\n", dev->id, dev->class->type.name + strlen("audiodev-"));
        for (const struct audio_stream *s = dev->streams; s; s = s->next) {
            bp_monitor_printf(mon, "  %s: %u Hz, %u channels, %s, %llu frames, %llu of them missing\n",
                              s->input ? "in" : "out", s->format.rate, s->format.channels,
                              !s->running ? "stopped" : s->polled ? "running by its calls" : "running",
                              (unsigned long long)s->done, (unsigned long long)s->missing);
            for (const struct bp_voice *v = s->voices; v; v = v->next)
                bp_monitor_printf(mon, "    %s: %u Hz, %u channels, %s, latency %u us\n", v->name, v->format.rate,
                                  v->format.channels, v->active ? "active" : "silent",
                                  audio_table.voice_latency(v));
        }
    }
}
BP_HMP(hmp_info, "info audio", "", "show audio back ends, their streams and voices", NULL, hmp_info_audio);

BP_MODULE_WITH_FINI("audio", "Audio: voices, mixing, back ends", BP_NO_IMPORTS, NULL, audio_close_all,
                    {BP_PROVIDE_KIND, &kind}, {BP_PROVIDE_INTERFACE, &interface},
                    {BP_PROVIDE_OPTION, &audiodev_option}, {BP_PROVIDE_OPTION, &audio_option},
                    {BP_PROVIDE_COMMAND, &cmd_query}, {BP_PROVIDE_HMP, &hmp_info},
                    {BP_PROVIDE_OTHER, &none_class});

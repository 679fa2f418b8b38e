/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The PC's speaker, heard by an audiodev (-machine pcspk-audiodev=ID): the square wave of the interval timer's third
 * channel while port 0x61 lets it through. Left out: sound by switching the speaker's bit by hand.
 */
#include <errno.h>
#include <string.h>

#include <bp/chip/pit.h>
#include <bp/host/audio.h>

BP_USE(pit, struct bp_pit_interface, "pit", 1);
BP_USE(audio, struct bp_audio_interface, "audio", 1);

#define RATE 32000u
#define LOUD 12000

struct pcspk {
    struct bp_object *audiodev, *timer; /* `timer`: the isa-pit */
    struct bp_voice *voice;
    uint64_t phase; /* in ticks times RATE, within the period */
};

static struct bp_device *timer_of(const struct pcspk *s)
{
    return bp_device_from_object(s->timer);
}

static void process(void *opaque, uint32_t frames)
{
    struct pcspk *s = opaque;
    uint64_t period = (uint64_t)pit->tone(timer_of(s)) * RATE;
    int16_t samples[256];

    if (!period) {
        audio->voice_set_active(s->voice, false);
        return;
    }
    while (frames) {
        uint32_t n = frames < BP_COUNT(samples) ? frames : (uint32_t)BP_COUNT(samples);

        for (uint32_t i = 0; i < n; i++) {
            /* What no ear hears would come back as another tone. */
            samples[i] = period < 2u * BP_PIT_HZ ? 0 : s->phase < period / 2 ? LOUD : -LOUD;
            s->phase = (s->phase + BP_PIT_HZ) % period;
        }
        n = audio->voice_write(s->voice, samples, n);
        if (!n)
            break;
        frames -= n;
    }
}

static void tone_changed(struct bp_device *dev, unsigned n, int level)
{
    struct pcspk *s = bp_device_state(dev);

    (void)n;
    if (!s->voice)
        return;
    if (!audio->voice_is_active(s->voice))
        s->phase = 0;
    audio->voice_set_active(s->voice, level);
}

static int pcspk_attach(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_audio_format format = {RATE, 1, BP_SAMPLE_S16, {0}};
    static const struct bp_voice_ops ops = {.size = sizeof(ops), .process = process};
    struct pcspk *s = bp_device_state(dev);

    if (!s->timer || !timer_of(s))
        return bp_fail(err, EINVAL, "property 'pit' must name an isa-pit");
    bp_device_add_irq_inputs(dev, "tone", 1, tone_changed);
    return audio->voice_new(bp_device_object(dev), s->audiodev, false, "pcspk", &format, &ops, s, &s->voice, err);
}

static void pcspk_detach(struct bp_device *dev)
{
    struct pcspk *s = bp_device_state(dev);

    audio->voice_free(s->voice);
    s->voice = NULL;
}

static const struct bp_state_field fields[] = {BP_SAVE(UINT64, struct pcspk, phase), BP_SAVE_END};

static int loaded(void *state, struct bp_error *err)
{
    struct pcspk *s = state;

    (void)err;
    audio->voice_set_active(s->voice, pit->tone(timer_of(s)) != 0);
    return 0;
}
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .loaded = loaded};

static const struct bp_field props[] = {
    BP_PROP_LINK("audiodev", "audiodev", struct pcspk, audiodev, "where it is heard"),
    BP_PROP_LINK("pit", "isa-pit", struct pcspk, timer, "the interval timer that makes its tone"), BP_FIELDS_END};
BP_BOARD_DEVICE(pcspk, "isa-pcspk", "system", "PC speaker", struct pcspk, props, &table, .category = "sound",
                .attach = pcspk_attach, .detach = pcspk_detach);

static const struct bp_import imports[] = {BP_IMPORT(pit, "pit", 1), BP_IMPORT(audio, "audio", 1), {0}};
BP_MODULE("hw-pcspk", "PC speaker", imports, {BP_PROVIDE_DEVICE, &pcspk});

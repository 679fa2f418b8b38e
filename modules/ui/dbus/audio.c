/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interface org.qemu.Display1.Audio, and -audiodev dbus, whose streams it has: peers hear what is played, and one of
 * them records. Clocks of peers are not known: guest time paces. Who does not keep up misses some.
 */
#define BP_SHARED
#include "dbus-display.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/option.h>

#define LISTENERS_MOST 16u
#define WAITING_MOST 50u /* messages of sound on their way to one listener */
#define RING 65536u      /* bytes that were recorded */

struct dbus_audio {
    struct bp_audiodev_options options;
};

struct stream {
    struct stream *next;
    uint64_t id;
    bool input, running, asked; /* asked: a Read is on its way */
    struct bp_audio_format format;
    uint8_t ring[RING];
    unsigned start, count; /* of the ring */
};

struct hearer {
    struct hearer *next;
    struct dbus_link *link;
    bool input;
};

static struct stream *streams;
static struct hearer *hearers;
static unsigned hearer_count;
static struct bp_object *offered; /* the audiodev */
static bool is_offered;

/* ---- messages ---- */

static sd_bus_message *message(const struct hearer *h, const char *method)
{
    const char *side = h->input ? "AudioInListener" : "AudioOutListener";
    char path[64], interface[64];
    sd_bus_message *m = NULL;

    snprintf(path, sizeof(path), DBUS_ROOT "/%s", side);
    snprintf(interface, sizeof(interface), DBUS_NAME "%s", side);
    return sd_bus_message_new_method_call(dbus_link_bus(h->link), &m, NULL, path, interface, method) < 0 ? NULL : m;
}

static void send_message(struct hearer *h, sd_bus_message *m, int r)
{
    if (r >= 0 && m && sd_bus_message_set_expect_reply(m, 0) >= 0)
        sd_bus_send(dbus_link_bus(h->link), m, NULL);
    sd_bus_message_unref(m);
    dbus_link_sent(h->link);
}

static void tell_begin(struct hearer *h, const struct stream *t)
{
    const struct bp_audio_format *f = &t->format;
    uint32_t frame = bp_audio_frame_bytes(f);
    sd_bus_message *m = message(h, "Init");
    bool is_signed = f->sample == BP_SAMPLE_S8 || f->sample == BP_SAMPLE_S16 || f->sample == BP_SAMPLE_S32;

    send_message(h, m, m ? sd_bus_message_append(m, "tybbuuuub", t->id, 8 * (int)bp_audio_sample_bytes(f->sample),
                                                 (int)(is_signed || f->sample == BP_SAMPLE_F32),
                                                 (int)(f->sample == BP_SAMPLE_F32), f->rate, f->channels, frame,
                                                 frame * f->rate, 0) : -ENOMEM);
}

static void tell_end(struct hearer *h, const struct stream *t)
{
    sd_bus_message *m = message(h, "Fini");

    send_message(h, m, m ? sd_bus_message_append(m, "t", t->id) : -ENOMEM);
}

static void tell_running(struct hearer *h, const struct stream *t)
{
    sd_bus_message *m = message(h, "SetEnabled");

    send_message(h, m, m ? sd_bus_message_append(m, "tb", t->id, (int)t->running) : -ENOMEM);
}

static void tell(const struct stream *t, void (*what)(struct hearer *h, const struct stream *t))
{
    for (struct hearer *h = hearers; h; h = h->next)
        if (h->input == t->input && dbus_link_bus(h->link))
            what(h, t);
}

/* ---- listeners ---- */

static void hearer_free(struct hearer *h)
{
    struct hearer **at = &hearers;

    while (*at != h)
        at = &(*at)->next;
    *at = h->next;
    hearer_count--;
    dbus_link_free(h->link);
    free(h);
    for (struct stream *t = streams; t; t = t->next)
        t->asked = false;
}

static void ready(void *opaque)
{
    struct hearer *h = opaque;

    for (const struct stream *t = streams; t; t = t->next)
        if (t->input == h->input) {
            tell_begin(h, t);
            tell_running(h, t);
        }
}

static void gone(void *opaque)
{
    hearer_free(opaque);
}

static const struct dbus_link_ops link_ops = {.ready = ready, .gone = gone};

static int register_listener(sd_bus_message *m, bool input, sd_bus_error *error)
{
    struct hearer *h;
    int fd;

    if (hearer_count >= LISTENERS_MOST)
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "there are 16 listeners");
    fd = dbus_take_socket(m, error);
    if (fd < 0)
        return fd;
    h = bp_alloc(sizeof(*h));
    h->input = input;
    h->link = dbus_link_peer(fd, &link_ops, h);
    h->next = hearers;
    hearers = h;
    hearer_count++;
    return sd_bus_reply_method_return(m, NULL);
}

static int register_out(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    (void)opaque;
    return register_listener(m, false, error);
}

static int register_in(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    (void)opaque;
    return register_listener(m, true, error);
}

extern const sd_bus_vtable dbus_audio_table[];
const sd_bus_vtable dbus_audio_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("RegisterOutListener", SD_BUS_ARGS("h", listener), SD_BUS_NO_RESULT, register_out,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("RegisterInListener", SD_BUS_ARGS("h", listener), SD_BUS_NO_RESULT, register_in,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END};
static const struct dbus_thing_interface interfaces[] = {{DBUS_NAME "Audio", dbus_audio_table}, {NULL, NULL}};
static struct dbus_thing thing = {.path = DBUS_ROOT "/Audio", .interfaces = interfaces, .opaque = &thing};

int dbus_audio_offer(struct bp_object *audiodev, struct bp_error *err)
{
    int r;

    if (!bp_object_is_a(audiodev, "audiodev-dbus"))
        return bp_fail(err, EINVAL, "key 'audiodev': '%s' is no -audiodev dbus", bp_object_id(audiodev));
    r = dbus_thing_add(&thing, err);
    if (r < 0)
        return r;
    offered = audiodev;
    is_offered = true;
    return 0;
}

void dbus_audio_withdraw(void)
{
    while (hearers)
        hearer_free(hearers);
    dbus_thing_remove(&thing);
    is_offered = false;
}

/* ---- streams ---- */

static int audio_open(struct bp_object *obj, struct bp_error *err)
{
    if (!bp_option_given("display", "type", "dbus"))
        return bp_fail(err, ENODEV, "audiodev dbus needs -display dbus,audiodev=%s", bp_object_id(obj));
    return 0;
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream, struct bp_error *err)
{
    static uint64_t last_id;
    struct stream *t;

    if (is_offered && obj != offered)
        return bp_fail(err, EBUSY, "-display dbus offers the sound of audiodev '%s'", bp_object_id(offered));
    t = bp_alloc(sizeof(*t));
    t->id = ++last_id;
    t->input = request->input;
    t->format = request->format;
    t->next = streams;
    streams = t;
    tell(t, tell_begin);
    *ret_stream = t;
    return 0;
}

static void stream_close(void *stream)
{
    struct stream **at = &streams, *t = stream;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    tell(t, tell_end);
    free(t);
}

static void stream_run(void *stream, bool on)
{
    struct stream *t = stream;

    if (t->running == on)
        return;
    t->running = on;
    if (!on)
        t->count = 0;
    tell(t, tell_running);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    const struct stream *t = stream;
    size_t bytes = (size_t)frames * bp_audio_frame_bytes(&t->format);

    for (struct hearer *h = hearers; h; h = h->next) {
        bool takes = !h->input && dbus_link_bus(h->link) && dbus_link_waiting(h->link) <= WAITING_MOST;
        sd_bus_message *m = takes ? message(h, "Write") : NULL;

        if (!m)
            continue;
        send_message(h, m, sd_bus_message_append(m, "t", t->id) < 0 ? -ENOMEM
                                                                    : sd_bus_message_append_array(m, 'y', data, bytes));
    }
    return frames;
}

/* ---- recording ---- */

static struct stream *stream_of(uint64_t id)
{
    struct stream *t = streams;

    while (t && t->id != id)
        t = t->next;
    return t;
}

static void keep(struct stream *t, const uint8_t *data, size_t bytes)
{
    bytes -= bytes % bp_audio_frame_bytes(&t->format);
    if (bytes > RING - t->count)
        return; /* more than was asked for */
    for (size_t i = 0; i < bytes; i++)
        t->ring[(t->start + t->count + i) % RING] = data[i];
    t->count += (unsigned)bytes;
}

static int recorded(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct stream *t = stream_of((uintptr_t)opaque);
    const void *data;
    size_t bytes;

    (void)error;
    if (!t)
        return 0;
    t->asked = false;
    if (t->running && sd_bus_message_read_array(m, 'y', &data, &bytes) >= 0)
        keep(t, data, bytes);
    return 0;
}

/* The one that came last is who records. */
static void ask(struct stream *t, uint32_t bytes)
{
    struct hearer *h = hearers;
    sd_bus_message *m;

    while (h && (!h->input || !dbus_link_bus(h->link)))
        h = h->next;
    m = h ? message(h, "Read") : NULL;
    if (m && sd_bus_message_append(m, "tt", t->id, (uint64_t)bytes) >= 0 &&
        sd_bus_call_async(dbus_link_bus(h->link), NULL, m, recorded, (void *)(uintptr_t)t->id, UINT64_MAX) >= 0) {
        t->asked = true;
        dbus_link_sent(h->link);
    }
    sd_bus_message_unref(m);
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    struct stream *t = stream;
    uint32_t frame = bp_audio_frame_bytes(&t->format), bytes = frames * frame;
    uint32_t have = bytes < t->count ? bytes : t->count;
    uint8_t *to = data;

    if (!t->asked && t->count < RING / 2)
        ask(t, bytes < RING / 4 ? 2 * bytes : RING / 2 / frame * frame);
    for (uint32_t i = 0; i < have; i++)
        to[i] = t->ring[(t->start + i) % RING];
    memset(to + have, t->format.sample == BP_SAMPLE_U8 ? 0x80 : 0, bytes - have);
    t->start = (t->start + have) % RING;
    t->count -= have;
    return frames;
}

static const struct bp_field props[] = {BP_AUDIODEV_PROPS(struct dbus_audio, options), BP_FIELDS_END};
BP_AUDIODEV(dbus_audio_class, "dbus", "Programs on D-Bus", struct dbus_audio, options, props,
            .audio_flags = BP_AUDIO_PACED, .open = audio_open, .stream_open = stream_open, .stream_close = stream_close,
            .stream_run = stream_run, .stream_write = stream_write, .stream_read = stream_read);

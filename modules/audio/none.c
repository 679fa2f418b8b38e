/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -audiodev none: what is played goes nowhere, what is heard is silence, both as fast as guest time. */
#define BP_SHARED
#include <stdlib.h>
#include <string.h>

#include "audio.h"

struct none {
    struct bp_audiodev_options options;
};

struct none_stream {
    uint32_t frame;
};

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    struct none_stream *s = bp_alloc(sizeof(*s));

    (void)obj;
    (void)err;
    s->frame = bp_audio_frame_bytes(&request->format);
    if (request->format.sample == BP_SAMPLE_U8 || request->format.sample == BP_SAMPLE_U16 ||
        request->format.sample == BP_SAMPLE_U32)
        request->format.sample++; /* silence is all zero in the signed twin */
    *ret_stream = s;
    return 0;
}

static void stream_close(void *stream)
{
    free(stream);
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    (void)stream;
    (void)data;
    return frames;
}

static uint32_t stream_read(void *stream, void *data, uint32_t frames)
{
    const struct none_stream *s = stream;

    memset(data, 0, (size_t)frames * s->frame);
    return frames;
}

static const struct bp_field props[] = {BP_AUDIODEV_PROPS(struct none, options), BP_FIELDS_END};
BP_AUDIODEV(none_class, "none", "Nothing is heard", struct none, options, props, .audio_flags = BP_AUDIO_PACED,
            .stream_open = stream_open, .stream_close = stream_close, .stream_write = stream_write,
            .stream_read = stream_read);

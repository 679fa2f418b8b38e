/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `audio-wav`: what is played goes into a WAV file (RIFF, Microsoft's "Multimedia Programming Interface and
 * Data Specifications 1.0"), as fast as guest time. The sizes in the header are right whenever a second has
 * been written, when playing stops, and at the end. Silence between two sounds is not written.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bp/host/audio.h>
#include <bp/log.h>

BP_USE(audio, struct bp_audio_interface, "audio", 1);
static const struct bp_import imports[] = {BP_IMPORT(audio, "audio", 1), {0}};

#define HEADER 44u
#define FORMAT_PCM 1u
#define FORMAT_FLOAT 3u

struct wav {
    struct bp_audiodev_options options;
    char *path;
    bool open; /* by a stream: there is one file */
};

struct wav_stream {
    struct wav *wav;
    int fd;
    bool failed;
    struct bp_audio_format format;
    uint64_t bytes, told; /* of samples: written; as the header says */
};

static void put(uint8_t *at, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* Sizes that do not fit are told as the most that does: readers then go to the end of the file. */
static int write_header(struct wav_stream *s)
{
    uint32_t frame = bp_audio_frame_bytes(&s->format), most = UINT32_MAX - HEADER;
    uint32_t bytes = s->bytes < most ? (uint32_t)s->bytes : most;
    uint8_t h[HEADER] = "RIFF....WAVEfmt ";

    put(h + 4, bytes + HEADER - 8, 4);
    put(h + 16, 16, 4);
    put(h + 20, s->format.sample == BP_SAMPLE_F32 ? FORMAT_FLOAT : FORMAT_PCM, 2);
    put(h + 22, s->format.channels, 2);
    put(h + 24, s->format.rate, 4);
    put(h + 28, s->format.rate * frame, 4);
    put(h + 32, frame, 2);
    put(h + 34, 8 * bp_audio_sample_bytes(s->format.sample), 2);
    memcpy(h + 36, "data", 4);
    put(h + 40, bytes, 4);
    s->told = s->bytes;
    return pwrite(s->fd, h, sizeof(h), 0) == (ssize_t)sizeof(h) ? 0 : -EIO;
}

static int stream_open(struct bp_object *obj, struct bp_audio_request *request, void **ret_stream,
                       struct bp_error *err)
{
    static const uint8_t has[BP_SAMPLE_END] = { /* WAV has unsigned bytes and signed words */
        BP_SAMPLE_U8, BP_SAMPLE_U8, BP_SAMPLE_S16, BP_SAMPLE_S16, BP_SAMPLE_S32, BP_SAMPLE_S32, BP_SAMPLE_F32};
    struct wav *wav = bp_object_state(obj);
    struct wav_stream *s;
    struct stat st;
    int fd;

    if (request->input)
        return bp_fail(err, ENOTSUP, "audiodev '%s' writes a file: nothing can be recorded from it",
                       bp_object_id(obj));
    if (wav->open)
        return bp_fail(err, EBUSY, "audiodev '%s' has one file for one stream; use out.voices=1",
                       bp_object_id(obj));
    fd = open(wav->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
    if (fd < 0 || fstat(fd, &st) < 0)
        return bp_fail(err, errno, "Could not open '%s': %s", wav->path, strerror(errno));
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return bp_fail(err, EINVAL, "'%s' is no file that sizes could be written into at the end", wav->path);
    }
    s = bp_alloc(sizeof(*s));
    s->wav = wav;
    s->fd = fd;
    request->format.sample = has[request->format.sample];
    s->format = request->format;
    if (write_header(s) < 0) {
        close(fd);
        free(s);
        return bp_fail(err, EIO, "'%s' cannot be written", wav->path);
    }
    wav->open = true;
    *ret_stream = s;
    return 0;
}

static void complain(struct wav_stream *s)
{
    if (!s->failed)
        bp_warn("audiodev wav: '%s' cannot be written: %s", s->wav->path, strerror(errno));
    s->failed = true;
}

static uint32_t stream_write(void *stream, const void *data, uint32_t frames)
{
    struct wav_stream *s = stream;
    size_t bytes = (size_t)frames * bp_audio_frame_bytes(&s->format);
    ssize_t n = pwrite(s->fd, data, bytes, (off_t)(HEADER + s->bytes));

    if (n != (ssize_t)bytes) {
        complain(s); /* the guest's card goes on */
        return frames;
    }
    s->bytes += bytes;
    if (s->bytes - s->told >= (uint64_t)s->format.rate * bp_audio_frame_bytes(&s->format) && write_header(s) < 0)
        complain(s);
    return frames;
}

static void stream_run(void *stream, bool on)
{
    if (!on && write_header(stream) < 0)
        complain(stream);
}

static void stream_close(void *stream)
{
    struct wav_stream *s = stream;

    if (write_header(s) < 0)
        complain(s);
    s->wav->open = false;
    close(s->fd);
    free(s);
}

static const struct bp_field props[] = {
    BP_AUDIODEV_PROPS(struct wav, options),
    BP_PROP("path", STRING, struct wav, path, "qemu.wav", "file that the sound goes into"), BP_FIELDS_END};
BP_AUDIODEV(wav_class, "wav", "What is played goes into a WAV file", struct wav, options, props,
            .audio_flags = BP_AUDIO_PACED, .stream_open = stream_open, .stream_close = stream_close,
            .stream_run = stream_run, .stream_write = stream_write);
BP_MODULE("audio-wav", "WAV files as audio back end", imports, {BP_PROVIDE_OTHER, &wav_class});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A sound device of OSS version 4 (Programmer's Guide: "Direct access to the audio buffer", SNDCTL_DSP_POLICY), played
 * by a library that the emulator is started with: /dev/dsp can be opened, told what it shall be, and mapped. What its
 * "loudspeaker" hears goes, as real time passes, into the file DSP_HEARD; what it was told, into DSP_TOLD.
 * Leaves out: write(), read() and poll().
 */
#undef _FILE_OFFSET_BITS
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/soundcard.h>
#include <time.h>
#include <unistd.h>

#ifndef SNDCTL_DSP_POLICY
#define SNDCTL_DSP_POLICY _SIOWR('P', 45, int)
#endif
#define DEVICES 4

static struct device {
    int fd;
    int rate, frame;
    int pieces, piece;
    uint8_t *buffer;
    int playing;
    uint64_t played; /* bytes */
    pthread_t thread;
} devices[DEVICES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void tell(const char *format, ...)
{
    FILE *f = fopen(getenv("DSP_TOLD"), "a");
    va_list list;

    va_start(list, format);
    if (f) {
        vfprintf(f, format, list);
        fclose(f);
    }
    va_end(list);
}

static struct device *device_of(int fd)
{
    for (unsigned i = 0; i < DEVICES; i++)
        if (devices[i].fd == fd && fd > 0)
            return &devices[i];
    return NULL;
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* The converter: takes from the buffer what its clock says, round and round. */
static void *play(void *opaque)
{
    FILE *heard = fopen(getenv("DSP_HEARD"), "wb");
    struct device *d = opaque;
    int64_t begin = now_ns();
    uint64_t size = (uint64_t)d->pieces * (uint64_t)d->piece, from = 0;

    while (heard && __atomic_load_n(&d->playing, __ATOMIC_ACQUIRE)) {
        uint64_t to = (uint64_t)(now_ns() - begin) / 1000 * (uint64_t)d->rate / 1000000 * (uint64_t)d->frame;

        for (; from < to; from += (uint64_t)d->frame)
            fwrite(d->buffer + from % size, (size_t)d->frame, 1, heard);
        __atomic_store_n(&d->played, from, __ATOMIC_RELEASE);
        usleep(1000);
    }
    if (heard)
        fclose(heard);
    return NULL;
}

static void trigger(struct device *d, int bits)
{
    int on = (bits & PCM_ENABLE_OUTPUT) && d->buffer;

    if (on == d->playing)
        return;
    __atomic_store_n(&d->playing, on, __ATOMIC_RELEASE);
    if (!on)
        pthread_join(d->thread, NULL);
    else
        pthread_create(&d->thread, NULL, play, d);
}

static int tell_space(const struct device *d, audio_buf_info *info)
{
    *info = (audio_buf_info){d->pieces, d->pieces, d->piece, d->pieces * d->piece};
    return 0;
}

static int tell_position(struct device *d, count_info *info)
{
    uint64_t played = __atomic_load_n(&d->played, __ATOMIC_ACQUIRE);

    *info = (count_info){(int)played, 0, (int)(played % ((uint64_t)d->pieces * (uint64_t)d->piece))};
    return 0;
}

static int control(struct device *d, unsigned long what, int *value)
{
    switch (what) {
    case SNDCTL_DSP_POLICY:
        tell("policy %d\n", *value);
        return 0;
    case SNDCTL_DSP_SETFRAGMENT:
        tell("fragments %d of %d\n", *value >> 16, 1 << (*value & 0xFFFF));
        d->pieces = *value >> 16;
        d->piece = 1 << (*value & 0xFFFF);
        return 0;
    case SNDCTL_DSP_SETFMT:
        *value = AFMT_S16_LE;
        return 0;
    case SNDCTL_DSP_CHANNELS:
        d->frame = 2 * *value;
        return 0;
    case SNDCTL_DSP_SPEED:
        d->rate = *value;
        return 0;
    case SNDCTL_DSP_GETCAPS:
        *value = DSP_CAP_MMAP | DSP_CAP_TRIGGER;
        return 0;
    case SNDCTL_DSP_SETTRIGGER:
        trigger(d, *value);
        return 0;
    case SNDCTL_DSP_GETOSPACE:
        return tell_space(d, (audio_buf_info *)value);
    case SNDCTL_DSP_GETOPTR:
        return tell_position(d, (count_info *)value);
    }
    errno = EINVAL;
    return -1;
}

/* ---- in the place of libc's ---- */

static int open_device(int flags)
{
    struct device *d = devices;

    pthread_mutex_lock(&lock);
    while (d < devices + DEVICES && d->fd)
        d++;
    if (d < devices + DEVICES) {
        *d = (struct device){.fd = memfd_create("dsp", MFD_CLOEXEC), .rate = 8000, .frame = 1, .pieces = 4,
                             .piece = 2048};
        tell("open %s%s\n", (flags & O_ACCMODE) == O_RDONLY ? "in" : "out", (flags & O_EXCL) ? " exclusively" : "");
    }
    pthread_mutex_unlock(&lock);
    if (d == devices + DEVICES)
        errno = EBUSY;
    return d < devices + DEVICES ? d->fd : -1;
}

int open(const char *path, int flags, ...)
{
    va_list list;
    int mode;

    va_start(list, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(list, int) : 0;
    va_end(list);
    if (!strcmp(path, "/dev/dsp"))
        return open_device(flags);
    return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(path, flags, mode);
}

int ioctl(int fd, unsigned long what, ...)
{
    struct device *d = device_of(fd);
    va_list list;
    void *value;

    va_start(list, what);
    value = va_arg(list, void *);
    va_end(list);
    return d ? control(d, what, value) : ((int (*)(int, unsigned long, ...))dlsym(RTLD_NEXT, "ioctl"))(fd, what, value);
}

void *mmap(void *at, size_t size, int access, int flags, int fd, off_t offset)
{
    void *(*theirs)(void *, size_t, int, int, int, off_t) =
        (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    struct device *d = device_of(fd);

    if (!d)
        return theirs(at, size, access, flags, fd, offset);
    if (ftruncate(fd, (off_t)size) < 0)
        return MAP_FAILED;
    tell("mapped %zu\n", size);
    d->buffer = theirs(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
    return theirs(at, size, access, flags, fd, offset);
}

int close(int fd)
{
    struct device *d = device_of(fd);

    if (d) {
        trigger(d, 0);
        d->fd = 0;
    }
    return ((int (*)(int))dlsym(RTLD_NEXT, "close"))(fd);
}

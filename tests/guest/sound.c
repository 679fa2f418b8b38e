/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a guest does with its sound cards, by the kernel's own interface (sound/asound.h), in one static program:
 *     sound mixer CARD                    all volumes up, all switches on
 *     sound play CARD RATE HERTZ MS       a tone, stereo, 16 bits
 *     sound record CARD RATE MS           the loudest sample, and Hz by the usual distance of zero crossings upwards
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <sound/asound.h>

static void die(const char *what)
{
    printf("sound: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int open_card(const char *format, const char *card)
{
    char path[64];
    int fd;

    snprintf(path, sizeof(path), format, atoi(card));
    fd = open(path, O_RDWR);
    if (fd < 0)
        die(path);
    return fd;
}

/* ---- mixer ---- */

static void set_element(int fd, const struct snd_ctl_elem_id *id)
{
    struct snd_ctl_elem_info info = {.id = *id};
    struct snd_ctl_elem_value value = {.id = *id};

    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_INFO, &info) < 0 || !(info.access & SNDRV_CTL_ELEM_ACCESS_WRITE))
        return;
    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_READ, &value) < 0)
        return;
    for (unsigned i = 0; i < info.count && i < 128; i++) {
        if (info.type == SNDRV_CTL_ELEM_TYPE_INTEGER)
            value.value.integer.value[i] = info.value.integer.max;
        else if (info.type == SNDRV_CTL_ELEM_TYPE_BOOLEAN && strstr((const char *)id->name, "Switch"))
            value.value.integer.value[i] = 1;
    }
    ioctl(fd, SNDRV_CTL_IOCTL_ELEM_WRITE, &value);
}

static void mixer(const char *card)
{
    static struct snd_ctl_elem_id ids[512];
    struct snd_ctl_elem_list list = {.space = 512, .pids = ids};
    int fd = open_card("/dev/snd/controlC%d", card);

    if (ioctl(fd, SNDRV_CTL_IOCTL_ELEM_LIST, &list) < 0)
        die("elements");
    for (unsigned i = 0; i < list.used; i++)
        set_element(fd, &ids[i]);
    printf("mixer: %u elements\n", list.used);
}

/* ---- streams ---- */

static void any(struct snd_pcm_hw_params *p)
{
    memset(p, 0, sizeof(*p));
    for (unsigned i = 0; i <= SNDRV_PCM_HW_PARAM_LAST_MASK - SNDRV_PCM_HW_PARAM_FIRST_MASK; i++)
        memset(&p->masks[i], 0xff, sizeof(p->masks[i]));
    for (unsigned i = 0; i <= SNDRV_PCM_HW_PARAM_LAST_INTERVAL - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL; i++)
        p->intervals[i].max = ~0u;
    p->rmask = ~0u;
    p->info = ~0u;
}

static void choose(struct snd_pcm_hw_params *p, unsigned mask, unsigned bit)
{
    struct snd_mask *m = &p->masks[mask - SNDRV_PCM_HW_PARAM_FIRST_MASK];

    memset(m, 0, sizeof(*m));
    m->bits[bit / 32] = 1u << bit % 32;
}

static void limit(struct snd_pcm_hw_params *p, unsigned interval, unsigned min, unsigned max)
{
    struct snd_interval *i = &p->intervals[interval - SNDRV_PCM_HW_PARAM_FIRST_INTERVAL];

    i->min = min;
    i->max = max;
    i->integer = 1;
}

static int start(const char *format, const char *card, unsigned rate)
{
    struct snd_pcm_hw_params p;
    int fd = open_card(format, card);

    any(&p);
    choose(&p, SNDRV_PCM_HW_PARAM_ACCESS, SNDRV_PCM_ACCESS_RW_INTERLEAVED);
    choose(&p, SNDRV_PCM_HW_PARAM_FORMAT, SNDRV_PCM_FORMAT_S16_LE);
    limit(&p, SNDRV_PCM_HW_PARAM_CHANNELS, 2, 2);
    limit(&p, SNDRV_PCM_HW_PARAM_RATE, rate, rate);
    limit(&p, SNDRV_PCM_HW_PARAM_PERIOD_SIZE, 1024, 1024);
    limit(&p, SNDRV_PCM_HW_PARAM_PERIODS, 4, 16);
    if (ioctl(fd, SNDRV_PCM_IOCTL_HW_PARAMS, &p) < 0)
        die("parameters");
    if (ioctl(fd, SNDRV_PCM_IOCTL_PREPARE) < 0)
        die("prepare");
    return fd;
}

static void play(const char *card, unsigned rate, double hertz, unsigned ms)
{
    unsigned frames = rate / 1000 * ms / 1024 * 1024; /* whole periods: some drivers drain no others */
    int16_t *sound = calloc(frames, 4);
    struct snd_xferi x = {.buf = sound, .frames = frames};
    int fd = start("/dev/snd/pcmC%dD0p", card, rate);

    for (unsigned i = 0; i < frames; i++)
        sound[2 * i] = sound[2 * i + 1] = (int16_t)lround(8000 * sin(2 * M_PI * hertz * i / rate));
    if (ioctl(fd, SNDRV_PCM_IOCTL_WRITEI_FRAMES, &x) < 0)
        die("write");
    if (ioctl(fd, SNDRV_PCM_IOCTL_DRAIN) < 0)
        die("drain");
    printf("played %ld of %u frames\n", (long)x.result, frames);
    close(fd);
}

static int by_size(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static void record(const char *card, unsigned rate, unsigned ms)
{
    unsigned frames = rate / 1000 * ms, steps = 0;
    double last = -1, *step = calloc(frames, sizeof(*step));
    int16_t *sound = calloc(frames, 4), most = 0;
    struct snd_xferi x = {.buf = sound, .frames = frames};
    int fd = start("/dev/snd/pcmC%dD0c", card, rate);

    if (ioctl(fd, SNDRV_PCM_IOCTL_READI_FRAMES, &x) < 0)
        die("read");
    for (unsigned i = frames / 4; i + 1 < frames; i++) { /* the beginning may be silence */
        int a = sound[2 * i], b = sound[2 * i + 2];

        most = sound[2 * i] > most ? sound[2 * i] : most;
        if (a < 0 && b >= 0) {
            double now = i + (double)a / (a - b);

            if (last >= 0)
                step[steps++] = now - last;
            last = now;
        }
    }
    qsort(step, steps, sizeof(*step), by_size);
    printf("recorded %ld frames, loudest %d, %.2f Hz\n", (long)x.result, most,
           steps ? rate / step[steps / 2] : 0);
    close(fd);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IONBF, 0);
    if (argc == 3 && !strcmp(argv[1], "mixer"))
        mixer(argv[2]);
    else if (argc == 6 && !strcmp(argv[1], "play"))
        play(argv[2], (unsigned)atoi(argv[3]), atof(argv[4]), (unsigned)atoi(argv[5]));
    else if (argc == 5 && !strcmp(argv[1], "record"))
        record(argv[2], (unsigned)atoi(argv[3]), (unsigned)atoi(argv[4]));
    else
        return 2;
    return 0;
}

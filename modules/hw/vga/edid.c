/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The monitor's description (VESA E-EDID 1.4): a base block with the preferred mode as a detailed timing
 * (CVT with reduced blanking), and a CTA-861 block with further ones.
 */
#include <string.h>

#include "vga.h"

#define BLOCK 128u

struct timing {
    uint32_t width, height, refresh_mhz;
};

static void put_text(uint8_t *at, uint8_t tag, const char *text)
{
    size_t n = strlen(text) < 13 ? strlen(text) : 13;

    memset(at, 0, 18);
    at[3] = tag;
    memset(at + 5, ' ', 13);
    memcpy(at + 5, text, n);
    if (n < 13)
        at[5 + n] = '\n';
}

/* 18 bytes; false: the fields have not room for it. */
static bool put_timing(uint8_t *at, const struct timing *t, uint32_t width_mm, uint32_t height_mm)
{
    uint32_t h_blank = 160, h_front = 48, h_sync = 32, v_front = 3, v_sync = 6, v_blank;
    uint64_t clock;

    if (!t->width || !t->height || t->width > 4095 || t->height > 4095)
        return false;
    /* CVT reduced blanking: at least 460 us from frame to frame. */
    v_blank = (uint32_t)((uint64_t)t->height * 460 * t->refresh_mhz / 1000 /
                         (1000000 - 460 * (uint64_t)t->refresh_mhz / 1000)) + 1;
    if (v_blank < v_front + v_sync + 6)
        v_blank = v_front + v_sync + 6;
    clock = (uint64_t)(t->width + h_blank) * (t->height + v_blank) * t->refresh_mhz / 10000000;
    if (clock > 0xffff || v_blank > 4095)
        return false;
    at[0] = (uint8_t)clock;
    at[1] = (uint8_t)(clock >> 8);
    at[2] = (uint8_t)t->width;
    at[3] = (uint8_t)h_blank;
    at[4] = (uint8_t)((t->width >> 8) << 4 | h_blank >> 8);
    at[5] = (uint8_t)t->height;
    at[6] = (uint8_t)v_blank;
    at[7] = (uint8_t)((t->height >> 8) << 4 | v_blank >> 8);
    at[8] = (uint8_t)h_front;
    at[9] = (uint8_t)h_sync;
    at[10] = (uint8_t)(v_front << 4 | v_sync);
    at[11] = 0;
    at[12] = (uint8_t)width_mm;
    at[13] = (uint8_t)height_mm;
    at[14] = (uint8_t)((width_mm >> 8) << 4 | height_mm >> 8);
    at[15] = at[16] = 0;
    at[17] = 0x1a; /* digital separate syncs: horizontal positive, vertical negative (reduced blanking) */
    return true;
}

static void finish(uint8_t *block)
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < BLOCK - 1; i++)
        sum = (uint8_t)(sum + block[i]);
    block[BLOCK - 1] = (uint8_t)-sum;
}

static void put_limits(uint8_t *at)
{
    static const uint8_t limits[18] = {0, 0, 0, 0xfd, 0, 50, 125, 30, 160, 65, 1, '\n',
                                       ' ', ' ', ' ', ' ', ' ', ' '};

    memcpy(at, limits, sizeof(limits));
}

/* What is as good as every driver asks for; first the widest. */
static const struct timing modes[] = {
    {5120, 2160, 50000}, {4096, 2160, 60000}, {3840, 2160, 60000}, {2560, 1600, 60000},
    {2560, 1440, 60000}, {2048, 1152, 60000}, {1920, 1200, 60000}, {1920, 1080, 60000},
    {1600, 1200, 60000}, {1680, 1050, 60000}, {1440, 900, 60000},  {1280, 1024, 60000},
    {1280, 800, 60000},  {1280, 720, 60000},  {1024, 768, 60000},  {800, 600, 60000},
    {640, 480, 60000},
};

static bool allowed(const struct edid_wish *w, const struct timing *t)
{
    return (!w->max_width || t->width <= w->max_width) && (!w->max_height || t->height <= w->max_height);
}

static void put_standard(const struct edid_wish *w, uint8_t *at)
{
    unsigned n = 0;

    memset(at, 0x01, 16); /* unused */
    for (unsigned i = 0; i < BP_COUNT(modes) && n < 8; i++) {
        uint32_t x = modes[i].width, y = modes[i].height;
        int aspect = x * 10 == y * 16  ? 0
                     : x * 3 == y * 4  ? 1
                     : x * 4 == y * 5  ? 2
                     : x * 9 == y * 16 ? 3
                                       : -1;

        if (!allowed(w, &modes[i]) || x > 2288 || x % 8 || aspect < 0)
            continue;
        at[2 * n] = (uint8_t)(x / 8 - 31);
        at[2 * n + 1] = (uint8_t)(aspect << 6 | 0);
        n++;
    }
}

static uint8_t established(const struct edid_wish *w, bool second)
{
    uint8_t bits = 0;

    if (!second) {
        bits |= allowed(w, &(struct timing){640, 480, 0}) ? 0x20 : 0; /* 640 x 480 at 60 Hz */
        bits |= allowed(w, &(struct timing){800, 600, 0}) ? 0x01 : 0;
    } else {
        bits |= allowed(w, &(struct timing){1024, 768, 0}) ? 0x08 : 0;
    }
    return bits;
}

static void put_extension(const struct edid_wish *w, uint8_t *block)
{
    uint8_t *at = block + 4;

    block[0] = 0x02; /* CTA-861 */
    block[1] = 3;
    block[2] = 4; /* detailed timings follow at once */
    for (unsigned i = 0; i < BP_COUNT(modes) && at + 18 <= block + BLOCK - 1; i++) {
        const struct timing *t = &modes[i];

        if (allowed(w, t) && (t->width != w->width || t->height != w->height) &&
            put_timing(at, t, 0, 0))
            at += 18;
    }
    finish(block);
}

void edid_make(const struct edid_wish *w, uint8_t edid[EDID_SIZE])
{
    /* sRGB's chromaticities. */
    static const uint8_t colours[10] = {0xee, 0x91, 0xa3, 0x54, 0x4c, 0x99, 0x26, 0x0f, 0x50, 0x54};
    static const uint8_t magic[8] = {0, 255, 255, 255, 255, 255, 255, 0};
    const struct timing preferred = {w->width, w->height, w->refresh_mhz ? w->refresh_mhz : 60000};
    const unsigned maker = ('B' - 64) << 10 | ('P' - 64) << 5 | ('L' - 64);
    /* 100 dots an inch. */
    uint32_t width_mm = w->width * 254 / 1000, height_mm = w->height * 254 / 1000;
    uint8_t *at = edid + 54;

    memset(edid, 0, EDID_SIZE);
    memcpy(edid, magic, 8);
    edid[8] = (uint8_t)(maker >> 8);
    edid[9] = (uint8_t)maker;
    edid[10] = 0x01;
    edid[16] = 0;  /* week: not said */
    edid[17] = 34; /* 2024 */
    edid[18] = 1;
    edid[19] = 4;
    edid[20] = 0xa5; /* digital, 8 bits a colour, DisplayPort */
    edid[21] = (uint8_t)(width_mm / 10 > 255 ? 255 : width_mm / 10);
    edid[22] = (uint8_t)(height_mm / 10 > 255 ? 255 : height_mm / 10);
    edid[23] = 120; /* gamma 2.2 */
    edid[24] = 0x06; /* sRGB; the first timing is the preferred one, and native */
    memcpy(edid + 25, colours, sizeof(colours));
    edid[35] = established(w, false);
    edid[36] = established(w, true);
    put_standard(w, edid + 38);
    if (put_timing(at, &preferred, width_mm & 0xfff, height_mm & 0xfff))
        at += 18;
    put_limits(at);
    at += 18;
    put_text(at, 0xfc, w->name ? w->name : "Backplane");
    at += 18;
    if (at + 18 <= edid + 126)
        put_text(at, 0xff, w->serial ? w->serial : "0");
    edid[126] = 1;
    finish(edid);
    put_extension(w, edid + BLOCK);
}

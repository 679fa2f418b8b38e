/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Stream descriptors: 3.3.35 to 3.3.44, and the list of buffers that one goes round (3.6.3). */
#include <string.h>

#include <bp/log.h>

#include "hda.h"

static bool is_output(unsigned n)
{
    return n >= HDA_INPUTS;
}

static uint8_t tag_of(const struct hda_stream *t)
{
    return (uint8_t)(t->ctl >> 20 & 0xf);
}

struct hda_stream *hda_stream_find(struct hda *s, uint8_t tag, bool output)
{
    for (unsigned n = 0; n < HDA_STREAMS && tag; n++)
        if (is_output(n) == output && s->stream[n].ctl & SDCTL_RUN && tag_of(&s->stream[n]) == tag)
            return &s->stream[n];
    return NULL;
}

void hda_stream_tell(struct hda *s, unsigned n, bool on)
{
    for (unsigned i = 0; i < BP_HDA_CODECS; i++) {
        const struct bp_hda_info *info = s->codec[i] ? bp_device_class(s->codec[i])->bus_info : NULL;

        if (info && info->stream)
            info->stream(s->codec[i], tag_of(&s->stream[n]), is_output(n), on);
    }
}

/* ---- buffers ---- */

static bool load_buffer(struct hda *s, struct hda_stream *t)
{
    struct {
        uint64_t address;
        uint32_t length, flags;
    } entry;
    struct bp_device *dev = bp_device_of_state(s);

    if (hda_pci->dma_read(dev, t->list + 16u * t->index, &entry, sizeof(entry)) < 0 || !entry.length) {
        bp_guest_error("hda-list", "HDA: buffer %u at %#llx is none", t->index, (unsigned long long)t->list);
        t->status |= SDSTS_DESCRIPTOR;
        t->ctl &= ~SDCTL_RUN;
        return false;
    }
    t->at = entry.address;
    t->left = entry.length;
    t->interrupt = entry.flags & 1;
    t->index = t->index >= t->last ? 0 : (uint16_t)(t->index + 1u);
    t->loaded = true;
    return true;
}

/* Where each stream is, as guest memory has it (3.6.1). */
static void store_position(struct hda *s, const struct hda_stream *t)
{
    uint32_t n = (uint32_t)(t - s->stream);

    if (s->positions & 1)
        hda_pci->dma_write(bp_device_of_state(s), (s->positions & ~(uint64_t)127) + 8u * n, &t->position, 4);
}

uint32_t hda_transfer(struct hda *s, uint8_t tag, bool output, void *buf, uint32_t bytes, uint32_t frame)
{
    struct hda_stream *t = hda_stream_find(s, tag, output);
    struct bp_device *dev = bp_device_of_state(s);
    uint32_t done = 0;

    bytes -= bytes % frame;
    while (t && done < bytes && t->ctl & SDCTL_RUN) {
        uint32_t piece = bytes - done;
        int r;

        if (!t->loaded && !load_buffer(s, t))
            break;
        if (piece > t->left)
            piece = t->left;
        if (t->length && piece > t->length - t->position)
            piece = t->length - t->position;
        r = output ? hda_pci->dma_read(dev, t->at, (uint8_t *)buf + done, piece)
                   : hda_pci->dma_write(dev, t->at, (const uint8_t *)buf + done, piece);
        if (r < 0 && output)
            memset((uint8_t *)buf + done, 0, piece);
        done += piece;
        t->at += piece;
        t->left -= piece;
        t->position += piece;
        if (t->length && t->position >= t->length)
            t->position = 0;
        if (t->left)
            continue;
        t->loaded = false;
        if (t->interrupt)
            t->status |= SDSTS_COMPLETION;
    }
    if (t)
        store_position(s, t);
    hda_update_irq(s);
    return done - done % frame;
}

/* ---- registers ---- */

void hda_stream_reset(struct hda *s, unsigned n)
{
    struct hda_stream *t = &s->stream[n];

    if (t->ctl & SDCTL_RUN) {
        t->ctl &= ~SDCTL_RUN;
        hda_stream_tell(s, n, false);
    }
    *t = (struct hda_stream){.status = SDSTS_READY};
}

uint32_t hda_stream_read(const struct hda *s, unsigned n, unsigned reg)
{
    const struct hda_stream *t = &s->stream[n];
    uint32_t value = 0;

    switch (reg & ~3u) {
    case SDCTL:
        value = t->ctl | (uint32_t)t->status << 24;
        break;
    case SDLPIB:
        value = t->position;
        break;
    case SDCBL:
        value = t->length;
        break;
    case SDLVI:
        value = t->last;
        break;
    case SDFIFOS:
        value = (is_output(n) ? 0xc0u : 0x78u) | (uint32_t)t->format << 16;
        break;
    case SDBDPL:
        value = (uint32_t)t->list;
        break;
    case SDBDPU:
        value = (uint32_t)(t->list >> 32);
        break;
    default:
        break;
    }
    return value >> 8 * (reg & 3) & 0xff;
}

static void write_control(struct hda *s, unsigned n, uint32_t value)
{
    struct hda_stream *t = &s->stream[n];
    bool ran = t->ctl & SDCTL_RUN, runs = value & SDCTL_RUN && !(value & SDCTL_RESET);

    value &= SDCTL_BITS;
    if (value & SDCTL_RESET) {
        hda_stream_reset(s, n);
        t->ctl = SDCTL_RESET; /* until it is written 0 */
        return;
    }
    if (ran && !runs) {
        t->ctl &= ~SDCTL_RUN;
        hda_stream_tell(s, n, false);
    }
    t->ctl = value;
    if (!ran && runs)
        hda_stream_tell(s, n, true);
}

void hda_stream_write(struct hda *s, unsigned n, unsigned reg, uint32_t value, unsigned size)
{
    struct hda_stream *t = &s->stream[n];
    uint32_t mask = size == 4 ? UINT32_MAX : (1u << 8 * size) - 1, shift = 8 * (reg & 3);
    uint32_t bits = value << shift, which = mask << shift;
    bool runs = t->ctl & SDCTL_RUN;

    switch (reg & ~3u) {
    case SDCTL:
        t->status &= (uint8_t)~(bits >> 24 & (SDSTS_COMPLETION | SDSTS_FIFO | SDSTS_DESCRIPTOR));
        if (which & 0xffffff)
            write_control(s, n, (t->ctl & ~which) | (bits & which & 0xffffff));
        break;
    case SDCBL:
        if (!runs)
            t->length = (t->length & ~which) | (bits & which);
        t->position = t->length && t->position >= t->length ? 0 : t->position;
        break;
    case SDLVI:
        if (which & 0xff)
            t->last = bits & 0xff;
        break;
    case SDFIFOS:
        if (which & 0xffff0000u)
            t->format = (uint16_t)((t->format & ~(which >> 16)) | (bits >> 16 & 0x7f7f));
        break;
    case SDBDPL:
        t->list = (t->list & ~(uint64_t)which) | (bits & which & ~127u);
        break;
    case SDBDPU:
        t->list = (t->list & ~((uint64_t)which << 32)) | (uint64_t)(bits & which) << 32;
        break;
    default:
        break;
    }
}

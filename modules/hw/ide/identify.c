// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * IDENTIFY DEVICE (ATA8-ACS 7.16) and IDENTIFY PACKET DEVICE (7.17) data: 256 words, little-endian, texts
 * with their bytes swapped.
 */
#include <string.h>

#include "ide.h"

void ide_text(uint8_t *out, size_t size, const char *text, bool swapped)
{
    size_t len = strlen(text);

    for (size_t i = 0; i < size; i++)
        out[swapped ? i ^ 1 : i] = i < len ? (uint8_t)text[i] : ' ';
}

static void put(uint8_t *out, unsigned word, uint16_t value)
{
    out[2 * word] = (uint8_t)value;
    out[2 * word + 1] = (uint8_t)(value >> 8);
}

static void put32(uint8_t *out, unsigned word, uint32_t value)
{
    put(out, word, (uint16_t)value);
    put(out, word + 1, (uint16_t)(value >> 16));
}

/* Which of a family of modes is selected: bits 8.. of words 63 and 88. */
static uint16_t modes(const struct ide_drive *s, uint8_t family, uint16_t supported)
{
    uint16_t selected = 0;

    if (s->transfer_mode >> 3 == family >> 3)
        selected = (uint16_t)(0x100u << (s->transfer_mode & 7));
    return supported | selected;
}

static void common(const struct ide_drive *s, uint8_t *out)
{
    ide_text(out + 20, 20, s->serial, true);
    ide_text(out + 46, 8, s->version, true);
    ide_text(out + 54, 40, s->model, true);
    put(out, 53, 7);                      /* words 54..58, 64..70, 88 are valid */
    if (ide_has_dma(s)) {
        put(out, 63, modes(s, 0x20, 0x07)); /* multiword DMA 0..2 */
        put(out, 88, modes(s, 0x40, 0x3f)); /* Ultra DMA 0..5 */
    }
    put(out, 64, 3);                      /* PIO 3 and 4 */
    for (unsigned word = 65; word <= 68; word++)
        put(out, word, 120);              /* ns of a cycle */
    put(out, 80, 0x1f0);                  /* ATA/ATAPI-4 .. 8 */
    if (ide_serial(s)) {
        put(out, 76, s->cd ? 0x0006 : 0x0106); /* 1.5 and 3 Gb/s; queues */
        put(out, 222, 0x101e);            /* Serial ATA 1.0a to 2.6 */
    } else {
        put(out, 93, s->unit ? 0x6b00 : 0x603b); /* passed its tests, 80 wires */
    }
}

static uint8_t log2_of(uint32_t n)
{
    uint8_t bits = 0;

    while (n > 1) {
        n >>= 1;
        bits++;
    }
    return bits;
}

static void sizes(const struct ide_drive *s, uint8_t *out)
{
    uint64_t lba28 = s->sectors < 0x0fffffff ? s->sectors : 0x0fffffff;
    uint32_t now = (uint32_t)s->cyls_now * s->heads_now * s->secs_now;
    uint32_t physical = s->conf.physical_block_size / SECTOR;

    put(out, 1, (uint16_t)s->cyls);
    put(out, 3, (uint16_t)s->heads);
    put(out, 6, (uint16_t)s->secs);
    put(out, 54, s->cyls_now);
    put(out, 55, s->heads_now);
    put(out, 56, s->secs_now);
    put32(out, 57, now);
    put32(out, 60, (uint32_t)lba28);
    for (unsigned i = 0; i < 4; i++)
        put(out, 100 + i, (uint16_t)(s->sectors >> 16 * i));
    put(out, 106, 0x4000);
    if (physical > 1)
        put(out, 106, (uint16_t)(0x6000 | log2_of(physical)));
}

static void disk(const struct ide_drive *s, uint8_t *out)
{
    bool trim = s->conf.discard_granularity != 0;

    put(out, 0, 0x0040); /* fixed */
    sizes(s, out);
    put(out, 47, 0x8010); /* 16 sectors a block at most */
    put(out, 48, 0x4000);
    put(out, 49, ide_has_dma(s) ? 0x0f00 : 0x0e00); /* DMA, LBA, IORDY */
    put(out, 50, 0x4000);
    put(out, 59, s->multiple ? (uint16_t)(0x100 | s->multiple) : 0);
    if (ide_serial(s))
        put(out, 75, QUEUE_DEPTH - 1);
    /* SMART, power, write cache, look-ahead, buffers; 48 bits, flushes; log, self-test, FUA, WWN */
    put(out, 82, 0x3069);
    put(out, 83, 0x7400);
    put(out, 84, s->wwn ? 0x4163 : 0x4063);
    put(out, 85, (uint16_t)(0x3008 | (s->smart ? 1 : 0) | (s->write_cache ? 0x20 : 0) |
                            (s->look_ahead ? 0x40 : 0)));
    put(out, 86, 0x3400);
    put(out, 87, s->wwn ? 0x4163 : 0x4063);
    if (trim) {
        put(out, 105, 8); /* blocks of ranges */
        put(out, 169, 1);
    }
    for (unsigned i = 0; s->wwn && i < 4; i++)
        put(out, 108 + i, (uint16_t)(s->wwn >> (48 - 16 * i)));
    put(out, 119, 0x4000);
    put(out, 120, 0x4000);
    put(out, 209, 0x4000); /* logical sector 0 begins a physical one */
    put(out, 217, s->rotation_rate);
}

static void cdrom(const struct ide_drive *s, uint8_t *out)
{
    put(out, 0, 0x85c0); /* ATAPI, CD-ROM, removable, DRQ within 50 us, packets of 12 bytes */
    put(out, 49, ide_has_dma(s) ? 0x0f00 : 0x0e00);
    put(out, 71, 30);
    put(out, 72, 30);
    put(out, 82, 0x0218); /* DEVICE RESET, PACKET, power */
    put(out, 83, 0x4000);
    put(out, 84, 0x4000);
    put(out, 85, 0x0218);
    put(out, 86, 0);
    put(out, 87, 0x4000);
}

void ide_identify(const struct ide_drive *s, uint8_t out[SECTOR])
{
    uint8_t sum = 0xa5;

    memset(out, 0, SECTOR);
    common(s, out);
    if (s->cd)
        cdrom(s, out);
    else
        disk(s, out);
    out[510] = 0xa5; /* a checksum follows */
    for (unsigned i = 0; i < 510; i++)
        sum = (uint8_t)(sum + out[i]);
    out[511] = (uint8_t)-sum;
}

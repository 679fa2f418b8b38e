/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Where all is, and the sectors that are not data: a partition table, the boot sector, the file allocation tables, the
 * root folder. Chapters are those of Microsoft's specification, version 1.03.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vvfat.h"

#define LEAST16 4085u  /* clusters; "FAT Type Determination" */
#define LEAST32 65525u
#define MARGIN 16u     /* those who count wrongly are told apart all the same */
#define MANY32 (1u << 21) /* clusters: larger ones are chosen instead */

static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v);
    put16(p + 2, v >> 16);
}

/* ---- folders ---- */

static uint32_t most_entries(const struct item *folder, const struct item *items)
{
    uint32_t n = folder == items ? 1 : 2; /* the label; . and .. */

    for (uint32_t i = 0; i < folder->children; i++)
        n += 1u + items[folder->first_child + i].long_entries;
    return n;
}

/* "Date and Time Formats"; local time. */
static void put_time(uint8_t *p, time_t when)
{
    struct tm t = {.tm_year = 80, .tm_mday = 1};

    if (!localtime_r(&when, &t) || t.tm_year < 80)
        t = (struct tm){.tm_year = 80, .tm_mday = 1};
    if (t.tm_year > 207)
        t = (struct tm){.tm_year = 207, .tm_mon = 11, .tm_mday = 31};
    put16(p, (uint32_t)(t.tm_hour << 11 | t.tm_min << 5 | (t.tm_sec > 59 ? 59 : t.tm_sec) / 2));
    put16(p + 2, (uint32_t)((t.tm_year - 80) << 9 | (t.tm_mon + 1) << 5 | t.tm_mday));
}

static void put_entry(uint8_t *p, const uint8_t name[SHORT_NAME], uint8_t attributes, uint32_t cluster, uint32_t size,
                      time_t when)
{
    uint8_t stamp[4];

    memset(p, 0, ENTRY);
    memcpy(p, name, SHORT_NAME);
    p[11] = attributes;
    put_time(stamp, when);
    memcpy(p + 14, stamp, 4);     /* made */
    memcpy(p + 18, stamp + 2, 2); /* last used */
    memcpy(p + 22, stamp, 4);     /* written */
    put16(p + 20, cluster >> 16);
    put16(p + 26, cluster);
    put32(p + 28, size);
}

/* "Long File Name Implementation": the last part first. */
static uint8_t *put_long(uint8_t *p, const struct item *item)
{
    static const uint8_t places[13] = {1, 3, 5, 7, 9, 14, 16, 18, 20, 22, 24, 28, 30};
    uint16_t units[MOST_UNITS];
    int length = long_name(item->name, units);

    for (unsigned n = item->long_entries; n > 0; n--, p += ENTRY) {
        memset(p, 0, ENTRY);
        p[0] = (uint8_t)(n | (n == item->long_entries ? 0x40 : 0));
        p[11] = 0x0f;
        p[13] = short_checksum(item->short_name);
        for (unsigned i = 0; i < 13; i++) {
            int at = (int)((n - 1) * 13 + i);

            put16(p + places[i], at < length ? units[at] : at == length ? 0 : 0xffff);
        }
    }
    return p;
}

static bool folder_make(struct disk *d, struct item *folder)
{
    struct item *items = d->tree.items;
    uint8_t *p = calloc(1, folder->size), name[SHORT_NAME];

    folder->entries = p;
    if (!p)
        return false;
    memset(name, ' ', SHORT_NAME);
    if (folder == items) {
        memcpy(name, d->g.label, strlen(d->g.label));
        put_entry(p, name, 0x08, 0, 0, folder->time);
        p += ENTRY;
    } else {
        const struct item *parent = &items[folder->parent];

        name[0] = '.';
        put_entry(p, name, 0x10, folder->first, 0, folder->time);
        name[1] = '.';
        put_entry(p + ENTRY, name, 0x10, parent == items ? 0 : parent->first, 0, parent->time);
        p += 2 * ENTRY;
    }
    for (uint32_t i = 0; i < folder->children; i++) {
        const struct item *item = &items[folder->first_child + i];

        p = put_long(p, item);
        put_entry(p, item->short_name, item->folder ? 0x10 : 0x20, item->first, item->folder ? 0 : (uint32_t)item->size,
                  item->time);
        p += ENTRY;
    }
    return true;
}

int folders_make(struct disk *d, struct bp_error *err)
{
    for (uint32_t i = 0; i < d->tree.count; i++)
        if (d->tree.items[i].folder && !folder_make(d, &d->tree.items[i]))
            return bp_fail(err, ENOMEM, "vvfat: no memory for folders");
    return 0;
}

static int size_folders(struct disk *d, struct bp_error *err)
{
    for (uint32_t i = 0; i < d->tree.count; i++) {
        struct item *item = &d->tree.items[i];

        if (!item->folder)
            continue;
        item->size = (uint64_t)most_entries(item, d->tree.items) * ENTRY;
        if (item->size > MOST_FOLDER)
            return bp_fail(err, EFBIG, "vvfat: folder '%s' in '%s' has more files than FAT can have in one",
                           item->name ? item->name : ".", d->tree.path);
    }
    return 0;
}

/* ---- places ---- */

/* In the root folder's own place, or a cluster chain? */
static bool has_clusters(const struct disk *d, uint32_t item)
{
    return (item > 0 || d->g.bits == 32) && d->tree.items[item].size > 0;
}

static uint64_t clusters_needed(const struct disk *d, uint32_t per_cluster)
{
    uint64_t bytes = per_cluster * SECTOR, n = 0;

    for (uint32_t i = 0; i < d->tree.count; i++)
        if (has_clusters(d, i))
            n += (d->tree.items[i].size + bytes - 1) / bytes;
    return n;
}

static int too_much(const struct disk *d, struct bp_error *err)
{
    const struct geometry *g = &d->g;

    return bp_fail(err, EFBIG, "vvfat: what is in '%s' does not fit on a %s with FAT%u%s", d->tree.path,
                   g->floppy ? "floppy disk" : "disk", g->bits,
                   g->floppy ? "" : g->bits == 32 ? "" : g->bits == 16 ? ": FAT32 holds more" : ": FAT16 holds more");
}

static bool choose_clusters(struct disk *d, unsigned bits)
{
    uint32_t most = bits == 12 ? LEAST16 - 1 - MARGIN : bits == 16 ? LEAST32 - 1 - MARGIN : MANY32;
    uint32_t least = bits == 12 ? 64 : bits == 16 ? LEAST16 + MARGIN : LEAST32 + MARGIN;
    uint64_t needed = 0;

    d->g.bits = bits;
    if (bits != 32 && d->tree.items[0].size > 65535u / 16 * 16 * ENTRY)
        return false;
    for (d->g.per_cluster = 1; d->g.per_cluster <= 64; d->g.per_cluster *= 2) {
        needed = clusters_needed(d, d->g.per_cluster);
        if (needed <= most)
            break;
    }
    if (d->g.per_cluster > 64) {
        d->g.per_cluster = 64;
        if (bits != 32 || needed * 64 > UINT32_MAX - (1u << 26))
            return false;
    }
    d->g.used = (uint32_t)needed;
    d->g.clusters = d->g.used > least ? d->g.used : least;
    return true;
}

static uint32_t fat_size(const struct geometry *g)
{
    uint64_t entries = (uint64_t)g->clusters + 2;

    return (uint32_t)((entries * g->bits / 8 + 1 + SECTOR - 1) / SECTOR);
}

static int place_on_disk(struct disk *d, struct bp_error *err)
{
    struct geometry *g = &d->g;
    uint32_t root = (uint32_t)(d->tree.items[0].size / ENTRY), cylinder;

    if (g->bits ? !choose_clusters(d, g->bits) : !choose_clusters(d, 16) && !choose_clusters(d, 32))
        return too_much(d, err);
    g->media = 0xf8;
    g->sectors_per_track = 63;
    g->heads = 16;
    g->start = 63;
    g->reserved = g->bits == 32 ? 32 : 1;
    g->root_entries = g->bits == 32 ? 0 : root < 512 ? 512 : (root + 15) / 16 * 16;
    g->fat_sectors = fat_size(g);
    g->volume_sectors = g->reserved + 2 * (uint64_t)g->fat_sectors + g->root_entries / 16 +
                        (uint64_t)g->clusters * g->per_cluster;
    if (g->start + g->volume_sectors > 1024u * 16 * 63)
        g->heads = 255;
    cylinder = g->heads * g->sectors_per_track;
    g->disk_sectors = (g->start + g->volume_sectors + cylinder - 1) / cylinder * cylinder;
    return 0;
}

/* 1.44 MB, or 2.88 MB when that is too small, or for FAT16. */
static int place_on_floppy(struct disk *d, struct bp_error *err)
{
    struct geometry *g = &d->g;

    g->bits = g->bits ? g->bits : 12;
    if (g->bits == 32)
        return bp_fail(err, EINVAL, "vvfat: a floppy disk is too small for FAT32: fat-type=12 or 16");
    for (unsigned large = g->bits == 16; large < 2; large++) {
        g->media = 0xf0;
        g->heads = 2;
        g->sectors_per_track = large ? 36 : 18;
        g->volume_sectors = g->disk_sectors = large ? 5760 : 2880;
        g->reserved = 1;
        g->root_entries = large ? 240 : 224;
        g->per_cluster = large && g->bits == 12 ? 2 : 1;
        g->fat_sectors = g->bits == 16 ? 23 : 9;
        g->clusters = (uint32_t)(g->volume_sectors - 1 - 2 * g->fat_sectors - g->root_entries / 16) / g->per_cluster;
        if (clusters_needed(d, g->per_cluster) <= g->clusters && d->tree.items[0].size <= g->root_entries * ENTRY) {
            g->used = (uint32_t)clusters_needed(d, g->per_cluster);
            return 0;
        }
    }
    return too_much(d, err);
}

static int allot(struct disk *d, struct bp_error *err)
{
    uint32_t next = 2, bytes = d->g.per_cluster * SECTOR;

    d->runs = calloc(d->tree.count, sizeof(*d->runs));
    if (!d->runs)
        return bp_fail(err, ENOMEM, "vvfat: no memory");
    for (uint32_t i = 0; i < d->tree.count; i++) {
        struct item *item = &d->tree.items[i];

        if (!has_clusters(d, i))
            continue;
        item->first = next;
        item->clusters = (uint32_t)((item->size + bytes - 1) / bytes);
        next += item->clusters;
        d->runs[d->run_count++] = i;
    }
    return 0;
}

int layout_make(struct disk *d, struct bp_error *err)
{
    int ret = size_folders(d, err);

    if (ret == 0)
        ret = d->g.floppy ? place_on_floppy(d, err) : place_on_disk(d, err);
    if (ret == 0)
        ret = allot(d, err);
    return ret < 0 ? ret : folders_make(d, err);
}

uint64_t data_start(const struct geometry *g)
{
    return g->start + g->reserved + 2 * (uint64_t)g->fat_sectors + g->root_entries / 16;
}

uint32_t layout_owner(const struct disk *d, uint32_t cluster)
{
    uint32_t low = 0, high = d->run_count;

    while (low < high) { /* the last that begins at or before it */
        uint32_t middle = low + (high - low) / 2;

        if (d->tree.items[d->runs[middle]].first <= cluster)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return UINT32_MAX;
    low = d->runs[low - 1];
    return cluster - d->tree.items[low].first < d->tree.items[low].clusters ? low : UINT32_MAX;
}

/* ---- sectors ---- */

/* "FAT Data Structure" */
static uint32_t fat_entry(const struct disk *d, uint64_t n)
{
    const struct geometry *g = &d->g;
    uint32_t end = g->bits == 12 ? 0xfff : g->bits == 16 ? 0xffff : 0x0fffffff, owner;

    if (n == 0)
        return (end & ~0xffu) | g->media;
    if (n == 1)
        return end; /* unmounted in order, no errors */
    if (n >= (uint64_t)g->clusters + 2)
        return 0;
    owner = layout_owner(d, (uint32_t)n);
    if (owner == UINT32_MAX)
        return 0;
    return n + 1 < (uint64_t)d->tree.items[owner].first + d->tree.items[owner].clusters ? (uint32_t)n + 1 : end;
}

static void fat_sector(const struct disk *d, uint32_t sector, uint8_t *out)
{
    unsigned bits = d->g.bits;

    for (unsigned i = 0; bits != 12 && i < SECTOR * 8 / bits; i++) {
        uint32_t value = fat_entry(d, (uint64_t)sector * (SECTOR * 8 / bits) + i);

        if (bits == 16)
            put16(out + 2 * i, value);
        else
            put32(out + 4 * i, value);
    }
    for (unsigned i = 0; bits == 12 && i < SECTOR; i++) {
        uint64_t at = (uint64_t)sector * SECTOR + i, pair = at / 3;
        uint32_t both = fat_entry(d, 2 * pair) | fat_entry(d, 2 * pair + 1) << 12;

        out[i] = (uint8_t)(both >> 8 * (at % 3));
    }
}

/* Where the code that is not there goes on: INT 18h, and no further. */
static const uint8_t no_boot[] = {0xcd, 0x18, 0xf4, 0xeb, 0xfd};

/* "Boot Sector and BPB" */
static void boot_sector(const struct disk *d, uint8_t *out)
{
    const struct geometry *g = &d->g;
    unsigned at = g->bits == 32 ? 64 : 36; /* what follows the BPB */
    char text[16];

    out[0] = 0xeb;
    out[1] = g->bits == 32 ? 0x58 : 0x3c;
    out[2] = 0x90;
    memcpy(out + 3, "MSWIN4.1", 8);
    put16(out + 11, SECTOR);
    out[13] = (uint8_t)g->per_cluster;
    put16(out + 14, g->reserved);
    out[16] = 2;
    put16(out + 17, g->root_entries);
    put16(out + 19, g->bits != 32 && g->volume_sectors < 65536 ? (uint32_t)g->volume_sectors : 0);
    out[21] = g->media;
    put16(out + 22, g->bits == 32 ? 0 : g->fat_sectors);
    put16(out + 24, g->sectors_per_track);
    put16(out + 26, g->heads);
    put32(out + 28, g->start);
    put32(out + 32, g->bits != 32 && g->volume_sectors < 65536 ? 0 : (uint32_t)g->volume_sectors);
    if (g->bits == 32) {
        put32(out + 36, g->fat_sectors);
        put32(out + 44, 2); /* the root folder's cluster */
        put16(out + 48, 1); /* FSInfo */
        put16(out + 50, 6); /* the boot sector again */
    }
    out[at] = g->floppy ? 0 : 0x80;
    out[at + 2] = 0x29;
    put32(out + at + 3, g->serial);
    memset(out + at + 7, ' ', SHORT_NAME);
    memcpy(out + at + 7, g->label, strlen(g->label));
    snprintf(text, sizeof(text), "FAT%-5u", g->bits);
    memcpy(out + at + 18, text, 8);
    memcpy(out + at + 26, no_boot, sizeof(no_boot));
    put16(out + 510, 0xaa55);
}

/* "FAT32 FSInfo Sector Structure" */
static void info_sector(const struct disk *d, uint8_t *out)
{
    put32(out, 0x41615252);
    put32(out + 484, 0x61417272);
    put32(out + 488, d->g.clusters - d->g.used);
    put32(out + 492, d->g.used + 2);
    put32(out + 508, 0xaa550000);
}

static void put_chs(const struct geometry *g, uint8_t *p, uint64_t sector)
{
    uint64_t cylinder = sector / (g->heads * g->sectors_per_track);
    uint32_t head = (uint32_t)(sector / g->sectors_per_track % g->heads);
    uint32_t number = (uint32_t)(sector % g->sectors_per_track) + 1;

    if (cylinder > 1023) {
        cylinder = 1023;
        head = g->heads - 1;
        number = g->sectors_per_track;
    }
    p[0] = (uint8_t)head;
    p[1] = (uint8_t)(number | (cylinder >> 8) << 6);
    p[2] = (uint8_t)cylinder;
}

static void partition_table(const struct disk *d, uint8_t *out)
{
    const struct geometry *g = &d->g;
    uint64_t last = g->start + g->volume_sectors - 1;
    bool beyond = last >= 1024ull * g->heads * g->sectors_per_track;
    uint8_t *p = out + 446;

    memcpy(out, no_boot, sizeof(no_boot));
    put32(out + 440, g->serial);
    put_chs(g, p + 1, g->start);
    p[4] = g->bits == 12 ? 0x01 : g->bits == 32 ? (beyond ? 0x0c : 0x0b)
           : g->volume_sectors < 65536 ? 0x04 : beyond ? 0x0e : 0x06;
    put_chs(g, p + 5, last);
    put32(p + 8, g->start);
    put32(p + 12, (uint32_t)g->volume_sectors);
    put16(out + 510, 0xaa55);
}

void layout_sector(const struct disk *d, uint64_t sector, uint8_t out[SECTOR])
{
    const struct geometry *g = &d->g;
    uint64_t at = sector - g->start;

    memset(out, 0, SECTOR);
    if (sector < g->start) {
        if (sector == 0)
            partition_table(d, out);
        return;
    }
    if (at < g->reserved) {
        if (at == 0 || at == 6)
            boot_sector(d, out);
        else if (at == 1 || at == 7)
            info_sector(d, out);
        else if (at == 2 || at == 8)
            put16(out + 510, 0xaa55);
        return;
    }
    at -= g->reserved;
    if (at < 2 * (uint64_t)g->fat_sectors) {
        fat_sector(d, (uint32_t)(at % g->fat_sectors), out);
        return;
    }
    at = (at - 2 * (uint64_t)g->fat_sectors) * SECTOR;
    if (at < g->root_entries * ENTRY && at < d->tree.items[0].size) {
        uint64_t left = d->tree.items[0].size - at;

        memcpy(out, d->tree.items[0].entries + at, left < SECTOR ? left : SECTOR);
    }
}

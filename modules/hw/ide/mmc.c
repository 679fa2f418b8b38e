// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The commands of a CD and DVD-ROM drive (MMC-6, T10/1836-D; SPC-3 for INQUIRY, REQUEST SENSE, MODE SENSE).
 * A medium is one session of one data track in mode 1; above 700 MiB it is a DVD. Left out: writing, audio,
 * sub-channels, error correction bytes of READ CD, changers.
 */
#include <string.h>

#include "ide.h"

enum { NOT_READY = 2, MEDIUM_ERROR = 3, ILLEGAL_REQUEST = 5, UNIT_ATTENTION = 6 };
#define NEEDS_MEDIUM 1u
#define ALWAYS 2u /* whatever has to be reported first */
#define CD_MAX_BLOCKS 358400u /* 700 MiB */
enum { PROFILE_NONE = 0, PROFILE_CD = 8, PROFILE_DVD = 0x10 };
enum { EVENT_NONE, EVENT_EJECT, EVENT_NEW, EVENT_REMOVED };

static uint32_t get16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t get24(const uint8_t *p)
{
    return (uint32_t)p[0] << 16 | get16(p + 1);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void put32(uint8_t *p, uint32_t value)
{
    put16(p, value >> 16);
    put16(p + 2, value);
}

static bool has_medium(const struct ide_drive *s)
{
    return !s->tray_open && block->inserted(s->blk);
}

uint32_t mmc_blocks(const struct ide_drive *s)
{
    uint64_t blocks = s->sectors / (CD_SECTOR / SECTOR);

    return blocks > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)blocks;
}

static uint16_t profile(const struct ide_drive *s)
{
    if (!has_medium(s))
        return PROFILE_NONE;
    return mmc_blocks(s) > CD_MAX_BLOCKS ? PROFILE_DVD : PROFILE_CD;
}

static void bad_field(struct ide_drive *s)
{
    ide_packet_check(s, ILLEGAL_REQUEST, 0x24, 0);
}

/* A reply of `length` zeroes to fill in. */
static uint8_t *blank(struct ide_drive *s, uint32_t length)
{
    ide_need_data(s);
    memset(s->data, 0, length);
    return s->data;
}

/* ---- media ---- */

void mmc_medium(struct ide_drive *s, bool loaded)
{
    int64_t length = block->length(s->blk);

    s->sectors = length > 0 ? (uint64_t)length / SECTOR : 0;
    if (s->tray_open == loaded) {
        s->tray_open = !loaded;
        block->tray(s->blk, !loaded);
    }
    s->medium_event = loaded ? EVENT_NEW : EVENT_REMOVED;
    s->attention_medium = loaded;
}

void mmc_eject_wanted(struct ide_drive *s, bool force)
{
    s->medium_event = EVENT_EJECT;
    if (force)
        s->locked = false;
}

/* ---- commands ---- */

static void test_unit_ready(struct ide_drive *s)
{
    ide_packet_good(s);
}

static void request_sense(struct ide_drive *s)
{
    uint8_t *out = blank(s, 18);

    out[0] = 0x70; /* this error, fixed format */
    out[2] = s->sense;
    out[7] = 10;
    out[12] = s->asc;
    out[13] = s->ascq;
    if (!s->sense && s->attention_medium) {
        out[2] = UNIT_ATTENTION;
        out[12] = 0x28;
        s->attention_medium = false;
    }
    s->sense = s->asc = s->ascq = 0;
    ide_packet_reply(s, 18, s->cdb[4]);
}

static void vital_product_data(struct ide_drive *s)
{
    uint8_t *out = blank(s, 64), page = s->cdb[2];
    uint32_t n = 0;

    out[0] = 5;
    out[1] = page;
    switch (page) {
    case 0:
        out[4] = 0x00;
        out[5] = 0x80;
        out[6] = 0x83;
        n = 3;
        break;
    case 0x80:
        ide_text(out + 4, 20, s->serial, false);
        n = 20;
        break;
    case 0x83:
        out[4] = 2; /* ASCII; vendor specific, of the logical unit */
        out[7] = 20;
        ide_text(out + 8, 20, s->serial, false);
        n = 24;
        if (s->wwn) {
            out[28] = 1; /* binary; NAA */
            out[29] = 3;
            out[31] = 8;
            put32(out + 32, (uint32_t)(s->wwn >> 32));
            put32(out + 36, (uint32_t)s->wwn);
            n = 36;
        }
        break;
    default: bad_field(s); return;
    }
    put16(out + 2, n);
    ide_packet_reply(s, 4 + n, get16(s->cdb + 3));
}

static void inquiry(struct ide_drive *s)
{
    uint8_t *out;

    if (s->cdb[1] & 1) {
        vital_product_data(s);
        return;
    }
    if (s->cdb[2] || s->cdb[1] & 2) {
        bad_field(s);
        return;
    }
    out = blank(s, 36);
    out[0] = 5;    /* CD-ROM */
    out[1] = 0x80; /* removable */
    out[2] = 0;    /* as ATAPI has it */
    out[3] = 0x21;
    out[4] = 31;
    ide_text(out + 8, 8, "QEMU", false);
    ide_text(out + 16, 16, s->model, false);
    ide_text(out + 32, 4, s->version, false);
    ide_packet_reply(s, 36, s->cdb[4]);
}

static void open_tray(struct ide_drive *s)
{
    if (s->locked) {
        ide_packet_check(s, has_medium(s) ? ILLEGAL_REQUEST : NOT_READY, 0x53, 0x02);
        return;
    }
    if (!s->tray_open) {
        s->tray_open = true;
        s->medium_event = EVENT_REMOVED;
        block->tray(s->blk, true);
    }
    ide_packet_good(s);
}

static void close_tray(struct ide_drive *s)
{
    if (s->tray_open) {
        s->tray_open = false;
        block->tray(s->blk, false);
        if (block->inserted(s->blk))
            mmc_medium(s, true);
    }
    ide_packet_good(s);
}

static void start_stop(struct ide_drive *s)
{
    unsigned what = s->cdb[4] & 3;

    if (s->cdb[4] & 0xf0 || !(what & 2)) /* power conditions; spinning up and down */
        ide_packet_good(s);
    else if (what == 2)
        open_tray(s);
    else
        close_tray(s);
}

static void prevent_allow(struct ide_drive *s)
{
    s->locked = s->cdb[4] & 1;
    block->lock_medium(s->blk, s->locked);
    ide_packet_good(s);
}

static void read_capacity(struct ide_drive *s)
{
    uint8_t *out = blank(s, 8);
    uint32_t blocks = mmc_blocks(s);

    put32(out, blocks ? blocks - 1 : 0);
    put32(out + 4, CD_SECTOR);
    ide_packet_reply(s, 8, 8);
}

static void read_format_capacities(struct ide_drive *s)
{
    uint8_t *out = blank(s, 12);

    out[3] = 8;
    put32(out + 4, has_medium(s) ? mmc_blocks(s) : 0);
    put32(out + 8, CD_SECTOR);
    out[8] = has_medium(s) ? 2 : 3; /* formatted; no medium */
    ide_packet_reply(s, 12, get16(s->cdb + 7));
}

static void read_blocks(struct ide_drive *s, uint32_t lba, uint32_t count, uint8_t parts, uint32_t stride)
{
    uint32_t blocks = mmc_blocks(s);

    if (count == 0 || stride == 0) {
        ide_packet_good(s);
        return;
    }
    if (lba >= blocks || count > blocks - lba) {
        ide_packet_check(s, ILLEGAL_REQUEST, 0x21, 0); /* out of range */
        return;
    }
    s->lba = lba;
    s->left = count;
    s->cd_parts = parts;
    s->cd_stride = stride;
    s->task = TASK_PACKET_READ;
    ide_packet_read_next(s);
}

static void read_10(struct ide_drive *s)
{
    read_blocks(s, get32(s->cdb + 2), get16(s->cdb + 7), 0, CD_SECTOR);
}

static void read_12(struct ide_drive *s)
{
    read_blocks(s, get32(s->cdb + 2), get32(s->cdb + 6), 0, CD_SECTOR);
}

/* Which parts of a sector in mode 1: sync 12, header 4, user data 2048. */
static void read_cd_range(struct ide_drive *s, uint32_t lba, uint32_t count)
{
    uint8_t parts = s->cdb[9], type = s->cdb[1] >> 2 & 7;
    uint32_t stride = (parts & 0x80 ? 12u : 0) + (parts & 0x20 ? 4u : 0) + (parts & 0x10 ? CD_SECTOR : 0);

    if (type > 1 && type != 2) {
        ide_packet_check(s, ILLEGAL_REQUEST, 0x64, 0); /* not the mode of this track */
        return;
    }
    if (type == 1 || parts & 0x0e || s->cdb[10] & 7) { /* audio; EDC and ECC, C2; sub-channels */
        bad_field(s);
        return;
    }
    read_blocks(s, lba, count, (parts & 0xb0) == 0x10 ? 0 : parts & 0xb0, stride);
}

static void read_cd(struct ide_drive *s)
{
    read_cd_range(s, get32(s->cdb + 2), get24(s->cdb + 6));
}

static uint32_t from_msf(const uint8_t *p)
{
    return ((uint32_t)p[0] * 60 + p[1]) * 75 + p[2] - 150;
}

static void read_cd_msf(struct ide_drive *s)
{
    uint32_t first = from_msf(s->cdb + 3), last = from_msf(s->cdb + 6);

    if (last < first) {
        bad_field(s);
        return;
    }
    read_cd_range(s, first, last - first);
}

static void seek(struct ide_drive *s)
{
    if (get32(s->cdb + 2) >= mmc_blocks(s))
        ide_packet_check(s, ILLEGAL_REQUEST, 0x21, 0);
    else
        ide_packet_good(s);
}

static void put_address(uint8_t *p, uint32_t lba, bool msf)
{
    if (!msf) {
        put32(p, lba);
        return;
    }
    lba += 150;
    p[0] = 0;
    p[1] = (uint8_t)(lba / 75 / 60);
    p[2] = (uint8_t)(lba / 75 % 60);
    p[3] = (uint8_t)(lba % 75);
}

static uint32_t raw_entry(uint8_t *out, uint8_t point, uint32_t lba, bool msf, uint8_t minute)
{
    out[0] = 1;    /* session */
    out[1] = 0x14; /* data track, recorded uninterrupted */
    out[3] = point;
    if (point >= 0xa0 && point < 0xa2)
        out[8] = minute;
    else
        put_address(out + 7, lba, msf);
    return 11;
}

static uint32_t toc(struct ide_drive *s, uint8_t *out, unsigned format, bool msf)
{
    uint32_t n = 4, end = mmc_blocks(s);

    out[2] = out[3] = 1; /* first and last track, or session */
    switch (format) {
    case 0:
        if (s->cdb[6] <= 1) {
            out[n + 1] = 0x14;
            out[n + 2] = 1;
            put_address(out + n + 4, 0, msf);
            n += 8;
        }
        out[n + 1] = 0x16;
        out[n + 2] = 0xaa; /* lead-out */
        put_address(out + n + 4, end, msf);
        return n + 8;
    case 1:
        out[n + 1] = 0x14;
        out[n + 2] = 1;
        put_address(out + n + 4, 0, msf);
        return n + 8;
    default:
        n += raw_entry(out + n, 0xa0, 0, true, 1);
        n += raw_entry(out + n, 0xa1, 0, true, 1);
        n += raw_entry(out + n, 0xa2, end, true, 0);
        return n + raw_entry(out + n, 1, 0, true, 0);
    }
}

static void read_toc(struct ide_drive *s)
{
    unsigned format = s->cdb[2] & 15;
    uint8_t *out = blank(s, 64);
    uint32_t n;

    if (!format)
        format = s->cdb[9] >> 6; /* where SFF-8020 had it */
    if (format > 2 || (format == 0 && s->cdb[6] > 1 && s->cdb[6] != 0xaa)) {
        bad_field(s);
        return;
    }
    n = toc(s, out, format, s->cdb[1] & 2);
    put16(out, n - 2);
    ide_packet_reply(s, n, get16(s->cdb + 7));
}

static void read_subchannel(struct ide_drive *s)
{
    uint8_t *out = blank(s, 16);

    out[1] = 0x15; /* no audio status */
    if (!(s->cdb[2] & 0x40)) { /* SUBQ: data are not wanted */
        ide_packet_reply(s, 4, get16(s->cdb + 7));
        return;
    }
    if (s->cdb[3] != 1) {
        bad_field(s);
        return;
    }
    out[3] = 12;
    out[4] = 1;
    out[5] = 0x14;
    out[6] = out[7] = 1;
    ide_packet_reply(s, 16, get16(s->cdb + 7));
}

/* ---- what the drive can do ---- */

static uint32_t feature(uint8_t *out, uint16_t code, uint8_t flags, const uint8_t *data, uint8_t length)
{
    put16(out, code);
    out[2] = flags; /* version << 2, persistent, current */
    out[3] = length;
    memcpy(out + 4, data, length);
    return 4u + length;
}

static void get_configuration(struct ide_drive *s)
{
    uint16_t now = profile(s), first = (uint16_t)get16(s->cdb + 2);
    uint8_t which = s->cdb[1] & 3, *out = blank(s, 256);
    const struct {
        uint16_t code;
        uint8_t flags, length;
        uint8_t data[8];
    } features[] = {
        {0x0000, 0x03, 8, {0, 0x10, now == PROFILE_DVD, 0, 0, 0x08, now == PROFILE_CD, 0}},
        {0x0001, 0x0b, 8, {0, 0, 0, 2, 1, 0, 0, 0}},  /* core: ATAPI, device busy events */
        {0x0003, 0x03, 4, {0x29, 0, 0, 0}},           /* removable: tray, eject, lock */
        {0x0010, now ? 1 : 0, 8, {0, 0, 8, 0, 0, 16, 1, 0}}, /* random reading */
        {0x001e, (uint8_t)(0x08 | (now == PROFILE_CD)), 4, {0}},
        {0x001f, (uint8_t)(0x00 | (now == PROFILE_DVD)), 0, {0}},
        {0x0100, 0x03, 0, {0}},                       /* power management */
    };
    uint32_t n = 8;

    if (which == 3) {
        bad_field(s);
        return;
    }
    for (size_t i = 0; i < BP_COUNT(features); i++) {
        bool wanted = which == 2 ? features[i].code == first : features[i].code >= first;

        if (wanted && (which != 1 || features[i].flags & 1))
            n += feature(out + n, features[i].code, features[i].flags, features[i].data,
                         features[i].length);
    }
    put32(out, n - 4);
    put16(out + 6, now);
    ide_packet_reply(s, n, get16(s->cdb + 7));
}

static void get_event_status(struct ide_drive *s)
{
    uint8_t *out = blank(s, 8);

    if (!(s->cdb[1] & 1)) { /* only polled */
        bad_field(s);
        return;
    }
    out[3] = 0x10; /* media events are all there are */
    if (!(s->cdb[4] & 0x10)) {
        put16(out, 2);
        out[2] = 0x80;
        ide_packet_reply(s, 4, get16(s->cdb + 7));
        return;
    }
    put16(out, 6);
    out[2] = 4;
    out[4] = s->medium_event;
    out[5] = (uint8_t)((s->tray_open ? 1 : 0) | (has_medium(s) ? 2 : 0));
    s->medium_event = EVENT_NONE;
    ide_packet_reply(s, 8, get16(s->cdb + 7));
}

static uint32_t mode_page(const struct ide_drive *s, uint8_t *out, uint8_t page)
{
    switch (page) {
    case 0x01: /* error recovery */
        out[0] = page;
        out[1] = 6;
        out[3] = 5; /* retries */
        return 8;
    case 0x1a: /* power */
        out[0] = page;
        out[1] = 10;
        return 12;
    case 0x2a: /* capabilities */
        out[0] = page;
        out[1] = 0x14;
        out[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
        out[4] = 0x70; /* mode 2 forms 1 and 2, sessions */
        out[6] = (uint8_t)(0x29 | (s->locked ? 2 : 0)); /* tray, eject, lock */
        put16(out + 8, 5540);  /* KB/s: 4 times DVD */
        put16(out + 12, 512);  /* KiB of buffer */
        put16(out + 14, 5540);
        return 22;
    default: return 0;
    }
}

static void mode_sense(struct ide_drive *s)
{
    static const uint8_t pages[] = {0x01, 0x1a, 0x2a};
    uint8_t page = s->cdb[2] & 0x3f, control = s->cdb[2] >> 6, *out = blank(s, 128);
    uint32_t n = 8, before = n;

    if (control == 3) {
        ide_packet_check(s, ILLEGAL_REQUEST, 0x39, 0); /* nothing is saved */
        return;
    }
    for (size_t i = 0; i < BP_COUNT(pages); i++) {
        if (page != 0x3f && page != pages[i])
            continue;
        before = n;
        n += mode_page(s, out + n, pages[i]);
        if (control == 1) /* what could be changed: nothing */
            memset(out + before + 2, 0, n - before - 2);
    }
    if (n == 8) {
        bad_field(s);
        return;
    }
    put16(out, n - 2);
    out[2] = s->tray_open ? 0x71 : has_medium(s) ? 0x01 : 0x70;
    ide_packet_reply(s, n, get16(s->cdb + 7));
}

static void mechanism_status(struct ide_drive *s)
{
    uint8_t *out = blank(s, 8);

    out[1] = s->tray_open ? 0x10 : 0;
    ide_packet_reply(s, 8, get16(s->cdb + 8));
}

static void read_disc_information(struct ide_drive *s)
{
    uint8_t *out = blank(s, 34);

    if (s->cdb[1] & 7) {
        bad_field(s);
        return;
    }
    put16(out, 32);
    out[2] = 0x0e; /* last session and disc are complete */
    out[3] = out[4] = out[5] = out[6] = 1;
    out[7] = 0x20; /* unrestricted use */
    memset(out + 16, 0xff, 8);
    ide_packet_reply(s, 34, get16(s->cdb + 7));
}

static void read_track_information(struct ide_drive *s)
{
    uint8_t *out = blank(s, 36), kind = s->cdb[1] & 3;
    uint32_t what = get32(s->cdb + 2);

    if (kind == 3 || (kind != 0 && what != 1) || (kind == 0 && what >= mmc_blocks(s))) {
        bad_field(s);
        return;
    }
    put16(out, 34);
    out[2] = out[3] = 1;
    out[5] = 4; /* data */
    out[6] = 1; /* mode 1 */
    put32(out + 24, mmc_blocks(s));
    ide_packet_reply(s, 36, get16(s->cdb + 7));
}

static void read_dvd_structure(struct ide_drive *s)
{
    uint8_t format = s->cdb[7], *out = blank(s, 4 + 2048);
    uint32_t blocks = mmc_blocks(s), n;

    if (profile(s) != PROFILE_DVD) {
        ide_packet_check(s, ILLEGAL_REQUEST, 0x30, 2); /* incompatible format */
        return;
    }
    switch (format) {
    case 0: /* physical: DVD-ROM, one layer, from sector 30000h */
        if (s->cdb[6]) {
            bad_field(s);
            return;
        }
        n = 2048;
        out[4] = 1;
        out[5] = 0x0f;
        out[6] = 1;
        put32(out + 8, 0x30000);
        put32(out + 12, 0x30000 + blocks - 1);
        break;
    case 1: n = 4; break;    /* copyright: none */
    case 4: n = 2048; break; /* manufacturer: nothing is known */
    case 0xff:
        out[4] = 0;
        out[5] = 0x40;
        put16(out + 6, 2052);
        out[8] = 1;
        out[9] = 0x40;
        put16(out + 10, 8);
        out[12] = 4;
        out[13] = 0x40;
        put16(out + 14, 2052);
        n = 12;
        break;
    default: bad_field(s); return;
    }
    put16(out, n + 2);
    ide_packet_reply(s, n + 4, get16(s->cdb + 8));
}

static void nothing(struct ide_drive *s)
{
    ide_packet_good(s);
}

static const struct {
    uint8_t code, flags;
    void (*run)(struct ide_drive *s);
} commands[] = {
    {0x00, NEEDS_MEDIUM, test_unit_ready},
    {0x03, ALWAYS, request_sense},
    {0x12, ALWAYS, inquiry},
    {0x1b, 0, start_stop},
    {0x1e, 0, prevent_allow},
    {0x23, 0, read_format_capacities},
    {0x25, NEEDS_MEDIUM, read_capacity},
    {0x28, NEEDS_MEDIUM, read_10},
    {0x2b, NEEDS_MEDIUM, seek},
    {0x2f, NEEDS_MEDIUM, seek}, /* VERIFY without comparing */
    {0x42, NEEDS_MEDIUM, read_subchannel},
    {0x43, NEEDS_MEDIUM, read_toc},
    {0x46, ALWAYS, get_configuration},
    {0x4a, ALWAYS, get_event_status},
    {0x51, NEEDS_MEDIUM, read_disc_information},
    {0x52, NEEDS_MEDIUM, read_track_information},
    {0x5a, 0, mode_sense},
    {0xa8, NEEDS_MEDIUM, read_12},
    {0xad, NEEDS_MEDIUM, read_dvd_structure},
    {0xb9, NEEDS_MEDIUM, read_cd_msf},
    {0xbb, 0, nothing}, /* SET CD SPEED */
    {0xbd, 0, mechanism_status},
    {0xbe, NEEDS_MEDIUM, read_cd},
};

void mmc_command(struct ide_drive *s)
{
    for (size_t i = 0; i < BP_COUNT(commands); i++) {
        if (commands[i].code != s->cdb[0])
            continue;
        if (!(commands[i].flags & ALWAYS) && s->attention_reset) {
            s->attention_reset = false;
            ide_packet_check(s, UNIT_ATTENTION, 0x29, 0);
            return;
        }
        if (!(commands[i].flags & ALWAYS) && s->attention_medium) {
            s->attention_medium = false;
            ide_packet_check(s, UNIT_ATTENTION, 0x28, 0);
            return;
        }
        if (commands[i].flags & NEEDS_MEDIUM && !has_medium(s)) {
            ide_packet_check(s, NOT_READY, 0x3a, s->tray_open ? 2 : 1);
            return;
        }
        if (s->cdb[0] != 0x03)
            s->sense = s->asc = s->ascq = 0;
        commands[i].run(s);
        return;
    }
    ide_packet_check(s, ILLEGAL_REQUEST, 0x20, 0); /* no such command */
}

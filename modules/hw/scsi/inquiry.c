// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a disk says of itself: INQUIRY with its pages (SPC-4 6.4, 7.8; SBC-3 6.5), mode pages. */
#include <string.h>

#include "disk.h"

enum { VPD_SUPPORTED = 0x00, VPD_SERIAL = 0x80, VPD_IDENTIFICATION = 0x83, VPD_LIMITS = 0xb0,
       VPD_CHARACTERISTICS = 0xb1, VPD_PROVISIONING = 0xb2 };
enum { PAGE_ERROR_RECOVERY = 0x01, PAGE_GEOMETRY = 0x04, PAGE_CACHING = 0x08, PAGE_CAPABILITIES = 0x2a,
       PAGE_ALL = 0x3f };
#define PAGE_DATA 256u

static void pad(uint8_t *to, unsigned width, const char *text)
{
    size_t n = text ? strnlen(text, width) : 0;

    memset(to, ' ', width);
    if (n)
        memcpy(to, text, n);
}

static void standard(struct sdisk *s, struct bp_scsi_request *r, uint32_t allocated)
{
    uint8_t d[36] = {0};

    d[0] = s->cd ? 5 : 0;
    d[1] = s->removable ? 0x80 : 0;
    d[2] = 5; /* SPC-3 */
    d[3] = 0x12; /* HISUP, format 2 */
    d[4] = sizeof(d) - 5;
    d[7] = 0x12; /* sync, command queuing */
    pad(d + 8, 8, s->vendor);
    pad(d + 16, 16, s->product);
    pad(d + 32, 4, s->version);
    sdisk_answer(r, d, sizeof(d), allocated);
}

static unsigned identification(const struct sdisk *s, uint8_t *d)
{
    const char *id = s->device_id ? s->device_id : s->serial;
    unsigned n = 0;

    if (id && *id) {
        size_t length = strnlen(id, 200);

        d[0] = 2; /* ASCII */
        d[3] = (uint8_t)length;
        memcpy(d + 4, id, length);
        n = 4 + (unsigned)length;
    }
    if (s->wwn) {
        d[n] = 1; /* binary */
        d[n + 1] = 3; /* NAA */
        d[n + 3] = 8;
        scsi_put64(d + n + 4, s->wwn);
        n += 12;
    }
    return n;
}

static unsigned limits(const struct sdisk *s, uint8_t *d)
{
    const struct bp_blk_conf *c = &s->conf;
    uint32_t block = c->logical_block_size;

    scsi_put16(d + 2, c->min_io_size / block);
    scsi_put32(d + 4, s->max_io / block);
    scsi_put32(d + 8, c->opt_io_size / block);
    if (c->discard_granularity) {
        scsi_put32(d + 16, s->max_unmap / block); /* LBAs of one UNMAP */
        scsi_put32(d + 20, MAX_DESCRIPTORS - 1);
        scsi_put32(d + 24, c->discard_granularity / block);
    }
    return 60;
}

static unsigned page(const struct sdisk *s, uint8_t code, uint8_t *d)
{
    static const uint8_t of_disks[] = {VPD_SUPPORTED, VPD_SERIAL, VPD_IDENTIFICATION, VPD_LIMITS,
                                       VPD_CHARACTERISTICS, VPD_PROVISIONING};
    static const uint8_t of_cds[] = {VPD_SUPPORTED, VPD_SERIAL, VPD_IDENTIFICATION};

    switch (code) {
    case VPD_SUPPORTED:
        memcpy(d, s->cd ? of_cds : of_disks, s->cd ? sizeof(of_cds) : sizeof(of_disks));
        return s->cd ? sizeof(of_cds) : sizeof(of_disks);
    case VPD_SERIAL:
        if (s->serial)
            memcpy(d, s->serial, strnlen(s->serial, 36));
        return s->serial ? (unsigned)strnlen(s->serial, 36) : 0;
    case VPD_IDENTIFICATION:
        return identification(s, d);
    case VPD_LIMITS:
        return s->cd ? 0 : limits(s, d);
    case VPD_CHARACTERISTICS:
        scsi_put16(d, s->rotation_rate);
        return s->cd ? 0 : 60;
    case VPD_PROVISIONING:
        d[1] = s->conf.discard_granularity ? 0xe0 : 0; /* UNMAP, WRITE SAME (16), (10) */
        d[2] = s->conf.discard_granularity ? 2 : 0;    /* thin */
        return s->cd ? 0 : 4;
    default:
        return 0;
    }
}

void sdisk_inquiry(struct sdisk *s, struct bp_scsi_request *r)
{
    uint32_t allocated = scsi_get16(r->cdb + 3);
    uint8_t d[4 + PAGE_DATA] = {0}, code = r->cdb[2];
    unsigned n;

    if (!(r->cdb[1] & 1) && code == 0) {
        standard(s, r, allocated);
        return;
    }
    n = (r->cdb[1] & 1) ? page(s, code, d + 4) : 0;
    if (!(r->cdb[1] & 1) || (n == 0 && code != VPD_SERIAL && code != VPD_IDENTIFICATION)) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    d[0] = s->cd ? 5 : 0;
    d[1] = code;
    scsi_put16(d + 2, n);
    sdisk_answer(r, d, 4 + n, allocated);
}

/* ---- mode pages ---- */
/* Cylinders and heads, as the user gave them or of a size that fits: SCSI-2 9.3.3.7; firmware wants it. */
static void geometry(const struct sdisk *s, uint8_t *d)
{
    uint64_t tracks = sdisk_blocks(s) / (s->conf.secs ? s->conf.secs : 63);
    uint32_t heads = s->conf.heads ? s->conf.heads : tracks > 16 * 65535u ? 255 : 16;
    uint64_t cylinders = s->conf.cyls ? s->conf.cyls : tracks / heads;

    if (cylinders == 0)
        cylinders = 1;
    scsi_put32(d + 1, cylinders > 0xffffff ? 0xffffff : (uint32_t)cylinders);
    d[5] = (uint8_t)heads;
    scsi_put16(d + 20, s->rotation_rate > 1 ? s->rotation_rate : 5400);
}

/* One page with its header; `changeable`: the mask of what MODE SELECT changes. Returns its length, 0: none. */
static unsigned mode_page(const struct sdisk *s, uint8_t code, bool changeable, uint8_t *d)
{
    unsigned n = 0;

    if (code == PAGE_CACHING && !s->cd) {
        n = 20;
        if (changeable)
            d[2] = 4;
        else
            d[2] = sdisk_block->write_cache(s->blk) ? 4 : 0; /* WCE */
    } else if (code == PAGE_ERROR_RECOVERY) {
        n = s->cd ? 8 : 12;
        if (!changeable)
            d[2] = 0x80; /* automatic write reallocation */
    } else if (code == PAGE_GEOMETRY && !s->cd) {
        n = 24;
        if (!changeable)
            geometry(s, d);
    } else if (code == PAGE_CAPABILITIES && s->cd) {
        n = 22;
        if (!changeable) {
            d[2] = 0x3b; /* reads CD-R, CD-RW, DVD */
            d[4] = 0x71; /* modes 2, multisession */
            d[6] = (uint8_t)(0x29 | (s->locked ? 2 : 0)); /* tray, ejects, locks */
            scsi_put16(d + 8, 50 * 176);
            scsi_put16(d + 10, 2);
            scsi_put16(d + 12, 2048);
            scsi_put16(d + 14, 16 * 176);
        }
    }
    if (n) {
        d[0] = code;
        d[1] = (uint8_t)(n - 2);
    }
    return n;
}

static unsigned block_descriptor(struct sdisk *s, uint8_t *d)
{
    uint64_t blocks = sdisk_blocks(s);

    scsi_put32(d, blocks > 0xffffff ? 0 : (uint32_t)blocks);
    scsi_put32(d + 4, s->conf.logical_block_size);
    return 8;
}

void sdisk_mode_sense(struct sdisk *s, struct bp_scsi_request *r, bool ten)
{
    static const uint8_t codes[] = {PAGE_ERROR_RECOVERY, PAGE_GEOMETRY, PAGE_CACHING, PAGE_CAPABILITIES};
    unsigned header = ten ? 8 : 4, n = header;
    uint8_t d[128] = {0}, wanted = r->cdb[2] & 0x3f, control = r->cdb[2] >> 6;
    uint8_t specific = 0;

    if (control == 3) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, 0x3900); /* saving is not supported */
        return;
    }
    if (!s->cd)
        specific = (uint8_t)((s->dpofua ? 0x10 : 0) | (sdisk_block->writable(s->blk) ? 0 : 0x80));
    if (!s->cd && !(r->cdb[1] & 8))
        n += block_descriptor(s, d + n);
    d[ten ? 3 : 2] = specific;
    d[ten ? 7 : 3] = (uint8_t)(n - header);
    for (unsigned i = 0; i < sizeof(codes); i++) {
        if (wanted == PAGE_ALL || wanted == codes[i])
            n += mode_page(s, codes[i], control == 1, d + n);
    }
    if (n == header + d[ten ? 7 : 3] && wanted != PAGE_ALL && wanted != 0) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    if (ten)
        scsi_put16(d, n - 2);
    else
        d[0] = (uint8_t)(n - 1);
    sdisk_answer(r, d, n, ten ? scsi_get16(r->cdb + 7) : r->cdb[4]);
}

/* Nothing but the write cache can be changed. */
void sdisk_mode_select(struct sdisk *s, struct bp_scsi_request *r, bool ten)
{
    uint32_t length = ten ? scsi_get16(r->cdb + 7) : r->cdb[4], at = ten ? 8 : 4;
    uint8_t d[128];

    if (length > sizeof(d) || r->out_bytes < length || (r->cdb[1] & 1)) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, (r->cdb[1] & 1) ? SCSI_INVALID_FIELD : SCSI_PARAMETER_LENGTH);
        return;
    }
    scsi_copy(r->out, r->out_count, d, length, false);
    if (length && length < at)
        at = UINT32_MAX;
    else if (length)
        at += ten ? scsi_get16(d + 6) : d[3];
    while (length && at < length) {
        uint32_t n = at + 2 <= length ? 2u + d[at + 1] : 0;

        if (n == 0 || at + n > length || s->cd || (d[at] & 0x3f) != PAGE_CACHING || n != 20) {
            sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_PARAMETER);
            return;
        }
        sdisk_block->set_write_cache(s->blk, d[at + 2] & 4);
        at += n;
    }
    if (length && at != length) {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_PARAMETER_LENGTH);
        return;
    }
    r->moved = length;
    sdisk_scsi->complete(r, BP_SCSI_GOOD);
}

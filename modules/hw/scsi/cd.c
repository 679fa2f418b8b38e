// SPDX-License-Identifier: LGPL-2.1-or-later
/* Commands that only CD and DVD drives have (MMC-6): table of contents, features, events. One session, one track. */
#include <string.h>

#include "disk.h"

enum { READ_TOC = 0x43, GET_CONFIGURATION = 0x46, GET_EVENT = 0x4a, READ_DISC_INFORMATION = 0x51,
       SET_SPEED = 0xbb, MECHANISM_STATUS = 0xbd };
#define LEAD_OUT 0xaau
#define CD_BLOCKS 405000u /* more is a DVD */
#define PROFILE_CD 0x0008u
#define PROFILE_DVD 0x0010u

static void put_address(uint8_t *to, uint32_t lba, bool msf)
{
    if (!msf) {
        scsi_put32(to, lba);
        return;
    }
    lba += 150;
    to[0] = 0;
    to[1] = (uint8_t)(lba / 75 / 60);
    to[2] = (uint8_t)(lba / 75 % 60);
    to[3] = (uint8_t)(lba % 75);
}

static unsigned add_track(uint8_t *d, uint8_t number, uint32_t lba, bool msf)
{
    d[0] = 0;
    d[1] = 0x14; /* data, no copy */
    d[2] = number;
    d[3] = 0;
    put_address(d + 4, lba, msf);
    return 8;
}

static void read_toc(struct sdisk *s, struct bp_scsi_request *r)
{
    uint8_t d[4 + 16] = {0, 0, 1, 1}, format = r->cdb[2] & 15, first = r->cdb[6];
    uint64_t blocks = sdisk_blocks(s);
    bool msf = r->cdb[1] & 2;
    unsigned n = 4;

    if (!sdisk_has_medium(s, r))
        return;
    if (format == 0 && (first <= 1 || first == LEAD_OUT)) {
        if (first <= 1)
            n += add_track(d + n, 1, 0, msf);
        n += add_track(d + n, LEAD_OUT, blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)blocks, msf);
    } else if (format == 1) { /* sessions */
        n += add_track(d + n, 1, 0, msf);
    } else {
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    scsi_put16(d, n - 2);
    sdisk_answer(r, d, n, scsi_get16(r->cdb + 7));
}

static unsigned profile(const struct sdisk *s)
{
    if (s->tray_open || !sdisk_block->inserted(s->blk))
        return 0;
    return sdisk_blocks(s) > CD_BLOCKS ? PROFILE_DVD : PROFILE_CD;
}

static void get_configuration(struct sdisk *s, struct bp_scsi_request *r)
{
    uint8_t d[40] = {0};
    unsigned now = profile(s), n = 8;

    scsi_put16(d + 6, now);
    d[n + 2] = 0x03; /* feature 0, persistent and current: profiles */
    d[n + 3] = 8;
    scsi_put16(d + n + 4, PROFILE_DVD);
    d[n + 6] = now == PROFILE_DVD;
    scsi_put16(d + n + 8, PROFILE_CD);
    d[n + 10] = now == PROFILE_CD;
    n += 12;
    d[n + 1] = 1; /* feature 1: core */
    d[n + 2] = 0x0b;
    d[n + 3] = 8;
    d[n + 7] = 1; /* SCSI */
    d[n + 8] = 1; /* DBE */
    n += 12;
    d[n + 1] = 3; /* feature 3: removable medium */
    d[n + 2] = 0x03;
    d[n + 3] = 4;
    d[n + 4] = 0x29;
    n += 8;
    scsi_put32(d, n - 4);
    sdisk_answer(r, d, n, scsi_get16(r->cdb + 7));
}

static void get_event(struct sdisk *s, struct bp_scsi_request *r)
{
    uint8_t d[8] = {0};
    unsigned n = 4;

    if (!(r->cdb[1] & 1)) { /* only polling is offered */
        sdisk_scsi->fail(r, SCSI_ILLEGAL_REQUEST, SCSI_INVALID_FIELD);
        return;
    }
    d[3] = 0x10; /* media events are what there is */
    if (r->cdb[4] & 0x10) {
        d[2] = 4;
        d[4] = s->eject_wanted ? 1 : s->media_news ? 2 : 0;
        d[5] = (uint8_t)((s->tray_open ? 1 : 0) | (!s->tray_open && sdisk_block->inserted(s->blk) ? 2 : 0));
        s->eject_wanted = s->media_news = false;
        n = 8;
    } else {
        d[2] = 0x80;
    }
    scsi_put16(d, n - 2);
    sdisk_answer(r, d, n, scsi_get16(r->cdb + 7));
}

static void disc_information(struct sdisk *s, struct bp_scsi_request *r)
{
    uint8_t d[34] = {0, 32, 0x0e, 1, 1, 1, 1, 0x20};

    if (sdisk_has_medium(s, r))
        sdisk_answer(r, d, sizeof(d), scsi_get16(r->cdb + 7));
}

static void mechanism(struct bp_scsi_request *r)
{
    uint8_t d[8] = {0};

    sdisk_answer(r, d, sizeof(d), scsi_get16(r->cdb + 8));
}

bool sdisk_cd_command(struct sdisk *s, struct bp_scsi_request *r)
{
    switch (r->cdb[0]) {
    case READ_TOC:
        read_toc(s, r);
        return true;
    case GET_CONFIGURATION:
        get_configuration(s, r);
        return true;
    case GET_EVENT:
        get_event(s, r);
        return true;
    case READ_DISC_INFORMATION:
        disc_information(s, r);
        return true;
    case SET_SPEED:
        sdisk_scsi->complete(r, BP_SCSI_GOOD);
        return true;
    case MECHANISM_STATUS:
        mechanism(r);
        return true;
    default:
        return false;
    }
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * A command that moves more than the host's request queue takes would fail there. Page B0h of a disk's INQUIRY (block
 * limits, SBC-3 6.5.3) tells the guest's driver: the device's own, with smaller numbers, or one of ours.
 */
#include <string.h>

#include "generic.h"

#define PAGE_LIMITS 0xb0u
#define LIMITS_SIZE 64u
#define PAGE_MAX 256u

static void lower(uint8_t *number, uint32_t limit)
{
    uint32_t n = scsi_get32(number);

    if (n == 0 || n > limit)
        scsi_put32(number, limit);
}

static uint64_t answer(struct bp_scsi_request *r, uint8_t *page, uint64_t length)
{
    uint64_t allocated = scsi_get16(r->cdb + 3);

    return scsi_copy(r->in, r->in_count, page, length < allocated ? length : allocated, true);
}

/* The list of pages, with ours in its place. */
static bool list_pages(struct bp_scsi_request *r, uint64_t moved)
{
    uint8_t page[PAGE_MAX] = {0};
    uint64_t n = scsi_copy(r->in, r->in_count, page, moved < PAGE_MAX - 1 ? moved : PAGE_MAX - 1, false);
    unsigned listed, at = 4;

    if (n < 4 || page[1] != 0)
        return false;
    listed = scsi_get16(page + 2);
    if (listed + 4u > n)
        return false; /* cut off: who asks for so little looks for no pages */
    while (at < listed + 4u && page[at] < PAGE_LIMITS)
        at++;
    if (at < listed + 4u && page[at] == PAGE_LIMITS)
        return false;
    memmove(page + at + 1, page + at, listed + 4u - at);
    page[at] = PAGE_LIMITS;
    scsi_put16(page + 2, listed + 1);
    r->moved = answer(r, page, listed + 5u);
    return true;
}

static bool limits_page(const struct generic *s, struct bp_scsi_request *r, const struct bp_block_scsi *c,
                        uint32_t limit)
{
    uint8_t page[LIMITS_SIZE] = {s->type, PAGE_LIMITS, 0, LIMITS_SIZE - 4};
    bool own = c->status == BP_SCSI_GOOD && !c->host_status;
    uint64_t n = LIMITS_SIZE;

    if (!own && c->status != BP_SCSI_CHECK_CONDITION)
        return false;
    if (own)
        n = scsi_copy(r->in, r->in_count, page, c->moved < LIMITS_SIZE ? c->moved : LIMITS_SIZE, false);
    if (n < 12)
        return false;
    lower(page + 8, limit);
    if (scsi_get32(page + 12))
        lower(page + 12, limit);
    r->moved = answer(r, page, n);
    return true;
}

bool generic_limits(const struct generic *s, struct bp_scsi_request *r, const struct bp_block_scsi *c)
{
    uint64_t limit = s->max_transfer / s->block_size;

    if (r->cdb[0] != SCSI_INQUIRY || !(r->cdb[1] & 1) || s->type != 0 || limit == 0)
        return false;
    if (r->cdb[2] == 0 && c->status == BP_SCSI_GOOD && !c->host_status)
        return list_pages(r, c->moved);
    return r->cdb[2] == PAGE_LIMITS && limits_page(s, r, c, limit > UINT32_MAX ? UINT32_MAX : (uint32_t)limit);
}

// SPDX-License-Identifier: LGPL-2.1-or-later
/* What a SCSI command moves (SPC-4, SBC-3, MMC-6), for a transport that is not told. */
#include "cdb.h"

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

/* Commands that write, and whether their length counts blocks. */
static bool writes(const uint8_t *c, uint64_t *ret_count, bool *ret_blocks)
{
    *ret_blocks = true;
    switch (c[0]) {
    case 0x0a:
        *ret_count = c[4] ? c[4] : 256;
        return true;
    case 0x2a:
    case 0x2e:
        *ret_count = be16(c + 7);
        return true;
    case 0xaa:
    case 0xae:
        *ret_count = be32(c + 6);
        return true;
    case 0x8a:
    case 0x8e:
        *ret_count = be32(c + 10);
        return true;
    case 0x41:
        *ret_count = 1;
        return true;
    case 0x93:
        *ret_count = !(c[1] & 1); /* NDOB: none */
        return true;
    default:
        break;
    }
    *ret_blocks = false;
    switch (c[0]) {
    case 0x15:
        *ret_count = c[4];
        return true;
    case 0x42:
    case 0x55:
        *ret_count = be16(c + 7);
        return true;
    case 0x3b:
        *ret_count = be32(c + 5) & 0xffffff;
        return true;
    case 0x5f:
        *ret_count = be32(c + 5);
        return true;
    default:
        return false;
    }
}

static bool reads(const uint8_t *c, uint64_t *ret_count, bool *ret_blocks)
{
    *ret_blocks = true;
    switch (c[0]) {
    case 0x08:
        *ret_count = c[4] ? c[4] : 256;
        return true;
    case 0x28:
        *ret_count = be16(c + 7);
        return true;
    case 0xa8:
        *ret_count = be32(c + 6);
        return true;
    case 0x88:
        *ret_count = be32(c + 10);
        return true;
    default:
        break;
    }
    *ret_blocks = false;
    switch (c[0]) {
    case 0x03:
    case 0x1a:
        *ret_count = c[4];
        return true;
    case 0x12:
        *ret_count = be16(c + 3);
        return true;
    case 0x25:
        *ret_count = 8;
        return true;
    case 0x43:
    case 0x46:
    case 0x4a:
    case 0x51:
    case 0x5a:
    case 0x5e:
        *ret_count = be16(c + 7);
        return true;
    case 0xad:
    case 0xbd:
        *ret_count = be16(c + 8);
        return true;
    case 0xa0:
    case 0xa3:
        *ret_count = be32(c + 6);
        return true;
    case 0x9e:
        *ret_count = be32(c + 10);
        return true;
    default:
        return false;
    }
}

uint64_t cdb_moves(const uint8_t *cdb, uint32_t block, bool *ret_in)
{
    uint64_t count = 0;
    bool blocks = false;

    *ret_in = reads(cdb, &count, &blocks);
    if (!*ret_in && !writes(cdb, &count, &blocks))
        return 0;
    return blocks ? count * block : count;
}

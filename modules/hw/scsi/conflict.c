// SPDX-License-Identifier: LGPL-2.1-or-later
/* Which commands a reservation of another path lets pass: SPC-4 5.13.1 (tables of commands), SBC-3 4.17, SPC-2 5.5. */
#include "disk.h"

enum passes { ALWAYS, READS, WRITES }; /* beside any reservation; write exclusive ones; none */

static enum passes passes(const uint8_t *cdb)
{
    switch (cdb[0]) {
    case 0x00: /* TEST UNIT READY */
    case SCSI_INQUIRY:
    case SCSI_REPORT_LUNS:
    case SCSI_REQUEST_SENSE:
    case 0x25: /* READ CAPACITY (10) */
    case 0x9e: /* SERVICE ACTION IN: READ CAPACITY (16) */
    case 0x5e: /* PERSISTENT RESERVE: these look for themselves */
    case 0x5f:
    case 0x16: /* so do RESERVE (6), RELEASE (6) */
    case 0x17:
        return ALWAYS;
    case 0x1b: /* START STOP UNIT: START, without a power condition */
        return (cdb[4] & 0xf1) == 1 ? ALWAYS : WRITES;
    case 0x1e: /* PREVENT ALLOW MEDIUM REMOVAL */
        return cdb[4] & 3 ? WRITES : ALWAYS;
    case 0x08: /* READ */
    case 0x28:
    case 0xa8:
    case 0x88:
    case 0x2f: /* VERIFY */
    case 0x8f:
        return READS;
    default:
        return WRITES;
    }
}

bool sdisk_is_reservation(unsigned type)
{
    return type == RESERVE_WRITE_EXCLUSIVE || type == RESERVE_EXCLUSIVE ||
           (type >= RESERVE_WRITE_REGISTRANTS && type <= RESERVE_ALL);
}

bool sdisk_is_allowed(const uint8_t *cdb, uint8_t held, bool registered)
{
    bool reads_pass = held == RESERVE_WRITE_EXCLUSIVE || held == RESERVE_WRITE_REGISTRANTS || held == RESERVE_WRITE_ALL;
    enum passes p = passes(cdb);

    if (held == 0 || p == ALWAYS || (registered && held >= RESERVE_WRITE_REGISTRANTS))
        return true;
    return p == READS && reads_pass;
}

bool sdisk_is_allowed_legacy(const uint8_t *cdb)
{
    switch (cdb[0]) {
    case SCSI_INQUIRY:
    case SCSI_REPORT_LUNS:
    case SCSI_REQUEST_SENSE:
    case 0x17: /* RELEASE (6), which does nothing then */
        return true;
    case 0x1e:
        return !(cdb[4] & 3);
    default:
        return false;
    }
}

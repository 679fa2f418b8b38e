/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a memory module's EEPROM says of it: serial presence detect for DDR2 SDRAM (JEDEC standard 21-C,
 * 4.1.2.10, revision 1.2): an unbuffered DIMM of one rank, 64 bits, DDR2-800 at 5-5-5.
 */
#include <errno.h>
#include <string.h>

#include "spd.h"

/* One rank of this size: rows, columns, banks; and its bit in byte 31. 64 bits are eight bytes. */
static const struct {
    uint8_t log2, rows, columns, banks, density;
} ranks[] = {
    {27, 13, 9, 4, 0x20}, {28, 13, 10, 4, 0x40}, {29, 14, 10, 4, 0x80}, {30, 14, 10, 8, 0x01},
    {31, 15, 10, 8, 0x02}, {32, 16, 10, 8, 0x04}, {33, 16, 11, 8, 0x08}, {34, 16, 12, 8, 0x10},
};

int spd_make(uint64_t bytes, uint8_t spd[SPD_SIZE])
{
    static const char part[18] = "BACKPLANE DIMM    ";
    static const uint8_t fixed[64] = {
        [0] = 128, [1] = 8, [2] = 8,    /* bytes used, size, DDR2 */
        [5] = 0x60, [6] = 64, [8] = 5,  /* 30 mm, one rank; width; SSTL 1.8 V */
        [9] = 0x25, [10] = 0x40,        /* 2.5 ns, 0.4 ns at CL 5 */
        [12] = 0x82, [13] = 8,          /* self refresh 7.8 us; chips of 8 bits */
        [16] = 0x0c, [18] = 0x38,       /* bursts of 4 and 8; CL 3, 4, 5 */
        [20] = 0x02, [22] = 0x01,       /* unbuffered; weak driver */
        [23] = 0x3d, [24] = 0x50, [25] = 0x50, [26] = 0x60,
        [27] = 50, [28] = 30, [29] = 50, [30] = 45, /* tRP, tRRD, tRCD (quarter ns), tRAS (ns) */
        [32] = 0x17, [33] = 0x25, [34] = 0x05, [35] = 0x12,
        [36] = 60, [37] = 30, [38] = 30, /* tWR, tWTR, tRTP */
        [40] = 0x36, [41] = 0x39, [42] = 0x7f, /* tRC 57.5 ns, tRFC 127.5 ns */
        [43] = 0x80, [44] = 0x14, [45] = 0x1e,
        [62] = 0x12,
    };
    unsigned sum = 0;

    for (size_t i = 0; i < BP_COUNT(ranks); i++) {
        if (bytes != 1ull << ranks[i].log2)
            continue;
        memset(spd, 0, SPD_SIZE);
        memcpy(spd, fixed, sizeof(fixed));
        spd[3] = ranks[i].rows;
        spd[4] = ranks[i].columns;
        spd[17] = ranks[i].banks;
        spd[31] = ranks[i].density;
        for (unsigned k = 0; k < 63; k++)
            sum += spd[k];
        spd[63] = (uint8_t)sum;
        memcpy(spd + 73, part, sizeof(part));
        return 0;
    }
    return -EINVAL;
}

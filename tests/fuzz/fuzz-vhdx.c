/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format vhdx. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/meta.c"
#include "../../modules/block/format/sparse.c"
#include "../../modules/block/vhdx/header.c"
#include "../../modules/block/vhdx/log.c"
#include "../../modules/block/vhdx/driver.c"
#undef MOST_LOG
#include "../../modules/block/vhdx/make.c"

/* Headers, tables of regions, the log, metadata and its items, the map. */
static const uint16_t pages[] = {0, 16, 32, 48, 64, 256, 257, 258, 512, 528, 768, 0xffff};

static uint8_t *page(uint8_t *bytes, unsigned n)
{
    return bytes + n * FUZZ_PAGE;
}

/* Right checksums, so that what is behind them is reached; tables of regions have zeroes behind their first page. */
static void mend(uint8_t *bytes, uint64_t length)
{
    static uint8_t table[TABLE_BYTES];

    (void)length;
    for (unsigned i = 1; i <= 2; i++)
        put_le32(page(bytes, i) + HEADER_SUM, vhdx_sum(page(bytes, i), SECTOR, HEADER_SUM));
    for (unsigned i = 3; i <= 4; i++) {
        memcpy(table, page(bytes, i), FUZZ_PAGE);
        put_le32(page(bytes, i) + 4, vhdx_sum(table, TABLE_BYTES, 4));
    }
    if (get_le32(page(bytes, 5) + ENTRY_LENGTH) <= 3 * FUZZ_PAGE)
        put_le32(page(bytes, 5) + ENTRY_SUM,
                 vhdx_sum(page(bytes, 5), get_le32(page(bytes, 5) + ENTRY_LENGTH), ENTRY_SUM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&vhdx_driver, data, size, pages, 16 << 20, mend);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format vpc. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/meta.c"
#include "../../modules/block/format/sparse.c"
#include "../../modules/block/vpc/driver.c"
#define take_wish make_wish
#define wish vpc_wish
#include "../../modules/block/vpc/make.c"

/* Right checksums, so that what is behind them is reached. */
static void mend(uint8_t *bytes, uint64_t length)
{
    if (length < 2048)
        return;
    put_be32(bytes + FOOTER_SUM, vpc_sum(bytes, FOOTER_BYTES, FOOTER_SUM));
    put_be32(bytes + 512 + HEADER_SUM, vpc_sum(bytes + 512, HEADER_BYTES, HEADER_SUM));
    put_be32(bytes + length - 512 + FOOTER_SUM, vpc_sum(bytes + length - 512, FOOTER_BYTES, FOOTER_SUM));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&vpc_driver, data, size, NULL, 0, mend);
    return 0;
}

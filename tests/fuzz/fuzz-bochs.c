/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format bochs. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/meta.c"
#include "../../modules/block/format/sparse.c"
#include "../../modules/block/bochs/driver.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&bochs_driver, data, size, NULL, 0, NULL);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format dmg. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/chunks.c"
#include "../../modules/block/dmg/driver.c"
#include "../../modules/block/dmg/table.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&dmg_driver, data, size, NULL, 0, NULL);
    return 0;
}

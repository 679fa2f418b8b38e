/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format vmdk. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/meta.c"
#include "../../modules/block/format/sparse.c"
#include "../../modules/block/vmdk/descriptor.c"
#undef SLICE
#undef CACHE
#include "../../modules/block/vmdk/extent.c"
#include "../../modules/block/vmdk/stream.c"
#include "../../modules/block/vmdk/grow.c"
#include "../../modules/block/vmdk/make.c"
#include "../../modules/block/vmdk/driver.c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&vmdk_driver, data, size, NULL, 0, NULL);
    return 0;
}

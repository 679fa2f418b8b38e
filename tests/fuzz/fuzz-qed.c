/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fuzz target: images in the format qed. */
#include "format-fuzz.h"

#include "../../modules/block/format/format.c"
#include "../../modules/block/format/meta.c"
#include "../../modules/block/format/sparse.c"
#include "../../modules/block/qed/check.c"
#include "../../modules/block/qed/driver.c"

int qed_create(struct bp_block_child *file, struct bp_value *options, struct bp_error *err)
{
    (void)file;
    (void)options;
    return bp_fail(err, ENOTSUP, "not here");
}

int qed_measure(struct bp_value *options, uint64_t size, uint64_t used, struct bp_block_measure *ret,
                struct bp_error *err)
{
    (void)options;
    (void)size;
    (void)used;
    (void)ret;
    return bp_fail(err, ENOTSUP, "not here");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    block = &fuzz_block;
    fuzz_format(&qed_driver, data, size, NULL, 0, NULL);
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Module `chardev-null`: takes all output, gives no input. */
#include <bp/host/chardev.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

struct null_state {
    uint8_t unused;
};

static int null_open(struct bp_chardev *chr, struct bp_error *err)
{
    (void)err;
    chardev->opened(chr);
    return 0;
}

static int null_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    (void)chr;
    (void)buf;
    return (int)len;
}

BP_CHARDEV(null_class, "null", "Takes all output, gives no input", struct null_state, NULL,
           .open = null_open, .write = null_write);
BP_MODULE("chardev-null", "Null character device", imports, {BP_PROVIDE_OTHER, &null_class});

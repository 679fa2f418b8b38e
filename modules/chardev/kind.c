/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kind `chardev` (bp/host/chardev.h): what back ends must have, and how one is tried. */
#include <errno.h>

#include "chardev.h"

static int check_class(const void *desc, struct bp_error *err)
{
    const struct bp_chardev_class *class = desc;

    return class->write ? 0 : bp_fail(err, EINVAL, "has no write function");
}

/* ---- trying one: `backplane-module check` ---- */

static size_t can_read(void *opaque)
{
    (void)opaque;
    return 64;
}

static void ignore_bytes(void *opaque, const uint8_t *buf, size_t length)
{
    (void)opaque;
    (void)buf;
    (void)length;
}

static int exercise(const char *name, void (*wait)(void *opaque), void *opaque, struct bp_error *err)
{
    static const struct bp_chardev_handlers handlers = {
        .size = sizeof(struct bp_chardev_handlers), .can_read = can_read, .read = ignore_bytes};
    struct bp_value *args = bp_value_dict();
    struct bp_error why = {0};
    struct bp_chardev *chr;
    uint8_t bytes[256];
    int ret;

    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)i;
    bp_value_set(args, "id", bp_value_string("check"));
    bp_value_set(args, "backend", bp_value_string(name));
    ret = create_from_args(args, &chr, &why);
    bp_value_unref(args);
    if (ret < 0)
        return bp_fail(err, ENOTSUP, "does not open with defaults alone: %s", why.message);
    if (front_connect(chr, &handlers, chr, NULL) == 0) {
        for (unsigned i = 0; i < 64; i++)
            front_write(chr, bytes, sizeof(bytes) - i, chr);
        front_accept_input(chr, chr);
        wait(opaque);
        front_disconnect(chr, chr);
    }
    ret = chardev_remove("check", &why);
    return ret < 0 ? bp_fail(err, -ret, "is not removed: %s", why.message) : 0;
}

const struct bp_kind chardev_kind = {BP_CHARDEV_KIND, .check = check_class, .exercise = exercise};

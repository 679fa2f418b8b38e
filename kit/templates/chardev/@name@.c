/* SPDX-License-Identifier: MIT */
/* @name@: where its bytes go and come from, and what it leaves out. */
#define BP_MODULE_LICENSE "MIT"
#include <bp/host/chardev.h>

struct @ident@ {
    uint64_t written; /* bytes */
};

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);

static int @ident@_open(struct bp_chardev *chr, struct bp_error *err)
{
    chardev->opened(chr);
    return 0;
}

/* Takes everything; a full one returns how many bytes it took. */
static int @ident@_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct @ident@ *s = chardev->state(chr);

    s->written += len;
    return (int)len;
}

BP_CHARDEV(@ident@, "@name@", "One line of help", struct @ident@, NULL, .open = @ident@_open,
           .write = @ident@_write);
static const struct bp_import @ident@_imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};
BP_MODULE("@module@", "One line of help", @ident@_imports, {BP_PROVIDE_OTHER, &@ident@});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices in contexts other than the main one: moved there, and by their property iothread=. */
#include <errno.h>

#include <bp/host/iothread.h>
#include <bp/loop.h>

#include "device.h"
#include "marks.h"
#include "registry.h"

static int check(struct bp_device *dev, struct bp_error *err)
{
    if (dev->class->threads == BP_THREADS_OWN)
        return 0;
    return bp_fail(err, EINVAL, "Device '%s' keeps to the machine lock: it works in the main context only",
                   dev->class->type.name);
}

int bp_device_move(struct bp_device *dev, struct bp_context *ctx, void (*done)(void *opaque, int ret),
                   void *opaque, struct bp_error *err)
{
    bpc_assert_main();
    int ret = check(dev, err);

    if (ret < 0)
        return ret;
    if (dev->leave)
        return bp_fail(err, ENODEV, "Device '%s' is in the process of unplug", bp_object_path(&dev->obj));
    if (!dev->attached) {
        bp_device_set_context(dev, ctx);
        if (done)
            done(opaque, 0);
        return 0;
    }
    return bp_participant_move(bp_participant_of(&dev->obj.owner), ctx, done, opaque, err);
}

int bpc_device_put_into(struct bp_object *obj, struct bp_object *iothread, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    const void *table;
    struct bp_context *ctx = NULL;
    int ret = check(dev, err);

    if (ret < 0)
        return ret;
    if (iothread) {
        ret = bpc_require_interface("iothread", 1, &table, err);
        if (ret < 0)
            return ret;
        ctx = ((const struct bp_iothread_interface *)table)->context(iothread);
    }
    return bp_device_move(dev, ctx, NULL, NULL, err);
}

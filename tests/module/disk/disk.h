/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disks on the fake host, for the tests of their controllers. */
#ifndef TESTS_DISK_H
#define TESTS_DISK_H

#include <glib.h>
#include <string.h>

#include <bp/test.h>

#include "fake-block.h"

#define DISK_BYTES (8u << 20)

/* d0, d1: disks whose sectors tell their number; cd: a CD; hole: an empty CD-ROM drive's */
struct fake_disk fake_disks[] = {
    {.name = "d0", .length = DISK_BYTES, .loaded = true}, {.name = "d1", .length = DISK_BYTES, .loaded = true},
    {.name = "cd", .length = DISK_BYTES, .loaded = true, .read_only = true},
    {.name = "hole", .length = DISK_BYTES, .read_only = true},
    {.name = "fd", .length = 1440 << 10, .loaded = true}, {.name = NULL}};
#define d0 (&fake_disks[0])
#define d1 (&fake_disks[1])
#define cd (&fake_disks[2])
#define hole (&fake_disks[3])
#define fd (&fake_disks[4])

static const struct bp_block_interface *fake_block;

static inline void fill_disks(void)
{
    for (struct fake_disk *d = fake_disks; d->name; d++) {
        if (!d->data)
            d->data = g_malloc(d->length);
        for (uint64_t i = 0; i < d->length; i++)
            d->data[i] = (uint8_t)((i >> 9) * 7 + (i & 511) + (uint64_t)(d - fake_disks));
        memset(d->requests, 0, sizeof(d->requests));
        d->total = d->fua = d->fail_at = 0;
        d->error = 0;
        d->hold = false;
        d->locked = d->tray_is_open = false;
    }
}

static inline void release(struct fake_disk *d)
{
    fake_block->drain((struct bp_blk *)d, NULL, NULL);
}

static inline int plug_drive(struct bp_test_host *h, const char *type, const char *bus, const char *props,
                             struct bp_device **ret_dev, struct bp_error *err)
{
    gchar **pairs = g_strsplit(props, ",", -1);
    int r = bp_device_new(bp_test_machine(h), type, NULL, ret_dev, err);

    for (gchar **p = pairs; r == 0 && *p; p++) {
        gchar **pair = g_strsplit(*p, "=", 2);

        r = bp_device_set(*ret_dev, pair[0], pair[1], err);
        g_strfreev(pair);
        if (r < 0)
            bp_device_destroy(*ret_dev);
    }
    g_strfreev(pairs);
    return r < 0 ? r : bp_device_attach(*ret_dev, bp_bus_find(bp_test_machine(h), bus), err);
}

#endif

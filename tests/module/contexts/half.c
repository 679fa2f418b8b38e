/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device with a call in a context of its own, which it leaves to the core to take back. */
#include <bp/bus/isa.h>
#include <bp/loop.h>

#include <unistd.h>

#include "half.h"

struct half {
    int gone;
    struct bp_context *ctx;
    struct bp_deferred *call;
};
BP_USE(isa, struct bp_isa_interface, "isa", 1);

static void set(int *flag, int value)
{
    __atomic_store_n(flag, value, __ATOMIC_SEQ_CST);
}

static uint64_t half_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)addr, (void)size;
    if (((struct half *)opaque)->gone)
        set(&half_notes.late, 1);
    return 0;
}

static const struct bp_region_ops ops = {.size = sizeof(ops), .read = half_read, .max_access = 4};

static void work(void *opaque)
{
    struct half *s = opaque;

    set(&half_notes.working, 1);
    set(&half_notes.busy, 1);
    usleep(200000);
    if (s->gone)
        set(&half_notes.overlap, 1);
    set(&half_notes.working, 0);
}

static int half_attach(struct bp_device *dev, struct bp_error *err)
{
    struct half *s = bp_device_state(dev);
    int r = isa->add_ports(dev, 0x300, 4, "half", &ops, s, NULL, err);

    if (r == 0)
        r = bp_context_new(bp_device_machine(dev), "half", &s->ctx, err);
    if (r < 0)
        return r;
    bp_device_set_context(dev, s->ctx);
    s->call = bp_deferred_new(bp_device_owner(dev), NULL, work, s);
    bp_deferred_schedule(s->call);
    return 0;
}

static void half_detach(struct bp_device *dev)
{
    struct half *s = bp_device_state(dev);

    s->gone = 1;
    if (half_notes.working)
        set(&half_notes.overlap, 1);
    bp_deferred_free(s->call); /* not running any more: this leaves nothing in the context */
    bp_context_free(s->ctx);
    set(&half_notes.detached, 1);
}

BP_HOTPLUG_DEVICE(half, "half", "isa", "Calls itself from another thread", struct half, NULL, NULL,
                  .attach = half_attach, .detach = half_detach);
static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("half", "A device with a context of its own", imports, {BP_PROVIDE_DEVICE, &half});

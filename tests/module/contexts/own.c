/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A device under a lock of its own, with a timer in a context of its own, that reaches a serialised one. */
#include <bp/bus/isa.h>
#include <bp/clock.h>
#include <bp/loop.h>

#include <unistd.h>

#include "own.h"

struct own {
    uint32_t level;
    unsigned inside;
    struct bp_object *iothread; /* or NULL: a context of its own, then the main one */
    struct bp_context *ctx;
    struct bp_timer *timer;
};
BP_USE(isa, struct bp_isa_interface, "isa", 1);

static void enter(struct own *s)
{
    if (__atomic_fetch_add(&s->inside, 1, __ATOMIC_SEQ_CST) != 0)
        own_notes.overlaps++;
}

static void leave(struct own *s)
{
    __atomic_fetch_sub(&s->inside, 1, __ATOMIC_SEQ_CST);
}

static uint64_t own_read(void *opaque, uint64_t addr, unsigned size)
{
    struct own *s = opaque;
    struct bp_machine *machine = bp_device_machine(bp_device_of_state(s));
    uint64_t value;

    (void)size;
    enter(s);
    own_notes.reads++;
    own_notes.with_machine += bp_machine_locked(machine);
    usleep(20);
    leave(s); /* its lock is let go while it reaches another device */
    if (addr == 1)
        (void)bp_space_load(bp_machine_io(machine), 0x320, 1, &value);
    return s->level;
}

static void fire(void *opaque)
{
    struct own *s = opaque;

    enter(s);
    own_notes.fires++;
    __atomic_store_n(&own_notes.where, bp_context_current(), __ATOMIC_SEQ_CST);
    own_notes.with_machine += bp_machine_locked(NULL);
    usleep(20);
    bp_timer_set(s->timer, bp_timer_now(s->timer) + 100000);
    leave(s);
}

static const struct bp_region_ops own_ops = {.size = sizeof(struct bp_region_ops), .read = own_read, .max_access = 1};

static int set_level(struct bp_object *obj, const struct bp_field *f, struct bp_value *value,
                     struct bp_error *err)
{
    struct own *s = bp_object_state(obj);

    (void)f, (void)err;
    enter(s);
    own_notes.sets++;
    s->level = (uint32_t)bp_value_as_uint(value);
    usleep(20);
    leave(s);
    return 0;
}

static int get_level(struct bp_object *obj, const struct bp_field *f, struct bp_value **ret_value,
                     struct bp_error *err)
{
    (void)f, (void)err;
    *ret_value = bp_value_uint(((struct own *)bp_object_state(obj))->level);
    return 0;
}

static const struct bp_field own_props[] = {
    BP_PROP_IOTHREAD("iothread", struct own, iothread),
    {.name = "level", .kind = BP_KIND_UINT32, .flags = BP_FIELD_WRITE_LIVE,
     .offset = offsetof(struct own, level), .def = "0", .help = "a number", .set = set_level,
     .get = get_level},
    BP_FIELDS_END,
};

static int own_attach(struct bp_device *dev, struct bp_error *err)
{
    struct own *s = bp_device_state(dev);
    int ret = isa->add_ports(dev, 0x310, 2, "own", &own_ops, s, NULL, err);

    if (ret == 0 && !s->iothread)
        ret = bp_context_new(bp_device_machine(dev), "own", &s->ctx, err);
    if (ret < 0)
        return ret;
    if (s->ctx)
        bp_device_set_context(dev, s->ctx);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_REALTIME, fire, s);
    bp_timer_set(s->timer, 0);
    return 0;
}

static void own_detach(struct bp_device *dev)
{
    struct own *s = bp_device_state(dev);

    bp_timer_free(s->timer);
    bp_context_free(s->ctx);
}

static void own_reset(struct bp_device *dev)
{
    struct own *s = bp_device_state(dev);

    enter(s);
    own_notes.resets++;
    usleep(20);
    leave(s);
}

BP_HOTPLUG_DEVICE(own, "own", "isa", "Under a lock of its own", struct own, own_props, NULL,
                  .attach = own_attach, .detach = own_detach, .reset = own_reset,
                  .threads = BP_THREADS_OWN);

static uint64_t served_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    own_notes.served++; /* under the machine lock */
    own_notes.served_unlocked += !bp_machine_locked(NULL);
    return 0;
}

static const struct bp_region_ops served_ops = {.size = sizeof(struct bp_region_ops), .read = served_read,
                                                .max_access = 1};

struct served {
    char unused;
};

static int served_attach(struct bp_device *dev, struct bp_error *err)
{
    return isa->add_ports(dev, 0x320, 1, "served", &served_ops, bp_device_state(dev), NULL, err);
}

BP_HOTPLUG_DEVICE(served, "served", "isa", "Serialised", struct served, NULL, NULL,
                  .attach = served_attach);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("own", "Devices with and without a lock of their own", imports, {BP_PROVIDE_DEVICE, &own},
          {BP_PROVIDE_DEVICE, &served});

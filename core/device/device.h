/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Devices and buses inside the core. [main] under the machine lock
 */
#ifndef BPC_DEVICE_H
#define BPC_DEVICE_H

#include <glib.h>

#include <bp/device.h>

#include "object.h"

struct bpc_line_set; /* irq.c */

struct bpc_hotplug { /* who controls slots */
    struct bpc_claim claim; /* first */
    struct bp_hotplug_ops ops;
    void *opaque;
    bool used;
};

struct bp_device {
    struct bp_object obj; /* first */
    const struct bp_device_class *class;
    char *user_id;                        /* -device id=, or NULL */
    struct bp_bus *bus;                   /* where it sits; NULL: unattached, or on no bus */
    struct bpc_child_level {              /* kept for each type of its bus, base first */
        const struct bp_bus_class *class;
        void *state; /* class->child_size bytes */
    } *bus_levels;
    unsigned bus_level_count;
    unsigned bus_attached; /* how many of its bus's types took it on (child_attach) */
    void *bus_state;       /* for the bus type that the class names; NULL: none */
    struct bpc_line_set *lines;
    struct bp_bus *buses, *last_bus; /* that it bridges to */
    struct bp_device *next, *prev;   /* siblings on the bus, or in the list of those on none */
    unsigned resets;    /* that are asserted and include it */
    bool reset_entered; /* hold is still to come */
    bool linked;      /* in its bus's list, or in that of those on none */
    bool class_attached; /* its class's attach() succeeded: detach() follows */
    bool attached, hotplugged, plugged, unplug_pending;
    const char *kept; /* why it cannot go now, or NULL */
    char *waits_for, *waits_at; /* wait.c: id of a device, path of a bus; NULL: it does not wait */
    uint8_t admits;             /* wait.c */
    struct bpc_leave *leave; /* it is on its way out (leave.c), or NULL */
};

struct bp_bus {
    struct bp_object obj; /* first */
    const struct bp_bus_class *class;
    struct bp_device *bridge;
    struct bp_bus *next;            /* of the same bridge */
    struct bp_device *first, *last; /* children */
    unsigned count;
    unsigned resets; /* as a device's */
    bool reset_entered, reset_held;
    struct bpc_hotplug hotplug;
};

/* How a machine begins, as far as this folder sees it. */
struct bpc_machine_head {
    struct bp_object obj; /* first */
    struct bpc_devices {
        struct bp_device *first, *last; /* those on no bus, in order of attachment */
        /* While the machine ends: devices that are detached already. They keep their memory until
         * all are, because boards and neighbours hold pointers to each other. Else NULL. */
        GPtrArray *closing;
        /* -device and device_add of a processor's type; NULL: there is no board. */
        int (*add_cpu)(struct bp_machine *machine, const char *type, const char *id,
                       struct bp_value *args, bool hotplug, struct bp_error *err);
        /* device_del of one; id: as it was named. */
        int (*del_cpu)(struct bp_machine *machine, struct bp_object *cpu, const char *id, struct bp_error *err);
        struct bpc_hotplug hotplug; /* of devices on no bus */
        GPtrArray *waiting; /* wait.c: those that are to be attached later; or NULL */
    } devices;
    struct bp_space *memory, *io;
};
static inline struct bpc_devices *bpc_devices_of(struct bp_machine *machine)
{
    return &((struct bpc_machine_head *)machine)->devices;
}

/* ---- devices that users create ---- */
/* -device, device_add: dict with "driver", "id", "bus" and properties, each typed or text. With
 * hotplug: class and bus must allow it. */
int bpc_device_add(struct bp_machine *machine, struct bp_value *args, bool hotplug,
                   struct bp_error *err);
/* What of a device, its parts and what is behind its buses is in use by something that is not among them; or
 * NULL. */
struct bp_object *bpc_device_used(struct bp_device *dev);
const char *bpc_device_kept(struct bp_object *obj); /* why a device cannot go now (bp_device_keep()), or NULL */
/* device_del: id or path. DEVICE_DELETED follows when it is gone. */
int bpc_device_del(const char *id, struct bp_error *err);
/* By id (as in -device id=) or path; NULL when there is none. */
struct bp_device *bpc_device_find(const char *id);

/* reset.c: a whole machine reset, or its halves: enter and hold; exit. */
void bpc_devices_reset(struct bp_machine *machine);
void bpc_devices_reset_begin(struct bp_machine *machine);
void bpc_devices_reset_end(struct bp_machine *machine);
void bpc_device_reset_attached(struct bp_device *dev); /* the one after attach() */
bool bpc_reset_under_way(void); /* within a hook of it: the tree is being walked. [main] */
/* All of them, last attached first; the machine ends. */
void bpc_devices_destroy(struct bp_machine *machine);
/* Everything attached, bridges first. Stops at a non-zero return. */
int bpc_devices_each(struct bp_machine *machine, int (*fn)(struct bp_device *dev, void *opaque),
                     void *opaque);
char *bpc_device_tree_text(struct bp_machine *machine); /* `info qtree`; malloc'd */

/* NULL, "" and "system" mean that the class plugs into no bus. */
bool bpc_device_class_has_bus(const struct bp_device_class *class);

/* ---- between device.c, bus.c and plug.c ---- */
/* As bp_device_new(); without an id it goes into `anonymous` ("/machine/peripheral-anon"). */
int bpc_device_create(struct bp_machine *machine, const char *type, const char *id,
                      const char *anonymous, struct bp_device **ret_dev, struct bp_error *err);
/* A bus with room for a device of this class; hotplug: rather one whose slots somebody controls. */
int bpc_bus_choose(struct bp_machine *machine, const struct bp_device_class *class, bool hotplug,
                   struct bp_bus **ret_bus, struct bp_error *err);
/* Name, path, or the id of its bridge; NULL when there is none. */
struct bp_bus *bpc_bus_lookup(struct bp_machine *machine, const char *text);
int bpc_bus_check(const struct bp_bus *bus, const struct bp_device_class *class,
                  struct bp_error *err);
/* Blocks and properties for the bus type and those that it extends, as far as there are none yet. */
int bpc_bus_keep_child(const struct bp_bus_class *class, struct bp_device *dev,
                       struct bp_error *err);
void bpc_bus_forget_child(struct bp_device *dev); /* the blocks go */
/* Methods of the bus that the device sits on; no effect when it sits on none. */
int bpc_bus_child_attach(struct bp_device *dev, struct bp_error *err);
void bpc_bus_child_attached(struct bp_device *dev);
/* 1: it waits for the device *ret_for; 0: it does not; dev is not on the bus yet. */
int bpc_bus_child_waits(struct bp_bus *bus, struct bp_device *dev, const char **ret_for, struct bp_error *err);
void bpc_bus_child_detach(struct bp_device *dev); /* of those types that took it on */
void bpc_bus_child_address(struct bp_device *dev, char *buf, size_t size);
const struct bp_bus_class *bpc_bus_class_at(const struct bp_bus *bus, unsigned level); /* base first */
char *bpc_device_firmware_path(struct bp_device *dev); /* firmware-path.c; g_malloc'd */
void bpc_bus_link(struct bp_bus *bus, struct bp_device *dev); /* bus NULL: those on none */
void bpc_bus_unlink(struct bp_device *dev);
void bpc_buses_destroy(struct bp_device *bridge); /* with all children, last first */

/* ---- leave.c ---- */
/* Begins a device's leaving. `deleted`: data of the event DEVICE_DELETED that is sent when it has
 * gone, or NULL. What runs in it, or a vCPU, may make that later than this call. */
void bpc_device_leave(struct bp_device *dev, struct bp_value *deleted);
/* Its bridge leaves: everything below was withdrawn and waited for with it. */
void bpc_device_leave_with_bridge(struct bp_device *dev);
/* The machine ends: waits, without the machine lock. The reference that remains is the caller's. */
void bpc_device_leave_now(struct bp_device *dev);

/* ---- hotplug.c ---- */
bool bpc_hotplug_has(struct bp_machine *machine, struct bp_bus *bus);
int bpc_hotplug_check(struct bp_machine *machine, struct bp_bus *bus, struct bp_error *err);
int bpc_hotplug_pre_plug(struct bp_device *dev, struct bp_error *err);
int bpc_hotplug_plug(struct bp_device *dev, struct bp_error *err);
void bpc_hotplug_unplug(struct bp_device *dev); /* no effect when it was not plugged */
int bpc_hotplug_request(struct bp_device *dev, struct bp_error *err);
void bpc_hotplug_forget(struct bp_bus *bus); /* it goes */

/* ---- wait.c ---- */
/* All its properties are set. 1: it waits for another device, and is not to be attached; 0: it does not. */
int bpc_device_wait(struct bp_device *dev, struct bp_bus *bus, bool hotplug, struct bp_error *err);
void bpc_device_wait_end(struct bp_device *dev); /* no effect when it does not */
/* All devices are there: is what they wait for among them? */
int bpc_devices_check_waiting(struct bp_machine *machine, struct bp_error *err);

/* ---- move.c ---- */
/* What a BP_PROP_IOTHREAD property does when it is set. */
int bpc_device_put_into(struct bp_object *obj, struct bp_object *iothread, struct bp_error *err);

/* ---- irq.c ---- */
void bpc_irq_freeze(bool on); /* while frozen no level change calls anybody */
void bpc_device_lines_disconnect(struct bp_device *dev); /* at detach: nothing arrives any more */
void bpc_device_lines_free(struct bp_device *dev);
/* Names and counts of a device's lines, for qtest and info: fn(name, count, input). */
void bpc_device_each_lines(struct bp_device *dev,
                           void (*fn)(const char *name, unsigned count, bool input, void *opaque),
                           void *opaque);
/* Hears of every bp_irq_set() on a device's inputs or outputs (qtest irq_intercept); NULL: off.
 * name of the set and index within it. */
void bpc_device_intercept(struct bp_device *dev, bool inputs,
                          void (*fn)(void *opaque, const char *name, unsigned n, int level),
                          void *opaque);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Levels of types. A class may build on an abstract parent of another module ("virtio", "scsi-device"),
 * that on a further one: an object of it has a level for each. Every level has its own block of
 * state, which nobody else sees and which can therefore grow; its own properties, its own table of
 * what is saved, and hooks. A level's header says what its classes have to tell it (struct
 * bp_level_info) and offers an interface for what they can ask.
 *
 * Order: init, attach, attached and the hold and exit of a reset go from the base up; detach, fini
 * and the enter of a reset from the top down (docs/types.md has the picture).
 *
 * One description, several names: what a thing is stands once, as a level of its module
 * (bp_type_info.description), and each name is a small class with the transport as its parent:
 *
 *     static const struct bp_level_class blk = {.type = {..., .infos = blk_infos}, .attach = ...};
 *     BP_NAMED(blk_pci, "x-blk-pci", "pci", "x-pci", "Disk on PCI", &blk, .bus_info = &blk_pci_info);
 *     BP_NAMED(blk_mmio, "x-blk-mmio", "system", "x-mmio", "Disk on MMIO", &blk);
 */
#ifndef BP_LEVEL_H
#define BP_LEVEL_H

#include <bp/device.h>

BP_BEGIN_DECLS

/* A level: an abstract type that others name as `parent` ({BP_PROVIDE_ABSTRACT, &ident}), or a
 * description. `state` in each hook is this level's block. [main] under the machine lock */
struct bp_level_class {
    struct bp_type_info type; /* name, parent, state_size, props, state: of this level alone */
    /* The object is made, defaults are set, no other property is yet: make parts here. */
    int (*init)(struct bp_object *obj, void *state, struct bp_error *err);
    /* All properties are set. For devices the place on the bus is known; claim regions, timers,
     * lines. On failure levels that attached are detached and all claims are undone. */
    int (*attach)(struct bp_object *obj, void *state, struct bp_error *err);
    /* All levels have attached: a transport sees now what its class asked for. */
    int (*attached)(struct bp_object *obj, void *state, struct bp_error *err);
    void (*detach)(struct bp_object *obj, void *state);
    /* The memory goes. Called when init() succeeded (or is NULL). */
    void (*fini)(struct bp_object *obj, void *state);
    /* Devices: the phases of a reset; `reset` is hold. */
    void (*reset_enter)(struct bp_device *dev, void *state, enum bp_reset_scope scope);
    void (*reset)(struct bp_device *dev, void *state, enum bp_reset_scope scope);
    void (*reset_exit)(struct bp_device *dev, void *state, enum bp_reset_scope scope);
    void *reserved[4];
};
#define BP_LEVEL_CLASS(ident, NAME, PARENT, SUMMARY, STATE, PROPS, TABLE, ...) \
    BP_STORAGE const struct bp_level_class ident = { \
        .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, \
                 .name = NAME, .parent = PARENT, .summary = SUMMARY, .state_size = sizeof(STATE), \
                 .props = PROPS, .state = TABLE, .reserved = {NULL}}, \
        __VA_ARGS__}
/* One that is offered as a parent; PARENT is another level, or the kind's own ("device"). */
#define BP_LEVEL(ident, NAME, PARENT, SUMMARY, STATE, PROPS, TABLE, ...) \
    BP_NOTE("provides=abstract:" NAME ";summary=" SUMMARY); \
    BP_LEVEL_CLASS(ident, NAME, PARENT, SUMMARY, STATE, PROPS, TABLE, __VA_ARGS__)
/* A name of a described device: a class without state, properties and hooks of its own. */
#define BP_NAMED_FLAGS(ident, NAME, BUS, PARENT, SUMMARY, DESCRIPTION, FLAGS, USER, ...) \
    BP_NOTE("provides=device:" NAME ";bus=" BUS ";user=" USER ";summary=" SUMMARY); \
    BP_STORAGE const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .flags = FLAGS, .name = NAME, \
                 .parent = PARENT, .summary = SUMMARY, .description = DESCRIPTION, \
                 .reserved = {NULL}}, \
        .bus = BUS, __VA_ARGS__}
#define BP_NAMED(ident, NAME, BUS, PARENT, SUMMARY, DESCRIPTION, ...) \
    BP_NAMED_FLAGS(ident, NAME, BUS, PARENT, SUMMARY, DESCRIPTION, 0, "yes", __VA_ARGS__)
#define BP_HOTPLUG_NAMED(ident, NAME, BUS, PARENT, SUMMARY, DESCRIPTION, ...) \
    BP_NAMED_FLAGS(ident, NAME, BUS, PARENT, SUMMARY, DESCRIPTION, BP_TYPE_HOTPLUGGABLE, "yes", \
                   __VA_ARGS__)

/* The object's block of a level; NULL when its type is not built on it. Looks: keep what it gives,
 * the block lives as long as the object. [any] */
void *bp_object_level(const struct bp_object *obj, const struct bp_level_class *level);
/* What the class of the object, or the nearest level above this one, says to it; NULL: nothing. [any] */
const void *bp_object_level_info(const struct bp_object *obj, const struct bp_level_class *level);

BP_END_DECLS

#endif

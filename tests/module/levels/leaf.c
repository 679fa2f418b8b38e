/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests: a device that is described once and has two names, one for each transport of another
 * module (base.c); a card for its slots; a device with a part whose property it forwards.
 */
#include <errno.h>

#include "levels.h"

BP_USE(levels, struct test_levels_interface, "test-levels", 1);
static const struct bp_import imports[] = {BP_IMPORT(levels, "test-levels", 1), {NULL}};

struct leaf {
    uint8_t colour, saved;
    bool in_use;
};

static int leaf_init(struct bp_object *obj, void *state, struct bp_error *err)
{
    (void)state;
    levels->note("leaf", "init");
    return bp_object_of_state(state) == obj ? levels->check(err) : -EFAULT;
}

static int leaf_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct leaf *s = state;

    (void)obj;
    levels->note("leaf", "attach");
    s->in_use = true;
    return levels->check(err);
}

static int leaf_attached(struct bp_object *obj, void *state, struct bp_error *err)
{
    (void)obj, (void)state;
    levels->note("leaf", "attached");
    return levels->check(err);
}

static void leaf_detach(struct bp_object *obj, void *state)
{
    (void)obj;
    ((struct leaf *)state)->in_use = false;
    levels->note("leaf", "detach");
}

static void leaf_fini(struct bp_object *obj, void *state)
{
    (void)obj, (void)state;
    levels->note("leaf", "fini");
}

static const struct test_base_info leaf_info = {sizeof(leaf_info), "leaf"};
static const struct bp_level_info infos[] = {{"test-base", &leaf_info}, {NULL, NULL}};
static const struct bp_field leaf_props[] = {
    BP_PROP_RANGE("colour", UINT8, struct leaf, colour, "7", 1, 9, "its colour"), BP_FIELDS_END};
static const struct bp_state_field leaf_fields[] = {BP_SAVE(UINT8, struct leaf, saved), BP_SAVE_END};
static const struct bp_state_table leaf_table = {.version = 1, .oldest = 1, .fields = leaf_fields};

static const struct bp_level_class leaf = {
    .type = {.size = sizeof(struct bp_level_class), .name = "test-leaf", .summary = "A leaf",
             .state_size = sizeof(struct leaf), .props = leaf_props, .state = &leaf_table,
             .infos = infos},
    .init = leaf_init, .attach = leaf_attach, .attached = leaf_attached, .detach = leaf_detach,
    .fini = leaf_fini};
BP_NAMED(leaf_slow, "test-leaf-slow", "system", "test-slow", "A leaf, slowly", &leaf);
BP_HOTPLUG_NAMED(leaf_fast, "test-leaf-fast", "system", "test-fast", "A leaf, fast", &leaf);

/* ---- a card ---- */

struct card {
    uint32_t dummy;
};

static int card_attach(struct bp_device *dev, struct bp_error *err)
{
    (void)dev;
    levels->note("card", "attach");
    return levels->check(err);
}

static void card_detach(struct bp_device *dev)
{
    (void)dev;
    levels->note("card", "detach");
}

BP_DEVICE(card, "test-slot-card", "test-slots", "Sits in a slot", struct card, NULL, NULL,
          .attach = card_attach, .detach = card_detach);
BP_DEVICE(wide_card, "test-wide-card", "test-wide-slots", "Needs a wide slot", struct card, NULL, NULL,
          .attach = card_attach, .detach = card_detach);

/* ---- a whole with a part ---- */

struct whole {
    struct bp_device *part;
};

static int whole_init(struct bp_device *dev, struct bp_error *err)
{
    struct whole *s = bp_device_state(dev);

    return bp_device_new_part(dev, "test-leaf-fast", "inner", &s->part, err);
}

static int whole_attach(struct bp_device *dev, struct bp_error *err)
{
    struct whole *s = bp_device_state(dev);

    return bp_device_attach(s->part, NULL, err);
}

static const struct bp_field whole_props[] = {
    BP_PROP_FORWARD("leaf-colour", "inner", "test-leaf-fast", "colour"),
    BP_PROP_FORWARD("lanes", "inner", "test-leaf-fast", "lanes"),
    BP_PROP_FORWARD("nothing", "elsewhere", "test-leaf-fast", "lanes"),
    BP_FIELDS_END};
BP_DEVICE(whole, "test-whole", "system", "Has a leaf in it", struct whole, whole_props, NULL,
          .init = whole_init, .attach = whole_attach);

BP_MODULE("test-levels-leaf", "Levels for tests: the upper ones", imports,
          {BP_PROVIDE_DEVICE, &leaf_slow}, {BP_PROVIDE_DEVICE, &leaf_fast}, {BP_PROVIDE_DEVICE, &card},
          {BP_PROVIDE_DEVICE, &wide_card}, {BP_PROVIDE_DEVICE, &whole});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * For tests: the lower levels of a device that another module describes, two transports among them, and
 * a bus type that extends another. With -DGROWN the base's block has become larger, as in a later
 * version of the module: who builds on it must not notice.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "levels.h"

#ifdef GROWN
#define MORE uint8_t more[4096];
#else
#define MORE
#endif

struct base {
    MORE
    uint32_t number;
    uint16_t speed;
    struct bp_object *obj;
};

struct transport {
    uint32_t lanes;
};

static char calls[4096];
static char failing[64];
static bool failed;

static void note(const char *name, const char *hook)
{
    char text[64];

    snprintf(text, sizeof(text), "%s.%s ", name, hook);
    failed = strcmp(text, failing) == 0;
    if (strlen(calls) + strlen(text) < sizeof(calls))
        strcat(calls, text);
}

static int check(struct bp_error *err)
{
    return failed ? bp_fail(err, EIO, "told to fail") : 0;
}

static void fail_at(const char *name, const char *hook)
{
    failing[0] = 0;
    if (name)
        snprintf(failing, sizeof(failing), "%s.%s ", name, hook);
}

static const char *get_calls(void)
{
    return calls;
}

static void forget(void)
{
    calls[0] = 0;
}

#define HOOKS(NAME, PREFIX) \
    static int PREFIX##_init(struct bp_object *obj, void *state, struct bp_error *err) \
    { \
        (void)obj, (void)state; \
        note(NAME, "init"); \
        return check(err); \
    } \
    static int PREFIX##_attach(struct bp_object *obj, void *state, struct bp_error *err) \
    { \
        (void)obj, (void)state; \
        note(NAME, "attach"); \
        return check(err); \
    } \
    static int PREFIX##_attached(struct bp_object *obj, void *state, struct bp_error *err) \
    { \
        (void)obj, (void)state; \
        note(NAME, "attached"); \
        return check(err); \
    } \
    static void PREFIX##_detach(struct bp_object *obj, void *state) \
    { \
        (void)obj, (void)state; \
        note(NAME, "detach"); \
    } \
    static void PREFIX##_fini(struct bp_object *obj, void *state) \
    { \
        (void)obj, (void)state; \
        note(NAME, "fini"); \
    }
#define THE_HOOKS(PREFIX) \
    .init = PREFIX##_init, .attach = PREFIX##_attach, .attached = PREFIX##_attached, \
    .detach = PREFIX##_detach, .fini = PREFIX##_fini

HOOKS("base", base)
HOOKS("slow", slow)
HOOKS("fast", fast)

static const struct bp_field base_props[] = {
    BP_PROP("speed", UINT16, struct base, speed, "10", "how fast"), BP_FIELDS_END};
static const struct bp_state_field base_fields[] = {BP_SAVE(UINT32, struct base, number),
                                                    BP_SAVE_END};
static const struct bp_state_table base_table = {.version = 1, .oldest = 1, .fields = base_fields};
BP_LEVEL(base, "test-base", "device", "What tested devices share", struct base, base_props,
         &base_table, THE_HOOKS(base));

static const struct bp_field fast_props[] = {
    BP_PROP("lanes", UINT32, struct transport, lanes, "4", "how many lanes"),
    BP_PROP("speed", UINT16, struct transport, lanes, "99", "hides that of the base"),
    BP_FIELDS_END};
static const struct bp_state_field fast_fields[] = {BP_SAVE(UINT32, struct transport, lanes),
                                                    BP_SAVE_END};
static const struct bp_state_table fast_table = {.version = 1, .oldest = 1, .fields = fast_fields};
BP_LEVEL(slow, "test-slow", "test-base", "Transport without anything", struct transport, NULL, NULL,
         THE_HOOKS(slow));
BP_LEVEL(fast, "test-fast", "test-base", "Transport with lanes", struct transport, fast_props,
         &fast_table, THE_HOOKS(fast));

static size_t base_size(void)
{
    return sizeof(struct base);
}

static const char *model(struct bp_object *obj)
{
    const struct test_base_info *info = bp_object_level_info(obj, &base);

    return info ? info->model : NULL;
}

static uint32_t *base_register(struct bp_object *obj)
{
    struct base *s = bp_object_level(obj, &base);

    return s && bp_object_of_state(s) == obj ? &s->number : NULL;
}

/* ---- buses ---- */

struct slots {
    unsigned taken;
};

struct slot { /* kept with each child */
    uint32_t slot, latch;
};

struct wide {
    unsigned width;
};

struct wide_slot {
    uint32_t width;
};

static int slots_child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err);
static void slots_child_detach(struct bp_bus *bus, struct bp_device *child);
static void slots_address(struct bp_device *child, char *buf, size_t size);

static const struct bp_field slot_props[] = {
    BP_PROP("slot", UINT32, struct slot, slot, "0", "where it sits"), BP_FIELDS_END};
static const struct bp_state_field slot_fields[] = {BP_SAVE(UINT32, struct slot, latch), BP_SAVE_END};
static const struct bp_state_table slot_table = {.version = 1, .oldest = 1, .fields = slot_fields};
BP_BUS(slots_class, "test-slots", "Slots", struct slots, .child_size = sizeof(struct slot),
       .child_props = slot_props, .child_state = &slot_table, .child_attach = slots_child_attach,
       .child_detach = slots_child_detach, .child_address = slots_address);

static int slots_child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err)
{
    struct slots *s = bp_bus_level(bus, &slots_class);
    struct slot *slot = bp_device_bus_level(child, &slots_class);

    note("slots", "attach");
    s->taken++;
    slot->latch = 0x100 + slot->slot;
    if (check(err) < 0) {
        s->taken--;
        return -EIO;
    }
    return 0;
}

static void slots_child_detach(struct bp_bus *bus, struct bp_device *child)
{
    struct slots *s = bp_bus_level(bus, &slots_class);

    (void)child;
    note("slots", "detach");
    s->taken--;
}

static void slots_address(struct bp_device *child, char *buf, size_t size)
{
    const struct slot *slot = bp_device_bus_level(child, &slots_class);

    snprintf(buf, size, "slot %u", slot->slot);
}

static const struct bp_field wide_props[] = {
    BP_PROP("width", UINT32, struct wide_slot, width, "16", "lanes of the slot"), BP_FIELDS_END};
static const struct bp_state_field wide_fields[] = {BP_SAVE(UINT32, struct wide_slot, width),
                                                    BP_SAVE_END};
static const struct bp_state_table wide_table = {.version = 1, .oldest = 1, .fields = wide_fields};

static int wide_child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err)
{
    (void)bus, (void)child;
    note("wide", "attach");
    return check(err);
}

static void wide_child_detach(struct bp_bus *bus, struct bp_device *child)
{
    (void)bus, (void)child;
    note("wide", "detach");
}

BP_NOTE("provides=bus:test-wide-slots;summary=Slots that are wide");
static const struct bp_bus_class wide_class = {
    .type = {.size = sizeof(struct bp_bus_class), .name = "test-wide-slots", .parent = "test-slots",
             .summary = "Slots that are wide", .state_size = sizeof(struct wide)},
    .child_size = sizeof(struct wide_slot), .child_props = wide_props, .child_state = &wide_table,
    .child_attach = wide_child_attach, .child_detach = wide_child_detach};

struct bridge {
    bool wide;
};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    const struct bridge *s = bp_device_state(dev);
    struct bp_bus *bus;

    return bp_bus_new(dev, s->wide ? "test-wide-slots" : "test-slots", NULL, &bus, err);
}

static const struct bp_field bridge_props[] = {
    BP_PROP("wide", BOOL, struct bridge, wide, "off", "whether its slots are wide"), BP_FIELDS_END};
BP_DEVICE(bridge, "test-slot-bridge", "system", "Makes slots", struct bridge, bridge_props, NULL,
          .attach = bridge_attach);

static const struct test_levels_interface table = {
    .size = sizeof(table), .calls = get_calls, .forget = forget, .note = note, .fail_at = fail_at,
    .check = check, .base_size = base_size, .model = model, .base_register = base_register};
BP_INTERFACE(levels_interface, "test-levels", 1, 0, &table);

BP_MODULE("test-levels-base", "Levels for tests: the lower ones", BP_NO_IMPORTS,
          {BP_PROVIDE_ABSTRACT, &base}, {BP_PROVIDE_ABSTRACT, &slow}, {BP_PROVIDE_ABSTRACT, &fast},
          {BP_PROVIDE_BUS, &slots_class}, {BP_PROVIDE_BUS, &wide_class},
          {BP_PROVIDE_DEVICE, &bridge}, {BP_PROVIDE_INTERFACE, &levels_interface});

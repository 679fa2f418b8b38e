/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Devices and buses: attaching and undoing it, hot-plug, reset order, lines, texts. */
#include <errno.h>
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/command.h>

#include "device.h"
#include "loop.h"
#include "machine.h"
#include "registry.h"
#include "type.h"

static struct bp_machine *machine;
static GString *calls; /* what was called, in order */

#define assert_calls(text)                                                                         \
    do {                                                                                           \
        g_assert_cmpstr(calls->str, ==, text);                                                     \
        g_string_truncate(calls, 0);                                                               \
    } while (0)

/* ---- a bridge with a bus of numbered slots ---- */

struct slot {
    uint8_t number;
    char *label;
};

static const struct bp_field slot_props[] = {
    BP_PROP_RANGE("slot", UINT8, struct slot, number, "1", 1, 4, "place on the bus"),
    BP_PROP("label", STRING, struct slot, label, NULL, "a text"), BP_FIELDS_END};

static int child_attach(struct bp_bus *bus, struct bp_device *child, struct bp_error *err)
{
    struct slot *slot = bp_device_bus_state(child);
    g_assert_true(bp_device_bus(child) == bus);
    if (slot->number == 4)
        return bp_fail(err, EBUSY, "slot 4 is broken");
    g_string_append_printf(calls, "on%u ", slot->number);
    return 0;
}

static void child_detach(struct bp_bus *bus, struct bp_device *child)
{
    g_assert_true(bp_device_bus(child) == bus);
    g_string_append_printf(calls, "off%u ", ((struct slot *)bp_device_bus_state(child))->number);
}

static void bus_reset(struct bp_bus *bus, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    (void)bus, (void)scope;
    if (phase == BP_RESET_HOLD)
        g_string_append(calls, "reset-bus ");
}

static void child_address(struct bp_device *child, char *buf, size_t size)
{
    g_snprintf(buf, (gulong)size, "slot %u", ((struct slot *)bp_device_bus_state(child))->number);
}

static const struct bp_bus_class slots = {
    .type = {.size = sizeof(slots), .name = "slots", .state_size = 8},
    .child_size = sizeof(struct slot),
    .child_props = slot_props,
    .max_children = 3,
    .child_attach = child_attach,
    .child_detach = child_detach,
    .reset = bus_reset,
    .child_address = child_address};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus;
    return bp_bus_new(dev, "slots", NULL, &bus, err);
}

static void bridge_reset(struct bp_device *dev)
{
    (void)dev;
    g_string_append(calls, "reset-bridge ");
}

static const struct bp_device_class bridge = {
    .type = {.size = sizeof(bridge), .name = "bridge", .flags = BP_TYPE_NOT_USER_CREATABLE},
    .bus = "system",
    .attach = bridge_attach,
    .reset = bridge_reset};

/* ---- a card ---- */

struct card {
    char *mode;
    uint16_t port;
    struct bp_timer *timer;
    struct bp_irq *irq;
    int last_level;
};

static const struct bp_field card_props[] = {
    BP_PROP("mode", STRING, struct card, mode, "good", "good, fail, bus-fail or self-destruct"),
    BP_PROP("port", UINT16, struct card, port, "0x3f8", "a port"), BP_FIELDS_END};

static void fire(void *opaque)
{
    struct bp_device *dev = opaque;
    struct card *card = bp_device_state(dev);
    g_string_append(calls, "fire ");
    bp_device_unplugged(dev);
    card->port = 0; /* still there within its own callback */
}

static void line_changed(struct bp_device *dev, unsigned n, int level)
{
    struct card *card = bp_device_state(dev);
    card->last_level = level * 10 + (int)n;
}

static int card_attach(struct bp_device *dev, struct bp_error *err)
{
    struct card *card = bp_device_state(dev);
    g_assert_true(bp_device_of_state(card) == dev);
    card->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_REALTIME, fire, dev);
    bp_timer_set(card->timer, strcmp(card->mode, "self-destruct") ? INT64_MAX : 0);
    bp_device_add_irq_outputs(dev, NULL, 2);
    bp_device_add_irq_inputs(dev, "in", 3, line_changed);
    if (!strcmp(card->mode, "bus-fail")) {
        struct bp_bus *bus;
        struct bp_device *child;
        int ret = bp_bus_new(dev, "slots", NULL, &bus, err);
        if (!ret)
            ret = bp_device_new(bp_device_machine(dev), "card", NULL, &child, err);
        if (!ret)
            ret = bp_device_attach(child, bus, err);
        g_assert_cmpint(ret, ==, 0);
    }
    if (strstr(card->mode, "fail"))
        return bp_fail(err, EIO, "told to fail");
    g_string_append_printf(calls, "attach-%x ", card->port);
    return 0;
}

static void card_detach(struct bp_device *dev)
{
    g_string_append_printf(calls, "detach-%x ", ((struct card *)bp_device_state(dev))->port);
}

static void card_reset(struct bp_device *dev)
{
    g_string_append_printf(calls, "reset-%x ", ((struct card *)bp_device_state(dev))->port);
}

static const char *const card_aliases[] = {"board-game", NULL};
#define CARD(NAME, FLAGS, ...)                                                                     \
    {                                                                                              \
        .type = {.size = sizeof(struct bp_device_class),                                           \
                 .name = NAME,                                                                     \
                 .flags = FLAGS,                                                                   \
                 .state_size = sizeof(struct card),                                                \
                 .props = card_props},                                                             \
        .bus = "slots", .attach = card_attach, .detach = card_detach, .reset = card_reset,         \
        __VA_ARGS__                                                                                \
    }
static int unplug_request(struct bp_device *dev, struct bp_error *err)
{
    (void)err;
    bp_timer_set(((struct card *)bp_device_state(dev))->timer, 0); /* soon */
    return 0;
}
static const struct bp_device_class card =
    CARD("card", BP_TYPE_HOTPLUGGABLE, .aliases = card_aliases);
static const struct bp_device_class slow =
    CARD("slow-card", BP_TYPE_HOTPLUGGABLE, .unplug_request = unplug_request);
static const struct bp_device_class cold = CARD("cold-card", 0);
static const struct bp_device_class lonely = {.type = {.size = sizeof(lonely), .name = "lonely"},
                                              .bus = "missing"};

/* Everything may come and go. */
static const struct bp_hotplug_ops anything = {.size = sizeof(anything)};

/* A bridge that can be plugged, and a card that uses another device. */
static int hot_bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus;
    int ret = bp_bus_new(dev, "slots", bp_device_id(dev), &bus, err);
    if (!ret)
        bp_bus_set_hotplug(bus, bp_device_owner(dev), &anything, NULL);
    return ret;
}

static const struct bp_device_class hot_bridge = {
    .type = {.size = sizeof(hot_bridge), .name = "hot-bridge", .flags = BP_TYPE_HOTPLUGGABLE},
    .bus = "slots", .attach = hot_bridge_attach};

struct user {
    struct bp_object *peer;
};
static const struct bp_field user_props[] = {
    BP_PROP_LINK("peer", "device", struct user, peer, "whom it uses"), BP_FIELDS_END};
static const struct bp_device_class user_card = {
    .type = {.size = sizeof(user_card), .name = "user-card", .flags = BP_TYPE_HOTPLUGGABLE,
             .state_size = sizeof(struct user), .props = user_props},
    .bus = "slots"};

static const struct bp_provide provides[] = {
    {BP_PROVIDE_DEVICE, &hot_bridge}, {BP_PROVIDE_DEVICE, &user_card},
    {BP_PROVIDE_BUS, &slots},   {BP_PROVIDE_DEVICE, &bridge}, {BP_PROVIDE_DEVICE, &card},
    {BP_PROVIDE_DEVICE, &slow}, {BP_PROVIDE_DEVICE, &cold},   {BP_PROVIDE_DEVICE, &lonely},
    {BP_PROVIDE_END, NULL}};

/* ---- help ---- */

static void run_loop(void)
{
    for (int i = 0; i < 5; i++)
        bpc_loop_run_once(false);
}

static void begin(void)
{
    struct bp_device *dev;
    g_assert_cmpint(bp_device_new(machine, "bridge", NULL, &dev, NULL), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, NULL, NULL), ==, 0);
    bp_bus_set_hotplug(dev->buses, bp_device_owner(dev), &anything, NULL);
    g_string_truncate(calls, 0);
}

static void end(void)
{
    bpc_devices_destroy(machine);
    run_loop();
    g_string_truncate(calls, 0);
    g_assert_null(bpc_object_container("/machine/unattached")->first);
    g_assert_null(bpc_object_container("/machine/peripheral")->first);
    g_assert_null(bpc_object_container("/machine/peripheral-anon")->first);
}

static int add(const char *text, bool hotplug, struct bp_error *err)
{
    struct bp_value *args;
    g_assert_cmpint(bp_value_parse(text, strlen(text), &args, NULL), ==, 0);
    int ret = bpc_device_add(machine, args, hotplug, err);
    bp_value_unref(args);
    return ret;
}

/* ---- tests ---- */

static void attaching_calls_bus_then_device(void)
{
    struct bp_error err = {0};
    begin();
    g_assert_cmpint(
        add("{\"driver\":\"card\",\"id\":\"c0\",\"slot\":\"2\",\"port\":512}", false, &err), ==, 0);
    assert_calls("on2 attach-200 reset-200 ");
    struct bp_device *dev = bpc_device_find("c0");
    g_assert_cmpstr(bp_object_path(bp_device_object(dev)), ==, "/machine/peripheral/c0");
    g_assert_cmpstr(bp_device_id(dev), ==, "c0");
    g_assert_true(bpc_device_find("/machine/peripheral/c0") == dev);
    g_assert_true(bp_device_bus(dev) == bp_bus_find(machine, "slots.0"));
    g_assert_true(bp_bus_find(machine, "slots") == bp_bus_find(machine, "slots.0"));
    g_assert_true(bp_device_bridged(bp_bus_bridge(bp_device_bus(dev)), "slots") == bp_device_bus(dev));
    g_assert_null(bp_device_bridged(bp_bus_bridge(bp_device_bus(dev)), "pci"));
    g_assert_null(bp_device_bridged(dev, "slots"));
    g_assert_true(bp_object_is_a(bp_device_object(dev), "slots-device"));
    g_assert_true(bp_object_is_a(bp_device_object(dev), "device"));
    struct bp_value *v;
    g_assert_cmpint(bp_object_get(bp_device_object(dev), "realized", &v, NULL), ==, 0);
    g_assert_true(bp_value_as_bool(v));
    bp_value_unref(v);
    g_assert_cmpint(bp_object_get(bp_device_object(dev), "hotplugged", &v, NULL), ==, 0);
    g_assert_false(bp_value_as_bool(v));
    bp_value_unref(v);
    g_assert_cmpint(bp_object_get(bp_device_object(dev), "parent_bus", &v, NULL), ==, 0);
    g_assert_cmpstr(bp_value_as_string(v), ==, "/machine/unattached/device[0]/slots.0");
    bp_value_unref(v);
    g_assert_cmpint(bp_device_set(dev, "port", "1", &err), ==, -EBUSY);
    g_assert_cmpint(bp_device_attach(dev, NULL, &err), ==, -EBUSY);
    bp_device_destroy(dev);
    assert_calls("detach-200 off2 ");
    g_assert_null(bpc_device_find("c0"));
    end();
}

static void failed_attach_leaves_nothing(void)
{
    static const char *const modes[] = {"fail", "bus-fail"};
    struct bp_error err = {0};
    begin();
    for (unsigned i = 0; i < G_N_ELEMENTS(modes); i++) {
        char *text =
            g_strdup_printf("{\"driver\":\"card\",\"id\":\"c0\",\"mode\":\"%s\"}", modes[i]);
        g_assert_cmpint(add(text, false, &err), ==, -EIO);
        g_assert_cmpstr(err.message, ==, "told to fail");
        g_free(text);
        run_loop();
        g_assert_null(bpc_device_find("c0"));
        g_assert_cmpuint(bp_bus_find(machine, "slots.0")->count, ==, 0);
    }
    assert_calls("on1 off1 on1 on1 attach-3f8 reset-3f8 detach-3f8 off1 off1 ");
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c0\",\"slot\":4}", false, &err), ==, -EBUSY);
    assert_calls("");
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c0\"}", false, &err), ==, 0);
    end();
}

static void bad_requests_are_refused(void)
{
    static const struct {
        const char *args, *message;
    } bad[] = {
        {"{}", "Parameter 'driver' is missing"},
        {"{\"driver\":1}", "Invalid parameter type for 'driver', expected: string"},
        {"{\"driver\":\"crad\"}", "'crad' is not a valid device model name; near names: card"},
        {"{\"driver\":\"zzzzzz\"}",
         "'zzzzzz' is not a valid device model name; -device help lists them"},
        {"{\"driver\":\"bridge\"}",
         "Parameter 'driver' expects a pluggable device type; 'bridge' is "
         "part of a board"},
        {"{\"driver\":\"card\",\"id\":\"7up\"}", "Parameter 'id' expects an identifier: a letter, "
                                                 "then letters, digits, '-', '.' and '_'"},
        {"{\"driver\":\"card\",\"id\":\"taken\"}", "Duplicate device ID 'taken'"},
        {"{\"driver\":\"card\",\"bus\":\"x\"}", "Bus 'x' not found"},
        {"{\"driver\":\"card\",\"bus\":7}", "Invalid parameter type for 'bus', expected: string"},
        {"{\"driver\":\"card\",\"foo\":\"x\"}",
         "Property 'card.foo' not found; accepted: mode, port, slot, label"},
        {"{\"driver\":\"card\",\"prot\":1}", "Property 'card.prot' not found; near names: port"},
        {"{\"driver\":\"card\",\"port\":65536}",
         "Parameter 'port' expects a number in 0..65535, not 65536"},
        {"{\"driver\":\"card\",\"slot\":\"9\"}",
         "Parameter 'slot' expects a number in 1..4, not '9'"},
        {"{\"driver\":\"card\",\"realized\":true}", "Property 'card.realized' is read-only"},
        {"{\"driver\":\"lonely\"}", "No 'missing' bus found for device 'lonely'"},
    };
    begin();
    g_assert_cmpint(add("{\"driver\":\"board-game\",\"id\":\"taken\"}", false, NULL), ==, 0);
    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        struct bp_error err = {0};
        g_assert_cmpint(add(bad[i].args, false, &err), <, 0);
        g_assert_cmpstr(err.message, ==, bad[i].message);
    }
    end();
}

static void full_bus_takes_no_more(void)
{
    struct bp_error err = {0};
    begin();
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(add("{\"driver\":\"card\"}", false, &err), ==, 0);
    g_assert_cmpint(add("{\"driver\":\"card\"}", false, &err), ==, -ENODEV);
    g_assert_cmpstr(err.message, ==, "No 'slots' bus with room found for device 'card'");
    g_assert_cmpint(add("{\"driver\":\"card\",\"bus\":\"slots.0\"}", false, &err), ==, -ENOSPC);
    end();
}

static void bridge_does_not_leave_with_what_others_use(void)
{
    struct bp_error err = {0};
    begin();
    g_assert_cmpint(add("{\"driver\":\"hot-bridge\",\"id\":\"hot\",\"bus\":\"slots.0\"}", true, &err), ==, 0);
    struct bp_device *hot = bpc_device_find("hot");
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"used\",\"bus\":\"hot\"}", true, &err), ==, 0);
    /* Who goes as well is no reason to stay. */
    g_assert_cmpint(add("{\"driver\":\"user-card\",\"id\":\"within\",\"bus\":\"hot\",\"peer\":\"used\"}",
                        true, &err), ==, 0);
    g_assert_null(bpc_device_used(hot));
    g_assert_cmpint(add("{\"driver\":\"user-card\",\"id\":\"out\",\"bus\":\"slots.0\",\"slot\":\"2\","
                        "\"peer\":\"used\"}", true, &err), ==, 0);
    g_assert_cmpint(bpc_device_del("used", &err), ==, -EBUSY);
    g_assert_cmpint(bpc_device_del("hot", &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "/machine/peripheral/used"));
    bp_device_unplugged(hot); /* ejected by the guest all the same */
    run_loop();
    g_assert_true(bpc_device_find("hot") == hot && bpc_device_find("used"));
    g_assert_cmpint(bpc_device_del("out", &err), ==, 0); /* uses nothing any more, though its memory waits */
    g_assert_cmpint(bpc_device_del("hot", &err), ==, 0);
    run_loop();
    g_assert_null(bpc_device_find("hot"));
    g_assert_null(bpc_device_find("used"));
    end();
}

static void hotplug_needs_a_class_that_allows_it(void)
{
    struct bp_error err = {0};
    begin();
    g_assert_cmpint(add("{\"driver\":\"cold-card\",\"id\":\"c\"}", true, &err), ==, -EINVAL);
    g_assert_cmpint(add("{\"driver\":\"cold-card\",\"id\":\"c\"}", false, &err), ==, 0);
    g_assert_cmpint(bpc_device_del("c", &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "Device 'c' can not be unplugged"));
    g_assert_cmpint(bpc_device_del("nobody", &err), ==, -ENOENT);
    g_assert_cmpint(err.kind, ==, BP_ERROR_DEVICE_NOT_FOUND);
    g_assert_cmpint(bpc_device_del("", &err), ==, -ENOENT);
    g_assert_cmpint(bpc_device_del("/machine", &err), ==, -ENOENT);
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"h\"}", true, &err), ==, 0);
    g_string_truncate(calls, 0);
    g_assert_cmpint(bpc_device_del("h", &err), ==, 0);
    assert_calls("detach-3f8 off1 ");
    g_assert_cmpint(bpc_device_del("h", &err), ==, -ENOENT);
    end();
}

/* ---- who controls the slot decides ---- */

static const char *refused; /* the call that fails */

static int decide(const char *call, void *opaque, struct bp_bus *bus, struct bp_device *dev,
                  struct bp_error *err)
{
    g_assert_true(opaque == &refused && bp_device_bus(dev) == bus);
    g_string_append_printf(calls, "%s%s ", call, bp_device_hotplugged(dev) ? "!" : "");
    return refused && !strcmp(refused, call) ? bp_fail(err, EPERM, "the door is locked") : 0;
}

static int pre_plug(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    g_assert_cmpuint(((struct slot *)bp_device_bus_state(dev))->number, >, 0);
    return decide("pre", opaque, bus, dev, err);
}

static int plug(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    return decide("plug", opaque, bus, dev, err);
}

static int request(void *opaque, struct bp_bus *bus, struct bp_device *dev, struct bp_error *err)
{
    return decide("ask", opaque, bus, dev, err);
}

static void unplug(void *opaque, struct bp_bus *bus, struct bp_device *dev)
{
    decide("unplug", opaque, bus, dev, NULL);
}

static void surprise(void *opaque, struct bp_bus *bus, struct bp_device *dev)
{
    decide("surprise", opaque, bus, dev, NULL);
}

static const struct bp_hotplug_ops door = {.size = sizeof(door),
                                           .pre_plug = pre_plug,
                                           .plug = plug,
                                           .unplug_request = request,
                                           .unplug = unplug,
                                           .surprise = surprise};

static struct bp_bus *begin_with_door(void)
{
    begin();
    struct bp_bus *bus = bp_bus_find(machine, "slots");
    bp_bus_set_hotplug(bus, bp_device_owner(bp_bus_bridge(bus)), &door, &refused);
    refused = NULL;
    return bus;
}

static void without_a_controller_nothing_comes_or_goes(void)
{
    struct bp_error err = {0};
    begin();
    struct bp_bus *bus = bp_bus_find(machine, "slots");
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c\"}", false, &err), ==, 0);
    bp_bus_set_hotplug(bus, NULL, NULL, NULL);
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"d\"}", true, &err), ==, -EINVAL);
    g_assert_cmpstr(err.message, ==, "Bus 'slots.0' does not support hotplugging");
    g_assert_cmpint(bpc_device_del("c", &err), ==, -EINVAL);
    g_assert_nonnull(strstr(err.message, "Bus 'slots.0' does not support hotplugging"));
    end();
}

static void controller_sees_each_device_come_and_go(void)
{
    struct bp_error err = {0};
    begin_with_door();
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c\"}", false, &err), ==, 0);
    assert_calls("on1 pre attach-3f8 reset-3f8 plug ");
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"h\"}", true, &err), ==, 0);
    assert_calls("on1 pre! attach-3f8 reset-3f8 plug! ");
    struct bp_device *dev = bpc_device_find("h");
    g_assert_cmpint(bpc_device_del("h", &err), ==, 0);
    assert_calls("ask! ");
    g_assert_cmpint(bpc_device_del("h", &err), ==, -EBUSY);
    bp_device_unplug_refused(dev); /* the guest holds on to it */
    g_assert_cmpint(bpc_device_del("h", &err), ==, 0);
    bp_device_unplugged(dev);
    assert_calls("ask! unplug! detach-3f8 off1 ");
    g_assert_null(bpc_device_find("h"));
    bp_device_gone(bpc_device_find("c"));
    assert_calls("surprise unplug detach-3f8 off1 ");
    end();
}

static void controller_refuses_in_words(void)
{
    struct bp_error err = {0};
    begin_with_door();
    refused = "pre";
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c\"}", true, &err), ==, -EPERM);
    g_assert_cmpstr(err.message, ==, "the door is locked");
    run_loop();
    assert_calls("on1 pre! off1 ");
    refused = "plug";
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c\"}", true, &err), ==, -EPERM);
    run_loop();
    assert_calls("on1 pre! attach-3f8 reset-3f8 plug! detach-3f8 off1 ");
    refused = "ask";
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c\"}", true, &err), ==, 0);
    g_assert_cmpint(bpc_device_del("c", &err), ==, -EPERM);
    g_assert_cmpint(bpc_device_del("c", &err), ==, -EPERM); /* not pending */
    refused = NULL;
    end();
}

static void controller_that_goes_controls_no_more(void)
{
    struct bp_device *chip;
    struct bp_error err = {0};
    struct bp_bus *bus = begin_with_door();
    g_assert_cmpint(bp_device_new(machine, "bridge", NULL, &chip, &err), ==, 0);
    g_assert_cmpint(bp_device_attach(chip, NULL, &err), ==, 0);
    bp_bus_set_hotplug(bus, bp_device_owner(chip), &door, &refused);
    bp_device_destroy(chip);
    run_loop();
    g_assert_cmpint(add("{\"driver\":\"card\",\"bus\":\"slots.0\"}", true, &err), ==, -EINVAL);
    end();
}

static void slow_unplug_ends_in_the_devices_own_callback(void)
{
    struct bp_error err = {0};
    begin();
    g_assert_cmpint(add("{\"driver\":\"slow-card\",\"id\":\"s\"}", true, &err), ==, 0);
    g_string_truncate(calls, 0);
    g_assert_cmpint(bpc_device_del("s", &err), ==, 0);
    g_assert_nonnull(bpc_device_find("s"));
    g_assert_cmpint(bpc_device_del("s", &err), ==, -EBUSY);
    run_loop();
    g_assert_null(bpc_device_find("s"));
    assert_calls("fire detach-3f8 off1 ");
    end();
}

static void reset_goes_from_children_to_bridges(void)
{
    begin();
    g_assert_cmpint(add("{\"driver\":\"card\",\"port\":1}", false, NULL), ==, 0);
    g_assert_cmpint(add("{\"driver\":\"card\",\"port\":2}", false, NULL), ==, 0);
    g_string_truncate(calls, 0);
    bpc_devices_reset(machine);
    assert_calls("reset-1 reset-2 reset-bus reset-bridge ");
    bpc_devices_destroy(machine);
    assert_calls("detach-2 off1 detach-1 off1 ");
    end();
}

static void note_intercepted(void *opaque, const char *name, unsigned n, int level)
{
    g_string_append_printf(opaque, "%s[%u]=%d ", name, n, level);
}

static void lines_go_with_their_device(void)
{
    begin();
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"a\"}", true, NULL), ==, 0);
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"b\"}", true, NULL), ==, 0);
    struct bp_device *a = bpc_device_find("a"), *b = bpc_device_find("b");
    struct bp_irq *out = bp_device_irq_output(a, NULL, 1), *in = bp_device_irq_input(b, "in", 2);
    struct card *state = bp_device_state(b);
    g_assert_nonnull(out);
    g_assert_null(bp_device_irq_output(a, NULL, 2));
    g_assert_null(bp_device_irq_output(a, "in", 0));
    g_assert_null(bp_device_irq_input(b, "nope", 0));
    bp_irq_connect(out, in);
    bp_irq_set(out, 1);
    g_assert_cmpint(state->last_level, ==, 12);
    g_string_truncate(calls, 0);
    bpc_device_intercept(b, true, note_intercepted, calls);
    bp_irq_set(out, 0);
    bp_irq_set(out, 1);
    assert_calls("in[2]=0 in[2]=1 ");
    bpc_device_intercept(b, true, NULL, NULL);
    g_assert_cmpint(bpc_device_del("a", NULL), ==, 0);
    g_assert_cmpint(state->last_level, ==, 2); /* the wire fell */
    end();
}

static void trees_are_printed(void)
{
    begin();
    g_assert_cmpint(add("{\"driver\":\"card\",\"id\":\"c0\",\"label\":\"x\"}", false, NULL), ==, 0);
    char *text = bpc_device_tree_text(machine);
    g_assert_cmpstr(text, ==,
                    "bus: main-system-bus\n  type System\n  dev: bridge, id \"\"\n"
                    "    bus: slots.0\n      type slots\n      dev: card, id \"c0\"\n"
                    "        address slot 1\n        mode = \"good\"\n        port = 1016 (0x3f8)\n"
                    "        slot = 1 (0x1)\n        label = \"x\"\n");
    free(text);
    end();
}

/* What the bus wants of a child is listed among the child's properties, each once. */
static void properties_of_the_bus_are_listed_too(void)
{
    struct bp_value *list;
    GString *names = g_string_new(NULL);
    g_assert_cmpint(bpc_type_properties("card", true, &list, NULL), ==, 0);
    for (size_t i = 0; i < bp_value_length(list); i++)
        g_string_append_printf(names, "%s ", bp_value_get_string(bp_value_at(list, i), "name"));
    g_assert_nonnull(strstr(names->str, "port "));
    g_assert_nonnull(strstr(names->str, "slot "));
    g_assert_nonnull(strstr(names->str, "label "));
    g_assert_true(strstr(names->str, "slot ") == g_strrstr(names->str, "slot "));
    g_string_free(names, TRUE);
    bp_value_unref(list);
}

static void board_devices_that_are_never_attached_are_freed(void)
{
    struct bp_device *dev;
    struct bp_error err = {0};
    g_assert_cmpint(bp_device_new(machine, "card", NULL, &dev, &err), ==, 0);
    g_assert_cmpint(bp_device_set_uint(dev, "port", 70000, &err), ==, -ERANGE);
    g_assert_cmpint(bp_device_set_uint(dev, "port", 7, &err), ==, 0);
    bp_device_destroy(dev);
    bp_device_destroy(NULL);
    g_assert_cmpint(bp_device_new(machine, "card", NULL, &dev, &err), ==, 0);
    g_assert_cmpint(bp_device_attach(dev, NULL, &err), ==, -ENODEV);
    g_assert_cmpint(bp_device_new(machine, "no-such", NULL, &dev, &err), ==, -ENOENT);
    run_loop();
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    g_assert_cmpint(bpc_machine_create_bare(&machine, NULL), ==, 0);
    calls = g_string_new(NULL);
    static const struct bp_bus_class missing = {
        .type = {.size = sizeof(missing), .name = "missing"}};
    const struct bp_provide more[] = {{BP_PROVIDE_BUS, &missing}, {BP_PROVIDE_END, NULL}};
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
    g_assert_cmpint(bpc_register_all("more", more, NULL), ==, 0);
    g_test_add_func("/device/attaching_calls_bus_then_device", attaching_calls_bus_then_device);
    g_test_add_func("/device/failed_attach_leaves_nothing", failed_attach_leaves_nothing);
    g_test_add_func("/device/bad_requests_are_refused", bad_requests_are_refused);
    g_test_add_func("/device/full_bus_takes_no_more", full_bus_takes_no_more);
    g_test_add_func("/device/hotplug_needs_a_class_that_allows_it",
                    hotplug_needs_a_class_that_allows_it);
#define CASE(name) g_test_add_func("/device/" #name, name)
    CASE(bridge_does_not_leave_with_what_others_use);
    CASE(without_a_controller_nothing_comes_or_goes);
    CASE(controller_sees_each_device_come_and_go);
    CASE(controller_refuses_in_words);
    CASE(controller_that_goes_controls_no_more);
    g_test_add_func("/device/slow_unplug_ends_in_the_devices_own_callback",
                    slow_unplug_ends_in_the_devices_own_callback);
    g_test_add_func("/device/reset_goes_from_children_to_bridges",
                    reset_goes_from_children_to_bridges);
    g_test_add_func("/device/lines_go_with_their_device", lines_go_with_their_device);
    g_test_add_func("/device/trees_are_printed", trees_are_printed);
    CASE(properties_of_the_bus_are_listed_too);
    g_test_add_func("/device/board_devices_that_are_never_attached_are_freed",
                    board_devices_that_are_never_attached_are_freed);
    int ret = g_test_run();
    g_string_free(calls, TRUE);
    return ret;
}

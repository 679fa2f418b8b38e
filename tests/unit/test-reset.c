/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reset: the order of phases over levels, buses and what is behind them, scopes, resets that overlap. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <bp/level.h>

#include "device.h"
#include "loop.h"
#include "machine.h"
#include "registry.h"

static struct bp_machine *machine;
static GString *calls;
static bool nested; /* a card's hold resets its bus again */
static bool ejected; /* card "a" is unplugged while it leaves reset */

#define assert_calls(text) \
    do { \
        g_assert_cmpstr(calls->str, ==, text); \
        g_string_truncate(calls, 0); \
    } while (0)

static const char phases[] = {'e', 'h', 'x'};
static const char scopes[] = {'f', 'd', 'b', 'm'};

struct card {
    char *name;
};

static const char *name_of(struct bp_device *dev)
{
    const struct card *card = bp_device_state(dev);
    return card->name ? card->name : "?";
}

static void note(const char *name, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    g_string_append_printf(calls, "%s-%c%c ", name, phases[phase], scopes[scope]);
}

static void card_enter(struct bp_device *dev, enum bp_reset_scope scope)
{
    note(name_of(dev), BP_RESET_ENTER, scope);
}

static void card_hold(struct bp_device *dev)
{
    g_string_append_printf(calls, "%s-h ", name_of(dev));
    g_assert_true(bp_device_in_reset(dev));
    if (nested)
        bp_bus_reset(bp_device_bus(dev));
}

static void card_exit(struct bp_device *dev, enum bp_reset_scope scope)
{
    note(name_of(dev), BP_RESET_EXIT, scope);
    if (ejected && !strcmp(name_of(dev), "a"))
        bp_device_unplugged(dev);
}

static void base_enter(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    g_assert_true(bp_device_of_state(state) == dev);
    note("base", BP_RESET_ENTER, scope);
}

static void base_hold(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    note("base", BP_RESET_HOLD, scope);
}

static void base_exit(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    note("base", BP_RESET_EXIT, scope);
}

static void bus_phase(struct bp_bus *bus, enum bp_reset_phase phase, enum bp_reset_scope scope)
{
    note("bus", phase, scope);
}

static void child_phase(struct bp_bus *bus, struct bp_device *child, enum bp_reset_phase phase,
                        enum bp_reset_scope scope)
{
    note("slot", phase, scope);
}

static const struct bp_field props[] = {BP_PROP("name", STRING, struct card, name, NULL, "a name"),
                                        BP_FIELDS_END};

static int bridge_attach(struct bp_device *dev, struct bp_error *err)
{
    struct bp_bus *bus;
    return bp_bus_new(dev, "slots", NULL, &bus, err);
}

BP_BUS(slots, "slots", "Slots", struct card, .child_size = 1, .reset = bus_phase,
       .child_reset = child_phase);
BP_LEVEL(base, "base", "device", "A base", struct card, NULL, NULL, .reset_enter = base_enter,
         .reset = base_hold, .reset_exit = base_exit);
#define DEVICE(ident, NAME, BUS, PARENT, ...) \
    static const struct bp_device_class ident = { \
        .type = {.size = sizeof(struct bp_device_class), .name = NAME, .parent = PARENT, \
                 .state_size = sizeof(struct card), .props = props}, \
        .bus = BUS, .reset_enter = card_enter, .reset = card_hold, .reset_exit = card_exit, \
        __VA_ARGS__}
DEVICE(card, "card", "slots", NULL, );
DEVICE(tall, "tall", "slots", "base", );
DEVICE(bridge, "bridge", NULL, NULL, .attach = bridge_attach);
DEVICE(inner, "inner-bridge", "slots", NULL, .attach = bridge_attach);
static const struct bp_provide provides[] = {
    {BP_PROVIDE_BUS, &slots},    {BP_PROVIDE_ABSTRACT, &base}, {BP_PROVIDE_DEVICE, &card},
    {BP_PROVIDE_DEVICE, &tall},  {BP_PROVIDE_DEVICE, &bridge}, {BP_PROVIDE_DEVICE, &inner},
    {BP_PROVIDE_END, NULL}};

static struct bp_device *make(const char *type, const char *name, struct bp_bus *bus)
{
    struct bp_device *dev;
    struct bp_error err = {0};
    if (bp_device_new(machine, type, NULL, &dev, &err) < 0 ||
        bp_device_set(dev, "name", name, &err) < 0 || bp_device_attach(dev, bus, &err) < 0)
        g_error("%s", err.message);
    return dev;
}

static struct bp_device *top; /* bridge: card "a", inner bridge "in": card "b" */
static struct bp_bus *outer_bus, *inner_bus;

static void begin(void)
{
    top = make("bridge", "top", NULL);
    outer_bus = top->buses;
    make("card", "a", outer_bus);
    inner_bus = make("inner-bridge", "in", outer_bus)->buses;
    make("card", "b", inner_bus);
    g_string_truncate(calls, 0);
}

static void end(void)
{
    nested = ejected = false;
    bp_device_destroy(top);
    bpc_loop_run_once(false);
    g_string_truncate(calls, 0);
}

static void attaching_resets_levels_in_order(void)
{
    begin();
    make("tall", "new", outer_bus);
    assert_calls("new-ed base-ed slot-ed slot-hd base-hd new-h slot-xd base-xd new-xd ");
    end();
}

static void device_takes_all_behind_it_along(void)
{
    begin();
    bp_device_reset(inner_bus->bridge);
    assert_calls("b-ed slot-ed bus-ed in-ed slot-ed "
                 "slot-hd b-h bus-hd slot-hd in-h "
                 "slot-xd in-xd bus-xd slot-xd b-xd ");
    end();
}

static void function_is_reset_alone(void)
{
    begin();
    bp_device_reset_function(inner_bus->bridge);
    assert_calls("in-ef slot-ef slot-hf in-h slot-xf in-xf ");
    end();
}

static void bus_takes_its_devices_along(void)
{
    begin();
    bp_bus_reset(inner_bus);
    assert_calls("b-eb slot-eb bus-eb slot-hb b-h bus-hb bus-xb slot-xb b-xb ");
    end();
}

static void machine_runs_each_phase_for_all(void)
{
    begin();
    bpc_devices_reset_begin(machine);
    assert_calls("a-em slot-em b-em slot-em bus-em in-em slot-em bus-em top-em "
                 "slot-hm a-h slot-hm b-h bus-hm slot-hm in-h bus-hm top-h ");
    bpc_devices_reset_end(machine);
    assert_calls("top-xm bus-xm slot-xm a-xm slot-xm in-xm bus-xm slot-xm b-xm ");
    end();
}

static void resets_that_overlap_count(void)
{
    begin();
    bp_bus_hold_reset(inner_bus, true);
    bp_bus_hold_reset(inner_bus, true); /* a bit that is set already */
    assert_calls("b-eb slot-eb bus-eb slot-hb b-h bus-hb ");
    bp_device_reset(inner_bus->first); /* is in reset */
    assert_calls("");
    bp_device_reset(inner_bus->bridge);
    assert_calls("in-ed slot-ed slot-hd in-h slot-xd in-xd ");
    bp_bus_hold_reset(inner_bus, false);
    assert_calls("bus-xb slot-xb b-xb ");
    bp_bus_hold_reset(inner_bus, false);
    assert_calls("");
    end();
}

static void what_comes_into_a_bus_in_reset_leaves_it_with_the_bus(void)
{
    begin();
    bp_bus_hold_reset(inner_bus, true);
    g_string_truncate(calls, 0);
    make("card", "new", inner_bus);
    assert_calls("new-ed slot-ed slot-hd new-h ");
    bp_bus_hold_reset(inner_bus, false);
    assert_calls("bus-xb slot-xb b-xb slot-xb new-xb ");
    end();
}

static void what_is_behind_a_bridge_that_comes_into_reset_is_in_reset(void)
{
    begin();
    bp_bus_hold_reset(inner_bus, true);
    bp_bus_hold_reset(outer_bus, true);
    g_string_truncate(calls, 0);
    struct bp_bus *behind = make("inner-bridge", "new", inner_bus)->buses;
    assert_calls("new-ed slot-ed slot-hd new-h bus-ed bus-hd ");
    bp_bus_hold_reset(inner_bus, false);
    assert_calls("");
    make("card", "late", behind);
    assert_calls("late-ed slot-ed slot-hd late-h ");
    bp_bus_hold_reset(outer_bus, false);
    assert_calls("bus-xb slot-xb a-xb slot-xb in-xb bus-xb slot-xb b-xb slot-xb new-xb bus-xb "
                 "slot-xb late-xb ");
    end();
}

static void hook_that_resets_again_ends(void)
{
    begin();
    nested = true;
    bp_bus_reset(inner_bus);
    nested = false;
    g_assert_false(bp_device_in_reset(inner_bus->first));
    g_string_truncate(calls, 0);
    bp_bus_reset(inner_bus); /* the count is right */
    assert_calls("b-eb slot-eb bus-eb slot-hb b-h bus-hb bus-xb slot-xb b-xb ");
    end();
}

static void who_goes_in_a_hook_stops_no_reset(void)
{
    begin();
    ejected = true;
    bp_bus_reset(outer_bus);
    g_assert_false(bp_device_in_reset(inner_bus->first));
    bpc_loop_run_once(false);
    g_assert_true(outer_bus->first == inner_bus->bridge); /* "a" has gone */
    g_assert_cmpuint(outer_bus->count, ==, 1);
    end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    bpc_loop_init();
    calls = g_string_new(NULL);
    g_assert_cmpint(bpc_machine_create_bare(&machine, NULL), ==, 0);
    g_assert_cmpint(bpc_register_all("test", provides, NULL), ==, 0);
#define CASE(name) g_test_add_func("/reset/" #name, name)
    CASE(attaching_resets_levels_in_order);
    CASE(device_takes_all_behind_it_along);
    CASE(function_is_reset_alone);
    CASE(bus_takes_its_devices_along);
    CASE(machine_runs_each_phase_for_all);
    CASE(resets_that_overlap_count);
    CASE(what_comes_into_a_bus_in_reset_leaves_it_with_the_bus);
    CASE(what_is_behind_a_bridge_that_comes_into_reset_is_in_reset);
    CASE(hook_that_resets_again_ends);
    CASE(who_goes_in_a_hook_stops_no_reset);
    return g_test_run();
}

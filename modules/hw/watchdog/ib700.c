/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The watchdog of the iBASE IB700 single-board computer, as its manual describes it: a write to port 443h
 * starts it, the low four bits say for how long (0Fh: no time at all, each step below two seconds more,
 * 00h: 30 s), and a write to 441h stops it. Nothing can be read. What follows its end: -watchdog-action.
 */
#include <bp/bus/isa.h>
#include <bp/clock.h>
#include <bp/run.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);

#define PORT_STOP 0x441u
#define PORT_START 0x443u
#define STEP_NS 2000000000ll

struct ib700 {
    struct bp_timer *timer;
};

static uint64_t ib700_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)opaque, (void)addr, (void)size;
    return 0xff;
}

static void start(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ib700 *s = opaque;

    (void)addr, (void)size;
    bp_timer_set(s->timer, bp_timer_now(s->timer) + (15 - (int64_t)(value & 15)) * STEP_NS);
}

static void stop(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)addr, (void)value, (void)size;
    bp_timer_cancel(((struct ib700 *)opaque)->timer);
}

static const struct bp_region_ops start_ops = {
    .size = sizeof(start_ops), .read = ib700_read, .write = start, .max_access = 1};
static const struct bp_region_ops stop_ops = {
    .size = sizeof(stop_ops), .read = ib700_read, .write = stop, .max_access = 1};

static void expired(void *opaque)
{
    bp_machine_watchdog_expired(bp_device_machine(bp_device_of_state(opaque)));
}

static int ib700_attach(struct bp_device *dev, struct bp_error *err)
{
    struct ib700 *s = bp_device_state(dev);
    int r = isa->add_ports(dev, PORT_STOP, 1, "ib700-stop", &stop_ops, s, NULL, err);

    if (r == 0)
        r = isa->add_ports(dev, PORT_START, 1, "ib700-start", &start_ops, s, NULL, err);
    if (r == 0)
        s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, expired, s);
    return r;
}

static void ib700_reset(struct bp_device *dev)
{
    bp_timer_cancel(((struct ib700 *)bp_device_state(dev))->timer);
}

static const struct bp_state_field ib700_fields[] = {BP_SAVE(TIMER, struct ib700, timer), BP_SAVE_END};
static const struct bp_state_table ib700_state = {.version = 1, .oldest = 1, .fields = ib700_fields};

BP_DEVICE(ib700, "ib700", "isa", "Watchdog of the iBASE IB700", struct ib700, NULL, &ib700_state,
          .category = "watchdog", .attach = ib700_attach, .reset = ib700_reset);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-ib700", "iBASE IB700 watchdog", imports, {BP_PROVIDE_DEVICE, &ib700});

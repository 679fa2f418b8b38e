// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * High precision event timers (IA-PC HPET Specification 1.0a): a 64-bit counter of 10 ns and up to
 * 32 timers, edge or level, one-shot or periodic, with legacy replacement. Output "irq" n is the
 * board's interrupt line n (GSI). Under legacy replacement timer 0 drives line 0 and timer 1 line
 * 8, which the board treats as ISA interrupts 0 and 8, and both outputs "legacy" are high: 0 gates
 * the PIT, 1 the RTC. Left out: FSB (MSI) delivery, which the capability bits deny.
 */
#include <errno.h>

#include <bp/clock.h>
#include <bp/device.h>
#include <bp/log.h>

#define PERIOD_NS 10
#define PERIOD_FS 10000000u
#define MAX_TIMERS 32
#define LINES 24
/* Periodic interrupts that come faster are merged: a guest cannot keep the host busy with them. */
#define SHORTEST_TICKS 500u

enum { /* register offsets */
    REG_CAP = 0x000,
    REG_CONF = 0x010,
    REG_STATUS = 0x020,
    REG_COUNTER = 0x0f0,
    REG_TIMERS = 0x100,
    TIMER_CONF = 0x00,
    TIMER_COMPARE = 0x08,
    TIMER_FSB = 0x10,
};

#define CONF_ENABLE 1u
#define CONF_LEGACY 2u

#define TN_LEVEL (1u << 1)
#define TN_ENABLE (1u << 2)
#define TN_PERIODIC (1u << 3)
#define TN_CAN_PERIODIC (1u << 4)
#define TN_64BIT (1u << 5)
#define TN_SET_ACCUMULATOR (1u << 6)
#define TN_32BIT (1u << 8)
#define TN_ROUTE_SHIFT 9
#define TN_ROUTE (31u << TN_ROUTE_SHIFT)
#define TN_WRITABLE (TN_LEVEL | TN_ENABLE | TN_PERIODIC | TN_SET_ACCUMULATOR | TN_32BIT | TN_ROUTE)

struct hpet;

struct hpet_timer {
    uint64_t conf;
    uint64_t compare;
    uint64_t period; /* last value written while periodic */
    struct bp_timer *timer;
    struct hpet *hpet;
    uint8_t n;
    uint8_t raised_line; /* line + 1 that it holds up, 0: none */
};

struct hpet {
    struct hpet_timer timer[MAX_TIMERS];
    uint64_t conf, status;
    uint64_t counter;   /* while halted */
    int64_t started_ns; /* virtual time at which it had that value, while running */
    uint8_t phase;      /* saved: ns that had passed since, less than a tick */
    uint64_t base;
    uint32_t route_cap;
    uint8_t timers;
    unsigned raised[LINES]; /* timers that hold each line */
    struct bp_irq *irq[LINES];
    struct bp_irq *legacy[2]; /* to the PIT and to the RTC */
};

static uint64_t counter_now(const struct hpet *s)
{
    if (!(s->conf & CONF_ENABLE))
        return s->counter;
    return (uint64_t)(bp_timer_now(s->timer[0].timer) - s->started_ns) / PERIOD_NS + s->counter;
}

/* The line that it drives; LINES for none, as after a reset. */
static unsigned line_of(const struct hpet_timer *t)
{
    unsigned line;

    if ((t->hpet->conf & CONF_LEGACY) && t->n < 2)
        return t->n == 0 ? 0 : 8;
    line = (unsigned)(t->conf & TN_ROUTE) >> TN_ROUTE_SHIFT;
    return t->hpet->route_cap >> line & 1 ? line : LINES;
}

static void lower(struct hpet_timer *t)
{
    unsigned line = t->raised_line;

    t->raised_line = 0;
    if (line && --t->hpet->raised[line - 1] == 0)
        bp_irq_set(t->hpet->irq[line - 1], 0);
}

static void raise(struct hpet_timer *t)
{
    struct hpet *s = t->hpet;
    unsigned line = line_of(t);

    if (t->conf & TN_LEVEL)
        s->status |= 1ull << t->n;
    if (!(t->conf & TN_ENABLE) || line >= LINES)
        return;
    if (!(t->conf & TN_LEVEL)) {
        if (s->raised[line] == 0)
            bp_irq_pulse(s->irq[line]);
        return;
    }
    if (t->raised_line)
        return;
    t->raised_line = (uint8_t)(line + 1);
    if (s->raised[line]++ == 0)
        bp_irq_set(s->irq[line], 1);
}

static bool is_32bit(const struct hpet_timer *t)
{
    return (t->conf & TN_32BIT) != 0;
}

/* Ticks until counter and comparator are equal; `next`: for the time after they were just equal. */
static uint64_t distance(const struct hpet_timer *t, uint64_t now, bool next)
{
    uint64_t d = t->compare - now;

    if (is_32bit(t))
        d &= 0xffffffffu;
    if (d == 0 && next)
        d = is_32bit(t) ? 1ull << 32 : UINT64_MAX;
    return d;
}

static void arm_from(struct hpet_timer *t, uint64_t now, bool next)
{
    struct hpet *s = t->hpet;
    uint64_t d = distance(t, now, next);
    int64_t counter_ns = s->started_ns + (int64_t)((now - s->counter) * PERIOD_NS);

    if (!(s->conf & CONF_ENABLE) || d > (uint64_t)(INT64_MAX - counter_ns) / PERIOD_NS / 2)
        bp_timer_cancel(t->timer);
    else
        bp_timer_set(t->timer, counter_ns + (int64_t)(d * PERIOD_NS));
}

static void arm(struct hpet_timer *t)
{
    arm_from(t, counter_now(t->hpet), false);
}

/* Steps a periodic comparator past `now`; late periods are merged into one interrupt. */
static void next_period(struct hpet_timer *t, uint64_t now)
{
    uint64_t behind = now - t->compare + (t->period < SHORTEST_TICKS ? SHORTEST_TICKS : 0);

    if (is_32bit(t))
        behind = (uint32_t)behind;
    t->compare += t->period * (behind / t->period + 1);
    if (is_32bit(t))
        t->compare = (uint32_t)t->compare;
}

static void timer_due(void *opaque)
{
    struct hpet_timer *t = opaque;
    uint64_t now = counter_now(t->hpet);

    if (!(t->hpet->conf & CONF_ENABLE))
        return;
    if ((t->conf & TN_PERIODIC) && t->period) {
        next_period(t, now);
        arm(t);
    } else if (is_32bit(t)) {
        arm_from(t, now, true);
    }
    raise(t);
}

static void set_running(struct hpet *s, bool run)
{
    if (run == !!(s->conf & CONF_ENABLE))
        return;
    if (run) {
        s->conf |= CONF_ENABLE;
        s->started_ns = bp_timer_now(s->timer[0].timer);
        for (unsigned i = 0; i < s->timers; i++)
            arm(&s->timer[i]);
    } else {
        s->counter = counter_now(s);
        s->conf &= ~(uint64_t)CONF_ENABLE;
        for (unsigned i = 0; i < s->timers; i++)
            bp_timer_cancel(s->timer[i].timer);
    }
}

/* Puts a 4- or 8-byte write at `offset` into a 64-bit register. */
static uint64_t merge(uint64_t old, uint64_t value, unsigned offset, unsigned size)
{
    if (size == 8)
        return value;
    return offset & 4 ? (old & 0xffffffffu) | value << 32
                      : (old & ~0xffffffffull) | (value & 0xffffffffu);
}

static uint64_t timer_register(const struct hpet_timer *t, unsigned reg)
{
    switch (reg & 0x18) {
    case TIMER_CONF:
        return t->conf | (uint64_t)t->hpet->route_cap << 32;
    case TIMER_COMPARE:
        return t->compare;
    default:
        return 0; /* FSB routing: not capable */
    }
}

static uint64_t hpet_register(const struct hpet *s, unsigned addr)
{
    unsigned n = (addr - REG_TIMERS) / 0x20;

    switch (addr & ~7u) {
    case REG_CAP: /* revision 1, 64-bit counter, legacy capable, vendor 0x8086 */
        return (uint64_t)PERIOD_FS << 32 | 0x8086a001u | (uint64_t)(s->timers - 1) << 8;
    case REG_CONF:
        return s->conf;
    case REG_STATUS:
        return s->status;
    case REG_COUNTER:
        return counter_now(s);
    default:
        return addr >= REG_TIMERS && n < s->timers ? timer_register(&s->timer[n], addr & 0x1f) : 0;
    }
}

static uint64_t hpet_read(void *opaque, uint64_t addr, unsigned size)
{
    uint64_t v = hpet_register(opaque, (unsigned)addr);

    return size == 8 ? v : (v >> (addr & 4 ? 32 : 0)) & 0xffffffffu;
}

static void write_timer_conf(struct hpet_timer *t, uint64_t value)
{
    uint64_t conf = (t->conf & ~(uint64_t)TN_WRITABLE) | (value & TN_WRITABLE);
    unsigned route = (unsigned)(value & TN_ROUTE) >> TN_ROUTE_SHIFT;

    if (!(t->hpet->route_cap >> route & 1)) /* not a line that it can drive */
        conf = (conf & ~(uint64_t)TN_ROUTE) | (t->conf & TN_ROUTE);
    if (!(conf & TN_PERIODIC))
        conf &= ~(uint64_t)TN_SET_ACCUMULATOR;
    lower(t);
    if (!(conf & TN_LEVEL))
        t->hpet->status &= ~(1ull << t->n);
    t->conf = conf;
    if (is_32bit(t)) {
        t->compare = (uint32_t)t->compare;
        t->period = (uint32_t)t->period;
    }
    if ((t->hpet->status >> t->n & 1) && (conf & TN_LEVEL))
        raise(t);
    arm(t);
}

static void write_compare(struct hpet_timer *t, uint64_t value, unsigned addr, unsigned size)
{
    bool periodic = t->conf & TN_PERIODIC, both = t->conf & TN_SET_ACCUMULATOR;

    /* Periodic: the comparator itself takes the value only after TN_SET_ACCUMULATOR. */
    if (!periodic || both)
        t->compare = merge(t->compare, value, addr, size);
    if (periodic)
        t->period = merge(t->period, value, addr, size);
    /* Two writes of 32 bits to a 64-bit timer: the bit is for both, the high half comes last. */
    if (size == 8 || (addr & 4) || is_32bit(t))
        t->conf &= ~(uint64_t)TN_SET_ACCUMULATOR;
    if (is_32bit(t)) {
        t->compare = (uint32_t)t->compare;
        t->period = (uint32_t)t->period;
    }
    arm(t);
}

static void set_legacy(struct hpet *s, bool on)
{
    bp_irq_set(s->legacy[0], on);
    bp_irq_set(s->legacy[1], on);
}

static void write_conf(struct hpet *s, uint64_t value)
{
    bool legacy = value & CONF_LEGACY;

    if (legacy != !!(s->conf & CONF_LEGACY)) {
        lower(&s->timer[0]);
        lower(&s->timer[1]);
        s->conf ^= CONF_LEGACY;
        set_legacy(s, legacy);
    }
    set_running(s, value & CONF_ENABLE);
}

static void hpet_write(void *opaque, uint64_t addr64, uint64_t value, unsigned size)
{
    struct hpet *s = opaque;
    unsigned addr = (unsigned)addr64, n = (addr - REG_TIMERS) / 0x20;
    uint64_t v = merge(hpet_register(s, addr), value, addr, size);

    switch (addr & ~7u) {
    case REG_CONF:
        write_conf(s, v);
        return;
    case REG_STATUS: /* write 1 to clear */
        v = merge(0, value, addr, size) & s->status;
        s->status &= ~v;
        for (unsigned i = 0; i < s->timers; i++) {
            if (v >> i & 1)
                lower(&s->timer[i]);
        }
        return;
    case REG_COUNTER:
        if (s->conf & CONF_ENABLE)
            bp_guest_error("hpet-counter", "hpet: counter written while it runs");
        else
            s->counter = v;
        return;
    default:
        break;
    }
    if (addr < REG_TIMERS || n >= s->timers)
        return;
    if ((addr & 0x18) == TIMER_CONF)
        write_timer_conf(&s->timer[n], v);
    else if ((addr & 0x18) == TIMER_COMPARE)
        write_compare(&s->timer[n], value, addr, size);
}

static const struct bp_region_ops hpet_ops = {
    .size = sizeof(hpet_ops), .read = hpet_read, .write = hpet_write, .min_access = 4,
    .max_access = 8, .valid_min = 4};

static void hpet_reset(struct bp_device *dev)
{
    struct hpet *s = bp_device_state(dev);

    for (unsigned i = 0; i < s->timers; i++) {
        struct hpet_timer *t = &s->timer[i];

        lower(t);
        bp_timer_cancel(t->timer);
        t->conf = TN_CAN_PERIODIC | TN_64BIT;
        t->compare = UINT64_MAX;
        t->period = 0;
    }
    s->conf = s->status = s->counter = 0;
    set_legacy(s, false);
}

static int hpet_attach(struct bp_device *dev, struct bp_error *err)
{
    struct hpet *s = bp_device_state(dev);
    struct bp_region *region;

    if (s->route_cap == 0)
        return bp_fail(err, EINVAL, "property 'hpet-intcap' of hpet must name at least one line");
    if (s->base & 0x3ff)
        return bp_fail(err, EINVAL, "property 'base' of hpet must be a multiple of 0x400");
    for (unsigned i = 0; i < s->timers; i++) {
        s->timer[i].n = (uint8_t)i;
        s->timer[i].hpet = s;
        s->timer[i].timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, timer_due,
                                         &s->timer[i]);
    }
    bp_device_add_irq_outputs(dev, "irq", LINES);
    bp_device_add_irq_outputs(dev, "legacy", 2);
    for (unsigned i = 0; i < LINES; i++)
        s->irq[i] = bp_device_irq_output(dev, "irq", i);
    for (unsigned i = 0; i < 2; i++)
        s->legacy[i] = bp_device_irq_output(dev, "legacy", i);
    region = bp_region_new_io(bp_device_owner(dev), "hpet", 0x400, &hpet_ops, s);
    bp_region_add(bp_space_root(bp_device_memory(dev)), region, s->base, 0);
    return 0;
}

static const struct bp_state_field timer_fields[] = {
    BP_SAVE(UINT64, struct hpet_timer, conf),
    BP_SAVE(UINT64, struct hpet_timer, compare),
    BP_SAVE(UINT64, struct hpet_timer, period),
    BP_SAVE_END,
};
static const struct bp_state_table timer_table = {.name = "timer", .version = 1, .oldest = 1,
                                                  .fields = timer_fields};

static int before_save(void *state, struct bp_error *err)
{
    struct hpet *s = state;

    (void)err;
    if (s->conf & CONF_ENABLE) { /* rebase, so that the counter and its start are one moment */
        uint64_t ticks = counter_now(s) - s->counter;

        s->counter += ticks;
        s->started_ns += (int64_t)(ticks * PERIOD_NS);
        s->phase = (uint8_t)(bp_timer_now(s->timer[0].timer) - s->started_ns);
    }
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct hpet *s = state;

    (void)version;
    if (s->phase >= PERIOD_NS)
        return bp_fail(err, EINVAL, "hpet: saved state is out of range");
    s->started_ns = bp_timer_now(s->timer[0].timer) - s->phase;
    s->conf &= CONF_ENABLE | CONF_LEGACY;
    s->status &= (1ull << s->timers) - 1;
    set_legacy(s, s->conf & CONF_LEGACY);
    for (unsigned i = 0; i < s->timers; i++) {
        struct hpet_timer *t = &s->timer[i];

        t->conf = (t->conf & TN_WRITABLE) | TN_CAN_PERIODIC | TN_64BIT;
        lower(t);
        if ((s->status >> i & 1) && (t->conf & TN_LEVEL))
            raise(t);
        arm(t);
    }
    return 0;
}

static const struct bp_state_field hpet_fields[] = {
    BP_SAVE_STRUCTS(struct hpet, timer, &timer_table),
    BP_SAVE(UINT64, struct hpet, conf),
    BP_SAVE(UINT64, struct hpet, status),
    BP_SAVE(UINT64, struct hpet, counter),
    BP_SAVE(UINT8, struct hpet, phase),
    BP_SAVE_END,
};
static const struct bp_state_table hpet_table = {.version = 1, .oldest = 1, .fields = hpet_fields,
                                                 .before_save = before_save,
                                                 .after_load = after_load};

static const struct bp_field hpet_props[] = {
    BP_PROP("base", UINT64, struct hpet, base, "0xfed00000", "address of the registers"),
    BP_PROP_RANGE("timers", UINT8, struct hpet, timers, "3", 3, 32, "number of timers"),
    BP_PROP("hpet-intcap", UINT32, struct hpet, route_cap, "0x4",
            "interrupt lines that timers may be routed to, a bit mask"),
    BP_FIELDS_END,
};

BP_BOARD_DEVICE(hpet_class, "hpet", "system", "High precision event timers", struct hpet,
                hpet_props, &hpet_table, .category = "misc", .attach = hpet_attach,
                .reset = hpet_reset);

BP_MODULE("hw-hpet", "High precision event timers", BP_NO_IMPORTS,
          {BP_PROVIDE_DEVICE, &hpet_class});

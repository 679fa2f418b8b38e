// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The 8254 programmable interval timer of a PC (Intel 8254 data sheet, order 231164) and system
 * control port B at 0x61 (gate and output of channel 2, refresh toggle). Counters are computed from
 * the virtual clock when they are looked at; only channel 0 has a timer, for its interrupt.
 * What the speaker hears it tells those who ask (bp/chip/pit.h).
 *
 * Two names: "isa-pit", and "kvm-pit" for one that the accelerator has (bp/chip/keeper.h).
 */
#include <errno.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/bus/isa.h>
#include <bp/chip/pit.h>
#include <bp/level.h>

#define PIT_HZ 1193182u
#define MAX_TICK (1ull << 56) /* beyond what the clock reaches */
/* Interrupts that are more than this behind are dropped under every policy. */
#define BACKLOG_TICKS (PIT_HZ / 5)
/* Nor are interrupts made up for that come faster than 20 kHz. */
#define SHORTEST_DELAYED (PIT_HZ / 20000)

BP_USE(isa, struct bp_isa_interface, "isa", 1);

enum byte_order { LATCH, LOW, HIGH, LOW_HIGH };

struct channel {
    uint64_t start;      /* tick at which the running count was loaded */
    uint64_t stopped_at; /* tick at which a low gate stopped it */
    uint32_t count;      /* running count, 1..65536 */
    uint32_t next_count; /* written, not loaded yet; 0: none */
    uint16_t count_latch;
    uint8_t status_latch;
    uint8_t latched;     /* bytes of count_latch still to be read: 0, 1 (high), 2 */
    uint8_t mode, order, bcd;
    uint8_t low_byte;    /* first byte of a two-byte write */
    bool status_latched, write_high, read_high;
    bool counting;       /* loaded (and, in modes 1 and 5, triggered) since the mode was set */
    bool stopped;        /* by a low gate */
    bool gate;
};

struct pit {
    struct channel ch[3];
    struct bp_timer *timer;
    struct bp_irq *out0, *tone;
    uint32_t iobase;
    int lost_tick_policy;
    uint64_t next_edge; /* tick of channel 0's next change that the timer waits for */
    bool irq0_off;      /* legacy replacement by an HPET */
    bool speaker;       /* bit 1 of port 0x61 */
    const struct bp_chip_keeper *keeper; /* NULL: none */
    bool away;          /* the keeper has it now */
};

static const struct bp_level_class pit_level;

static struct pit *state_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &pit_level);
}

static uint64_t tick_now(const struct pit *s)
{
    return (uint64_t)((unsigned __int128)(uint64_t)bp_timer_now(s->timer) * PIT_HZ /
                      1000000000u);
}

/* The first nanosecond of a tick. */
static int64_t tick_to_ns(uint64_t tick)
{
    unsigned __int128 ns = ((unsigned __int128)tick * 1000000000u + PIT_HZ - 1) / PIT_HZ;

    return ns > INT64_MAX ? INT64_MAX : (int64_t)ns;
}

static bool is_periodic(const struct channel *c)
{
    return c->mode == 2 || c->mode == 3;
}

/* Takes over a count that became due: modes 2 and 3 load it at the end of a period. */
static void settle(struct channel *c, uint64_t now)
{
    if (!c->counting || c->stopped || !c->next_count || !is_periodic(c) || now < c->start ||
        now - c->start < c->count)
        return;
    c->start += c->count;
    c->count = c->next_count;
    c->next_count = 0;
}

/* Ticks since the count was loaded; modes 2 and 3 load it again and again. */
static uint64_t elapsed(const struct channel *c, uint64_t now)
{
    uint64_t d;

    if (c->stopped)
        now = c->stopped_at;
    d = now > c->start ? now - c->start : 0;
    return is_periodic(c) ? d % c->count : d;
}

static bool output(struct channel *c, uint64_t now)
{
    uint64_t d;

    settle(c, now);
    d = elapsed(c, now);
    switch (c->mode) {
    case 0:
        return c->counting && d >= c->count;
    case 1:
        return !c->counting || d >= c->count;
    case 2:
        return !c->counting || !c->gate || d != c->count - 1 || c->count == 1;
    case 3:
        return !c->counting || !c->gate || d < (c->count + 1) / 2;
    default: /* 4, 5 */
        return !c->counting || d != c->count;
    }
}

/* The counting element as a binary number, 0 standing for 65536 (or 10000). */
static uint32_t counting_element(struct channel *c, uint64_t now)
{
    uint32_t wrap = c->bcd ? 10000 : 65536;
    uint64_t d, half;

    settle(c, now);
    if (!c->counting)
        return (c->next_count ? c->next_count : c->count) % wrap;
    d = elapsed(c, now);
    if (c->mode == 2)
        return (uint32_t)(c->count - d) % wrap;
    if (c->mode == 3) {
        half = (c->count + 1) / 2;
        if (d >= half)
            d -= half;
        return (uint32_t)((c->count & ~1u) - 2 * d) % wrap;
    }
    return (uint32_t)((c->count + (uint64_t)wrap - d % wrap) % wrap);
}

static uint16_t to_guest(const struct channel *c, uint32_t v)
{
    if (!c->bcd)
        return (uint16_t)v;
    return (uint16_t)((v / 1000 % 10) << 12 | (v / 100 % 10) << 8 | (v / 10 % 10) << 4 | v % 10);
}

static uint32_t from_guest(const struct channel *c, uint16_t v)
{
    uint32_t n = v;

    if (c->bcd)
        n = (v >> 12) * 1000u + (v >> 8 & 15) * 100u + (v >> 4 & 15) * 10u + (v & 15);
    return n ? n : (c->bcd ? 10000 : 65536);
}

/* Modes whose output is high but for one tick: that low pulse and the edge that ends it are one
 * change here, the edge. A host that looks late would not see the pulse. */
static bool is_pulse(const struct channel *c)
{
    return c->mode == 2 || c->mode >= 4;
}

/* Tick of the next change of channel 0's output after `now`, UINT64_MAX when there is none. */
static uint64_t next_change(struct channel *c, uint64_t now)
{
    uint64_t d, half, base;

    settle(c, now);
    if (!c->counting || c->stopped || (is_periodic(c) && (!c->gate || c->count == 1)))
        return UINT64_MAX;
    d = elapsed(c, now);
    base = now > c->start ? now - d : c->start;
    switch (c->mode) {
    case 2:
        return base + c->count;
    case 3:
        half = (c->count + 1) / 2;
        return base + (d < half ? half : c->count);
    case 0:
    case 1:
        return d < c->count ? c->start + c->count : UINT64_MAX;
    default:
        return d <= c->count ? c->start + c->count + 1 : UINT64_MAX;
    }
}

static void drive_irq0(struct pit *s, uint64_t now)
{
    struct channel *c = &s->ch[0];

    if (s->irq0_off || s->away) {
        bp_timer_cancel(s->timer);
        return;
    }
    bp_irq_set(s->out0, output(c, now));
    s->next_edge = next_change(c, now);
    if (s->next_edge == UINT64_MAX)
        bp_timer_cancel(s->timer);
    else
        bp_timer_set(s->timer, tick_to_ns(s->next_edge));
}

static void edge_due(void *opaque)
{
    struct pit *s = opaque;
    uint64_t now = tick_now(s), at = s->next_edge;

    if (s->irq0_off || s->away)
        return;
    /* Late: "delay" delivers what was missed one by one, "discard" goes on from now. */
    if (now < at || s->lost_tick_policy == 1 || now - at > BACKLOG_TICKS ||
        s->ch[0].count < SHORTEST_DELAYED)
        at = now;
    if (is_pulse(&s->ch[0]) && now >= s->next_edge)
        bp_irq_set(s->out0, 0);
    drive_irq0(s, at);
}

static void load_count(struct pit *s, struct channel *c, uint32_t count)
{
    uint64_t now = tick_now(s);

    settle(c, now);
    c->next_count = 0;
    switch (c->mode) {
    case 1:
    case 5:
        c->next_count = count; /* waits for a trigger */
        break;
    case 2:
    case 3:
        if (c->counting) {
            if (now > c->start && !c->stopped)
                c->start = now - elapsed(c, now);
            c->next_count = count;
            break;
        }
        /* fall through */
    default:
        c->count = count;
        c->start = now + 1;
        c->counting = true;
        c->stopped = !c->gate;
        c->stopped_at = c->start;
        break;
    }
    if (c == &s->ch[0])
        drive_irq0(s, now);
}

static void set_gate(struct pit *s, struct channel *c, bool gate)
{
    uint64_t now = tick_now(s);

    if (c->gate == gate)
        return;
    settle(c, now);
    c->gate = gate;
    if (c->mode == 1 || c->mode == 5) {
        if (gate) { /* a trigger */
            if (c->next_count)
                c->count = c->next_count;
            c->next_count = 0;
            c->start = now + 1;
            c->counting = true;
        }
    } else if (!gate) {
        c->stopped = c->counting;
        c->stopped_at = now > c->start ? now : c->start;
    } else if (c->stopped) {
        c->stopped = false;
        if (is_periodic(c)) { /* starts over */
            if (c->next_count)
                c->count = c->next_count;
            c->next_count = 0;
            c->start = now + 1;
        } else {
            c->start += now > c->stopped_at ? now - c->stopped_at : 0;
        }
    }
}

static void latch_count(struct pit *s, struct channel *c)
{
    if (c->latched)
        return;
    c->count_latch = to_guest(c, counting_element(c, tick_now(s)));
    c->latched = c->order == LOW_HIGH ? 2 : 1;
}

static void latch_status(struct pit *s, struct channel *c)
{
    uint64_t now = tick_now(s);
    bool null_count;

    if (c->status_latched)
        return;
    settle(c, now);
    null_count = c->next_count != 0 || !c->counting || (!c->stopped && now < c->start);
    c->status_latch = (uint8_t)(output(c, now) << 7 | null_count << 6 | c->order << 4 |
                                c->mode << 1 | c->bcd);
    c->status_latched = true;
}

static void set_mode(struct pit *s, struct channel *c, uint8_t value)
{
    uint8_t mode = value >> 1 & 7;

    c->order = value >> 4 & 3;
    c->mode = mode > 5 ? mode & 3 : mode;
    c->bcd = value & 1;
    c->counting = c->stopped = false;
    c->next_count = 0;
    c->write_high = c->read_high = false;
    c->latched = 0;
    c->status_latched = false;
    if (c == &s->ch[0])
        drive_irq0(s, tick_now(s));
}

static void write_control(struct pit *s, uint8_t value)
{
    unsigned n = value >> 6;

    if (n == 3) { /* read-back; the latches are active low */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value & (2u << i)))
                continue;
            if (!(value & 0x20))
                latch_count(s, &s->ch[i]);
            if (!(value & 0x10))
                latch_status(s, &s->ch[i]);
        }
    } else if ((value >> 4 & 3) == LATCH) {
        latch_count(s, &s->ch[n]);
    } else {
        set_mode(s, &s->ch[n], value);
    }
}

static void write_count(struct pit *s, struct channel *c, uint8_t value)
{
    switch (c->order) {
    case LOW:
        load_count(s, c, from_guest(c, value));
        return;
    case HIGH:
        load_count(s, c, from_guest(c, (uint16_t)(value << 8)));
        return;
    case LOW_HIGH:
        if (c->write_high) {
            c->write_high = false;
            load_count(s, c, from_guest(c, (uint16_t)(value << 8 | c->low_byte)));
            return;
        }
        c->low_byte = value;
        c->write_high = true;
        if (c->mode == 0) { /* the first byte stops the counter */
            c->counting = false;
            if (c == &s->ch[0])
                drive_irq0(s, tick_now(s));
        }
        return;
    default: /* no mode was set since power-on */
        return;
    }
}

static uint8_t read_count(struct pit *s, struct channel *c)
{
    uint16_t v;

    if (c->status_latched) {
        c->status_latched = false;
        return c->status_latch;
    }
    if (c->latched) {
        if (c->order == LOW_HIGH && c->latched-- == 2)
            return (uint8_t)c->count_latch;
        c->latched = 0;
        return (uint8_t)(c->order == LOW ? c->count_latch : c->count_latch >> 8);
    }
    v = to_guest(c, counting_element(c, tick_now(s)));
    if (c->order == LOW_HIGH) {
        c->read_high = !c->read_high;
        return (uint8_t)(c->read_high ? v : v >> 8);
    }
    return (uint8_t)(c->order == HIGH ? v >> 8 : v);
}

/* ---- somebody else has it ---- */

static void from_image(struct pit *s, const struct bp_pit_image *image)
{
    uint64_t now = tick_now(s);

    for (unsigned n = 0; n < 3; n++) {
        struct channel *c = &s->ch[n];
        uint64_t age = image->ch[n].age_ns <= 0 ? 0 :
                       (uint64_t)((unsigned __int128)(uint64_t)image->ch[n].age_ns * PIT_HZ / 1000000000u);

        memset(c, 0, sizeof(*c));
        c->count = image->ch[n].count >= 1 && image->ch[n].count <= 65536 ? image->ch[n].count : 65536;
        c->count_latch = image->ch[n].count_latch;
        c->status_latch = image->ch[n].status_latch;
        c->latched = image->ch[n].latched;
        c->mode = image->ch[n].mode > 5 ? image->ch[n].mode & 3 : image->ch[n].mode;
        c->order = image->ch[n].order & 3;
        c->bcd = image->ch[n].bcd & 1;
        c->low_byte = image->ch[n].low_byte;
        c->status_latched = image->ch[n].status_latched;
        c->write_high = image->ch[n].write_high;
        c->read_high = image->ch[n].read_high;
        c->counting = image->ch[n].counting;
        c->gate = image->ch[n].gate;
        if (is_periodic(c)) /* whole periods do not matter, and the clock may be younger */
            age %= c->count;
        c->start = now > age ? now - age : 0;
        c->stopped = c->counting && !c->gate && c->mode != 1 && c->mode != 5;
        c->stopped_at = now;
    }
    s->irq0_off = image->irq0_off;
    s->speaker = image->speaker;
}

static void to_image(const struct pit *s, struct bp_pit_image *image)
{
    uint64_t now = tick_now(s);

    memset(image, 0, sizeof(*image));
    for (unsigned n = 0; n < 3; n++) {
        const struct channel *c = &s->ch[n];

        image->ch[n].age_ns = tick_to_ns(elapsed(c, now));
        image->ch[n].count = c->next_count ? c->next_count : c->count;
        image->ch[n].count_latch = c->count_latch;
        image->ch[n].status_latch = c->status_latch;
        image->ch[n].latched = c->latched;
        image->ch[n].mode = c->mode;
        image->ch[n].order = c->order;
        image->ch[n].bcd = c->bcd;
        image->ch[n].low_byte = c->low_byte;
        image->ch[n].status_latched = c->status_latched;
        image->ch[n].write_high = c->write_high;
        image->ch[n].read_high = c->read_high;
        image->ch[n].counting = c->counting;
        image->ch[n].gate = c->gate;
    }
    image->irq0_off = s->irq0_off;
    image->speaker = s->speaker;
    image->late_again = s->lost_tick_policy == 0;
}

/* Around whatever looks at the registers, or changes them. */
static void fetch(struct pit *s)
{
    struct bp_pit_image image;

    if (s->away && s->keeper->fetch(s->keeper, &image))
        from_image(s, &image);
}

static void store(const struct pit *s)
{
    struct bp_pit_image image;

    if (!s->away)
        return;
    to_image(s, &image);
    s->keeper->store(s->keeper, &image);
}

static void move(void *opaque, bool here)
{
    struct pit *s = opaque;

    if (here == !s->away)
        return;
    if (here) {
        fetch(s);
        s->away = false;
        drive_irq0(s, tick_now(s));
        return;
    }
    bp_timer_cancel(s->timer);
    bp_irq_set(s->out0, 0);
    s->away = true;
    store(s);
}

static const struct bp_chip_seat seat = {.size = sizeof(seat), .move = move};

static int lend(struct bp_device *dev, const struct bp_chip_keeper *keeper, struct bp_error *err)
{
    struct pit *s = state_of(dev);
    int ret = s->keeper ? bp_fail(err, EEXIST, "kvm-pit: somebody has it already")
                        : keeper->lend(keeper, &seat, s, err);

    if (ret == 0)
        s->keeper = keeper;
    return ret;
}

/* ---- ports: used while it is away only by who stands in for the processor ---- */

static uint64_t pit_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pit *s = opaque;
    uint64_t value;

    (void)size;
    fetch(s);
    value = addr < 3 ? read_count(s, &s->ch[addr]) : 0xff; /* the control word cannot be read */
    store(s);
    return value;
}

/* Ticks in a period of the tone that gets through to the speaker; 0: none. */
static uint32_t tone_of(const struct pit *s)
{
    const struct channel *c = &s->ch[2];

    return s->speaker && c->gate && c->counting && !c->stopped && c->mode == 3 ? c->count : 0;
}

static void pit_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pit *s = opaque;

    (void)size;
    fetch(s);
    if (addr == 3)
        write_control(s, (uint8_t)value);
    else
        write_count(s, &s->ch[addr], (uint8_t)value);
    store(s);
    bp_irq_set(s->tone, tone_of(s) != 0);
}

/* Port 0x61. Bit 4 toggles with each refresh request of channel 1, about every 15 us. */
static uint64_t port_b_read(void *opaque, uint64_t addr, unsigned size)
{
    struct pit *s = opaque;
    uint64_t now;

    (void)addr;
    (void)size;
    fetch(s);
    now = tick_now(s);
    return s->ch[2].gate | s->speaker << 1 | (now / 18 & 1) << 4 |
           (unsigned)output(&s->ch[2], now) << 5;
}

static void port_b_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct pit *s = opaque;

    (void)addr;
    (void)size;
    fetch(s);
    s->speaker = value & 2;
    set_gate(s, &s->ch[2], value & 1);
    store(s);
    bp_irq_set(s->tone, tone_of(s) != 0);
}

static uint32_t iface_tone(struct bp_device *dev)
{
    struct pit *s = state_of(dev);

    settle(&s->ch[2], tick_now(s));
    return tone_of(s);
}
static const struct bp_pit_interface pit_table_iface = {
    .size = sizeof(pit_table_iface), .tone = iface_tone, .lend = lend};
BP_INTERFACE(pit_interface, "pit", 1, 1, &pit_table_iface);

static const struct bp_region_ops pit_ops = {
    .size = sizeof(pit_ops), .read = pit_read, .write = pit_write, .max_access = 1};
static const struct bp_region_ops port_b_ops = {
    .size = sizeof(port_b_ops), .read = port_b_read, .write = port_b_write, .max_access = 1};

static void gate_irq0_changed(struct bp_device *dev, unsigned n, int level)
{
    struct pit *s = state_of(dev);

    (void)n;
    fetch(s);
    if (s->irq0_off == !!level)
        return;
    s->irq0_off = level != 0;
    store(s);
    if (s->irq0_off)
        bp_irq_set(s->out0, 0);
    drive_irq0(s, tick_now(s));
}

static void pit_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct pit *s = state;

    (void)dev, (void)scope;
    for (int i = 0; i < 3; i++)
        s->ch[i] = (struct channel){.mode = 3, .count = 65536, .order = LOW_HIGH, .gate = i != 2};
    s->speaker = false;
    bp_irq_set(s->tone, 0);
    drive_irq0(s, tick_now(s));
    store(s);
}

static int pit_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    struct pit *s = state;
    int r;

    if (s->iobase > 0xfffc)
        return bp_fail(err, EINVAL, "property 'iobase' of the timer must be at most 0xfffc");
    bp_device_add_irq_outputs(dev, "irq0", 1);
    bp_device_add_irq_outputs(dev, "speaker", 1);
    s->tone = bp_device_irq_output(dev, "speaker", 0);
    bp_device_add_irq_inputs(dev, "gate-irq0", 1, gate_irq0_changed);
    s->out0 = bp_device_irq_output(dev, "irq0", 0);
    s->timer = bp_timer_new(bp_device_owner(dev), NULL, BP_CLOCK_VIRTUAL, edge_due, s);
    r = isa->add_ports(dev, (uint16_t)s->iobase, 4, "pit", &pit_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, 0x61, 1, "port-b", &port_b_ops, s, NULL, err);
    return r;
}

static const struct bp_state_field channel_fields[] = {
    BP_SAVE(UINT64, struct channel, start),
    BP_SAVE(UINT64, struct channel, stopped_at),
    BP_SAVE(UINT32, struct channel, count),
    BP_SAVE(UINT32, struct channel, next_count),
    BP_SAVE(UINT16, struct channel, count_latch),
    BP_SAVE(UINT8, struct channel, status_latch),
    BP_SAVE(UINT8, struct channel, latched),
    BP_SAVE(UINT8, struct channel, mode),
    BP_SAVE(UINT8, struct channel, order),
    BP_SAVE(UINT8, struct channel, bcd),
    BP_SAVE(UINT8, struct channel, low_byte),
    BP_SAVE(BOOL, struct channel, status_latched),
    BP_SAVE(BOOL, struct channel, write_high),
    BP_SAVE(BOOL, struct channel, read_high),
    BP_SAVE(BOOL, struct channel, counting),
    BP_SAVE(BOOL, struct channel, stopped),
    BP_SAVE(BOOL, struct channel, gate),
    BP_SAVE_END,
};
static const struct bp_state_table channel_table = {.name = "channel", .version = 1, .oldest = 1,
                                                    .fields = channel_fields};
static const struct bp_state_field pit_fields[] = {
    BP_SAVE_STRUCTS(struct pit, ch, &channel_table),
    BP_SAVE(BOOL, struct pit, irq0_off),
    BP_SAVE(BOOL, struct pit, speaker),
    BP_SAVE_END,
};

static int before_save(void *state, struct bp_error *err)
{
    (void)err;
    fetch(state);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct pit *s = state;

    (void)version;
    for (int i = 0; i < 3; i++) {
        const struct channel *c = &s->ch[i];

        if (c->count < 1 || c->count > 65536 || c->next_count > 65536 || c->mode > 5 ||
            c->order > LOW_HIGH || c->latched > 2 || c->bcd > 1 || c->start > MAX_TICK ||
            c->stopped_at > MAX_TICK)
            return bp_fail(err, EINVAL, "isa-pit: saved state is out of range");
    }
    drive_irq0(s, tick_now(s));
    store(s);
    return 0;
}

static const struct bp_state_table pit_table = {.version = 1, .oldest = 1, .fields = pit_fields,
                                                .before_save = before_save,
                                                .after_load = after_load};

static const char *const policies[] = {"delay", "discard", NULL};
static const struct bp_schema policy_schema = {.name = "LostTickPolicy", .kind = BP_KIND_ENUM,
                                               .choices = policies};
static const struct bp_field pit_props[] = {
    BP_PROP("iobase", UINT32, struct pit, iobase, "0x40", "first I/O port"),
    BP_PROP_ENUM("lost_tick_policy", &policy_schema, struct pit, lost_tick_policy, "delay",
                 "late timer interrupts are delivered one by one (delay), or dropped (discard)"),
    BP_FIELDS_END,
};

static const struct bp_level_class pit_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "pit-common",
             .summary = "8254 interval timer", .state_size = sizeof(struct pit), .props = pit_props,
             .state = &pit_table},
    .attach = pit_attach, .reset = pit_reset};
BP_NAMED_FLAGS(pit_class, "isa-pit", "isa", NULL, "8254 interval timer", &pit_level, BP_TYPE_NOT_USER_CREATABLE, "no",
               .category = "misc");
BP_NAMED_FLAGS(kvm_pit_class, "kvm-pit", "isa", NULL, "8254 interval timer that the accelerator has", &pit_level,
               BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-i8254", "8254 interval timer", imports, {BP_PROVIDE_DEVICE, &pit_class},
          {BP_PROVIDE_DEVICE, &kvm_pit_class},
          {BP_PROVIDE_INTERFACE, &pit_interface});

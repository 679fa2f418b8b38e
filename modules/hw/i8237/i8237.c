// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The DMA controller of a PC: 8237A (Intel 231466) as PIIX has it (290550, chapter 2.5.1), with the page
 * registers that give address bits 16..23. A PC has two: the first moves bytes, the second words and,
 * on its channel 0, what the first one asks for.
 * Left out: memory-to-memory transfers (PIIX has none), requests by software (kept and shown, they move
 * nothing), EISA's high page registers, the levels of DREQ and DACK, rotating priority: requests are
 * served in the fixed order.
 */
#include <errno.h>
#include <string.h>

#include <bp/bus/isa.h>
#include <bp/chip/i8237.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);

enum { REG_STATUS = 8, REG_REQUEST, REG_MASK, REG_MODE, REG_FLIP_FLOP, REG_CLEAR, REG_CLEAR_MASK,
       REG_ALL_MASK };
#define COMMAND_DISABLE 4u
#define MODE_DECREMENT 0x20u
#define MODE_AUTOINIT 0x10u
#define MODE_CASCADE 0xc0u /* both bits */
enum { TYPE_VERIFY, TYPE_TO_MEMORY, TYPE_FROM_MEMORY };

struct channel {
    uint16_t base_addr, base_count, addr, count;
    uint8_t mode;
    /* who drives it */
    struct bp_device *user;
    void (*ready)(void *opaque);
    void *opaque;
};

struct i8237 {
    struct channel ch[4];
    uint8_t pages[8]; /* as they are addressed */
    uint8_t command, mask, done, soft; /* done: terminal counts since the status was read */
    uint8_t dreq;
    bool high_byte; /* the flip-flop */
    bool moving;    /* inside of a transfer */
    bool moved;     /* something, in the last call of ready() */
    uint32_t base, page_base;
    uint8_t shift; /* 0: bytes, 1: words */
    struct bp_deferred *serve;
};

/* Where among the page registers a channel's one is. */
static const uint8_t page_of[4] = {7, 3, 1, 2};

static struct i8237 *controller(struct bp_bus *bus, unsigned n)
{
    struct bp_device *dev = bus ? isa->dma(bus, n) : NULL;

    return dev ? bp_device_state(dev) : NULL;
}

static bool cascades(const struct i8237 *second)
{
    return second && !(second->command & COMMAND_DISABLE) && !(second->mask & 1) &&
           (second->ch[0].mode & MODE_CASCADE) == MODE_CASCADE;
}

/* May channel n move something now? */
static bool is_open(struct i8237 *s, unsigned n)
{
    if ((s->command & COMMAND_DISABLE) || s->mask & 1u << n ||
        (s->ch[n].mode & MODE_CASCADE) == MODE_CASCADE)
        return false;
    return s->shift || cascades(controller(bp_device_bus(bp_device_of_state(s)), 1));
}

/* What was changed may let a request through that was held up. */
static void look_again(struct i8237 *s)
{
    struct i8237 *first = s->shift ? controller(bp_device_bus(bp_device_of_state(s)), 0) : NULL;

    if (s->dreq)
        bp_deferred_schedule(s->serve);
    if (first && first->dreq)
        bp_deferred_schedule(first->serve);
}

static void serve(void *opaque)
{
    struct i8237 *s = opaque;

    for (unsigned n = 0; n < 4; n++) {
        struct channel *c = &s->ch[n];

        if (s->dreq >> n & 1 && c->ready && is_open(s, n)) {
            s->moved = false;
            c->ready(c->opaque);
            /* It goes on while something moves; else a register or a new request starts it again. */
            if (s->dreq >> n & 1 && is_open(s, n) && s->moved)
                bp_deferred_schedule(s->serve);
        }
    }
}

/* ---- transfers ---- */

static uint32_t memory_address(const struct i8237 *s, unsigned n)
{
    uint32_t page = s->pages[page_of[n]];

    return s->shift ? (page & 0xfeu) << 16 | (uint32_t)s->ch[n].addr << 1 : page << 16 | s->ch[n].addr;
}

/* Moves a run of units (bytes or words) that neither wraps nor passes the terminal count. */
static void move_run(struct i8237 *s, unsigned n, bool to_memory, uint8_t *buf, uint32_t units)
{
    struct channel *c = &s->ch[n];
    struct bp_space *space = bp_device_memory(bp_device_of_state(s));
    unsigned type = c->mode >> 2 & 3;
    size_t len = (size_t)units << s->shift;

    if (to_memory && type == TYPE_TO_MEMORY)
        (void)bp_space_write(space, memory_address(s, n), buf, len);
    else if (!to_memory && type == TYPE_FROM_MEMORY)
        (void)bp_space_read(space, memory_address(s, n), buf, len);
    else if (!to_memory)
        memset(buf, 0xff, len);
}

static uint32_t run_length(const struct channel *c, uint32_t wanted)
{
    uint32_t run = (uint32_t)c->count + 1; /* to the terminal count */

    if (run > wanted)
        run = wanted;
    if (c->mode & MODE_DECREMENT)
        return 1;
    return run > 0x10000u - c->addr ? 0x10000u - c->addr : run;
}

static void advance(struct i8237 *s, unsigned n, uint32_t units, bool *tc)
{
    struct channel *c = &s->ch[n];

    s->moved = true;
    c->addr = (uint16_t)(c->mode & MODE_DECREMENT ? c->addr - units : c->addr + units);
    *tc = units == (uint32_t)c->count + 1;
    c->count = (uint16_t)(c->count - units);
    if (!*tc)
        return;
    s->done |= (uint8_t)(1u << n);
    s->soft &= (uint8_t)~(1u << n);
    if (c->mode & MODE_AUTOINIT) {
        c->addr = c->base_addr;
        c->count = c->base_count;
    } else {
        s->mask |= (uint8_t)(1u << n);
    }
}

static struct i8237 *channel_of(struct bp_device *dev, unsigned channel, unsigned *ret_n)
{
    struct i8237 *s = channel < 8 && channel != 4 ? controller(bp_device_bus(dev), channel / 4) : NULL;

    *ret_n = channel & 3;
    return s && s->ch[channel & 3].user == dev ? s : NULL;
}

static size_t i8237_move(struct bp_device *dev, unsigned channel, bool to_memory, void *buf, size_t len,
                         bool *ret_tc)
{
    unsigned n;
    struct i8237 *s = channel_of(dev, channel, &n);
    size_t moved = 0;

    *ret_tc = false;
    if (!s || !is_open(s, n))
        return 0;
    if (s->moving) {
        bp_guest_error("isa-dma-loop", "ISA DMA: a transfer led back to its controller");
        return 0;
    }
    s->moving = true;
    while (!*ret_tc && (len - moved) >> s->shift && is_open(s, n)) {
        size_t left = (len - moved) >> s->shift;
        uint32_t units = run_length(&s->ch[n], left > 0x10000 ? 0x10000 : (uint32_t)left);

        move_run(s, n, to_memory, (uint8_t *)buf + moved, units);
        advance(s, n, units, ret_tc);
        moved += (size_t)units << s->shift;
    }
    s->moving = false;
    return moved;
}

static void i8237_request(struct bp_device *dev, unsigned channel, bool level)
{
    unsigned n;
    struct i8237 *s = channel_of(dev, channel, &n);

    if (!s)
        return;
    s->dreq = (uint8_t)(level ? s->dreq | 1u << n : s->dreq & ~(1u << n));
    if (level)
        bp_deferred_schedule(s->serve);
}

static int i8237_claim(struct bp_device *dev, unsigned channel, void (*ready)(void *opaque),
                       void *opaque, struct bp_error *err)
{
    struct channel *c;
    struct i8237 *s;

    if (channel > 7 || channel == 4)
        return bp_fail(err, EINVAL, "DMA channel %u: there are 0 to 3 and 5 to 7", channel);
    s = controller(bp_device_bus(dev), channel / 4);
    if (!s)
        return bp_fail(err, ENODEV, "DMA channel %u: this bus has no DMA controllers", channel);
    c = &s->ch[channel & 3];
    if (c->user)
        return bp_fail(err, EBUSY, "DMA channel %u is taken by %s", channel,
                       bp_device_class(c->user)->type.name);
    c->user = dev;
    c->ready = ready;
    c->opaque = opaque;
    return 0;
}

static void i8237_release(struct bp_device *dev, unsigned channel)
{
    unsigned n;
    struct i8237 *s = channel_of(dev, channel, &n);

    if (!s)
        return;
    s->ch[n].user = NULL;
    s->ch[n].ready = NULL;
    s->dreq &= (uint8_t)~(1u << n);
}

/* ---- registers ---- */

static uint64_t half(struct i8237 *s, uint16_t word)
{
    bool high = s->high_byte;

    s->high_byte = !high;
    return high ? word >> 8 : word & 0xff;
}

static void set_half(struct i8237 *s, uint16_t *base, uint16_t *current, uint8_t value)
{
    if (s->high_byte)
        *base = (uint16_t)((*base & 0xff) | value << 8);
    else
        *base = (uint16_t)((*base & 0xff00) | value);
    *current = (uint16_t)(s->high_byte ? (*current & 0xff) | value << 8 : (*current & 0xff00) | value);
    s->high_byte = !s->high_byte;
}

static uint64_t reg_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i8237 *s = opaque;
    unsigned reg = (unsigned)addr >> s->shift;
    uint8_t status;

    (void)size;
    if (reg < 8)
        return half(s, reg & 1 ? s->ch[reg / 2].count : s->ch[reg / 2].addr);
    switch (reg) {
    case REG_STATUS:
        status = (uint8_t)(s->done | (s->dreq | s->soft) << 4);
        s->done = 0;
        return status;
    case REG_ALL_MASK:
        return 0xf0u | s->mask;
    default:
        return 0; /* 0x0d is the temporary register of memory-to-memory transfers */
    }
}

static void clear(struct i8237 *s)
{
    s->command = s->done = s->soft = 0;
    s->high_byte = false;
    s->mask = 0xf;
}

static void reg_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8237 *s = opaque;
    unsigned reg = (unsigned)addr >> s->shift, n = value & 3;
    uint8_t bit = (uint8_t)(1u << n);

    (void)size;
    if (reg < 8) {
        struct channel *c = &s->ch[reg / 2];

        set_half(s, reg & 1 ? &c->base_count : &c->base_addr, reg & 1 ? &c->count : &c->addr,
                 (uint8_t)value);
        return;
    }
    switch (reg) {
    case REG_STATUS: s->command = (uint8_t)value; break;
    case REG_REQUEST: s->soft = (uint8_t)(value & 4 ? s->soft | bit : s->soft & ~bit); break;
    case REG_MASK: s->mask = (uint8_t)(value & 4 ? s->mask | bit : s->mask & ~bit); break;
    case REG_MODE: s->ch[n].mode = (uint8_t)(value & 0xfc); break;
    case REG_FLIP_FLOP: s->high_byte = false; return;
    case REG_CLEAR: clear(s); return;
    case REG_CLEAR_MASK: s->mask = 0; break;
    default: s->mask = value & 0xf; break;
    }
    look_again(s);
}

static uint64_t page_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return ((struct i8237 *)opaque)->pages[addr];
}

static void page_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    ((struct i8237 *)opaque)->pages[addr] = (uint8_t)value;
}

static const struct bp_region_ops reg_ops = {
    .size = sizeof(reg_ops), .read = reg_read, .write = reg_write, .max_access = 1};
static const struct bp_region_ops page_ops = {
    .size = sizeof(page_ops), .read = page_read, .write = page_write, .max_access = 1};

/* ---- device ---- */

static void i8237_reset(struct bp_device *dev)
{
    struct i8237 *s = bp_device_state(dev);

    clear(s);
    for (unsigned n = 0; n < 4; n++)
        s->ch[n].mode = 0;
}

static int i8237_attach(struct bp_device *dev, struct bp_error *err)
{
    struct i8237 *s = bp_device_state(dev);
    int r;

    if (s->base > 0xffff || s->page_base > 0xffff)
        return bp_fail(err, EINVAL, "i8257: base and page-base are I/O ports up to 0xffff");
    s->serve = bp_deferred_new(bp_device_owner(dev), NULL, serve, s);
    r = isa->set_dma(bp_device_bus(dev), s->shift, dev, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->base, 16u << s->shift, "dma", &reg_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, (uint16_t)s->page_base, 8, "dma-page", &page_ops, s, NULL, err);
    return r;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct i8237 *s = state;

    (void)version;
    for (unsigned n = 0; n < 4; n++)
        if (s->dreq >> n & 1 && !s->ch[n].user)
            return bp_fail(err, EINVAL, "i8257: a request on channel %u, which nobody drives", n);
    look_again(s);
    return 0;
}

static const struct bp_state_field channel_fields[] = {
    BP_SAVE(UINT16, struct channel, base_addr), BP_SAVE(UINT16, struct channel, base_count),
    BP_SAVE(UINT16, struct channel, addr),      BP_SAVE(UINT16, struct channel, count),
    BP_SAVE(UINT8, struct channel, mode),       BP_SAVE_END};
static const struct bp_state_table channel_table = {
    .version = 1, .oldest = 1, .fields = channel_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_STRUCTS(struct i8237, ch, &channel_table), BP_SAVE_BUFFER(struct i8237, pages),
    BP_SAVE(UINT8, struct i8237, command), BP_SAVE_RANGE(UINT8, struct i8237, mask, 0, 15),
    BP_SAVE_RANGE(UINT8, struct i8237, done, 0, 15), BP_SAVE_RANGE(UINT8, struct i8237, soft, 0, 15),
    BP_SAVE_RANGE(UINT8, struct i8237, dreq, 0, 15), BP_SAVE(BOOL, struct i8237, high_byte),
    BP_SAVE_END};
static const struct bp_state_table table = {
    .version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field props[] = {
    BP_PROP("base", UINT32, struct i8237, base, "0", "first I/O port"),
    BP_PROP("page-base", UINT32, struct i8237, page_base, "0x80", "first I/O port of the page registers"),
    BP_PROP_RANGE("dshift", UINT8, struct i8237, shift, "0", 0, 1, "0: it moves bytes, 1: words"),
    BP_FIELDS_END};

BP_BOARD_DEVICE(i8237_class, "i8257", "isa", "8237A DMA controller", struct i8237, props, &table,
                .category = "bridge", .attach = i8237_attach, .reset = i8237_reset);

static const struct bp_i8237_interface i8237_table = {
    .size = sizeof(struct bp_i8237_interface), .claim = i8237_claim, .release = i8237_release,
    .request = i8237_request, .move = i8237_move};
BP_INTERFACE(i8237_interface, "i8237", 1, 0, &i8237_table);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(isa, "isa", 1, 1), {0}};
BP_MODULE("hw-i8237", "8237A DMA controllers", imports, {BP_PROVIDE_DEVICE, &i8237_class},
          {BP_PROVIDE_INTERFACE, &i8237_interface});

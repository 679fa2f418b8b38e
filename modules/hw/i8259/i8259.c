// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The two cascaded 8259A interrupt controllers of a PC (Intel 8259A data sheet, order 231468) with
 * the edge/level registers of Intel's PIIX chips. Left out, as in those chips: MCS-80/85 mode,
 * buffered mode and LTIM (the ELCR replaces it). An edge stays latched until it is acknowledged.
 *
 * Two names: "isa-i8259", and "kvm-i8259" for a pair that the accelerator has (bp/chip/keeper.h).
 */
#include <errno.h>
#include <string.h>

#include <bp/command.h>
#include <bp/chip/i8259.h>
#include <bp/bus/isa.h>
#include <bp/level.h>
#include <bp/log.h>

BP_USE(isa, struct bp_isa_interface, "isa", 1);

enum init_step { READY, WANT_ICW2, WANT_ICW3, WANT_ICW4 };

struct pic {
    uint8_t irr, imr, isr;
    uint8_t lines;      /* present levels of IR0..IR7 */
    uint8_t elcr;       /* level-triggered inputs */
    uint8_t elcr_mask;  /* inputs whose trigger may be changed */
    uint8_t lowest;     /* input of lowest priority */
    uint8_t base;       /* ICW2: vector of IR0 */
    uint8_t step;       /* enum init_step */
    bool want_icw4, auto_eoi, rotate_auto, special_mask, special_nested, read_isr, poll;
    bool master;
};

struct i8259 {
    struct pic pic[2]; /* master, slave */
    struct bp_irq *intr;
    const struct bp_chip_keeper *keeper; /* NULL: none */
    bool away; /* the keeper has it now */
};

static const struct bp_level_class i8259_level;

static struct i8259 *state_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &i8259_level);
}

static const struct bp_state_field pic_fields[] = {
    BP_SAVE(UINT8, struct pic, irr),
    BP_SAVE(UINT8, struct pic, imr),
    BP_SAVE(UINT8, struct pic, isr),
    BP_SAVE(UINT8, struct pic, lines),
    BP_SAVE(UINT8, struct pic, elcr),
    BP_SAVE(UINT8, struct pic, lowest),
    BP_SAVE(UINT8, struct pic, base),
    BP_SAVE(UINT8, struct pic, step),
    BP_SAVE(BOOL, struct pic, want_icw4),
    BP_SAVE(BOOL, struct pic, auto_eoi),
    BP_SAVE(BOOL, struct pic, rotate_auto),
    BP_SAVE(BOOL, struct pic, special_mask),
    BP_SAVE(BOOL, struct pic, special_nested),
    BP_SAVE(BOOL, struct pic, read_isr),
    BP_SAVE(BOOL, struct pic, poll),
    BP_SAVE_END,
};
static const struct bp_state_table pic_table = {.name = "pic", .version = 1, .oldest = 1,
                                                .fields = pic_fields};

/* Inputs that ask: latched edges, and level inputs that are high now. */
static uint8_t requests(const struct pic *p)
{
    return (uint8_t)((p->irr & ~p->elcr) | (p->lines & p->elcr));
}

/* Rank of the highest priority in `bits`: 0 is the highest, 8 none. */
static unsigned top_rank(const struct pic *p, uint8_t bits)
{
    unsigned rank = 0;

    while (rank < 8 && !(bits & (1u << ((p->lowest + 1 + rank) & 7))))
        rank++;
    return rank;
}

/* The input to serve next, or -1. */
static int next_input(const struct pic *p)
{
    uint8_t serving = p->isr;
    unsigned rank = top_rank(p, requests(p) & (uint8_t)~p->imr), limit;

    if (rank == 8)
        return -1;
    if (p->special_mask)
        serving &= (uint8_t)~p->imr;
    /* In the special fully nested mode, the slave in service may interrupt again. */
    if (p->special_nested && p->master)
        serving &= (uint8_t)~(1u << 2);
    limit = top_rank(p, serving);
    return rank < limit ? (int)((p->lowest + 1 + rank) & 7) : -1;
}

static void set_input(struct pic *p, unsigned n, int level)
{
    uint8_t bit = (uint8_t)(1u << n);

    if (level && !(p->lines & bit))
        p->irr |= bit;
    p->lines = level ? p->lines | bit : p->lines & (uint8_t)~bit;
}

static void update(struct i8259 *s)
{
    if (s->away)
        return;
    set_input(&s->pic[0], 2, next_input(&s->pic[1]) >= 0);
    bp_irq_set(s->intr, next_input(&s->pic[0]) >= 0);
}

static void input_changed(struct bp_device *dev, unsigned n, int level)
{
    struct i8259 *s = state_of(dev);

    if (n == 2) /* the cascade has no pin outside */
        return;
    set_input(&s->pic[n >> 3], n & 7, level != 0);
    if (s->away)
        s->keeper->line(s->keeper, n, level != 0);
    update(s);
}

static void serve(struct pic *p, int n)
{
    uint8_t bit = (uint8_t)(1u << n);

    p->irr &= (uint8_t)~bit;
    if (!p->auto_eoi)
        p->isr |= bit;
    else if (p->rotate_auto)
        p->lowest = (uint8_t)n;
}

static int acknowledge(struct bp_device *dev)
{
    struct i8259 *s = state_of(dev);
    struct pic *master = &s->pic[0], *slave = &s->pic[1];
    int n = next_input(master), vector, m;

    if (n < 0) { /* gone meanwhile: the default IR7, not put in service */
        vector = master->base + 7;
    } else {
        serve(master, n);
        vector = master->base + n;
        if (n == 2) {
            m = next_input(slave);
            if (m >= 0)
                serve(slave, m);
            vector = slave->base + (m >= 0 ? m : 7);
            if (m >= 0 && next_input(slave) >= 0)
                set_input(master, 2, 0); /* INT falls during the cycle: a new edge follows */
        }
    }
    update(s);
    return vector & 0xff;
}

static void write_icw1(struct pic *p, uint8_t value)
{
    p->irr = 0; /* edges must come again; levels count as they are */
    p->imr = 0;
    p->isr = 0;
    p->lowest = 7;
    p->special_mask = p->read_isr = p->poll = false;
    p->auto_eoi = p->rotate_auto = p->special_nested = false;
    p->want_icw4 = value & 1;
    p->step = WANT_ICW2;
    if (value & 2)
        bp_guest_error("i8259-single", "i8259: ICW1 0x%02x asks for a single controller", value);
}

static void end_of_interrupt(struct pic *p, uint8_t value)
{
    uint8_t serving = p->special_mask ? p->isr & (uint8_t)~p->imr : p->isr;
    unsigned rank = top_rank(p, serving), n = value & 7;

    if (!(value & 0x40)) { /* non-specific */
        if (rank == 8)
            return;
        n = (p->lowest + 1 + rank) & 7;
    }
    p->isr &= (uint8_t)~(1u << n);
    if (value & 0x80)
        p->lowest = (uint8_t)n;
}

static void write_ocw2(struct pic *p, uint8_t value)
{
    switch (value >> 5) {
    case 0:
    case 4:
        p->rotate_auto = value & 0x80;
        break;
    case 1:
    case 3:
    case 5:
    case 7:
        end_of_interrupt(p, value);
        break;
    case 6:
        p->lowest = value & 7;
        break;
    default: /* 2: no operation */
        break;
    }
}

static void write_ocw3(struct pic *p, uint8_t value)
{
    if (value & 0x40)
        p->special_mask = value & 0x20;
    if (value & 4)
        p->poll = true;
    else if (value & 2)
        p->read_isr = value & 1;
}

static void write_data(struct pic *p, uint8_t value)
{
    switch (p->step) {
    case READY:
        p->imr = value;
        break;
    case WANT_ICW2:
        p->base = value & 0xf8;
        p->step = WANT_ICW3;
        break;
    case WANT_ICW3: /* the cascade is wired: its description changes nothing */
        p->step = p->want_icw4 ? WANT_ICW4 : READY;
        break;
    case WANT_ICW4:
        p->special_nested = value & 0x10;
        p->auto_eoi = value & 2;
        p->step = READY;
        break;
    }
}

static void pic_write(struct i8259 *s, struct pic *p, uint64_t addr, uint8_t value)
{
    if (addr & 1)
        write_data(p, value);
    else if (value & 0x10)
        write_icw1(p, value);
    else if (value & 8)
        write_ocw3(p, value);
    else
        write_ocw2(p, value);
    update(s);
}

/* A read after a poll command is an acknowledge cycle. */
static uint8_t poll_read(struct i8259 *s, struct pic *p)
{
    int n = next_input(p);

    p->poll = false;
    if (n < 0)
        return 0;
    serve(p, n);
    update(s);
    return (uint8_t)(0x80 | n);
}

static uint8_t pic_read(struct i8259 *s, struct pic *p, uint64_t addr)
{
    if (p->poll)
        return poll_read(s, p);
    if (addr & 1)
        return p->imr;
    return p->read_isr ? p->isr : requests(p);
}

/* ---- somebody else has it ---- */

static void from_image(struct i8259 *s, const struct bp_i8259_image *image)
{
    for (int i = 0; i < 2; i++) {
        struct pic *p = &s->pic[i];

        p->irr = image->pic[i].irr;
        p->imr = image->pic[i].imr;
        p->isr = image->pic[i].isr;
        p->lines = image->pic[i].lines;
        p->elcr = image->pic[i].elcr & p->elcr_mask;
        p->lowest = image->pic[i].lowest & 7;
        p->base = image->pic[i].base & 0xf8;
        p->step = image->pic[i].step & 3;
        p->want_icw4 = image->pic[i].want_icw4;
        p->auto_eoi = image->pic[i].auto_eoi;
        p->rotate_auto = image->pic[i].rotate_auto;
        p->special_mask = image->pic[i].special_mask;
        p->special_nested = image->pic[i].special_nested;
        p->read_isr = image->pic[i].read_isr;
        p->poll = image->pic[i].poll;
    }
}

static void to_image(const struct i8259 *s, struct bp_i8259_image *image)
{
    memset(image, 0, sizeof(*image));
    for (int i = 0; i < 2; i++) {
        const struct pic *p = &s->pic[i];

        image->pic[i].irr = p->irr;
        image->pic[i].imr = p->imr;
        image->pic[i].isr = p->isr;
        image->pic[i].lines = p->lines;
        image->pic[i].elcr = p->elcr;
        image->pic[i].lowest = p->lowest;
        image->pic[i].base = p->base;
        image->pic[i].step = p->step;
        image->pic[i].want_icw4 = p->want_icw4;
        image->pic[i].auto_eoi = p->auto_eoi;
        image->pic[i].rotate_auto = p->rotate_auto;
        image->pic[i].special_mask = p->special_mask;
        image->pic[i].special_nested = p->special_nested;
        image->pic[i].read_isr = p->read_isr;
        image->pic[i].poll = p->poll;
    }
}

/* Around whatever looks at the registers, or changes them. */
static void fetch(struct i8259 *s)
{
    struct bp_i8259_image image;

    if (s->away && s->keeper->fetch(s->keeper, &image))
        from_image(s, &image);
}

static void store(const struct i8259 *s)
{
    struct bp_i8259_image image;

    if (!s->away)
        return;
    to_image(s, &image);
    s->keeper->store(s->keeper, &image);
}

static void move(void *opaque, bool here)
{
    struct i8259 *s = opaque;

    if (here == !s->away)
        return;
    if (here) {
        fetch(s);
        s->away = false;
        update(s);
        return;
    }
    bp_irq_set(s->intr, 0);
    s->away = true;
    store(s);
    for (unsigned n = 0; n < 16; n++) {
        if (n != 2)
            s->keeper->line(s->keeper, n, s->pic[n >> 3].lines >> (n & 7) & 1);
    }
}

static const struct bp_chip_seat seat = {.size = sizeof(seat), .move = move};

static int lend(struct bp_device *dev, const struct bp_chip_keeper *keeper, struct bp_error *err)
{
    struct i8259 *s = state_of(dev);
    int ret = s->keeper ? bp_fail(err, EEXIST, "kvm-i8259: somebody has it already")
                        : keeper->lend(keeper, &seat, s, err);

    if (ret == 0)
        s->keeper = keeper;
    return ret;
}

/* ---- ports: read while it is away only by who stands in for the processor ---- */

static uint64_t read_at(struct i8259 *s, unsigned n, uint64_t addr)
{
    uint64_t value;

    fetch(s);
    value = pic_read(s, &s->pic[n], addr);
    store(s);
    return value;
}

static void write_at(struct i8259 *s, unsigned n, uint64_t addr, uint64_t value)
{
    fetch(s);
    pic_write(s, &s->pic[n], addr, (uint8_t)value);
    store(s);
}

static uint64_t master_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return read_at(opaque, 0, addr);
}

static void master_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    write_at(opaque, 0, addr, value);
}

static uint64_t slave_read(void *opaque, uint64_t addr, unsigned size)
{
    (void)size;
    return read_at(opaque, 1, addr);
}

static void slave_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    (void)size;
    write_at(opaque, 1, addr, value);
}

static uint64_t elcr_read(void *opaque, uint64_t addr, unsigned size)
{
    struct i8259 *s = opaque;

    (void)size;
    fetch(s);
    return s->pic[addr & 1].elcr;
}

static void elcr_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct i8259 *s = opaque;
    struct pic *p = &s->pic[addr & 1];

    (void)size;
    fetch(s);
    p->elcr = (uint8_t)value & p->elcr_mask;
    update(s);
    store(s);
}

static const struct bp_region_ops master_ops = {
    .size = sizeof(master_ops), .read = master_read, .write = master_write, .max_access = 1};
static const struct bp_region_ops slave_ops = {
    .size = sizeof(slave_ops), .read = slave_read, .write = slave_write, .max_access = 1};
static const struct bp_region_ops elcr_ops = {
    .size = sizeof(elcr_ops), .read = elcr_read, .write = elcr_write, .max_access = 1};

static void i8259_reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct i8259 *s = state;

    (void)dev, (void)scope;
    for (int i = 0; i < 2; i++) {
        struct pic *p = &s->pic[i];

        *p = (struct pic){.lines = p->lines, .lowest = 7, .master = i == 0,
                          .elcr_mask = i == 0 ? 0xf8 : 0xde};
    }
    update(s);
    store(s);
}

static int i8259_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    struct i8259 *s = state;
    int r;

    bp_device_add_irq_inputs(dev, "irq", 16, input_changed);
    bp_device_add_irq_outputs(dev, "intr", 1);
    s->intr = bp_device_irq_output(dev, "intr", 0);
    r = isa->add_ports(dev, 0x20, 2, "pic-master", &master_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, 0xa0, 2, "pic-slave", &slave_ops, s, NULL, err);
    if (r == 0)
        r = isa->add_ports(dev, 0x4d0, 2, "pic-elcr", &elcr_ops, s, NULL, err);
    return r;
}

static const struct bp_state_field i8259_fields[] = {
    BP_SAVE_STRUCTS(struct i8259, pic, &pic_table),
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
    struct i8259 *s = state;

    (void)version;
    for (int i = 0; i < 2; i++) {
        struct pic *p = &s->pic[i];

        if (p->step > WANT_ICW4 || p->lowest > 7)
            return bp_fail(err, EINVAL, "isa-i8259: saved state is out of range");
        p->elcr &= p->elcr_mask;
        p->base &= 0xf8;
    }
    store(s);
    return 0;
}

static const struct bp_state_table i8259_table = {.version = 1, .oldest = 1,
                                                  .fields = i8259_fields,
                                                  .before_save = before_save,
                                                  .after_load = after_load};

static const struct bp_level_class i8259_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "i8259",
             .summary = "Pair of 8259A interrupt controllers", .state_size = sizeof(struct i8259),
             .state = &i8259_table},
    .attach = i8259_attach, .reset = i8259_reset};
BP_NAMED_FLAGS(i8259_class, "isa-i8259", "isa", NULL, "Pair of 8259A interrupt controllers", &i8259_level,
               BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");
BP_NAMED_FLAGS(kvm_i8259_class, "kvm-i8259", "isa", NULL, "Pair of 8259A controllers that the accelerator has",
               &i8259_level, BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");

static const struct bp_i8259_interface i8259_interface_table = {
    .size = sizeof(struct bp_i8259_interface), .acknowledge = acknowledge, .lend = lend};
BP_INTERFACE(i8259_interface, "i8259", 1, 1, &i8259_interface_table);

struct listing {
    struct bp_monitor *mon;
    int count;
};

static int print_pair(struct bp_device *dev, void *opaque)
{
    struct listing *l = opaque;
    struct i8259 *s = state_of(dev);

    fetch(s);
    for (int i = 0; i < 2; i++) {
        const struct pic *p = &s->pic[i];

        bp_monitor_printf(l->mon,
                          "pic%d: irr=%02x imr=%02x isr=%02x hprio=%u irq_base=%02x rr_sel=%d "
                          "elcr=%02x fnm=%d\n",
                          2 * l->count + i, requests(p), p->imr, p->isr, (p->lowest + 1) & 7, p->base,
                          p->read_isr, p->elcr, p->special_nested);
    }
    l->count++;
    return 0;
}

static void info_pic(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_machine *machine = bp_command_machine();
    struct listing l = {.mon = mon};

    (void)args;
    if (machine)
        bp_device_each(machine, "i8259", print_pair, &l);
    if (l.count == 0)
        bp_monitor_printf(mon, "The machine has no 8259 interrupt controllers\n");
}
BP_HMP(info_pic_hmp, "info pic", "", "Show the state of the 8259 interrupt controllers", NULL,
       info_pic);

static const struct bp_import imports[] = {BP_IMPORT(isa, "isa", 1), {0}};
BP_MODULE("hw-i8259", "8259A interrupt controllers", imports, {BP_PROVIDE_DEVICE, &i8259_class},
          {BP_PROVIDE_DEVICE, &kvm_i8259_class},
          {BP_PROVIDE_INTERFACE, &i8259_interface}, {BP_PROVIDE_HMP, &info_pic_hmp});

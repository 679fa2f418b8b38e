/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The I/O APIC: 82093AA data sheet, with the EOI register of version 0x20 (ICH and later). Lines:
 * inputs "irq" 0..23. Not here: the arbitration bus; messages go straight to the local APICs.
 *
 * Registers and EOIs come on any thread without the machine lock. Everything that changes is under
 * `lock`, which may be held while a message is delivered: local APICs call back only after they
 * released theirs.
 *
 * Two names: "ioapic", and "kvm-ioapic" for one that the accelerator has (bp/chip/keeper.h).
 */
#include <bp/clock.h>
#include <bp/command.h>
#include <bp/chip/keeper.h>
#include <bp/device.h>
#include <bp/level.h>
#include <bp/log.h>
#include <bp/exact/x86.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#define PINS 24
#define VERSION_KEPT 0x11u /* of one that somebody else has: KVM's */
#define VERSION_EOI 0x20u /* from this version on there is an EOI register */
#define ENTRY_MASKED (1ull << 16)
#define ENTRY_LEVEL (1ull << 15)
#define ENTRY_REMOTE_IRR (1ull << 14)
#define ENTRY_PENDING (1ull << 12)
#define ENTRY_ACTIVE_LOW (1ull << 13)
#define ENTRY_LOGICAL (1ull << 11)

enum { REGSEL = 0x00, WINDOW = 0x10, EOI = 0x40 };
enum { ID = 0, VER = 1, ARB = 2, TABLE = 0x10 };

struct ioapic {
    uint64_t base;
    uint8_t version;
    uint32_t id;
    uint8_t select;
    uint8_t level[PINS];
    uint64_t entry[PINS];
    pthread_mutex_t lock;
    struct bp_device *bus; /* where messages go; NULL: not connected */
    const struct bp_chip_keeper *keeper; /* NULL: none */
    bool away; /* the keeper has it now */
};

static const struct bp_level_class ioapic_level;

static struct ioapic *state_of(struct bp_device *dev)
{
    return bp_object_level(bp_device_object(dev), &ioapic_level);
}

BP_USE(apic, struct bp_apic_interface, "apic", 1);

static const struct bp_import imports[] = {BP_IMPORT_MINOR(apic, "apic", 1, 4), {NULL}};

static struct bp_apic_message message(uint64_t e)
{
    return (struct bp_apic_message){.dest = (uint32_t)(e >> 56), .logical = e & ENTRY_LOGICAL, .level = e & ENTRY_LEVEL,
                                    .delivery = e >> 8 & 7, .vector = (uint8_t)e};
}

/* The accelerator may have to know whose EOIs are wanted. */
static void announce(struct ioapic *s, unsigned pin)
{
    uint64_t e = s->entry[pin];
    struct bp_apic_message m = message(e);

    if (!s->away && s->bus && e & ENTRY_LEVEL && !(e & ENTRY_MASKED) && apic->remap(s->bus, e, &m))
        apic->pin(s->bus, pin, &m);
}

static void send(struct ioapic *s, unsigned pin)
{
    uint64_t e = s->entry[pin];
    struct bp_apic_message m = message(e);

    if (e & ENTRY_LEVEL) {
        if (e & ENTRY_REMOTE_IRR)
            return;
        s->entry[pin] |= ENTRY_REMOTE_IRR;
    }
    if (!s->bus || !apic->remap(s->bus, e, &m))
        return;
    if (m.level)
        apic->pin(s->bus, pin, &m); /* a remapper may have changed its mind */
    apic->send(s->bus, &m);
}

/* Polarity is the board's affair: a line's level 1 means asserted, whatever its wire does. */
static void line_changed(struct bp_device *dev, unsigned pin, int level)
{
    struct ioapic *s = state_of(dev);
    bool rising;

    pthread_mutex_lock(&s->lock);
    rising = level && !s->level[pin];
    s->level[pin] = level != 0;
    if (s->away)
        s->keeper->line(s->keeper, pin, level != 0);
    else if (!(s->entry[pin] & ENTRY_MASKED) && (s->entry[pin] & ENTRY_LEVEL ? level != 0 : rising))
        send(s, pin);
    pthread_mutex_unlock(&s->lock);
}

static void eoi_locked(struct ioapic *s, uint8_t vector)
{
    for (unsigned pin = 0; pin < PINS; pin++) {
        uint64_t e = s->entry[pin];

        if ((uint8_t)e != vector || !(e & ENTRY_LEVEL) || !(e & ENTRY_REMOTE_IRR))
            continue;
        s->entry[pin] &= ~ENTRY_REMOTE_IRR;
        if (s->level[pin] && !(e & ENTRY_MASKED) && !s->away)
            send(s, pin);
    }
}

static void eoi(void *opaque, uint8_t vector)
{
    struct ioapic *s = opaque;

    pthread_mutex_lock(&s->lock);
    eoi_locked(s, vector);
    pthread_mutex_unlock(&s->lock);
}

static uint32_t read_register(struct ioapic *s)
{
    unsigned index = s->select;

    if (index == ID || index == ARB)
        return s->id << 24;
    if (index == VER)
        return (PINS - 1) << 16 | s->version;
    if (index >= TABLE && index < TABLE + 2 * PINS) {
        uint64_t e = s->entry[(index - TABLE) / 2];
        return index & 1 ? (uint32_t)(e >> 32) : (uint32_t)e;
    }
    bp_guest_error("ioapic-register", "read of I/O APIC register 0x%x", index);
    return 0;
}

static void write_entry(struct ioapic *s, unsigned pin, bool high, uint32_t value)
{
    uint64_t read_only = ENTRY_REMOTE_IRR | ENTRY_PENDING;
    uint64_t old = s->entry[pin], e;

    /* Entries that are remapped have an index in the upper 16 bits. */
    if (high)
        e = (old & 0xffffffffu) |
            (uint64_t)(value & (s->bus && apic->has_remapper(s->bus) ? 0xffff0000u : 0xff000000u)) << 32;
    else
        e = (old & ~0x1ffffull) | (value & 0x1ffff & ~read_only) | (old & read_only);
    if (!(e & ENTRY_LEVEL))
        e &= ~ENTRY_REMOTE_IRR; /* a switch to edge and back clears a stuck one */
    s->entry[pin] = e;
    announce(s, pin);
    if (!(e & ENTRY_MASKED) && e & ENTRY_LEVEL && s->level[pin] && !s->away)
        send(s, pin);
}

/* ---- somebody else has it; lock held ---- */

static void fetch(struct ioapic *s)
{
    struct bp_ioapic_image image;

    if (!s->away || !s->keeper->fetch(s->keeper, &image))
        return;
    s->id = image.id & 0xf;
    s->select = image.select;
    memcpy(s->entry, image.entry, sizeof(s->entry)); /* lines are as they were set here */
}

static void store(const struct ioapic *s)
{
    struct bp_ioapic_image image;

    if (!s->away)
        return;
    memset(&image, 0, sizeof(image));
    image.id = s->id;
    image.select = s->select;
    memcpy(image.entry, s->entry, sizeof(s->entry));
    for (unsigned pin = 0; pin < PINS; pin++)
        image.lines |= (uint32_t)s->level[pin] << pin;
    s->keeper->store(s->keeper, &image);
}

static void come(struct ioapic *s)
{
    fetch(s);
    s->away = false;
    for (unsigned pin = 0; pin < PINS; pin++) {
        uint64_t e = s->entry[pin];

        announce(s, pin);
        if (s->level[pin] && e & ENTRY_LEVEL && !(e & ENTRY_MASKED))
            send(s, pin);
    }
}

static void go(struct ioapic *s)
{
    s->away = true;
    store(s);
    for (unsigned pin = 0; pin < PINS; pin++)
        s->keeper->line(s->keeper, pin, s->level[pin]);
}

static void move(void *opaque, bool here)
{
    struct ioapic *s = opaque;

    pthread_mutex_lock(&s->lock);
    if (here && s->away)
        come(s);
    else if (!here && !s->away)
        go(s);
    pthread_mutex_unlock(&s->lock);
}

static const struct bp_chip_seat seat = {.size = sizeof(seat), .move = move};

static int lend(struct bp_device *dev, const struct bp_chip_keeper *keeper, struct bp_error *err)
{
    struct ioapic *s = state_of(dev);
    int ret = s->keeper ? bp_fail(err, EEXIST, "kvm-ioapic: somebody has it already")
                        : keeper->lend(keeper, &seat, s, err);

    if (ret == 0) {
        s->keeper = keeper;
        s->version = VERSION_KEPT;
    }
    return ret;
}

/* ---- registers: used while it is away only by who stands in for the processor ---- */

static uint64_t mmio_read(void *opaque, uint64_t addr, unsigned size)
{
    struct ioapic *s = opaque;
    uint64_t value = 0;

    (void)size;
    pthread_mutex_lock(&s->lock);
    fetch(s);
    if ((addr & 0xff) == REGSEL)
        value = s->select;
    else if ((addr & 0xff) == WINDOW)
        value = read_register(s);
    pthread_mutex_unlock(&s->lock);
    return value;
}

static void write_locked(struct ioapic *s, uint64_t addr, uint64_t value)
{
    switch (addr & 0xff) {
    case REGSEL:
        s->select = (uint8_t)value;
        break;
    case WINDOW:
        if (s->select == ID)
            s->id = (uint32_t)value >> 24 & 0xf;
        else if (s->select >= TABLE && s->select < TABLE + 2 * PINS)
            write_entry(s, (s->select - TABLE) / 2u, s->select & 1, (uint32_t)value);
        else if (s->select != VER && s->select != ARB)
            bp_guest_error("ioapic-register", "write of I/O APIC register 0x%x", s->select);
        break;
    case EOI:
        if (s->version >= VERSION_EOI)
            eoi_locked(s, (uint8_t)value);
        break;
    default:
        break;
    }
}

static void mmio_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct ioapic *s = opaque;

    (void)size;
    pthread_mutex_lock(&s->lock);
    fetch(s);
    write_locked(s, addr, value);
    store(s);
    pthread_mutex_unlock(&s->lock);
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = mmio_read, .write = mmio_write, .min_access = 4, .max_access = 4,
    .parallel = 1};

static int attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    struct bp_device *dev = bp_device_from_object(obj);
    struct ioapic *s = state;

    (void)err;
    pthread_mutex_init(&s->lock, NULL);
    bp_device_add_irq_inputs(dev, "irq", PINS, line_changed);
    struct bp_region *r = bp_region_new_io(bp_device_owner(dev), "ioapic", 0x1000, &ops, s);
    bp_region_add(bp_space_root(bp_device_memory(dev)), r, s->base, 0x1000);
    return 0;
}

static void detach(struct bp_object *obj, void *state)
{
    (void)obj;
    pthread_mutex_destroy(&((struct ioapic *)state)->lock);
}

static void reset(struct bp_device *dev, void *state, enum bp_reset_scope scope)
{
    struct ioapic *s = state;

    (void)dev, (void)scope;
    pthread_mutex_lock(&s->lock);
    s->id = 0;
    s->select = 0;
    for (unsigned i = 0; i < PINS; i++)
        s->entry[i] = ENTRY_MASKED;
    store(s);
    pthread_mutex_unlock(&s->lock);
}

static const struct bp_field props[] = {
    BP_PROP("base", UINT64, struct ioapic, base, "0xfec00000", "guest physical address"),
    BP_PROP_RANGE("version", UINT8, struct ioapic, version, "0x20", 0x11, 0x20,
                  "version that it shows; before 0x20 there is no EOI register"),
    BP_FIELDS_END,
};
static const struct bp_state_field fields[] = {
    BP_SAVE(UINT32, struct ioapic, id), BP_SAVE(UINT8, struct ioapic, select),
    BP_SAVE_ARRAY(UINT8, struct ioapic, level), BP_SAVE_ARRAY(UINT64, struct ioapic, entry),
    BP_SAVE_END,
};

static int before_save(void *state, struct bp_error *err)
{
    struct ioapic *s = state;

    (void)err;
    pthread_mutex_lock(&s->lock);
    fetch(s);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct ioapic *s = state;

    (void)version, (void)err;
    pthread_mutex_lock(&s->lock);
    for (unsigned pin = 0; pin < PINS; pin++)
        announce(s, pin);
    store(s);
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .before_save = before_save,
                                            .after_load = after_load};

static const struct bp_level_class ioapic_level = {
    .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = "ioapic-common",
             .summary = "82093AA I/O APIC", .state_size = sizeof(struct ioapic), .props = props, .state = &table},
    .attach = attach, .detach = detach, .reset = reset};
BP_NAMED_FLAGS(ioapic, "ioapic", "system", NULL, "82093AA I/O APIC", &ioapic_level, BP_TYPE_NOT_USER_CREATABLE, "no",
               .category = "misc");
BP_NAMED_FLAGS(kvm_ioapic, "kvm-ioapic", "system", NULL, "82093AA I/O APIC that the accelerator has", &ioapic_level,
               BP_TYPE_NOT_USER_CREATABLE, "no", .category = "misc");

static int connect(struct bp_device *dev, struct bp_device *bus, struct bp_error *err)
{
    struct ioapic *s = state_of(dev);
    int r;

    if (s->bus)
        return bp_fail(err, EEXIST, "ioapic: connected already");
    r = apic->on_eoi(bus, eoi, s, err);
    if (r == 0)
        s->bus = bus;
    return r;
}

static const struct bp_ioapic_interface ioapic_table = {
    .size = sizeof(struct bp_ioapic_interface), .connect = connect, .lend = lend,
};
BP_INTERFACE(ioapic_interface, "ioapic", 1, 1, &ioapic_table);

static int print(struct bp_device *dev, void *opaque)
{
    struct ioapic *s = state_of(dev);
    struct bp_monitor *mon = opaque;
    struct ioapic copy;

    pthread_mutex_lock(&s->lock);
    fetch(s);
    copy = *s; /* to read: a monitor may be slow */
    pthread_mutex_unlock(&s->lock);
    s = &copy;
    bp_monitor_printf(mon, "I/O APIC id %u at 0x%llx\n", s->id, (unsigned long long)s->base);
    for (unsigned i = 0; i < PINS; i++)
        bp_monitor_printf(mon, "  pin %2u: 0x%016llx vector 0x%02x %s%s%s%s level %d\n", i,
                          (unsigned long long)s->entry[i], (unsigned)(s->entry[i] & 0xff),
                          s->entry[i] & ENTRY_LEVEL ? "level" : "edge",
                          s->entry[i] & ENTRY_ACTIVE_LOW ? " low" : " high",
                          s->entry[i] & ENTRY_MASKED ? " masked" : "",
                          s->entry[i] & ENTRY_REMOTE_IRR ? " remote-irr" : "", s->level[i]);
    return 0;
}

static int count(struct bp_device *dev, void *opaque)
{
    (void)dev;
    ++*(unsigned *)opaque;
    return 0;
}

static void info(struct bp_monitor *mon, struct bp_value *args)
{
    struct bp_machine *machine = bp_command_machine();
    unsigned found = 0;

    (void)args;
    if (machine)
        bp_device_each(machine, "ioapic-common", count, &found);
    if (found)
        bp_device_each(machine, "ioapic-common", print, mon);
    else
        bp_monitor_printf(mon, "the machine has no I/O APIC\n");
}
BP_HMP(info_ioapic, "info ioapic", "", "show the I/O APIC's redirection table", NULL, info);

BP_MODULE("hw-ioapic", "I/O APIC", imports, {BP_PROVIDE_DEVICE, &ioapic}, {BP_PROVIDE_DEVICE, &kvm_ioapic},
          {BP_PROVIDE_INTERFACE, &ioapic_interface}, {BP_PROVIDE_HMP, &info_ioapic});

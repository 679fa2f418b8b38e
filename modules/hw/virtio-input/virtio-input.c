// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Input devices (Virtual I/O Device 1.2, 5.8): keyboard, mouse, tablet. Events come on the main loop under the
 * machine lock, wait in a queue of ours, and go out in groups that end with SYN_REPORT. Left out: several
 * pointers of one tablet (multitouch), devices of the host.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/host/input.h>
#include <bp/host/virtio.h>
#include <bp/loop.h>

BP_USE(virtio, struct bp_virtio_interface, "virtio", 1);
BP_USE(input, struct bp_input_interface, "input", 1);

#define EVENTS 512u     /* that wait */
#define RESERVE 1u      /* kept for the report that ends a group */
#define CONFIG_SIZE 136u
#define VALUE_AT 8u
#define VALUE_SIZE 128u
#define BUS_IS_VIRTUAL 0x06
#define VENDOR 0x0627

enum { CFG_SELECT, CFG_SUBSEL, CFG_LENGTH };
enum { ID_NAME = 1, ID_SERIAL, ID_DEVIDS, PROP_BITS = 0x10, EV_BITS, ABS_INFO };
enum kind { KEYBOARD, MOUSE, TABLET };

struct event {
    uint16_t type, code;
    uint32_t value;
};

struct virtio_input {
    struct bp_device *dev;
    struct bp_virtio *virtio;
    struct bp_virtq *events, *status;
    struct bp_input_device *device;
    struct bp_owner *main;
    struct bp_deferred *tell; /* input framework: there is room, somebody uses it, LEDs */
    char *serial;
    bool wheel_axis;
    enum kind kind;
    struct event queue[EVENTS]; /* a ring */
    uint32_t first, count;
    uint32_t complete; /* of these, from the first on, belong to groups that have ended */
    uint32_t leds;
    bool active, told_active;
};

static const char *const names[] = {"QEMU Virtio Keyboard", "QEMU Virtio Mouse", "QEMU Virtio Tablet"};
static const uint32_t takes[] = {BP_INPUT_TAKES_KEYS, BP_INPUT_TAKES_RELATIVE, BP_INPUT_TAKES_ABSOLUTE};

/* ---- configuration ---- */
static void set_bit(uint8_t *bits, unsigned n)
{
    bits[n / 8] |= (uint8_t)(1u << n % 8);
}

static unsigned length_of(const uint8_t *bits)
{
    unsigned n = VALUE_SIZE;

    while (n > 0 && bits[n - 1] == 0)
        n--;
    return n;
}

static void set_range(uint8_t *bits, unsigned first, unsigned last)
{
    for (unsigned n = first; n <= last; n++)
        set_bit(bits, n);
}

static void show_event_bits(const struct virtio_input *s, unsigned type, uint8_t *bits)
{
    bool keyboard = s->kind == KEYBOARD;

    if (type == EV_KEY && keyboard) {
        set_range(bits, KEY_ESC, KEY_MICMUTE);
    } else if (type == EV_KEY) {
        set_range(bits, BTN_LEFT, BTN_TASK);
        if (s->wheel_axis)
            return;
        set_bit(bits, BTN_GEAR_DOWN);
        set_bit(bits, BTN_GEAR_UP);
    } else if (type == EV_REP && keyboard) {
        bits[0] = 3; /* delay and period; what the driver makes of it is its own */
    } else if (type == EV_LED && keyboard) {
        set_range(bits, LED_NUML, LED_SCROLLL);
    } else if (type == EV_REL && !keyboard) {
        if (s->kind == MOUSE)
            set_range(bits, REL_X, REL_Y);
        if (s->wheel_axis) {
            set_bit(bits, REL_WHEEL);
            set_bit(bits, REL_HWHEEL);
        }
    } else if (type == EV_ABS && s->kind == TABLET) {
        set_range(bits, ABS_X, ABS_Y);
    }
}

static void put32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof(v));
}

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

/* What select and subsel ask for. */
static void show(struct virtio_input *s)
{
    uint8_t *c = virtio->config(s->virtio), *value = c + VALUE_AT;
    unsigned length = 0;

    memset(c + CFG_LENGTH, 0, CONFIG_SIZE - CFG_LENGTH);
    switch (c[CFG_SELECT]) {
    case ID_NAME:
        if (c[CFG_SUBSEL] == 0) {
            length = (unsigned)strlen(names[s->kind]);
            memcpy(value, names[s->kind], length);
        }
        break;
    case ID_SERIAL:
        if (c[CFG_SUBSEL] == 0 && s->serial) {
            length = (unsigned)strnlen(s->serial, VALUE_SIZE);
            memcpy(value, s->serial, length);
        }
        break;
    case ID_DEVIDS:
        put16(value, BUS_IS_VIRTUAL);
        put16(value + 2, VENDOR);
        put16(value + 4, s->kind + 1u);
        put16(value + 6, 1);
        length = 8;
        break;
    case EV_BITS:
        show_event_bits(s, c[CFG_SUBSEL], value);
        length = length_of(value);
        break;
    case ABS_INFO:
        if (s->kind == TABLET && c[CFG_SUBSEL] <= ABS_Y) {
            put32(value + 4, BP_INPUT_ABS_MAX); /* least 0; no fuzz, flat or resolution */
            length = 20;
        }
        break;
    default:
        break;
    }
    c[CFG_LENGTH] = (uint8_t)length;
}

static void config_written(void *opaque, unsigned offset, unsigned size, const uint8_t *old)
{
    struct virtio_input *s = opaque;
    uint8_t *c = virtio->config(s->virtio), select = c[CFG_SELECT], subsel = c[CFG_SUBSEL];

    (void)offset, (void)size;
    memcpy(c, old, CONFIG_SIZE);
    c[CFG_SELECT] = select;
    c[CFG_SUBSEL] = subsel;
    show(s);
}

/* ---- events ---- */
static void append(struct virtio_input *s, uint16_t type, uint16_t code, uint32_t value)
{
    if (s->count < EVENTS)
        s->queue[(s->first + s->count++) % EVENTS] = (struct event){type, code, value};
}

/* Whole groups, as far as there are buffers. */
static void send(struct virtio_input *s)
{
    bool any = false;

    while (s->complete > 0) {
        const struct event *e = &s->queue[s->first];
        const struct event out = {htole16(e->type), htole16(e->code), htole32(e->value)};
        struct bp_virtq_request *r = virtio->pop(s->events);

        if (!r) {
            if (virtio->kicks(s->events, true))
                continue;
            break;
        }
        any = true;
        virtio->push(s->events, r, bp_virtq_write(r, 0, &out, sizeof(out)));
        s->first = (s->first + 1) % EVENTS;
        s->count--;
        s->complete--;
    }
    if (any) {
        virtio->flush(s->events);
        bp_deferred_schedule(s->tell);
    }
}

static unsigned space(void *opaque)
{
    struct virtio_input *s = opaque;
    unsigned n;

    bp_device_lock(s->dev);
    n = EVENTS - RESERVE - s->count;
    if (s->count >= EVENTS - RESERVE)
        n = 0;
    bp_device_unlock(s->dev);
    return n / 2; /* a wheel's step is two events */
}

static void wheel_as_buttons(struct virtio_input *s, int32_t steps)
{
    uint16_t button = steps > 0 ? BTN_GEAR_UP : BTN_GEAR_DOWN;

    append(s, EV_KEY, button, 1);
    append(s, EV_KEY, button, 0);
}

static void event(void *opaque, const struct bp_input_event *e)
{
    struct virtio_input *s = opaque;

    bp_device_lock(s->dev);
    if (e->type == BP_INPUT_REL && e->code == REL_WHEEL && !s->wheel_axis)
        wheel_as_buttons(s, e->value);
    else if (e->type != BP_INPUT_REL || e->code <= REL_Y || s->wheel_axis)
        append(s, e->type, e->code, (uint32_t)e->value);
    bp_device_unlock(s->dev);
}

static void sync(void *opaque)
{
    struct virtio_input *s = opaque;

    bp_device_lock(s->dev);
    if (s->count > s->complete) {
        append(s, EV_SYN, SYN_REPORT, 0);
        s->complete = s->count;
    }
    if (virtio->is_running(s->virtio)) {
        send(s);
    } else { /* nobody will ever want what was pressed before */
        s->count = s->complete = 0;
    }
    bp_device_unlock(s->dev);
}

/* In the main context, under the machine lock. */
static void tell(void *opaque)
{
    struct virtio_input *s = opaque;
    bool activate;
    uint32_t leds;

    if (!s->device)
        return;
    bp_device_lock(s->dev);
    activate = s->active && !s->told_active;
    s->told_active = s->active;
    leds = s->leds;
    bp_device_unlock(s->dev);
    if (activate)
        input->activate(s->device);
    if (s->kind == KEYBOARD)
        input->set_leds(s->device, leds);
    input->room(s->device);
}

static bool handle_events(void *opaque, struct bp_virtq *queue)
{
    (void)queue;
    send(opaque);
    return false; /* buffers wait for events; send() asks for calls when there are none left */
}

static void set_led(struct virtio_input *s, const struct event *e)
{
    static const uint32_t bits[] = {[LED_NUML] = BP_INPUT_LED_NUM, [LED_CAPSL] = BP_INPUT_LED_CAPS,
                                    [LED_SCROLLL] = BP_INPUT_LED_SCROLL};
    uint16_t code = le16toh(e->code);

    if (le16toh(e->type) != EV_LED || code >= BP_COUNT(bits))
        return;
    s->leds = le32toh(e->value) ? s->leds | bits[code] : s->leds & ~bits[code];
}

static bool handle_status(void *opaque, struct bp_virtq *queue)
{
    struct virtio_input *s = opaque;
    struct bp_virtq_request *r;

    while ((r = virtio->pop(queue))) {
        struct event e = {0};

        if (bp_virtq_read(r, 0, &e, sizeof(e)) == sizeof(e))
            set_led(s, &e);
        virtio->push(queue, r, 0);
    }
    virtio->flush(queue);
    bp_deferred_schedule(s->tell);
    return true;
}

static void running(void *opaque, bool on)
{
    struct virtio_input *s = opaque;

    s->active = on;
    bp_deferred_schedule(s->tell);
}

static void reset(void *opaque)
{
    struct virtio_input *s = opaque;

    s->first = s->count = s->complete = 0;
    s->leds = 0;
    show(s);
    bp_deferred_schedule(s->tell);
}

/* ---- life ---- */
static const struct bp_virtio_class class = {
    .size = sizeof(class), .id = 18, .name = "virtio-input", .config_size = CONFIG_SIZE,
    .flags = BP_VIRTIO_CLASS_MODERN_ONLY, .config_written = config_written, .running = running, .reset = reset};
static const struct bp_virtq_info event_queue = {.size = sizeof(event_queue), .entries = 64, .handle = handle_events};
static const struct bp_virtq_info status_queue = {.size = sizeof(status_queue), .entries = 64,
                                                  .handle = handle_status};

static int attach(struct bp_object *obj, struct virtio_input *s, enum kind kind, struct bp_error *err)
{
    const struct bp_input_ops ops = {.size = sizeof(ops), .takes = takes[kind], .name = names[kind], .space = space,
                                     .event = event, .sync = sync};
    int ret;

    s->kind = kind;
    s->dev = bp_device_from_object(obj);
    if (s->serial && strlen(s->serial) > VALUE_SIZE)
        return bp_fail(err, EINVAL, "%s: serial: at most %u characters", bp_object_type(obj), VALUE_SIZE);
    ret = virtio->setup(s->dev, &class, s, &s->virtio, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &event_queue, &s->events, err);
    if (ret == 0)
        ret = virtio->add_queue(s->virtio, &status_queue, &s->status, err);
    if (ret < 0)
        return ret;
    s->main = bp_owner_new(bp_device_owner(s->dev), "virtio-input", bp_device_id(s->dev), 0);
    s->tell = bp_deferred_new(s->main, NULL, tell, s);
    return input->device_new(obj, NULL, &ops, s, &s->device, err);
}

static int keyboard_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    return attach(obj, state, KEYBOARD, err);
}

static int mouse_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    return attach(obj, state, MOUSE, err);
}

static int tablet_attach(struct bp_object *obj, void *state, struct bp_error *err)
{
    return attach(obj, state, TABLET, err);
}

static void detach(struct bp_object *obj, void *state)
{
    struct virtio_input *s = state;

    (void)obj;
    input->device_free(s->device);
    s->device = NULL;
}

static int after_load(void *state, uint32_t version, struct bp_error *err)
{
    struct virtio_input *s = state;

    (void)version;
    if (s->complete > s->count)
        return bp_fail(err, EINVAL, "virtio-input: the saved queue of events is out of range");
    s->active = s->told_active = false;
    return 0;
}

static const struct bp_state_field event_fields[] = {
    BP_SAVE(UINT16, struct event, type), BP_SAVE(UINT16, struct event, code), BP_SAVE(UINT32, struct event, value),
    BP_SAVE_END};
static const struct bp_state_table event_table = {.version = 1, .oldest = 1, .fields = event_fields};
static const struct bp_state_field fields[] = {
    BP_SAVE_STRUCTS(struct virtio_input, queue, &event_table),
    BP_SAVE_RANGE(UINT32, struct virtio_input, first, 0, EVENTS - 1),
    BP_SAVE_RANGE(UINT32, struct virtio_input, count, 0, EVENTS),
    BP_SAVE_RANGE(UINT32, struct virtio_input, complete, 0, EVENTS), BP_SAVE_RANGE(UINT32,
           struct virtio_input, leds, 0, 7),
    BP_SAVE_END};
static const struct bp_state_table table = {.version = 1, .oldest = 1, .fields = fields, .after_load = after_load};

static const struct bp_field keyboard_props[] = {
    BP_PROP("serial", STRING, struct virtio_input, serial, NULL, "serial number that the driver is told"),
    BP_FIELDS_END};
static const struct bp_field pointer_props[] = {
    BP_PROP("serial", STRING, struct virtio_input, serial, NULL, "serial number that the driver is told"),
    BP_PROP("wheel-axis", BOOL, struct virtio_input, wheel_axis, "on", "wheels are axes; off: buttons"),
    BP_FIELDS_END};

#define INPUT_LEVEL(ident, NAME, SUMMARY, PROPS, ATTACH) \
    static const struct bp_level_class ident = { \
        .type = {.size = sizeof(struct bp_level_class), .flags = BP_TYPE_NOT_USER_CREATABLE, .name = NAME, \
                 .summary = SUMMARY, .state_size = sizeof(struct virtio_input), .props = PROPS, .state = &table}, \
        .attach = ATTACH, .detach = detach}

INPUT_LEVEL(keyboard_level, "virtio-keyboard-base", "Virtio keyboard", keyboard_props, keyboard_attach);
INPUT_LEVEL(mouse_level, "virtio-mouse-base", "Virtio mouse", pointer_props, mouse_attach);
INPUT_LEVEL(tablet_level, "virtio-tablet-base", "Virtio tablet", pointer_props, tablet_attach);

BP_VIRTIO_NAMES(keyboard, "virtio-keyboard", 0x0900, "Virtio keyboard", &keyboard_level, .category = "input");
BP_VIRTIO_NAMES(mouse, "virtio-mouse", 0x0902, "Virtio mouse", &mouse_level, .category = "input");
BP_VIRTIO_NAMES(tablet, "virtio-tablet", 0x0980, "Virtio tablet", &tablet_level, .category = "input");

static const struct bp_import imports[] = {BP_IMPORT(virtio, "virtio", 1), BP_IMPORT(input, "input", 1), {0}};
BP_MODULE("hw-virtio-input", "Virtio keyboard, mouse and tablet", imports, {BP_PROVIDE_DEVICE, &keyboard_pci},
          {BP_PROVIDE_DEVICE, &keyboard_device}, {BP_PROVIDE_DEVICE, &mouse_pci}, {BP_PROVIDE_DEVICE, &mouse_device},
          {BP_PROVIDE_DEVICE, &tablet_pci}, {BP_PROVIDE_DEVICE, &tablet_device});

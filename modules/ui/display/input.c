/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Input: from those who send events to the devices that take them, through a bounded queue for each. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/run.h>

#include "display.h"

#define CODES 768u
#define RING (BP_INPUT_QUEUE + 2 * CODES) /* with room for all keys to go up, one by one */
#define MAX_DEVICES 256u

struct bp_input_device *input_devices;
static struct listener *listeners;

static void tell(void *opaque)
{
    (void)opaque;
    listeners_call(&listeners);
}

static struct bp_machine *machine_of(const struct bp_input_device *d)
{
    return bp_object_machine(d->device);
}

/* However often a guest changes something: it is one call. */
static void tell_soon(const struct bp_input_device *d)
{
    bp_deferred_schedule(d->teller);
}

/* ---- queues ---- */

static void push(struct bp_input_device *d, const struct bp_input_event *event)
{
    if (!d->queue)
        d->queue = bp_alloc(sizeof(*d->queue) * RING);
    d->queue[(d->head + d->count++) % RING] = *event;
    if (event->type != BP_INPUT_KEY)
        return;
    if (event->value)
        d->down[event->code / 8] |= (uint8_t)(1 << event->code % 8);
    else
        d->down[event->code / 8] &= (uint8_t)~(1 << event->code % 8);
}

static void drain(void *opaque)
{
    struct bp_input_device *d = opaque;
    bool was_full = d->count >= BP_INPUT_QUEUE / 2;

    while (d->count) {
        struct bp_input_event event = d->queue[d->head];

        if (event.type != BP_INPUT_SYNC && d->ops.space && !d->ops.space(d->opaque))
            break;
        d->head = (d->head + 1) % RING;
        d->count--;
        if (event.type != BP_INPUT_SYNC)
            d->ops.event(d->opaque, &event);
        else if (d->ops.sync)
            d->ops.sync(d->opaque);
    }
    if (was_full && d->count < BP_INPUT_QUEUE / 2)
        tell_soon(d);
}

/* ---- devices ---- */

static int device_new(struct bp_object *device, struct bp_console *console,
                      const struct bp_input_ops *ops, void *opaque,
                      struct bp_input_device **ret_device, struct bp_error *err)
{
    struct bp_input_device **link = &input_devices, *d;
    unsigned count = 0, index = 0;

    if (ops->size < offsetof(struct bp_input_ops, reserved) || !ops->event || !ops->name)
        return bp_fail(err, EINVAL, "input device: it has no name or takes no events");
    for (d = input_devices; d; d = d->next) {
        count++;
        index = d->index >= index ? d->index + 1 : index;
    }
    if (count == MAX_DEVICES)
        return bp_fail(err, ENOSPC, "input device %s: at most %u are accepted", ops->name, MAX_DEVICES);
    d = bp_alloc(sizeof(*d));
    d->device = device;
    d->console = console;
    memcpy(&d->ops, ops, ops->size < sizeof(*ops) ? ops->size : sizeof(*ops));
    d->opaque = opaque;
    d->index = index;
    d->main = bp_context_main(bp_object_machine(device));
    d->teller = bp_deferred_new(NULL, d->main, tell, NULL);
    d->drain = bp_deferred_new(NULL, d->main, drain, d);
    while (*link)
        link = &(*link)->next;
    *link = d;
    *ret_device = d;
    tell_soon(d);
    return 0;
}

static struct bp_input_device **link_of(const struct bp_input_device *d)
{
    struct bp_input_device **link = &input_devices;

    while (*link != d)
        link = &(*link)->next;
    return link;
}

static void device_free(struct bp_input_device *d)
{
    if (!d)
        return;
    bp_defer(d->main, tell, NULL); /* it has no other call any more */
    *link_of(d) = d->next;
    bp_deferred_free(d->teller);
    bp_deferred_free(d->drain);
    free(d->queue);
    free(d);
}

void input_activate(struct bp_input_device *d)
{
    if (input_devices == d)
        return;
    *link_of(d) = d->next;
    d->next = input_devices;
    input_devices = d;
    tell_soon(d);
}

void input_console_gone(struct bp_console *console)
{
    for (struct bp_input_device *d = input_devices; d; d = d->next)
        if (d->console == console)
            d->console = NULL;
}

static void room(struct bp_input_device *d)
{
    if (d->count)
        bp_deferred_schedule(d->drain);
}

static void set_leds(struct bp_input_device *d, uint32_t leds)
{
    if (d->leds == leds)
        return;
    d->leds = leds;
    tell_soon(d);
}

bool input_is_pointer(const struct bp_input_device *d)
{
    return d->ops.takes & (BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE | BP_INPUT_TAKES_TOUCH);
}

/* ---- who gets what ---- */

static bool at_seat(const struct bp_input_device *d, struct bp_machine *machine,
                    const struct bp_console *console)
{
    return d->console == console && machine_of(d) == machine;
}

static struct bp_input_device *find(struct bp_machine *machine, struct bp_console *console,
                                    uint32_t takes)
{
    for (struct bp_input_device *d = input_devices; d; d = d->next)
        if (at_seat(d, machine, console) && (d->ops.takes & takes))
            return d;
    return NULL;
}

/* NULL when no device is bound to it: the default seat serves it. */
static struct bp_console *seat_of(struct bp_machine *machine, struct bp_console *console)
{
    return console && find(machine, console, ~0u) ? console : NULL;
}

struct bp_input_device *input_current_pointer(struct bp_machine *machine)
{
    return find(machine, NULL, BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE);
}

static bool is_button(uint16_t code)
{
    return code >= BTN_MISC && code < KEY_OK;
}

/* What takes an event, as a mask; 0: it makes no sense. */
static uint32_t takers(const struct bp_input_event *event)
{
    switch (event->type) {
    case BP_INPUT_KEY:
        if (!event->code || event->code >= CODES || event->value < 0 || event->value > 2)
            return 0;
        return is_button(event->code) ? BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE
                                      : BP_INPUT_TAKES_KEYS;
    case BP_INPUT_REL:
        if (event->code == REL_WHEEL || event->code == REL_HWHEEL) /* tablets have them, too */
            return BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE;
        return event->code <= REL_MAX ? BP_INPUT_TAKES_RELATIVE : 0;
    case BP_INPUT_ABS:
        if (event->code >= ABS_MT_SLOT && event->code <= ABS_MAX)
            return BP_INPUT_TAKES_TOUCH;
        return event->code <= ABS_Y && event->value >= 0 && event->value <= BP_INPUT_ABS_MAX
                   ? BP_INPUT_TAKES_ABSOLUTE
                   : 0;
    default:
        return 0;
    }
}

static const char *missing(uint32_t takes)
{
    return takes & BP_INPUT_TAKES_KEYS       ? "keyboard"
           : takes & BP_INPUT_TAKES_TOUCH    ? "touch screen"
           : takes & BP_INPUT_TAKES_RELATIVE ? takes & BP_INPUT_TAKES_ABSOLUTE ? "pointer" : "mouse"
                                             : "tablet (a pointer with absolute positions)";
}

static bool sync_after(const struct bp_input_event *events, unsigned count)
{
    return count && events[count - 1].type != BP_INPUT_SYNC;
}

/* A key that is down goes up, alone: nothing keeps it down. Each has its room in the ring. */
static bool is_release(struct bp_machine *machine, struct bp_console *seat,
                       const struct bp_input_event *events, unsigned count)
{
    const struct bp_input_device *d;
    uint32_t takes;

    if (count < 1 || count > 2 || (count == 2 && events[1].type != BP_INPUT_SYNC) ||
        events[0].type != BP_INPUT_KEY || events[0].value)
        return false;
    takes = takers(&events[0]);
    d = takes ? find(machine, seat, takes) : NULL;
    return d && d->down[events[0].code / 8] & 1 << events[0].code % 8;
}

static int check(struct bp_machine *machine, struct bp_console *seat,
                 const struct bp_input_event *events, unsigned count, struct bp_error *err)
{
    if (is_release(machine, seat, events, count))
        return 0;
    if (count > BP_INPUT_QUEUE / 2)
        return bp_fail(err, EINVAL, "input: %u events at once are more than %u", count,
                       BP_INPUT_QUEUE / 2);
    if (!bp_machine_running(machine) && !find(machine, seat, BP_INPUT_TAKES_ALWAYS))
        return bp_fail(err, EAGAIN, "input: the machine does not run, and takes no input");
    for (unsigned i = 0; i < count; i++) {
        uint32_t takes = takers(&events[i]);
        struct bp_input_device *d = takes ? find(machine, seat, takes) : NULL;

        if (events[i].type == BP_INPUT_SYNC)
            continue;
        if (!takes)
            return bp_fail(err, EINVAL, "input: type %u, code %u, value %d is no event that can be "
                           "sent", events[i].type, events[i].code, events[i].value);
        if (!d)
            return bp_fail(err, ENODEV, "input: the machine has no %s", missing(takes));
        if (d->count + count + 1 > BP_INPUT_QUEUE)
            return bp_fail(err, EBUSY, "input: %s has not taken the %u events that wait for it",
                           d->ops.name, d->count);
    }
    return 0;
}

static void sync_all(struct bp_machine *machine, struct bp_console *seat, bool *touched)
{
    const struct bp_input_event sync = {.type = BP_INPUT_SYNC};
    unsigned i = 0;

    for (struct bp_input_device *d = input_devices; d; d = d->next, i++)
        if (touched[i] && at_seat(d, machine, seat))
            push(d, &sync);
    memset(touched, 0, MAX_DEVICES * sizeof(*touched));
}

static unsigned place_of(const struct bp_input_device *device)
{
    unsigned i = 0;

    for (const struct bp_input_device *d = input_devices; d != device; d = d->next)
        i++;
    return i;
}

static void drain_seat(struct bp_machine *machine, struct bp_console *seat)
{
    for (struct bp_input_device *d = input_devices; d; d = d->next)
        if (at_seat(d, machine, seat) && d->count)
            bp_deferred_schedule(d->drain);
}

static int send(struct bp_machine *machine, struct bp_console *console,
                const struct bp_input_event *events, unsigned count, struct bp_error *err)
{
    struct bp_console *seat = seat_of(machine, console);
    bool touched[MAX_DEVICES] = {false};
    int ret = check(machine, seat, events, count, err);

    if (ret < 0)
        return ret;
    for (unsigned i = 0; i < count; i++) {
        struct bp_input_device *d;

        if (events[i].type == BP_INPUT_SYNC) {
            sync_all(machine, seat, touched);
            continue;
        }
        d = find(machine, seat, takers(&events[i]));
        push(d, &events[i]);
        touched[place_of(d)] = true;
    }
    if (sync_after(events, count))
        sync_all(machine, seat, touched);
    drain_seat(machine, seat);
    return 0;
}

static unsigned space(struct bp_machine *machine, struct bp_console *console)
{
    struct bp_console *seat = seat_of(machine, console);
    unsigned least = BP_INPUT_QUEUE / 2;

    for (struct bp_input_device *d = input_devices; d; d = d->next) {
        unsigned left = d->count + 1 < BP_INPUT_QUEUE ? BP_INPUT_QUEUE - d->count - 1 : 0;

        if (at_seat(d, machine, seat) && left < least)
            least = left;
    }
    return least;
}

/* ---- pointers ---- */

static struct bp_input_device *pointer_of(struct bp_machine *machine, struct bp_console *console)
{
    return find(machine, seat_of(machine, console),
                BP_INPUT_TAKES_RELATIVE | BP_INPUT_TAKES_ABSOLUTE);
}

static bool is_absolute(struct bp_machine *machine, struct bp_console *console)
{
    const struct bp_input_device *d = pointer_of(machine, console);

    return d && (d->ops.takes & BP_INPUT_TAKES_ABSOLUTE);
}

static int32_t scale(int32_t at, uint32_t range)
{
    if (at < 0 || range < 2)
        return 0;
    if ((uint32_t)at >= range)
        at = (int32_t)range - 1;
    return (int32_t)((int64_t)at * BP_INPUT_ABS_MAX / (range - 1));
}

static int pointer(struct bp_machine *machine, struct bp_console *console, int32_t x, int32_t y,
                   uint32_t width, uint32_t height, struct bp_error *err)
{
    struct bp_input_device *d = pointer_of(machine, console);
    struct bp_input_event events[2];
    unsigned count = 0;
    int ret;

    if (!d)
        return bp_fail(err, ENODEV, "input: the machine has no pointer");
    if (!width || !height || width > BP_DISPLAY_MAX || height > BP_DISPLAY_MAX)
        return bp_fail(err, EINVAL, "input: a picture of %u x %u pixels makes no sense", width, height);
    x = x < 0 ? 0 : (uint32_t)x >= width ? (int32_t)width - 1 : x;
    y = y < 0 ? 0 : (uint32_t)y >= height ? (int32_t)height - 1 : y;
    if (d->ops.takes & BP_INPUT_TAKES_ABSOLUTE) {
        events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_X, scale(x, width)};
        events[count++] = (struct bp_input_event){BP_INPUT_ABS, ABS_Y, scale(y, height)};
    } else if (d->has_position) {
        if (x != d->x)
            events[count++] = (struct bp_input_event){BP_INPUT_REL, REL_X, x - d->x};
        if (y != d->y)
            events[count++] = (struct bp_input_event){BP_INPUT_REL, REL_Y, y - d->y};
    }
    ret = send(machine, console, events, count, err);
    if (ret < 0)
        return ret;
    d->has_position = true;
    d->x = x;
    d->y = y;
    return 0;
}

static uint32_t leds(struct bp_machine *machine, struct bp_console *console)
{
    const struct bp_input_device *d = find(machine, seat_of(machine, console), BP_INPUT_TAKES_KEYS);

    return d ? d->leds : 0;
}

static void listen(void (*fn)(void *opaque), void *opaque)
{
    listener_add(&listeners, fn, opaque);
}

static void unlisten(void (*fn)(void *opaque), void *opaque)
{
    listener_remove(&listeners, fn, opaque);
}

static void release_all(struct bp_machine *machine, struct bp_console *console)
{
    struct bp_console *seat = seat_of(machine, console);
    const struct bp_input_event sync = {.type = BP_INPUT_SYNC};

    for (struct bp_input_device *d = input_devices; d; d = d->next) {
        bool any = false;

        if (!at_seat(d, machine, seat))
            continue;
        for (uint16_t code = CODES - 1; code; code--) {
            const struct bp_input_event up = {BP_INPUT_KEY, code, 0};

            if (!(d->down[code / 8] & 1 << code % 8))
                continue;
            push(d, &up);
            any = true;
        }
        if (any)
            push(d, &sync);
    }
    drain_seat(machine, seat);
}

/* ---- the layout of people's keyboards ---- */

static char *language_name;

static const char *language(void)
{
    return language_name;
}

static void set_language(const char *name)
{
    free(language_name);
    language_name = name ? bp_strdup(name) : NULL;
}

/* ---- for the monitor ---- */

static int each(struct bp_machine *machine,
                int (*fn)(const struct bp_input_description *device, void *opaque), void *opaque)
{
    const struct bp_input_device *pointer = input_current_pointer(machine), *next;
    unsigned from = 0;
    int ret = 0;

    do { /* by index, whichever was activated last */
        next = NULL;
        for (const struct bp_input_device *d = input_devices; d; d = d->next)
            if (machine_of(d) == machine && d->index >= from && (!next || d->index < next->index))
                next = d;
        if (next) {
            struct bp_input_description description = {
                .size = sizeof(description), .takes = next->ops.takes, .name = next->ops.name,
                .index = next->index, .current = next == pointer};

            from = next->index + 1;
            ret = fn(&description, opaque);
        }
    } while (next && !ret);
    return ret;
}

static int select_pointer(struct bp_machine *machine, unsigned index, struct bp_error *err)
{
    for (struct bp_input_device *d = input_devices; d; d = d->next) {
        if (machine_of(d) == machine && d->index == index && input_is_pointer(d)) {
            input_activate(d);
            return 0;
        }
    }
    return bp_fail(err, ENOENT, "there is no mouse with the number %u", index);
}

const struct bp_input_interface input_table = {
    .size = sizeof(input_table), .device_new = device_new, .device_free = device_free,
    .activate = input_activate, .room = room, .set_leds = set_leds, .send = send, .space = space,
    .pointer = pointer, .is_absolute = is_absolute, .leds = leds, .listen = listen,
    .unlisten = unlisten, .release_all = release_all, .key_code = key_code, .key_name = key_name,
    .each = each, .select = select_pointer, .language = language, .set_language = set_language,
};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-hub`: several back ends behind one front end. What the guest sends goes to all that are
 * there; what any of them sends goes to the guest. It is open while one of them is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/chardev.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
static const struct bp_import imports[] = {BP_IMPORT(chardev, "chardev", 1), {0}};

#define MOST 4u

struct leg { /* one of them, as its front end */
    struct hub *hub;
    struct bp_chardev *chr;
    bool open;
};

struct hub {
    char *names[MOST];
    struct bp_chardev *self;
    struct leg legs[MOST];
    unsigned count;
};

static size_t leg_can_read(void *opaque)
{
    return chardev->can_read(((struct leg *)opaque)->hub->self);
}

static void leg_read(void *opaque, const uint8_t *buf, size_t len)
{
    chardev->received(((struct leg *)opaque)->hub->self, buf, len);
}

static bool any_open(const struct hub *hub)
{
    for (unsigned i = 0; i < hub->count; i++) {
        if (hub->legs[i].open)
            return true;
    }
    return false;
}

static void leg_event(void *opaque, enum bp_chardev_event event)
{
    struct leg *leg = opaque;
    struct hub *hub = leg->hub;

    if (event == BP_CHARDEV_BREAK)
        chardev->received_break(hub->self);
    if (event != BP_CHARDEV_OPENED && event != BP_CHARDEV_CLOSED)
        return;
    leg->open = event == BP_CHARDEV_OPENED;
    if (any_open(hub))
        chardev->opened(hub->self);
    else
        chardev->closed(hub->self);
}

static const struct bp_chardev_handlers handlers = {
    .size = sizeof(handlers), .can_read = leg_can_read, .read = leg_read, .event = leg_event};

/* Each has its buffer of the framework's. Who does not read for so long that it is full loses what comes, as the others
 * and the guest go on. */
static int hub_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct hub *hub = chardev->state(chr);

    for (unsigned i = 0; i < hub->count; i++) {
        if (hub->legs[i].open)
            chardev->write(hub->legs[i].chr, buf, len, &hub->legs[i]);
    }
    return (int)len;
}

static void hub_accept_input(struct bp_chardev *chr)
{
    struct hub *hub = chardev->state(chr);

    for (unsigned i = 0; i < hub->count; i++)
        chardev->accept_input(hub->legs[i].chr, &hub->legs[i]);
}

static void hub_close(struct bp_chardev *chr)
{
    struct hub *hub = chardev->state(chr);

    while (hub->count > 0) {
        struct leg *leg = &hub->legs[--hub->count];

        if (chardev->find(hub->names[hub->count]) == leg->chr)
            chardev->disconnect(leg->chr, leg);
    }
}

static int add_leg(struct hub *hub, const char *name, struct bp_error *err)
{
    struct leg *leg = &hub->legs[hub->count];
    int r;

    leg->hub = hub;
    leg->chr = chardev->find(name);
    if (!leg->chr || leg->chr == hub->self)
        return bp_fail(err, ENOENT, "chardev: hub: there is no other chardev '%s'; it is made before the hub", name);
    hub->count++; /* it may be open at once */
    r = chardev->connect(leg->chr, &handlers, leg, err);
    if (r < 0)
        hub->count--;
    return r;
}

static int hub_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct hub *hub = chardev->state(chr);
    int r = 0;

    hub->self = chr;
    for (unsigned i = 0; i < MOST && r == 0; i++) {
        if (hub->names[i] && i > hub->count)
            r = bp_fail(err, EINVAL, "chardev: hub: 'chardevs.%u' is missing, and 'chardevs.%u' given", hub->count, i);
        else if (hub->names[i])
            r = add_leg(hub, hub->names[i], err);
    }
    if (r == 0 && hub->count == 0)
        r = bp_fail(err, EINVAL, "chardev: hub: no chardevs given: chardevs.0=ID, to chardevs.%u=ID", MOST - 1);
    if (r < 0)
        hub_close(chr);
    return r;
}

static const struct bp_field props[] = {
    BP_PROP("chardevs.0", STRING, struct hub, names[0], NULL, "id of a back end"),
    BP_PROP("chardevs.1", STRING, struct hub, names[1], NULL, "id of a second one"),
    BP_PROP("chardevs.2", STRING, struct hub, names[2], NULL, "id of a third one"),
    BP_PROP("chardevs.3", STRING, struct hub, names[3], NULL, "id of a fourth one"), BP_FIELDS_END};
BP_CHARDEV(hub_class, "hub", "Several back ends as one", struct hub, props, .open = hub_open, .close = hub_close,
           .write = hub_write, .accept_input = hub_accept_input);
BP_MODULE("chardev-hub", "Several character devices as one", imports, {BP_PROVIDE_OTHER, &hub_class});

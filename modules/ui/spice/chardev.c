/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-spice`: character devices whose other side is a SPICE client. spicevmc is a channel that the library
 * knows (the guest's agent, USB redirection, a smart card), there while the guest has it open; spiceport is one that
 * clients find by its name. The library works in the main loop: what comes from elsewhere waits in a ring.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <spice.h>
#include <spice/protocol.h>

#include <bp/host/chardev.h>
#include <bp/host/spice.h>
#include <bp/log.h>
#include <bp/loop.h>

BP_USE(chardev, struct bp_chardev_interface, "chardev", 1);
BP_USE(spice, struct bp_spice_interface, "spice", 1);
static const struct bp_import imports[] = {BP_IMPORT_MINOR(chardev, "chardev", 1, 1), BP_IMPORT(spice, "spice", 1),
                                           {0}};

#define RING 32768u /* bytes on their way to the client */

struct channel {
    char *name;
    uint32_t debug;
    struct bp_chardev *chr;
    SpiceCharDeviceInstance instance;
    bool port, added, wanted, given; /* wanted: by the guest; given: to the server, which may not be there yet */
    uint8_t ring[RING];
    unsigned start, count;
    struct bp_deferred *work;
    bool drained; /* there is room again */
};

static struct channel *of(SpiceCharDeviceInstance *instance)
{
    return (struct channel *)(void *)((char *)instance - offsetof(struct channel, instance));
}

/* ---- what the library calls ---- */

static void state(SpiceCharDeviceInstance *instance, int connected)
{
    struct channel *c = of(instance);

    if (connected && !chardev->is_open(c->chr))
        chardev->opened(c->chr);
    else if (!connected && chardev->is_open(c->chr))
        chardev->closed(c->chr);
}

static int take(SpiceCharDeviceInstance *instance, const uint8_t *data, int length)
{
    struct channel *c = of(instance);
    size_t n = chardev->can_read(c->chr);

    if (length <= 0)
        return 0;
    if (c->debug)
        bp_log(BP_LOG_TRACE, "%s: the client has %d bytes, the guest takes %zu\n", c->name, length, n);
    n = n < (size_t)length ? n : (size_t)length;
    if (n)
        chardev->received(c->chr, data, n);
    return (int)n;
}

static int give(SpiceCharDeviceInstance *instance, uint8_t *data, int length)
{
    struct channel *c = of(instance);
    unsigned n = length < 0 ? 0 : (unsigned)length < c->count ? (unsigned)length : c->count;

    for (unsigned i = 0; i < n; i++)
        data[i] = c->ring[(c->start + i) % RING];
    c->start = (c->start + n) % RING;
    c->count -= n;
    if (n && c->debug)
        bp_log(BP_LOG_TRACE, "%s: %u bytes of the guest's are sent\n", c->name, n);
    if (n) {
        c->drained = true;
        bp_deferred_schedule(c->work);
    }
    return (int)n;
}

static void port_event(SpiceCharDeviceInstance *instance, uint8_t event)
{
    if (event == SPICE_PORT_EVENT_BREAK)
        chardev->received_break(of(instance)->chr);
    else if (event == SPICE_PORT_EVENT_OPENED || event == SPICE_PORT_EVENT_CLOSED)
        state(instance, event == SPICE_PORT_EVENT_OPENED);
}

static const SpiceCharDeviceInterface interface = {
    .base = {SPICE_INTERFACE_CHAR_DEVICE, "character device", SPICE_INTERFACE_CHAR_DEVICE_MAJOR,
             SPICE_INTERFACE_CHAR_DEVICE_MINOR},
    .state = state, .write = take, .read = give, .event = port_event, .flags = SPICE_CHAR_DEVICE_NOTIFY_WRITABLE};

/* ---- the main loop ---- */

static void added(void *opaque)
{
    struct channel *c = opaque;

    c->added = true;
    if (c->port && c->wanted)
        spice_server_port_event(&c->instance, SPICE_PORT_EVENT_OPENED);
    bp_deferred_schedule(c->work);
}

static void take_away(struct channel *c)
{
    if (c->given)
        spice->remove(&c->instance);
    c->given = c->added = false;
    c->start = c->count = 0;
}

static void work(void *opaque)
{
    struct channel *c = opaque;

    if (!c->port && c->wanted && !c->given) {
        c->given = true;
        if (spice->add(&c->instance, added, c, NULL) < 0)
            c->given = false;
    } else if (!c->port && !c->wanted && c->given) {
        take_away(c);
        if (chardev->is_open(c->chr))
            chardev->closed(c->chr);
    }
    if (c->added)
        spice_server_char_device_wakeup(&c->instance);
    if (c->drained) {
        c->drained = false;
        chardev->writable(c->chr);
    }
}

/* ---- what the framework calls ---- */

static int channel_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct channel *c = chardev->state(chr);
    size_t n = len < RING - c->count ? len : RING - c->count;

    for (size_t i = 0; i < n; i++)
        c->ring[(c->start + c->count + i) % RING] = buf[i];
    c->count += (unsigned)n;
    bp_deferred_schedule(c->work);
    return (int)n;
}

static void channel_accept(struct bp_chardev *chr)
{
    struct channel *c = chardev->state(chr);

    bp_deferred_schedule(c->work);
}

static void channel_front(struct bp_chardev *chr, bool open)
{
    struct channel *c = chardev->state(chr);

    if (c->wanted == open)
        return;
    c->wanted = open;
    if (c->port && c->added)
        spice_server_port_event(&c->instance, open ? SPICE_PORT_EVENT_OPENED : SPICE_PORT_EVENT_CLOSED);
    bp_deferred_schedule(c->work);
}

static void channel_close(struct bp_chardev *chr)
{
    struct channel *c = chardev->state(chr);

    take_away(c);
    bp_deferred_free(c->work);
    c->work = NULL;
}

static int begin(struct bp_chardev *chr, const char *kind, bool port, struct bp_error *err)
{
    struct channel *c = chardev->state(chr);

    if (!spice->is_asked())
        return bp_fail(err, ENODEV, "chardev %s needs a SPICE server: add -spice", kind);
    if (!c->name || !*c->name)
        return bp_fail(err, EINVAL, "chardev %s: key 'name' is missing: %s", kind,
                       port ? "what clients find it by, such as org.example.port.0"
                            : "vdagent, usbredir or smartcard");
    c->chr = chr;
    c->port = port;
    c->instance.base.sif = &interface.base;
    c->instance.subtype = port ? "port" : c->name;
    c->instance.portname = port ? c->name : NULL;
    c->work = bp_deferred_new(NULL, NULL, work, c);
    return 0;
}

static int vmc_open(struct bp_chardev *chr, struct bp_error *err)
{
    const struct channel *c = chardev->state(chr);
    const char **known = spice_server_char_device_recognized_subtypes();
    bool found = !c->name;

    for (; !found && *known; known++)
        found = !strcmp(*known, c->name) && strcmp(*known, "port") != 0;
    if (!found)
        return bp_fail(err, EINVAL, "chardev spicevmc: key 'name' must be vdagent, usbredir or smartcard, not '%.60s'",
                       c->name);
    return begin(chr, "spicevmc", false, err);
}

static int port_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct channel *c = chardev->state(chr);
    int r = begin(chr, "spiceport", true, err);

    if (r < 0)
        return r;
    r = spice->add(&c->instance, added, c, err);
    c->given = r == 0;
    if (r < 0)
        channel_close(chr);
    return r;
}

#define DEBUG BP_PROP("debug", UINT32, struct channel, debug, "0", "more than 0: -d trace:* logs how many bytes pass")
static const struct bp_field vmc_props[] = {
    BP_PROP("name", STRING, struct channel, name, NULL, "vdagent, usbredir or smartcard"), DEBUG, BP_FIELDS_END};
static const struct bp_field port_props[] = {
    BP_PROP("name", STRING, struct channel, name, NULL, "what clients find it by: org.example.port.0"), DEBUG,
    BP_FIELDS_END};
BP_CHARDEV(vmc_class, "spicevmc", "Channel of the SPICE server: the guest's agent, USB, a smart card", struct channel,
           vmc_props, .open = vmc_open, .close = channel_close, .write = channel_write, .accept_input = channel_accept,
           .front_open = channel_front);
BP_CHARDEV(port_class, "spiceport", "Port that SPICE clients find by its name", struct channel, port_props,
           .open = port_open, .close = channel_close, .write = channel_write, .accept_input = channel_accept,
           .front_open = channel_front);
BP_MODULE("chardev-spice", "Character devices over SPICE", imports, {BP_PROVIDE_OTHER, &vmc_class},
          {BP_PROVIDE_OTHER, &port_class});

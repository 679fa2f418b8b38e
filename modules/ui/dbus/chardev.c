/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* -chardev dbus: interface org.qemu.Display1.Chardev. Who registers a socket has the other side, until the next one. */
#define BP_SHARED
#include "dbus-display.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bp/option.h>

#define chardev (*dbus_display_chardev)

struct channel {
    char *name;
    struct bp_chardev *chr;
    struct dbus_thing thing;
    struct bp_watch *watch;
    int fd;
    bool front, echo, stuck; /* stuck: bytes wait to be written */
    char owner[256];         /* a bus name: D-Bus Specification, "Valid names" */
};

static void changed(const struct channel *c, const char *property)
{
    dbus_thing_changed(&c->thing, DBUS_NAME "Chardev", property);
}

static void set_owner(struct channel *c, const char *owner)
{
    snprintf(c->owner, sizeof(c->owner), "%s", owner ? owner : "");
    changed(c, "Owner");
}

static void hang_up(struct channel *c)
{
    if (c->fd < 0)
        return;
    bp_watch_free(c->watch);
    c->watch = NULL;
    close(c->fd);
    c->fd = -1;
    set_owner(c, NULL);
    chardev->closed(c->chr);
}

static void arm(struct channel *c)
{
    if (c->fd >= 0)
        bp_watch_set(c->watch, (chardev->can_read(c->chr) ? BP_WATCH_IN : 0) | (c->stuck ? BP_WATCH_OUT : 0));
}

static void take(struct channel *c, bool ended)
{
    uint8_t data[4096];
    size_t room = chardev->can_read(c->chr);
    ssize_t n;

    if (!room && !ended)
        return;
    if (!room) { /* what nobody takes is lost with who sent it */
        hang_up(c);
        return;
    }
    n = recv(c->fd, data, room < sizeof(data) ? room : sizeof(data), MSG_DONTWAIT);
    if (n > 0)
        chardev->received(c->chr, data, (size_t)n);
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        hang_up(c);
}

static void ready(void *opaque, unsigned events)
{
    struct channel *c = opaque;

    if (events & BP_WATCH_OUT) {
        c->stuck = false;
        chardev->writable(c->chr);
    }
    if (c->fd >= 0 && events & (BP_WATCH_IN | BP_WATCH_HUP))
        take(c, events & BP_WATCH_HUP);
    arm(c);
}

/* ---- methods and properties ---- */

static int register_stream(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct channel *c = opaque;
    int fd = dbus_take_socket(m, error);

    if (fd < 0)
        return fd;
    hang_up(c);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    c->fd = fd;
    c->stuck = false;
    c->watch = bp_watch_new(NULL, bp_context_main(NULL), fd, 0, ready, c);
    set_owner(c, sd_bus_message_get_sender(m));
    chardev->opened(c->chr);
    arm(c);
    return sd_bus_reply_method_return(m, NULL);
}

static int send_break(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct channel *c = opaque;

    (void)error;
    chardev->received_break(c->chr);
    return sd_bus_reply_method_return(m, NULL);
}

DBUS_GETTER(text)
{
    const struct channel *c = opaque;

    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "s", strcmp(property, "Name") != 0 ? c->owner : c->name ? c->name : "");
}

DBUS_GETTER(flag)
{
    const struct channel *c = opaque;

    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "b", (int)(strcmp(property, "Echo") != 0 ? c->front : c->echo));
}

DBUS_GETTER(no_more_interfaces)
{
    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "as", 0);
}

extern const sd_bus_vtable dbus_chardev_table[];
const sd_bus_vtable dbus_chardev_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("Register", SD_BUS_ARGS("h", stream), SD_BUS_NO_RESULT, register_stream,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SendBreak", SD_BUS_NO_ARGS, SD_BUS_NO_RESULT, send_break, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Name", "s", text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("FEOpened", "b", flag, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Echo", "b", flag, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Owner", "s", text, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Interfaces", "as", no_more_interfaces, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END};
static const struct dbus_thing_interface interfaces[] = {{DBUS_NAME "Chardev", dbus_chardev_table}, {NULL, NULL}};

/* ---- what the framework calls ---- */

static int channel_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct channel *c = chardev->state(chr);
    const char *id = bp_object_id(bp_object_of_state(c));

    if (!bp_option_given("display", "type", "dbus"))
        return bp_fail(err, ENODEV, "chardev dbus needs -display dbus");
    c->chr = chr;
    c->fd = -1;
    c->thing.interfaces = interfaces;
    c->thing.opaque = c;
    snprintf(c->thing.path, sizeof(c->thing.path), DBUS_ROOT "/Chardev_%.120s", id);
    for (char *p = c->thing.path + strlen(DBUS_ROOT "/"); *p; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    return dbus_thing_add(&c->thing, err);
}

static void channel_close(struct bp_chardev *chr)
{
    struct channel *c = chardev->state(chr);

    hang_up(c);
    dbus_thing_remove(&c->thing);
}

static int channel_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct channel *c = chardev->state(chr);
    ssize_t n;

    if (c->fd < 0)
        return (int)len; /* nobody hears it */
    n = send(c->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR)
        return (int)len; /* its end is noticed by reading */
    if (n < (ssize_t)len) {
        c->stuck = true;
        arm(c);
    }
    return n < 0 ? 0 : (int)n;
}

static void channel_accept(struct bp_chardev *chr)
{
    arm(chardev->state(chr));
}

static void channel_front(struct bp_chardev *chr, bool open)
{
    struct channel *c = chardev->state(chr);

    if (c->front == open)
        return;
    c->front = open;
    changed(c, "FEOpened");
}

static void channel_echo(struct bp_chardev *chr, bool echo)
{
    struct channel *c = chardev->state(chr);

    if (c->echo == echo)
        return;
    c->echo = echo;
    changed(c, "Echo");
}

static const struct bp_field props[] = {
    BP_PROP("name", STRING, struct channel, name, NULL, "what programs know it by: org.example.console.serial.0"),
    BP_FIELDS_END};
BP_CHARDEV(dbus_chardev_class, "dbus", "Programs on D-Bus that register a socket", struct channel, props,
           .open = channel_open, .close = channel_close, .write = channel_write, .accept_input = channel_accept,
           .set_echo = channel_echo, .front_open = channel_front);

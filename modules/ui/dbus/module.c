/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-dbus`: -display dbus, the machine's screens, keyboard and pointer for other programs, on a message bus or
 * on connections that they pass. It follows the D-Bus Specification 0.38 by libsystemd, and the published interfaces
 * org.qemu.Display1; DMABUF scan-outs are left out.
 */
#define BP_SHARED
#include "dbus-display.h"
#include "egl.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/command.h>
#include <bp/log.h>

BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
BP_USE(chardev_import, struct bp_chardev_interface, "chardev", 1);
BP_USE(audio_import, struct bp_audio_interface, "audio", 1);
BP_USE(clipboard_import, struct bp_clipboard_interface, "clipboard", 1);
const struct bp_display_interface *const *const dbus_display_screens = &display_import;
const struct bp_input_interface *const *const dbus_display_input = &input_import;
const struct bp_chardev_interface *const *const dbus_display_chardev = &chardev_import;
const struct bp_clipboard_interface *const *const dbus_display_clipboard = &clipboard_import;
static const struct bp_import imports[] = {BP_IMPORT_MINOR(display_import, "display", 1, 2),
                                           BP_IMPORT(input_import, "input", 1),
                                           BP_IMPORT_MINOR(chardev_import, "chardev", 1, 1),
                                           BP_IMPORT(audio_import, "audio", 1),
                                           BP_IMPORT(clipboard_import, "clipboard", 1), {0}};

#define PEERS_MOST 16u
#define ANSWER_US 10000000u /* how long the bus may take at the start */

enum { GL_OFF, GL_ON, GL_CORE, GL_ES };
static const char *const gl_choices[] = {"off", "on", "core", "es", NULL};
static const struct bp_schema gl_schema = {.name = "DisplayGLMode", .kind = BP_KIND_ENUM, .choices = gl_choices};

struct dbus_display {
    char *address, *audiodev;
    bool p2p;
    int gl;
    struct dbus_link *bus;
    const struct egl_interface *egl; /* that draws; NULL: none does */
};

struct peer {
    struct peer *next;
    struct dbus_link *link;
};

static struct dbus_display *the_display;
static struct peer *peers;
static unsigned peer_count;

/* ---- the bus ---- */

static void bus_gone(void *opaque)
{
    struct dbus_display *d = opaque;

    bp_warn("-display dbus: the message bus is gone; the screen is offered on it no more");
    dbus_clipboard_gone(dbus_link_bus(d->bus));
    dbus_things_withdraw(d->bus);
    dbus_link_free(d->bus);
    d->bus = NULL;
    dbus_consoles_release();
}

/* Without an address: the session's. */
static int connect_bus(const char *address, sd_bus **ret_bus)
{
    int r;

    if (!address)
        return sd_bus_open_user(ret_bus);
    r = sd_bus_new(ret_bus);
    if (r >= 0)
        r = sd_bus_set_address(*ret_bus, address);
    if (r >= 0)
        r = sd_bus_set_bus_client(*ret_bus, 1);
    return r < 0 ? r : sd_bus_start(*ret_bus);
}

static const struct dbus_link_ops bus_ops = {.ready = NULL, .gone = bus_gone};

static int open_bus(struct dbus_display *d, struct bp_error *err)
{
    sd_bus *bus = NULL;
    int r = connect_bus(d->address, &bus);

    if (r >= 0)
        r = sd_bus_set_method_call_timeout(bus, ANSWER_US);
    if (r >= 0) {
        d->bus = dbus_link_new(bus, &bus_ops, d);
        r = dbus_things_offer(d->bus, err);
        if (r < 0)
            return r;
        r = sd_bus_request_name(bus, "org.qemu", SD_BUS_NAME_QUEUE);
    } else {
        sd_bus_close_unref(bus);
    }
    if (r >= 0)
        return 0;
    if (d->address)
        return bp_fail(err, EINVAL, "key 'addr': no message bus answers at '%.120s': %s", d->address, strerror(-r));
    return bp_fail(err, ENODEV, "there is no message bus of a session here (%s): give addr=ADDRESS, or p2p=yes",
                   strerror(-r));
}

/* ---- peers ---- */

static void peer_gone(void *opaque)
{
    struct peer **at = &peers, *p = opaque;

    while (*at != p)
        at = &(*at)->next;
    *at = p->next;
    peer_count--;
    if (dbus_link_bus(p->link))
        dbus_clipboard_gone(dbus_link_bus(p->link));
    dbus_things_withdraw(p->link);
    dbus_link_free(p->link);
    free(p);
    dbus_consoles_release();
}

static void peer_ready(void *opaque)
{
    dbus_things_offer(((struct peer *)opaque)->link, NULL); /* without it, it finds nothing */
}

static const struct dbus_link_ops peer_ops = {.ready = peer_ready, .gone = peer_gone};

static int add_peer(int fd, bool skip_auth, bool tls, struct bp_error *err)
{
    struct peer *p;

    (void)skip_auth; /* who it is says the socket */
    if (!the_display || !the_display->p2p || tls || peer_count >= PEERS_MOST) {
        close(fd);
        return !the_display || !the_display->p2p
                   ? bp_fail_class(err, BP_ERROR_DEVICE_NOT_ACTIVE, ENODEV, "there is no -display dbus,p2p=yes")
               : tls ? bp_fail(err, ENOTSUP, "D-Bus peers have no TLS; use tls=false")
                     : bp_fail(err, EBUSY, "-display dbus has %u peers, which is the most", PEERS_MOST);
    }
    p = bp_alloc(sizeof(*p));
    p->link = dbus_link_peer(fd, &peer_ops, p);
    p->next = peers;
    peers = p;
    peer_count++;
    return 0;
}

static const struct bp_client_server server = {.size = sizeof(server), .protocol = "@dbus-display", .add = add_peer};

/* ---- the display ---- */

static void display_close(struct bp_object *obj)
{
    struct dbus_display *d = bp_object_state(obj);

    if (the_display != d)
        return;
    dbus_audio_withdraw();
    dbus_clipboard_close();
    dbus_consoles_close();
    if (d->egl)
        d->egl->stop();
    d->egl = NULL;
    while (peers)
        peer_gone(peers);
    if (d->bus)
        dbus_things_withdraw(d->bus);
    dbus_link_free(d->bus);
    d->bus = NULL;
    the_display = NULL;
}

static int find_sound(const struct dbus_display *d, struct bp_error *err)
{
    struct bp_object *audiodev;
    char path[200];

    if (!d->audiodev)
        return 0;
    snprintf(path, sizeof(path), "/audiodevs/%.150s", d->audiodev);
    audiodev = bp_object_resolve(path, NULL, NULL);
    if (!audiodev)
        return bp_fail(err, ENOENT, "key 'audiodev': there is no -audiodev with the id '%.80s'", d->audiodev);
    return dbus_audio_offer(audiodev, err);
}

/* What it draws goes to viewers in messages, as other pictures do. */
static int start_opengl(struct dbus_display *d, struct bp_error *err)
{
    static const enum opengl_api apis[] = {OPENGL_ANY, OPENGL_ANY, OPENGL_CORE, OPENGL_ES};
    const void *table = NULL;
    int r;

    if (d->gl == GL_OFF)
        return 0;
    r = bp_interface_require("egl", 1, &table, err);
    if (r == 0)
        r = ((const struct egl_interface *)table)->start("-display dbus", NULL, apis[d->gl], err);
    if (r < 0) {
        bp_error_prefix(err, "key 'gl'");
        return r;
    }
    d->egl = table;
    return 0;
}

static int display_open(struct bp_object *obj, struct bp_error *err)
{
    struct dbus_display *d = bp_object_state(obj);
    struct bp_machine *machine = bp_command_machine();
    int r;

    if (the_display)
        return bp_fail(err, EBUSY, "the display is on D-Bus already; -display dbus is given once");
    if (d->p2p && d->address)
        return bp_fail(err, EINVAL, "key 'addr' names a message bus, and with p2p=yes there is none: give one of them");
    if (!machine)
        return bp_fail(err, ENODEV, "there is no machine whose screen could be shown");
    the_display = d;
    r = start_opengl(d, err);
    if (r == 0)
        r = dbus_consoles_open(machine, err);
    if (r == 0)
        r = dbus_clipboard_open(err);
    if (r == 0)
        r = find_sound(d, err);
    if (r == 0 && !d->p2p)
        r = open_bus(d, err);
    if (r < 0)
        display_close(obj);
    return r;
}

static const struct bp_field props[] = {
    BP_PROP("addr", STRING, struct dbus_display, address, NULL,
            "the message bus, as D-Bus writes addresses; without it the session's"),
    BP_PROP("p2p", BOOL, struct dbus_display, p2p, "no", "no bus: peers come by QMP's add_client"),
    BP_PROP_ENUM("gl", &gl_schema, struct dbus_display, gl, "off",
                 "pictures are drawn by OpenGL, its core profile, or OpenGL ES"),
    BP_PROP("audiodev", STRING, struct dbus_display, audiodev, NULL, "id of the -audiodev dbus whose sound is offered"),
    BP_FIELDS_END};
BP_DISPLAY(dbus_display_class, "dbus", "Other programs, over D-Bus", struct dbus_display, props, .open = display_open,
           .close = display_close);

static int begin(struct bp_error *err)
{
    (void)err;
    display_import->client_server(&server);
    return 0;
}

BP_MODULE_WITH_INIT("ui-dbus", "Display, sound and character devices over D-Bus", imports, begin,
                    {BP_PROVIDE_OTHER, &dbus_display_class}, {BP_PROVIDE_OTHER, &dbus_audio_class},
                    {BP_PROVIDE_OTHER, &dbus_chardev_class});

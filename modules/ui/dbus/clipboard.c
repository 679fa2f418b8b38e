/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Interface org.qemu.Display1.Clipboard, which both sides have: one client registers and is the clipboard's peer from
 * then on. Grabs have serial numbers, of each selection; a lower one than the newest has crossed it and is void. Beside
 * text, images go by their MIME types.
 */
#include "dbus-display.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define clipboard (*dbus_display_clipboard)
#define TYPES BP_CLIPBOARD_TYPE_COUNT
#define NAME DBUS_NAME "Clipboard"
#define PATH DBUS_ROOT "/Clipboard"
#define ANSWER_US UINT64_C(10000000) /* how long the client may take */

static const char *const mimes[TYPES] = { /* by bit */
    "text/plain;charset=utf-8", "image/png", "image/bmp", "image/tiff", "image/jpeg"};

struct ask { /* of the client: what another peer wants */
    sd_bus_slot *slot;
    uint8_t selection, number;
};

/* Who has registered. */
static struct client {
    struct bp_clipboard_peer *peer; /* NULL: nobody */
    sd_bus *bus;
    sd_bus_track *track; /* on a bus: whether it is still there */
    char name[256];      /* on a bus; else "" */
    uint32_t serial[BP_CLIPBOARD_SELECTIONS];
    struct ask ask[BP_CLIPBOARD_SELECTIONS][TYPES];
    sd_bus_message *waits[BP_CLIPBOARD_SELECTIONS][TYPES]; /* its own requests */
} client;

static const char *destination(void)
{
    return *client.name ? client.name : NULL;
}

static void sent(void)
{
    struct dbus_link *link = dbus_things_link(client.bus);

    if (link)
        dbus_link_sent(link);
}

static uint32_t type_of(const char *mime)
{
    for (unsigned n = 0; n < TYPES; n++)
        if (!strcasecmp(mime, mimes[n]))
            return 1u << n;
    return 0;
}

/* ---- to the client ---- */

static void send_grab(unsigned selection, uint32_t types)
{
    sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_call(client.bus, &m, destination(), PATH, NAME, "Grab");

    if (r >= 0)
        r = sd_bus_message_append(m, "uu", selection, ++client.serial[selection]);
    if (r >= 0)
        r = sd_bus_message_open_container(m, 'a', "s");
    for (unsigned n = 0; n < TYPES && r >= 0; n++)
        if (types & 1u << n)
            r = sd_bus_message_append(m, "s", mimes[n]);
    if (r >= 0)
        r = sd_bus_message_close_container(m);
    if (r >= 0)
        r = sd_bus_message_set_expect_reply(m, 0);
    if (r >= 0)
        sd_bus_send(client.bus, m, NULL);
    sd_bus_message_unref(m);
    sent();
}

static void changed(void *opaque, unsigned selection, uint32_t types)
{
    (void)opaque;
    if (types) {
        send_grab(selection, types);
        return;
    }
    sd_bus_call_method_async(client.bus, NULL, destination(), PATH, NAME, "Release", NULL, NULL, "u", selection);
    sent();
}

/* The client's answer, or none. */
static int answered(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct ask *a = opaque;
    const void *data = NULL;
    const char *mime;
    size_t length = 0;

    (void)error;
    a->slot = sd_bus_slot_unref(a->slot);
    if (sd_bus_message_is_method_error(m, NULL) || sd_bus_message_read(m, "s", &mime) < 0 ||
        type_of(mime) != 1u << a->number || sd_bus_message_read_array(m, 'y', &data, &length) < 0)
        data = NULL;
    else if (!data)
        data = ""; /* an empty one */
    clipboard->give(client.peer, a->selection, 1u << a->number, data, length);
    return 0;
}

static void wanted(void *opaque, unsigned selection, uint32_t type)
{
    unsigned number = bp_clipboard_type_number(type);
    struct ask *a = &client.ask[selection][number];
    sd_bus_message *m = NULL;
    int r = sd_bus_message_new_method_call(client.bus, &m, destination(), PATH, NAME, "Request");

    (void)opaque;
    a->slot = sd_bus_slot_unref(a->slot);
    a->selection = (uint8_t)selection;
    a->number = (uint8_t)number;
    if (r >= 0)
        r = sd_bus_message_append(m, "uas", selection, 1, mimes[number]);
    if (r >= 0)
        r = sd_bus_call_async(client.bus, &a->slot, m, answered, a, ANSWER_US);
    sd_bus_message_unref(m);
    if (r < 0)
        clipboard->give(client.peer, selection, type, NULL, 0);
    sent();
}

static int reply(sd_bus_message *m, unsigned number, const void *data, size_t length)
{
    sd_bus_message *out = NULL;
    int r = sd_bus_message_new_method_return(m, &out);

    if (r >= 0)
        r = sd_bus_message_append(out, "s", mimes[number]);
    if (r >= 0)
        r = sd_bus_message_append_array(out, 'y', data, length);
    if (r >= 0)
        r = sd_bus_send(sd_bus_message_get_bus(m), out, NULL);
    sd_bus_message_unref(out);
    return r;
}

static void got(void *opaque, unsigned selection, uint32_t type, const void *data, size_t length)
{
    unsigned number = bp_clipboard_type_number(type);
    sd_bus_message *m = client.waits[selection][number];

    (void)opaque;
    client.waits[selection][number] = NULL;
    if (!m)
        return;
    if (!data || reply(m, number, data, length) < 0)
        sd_bus_reply_method_errorf(m, SD_BUS_ERROR_FAILED, "there is no such content");
    sd_bus_message_unref(m);
    sent();
}

static const struct bp_clipboard_ops ops = {
    .size = sizeof(ops), .name = "dbus", .changed = changed, .wanted = wanted, .got = got};

/* ---- who it is ---- */

static void let_go(void)
{
    struct bp_clipboard_peer *peer = client.peer;

    if (!peer)
        return;
    for (unsigned s = 0; s < BP_CLIPBOARD_SELECTIONS; s++) {
        for (unsigned n = 0; n < TYPES; n++) {
            sd_bus_slot_unref(client.ask[s][n].slot);
            if (client.waits[s][n])
                sd_bus_reply_method_errorf(client.waits[s][n], SD_BUS_ERROR_FAILED, "the session ended");
            sd_bus_message_unref(client.waits[s][n]);
        }
    }
    sd_bus_track_unref(client.track);
    client = (struct client){.peer = NULL};
    clipboard->leave(peer);
}

void dbus_clipboard_gone(sd_bus *bus)
{
    if (client.bus == bus)
        let_go();
}

static int vanished(sd_bus_track *track, void *opaque)
{
    (void)track;
    (void)opaque;
    let_go();
    return 0;
}

static bool is_client(sd_bus_message *m)
{
    const char *sender = sd_bus_message_get_sender(m);

    return client.peer && client.bus == sd_bus_message_get_bus(m) && !strcmp(client.name, sender ? sender : "");
}

static int check(sd_bus_message *m, sd_bus_error *error)
{
    return is_client(m) ? 0 : sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "the caller has not registered");
}

static int check_selection(uint32_t selection, sd_bus_error *error)
{
    return selection < BP_CLIPBOARD_SELECTIONS
               ? 0 : sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "selection %u is none of 0 to 2", selection);
}

/* The first argument of whoever has registered. */
static int read_selection(sd_bus_message *m, uint32_t *ret_selection, sd_bus_error *error)
{
    int r = check(m, error);

    if (r >= 0)
        r = sd_bus_message_read(m, "u", ret_selection);
    return r >= 0 ? check_selection(*ret_selection, error) : r;
}

/* ---- methods ---- */

static int watch(sd_bus_message *m)
{
    const char *sender = sd_bus_message_get_sender(m);
    int r = 0;

    client.bus = sd_bus_message_get_bus(m);
    snprintf(client.name, sizeof(client.name), "%s", sender ? sender : "");
    if (sender)
        r = sd_bus_track_new(client.bus, &client.track, vanished, NULL);
    return sender && r >= 0 ? sd_bus_track_add_sender(client.track, m) : r;
}

static int register_client(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct bp_error err = {0};
    int r;

    (void)opaque;
    if (client.peer && !is_client(m))
        return sd_bus_error_set(error, SD_BUS_ERROR_ACCESS_DENIED, "another client has registered for the clipboard");
    let_go(); /* who registers anew begins anew */
    if (clipboard->join(&ops, NULL, &client.peer, &err) < 0)
        return dbus_fail(error, &err);
    r = watch(m);
    if (r < 0) {
        let_go();
        return r;
    }
    r = sd_bus_reply_method_return(m, NULL);
    for (unsigned s = 0; r >= 0 && s < BP_CLIPBOARD_SELECTIONS; s++)
        if (clipboard->types(client.peer, s))
            send_grab(s, clipboard->types(client.peer, s));
    return r;
}

static int unregister_client(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    int r = check(m, error);

    (void)opaque;
    if (r < 0)
        return r;
    let_go();
    return sd_bus_reply_method_return(m, NULL);
}

/* The next argument, a list of MIME types, as a set of those that are known. */
static int read_types(sd_bus_message *m, uint32_t *ret_types)
{
    const char *mime;
    int r = sd_bus_message_enter_container(m, 'a', "s");

    *ret_types = 0;
    while (r >= 0 && (r = sd_bus_message_read(m, "s", &mime)) > 0)
        *ret_types |= type_of(mime);
    return r < 0 ? r : sd_bus_message_exit_container(m);
}

static int grab(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    uint32_t selection, serial, types;
    int r = read_selection(m, &selection, error);

    (void)opaque;
    if (r >= 0)
        r = sd_bus_message_read(m, "u", &serial);
    if (r >= 0)
        r = read_types(m, &types);
    if (r < 0)
        return r;
    if (serial >= client.serial[selection]) { /* when it is the same, the client is the owner */
        client.serial[selection] = serial;
        clipboard->grab(client.peer, selection, types);
    }
    return sd_bus_reply_method_return(m, NULL);
}

static int release(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    uint32_t selection;
    int r = read_selection(m, &selection, error);

    (void)opaque;
    if (r < 0)
        return r;
    clipboard->release(client.peer, selection);
    return sd_bus_reply_method_return(m, NULL);
}

static int request(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    uint32_t selection, types;
    unsigned n;
    int r = read_selection(m, &selection, error);

    (void)opaque;
    if (r >= 0)
        r = read_types(m, &types);
    if (r < 0)
        return r;
    types &= clipboard->types(client.peer, selection);
    if (!types)
        return sd_bus_error_set(error, SD_BUS_ERROR_FAILED, "nobody has such content");
    n = bp_clipboard_type_number(types); /* the first that there is */
    if (client.waits[selection][n])
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "that has been requested already");
    client.waits[selection][n] = sd_bus_message_ref(m);
    clipboard->request(client.peer, selection, 1u << n);
    return 1;
}

DBUS_GETTER(no_more_interfaces)
{
    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "as", 0);
}

const sd_bus_vtable dbus_clipboard_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Register", NULL, NULL, register_client, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD("Unregister", NULL, NULL, unregister_client, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Grab", SD_BUS_ARGS("u", selection, "u", serial, "as", mimes), SD_BUS_NO_RESULT, grab,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Release", SD_BUS_ARGS("u", selection), SD_BUS_NO_RESULT, release,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("Request", SD_BUS_ARGS("u", selection, "as", mimes),
                            SD_BUS_RESULT("s", reply_mime, "ay", data), request, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Interfaces", "as", no_more_interfaces, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END};
static const struct dbus_thing_interface interfaces[] = {{NAME, dbus_clipboard_table}, {NULL, NULL}};
static struct dbus_thing thing = {.path = PATH, .interfaces = interfaces, .opaque = &thing};

int dbus_clipboard_open(struct bp_error *err)
{
    return dbus_thing_add(&thing, err);
}

void dbus_clipboard_close(void)
{
    let_go();
    dbus_thing_remove(&thing);
}

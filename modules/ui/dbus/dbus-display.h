/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `ui-dbus`, inside. A link is a connection: the bus, or a peer that somebody passed. Things are what stands at
 * an object path below /org/qemu/Display1, on the bus and on every peer's link. All is [main] under the machine lock.
 */
#ifndef DBUS_DISPLAY_H
#define DBUS_DISPLAY_H

#include <systemd/sd-bus.h>

#include <bp/host/audio.h>
#include <bp/host/chardev.h>
#include <bp/host/clipboard.h>
#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>

#define DBUS_ROOT "/org/qemu/Display1"
#define DBUS_NAME "org.qemu.Display1."
#define DBUS_PATH_MAX 160u

extern const struct bp_display_interface *const *const dbus_display_screens;
extern const struct bp_input_interface *const *const dbus_display_input;
extern const struct bp_chardev_interface *const *const dbus_display_chardev;
extern const struct bp_clipboard_interface *const *const dbus_display_clipboard;

/* ---- links ---- */

struct dbus_link;

struct dbus_link_ops {
    void (*ready)(void *opaque); /* of a peer: it has said who it is; messages can be sent from now on */
    /* Once, from the main loop: the other side has left or takes nothing more. It frees the link. */
    void (*gone)(void *opaque);
};

/* `bus` is started, and owned from now on; `ops` is borrowed. */
struct dbus_link *dbus_link_new(sd_bus *bus, const struct dbus_link_ops *ops, void *opaque);
/* A peer on a connected stream socket, which is owned from now on. */
struct dbus_link *dbus_link_peer(int fd, const struct dbus_link_ops *ops, void *opaque);
void dbus_link_free(struct dbus_link *link); /* NULL is fine */
sd_bus *dbus_link_bus(const struct dbus_link *link); /* NULL: the peer is not ready */
/* Something was given to the library outside of its own callbacks. */
void dbus_link_sent(struct dbus_link *link);
/* Messages that wait for the other side to read. */
uint64_t dbus_link_waiting(const struct dbus_link *link);

/* How far a peer's proof of who it is has come; zeroed at first. */
struct dbus_auth {
    char line[1024];
    size_t count;
    unsigned tries;
    bool begun, asked, proven;
};
/* Takes what there is. 1: it has begun, nothing that comes behind was taken; 0: more is to come; negative: it ends. */
int dbus_auth_turn(struct dbus_auth *auth, int fd);
/* Such a connection as the library has it; `fd` stays the caller's. */
int dbus_auth_adopt(int fd, sd_bus **ret_bus);

/* A copy of the descriptor of a message's argument `h`, to own: a stream socket. Negative: an error for the caller. */
int dbus_take_socket(sd_bus_message *m, sd_bus_error *error);
/* A bp_error for the caller of a method. */
int dbus_fail(sd_bus_error *error, const struct bp_error *err);

/* A function that the library asks for a property's value; what such a one does not use. */
#define DBUS_GETTER(ident) \
    static int ident(sd_bus *bus, const char *path, const char *interface, const char *property, \
                     sd_bus_message *reply, void *opaque, sd_bus_error *error)
#define DBUS_GETTER_UNUSED (void)bus, (void)path, (void)interface, (void)property, (void)opaque, (void)error

/* ---- things ---- */

/* What stands at a path: its interfaces by name, each with a table of the library's. */
struct dbus_thing_interface {
    const char *name; /* "org.qemu.Display1.VM"; NULL ends the list */
    const sd_bus_vtable *table;
};
struct dbus_thing {
    struct dbus_thing *next;
    char path[DBUS_PATH_MAX];
    const struct dbus_thing_interface *interfaces;
    void *opaque; /* what the table's functions get */
};

/* `thing` is borrowed until dbus_thing_remove(). -EEXIST: its path is taken. */
int dbus_thing_add(struct dbus_thing *thing, struct bp_error *err);
void dbus_thing_remove(struct dbus_thing *thing); /* one that was not added is nothing */
/* Tells everybody that a property has another value. */
void dbus_thing_changed(const struct dbus_thing *thing, const char *interface, const char *property);
/* Offers all of them on a link, now and later. */
int dbus_things_offer(struct dbus_link *link, struct bp_error *err);
void dbus_things_withdraw(struct dbus_link *link);
struct dbus_link *dbus_things_link(const sd_bus *bus); /* NULL: it is no link on which they are offered */

/* ---- the machine's screens ---- */

struct dbus_listener;
struct dbus_console {
    struct dbus_console *next;
    struct dbus_thing thing;
    struct bp_machine *machine;
    struct bp_console *console;
    uint32_t id, width, height; /* 0 x 0: not known yet */
    uint32_t leds;
    bool absolute;
    struct dbus_listener *listeners;
    unsigned listener_count;
};

extern const sd_bus_vtable dbus_keyboard_table[], dbus_mouse_table[], dbus_touch_table[];

int dbus_consoles_open(struct bp_machine *machine, struct bp_error *err);
void dbus_consoles_close(void);
void dbus_consoles_release(void); /* all keys and buttons go up: who held them has left */
void dbus_console_size(struct dbus_console *c); /* finds out its size */
void dbus_console_resized(struct dbus_console *c, uint32_t width, uint32_t height);

/* `fd` as for dbus_link_peer(), after a failure too. */
int dbus_listener_new(struct dbus_console *c, int fd, struct bp_error *err);
void dbus_listener_free(struct dbus_listener *l);

/* ---- the clipboard ---- */

extern const sd_bus_vtable dbus_clipboard_table[];
int dbus_clipboard_open(struct bp_error *err);
void dbus_clipboard_close(void);
void dbus_clipboard_gone(sd_bus *bus); /* before a link is freed */

/* ---- sound and character devices ---- */

extern const struct bp_audiodev_class dbus_audio_class;
extern const struct bp_chardev_class dbus_chardev_class;
int dbus_audio_offer(struct bp_object *audiodev, struct bp_error *err);
void dbus_audio_withdraw(void);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Interface org.qemu.Display1.Console: a screen and who looks at it; and VM, which lists them. */
#include "dbus-display.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bp/bus/pci.h>
#include <bp/device.h>
#include <bp/exact/machine.h>
#include <bp/run.h>

#define screens (*dbus_display_screens)
#define input (*dbus_display_input)
#define LISTENERS_MOST 64u /* of a console */

static struct dbus_console *consoles;
static struct bp_machine *machine; /* whose they are */

/* ---- the machine ---- */

DBUS_GETTER(vm_name)
{
    const char *name = bp_machine_guest_name(machine);

    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "s", name ? name : "Backplane");
}

DBUS_GETTER(vm_uuid)
{
    const uint8_t *u = bp_machine_uuid(machine);
    char text[37], *to = text;

    DBUS_GETTER_UNUSED;
    for (unsigned i = 0; i < 16; i++)
        to += sprintf(to, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
    return sd_bus_message_append(reply, "s", text);
}

DBUS_GETTER(vm_consoles)
{
    int r = sd_bus_message_open_container(reply, 'a', "u");

    DBUS_GETTER_UNUSED;
    for (const struct dbus_console *c = consoles; c && r >= 0; c = c->next)
        r = sd_bus_message_append(reply, "u", c->id);
    return r < 0 ? r : sd_bus_message_close_container(reply);
}

/* No thing has more interfaces than those of its path. */
DBUS_GETTER(no_more_interfaces)
{
    DBUS_GETTER_UNUSED;
    return sd_bus_message_append(reply, "as", 0);
}

static const sd_bus_vtable vm_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_PROPERTY("Name", "s", vm_name, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("UUID", "s", vm_uuid, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("ConsoleIDs", "au", vm_consoles, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Interfaces", "as", no_more_interfaces, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END};
static const struct dbus_thing_interface vm_interfaces[] = {{DBUS_NAME "VM", vm_table}, {NULL, NULL}};
static struct dbus_thing vm = {.path = DBUS_ROOT "/VM", .interfaces = vm_interfaces, .opaque = &vm};

/* ---- a screen ---- */

void dbus_console_resized(struct dbus_console *c, uint32_t width, uint32_t height)
{
    bool known = c->width != 0, other_width = c->width != width, other_height = c->height != height;

    c->width = width;
    c->height = height;
    if (known && other_width)
        dbus_thing_changed(&c->thing, DBUS_NAME "Console", "Width");
    if (known && other_height)
        dbus_thing_changed(&c->thing, DBUS_NAME "Console", "Height");
}

static void ignore(void *opaque)
{
    (void)opaque;
}

/* Somebody asks while nobody looks: a look of our own. */
void dbus_console_size(struct dbus_console *c)
{
    static const struct bp_viewer_ops ops = {.size = sizeof(ops), .changed = ignore, .gone = ignore};
    struct bp_viewer *viewer;
    struct bp_frame *frame;

    if (c->listeners && c->width)
        return;
    if (screens->viewer_new(c->console, "dbus", 0, &ops, c, &viewer, NULL) < 0)
        return;
    frame = bp_alloc(sizeof(*frame));
    frame->size = sizeof(*frame);
    if (screens->pull(viewer, frame, NULL) == 0) {
        dbus_console_resized(c, frame->width, frame->height);
        screens->release(frame);
    }
    free(frame);
    screens->viewer_free(viewer);
}

static bool is_text(const struct dbus_console *c)
{
    return screens->console_flags(c->console) & BP_CONSOLE_TEXT;
}

DBUS_GETTER(console_text)
{
    const struct dbus_console *c = opaque;
    const struct bp_object *device = screens->console_device(c->console);

    DBUS_GETTER_UNUSED;
    if (!strcmp(property, "Type"))
        return sd_bus_message_append(reply, "s", is_text(c) ? "Text" : "Graphic");
    return sd_bus_message_append(reply, "s", is_text(c) ? bp_object_id(device) : bp_object_type(device));
}

DBUS_GETTER(console_number)
{
    struct dbus_console *c = opaque;

    DBUS_GETTER_UNUSED;
    if (!strcmp(property, "Head"))
        return sd_bus_message_append(reply, "u", screens->console_head(c->console));
    dbus_console_size(c);
    return sd_bus_message_append(reply, "u", !strcmp(property, "Width") ? c->width : c->height);
}

/* "pci/0000/02.0"; behind bridges each of them comes before: "pci/0000/04.0/01.0". */
static void pci_address(struct bp_device *dev, const struct bp_pci_interface *pci, char *text, size_t size)
{
    unsigned path[16], count = 0;
    struct bp_bus *bus;
    size_t at;

    for (bus = bp_device_bus(dev); bus && !strncmp(bp_bus_type(bus), "pci", 3) && count < BP_COUNT(path);
         bus = dev ? bp_device_bus(dev) : NULL) {
        path[count++] = pci->devfn(dev);
        dev = bp_bus_bridge(bus);
    }
    if (!count)
        return;
    at = (size_t)snprintf(text, size, "pci/0000");
    while (count-- && at + 6 < size)
        at += (size_t)snprintf(text + at, size - at, "/%02x.%x", path[count] >> 3 & 31, path[count] & 7);
}

DBUS_GETTER(console_address)
{
    const struct dbus_console *c = opaque;
    struct bp_device *dev = bp_device_from_object(screens->console_device(c->console));
    const void *pci;
    char text[128] = "";

    DBUS_GETTER_UNUSED;
    if (dev && bp_interface_require("pci", 1, &pci, NULL) == 0)
        pci_address(dev, pci, text, sizeof(text));
    return sd_bus_message_append(reply, "s", text);
}

static int register_listener(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_console *c = opaque;
    struct bp_error err = {0};
    int fd;

    if (c->listener_count >= LISTENERS_MOST)
        return sd_bus_error_set(error, SD_BUS_ERROR_LIMITS_EXCEEDED, "the console has 64 listeners");
    fd = dbus_take_socket(m, error);
    if (fd < 0)
        return fd;
    if (dbus_listener_new(c, fd, &err) < 0)
        return dbus_fail(error, &err);
    return sd_bus_reply_method_return(m, NULL);
}

static int set_ui_info(sd_bus_message *m, void *opaque, sd_bus_error *error)
{
    struct dbus_console *c = opaque;
    struct bp_ui_info info = {.size = sizeof(info)};
    struct bp_error err = {0};
    uint16_t width_mm, height_mm;
    int r = sd_bus_message_read(m, "qqiiuu", &width_mm, &height_mm, &info.x, &info.y, &info.width, &info.height);

    if (r < 0)
        return r;
    info.width_mm = width_mm;
    info.height_mm = height_mm;
    if (info.width > BP_DISPLAY_MAX || info.height > BP_DISPLAY_MAX)
        return sd_bus_error_setf(error, SD_BUS_ERROR_INVALID_ARGS, "no screen is larger than %u pixels",
                                 BP_DISPLAY_MAX);
    r = screens->request_size(c->console, &info, &err);
    if (r == -ENOTSUP)
        return sd_bus_error_set(error, SD_BUS_ERROR_NOT_SUPPORTED, err.message);
    return r < 0 ? dbus_fail(error, &err) : sd_bus_reply_method_return(m, NULL);
}

static const sd_bus_vtable console_table[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD_WITH_ARGS("RegisterListener", SD_BUS_ARGS("h", listener), SD_BUS_NO_RESULT, register_listener,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_METHOD_WITH_ARGS("SetUIInfo", SD_BUS_ARGS("q", width_mm, "q", height_mm, "i", xoff, "i", yoff, "u", width,
                                                     "u", height), SD_BUS_NO_RESULT, set_ui_info,
                            SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_PROPERTY("Label", "s", console_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Head", "u", console_number, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Type", "s", console_text, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Width", "u", console_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("Height", "u", console_number, 0, SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE),
    SD_BUS_PROPERTY("DeviceAddress", "s", console_address, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_PROPERTY("Interfaces", "as", no_more_interfaces, 0, SD_BUS_VTABLE_PROPERTY_CONST),
    SD_BUS_VTABLE_END};

static const struct dbus_thing_interface graphic_interfaces[] = {
    {DBUS_NAME "Console", console_table}, {DBUS_NAME "Keyboard", dbus_keyboard_table},
    {DBUS_NAME "Mouse", dbus_mouse_table}, {DBUS_NAME "MultiTouch", dbus_touch_table}, {NULL, NULL}};
static const struct dbus_thing_interface text_interfaces[] = {
    {DBUS_NAME "Console", console_table}, {DBUS_NAME "Keyboard", dbus_keyboard_table}, {NULL, NULL}};

/* ---- those that come and go ---- */

static bool id_is_taken(uint32_t id)
{
    for (const struct dbus_console *c = consoles; c; c = c->next)
        if (c->id == id)
            return true;
    return false;
}

static void add(struct bp_console *console)
{
    struct dbus_console **at = &consoles, *c = bp_alloc(sizeof(*c));

    c->machine = machine;
    c->console = console;
    c->id = screens->console_index(console);
    while (id_is_taken(c->id))
        c->id++;
    snprintf(c->thing.path, sizeof(c->thing.path), DBUS_ROOT "/Console_%u", c->id);
    c->thing.interfaces = is_text(c) ? text_interfaces : graphic_interfaces;
    c->thing.opaque = c;
    c->absolute = input->is_absolute(machine, console);
    c->leds = input->leds(machine, console);
    while (*at)
        at = &(*at)->next;
    *at = c;
    dbus_thing_add(&c->thing, NULL); /* the id is its own */
}

static void drop(struct dbus_console **at)
{
    struct dbus_console *c = *at;

    while (c->listeners)
        dbus_listener_free(c->listeners);
    *at = c->next;
    dbus_thing_remove(&c->thing);
    free(c);
}

static bool is_there(const struct bp_console *console)
{
    struct bp_console *other;

    for (unsigned n = 0; (other = screens->console_at(machine, n)); n++)
        if (other == console)
            return true;
    return false;
}

static bool is_known(const struct bp_console *console)
{
    for (const struct dbus_console *c = consoles; c; c = c->next)
        if (c->console == console)
            return true;
    return false;
}

static void look(void *opaque)
{
    struct bp_console *console;
    bool changed = false;

    (void)opaque;
    for (struct dbus_console **at = &consoles; *at;)
        if (is_there((*at)->console)) {
            at = &(*at)->next;
        } else {
            drop(at);
            changed = true;
        }
    for (unsigned n = 0; (console = screens->console_at(machine, n)); n++)
        if (!is_known(console)) {
            add(console);
            changed = true;
        }
    if (changed)
        dbus_thing_changed(&vm, DBUS_NAME "VM", "ConsoleIDs");
}

static void input_changed(void *opaque)
{
    (void)opaque;
    for (struct dbus_console *c = consoles; c; c = c->next) {
        bool absolute = input->is_absolute(machine, c->console);
        uint32_t leds = input->leds(machine, c->console);

        if (absolute != c->absolute && !is_text(c))
            dbus_thing_changed(&c->thing, DBUS_NAME "Mouse", "IsAbsolute");
        if (leds != c->leds)
            dbus_thing_changed(&c->thing, DBUS_NAME "Keyboard", "Modifiers");
        c->absolute = absolute;
        c->leds = leds;
    }
}

void dbus_consoles_release(void)
{
    for (const struct dbus_console *c = consoles; c; c = c->next)
        input->release_all(machine, c->console);
}

int dbus_consoles_open(struct bp_machine *of, struct bp_error *err)
{
    int r = dbus_thing_add(&vm, err);

    if (r < 0)
        return r;
    machine = of;
    look(NULL);
    screens->console_listen(look, &vm);
    input->listen(input_changed, &vm);
    return 0;
}

void dbus_consoles_close(void)
{
    screens->console_unlisten(look, &vm);
    input->unlisten(input_changed, &vm);
    while (consoles)
        drop(&consoles);
    dbus_thing_remove(&vm);
}

extern const sd_bus_vtable dbus_audio_table[], dbus_chardev_table[];
extern const struct dbus_thing_interface dbus_all_interfaces[];
const struct dbus_thing_interface dbus_all_interfaces[] = {
    {DBUS_NAME "VM", vm_table}, {DBUS_NAME "Console", console_table}, {DBUS_NAME "Keyboard", dbus_keyboard_table},
    {DBUS_NAME "Mouse", dbus_mouse_table}, {DBUS_NAME "MultiTouch", dbus_touch_table},
    {DBUS_NAME "Audio", dbus_audio_table}, {DBUS_NAME "Chardev", dbus_chardev_table},
    {DBUS_NAME "Clipboard", dbus_clipboard_table}, {NULL, NULL}};

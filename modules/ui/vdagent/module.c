/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-vdagent`: -chardev qemu-vdagent, for spice-vdagent in the guest without SPICE: it moves the guest's
 * pointer, and its clipboard is shared with those of viewers. What it follows is said in vdagent.h. Left out: sizes of
 * monitors, files, volumes of sound.
 */
#define BP_SHARED
#include "vdagent.h"

#include <string.h>

BP_USE(chardev_import, struct bp_chardev_interface, "chardev", 1);
BP_USE(input_import, struct bp_input_interface, "input", 1);
BP_USE(display_import, struct bp_display_interface, "display", 1);
BP_USE(clipboard_import, struct bp_clipboard_interface, "clipboard", 1);
const struct bp_chardev_interface *const *const vdagent_chardev = &chardev_import;
const struct bp_input_interface *const *const vdagent_input = &input_import;
const struct bp_display_interface *const *const vdagent_display = &display_import;
const struct bp_clipboard_interface *const *const vdagent_clipboard = &clipboard_import;
static const struct bp_import imports[] = {BP_IMPORT(chardev_import, "chardev", 1), BP_IMPORT(input_import, "input", 1),
                                           BP_IMPORT(display_import, "display", 1),
                                           BP_IMPORT(clipboard_import, "clipboard", 1), {0}};
#define chardev chardev_import
#define WAITING_MOST (2u * BP_CLIPBOARD_MAX) /* bytes: a guest that asks and does not read hears no more */

/* ---- to the guest ---- */

static void pump(void *opaque)
{
    struct vdagent *a = opaque;
    size_t n;

    while (wire_out_waiting(&a->out) && (n = chardev->can_read(a->chr)) > 0) {
        uint8_t part[4096];

        n = n < wire_out_waiting(&a->out) ? n : wire_out_waiting(&a->out);
        n = n < sizeof(part) ? n : sizeof(part);
        memcpy(part, a->out.bytes + a->out.start, n);
        a->out.start += n;
        chardev->received(a->chr, part, n);
    }
    if (wire_out_waiting(&a->out))
        return;
    wire_out_reset(&a->out);
    mouse_drained(a);
}

void vdagent_send(struct vdagent *a, unsigned port, uint32_t type, const void *first, size_t first_size,
                  const void *second, size_t second_size)
{
    if (wire_out_waiting(&a->out) > WAITING_MOST)
        return;
    wire_out_add(&a->out, port, type, first, first_size, second, second_size);
    bp_deferred_schedule(a->pump);
}

static void announce(struct vdagent *a, bool request)
{
    uint8_t message[8];
    uint32_t caps = 1u << CAP_REPLY;

    if (a->mouse)
        caps |= 1u << CAP_MOUSE_STATE;
    if (a->copies)
        caps |= 1u << CAP_CLIPBOARD_BY_DEMAND | 1u << CAP_CLIPBOARD_SELECTION | 1u << CAP_NO_RELEASE_ON_REGRAB;
    put_le32(message, request);
    put_le32(message + 4, caps);
    vdagent_send(a, PORT_CLIENT, ANNOUNCE_CAPABILITIES, message, sizeof(message), NULL, 0);
}

/* ---- from the guest ---- */

static void set_caps(struct vdagent *a, uint32_t caps)
{
    a->caps = caps;
    mouse_update(a);
    copy_update(a);
}

static void take(void *opaque, uint32_t type, const uint8_t *body, uint32_t size)
{
    struct vdagent *a = opaque;

    if (type != ANNOUNCE_CAPABILITIES) {
        copy_message(a, type, body, size);
        return;
    }
    if (!body || size < 8)
        return;
    if (get_le32(body))
        announce(a, false);
    set_caps(a, get_le32(body + 4));
}

static int vdagent_write(struct bp_chardev *chr, const uint8_t *buf, size_t len)
{
    struct vdagent *a = chardev->state(chr);

    wire_in_take(&a->in, buf, len);
    return (int)len;
}

/* The guest has opened its end: an agent begins; or it has left. */
static void vdagent_front(struct bp_chardev *chr, bool open)
{
    struct vdagent *a = chardev->state(chr);

    wire_in_reset(&a->in);
    wire_out_reset(&a->out);
    set_caps(a, 0);
    if (open)
        announce(a, true);
}

static void vdagent_accept(struct bp_chardev *chr)
{
    struct vdagent *a = chardev->state(chr);

    bp_deferred_schedule(a->pump);
}

/* ---- life ---- */

static int vdagent_open(struct bp_chardev *chr, struct bp_error *err)
{
    struct vdagent *a = chardev->state(chr);
    int r;

    a->chr = chr;
    a->in.message = take;
    a->in.opaque = a;
    r = copy_open(a, err);
    if (r < 0)
        return r;
    a->pump = bp_deferred_new(NULL, NULL, pump, a);
    chardev->opened(chr);
    return 0;
}

static void vdagent_close(struct bp_chardev *chr)
{
    struct vdagent *a = chardev->state(chr);

    mouse_close(a);
    copy_close(a);
    bp_deferred_free(a->pump);
    a->pump = NULL;
    wire_in_reset(&a->in);
    wire_out_reset(&a->out);
}

static const struct bp_field props[] = {
    BP_PROP("mouse", BOOL, struct vdagent, mouse, "on", "the agent moves the guest's pointer"),
    BP_PROP("clipboard", BOOL, struct vdagent, copies, "off", "viewers and the guest share their clipboards"),
    BP_FIELDS_END};
BP_CHARDEV(vdagent_class, "qemu-vdagent", "SPICE's agent in the guest: pointer and clipboard", struct vdagent, props,
           .open = vdagent_open, .close = vdagent_close, .write = vdagent_write, .accept_input = vdagent_accept,
           .front_open = vdagent_front);
BP_MODULE("chardev-vdagent", "SPICE's agent without SPICE", imports, {BP_PROVIDE_OTHER, &vdagent_class});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The agent's clipboard. With the capability of selections four bytes come first, the selection and three of nothing;
 * without it there is one, the clipboard. Grabs have no serial numbers (that capability is not ours): when two cross,
 * each side has the other for the owner, until somebody copies again, and a request finds nothing.
 */
#include "vdagent.h"

#include <stdlib.h>
#include <string.h>

#define clipboard (*vdagent_clipboard)
#define TYPES BP_CLIPBOARD_TYPE_COUNT /* VD_AGENT_CLIPBOARD_*: 1 is text; as bits they are those of the clipboard's */
#define WAITING_MOST (BP_CLIPBOARD_MAX + 65536u) /* bytes for a guest that does not read: then content is none */

static bool has_selections(const struct vdagent *a)
{
    return vdagent_can(a, CAP_CLIPBOARD_SELECTION);
}

static bool is_on(const struct vdagent *a)
{
    return a->copies && vdagent_can(a, CAP_CLIPBOARD_BY_DEMAND);
}

/* What begins each message but that of capabilities. Returns its bytes. */
static size_t begin(const struct vdagent *a, unsigned selection, uint8_t *to)
{
    if (!has_selections(a))
        return 0;
    memset(to, 0, 4);
    to[0] = (uint8_t)selection;
    return 4;
}

/* The agent's number of one type. */
static uint32_t number_of(uint32_t type)
{
    return bp_clipboard_type_number(type) + 1;
}

/* ---- what others have ---- */

static void send_grab(struct vdagent *a, unsigned selection, uint32_t types)
{
    uint8_t message[4 + 4 * TYPES];
    size_t n = begin(a, selection, message);

    for (unsigned i = 0; i < TYPES; i++) {
        if (!(types & 1u << i))
            continue;
        put_le32(message + n, i + 1);
        n += 4;
    }
    vdagent_send(a, PORT_CLIENT, CLIPBOARD_GRAB, message, n, NULL, 0);
}

static void changed(void *opaque, unsigned selection, uint32_t types)
{
    struct vdagent *a = opaque;
    uint8_t message[4];

    if (!is_on(a) || (selection != BP_CLIPBOARD_CLIPBOARD && !has_selections(a)))
        return;
    if (types)
        send_grab(a, selection, types);
    else
        vdagent_send(a, PORT_CLIENT, CLIPBOARD_RELEASE, message, begin(a, selection, message), NULL, 0);
}

static void got(void *opaque, unsigned selection, uint32_t type, const void *data, size_t length)
{
    struct vdagent *a = opaque;
    uint8_t message[8];
    size_t n = begin(a, selection, message);

    if (!(a->asked[selection] & type))
        return;
    a->asked[selection] &= ~type;
    if (data && wire_out_waiting(&a->out) + length > WAITING_MOST)
        data = NULL;
    put_le32(message + n, data ? number_of(type) : 0); /* VD_AGENT_CLIPBOARD_NONE */
    vdagent_send(a, PORT_CLIENT, CLIPBOARD, message, n + 4, data, data ? length : 0);
}

/* ---- what the guest has ---- */

static void wanted(void *opaque, unsigned selection, uint32_t type)
{
    struct vdagent *a = opaque;
    uint8_t message[8];
    size_t n = begin(a, selection, message);

    put_le32(message + n, number_of(type));
    vdagent_send(a, PORT_CLIENT, CLIPBOARD_REQUEST, message, n + 4, NULL, 0);
}

static void take_grab(struct vdagent *a, unsigned selection, const uint8_t *body, uint32_t size)
{
    uint32_t types = 0;

    for (; size >= 4; body += 4, size -= 4) {
        uint32_t type = get_le32(body);

        if (type >= 1 && type <= TYPES)
            types |= 1u << (type - 1);
    }
    clipboard->grab(a->peer, selection, types);
}

static void take_request(struct vdagent *a, unsigned selection, uint32_t type)
{
    if (type < 1 || type > TYPES || (a->asked[selection] & 1u << (type - 1)))
        return;
    a->asked[selection] |= 1u << (type - 1);
    clipboard->request(a->peer, selection, 1u << (type - 1));
}

static void take_content(struct vdagent *a, unsigned selection, const uint8_t *body, uint32_t size)
{
    uint32_t type = get_le32(body);

    if (type >= 1 && type <= TYPES) {
        clipboard->give(a->peer, selection, 1u << (type - 1), body + 4, size - 4);
        return;
    }
    for (unsigned i = 0; i < TYPES; i++)
        clipboard->give(a->peer, selection, 1u << i, NULL, 0);
}

void copy_message(struct vdagent *a, uint32_t type, const uint8_t *body, uint32_t size)
{
    unsigned selection = BP_CLIPBOARD_CLIPBOARD;

    if (!is_on(a))
        return;
    if (!body && type == CLIPBOARD) { /* too long: whose it was is not known */
        for (unsigned s = 0; s < BP_CLIPBOARD_SELECTIONS; s++)
            for (unsigned i = 0; i < TYPES; i++)
                clipboard->give(a->peer, s, 1u << i, NULL, 0);
        return;
    }
    if (has_selections(a)) {
        if (size < 4 || body[0] >= BP_CLIPBOARD_SELECTIONS)
            return;
        selection = body[0];
        body += 4;
        size -= 4;
    }
    if (type == CLIPBOARD_GRAB)
        take_grab(a, selection, body, size);
    else if (type == CLIPBOARD_RELEASE)
        clipboard->release(a->peer, selection);
    else if (type == CLIPBOARD_REQUEST && size >= 4)
        take_request(a, selection, get_le32(body));
    else if (type == CLIPBOARD && size >= 4)
        take_content(a, selection, body, size);
}

/* ---- life ---- */

static const struct bp_clipboard_ops ops = {
    .size = sizeof(ops), .name = "qemu-vdagent", .changed = changed, .wanted = wanted, .got = got};

int copy_open(struct vdagent *a, struct bp_error *err)
{
    return a->copies ? clipboard->join(&ops, a, &a->peer, err) : 0;
}

/* Another agent, or none: what the last one had is gone; the new one hears of what there is. */
void copy_update(struct vdagent *a)
{
    for (unsigned s = 0; a->peer && s < BP_CLIPBOARD_SELECTIONS; s++) {
        uint32_t types = clipboard->types(a->peer, s);

        a->asked[s] = 0;
        clipboard->release(a->peer, s);
        if (types)
            changed(a, s, types);
    }
}

void copy_close(struct vdagent *a)
{
    clipboard->leave(a->peer);
    a->peer = NULL;
}

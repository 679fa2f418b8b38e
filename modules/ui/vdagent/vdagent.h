/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Module `chardev-vdagent`, inside: the protocol of SPICE's agent as spice-protocol's vd_agent.h describes it. Numbers
 * are little-endian. A message goes in chunks of a port, each with a head of its own.
 */
#ifndef VDAGENT_H
#define VDAGENT_H

#include <bp/host/chardev.h>
#include <bp/host/clipboard.h>
#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/loop.h>

enum { PORT_CLIENT = 1, PORT_SERVER, PORT_END };
#define CHUNK_HEAD 8u    /* port, size */
#define CHUNK_MAX 2048u  /* VD_AGENT_MAX_DATA_SIZE: of ours; agents send larger ones */
#define MESSAGE_HEAD 20u /* protocol, type, opaque (8), size */
#define PROTOCOL 1u
#define MESSAGE_MAX (BP_CLIPBOARD_MAX + 64u)

enum message { /* VD_AGENT_* */
    MOUSE_STATE = 1, CLIPBOARD = 4, ANNOUNCE_CAPABILITIES = 6, CLIPBOARD_GRAB = 7, CLIPBOARD_REQUEST = 8,
    CLIPBOARD_RELEASE = 9,
};
enum capability { /* VD_AGENT_CAP_* */
    CAP_MOUSE_STATE = 0, CAP_MONITORS_CONFIG = 1, CAP_REPLY = 2, CAP_CLIPBOARD_BY_DEMAND = 5,
    CAP_CLIPBOARD_SELECTION = 6, CAP_NO_RELEASE_ON_REGRAB = 16,
};

static inline uint32_t get_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}
static inline void put_le32(uint8_t *p, uint32_t v)
{
    for (unsigned i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

/* ---- wire.c: messages out of bytes, and into them ---- */

/* Of a port: the message that is under way. */
struct wire_message {
    uint8_t head[MESSAGE_HEAD];
    unsigned have; /* of the head */
    uint8_t *body; /* owned */
    uint32_t size, got, room; /* as its head says; bytes that came; allocated */
};
struct wire_in {
    uint8_t head[CHUNK_HEAD];
    unsigned have;
    uint32_t left; /* of the chunk */
    bool broken;   /* it makes no sense: nothing more is taken before wire_in_reset() */
    struct wire_message port[PORT_END];
    /* body NULL: there is none, or it was longer than MESSAGE_MAX and is dropped. */
    void (*message)(void *opaque, uint32_t type, const uint8_t *body, uint32_t size);
    void *opaque;
};
void wire_in_reset(struct wire_in *in); /* and frees */
void wire_in_take(struct wire_in *in, const uint8_t *bytes, size_t length);

/* Bytes to the guest. */
struct wire_out {
    uint8_t *bytes; /* owned */
    size_t start, end, room;
};
void wire_out_reset(struct wire_out *out); /* and frees */
/* A message whose body is two pieces. */
void wire_out_add(struct wire_out *out, unsigned port, uint32_t type, const void *first, size_t first_size,
                  const void *second, size_t second_size);
static inline size_t wire_out_waiting(const struct wire_out *out)
{
    return out->end - out->start;
}

/* ---- the agent ---- */

struct vdagent {
    bool mouse, copies;
    struct bp_chardev *chr;
    struct wire_in in;
    struct wire_out out;
    struct bp_deferred *pump;
    uint32_t caps; /* the agent's, 0: there is none yet */
    /* mouse.c */
    struct bp_input_device *pointer;
    struct bp_viewer *viewer; /* how large the screen is */
    struct bp_frame *frame;
    int64_t looked;
    uint32_t x, y, width, height; /* 0..BP_INPUT_ABS_MAX; pixels */
    uint32_t buttons;
    int32_t wheel;
    bool moved, clicked;
    /* copy.c */
    struct bp_clipboard_peer *peer;
    uint32_t asked[BP_CLIPBOARD_SELECTIONS]; /* types that the agent waits for */
};

extern const struct bp_chardev_interface *const *const vdagent_chardev;
extern const struct bp_input_interface *const *const vdagent_input;
extern const struct bp_display_interface *const *const vdagent_display;
extern const struct bp_clipboard_interface *const *const vdagent_clipboard;

static inline bool vdagent_can(const struct vdagent *a, enum capability cap)
{
    return a->caps & 1u << cap;
}
void vdagent_send(struct vdagent *a, unsigned port, uint32_t type, const void *first, size_t first_size,
                  const void *second, size_t second_size);

void mouse_update(struct vdagent *a); /* the agent's capabilities are other ones */
void mouse_close(struct vdagent *a);
void mouse_drained(struct vdagent *a); /* nothing waits for the guest any more */

int copy_open(struct vdagent *a, struct bp_error *err);
void copy_close(struct vdagent *a);
void copy_update(struct vdagent *a); /* as mouse_update() */
void copy_message(struct vdagent *a, uint32_t type, const uint8_t *body, uint32_t size);

#endif

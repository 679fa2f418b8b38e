/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pointer of an agent that moves one (VD_AGENT_MOUSE_STATE): positions are pixels of the first screen. */
#include "vdagent.h"

#include <stdlib.h>

#include <linux/input-event-codes.h>

#include <bp/clock.h>

#define input (*vdagent_input)
#define display (*vdagent_display)
#define WAITING_MOST 4096u /* bytes for the guest: then events wait */
#define LOOK_NS 250000000  /* between looks at the screen's size */
#define WHEEL_MOST 16

enum { /* VD_AGENT_*BUTTON_MASK */
    LEFT = 1u << 1, MIDDLE = 1u << 2, RIGHT = 1u << 3, UP = 1u << 4, DOWN = 1u << 5, SIDE = 1u << 6, EXTRA = 1u << 7,
};

/* ---- how large the screen is ---- */

static void no_news(void *opaque)
{
    (void)opaque;
}

static void screen_gone(void *opaque)
{
    ((struct vdagent *)opaque)->viewer = NULL;
}

static const struct bp_viewer_ops viewer_ops = {.size = sizeof(viewer_ops), .changed = no_news, .gone = screen_gone};

static void look(struct vdagent *a)
{
    struct bp_object *machine = bp_object_resolve("/machine", NULL, NULL);
    struct bp_console *console;
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);

    if (a->width && now - a->looked < LOOK_NS)
        return;
    a->looked = now;
    console = a->viewer || !machine ? NULL : display->console_at(bp_object_machine(machine), 0);
    if (console && display->viewer_new(console, "qemu-vdagent", 0, &viewer_ops, a, &a->viewer, NULL) < 0)
        a->viewer = NULL;
    if (!a->viewer)
        return;
    if (!a->frame)
        a->frame = bp_alloc(sizeof(*a->frame));
    a->frame->size = sizeof(*a->frame);
    if (display->pull(a->viewer, a->frame, NULL) < 0)
        return;
    a->width = a->frame->width;
    a->height = a->frame->height;
    display->release(a->frame);
}

/* ---- events ---- */

static void say(struct vdagent *a, uint32_t buttons)
{
    uint8_t state[13] = {0};

    look(a);
    if (!a->width || !a->height)
        return;
    put_le32(state, (uint32_t)((uint64_t)a->x * (a->width - 1) / BP_INPUT_ABS_MAX));
    put_le32(state + 4, (uint32_t)((uint64_t)a->y * (a->height - 1) / BP_INPUT_ABS_MAX));
    put_le32(state + 8, buttons);
    vdagent_send(a, PORT_SERVER, MOUSE_STATE, state, sizeof(state), NULL, 0);
    a->moved = a->clicked = false;
}

static unsigned space(void *opaque)
{
    struct vdagent *a = opaque;

    return wire_out_waiting(&a->out) < WAITING_MOST ? 64 : 0;
}

static void take_event(void *opaque, const struct bp_input_event *event)
{
    static const struct {
        uint16_t code;
        uint32_t button;
    } buttons[] = {{BTN_LEFT, LEFT}, {BTN_MIDDLE, MIDDLE}, {BTN_RIGHT, RIGHT}, {BTN_SIDE, SIDE}, {BTN_EXTRA, EXTRA}};
    struct vdagent *a = opaque;

    if (event->type == BP_INPUT_ABS && (event->code == ABS_X || event->code == ABS_Y)) {
        *(event->code == ABS_X ? &a->x : &a->y) = (uint32_t)event->value;
        a->moved = true;
    } else if (event->type == BP_INPUT_REL && event->code == REL_WHEEL) {
        a->wheel += event->value;
        a->wheel = a->wheel > WHEEL_MOST ? WHEEL_MOST : a->wheel < -WHEEL_MOST ? -WHEEL_MOST : a->wheel;
    }
    for (unsigned i = 0; event->type == BP_INPUT_KEY && i < BP_COUNT(buttons); i++) {
        if (event->code != buttons[i].code)
            continue;
        a->buttons = event->value ? a->buttons | buttons[i].button : a->buttons & ~buttons[i].button;
        a->clicked = true;
    }
}

/* A click is told at once, a notch of the wheel is a click of a button; a motion when nothing waits: what came
 * meanwhile has made it out of date. */
static void sync_events(void *opaque)
{
    struct vdagent *a = opaque;

    if (a->clicked || (a->moved && !wire_out_waiting(&a->out)))
        say(a, a->buttons);
    for (; a->wheel; a->wheel += a->wheel > 0 ? -1 : 1) {
        say(a, a->buttons | (a->wheel > 0 ? UP : DOWN));
        say(a, a->buttons);
    }
}

static const struct bp_input_ops ops = {
    .size = sizeof(ops), .takes = BP_INPUT_TAKES_ABSOLUTE, .name = "SPICE agent's pointer", .space = space,
    .event = take_event, .sync = sync_events};

void mouse_drained(struct vdagent *a)
{
    if (!a->pointer)
        return;
    if (a->moved)
        say(a, a->buttons);
    input->room(a->pointer);
}

/* ---- life ---- */

void mouse_update(struct vdagent *a)
{
    struct bp_object *machine = bp_object_resolve("/machine", NULL, NULL);
    bool wanted = a->mouse && vdagent_can(a, CAP_MOUSE_STATE) && machine;

    if (wanted && !a->pointer && input->device_new(machine, NULL, &ops, a, &a->pointer, NULL) == 0)
        input->activate(a->pointer);
    if (!wanted)
        mouse_close(a);
}

void mouse_close(struct vdagent *a)
{
    input->device_free(a->pointer);
    a->pointer = NULL;
    display->viewer_free(a->viewer);
    a->viewer = NULL;
    free(a->frame);
    a->frame = NULL;
    a->width = a->height = a->buttons = 0;
    a->wheel = 0;
    a->moved = a->clicked = false;
}

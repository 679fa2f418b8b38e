/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A screen for tests of what shows screens: a frame buffer of XRGB8888 in guest memory at 0xe0000000, and
 * registers at 0xe8000000 (32 bits each): width, height (a write of the height makes the new size), cursor
 * (write 1: a picture of 5 x 3, N: one of N x N, 0: none), and what keys and pointers were sent: how many
 * events, then the oldest one as type, code, value; reading the value takes it out.
 */
#include <string.h>

#include <bp/device.h>
#include <bp/host/display.h>
#include <bp/host/input.h>

BP_USE(display, struct bp_display_interface, "display", 1);
BP_USE(input, struct bp_input_interface, "input", 1);

#define MEMORY 0xe0000000u
#define MEMORY_SIZE (64u << 20)
#define REGISTERS 0xe8000000u
#define EVENTS 4096u

enum { WIDTH, HEIGHT, CURSOR, COUNT, TYPE, CODE, VALUE, LEDS };

struct screen {
    uint32_t width, height;
    bool tablet, touch;
    struct bp_region *memory;
    struct bp_console *console;
    struct bp_input_device *keyboard;
    uint32_t count;
    struct bp_input_event events[EVENTS];
};

static void show(struct screen *s)
{
    const struct bp_surface_options options = {
        .size = sizeof(options), .format = BP_FORMAT_XRGB8888, .width = s->width, .height = s->height,
        .region = s->memory};
    struct bp_surface *surface;

    if (display->surface_new(&options, &surface, NULL) < 0)
        return;
    display->set_surface(s->console, surface);
    display->surface_unref(surface);
}

static void set_cursor(struct screen *s, uint32_t size)
{
    static uint32_t pixels[256 * 256];
    const struct bp_cursor cursor = {.width = size > 1 ? size : 5, .height = size > 1 ? size : 3, .hot_x = 1,
                                     .hot_y = 2, .pixels = pixels};

    for (uint32_t i = 0; i < cursor.width * cursor.height && size <= 256; i++)
        pixels[i] = i % 2 ? 0xff000000u | i << 16 | i << 8 : 0;
    display->set_cursor(s->console, size && size <= 256 ? &cursor : NULL);
}

static uint64_t screen_read(void *opaque, uint64_t addr, unsigned size)
{
    struct screen *s = opaque;
    uint64_t value = 0;

    (void)size;
    switch (addr / 4) {
    case COUNT:
        return s->count;
    case TYPE:
        return s->count ? s->events[0].type : 0;
    case CODE:
        return s->count ? s->events[0].code : 0;
    case VALUE:
        if (!s->count)
            return 0;
        value = (uint32_t)s->events[0].value;
        memmove(s->events, s->events + 1, --s->count * sizeof(s->events[0]));
        input->room(s->keyboard);
        return value;
    default:
        return addr / 4 == WIDTH ? s->width : s->height;
    }
}

static void screen_write(void *opaque, uint64_t addr, uint64_t value, unsigned size)
{
    struct screen *s = opaque;

    (void)size;
    if (addr / 4 == WIDTH)
        s->width = (uint32_t)value;
    if (addr / 4 == HEIGHT) {
        s->height = (uint32_t)value;
        show(s);
    }
    if (addr / 4 == CURSOR)
        set_cursor(s, (uint32_t)value);
    if (addr / 4 == LEDS)
        input->set_leds(s->keyboard, (uint32_t)value);
}

static const struct bp_region_ops ops = {
    .size = sizeof(ops), .read = screen_read, .write = screen_write, .min_access = 4, .max_access = 4};

static unsigned space(void *opaque)
{
    return EVENTS - ((struct screen *)opaque)->count;
}

static void event(void *opaque, const struct bp_input_event *e)
{
    struct screen *s = opaque;

    s->events[s->count++] = *e;
}

static const struct bp_console_ops console_ops = {.size = sizeof(console_ops)};

static int screen_attach(struct bp_device *dev, struct bp_error *err)
{
    struct screen *s = bp_device_state(dev);
    struct bp_owner *owner = bp_device_owner(dev);
    const struct bp_input_ops input_ops = {
        .size = sizeof(input_ops), .name = "test keyboard and pointer", .space = space, .event = event,
        .takes = BP_INPUT_TAKES_KEYS | (s->tablet ? BP_INPUT_TAKES_ABSOLUTE : BP_INPUT_TAKES_RELATIVE) |
                 (s->touch ? BP_INPUT_TAKES_TOUCH : 0)};
    struct bp_region *root = bp_space_root(bp_device_memory(dev));
    int r = bp_region_new_ram(owner, "test-screen", MEMORY_SIZE, &s->memory, err);

    if (r == 0)
        r = display->console_new(bp_device_object(dev), 0, &console_ops, s, &s->console, err);
    if (r == 0)
        r = input->device_new(bp_device_object(dev), s->console, &input_ops, s, &s->keyboard, err);
    if (r < 0)
        return r;
    bp_region_add(root, s->memory, MEMORY, 1);
    bp_region_add(root, bp_region_new_io(owner, "test-screen-registers", 64, &ops, s), REGISTERS, 1);
    show(s);
    return 0;
}

static void screen_detach(struct bp_device *dev)
{
    struct screen *s = bp_device_state(dev);

    if (s->keyboard)
        input->device_free(s->keyboard);
    display->console_free(s->console);
}

static const struct bp_field props[] = {
    BP_PROP_RANGE("width", UINT32, struct screen, width, "640", 1, 4096, "pixels"),
    BP_PROP_RANGE("height", UINT32, struct screen, height, "480", 1, 4096, "pixels"),
    BP_PROP("tablet", BOOL, struct screen, tablet, "on", "its pointer is an absolute one"),
    BP_PROP("touch", BOOL, struct screen, touch, "off", "fingers are felt"),
    BP_FIELDS_END};
BP_DEVICE(screen, "test-screen", "system", "Screen for tests", struct screen, props, NULL, .category = "misc",
          .attach = screen_attach, .detach = screen_detach);
static const struct bp_import imports[] = {BP_IMPORT(display, "display", 1), BP_IMPORT(input, "input", 1), {0}};
BP_MODULE("test-screen", "Screen for tests", imports, {BP_PROVIDE_DEVICE, &screen});

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The display framework on the fake host: surfaces, frames and their damage, viewers, input. */
#include <errno.h>
#include <glib.h>
#include <string.h>

#include <linux/input-event-codes.h>

#include <bp/host/display.h>
#include <bp/host/input.h>
#include <bp/test.h>

static struct bp_test_host *host;
static const struct bp_display_interface *display;
static const struct bp_input_interface *input;
static struct bp_device *device;

static void good(int ret, const struct bp_error *err)
{
    g_assert_cmpstr(err->message, ==, "");
    g_assert_cmpint(ret, ==, 0);
}

static struct bp_console *make_console(const struct bp_console_ops *ops, void *opaque)
{
    static const struct bp_console_ops nothing = {.size = sizeof(nothing)};
    struct bp_error err = {0};
    struct bp_console *console = NULL;

    good(display->console_new(bp_device_object(device), 0, ops ? ops : &nothing, opaque, &console, &err),
         &err);
    return console;
}

static struct bp_viewer *look(struct bp_console *console, uint32_t flags)
{
    struct bp_error err = {0};
    struct bp_viewer *viewer = NULL;

    good(display->viewer_new(console, "test", flags, NULL, NULL, &viewer, &err), &err);
    return viewer;
}

static void pull(struct bp_viewer *viewer, struct bp_frame *frame)
{
    struct bp_error err = {0};

    *frame = (struct bp_frame){.size = sizeof(*frame)};
    g_usleep(5000); /* a look serves all pulls of some milliseconds */
    good(display->pull(viewer, frame, &err), &err);
}

static struct bp_surface *make_surface(uint32_t format, uint32_t width, uint32_t height,
                                       struct bp_region *region)
{
    struct bp_surface_options o = {.size = sizeof(o), .format = format, .width = width,
                                   .height = height, .region = region};
    struct bp_error err = {0};
    struct bp_surface *surface = NULL;

    good(display->surface_new(&o, &surface, &err), &err);
    return surface;
}

static bool covered(const struct bp_frame *frame, uint32_t x, uint32_t y)
{
    for (uint32_t i = 0; i < frame->rect_count; i++) {
        const struct bp_rect *r = &frame->rects[i];

        g_assert_cmpuint(r->x + r->width, <=, frame->width);
        g_assert_cmpuint(r->y + r->height, <=, frame->height);
        if (x - r->x < r->width && y - r->y < r->height)
            return true;
    }
    return false;
}

static void damage_is_what_differs(void)
{
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 200, 100, NULL);
    struct bp_viewer *viewer = look(console, 0);
    uint32_t stride, *pixels = display->surface_data(surface, &stride);
    struct bp_frame frame;

    display->set_surface(console, surface);
    pull(viewer, &frame);
    g_assert_cmpuint(frame.flags, ==, BP_FRAME_RESIZED);
    g_assert_cmpuint(frame.width, ==, 200);
    g_assert_true(covered(&frame, 199, 99));
    display->release(&frame);
    pull(viewer, &frame);
    g_assert_cmpuint(frame.rect_count, ==, 0);
    display->release(&frame);
    pixels[50 * stride / 4 + 70] = 0xff123456;
    display->damage(console, 0, 0, 200, 100);
    pull(viewer, &frame);
    g_assert_cmpuint(frame.rect_count, ==, 1);
    g_assert_true(covered(&frame, 70, 50));
    g_assert_false(covered(&frame, 63, 50));
    g_assert_false(covered(&frame, 70, 47));
    g_assert_cmphex(frame.pixels[50 * frame.stride / 4 + 70], ==, 0x123456);
    display->release(&frame);
    display->surface_unref(surface);
    display->viewer_free(viewer);
    display->console_free(console);
}

struct drawn {
    unsigned calls, pixels;
    uint32_t width, height; /* of the last part */
    bool fails;
};

/* It makes negatives, so that what it drew is told from what it did not. */
static int draw_negative(void *opaque, uint32_t *pixels, uint32_t stride, uint32_t width, uint32_t height,
                         struct bp_error *err)
{
    struct drawn *d = opaque;

    d->calls++;
    d->pixels += width * height;
    d->width = width;
    d->height = height;
    if (d->fails)
        return bp_fail(err, EIO, "the test says so");
    for (uint32_t y = 0; y < height; y++)
        for (uint32_t x = 0; x < width; x++)
            pixels[y * stride + x] ^= 0xffffff;
    return 0;
}

static const struct bp_renderer negative = {.size = sizeof(negative), .name = "the test", .render = draw_negative};

static void renderer_draws_what_changed(void)
{
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 200, 100, NULL);
    struct bp_viewer *viewer = look(console, 0);
    uint32_t stride, *pixels = display->surface_data(surface, &stride);
    struct bp_frame before, frame;
    struct bp_error err = {0};
    struct drawn drawn = {0};

    good(display->set_renderer(&negative, &drawn, &err), &err);
    g_assert_cmpint(display->set_renderer(&negative, &drawn, &err), ==, -EBUSY);
    display->set_surface(console, surface);
    pull(viewer, &before);
    g_assert_cmpuint(drawn.calls, ==, 1); /* the whole picture in one */
    g_assert_cmpuint(drawn.pixels, ==, 200 * 100);
    g_assert_cmphex(before.pixels[99 * before.stride / 4 + 199], ==, 0xffffff);
    /* Two tiles below one another are one part, the narrow one at the lower right corner another. */
    pixels[0] = pixels[20 * stride / 4 + 5] = pixels[98 * stride / 4 + 195] = 0x123456;
    display->damage(console, 0, 0, 1, 1);
    display->damage(console, 5, 20, 1, 1);
    display->damage(console, 195, 98, 1, 1);
    pull(viewer, &frame);
    g_assert_cmpuint(drawn.calls, ==, 3);
    g_assert_cmpuint(drawn.pixels, ==, 200 * 100 + 64 * 32 + 8 * 4);
    g_assert_cmpuint(drawn.width, ==, 8);
    g_assert_cmpuint(drawn.height, ==, 4);
    g_assert_cmphex(frame.pixels[0], ==, 0xedcba9);
    g_assert_cmphex(frame.pixels[98 * frame.stride / 4 + 195], ==, 0xedcba9);
    g_assert_cmphex(before.pixels[0], ==, 0xffffff); /* who holds a frame has what he had */
    display->release(&before);
    display->release(&frame);
    pull(viewer, &frame);
    g_assert_cmpuint(drawn.calls, ==, 3); /* nothing changed */
    display->release(&frame);
    good(display->set_renderer(NULL, NULL, &err), &(struct bp_error){0});
    display->surface_unref(surface);
    display->viewer_free(viewer);
    display->console_free(console);
}

static void renderer_that_fails_is_asked_no_more(void)
{
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 200, 100, NULL);
    struct bp_viewer *viewer = look(console, 0);
    uint32_t stride, *pixels = display->surface_data(surface, &stride);
    struct drawn drawn = {.fails = true};
    struct bp_error err = {0};
    struct bp_frame frame;

    good(display->set_renderer(&negative, &drawn, &err), &err);
    display->set_surface(console, surface);
    for (unsigned i = 0; i < 2; i++) {
        pixels[0] = 0x123456 + i;
        display->damage(console, 0, 0, 1, 1);
        pull(viewer, &frame);
        g_assert_cmphex(frame.pixels[0], ==, 0x123456 + i);
        g_assert_cmpuint(drawn.calls, ==, 1);
        display->release(&frame);
    }
    good(display->set_renderer(NULL, NULL, &err), &err);
    display->surface_unref(surface);
    display->viewer_free(viewer);
    display->console_free(console);
}

static void guest_ram_is_seen_without_being_told(void)
{
    struct bp_error err = {0};
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_region *ram = NULL;
    struct bp_viewer *viewer = look(console, 0);
    struct bp_surface *surface;
    struct bp_frame frame;

    good(bp_region_new_ram(NULL, "vram", 1 << 20, &ram, &err), &err);
    bp_region_add(bp_space_root(bp_machine_memory(bp_test_machine(host))), ram, 0x10000000, 5);
    surface = make_surface(BP_FORMAT_RGB565, 320, 200, ram);
    display->set_surface(console, surface);
    pull(viewer, &frame);
    display->release(&frame);
    bp_test_write(host, 0x10000000 + 199 * 640 + 2 * 319, 0xf81f, 2);
    pull(viewer, &frame);
    g_assert_true(covered(&frame, 319, 199));
    g_assert_false(covered(&frame, 0, 0));
    g_assert_cmphex(frame.pixels[199 * 320 + 319], ==, 0xff00ff);
    display->release(&frame);
    display->viewer_free(viewer);
    /* Nobody looks: the log is off, and who comes later sees it all the same. */
    bp_test_write(host, 0x10000000, 0x07e0, 2);
    viewer = look(console, 0);
    pull(viewer, &frame);
    g_assert_cmphex(frame.pixels[0], ==, 0x00ff00);
    display->release(&frame);
    display->viewer_free(viewer);
    display->console_free(console);
    display->surface_unref(surface);
    bp_region_free(ram);
}

static void held_frame_never_changes(void)
{
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 64, 64, NULL);
    struct bp_surface *other = make_surface(BP_FORMAT_XRGB8888, 2048, 1024, NULL);
    struct bp_viewer *slow = look(console, 0), *fast = look(console, 0);
    uint32_t *pixels = display->surface_data(surface, NULL);
    struct bp_frame held, frame;

    display->set_surface(console, surface);
    pull(slow, &held);
    for (unsigned i = 1; i < 5; i++) {
        pixels[0] = i;
        display->damage(console, 0, 0, 1, 1);
        pull(fast, &frame);
        g_assert_cmphex(frame.pixels[0], ==, i);
        display->release(&frame);
    }
    /* Another size while it is held. */
    display->set_surface(console, other);
    pull(fast, &frame);
    g_assert_cmpuint(frame.flags & BP_FRAME_RESIZED, !=, 0);
    g_assert_cmpuint(frame.width, ==, 2048);
    display->release(&frame);
    g_assert_cmphex(held.pixels[0], ==, 0);
    g_assert_cmpuint(held.width, ==, 64);
    display->viewer_free(slow);
    g_assert_cmphex(held.pixels[64 * 64 - 1], ==, 0);
    display->release(&held);
    display->viewer_free(fast);
    display->surface_unref(surface);
    display->surface_unref(other);
    display->console_free(console);
}

static void count_updates(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void stalled_viewers_cost_nothing(void)
{
    static const struct bp_console_ops ops = {.size = sizeof(ops), .update = count_updates};
    unsigned updates = 0;
    struct bp_console *console = make_console(&ops, &updates);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 640, 480, NULL);
    uint32_t *pixels = display->surface_data(surface, NULL);
    struct bp_viewer *stalled[10], *viewer;
    struct bp_frame frame;

    display->set_surface(console, surface);
    for (unsigned i = 0; i < 10; i++) {
        stalled[i] = look(console, 0);
        pull(stalled[i], &frame);
        display->release(&frame);
    }
    viewer = look(console, 0);
    updates = 0;
    for (unsigned i = 0; i < 50; i++) {
        pixels[640 * (i % 480) + i] = i + 1;
        display->damage(console, i, i, 1, 1);
        pull(viewer, &frame);
        display->release(&frame);
    }
    g_assert_cmpuint(updates, ==, 50); /* one look for each pull, none for the others */
    for (unsigned i = 0; i < 10; i++) {
        pull(stalled[i], &frame); /* all that happened meanwhile, once */
        g_assert_cmpuint(frame.rect_count, <=, 5);
        for (unsigned p = 0; p < 50; p++)
            g_assert_true(covered(&frame, p, p));
        display->release(&frame);
    }
    for (unsigned i = 0; i < 10; i++)
        display->viewer_free(stalled[i]);
    display->viewer_free(viewer);
    display->surface_unref(surface);
    display->console_free(console);
}

static void surfaces_out_of_their_ram_are_refused(void)
{
    struct bp_region *ram = NULL;
    struct bp_error err = {0};
    struct bp_surface *surface = NULL;
    const struct {
        uint32_t width, height, stride;
        uint64_t offset;
        uint32_t across;
        int ret;
    } cases[] = {
        {64, 64, 256, 0, 1, 0},           {64, 64, 256, 1, 1, -ERANGE},
        {64, 65, 256, 0, 1, -ERANGE},     {65, 64, 256, 0, 1, -ERANGE},
        {64, 64, 256, ~0ull, 1, -ERANGE}, {0, 64, 256, 0, 1, -ERANGE},
        {64, 64, 257, 0, 1, -ERANGE},     {64, 2, 0x7fffffff, 0, 1, -ERANGE},
        {64, 1, 0xffffffff, 0, 1, 0},     {64, 64, 256, 0, 300, -ERANGE},
        {0xffffffff, 1, 0, 0, 1, -ERANGE}, {16384, 16384, 65536, 0, 1, -ERANGE},
    };

    good(bp_region_new_ram(NULL, "vram", 16384, &ram, &err), &err);
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct bp_surface_options o = {
            .size = sizeof(o), .format = BP_FORMAT_XRGB8888, .width = cases[i].width,
            .height = cases[i].height, .stride = cases[i].stride, .offset = cases[i].offset,
            .repeat_x = cases[i].across, .region = ram};

        err = (struct bp_error){0};
        g_assert_cmpint(display->surface_new(&o, &surface, &err), ==, cases[i].ret);
        if (cases[i].ret == 0)
            display->surface_unref(surface);
        else
            g_assert_cmpstr(err.message, !=, "");
    }
    bp_region_free(ram);
}

static void formats_are_read_as_pixman_has_them(void)
{
    static const struct {
        uint32_t format;
        uint8_t bytes[4];
        uint32_t expect;
    } cases[] = {
        {BP_FORMAT_XRGB8888, {0x56, 0x34, 0x12, 0xff}, 0x123456},
        {BP_FORMAT_ARGB8888, {0x56, 0x34, 0x12, 0x00}, 0x123456},
        {BP_FORMAT_XBGR8888, {0x12, 0x34, 0x56, 0xff}, 0x123456},
        {BP_FORMAT_BGRX8888, {0xff, 0x12, 0x34, 0x56}, 0x123456},
        {BP_FORMAT_RGB888, {0x56, 0x34, 0x12}, 0x123456},
        {BP_FORMAT_RGB565, {0x00, 0xf8}, 0xff0000},
        {BP_FORMAT_RGB565, {0xe0, 0x07}, 0x00ff00},
        {BP_FORMAT_RGB565, {0x10, 0x84}, 0x848284},
        {BP_FORMAT_XRGB1555, {0x00, 0x7c}, 0xff0000},
        {BP_FORMAT_XRGB1555, {0x1f, 0x80}, 0x0000ff},
        {BP_FORMAT_C8, {0x07}, 0xabcdef},
    };
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_viewer *viewer = look(console, 0);
    uint32_t palette[256] = {[7] = 0xffabcdef};
    struct bp_frame frame;

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct bp_surface *surface = make_surface(cases[i].format, 8, 2, NULL);

        memcpy(display->surface_data(surface, NULL), cases[i].bytes, 4);
        display->surface_set_palette(surface, palette);
        display->set_surface(console, surface);
        pull(viewer, &frame);
        g_assert_cmphex(frame.pixels[0], ==, cases[i].expect);
        display->release(&frame);
        display->surface_unref(surface);
    }
    display->viewer_free(viewer);
    display->console_free(console);
}

static struct bp_surface *text_surface(uint32_t columns, uint32_t rows)
{
    static uint8_t bitmap[256 * 16];
    struct bp_font font = {.width = 9, .height = 16, .underline = 14, .bytes_per_row = 1,
                           .glyphs = 256, .bitmap = bitmap};
    struct bp_error err = {0};
    struct bp_surface *surface = NULL;
    struct bp_cells *cells;

    bitmap['A' * 16] = 0x81;
    good(display->surface_new_cells(columns, rows, &surface, &err), &err);
    g_assert_cmpint(display->surface_set_font(surface, &font), ==, 0);
    cells = display->surface_cells(surface);
    cells->width = columns * 9;
    cells->height = rows * 16;
    for (uint32_t r = 0; r < rows; r++)
        cells->row[r] = (struct bp_cell_row){.y = (uint16_t)(16 * r), .lines = 16};
    return surface;
}

static void cells_are_drawn_with_their_font(void)
{
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = text_surface(80, 25);
    struct bp_cells *cells = display->surface_cells(surface);
    struct bp_viewer *viewer = look(console, BP_VIEWER_CELLS | BP_VIEWER_STEADY);
    const uint32_t *at;
    struct bp_frame frame;

    display->set_surface(console, surface);
    pull(viewer, &frame);
    g_assert_cmpuint(frame.flags, ==, BP_FRAME_RESIZED | BP_FRAME_CELLS);
    g_assert_cmpuint(frame.width, ==, 720);
    display->release(&frame);
    cells->cells[80 * 2 + 3] = (struct bp_cell){.glyph = 'A', .foreground = 0xaaaaaa,
                                                .background = 0x0000aa, .flags = BP_CELL_EXTEND};
    pull(viewer, &frame);
    g_assert_cmpuint(frame.rect_count, >=, 1);
    g_assert_true(covered(&frame, 27, 32));
    g_assert_false(covered(&frame, 200, 32));
    at = frame.pixels + 32 * 720 + 27;
    g_assert_cmphex(at[0], ==, 0xaaaaaa);
    g_assert_cmphex(at[1], ==, 0x0000aa);
    g_assert_cmphex(at[7], ==, 0xaaaaaa);
    g_assert_cmphex(at[8], ==, 0xaaaaaa); /* repeated */
    g_assert_cmphex(at[720], ==, 0x0000aa);
    g_assert_cmpuint(frame.cells->cells[80 * 2 + 3].glyph, ==, 'A');
    display->release(&frame);
    /* Rows that reach out of the picture or the font, and a cursor nowhere, harm nobody. */
    cells->row[24].y = 399;
    cells->row[23].x_shift = 65535;
    cells->cursor = (struct bp_cell_cursor){.visible = true, .column = 65535, .row = 65535,
                                            .last_line = 65535};
    pull(viewer, &frame);
    display->release(&frame);
    cells->row[22].lines = 64;
    pull(viewer, &frame); /* makes no sense: what was there stays */
    display->release(&frame);
    display->surface_unref(surface);
    display->viewer_free(viewer);
    display->console_free(console);
}

static void changed(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void gone(void *opaque)
{
    *(unsigned *)opaque += 1000;
}

static void viewer_that_wants_is_told_once(void)
{
    static const struct bp_viewer_ops ops = {.size = sizeof(ops), .changed = changed, .gone = gone};
    struct bp_console *console = make_console(NULL, NULL);
    struct bp_surface *surface = make_surface(BP_FORMAT_XRGB8888, 64, 64, NULL);
    struct bp_viewer *viewer = NULL;
    struct bp_error err = {0};
    struct bp_frame frame;
    unsigned told = 0;

    display->set_surface(console, surface);
    good(display->viewer_new(console, "test", 0, &ops, &told, &viewer, &err), &err);
    display->want(viewer);
    g_assert_cmpuint(told, ==, 0);
    for (unsigned i = 0; i < 1000 && !told; i++, g_usleep(1000))
        bp_test_step(host, 0);
    g_assert_cmpuint(told, ==, 1);
    pull(viewer, &frame);
    display->release(&frame);
    display->want(viewer);
    for (unsigned i = 0; i < 100; i++, g_usleep(1000))
        bp_test_step(host, 0);
    g_assert_cmpuint(told, ==, 1); /* nothing has changed */
    *(uint32_t *)display->surface_data(surface, NULL) = 1;
    display->damage(console, 0, 0, 1, 1);
    for (unsigned i = 0; i < 2000 && told == 1; i++, g_usleep(1000))
        bp_test_step(host, 0);
    g_assert_cmpuint(told, ==, 2);
    display->console_free(console);
    g_assert_cmpuint(told, ==, 1002);
    display->surface_unref(surface);
}

/* ---- input ---- */

struct typed {
    unsigned count;
    uint16_t code[32];
    int32_t value[32];
};

static void typed_event(void *opaque, const struct bp_input_event *event)
{
    struct typed *t = opaque;

    g_assert_cmpuint(t->count, <, G_N_ELEMENTS(t->code));
    t->code[t->count] = event->code;
    t->value[t->count++] = event->value;
}

static void count_call(void *opaque)
{
    ++*(unsigned *)opaque;
}

static struct bp_input_device *make_keyboard(struct typed *t)
{
    const struct bp_input_ops ops = {.size = sizeof(ops), .takes = BP_INPUT_TAKES_KEYS, .name = "test",
                                     .event = typed_event};
    struct bp_error err = {0};
    struct bp_input_device *d = NULL;

    good(input->device_new(bp_device_object(device), NULL, &ops, t, &d, &err), &err);
    bp_test_step(host, 0);
    return d;
}

static void many_changes_of_leds_are_told_once(void)
{
    struct typed t = {0};
    struct bp_input_device *d = make_keyboard(&t);
    unsigned calls = 0;

    input->listen(count_call, &calls);
    for (unsigned i = 0; i < 100000; i++)
        input->set_leds(d, i & 1 ? 2 : 1);
    g_assert_cmpuint(calls, ==, 0);
    bp_test_step(host, 0);
    g_assert_cmpuint(calls, ==, 1);
    input->device_free(d);
    bp_test_step(host, 0);
    g_assert_cmpuint(calls, ==, 2);
    input->unlisten(count_call, &calls);
}

static void press(const char *key)
{
    struct bp_error err = {0};
    char *args = g_strdup_printf("{\"keys\": [{\"type\": \"qcode\", \"data\": \"%s\"}], "
                                 "\"hold-time\": 20}", key);

    bp_test_command(host, "send-key", args, NULL, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_free(args);
}

static void keys_wait_while_the_machine_stands(void)
{
    struct typed t = {0};
    struct bp_input_device *d = make_keyboard(&t);

    bp_test_run(host, true);
    press("a");
    press("b");
    bp_test_step(host, 0);
    g_assert_cmpuint(t.count, ==, 1);
    while (t.count < 2) { /* a goes up; b comes next */
        g_usleep(1000);
        bp_test_step(host, 0);
    }
    bp_test_run(host, false);
    for (unsigned i = 0; i < 60; i++) {
        g_usleep(1000);
        bp_test_step(host, 0);
    }
    g_assert_cmpuint(t.count, ==, 2);
    bp_test_run(host, true);
    for (unsigned i = 0; i < 30000 && t.count < 4; i++) {
        g_usleep(1000);
        bp_test_step(host, 0);
    }
    g_assert_cmpuint(t.count, ==, 4);
    g_assert_cmpuint(t.code[1], ==, KEY_A);
    g_assert_cmpuint(t.code[2], ==, KEY_B);
    g_assert_cmpint(t.value[2], ==, 1);
    g_assert_cmpint(t.value[3], ==, 0);
    bp_test_run(host, false);
    input->device_free(d);
    bp_test_step(host, 0);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    const void *table;

    g_test_init(&argc, &argv, NULL);
    bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err);
    bp_test_interface(host, "display", 1, &table, &err);
    display = table;
    bp_test_interface(host, "input", 1, &table, &err);
    input = table;
    bp_test_device(host, "isa-debug-exit", NULL, &device, &err);
    g_assert_cmpstr(err.message, ==, "");
#define CASE(name) g_test_add_func("/display/" #name, name)
    CASE(damage_is_what_differs);
    CASE(renderer_draws_what_changed);
    CASE(renderer_that_fails_is_asked_no_more);
    CASE(guest_ram_is_seen_without_being_told);
    CASE(held_frame_never_changes);
    CASE(stalled_viewers_cost_nothing);
    CASE(surfaces_out_of_their_ram_are_refused);
    CASE(formats_are_read_as_pixman_has_them);
    CASE(cells_are_drawn_with_their_font);
    CASE(viewer_that_wants_is_told_once);
    CASE(many_changes_of_leds_are_told_once);
    CASE(keys_wait_while_the_machine_stands);
    return g_test_run();
}

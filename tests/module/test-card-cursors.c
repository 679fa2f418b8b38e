/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pointers that graphics cards have of their own, as a viewer gets them, on the fake host. */
#include <glib.h>
#include <string.h>

#include <bp/host/display.h>
#include <bp/test.h>

#define BAR0 0xe0000000u
#define BAR1 0xf1000000u
#define FIFO 0xf0000000u
#define IO 0xc000u
#define DEVFN 0x28u

static struct bp_test_host *host;
static const struct bp_display_interface *display;

static struct bp_device *add(const char *type, const char *props, struct bp_viewer **ret_viewer)
{
    struct bp_error err = {0};
    struct bp_device *dev;

    bp_test_device(host, type, props, &dev, &err);
    g_assert_cmpstr(err.message, ==, "");
    bp_test_config_write(host, DEVFN, 0x10, BAR0, 4);
    bp_test_config_write(host, DEVFN, 0x14, BAR1, 4);
    bp_test_config_write(host, DEVFN, 0x04, 7, 2);
    g_assert_cmpint(
        display->viewer_new(display->console_at(NULL, 0), "test", 0, NULL, NULL, ret_viewer, &err),
        ==, 0);
    return dev;
}

static void pull(struct bp_viewer *viewer)
{
    struct bp_frame *frame = g_new0(struct bp_frame, 1);

    frame->size = sizeof(*frame);
    g_assert_cmpint(display->pull(viewer, frame, NULL), ==, 0);
    display->release(frame);
    g_free(frame);
}

static const struct bp_cursor *cursor(int32_t x, int32_t y, bool visible)
{
    const struct bp_cursor *now;
    int32_t at_x, at_y;
    bool shown;

    display->cursor(display->console_at(NULL, 0), &now, &at_x, &at_y, &shown);
    g_assert_cmpint(at_x, ==, x);
    g_assert_cmpint(at_y, ==, y);
    g_assert_cmpint(shown, ==, visible);
    return now;
}

/* ---- Cirrus ---- */

static void seq(unsigned index, unsigned value)
{
    bp_test_out(host, 0x3c4, index | value << 8, 2);
}

static void colour(unsigned index, uint8_t r, uint8_t g, uint8_t b)
{
    bp_test_out(host, 0x3c8, index, 1);
    bp_test_out(host, 0x3c9, r, 1);
    bp_test_out(host, 0x3c9, g, 1);
    bp_test_out(host, 0x3c9, b, 1);
}

static unsigned bit(const uint8_t *plane, unsigned size, unsigned x, unsigned y)
{
    return plane[y * (size / 8) + x / 8] >> (7 - x % 8) & 1;
}

static void drive_cirrus(unsigned size)
{
    static const uint32_t colours[4] = {0, 0xffffffff, 0xff04080c, 0xfff3cba2};
    uint8_t image[512], mask[512], pattern[1024];
    unsigned row = size / 8, number = size == 64 ? 8 : 5;
    const struct bp_cursor *now;
    struct bp_viewer *viewer;
    struct bp_device *dev = add("cirrus-vga", "addr=05.0", &viewer);

    for (unsigned i = 0; i < sizeof(image); i++) {
        image[i] = (uint8_t)g_random_int();
        mask[i] = (uint8_t)g_random_int();
    }
    for (unsigned y = 0; y < size; y++) {
        memcpy(pattern + (size == 64 ? 2 * row : row) * y, image + row * y, row);
        memcpy(pattern + (size == 64 ? row * (2 * y + 1) : row * (size + y)), mask + row * y, row);
    }
    for (unsigned i = 0; i < size * size / 4; i++)
        bp_test_write(host, BAR0 + (4u << 20) - 16384 + 256 * number + i, pattern[i], 1);
    seq(6, 0x12);
    colour(0, 0x3f, 0x3f, 0x3f);
    seq(0x12, 2);
    colour(0, 1, 2, 3);
    colour(15, 0x3c, 0x32, 0x28);
    seq(0x13, number);
    seq(0x12, size == 64 ? 5 : 1);
    seq(0x10 | (101 & 7) << 5, 101 >> 3);
    seq(0x11 | (58 & 7) << 5, 58 >> 3);
    pull(viewer);
    now = cursor(101, 58, true);
    g_assert_nonnull(now);
    g_assert_cmpuint(now->width, ==, size);
    g_assert_cmpuint(now->height, ==, size);
    for (unsigned y = 0; y < size; y++)
        for (unsigned x = 0; x < size; x++)
            g_assert_cmphex(now->pixels[y * size + x], ==,
                            colours[2 * bit(mask, size, x, y) + bit(image, size, x, y)]);
    bp_test_write(host, BAR0 + (4u << 20) - 16384 + 256 * number, pattern[0] ^ 0x80, 1);
    g_usleep(10000); /* a look serves all pulls of a few milliseconds */
    pull(viewer);
    now = cursor(101, 58, true);
    g_assert_cmphex(now->pixels[0], ==,
                    colours[2 * bit(mask, size, 0, 0) + !bit(image, size, 0, 0)]);
    seq(0x12, 0);
    cursor(101, 58, false);
    bp_test_out(host, 0x3c7, 0, 1); /* the palette has its own entry still */
    g_assert_cmphex(bp_test_in(host, 0x3c9, 1), ==, 0x3f);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
}

static void cirrus_small_one_is_shown(void)
{
    drive_cirrus(32);
}

static void cirrus_large_one_is_shown(void)
{
    drive_cirrus(64);
}

/* ---- VMware ---- */

static void fifo(unsigned index, uint32_t value)
{
    bp_test_write(host, FIFO + 4 * index, value, 4);
}

static void reg(unsigned index, uint32_t value)
{
    bp_test_out(host, IO, index, 4);
    bp_test_out(host, IO + 1, value, 4);
}

/* Words of a command at the beginning of the ring. */
static void command(const uint32_t *words, unsigned count)
{
    fifo(3, 4096);
    for (unsigned i = 0; i < count; i++)
        fifo(1024 + i, words[i]);
    fifo(2, 4096 + 4 * count);
    reg(21, 1);
}

static struct bp_device *add_vmware(struct bp_viewer **ret_viewer)
{
    struct bp_device *dev = add("vmware-svga", "addr=05.0", ret_viewer);

    bp_test_config_write(host, DEVFN, 0x10, IO, 4);
    bp_test_config_write(host, DEVFN, 0x14, BAR0, 4);
    bp_test_config_write(host, DEVFN, 0x18, FIFO, 4);
    fifo(0, 4096);
    fifo(1, 4096 + 65536);
    fifo(2, 4096);
    fifo(3, 4096);
    reg(1, 1);
    reg(20, 1);
    return dev;
}

static void vmware_masks_make_one(void)
{
    /* 35 x 2 dots: transparent, black, white, inverted in turn; two words a line in each mask. */
    uint32_t words[8 + 8] = {19,         0,    3,          1,    35,         2,
                             1,          1,    0xaaaaaaaa, 0xa0, 0xaaaaaaaa, 0xa0,
                             0xcccccccc, 0xc0, 0x33333333, 0x20};
    static const uint32_t shown[4] = {0xff000000, 0, 0xffffffff, 0xffffffff}; /* 2 * xor + and */
    const struct bp_cursor *now;
    struct bp_viewer *viewer;
    struct bp_device *dev = add_vmware(&viewer);

    command(words, 16);
    reg(25, 40);
    reg(26, 50);
    reg(27, 1);
    now = cursor(40, 50, true);
    g_assert_nonnull(now);
    g_assert_cmpuint(now->width, ==, 35);
    g_assert_cmpuint(now->height, ==, 2);
    g_assert_cmpuint(now->hot_x, ==, 3);
    g_assert_cmpuint(now->hot_y, ==, 1);
    for (unsigned y = 0; y < 2; y++)
        for (unsigned x = 0; x < 35; x++) {
            unsigned and = words[8 + 2 * y + x / 32] >> (8 * (x % 32 / 8) + 7 - x % 8) & 1;
            unsigned xor = words[12 + 2 * y + x / 32] >> (8 * (x % 32 / 8) + 7 - x % 8) & 1;

            g_assert_cmphex(now->pixels[y * 35 + x], ==, shown[2 * xor+and]);
        }
    reg(27, 0);
    cursor(40, 50, false);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
}

static void vmware_colours_make_one(void)
{
    /* 2 x 1 dots with both masks of 32 bits. */
    static const uint32_t words[] = {19, 0, 0, 0, 2, 1, 32, 32, 0, 0xffffff, 0x123456, 0};
    static const uint32_t place[] = {20, 0, 1, 21, 70, 80};
    static const uint32_t bytes[] = {19, 0, 0, 0, 1, 1, 8, 8, 0, 0x42};
    static const uint32_t words16[] = {19, 0, 0, 0, 2, 1, 1, 16, 0, 0x07e0f81f};
    const struct bp_cursor *now;
    struct bp_viewer *viewer;
    struct bp_device *dev = add_vmware(&viewer);

    command(words, G_N_ELEMENTS(words));
    now = cursor(0, 0, false);
    g_assert_nonnull(now);
    g_assert_cmphex(now->pixels[0], ==, 0xff123456);
    g_assert_cmphex(now->pixels[1], ==, 0);
    for (unsigned depth = 0; depth < 70; depth++) { /* of others there are no masks */
        uint32_t odd[64] = {19, 0, 0, 0, 2, 1, depth, depth, 1, 2, 3, 4};

        if (depth != 1 && depth % 8)
            command(odd, G_N_ELEMENTS(odd));
        g_assert_true(cursor(0, 0, false) == now);
    }
    g_assert_cmphex(now->pixels[0], ==, 0xff123456);
    command(bytes, G_N_ELEMENTS(bytes));
    now = cursor(0, 0, false);
    g_assert_cmphex(now->pixels[0], ==, 0xff424242);
    command(words16, G_N_ELEMENTS(words16));
    now = cursor(0, 0, false);
    g_assert_cmphex(now->pixels[0], ==, 0xffff00ff);
    g_assert_cmphex(now->pixels[1], ==, 0xff00ff00);
    command(place, G_N_ELEMENTS(place)); /* the way of old to move it */
    cursor(70, 80, true);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
}

static void vmware_alpha_is_taken_out_of_colours(void)
{
    static const uint32_t words[] = {22, 0,          9,          9,          2,
                                     2,  0xff102030, 0x80402010, 0x00123456, 0x01ffffff};
    static const uint32_t shown[] = {0xff102030, 0x807f3f1f, 0, 0x01ffffff};
    const struct bp_cursor *now;
    struct bp_viewer *viewer;
    struct bp_device *dev = add_vmware(&viewer);

    command(words, G_N_ELEMENTS(words));
    fifo(9, 1); /* its place by the FIFO's registers */
    fifo(10, 77);
    fifo(11, 88);
    pull(viewer);
    cursor(0, 0, false); /* until it is counted */
    fifo(12, 1);
    g_usleep(10000); /* a look serves all pulls of a few milliseconds */
    pull(viewer);
    now = cursor(77, 88, true);
    g_assert_cmphex(bp_test_read(host, FIFO + 4 * 13, 4), ==, 1);
    g_assert_cmpuint(now->hot_x, ==, 1); /* not beyond the picture */
    for (unsigned i = 0; i < 4; i++)
        g_assert_cmphex(now->pixels[i], ==, shown[i]);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
}

/* ---- QXL ---- */

#define RAM_HEADER (BAR0 + (8u << 20) - 8192)
#define AT(offset) (1ull << 56 | (offset))

static struct bp_device *add_qxl(struct bp_viewer **ret_viewer)
{
    struct bp_device *dev =
        add("qxl-vga", "addr=05.0,vgamem_mb=1,ram_size=8M,vram_size=1M", ret_viewer);

    bp_test_config_write(host, DEVFN, 0x1c, IO, 4);
    bp_test_write(host, RAM_HEADER + 5276, BAR0, 8);
    bp_test_write(host, RAM_HEADER + 5284, BAR0 + (4u << 20), 8);
    bp_test_out(host, IO + 8, 1, 1);
    return dev;
}

/* The shape is at 2 MiB, in chunks of five bytes and the rest; the command at 3 MiB. */
static void qxl_cursor(unsigned type, unsigned width, unsigned height, const uint8_t *data,
                       unsigned size)
{
    const uint32_t shape = BAR0 + (2u << 20), next = shape + 4096, command = BAR0 + (3u << 20);
    uint32_t prod = (uint32_t)bp_test_read(host, RAM_HEADER + 4644, 4);

    bp_test_write(host, shape + 8, type, 2);
    bp_test_write(host, shape + 10, width, 2);
    bp_test_write(host, shape + 12, height, 2);
    bp_test_write(host, shape + 14, 1, 2);
    bp_test_write(host, shape + 16, 0, 2);
    bp_test_write(host, shape + 18, size, 4);
    bp_test_write(host, shape + 22, 5, 4);
    bp_test_write(host, shape + 34, AT(next - BAR0), 8);
    bp_test_write(host, next, size - 5, 4);
    for (unsigned i = 0; i < size; i++)
        bp_test_write(host, i < 5 ? shape + 42 + i : next + 20 + i - 5, data[i], 1);
    bp_test_write(host, command + 8, 0, 1);
    bp_test_write(host, command + 9, 30, 2);
    bp_test_write(host, command + 11, (uint16_t)-2, 2);
    bp_test_write(host, command + 13, 1, 1);
    bp_test_write(host, command + 14, AT(shape - BAR0), 8);
    bp_test_write(host, RAM_HEADER + 4660 + 16 * (prod % 32), AT(command - BAR0), 8);
    bp_test_write(host, RAM_HEADER + 4668 + 16 * (prod % 32), 3, 4);
    bp_test_write(host, RAM_HEADER + 4644, prod + 1, 4);
    bp_test_out(host, IO + 1, 0, 1);
}

static void qxl_shapes_of_each_type_are_shown(void)
{
    /* 2 x 2 dots: AND bits 10 01, XOR bits 01 01; colours b, g, r, x and then a mask 01 10; colours
     * with alpha. */
    static const uint8_t mono[] = {0x80, 0x40, 0x40, 0x40};
    static const uint8_t plain[] = {1, 2, 3, 0, 0, 0, 0, 0, 9, 9, 9, 0, 7, 8, 9, 0, 0x40, 0x80};
    static const uint8_t alpha[] = {1, 2, 3, 255, 0, 0, 0, 0, 0x40, 0x20, 0x10, 0x80, 9, 9, 9, 0};
    static const uint32_t shown[3][4] = {{0, 0xffffffff, 0xff000000, 0xffffffff},
                                         {0xff030201, 0, 0xffffffff, 0xff090807},
                                         {0xff030201, 0, 0x801f3f7f, 0}};
    static const struct {
        unsigned type, size;
        const uint8_t *data;
    } shapes[] = {{1, 4, mono}, {6, 18, plain}, {0, 16, alpha}};
    const struct bp_cursor *now = NULL;
    struct bp_viewer *viewer;
    struct bp_device *dev = add_qxl(&viewer);

    /* A chunk of five bytes is more than four: of the mono one the first has all. */
    for (unsigned i = 0; i < 3; i++) {
        qxl_cursor(shapes[i].type, 2, 2, shapes[i].data, shapes[i].size);
        now = cursor(30, -2, true);
        g_assert_nonnull(now);
        g_assert_cmpuint(now->hot_x, ==, 1);
        for (unsigned n = 0; n < 4; n++)
            g_assert_cmphex(now->pixels[n], ==, shown[i][n]);
    }
    qxl_cursor(6, 300, 300, plain,
               18); /* more than there is, of a type that is not there, of no size */
    qxl_cursor(2, 2, 2, plain, 18);
    qxl_cursor(0, 0, 2, plain, 18);
    g_assert_true(cursor(30, -2, true) == now);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    const void *table;
    int rc;

    g_test_init(&argc, &argv, NULL);
    if (bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err) < 0 ||
        bp_test_interface(host, "display", 1, &table, &err) < 0)
        g_error("%s", err.message);
    display = table;
#define CASE(name) g_test_add_func("/card-cursors/" #name, name)
    CASE(cirrus_small_one_is_shown);
    CASE(cirrus_large_one_is_shown);
    CASE(vmware_masks_make_one);
    CASE(vmware_colours_make_one);
    CASE(vmware_alpha_is_taken_out_of_colours);
    CASE(qxl_shapes_of_each_type_are_shown);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random accesses to every display adapter while somebody looks at it, on the fake host: nothing
 * reaches beyond its memory (sanitizers see it), pictures stay within their limits, and a saved
 * state is loaded as it was. Seeded: BACKPLANE_SEED, printed. BACKPLANE_LONG=1: a hundred times as
 * many.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/display.h>
#include <bp/test.h>

#define ROUNDS 60000u
#define BAR0 0xe0000000u
#define BAR1 0xf1000000u
#define BAR2 0xf0000000u
#define IO 0xc000u
#define DEVFN 0x28u

static struct bp_test_host *host;
static const struct bp_display_interface *display;

static uint32_t pick(GRand *rand, const uint32_t *from, unsigned count)
{
    return from[g_rand_int(rand) % count];
}

/* Values that registers have trouble with. */
static uint32_t value(GRand *rand)
{
    static const uint32_t special[] = {0,      1,      0xff,       0x7f,      0x80,
                                       0xffff, 0x7fff, 0xffffffff, 0x80000000};

    return g_rand_int(rand) & 1 ? g_rand_int(rand) : pick(rand, special, G_N_ELEMENTS(special));
}

static void port(GRand *rand)
{
    static const uint32_t ports[] = {0x3b4, 0x3b5, 0x3ba, 0x3c0, 0x3c1, 0x3c2, 0x3c4,
                                     0x3c5, 0x3c6, 0x3c7, 0x3c8, 0x3c9, 0x3ce, 0x3cf,
                                     0x3d4, 0x3d5, 0x3da, 0x1ce, 0x1cf, 0x1d0};
    uint16_t at = (uint16_t)pick(rand, ports, G_N_ELEMENTS(ports));

    if (g_rand_int(rand) % 4 == 0)
        bp_test_in(host, at, 1u << (g_rand_int(rand) % 3));
    else
        bp_test_out(host, at, value(rand), 1u << (g_rand_int(rand) % 3));
}

/* An index and its data: single ports seldom meet. */
static void indexed(GRand *rand)
{
    static const uint32_t bases[] = {0x3c4, 0x3ce, 0x3d4, 0x3b4};
    uint16_t base = (uint16_t)pick(rand, bases, G_N_ELEMENTS(bases));

    bp_test_out(host, base, g_rand_int(rand) % 0x1a, 1);
    bp_test_out(host, base + 1, value(rand) & 0xff, 1);
}

static void dispi(GRand *rand)
{
    static const uint32_t sizes[] = {0, 1, 7, 8, 320, 640, 1024, 1920, 4096, 16000, 16001, 65535};
    static const uint32_t depths[] = {4, 8, 15, 16, 24, 32, 0, 7};
    static const uint32_t enables[] = {0, 1, 0x41, 0x61, 0xc1, 2, 3, 0xffff};
    unsigned index = g_rand_int(rand) % 12;
    uint32_t v = index == 3   ? pick(rand, depths, G_N_ELEMENTS(depths))
                 : index == 4 ? pick(rand, enables, G_N_ELEMENTS(enables))
                              : pick(rand, sizes, G_N_ELEMENTS(sizes));

    if (g_rand_int(rand) & 1) {
        bp_test_out(host, 0x1ce, index, 2);
        bp_test_out(host, 0x1cf, v, 2);
    } else {
        bp_test_write(host, BAR2 + 0x500 + 2 * index, v, 2);
    }
}

static void memory(GRand *rand)
{
    unsigned size = 1u << (g_rand_int(rand) % 4);
    uint64_t at;

    switch (g_rand_int(rand) % 4) {
    case 0:
        at = BAR0 + (g_rand_int(rand) & 0xffffff);
        break;
    case 1:
        at = BAR2 + (g_rand_int(rand) & 0xfff);
        break;
    default:
        at = 0xa0000 + (g_rand_int(rand) & 0x1ffff);
        break;
    }
    if (g_rand_int(rand) & 1)
        bp_test_write(host, at, (uint64_t)value(rand) << 32 | value(rand), size);
    else
        bp_test_read(host, at, size);
}

/* A Cirrus chip: its key, its registers by ports and in memory, operations, what feeds them. */
static void cirrus(GRand *rand)
{
    static const uint32_t bases[] = {0x3c4, 0x3ce, 0x3d4};
    static const uint32_t modes[] = {0x00, 0x01, 0x04, 0x08, 0x84, 0x8c,
                                     0xc0, 0x48, 0x80, 0x09, 0x0c};
    uint32_t base = pick(rand, bases, G_N_ELEMENTS(bases));

    switch (g_rand_int(rand) % 8) {
    case 0:
        bp_test_out(host, 0x3c4, g_rand_int(rand) & 7 ? 0x1206 : 0x0006, 2);
        break;
    case 1: /* an operation, seldom of the greatest height */
        for (unsigned i = 0; i < 0x20; i++)
            if (i != 0x0b || g_rand_int(rand) % 64 == 0)
                bp_test_write(host, BAR1 + 0x100 + i, value(rand) & 0xff, 1);
        if (g_rand_int(rand) % 64)
            bp_test_write(host, BAR1 + 0x10b, 0, 1);
        bp_test_write(host, BAR1 + 0x118,
                      pick(rand, modes, G_N_ELEMENTS(modes)) | (value(rand) & 0x30), 1);
        bp_test_write(host, BAR1 + 0x140, 2, 1);
        break;
    case 2:
        for (unsigned i = g_rand_int(rand) % 64; i; i--)
            bp_test_write(host, (i & 1 ? 0xa0000 : BAR0) + (g_rand_int(rand) & 0xffff), value(rand),
                          4);
        break;
    case 3:
        bp_test_write(host, BAR0 + 0x1000000 + (g_rand_int(rand) & 0xffffff), value(rand), 8);
        break;
    case 4: /* the hidden register of the DAC */
        for (unsigned i = 0; i < 4; i++)
            bp_test_in(host, 0x3c6, 1);
        bp_test_out(host, 0x3c6, value(rand), 1);
        break;
    default:
        bp_test_out(host, (uint16_t)base, g_rand_int(rand) & 0xff, 1);
        bp_test_out(host, (uint16_t)(base + 1), value(rand) & 0xff, 1);
        break;
    }
}

/* A VMware SVGA: registers by index and value, words of its FIFO, commands with arguments that are
 * nearly right. */
static void vmware(GRand *rand)
{
    static const uint32_t commands[] = {1, 2, 3, 14, 19, 20, 21, 22, 25, 29, 30, 33, 45, 46, 99};
    static const uint32_t small[] = {0, 1, 2, 8, 31, 64, 255, 256, 257, 0xffff, 0xffffffff};
    static const uint32_t ring[] = {0x1000, 0x2000, 0x1000, 0x1000};
    static const uint32_t regs[] = {0,  1,  2,  3,  7,  20, 21,   22,   23,   24,
                                    25, 26, 27, 32, 33, 45, 1024, 1791, 1792, 1900};
    uint32_t fifo = BAR2, at;

    switch (g_rand_int(rand) % 8) {
    case 0:
        bp_test_out(host, IO, pick(rand, regs, G_N_ELEMENTS(regs)), 4);
        if (g_rand_int(rand) & 1)
            bp_test_out(host, IO + 1, g_rand_int(rand) & 1 ? value(rand) : g_rand_int(rand) % 700,
                        4);
        else
            bp_test_in(host, IO + 1, 4);
        break;
    case 1:
        bp_test_write(host, fifo + 4 * (g_rand_int(rand) % 300), value(rand), 4);
        break;
    case 2: /* a FIFO that works */
        for (unsigned i = 0; i < 4; i++)
            bp_test_write(host, fifo + 4 * i, ring[i], 4);
        for (unsigned reg = 1; reg <= 20; reg += 19) {
            bp_test_out(host, IO, reg, 4);
            bp_test_out(host, IO + 1, 1, 4);
        }
        break;
    case 3:
        bp_test_out(host, IO + (g_rand_int(rand) & 15), value(rand), 1u << (g_rand_int(rand) % 3));
        break;
    default:
        at = (uint32_t)bp_test_read(host, fifo + 8, 4) & 0x1ffc;
        bp_test_write(host, fifo + at, pick(rand, commands, G_N_ELEMENTS(commands)), 4);
        for (unsigned i = 1; i < 9 && at + 4 * i < 0x2000; i++)
            bp_test_write(host, fifo + at + 4 * i, pick(rand, small, G_N_ELEMENTS(small)), 4);
        at += 4 * (g_rand_int(rand) % 500);
        bp_test_write(host, fifo + 8, at < 0x2000 ? at : 0x1000, 4);
        bp_test_out(host, IO, 21, 4);
        bp_test_out(host, IO + 1, 1, 4);
        break;
    }
}

/* A QXL: slots, ports, the header at the end of its RAM, commands in memory that random bytes fill.
 */
static void qxl(GRand *rand)
{
    static const uint32_t ports[] = {0, 1, 2, 3, 4, 8, 9, 12, 13, 14, 15, 16, 17, 18, 20, 23, 24};
    static const uint32_t small[] = {0,  1,  2,  3,   4,   5,      8,          16,        31,
                                     32, 80, 96, 104, 640, 0xffff, 0x7fffffff, 0xffffffff};
    const uint32_t header = BAR0 + (8u << 20) - 8192, commands = header + 4108;
    uint32_t at = BAR0 + 0x100000 + (g_rand_int(rand) & 0xffc0), kind, ring;

    switch (g_rand_int(rand) % 6) {
    case 0:
        if (g_rand_int(rand) % 16)
            bp_test_out(host, IO + pick(rand, ports, G_N_ELEMENTS(ports)),
                        pick(rand, small, G_N_ELEMENTS(small)), 1);
        else
            bp_test_out(host, IO + 5, 0, 1); /* reset */
        break;
    case 1: /* a slot over all of the RAM; the generation is that of the ROM, or nearly */
        bp_test_write(host, header + 5276, BAR0, 8);
        bp_test_write(host, header + 5284, BAR0 + (8u << 20), 8);
        bp_test_out(host, IO + 8, 1, 1);
        break;
    case 2: /* a primary surface */
        bp_test_write(host, header + 5292, g_rand_int(rand) % 700, 4);
        bp_test_write(host, header + 5296, g_rand_int(rand) % 500, 4);
        bp_test_write(host, header + 5300, (g_rand_int(rand) & 1) ? 2800 : (uint32_t)-2800, 4);
        bp_test_write(host, header + 5304, (g_rand_int(rand) & 1) ? 32 : 80, 4);
        bp_test_write(host, header + 5324, 1ull << 56 | bp_test_read(host, BAR2 + 68, 1) << 48, 8);
        bp_test_out(host, IO + 12, 0, 1);
        break;
    case 3:
        bp_test_write(host, header + 4 * (g_rand_int(rand) % 1400), value(rand), 4);
        break;
    default: /* a command whose words are small, or addresses of what is nearby */
        kind = g_rand_int(rand) % 7;
        ring = commands + (g_rand_int(rand) & 1) * 532;
        for (unsigned i = 0; i < 48; i++) {
            uint64_t word = pick(rand, small, G_N_ELEMENTS(small));

            if (g_rand_int(rand) % 4 == 0)
                word = 1ull << 56 | bp_test_read(host, BAR2 + 68, 1) << 48 |
                       (0x100000 + (g_rand_int(rand) & 0xffff));
            bp_test_write(host, at + 3 * i + (g_rand_int(rand) & 1), word, 8);
        }
        bp_test_write(host, at + 12, g_rand_int(rand) & 0x80 ? 0 : value(rand) & 0x0f0f, 2);
        bp_test_write(host, ring + 20 + 16 * (bp_test_read(host, ring + 12, 4) % 32),
                      1ull << 56 | bp_test_read(host, BAR2 + 68, 1) << 48 | (at - BAR0), 8);
        bp_test_write(host, ring + 28 + 16 * (bp_test_read(host, ring + 12, 4) % 32), kind, 4);
        bp_test_write(host, ring + 4, bp_test_read(host, ring + 12, 4) + 1, 4);
        bp_test_out(host, IO, 0, 1);
        break;
    }
}

/* One that shows something: else nearly every state is dark. */
static void light_up(GRand *rand)
{
    bp_test_out(host, 0x3c2, 0x67, 1);
    bp_test_out(host, 0x3c4, 0x0300, 2);
    bp_test_out(host, 0x3c4, 1 | (g_rand_int(rand) & 0x1d) << 8, 2);
    bp_test_out(host, 0x3d4, 0x11, 1);
    bp_test_out(host, 0x3d5, 0, 1);
    bp_test_out(host, 0x3d4, 0x17 | (0x80 | (g_rand_int(rand) & 0xff)) << 8, 2);
    bp_test_out(host, 0x3ce, 6 | (g_rand_int(rand) & 15) << 8, 2);
    bp_test_in(host, 0x3da, 1);
    bp_test_out(host, 0x3c0, 0x20, 1);
}

static void look(struct bp_viewer *viewer)
{
    struct bp_frame *frame = g_new0(struct bp_frame, 1);
    uint64_t area = 0;

    frame->size = sizeof(*frame);
    g_assert_cmpint(display->pull(viewer, frame, NULL), ==, 0);
    g_assert_cmpuint(frame->width, >, 0);
    g_assert_cmpuint(frame->width, <=, BP_DISPLAY_MAX);
    g_assert_cmpuint(frame->height, >, 0);
    g_assert_cmpuint(frame->height, <=, BP_DISPLAY_MAX);
    for (uint32_t i = 0; i < frame->rect_count; i++) {
        const struct bp_rect *r = &frame->rects[i];

        g_assert_cmpuint((uint64_t)r->x + r->width, <=, frame->width);
        g_assert_cmpuint((uint64_t)r->y + r->height, <=, frame->height);
        area += (uint64_t)r->width * r->height;
    }
    g_assert_cmpuint(area, <=, (uint64_t)frame->width * frame->height);
    g_assert_cmphex(frame->pixels[(size_t)frame->stride / 4 * frame->height - 1] >> 24, ==, 0);
    display->release(frame);
    g_free(frame);
}

static void save_and_load(struct bp_device *dev)
{
    struct bp_error err = {0};
    void *before, *after;
    size_t size, again;

    g_assert_cmpint(bp_test_save(dev, &before, &size, &err), ==, 0);
    g_assert_cmpint(bp_test_restore(dev, before, size, &err), ==, 0);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(bp_test_save(dev, &after, &again, &err), ==, 0);
    g_assert_cmpuint(size, ==, again);
    g_assert_cmpint(memcmp(before, after, size), ==, 0);
    free(before);
    free(after);
}

/* `special`: what such a card has beside a VGA, or NULL. */
static void drive(const char *type, const char *props, bool pci, void (*special)(GRand *rand))
{
    const char *text = g_getenv("BACKPLANE_SEED");
    guint32 seed = text ? (guint32)strtoul(text, NULL, 0) : g_random_int();
    unsigned rounds = g_getenv("BACKPLANE_LONG") ? 100 * ROUNDS : ROUNDS;
    GRand *rand = g_rand_new_with_seed(seed);
    struct bp_error err = {0};
    struct bp_viewer *viewers[2];
    struct bp_console *console;
    struct bp_device *dev;

    g_test_message("%s: seed %u", type, seed);
    bp_test_device(host, type, props, &dev, &err);
    g_assert_cmpstr(err.message, ==, "");
    if (pci) {
        bool ports = bp_test_config_read(host, DEVFN, 0x10, 4) & 1;

        bp_test_config_write(host, DEVFN, 0x10, ports ? IO : BAR0, 4);
        bp_test_config_write(host, DEVFN, 0x14, ports ? BAR0 : BAR1, 4);
        bp_test_config_write(host, DEVFN, 0x18, BAR2, 4);
        bp_test_config_write(host, DEVFN, 0x1c, IO, 4);
        bp_test_config_write(host, DEVFN, 0x04, 7, 2);
    }
    console = display->console_at(NULL, 0);
    g_assert_nonnull(console);
    for (unsigned i = 0; i < 2; i++)
        display->viewer_new(console, "test", i ? BP_VIEWER_CELLS | BP_VIEWER_STEADY : 0, NULL, NULL,
                            &viewers[i], &err);
    for (unsigned i = 0; i < rounds; i++) {
        switch (g_rand_int(rand) % 6) {
        case 0:
            port(rand);
            break;
        case 1:
            dispi(rand);
            break;
        case 2:
        case 3:
            indexed(rand);
            break;
        default:
            memory(rand);
            break;
        }
        if (special && i % 3 == 0)
            special(rand);
        if (i % 61 == 0)
            light_up(rand);
        if (i % 127 == 0)
            look(viewers[i & 1]);
        if (i % (rounds / 6) == 0)
            save_and_load(dev);
        if (i % 9973 == 0)
            bp_test_reset(host);
    }
    display->viewer_free(viewers[0]);
    display->viewer_free(viewers[1]);
    bp_device_destroy(dev);
    g_assert_null(display->console_at(NULL, 0));
    g_rand_free(rand);
}

static void standard_vga(void)
{
    drive("VGA", "addr=05.0,vgamem_mb=4", true, NULL);
}

static void secondary_vga(void)
{
    drive("secondary-vga", "addr=05.0,vgamem_mb=1", true, NULL);
}

static void bochs_display(void)
{
    drive("bochs-display", "addr=05.0,vgamem=4M", true, NULL);
}

static void isa_vga(void)
{
    drive("isa-vga", "vgamem_mb=2", false, NULL);
}

static void cirrus_vga(void)
{
    drive("cirrus-vga", "addr=05.0", true, cirrus);
}

static void isa_cirrus_vga(void)
{
    drive("isa-cirrus-vga", "vgamem_mb=1", false, cirrus);
}

static void vmware_svga(void)
{
    drive("vmware-svga", "addr=05.0,vgamem_mb=4", true, vmware);
}

static void qxl_vga(void)
{
    drive("qxl-vga", "addr=05.0,vgamem_mb=4,ram_size=8M,vram_size=1M", true, qxl);
}

/* Whatever bytes a state has, it is refused or leads to a picture. They are the VGA's, and those
 * behind its memory of one MiB. */
static void hostile_states(const char *type, const char *props)
{
    GRand *rand = g_rand_new_with_seed(5);
    struct bp_error err = {0};
    struct bp_viewer *viewer;
    struct bp_device *dev;
    size_t size;
    uint8_t *state;
    void *saved;

    bp_test_device(host, type, props, &dev, &err);
    display->viewer_new(display->console_at(NULL, 0), "test", 0, NULL, NULL, &viewer, &err);
    light_up(rand);
    g_assert_cmpint(bp_test_save(dev, &saved, &size, &err), ==, 0);
    state = g_malloc(size);
    for (unsigned i = 0; i < 300; i++) {
        memcpy(state, saved, size);
        for (unsigned n = g_rand_int(rand) % 8 + 1; n; n--)
            state[((g_rand_int(rand) & 1 ? 0 : 1u << 20) + g_rand_int(rand) % 2600) % size] =
                (uint8_t)value(rand);
        bp_test_restore(dev, state, size, NULL);
        look(viewer);
    }
    g_free(state);
    free(saved);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
    g_rand_free(rand);
}

static void hostile_states_harm_nobody(void)
{
    hostile_states("isa-vga", "vgamem_mb=1");
    hostile_states("isa-cirrus-vga", "vgamem_mb=1");
    hostile_states("vmware-svga", "addr=05.0,vgamem_mb=1");
    hostile_states("qxl-vga", "addr=05.0,vgamem_mb=1,ram_size=2M,vram_size=1M");
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
#define CASE(name) g_test_add_func("/vga-random/" #name, name)
    CASE(standard_vga);
    CASE(secondary_vga);
    CASE(bochs_display);
    CASE(isa_vga);
    CASE(cirrus_vga);
    CASE(isa_cirrus_vga);
    CASE(vmware_svga);
    CASE(qxl_vga);
    CASE(hostile_states_harm_nobody);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}

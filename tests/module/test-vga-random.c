/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random accesses to every display adapter while somebody looks at it, on the fake host: nothing reaches
 * beyond its memory (sanitizers see it), pictures stay within their limits, and a saved state is loaded as
 * it was. Seeded: BACKPLANE_SEED, printed. BACKPLANE_LONG=1: a hundred times as many.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include <bp/host/display.h>
#include <bp/test.h>

#define ROUNDS 60000u
#define BAR0 0xe0000000u
#define BAR2 0xf0000000u
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
    static const uint32_t special[] = {0, 1, 0xff, 0x7f, 0x80, 0xffff, 0x7fff, 0xffffffff, 0x80000000};

    return g_rand_int(rand) & 1 ? g_rand_int(rand) : pick(rand, special, G_N_ELEMENTS(special));
}

static void port(GRand *rand)
{
    static const uint32_t ports[] = {0x3b4, 0x3b5, 0x3ba, 0x3c0, 0x3c1, 0x3c2, 0x3c4, 0x3c5, 0x3c6, 0x3c7,
                                     0x3c8, 0x3c9, 0x3ce, 0x3cf, 0x3d4, 0x3d5, 0x3da, 0x1ce, 0x1cf, 0x1d0};
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

static void drive(const char *type, const char *props, bool pci)
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
        bp_test_config_write(host, DEVFN, 0x10, BAR0, 4);
        bp_test_config_write(host, DEVFN, 0x18, BAR2, 4);
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
    drive("VGA", "addr=05.0,vgamem_mb=4", true);
}

static void secondary_vga(void)
{
    drive("secondary-vga", "addr=05.0,vgamem_mb=1", true);
}

static void bochs_display(void)
{
    drive("bochs-display", "addr=05.0,vgamem=4M", true);
}

static void isa_vga(void)
{
    drive("isa-vga", "vgamem_mb=2", false);
}

/* Whatever bytes a state has, it is refused or leads to a picture. */
static void hostile_states_harm_nobody(void)
{
    GRand *rand = g_rand_new_with_seed(5);
    struct bp_error err = {0};
    struct bp_viewer *viewer;
    struct bp_device *dev;
    size_t size;
    uint8_t *state;
    void *saved;

    bp_test_device(host, "isa-vga", "vgamem_mb=1", &dev, &err);
    display->viewer_new(display->console_at(NULL, 0), "test", 0, NULL, NULL, &viewer, &err);
    light_up(rand);
    g_assert_cmpint(bp_test_save(dev, &saved, &size, &err), ==, 0);
    state = g_malloc(size);
    for (unsigned i = 0; i < 300; i++) {
        memcpy(state, saved, size);
        for (unsigned n = g_rand_int(rand) % 8 + 1; n; n--)
            state[g_rand_int(rand) % 2000] = (uint8_t)value(rand);
        bp_test_restore(dev, state, size, NULL);
        look(viewer);
    }
    g_free(state);
    free(saved);
    display->viewer_free(viewer);
    bp_device_destroy(dev);
    g_rand_free(rand);
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
    CASE(hostile_states_harm_nobody);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}

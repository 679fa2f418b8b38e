/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Images whose power is cut in the midst of random requests. */
#ifndef IMAGE_CUTS_H
#define IMAGE_CUTS_H

#include "qcow2-images.h"

static const uint8_t *image_base; /* LENGTH bytes that images stand on, or NULL */

static uint64_t image_growth; /* bytes that images become longer now and then; 0: they do not */

struct cut {
    struct walk w;
    uint8_t *flushed, *touched; /* touched: since the last flush */
};

/* Until the power goes. */
static int cut_requests(void *opaque, struct bp_error *err)
{
    struct cut *c = opaque;
    struct walk *w = &c->w;
    uint8_t buf[4096];

    (void)err;
    for (unsigned i = 0; i < 400; i++) {
        uint64_t at = any(w, LENGTH / 512) * 512, bytes = 512 * (1 + any(w, 8));
        int what = (int)any(w, 10), ret;

        bytes = bytes < LENGTH - at ? bytes : LENGTH - at;
        if (image_growth && i % 40 == 20) { /* tables move, and what was where they go */
            int64_t length = block->length(w->f.blk);

            ret = block->image_resize(block->find("q"), (uint64_t)length + image_growth, NULL);
        } else if (what == 0) {
            ret = ask(&w->f, BP_BLOCK_FLUSH, 0, NULL, 0, 0);
            if (ret == 0) {
                memcpy(c->flushed, w->model, LENGTH);
                memset(c->touched, 0, LENGTH);
            }
        } else if (what == 1) {
            memset(c->touched + at, 1, bytes);
            ret = ask(&w->f, BP_BLOCK_WRITE_ZEROES, at, NULL, bytes, BP_BLOCK_MAY_UNMAP);
            memset(w->model + at, 0, bytes);
        } else {
            memset(buf, 1 + (int)any(w, 255), bytes);
            memset(c->touched + at, 1, bytes);
            ret = ask(&w->f, BP_BLOCK_WRITE, at, buf, bytes, 0);
            memcpy(w->model + at, buf, bytes);
        }
        if (ret < 0)
            return ret;
    }
    return 0;
}

/* What came by growing is zeroes; how long it became depends on where the power went. */
static void assert_new_is_zero(struct cut *c, uint8_t *buf)
{
    uint64_t length = (uint64_t)block->length(c->w.f.blk);

    if (length == LENGTH)
        return;
    g_assert_cmpuint((length - LENGTH) % image_growth, ==, 0);
    for (uint64_t at = LENGTH; at + LENGTH <= length && at < 16 * LENGTH; at += LENGTH) {
        g_assert_cmpint(ask(&c->w.f, BP_BLOCK_READ, at, buf, LENGTH, 0), ==, 0);
        for (size_t i = 0; i < LENGTH; i++)
            g_assert_cmpuint(buf[i], ==, 0);
    }
}

/* What was flushed is there; the check finds leaks at most (and as many errors as the format has marks that tell of a
 * writer that did not end), and mends them. */
static G_GNUC_UNUSED void cut_once(const char *more, unsigned seed, unsigned marks)
{
    struct cut c = {.w = {.model = g_malloc0(LENGTH), .length = LENGTH, .rand = g_rand_new_with_seed(seed)},
                    .flushed = g_malloc0(LENGTH), .touched = g_malloc0(LENGTH)};
    char *path = path_of("cut.img");
    uint8_t *all = g_malloc(LENGTH);
    struct bp_block_check check;

    if (image_base) { /* what is around a write in a block is copied from there */
        memcpy(c.flushed, image_base, LENGTH);
        memcpy(c.w.model, image_base, LENGTH);
    }
    create(path, LENGTH, more);
    command("blockdev-add", "{\"driver\": \"%s\", \"node-name\": \"q\", \"discard\": \"unmap\", \"file\": "
            "{\"driver\": "
            "\"power-cut\", \"seed\": %u, \"cut-after\": %u, \"forget\": true, \"reorder\": true, \"tear\": %s, "
            "\"file\": "
            "{\"driver\": \"file\", \"filename\": \"%s\", \"cache\": {\"no-flush\": "
            "true}}}}", image_format, seed, 5 + seed * 7 % 190,
            seed % 3 ? "false" : "true", path);
    open_front(&c.w.f, "q");
    in_co(cut_requests, &c, NULL);
    close_front(&c.w.f);
    close_image();
    open_image(path, "");
    check = look(0);
    if (check.corruptions + check.check_errors > marks)
        g_error("%s, seed %u%s: %llu corruptions after a power cut", image_format, seed, more,
                (unsigned long long)check.corruptions);
    look(BP_BLOCK_FIX_LEAKS | (marks ? BP_BLOCK_FIX_ERRORS : 0));
    assert_clean();
    open_front(&c.w.f, "q");
    g_assert_cmpint(ask(&c.w.f, BP_BLOCK_READ, 0, all, LENGTH, 0), ==, 0);
    for (size_t i = 0; i < LENGTH; i++)
        if (!c.touched[i] && all[i] != c.flushed[i])
            g_error("%s, seed %u%s: byte %zu was flushed as %u and is %u",
                    image_format, seed, more, i, c.flushed[i], all[i]);
    if (image_growth)
        assert_new_is_zero(&c, all);
    close_front(&c.w.f);
    close_image();
    if (seed % 8 == 0 && strcmp(image_format, "vpc") != 0) /* which it does not check */
        peer("qemu-img check -q -f %s %s", image_format, path);
    g_rand_free(c.w.rand);
    g_free(c.w.model);
    g_free(c.flushed);
    g_free(c.touched);
    g_free(all);
    g_free(path);
}

#endif

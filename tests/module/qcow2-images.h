/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What tests of image formats share: images, checks, what another implementation says. */
#ifndef QCOW2_IMAGES_H
#define QCOW2_IMAGES_H

#include "block-front.h"

#include <bp/coroutine.h>

static const char *image_format = "qcow2"; /* of all images that are made and opened here */

/* ---- in a coroutine ---- */

struct job {
    int (*fn)(void *opaque, struct bp_error *err);
    void *opaque;
    int ret;
    struct bp_error err;
    bool done;
};

static G_GNUC_UNUSED void run_job(void *opaque)
{
    struct job *j = opaque;

    j->ret = j->fn(j->opaque, &j->err);
    j->done = true;
}

static G_GNUC_UNUSED int in_co(int (*fn)(void *opaque, struct bp_error *err), void *opaque, struct bp_error *err)
{
    struct job j = {.fn = fn, .opaque = opaque};
    struct bp_co *co;

    g_assert_cmpint(bp_co_new(NULL, bp_context_main(NULL), "test", run_job, &j, &co, NULL), ==, 0);
    bp_co_enter(co);
    for (unsigned i = 0; i < 6000000 && !j.done; i++) {
        bp_test_step(host, 0);
        if (!j.done)
            g_usleep(20);
    }
    g_assert_true(j.done);
    bp_co_unref(co);
    if (err)
        *err = j.err;
    return j.ret;
}

/* A request; within a coroutine without a turn of the loop for each. */
static G_GNUC_UNUSED int ask(struct front *f, enum bp_block_op op, uint64_t offset, void *buf, size_t bytes,
                             uint32_t flags)
{
    struct iovec iov = {buf, bytes};
    struct bp_block_request req = {.size = sizeof(req), .flags = flags, .offset = offset, .bytes = bytes,
                                   .iov = buf ? &iov : NULL, .iov_count = buf ? 1 : 0};

    return bp_co_current() ? block->submit_co(f->blk, op, op == BP_BLOCK_FLUSH ? NULL : &req)
                           : request(f, op, offset, buf, bytes, flags);
}

static G_GNUC_UNUSED int create_it(void *opaque, struct bp_error *err)
{
    return block->image_create(opaque, err);
}

/* A file and an image in it; `more` as JSON members: ", \"cluster-size\": 512". */
static G_GNUC_UNUSED void create(const char *path, uint64_t size, const char *more)
{
    char *text = g_strdup_printf("{\"driver\": \"%s\", \"file\": {\"driver\": \"file\", \"filename\": "
                                 "\"%s\", "
                                 "\"cache\": {\"no-flush\": true}}, \"size\": "
                                 "%llu%s}", image_format, path, (unsigned long long)size, more);
    struct bp_error err = {0};
    struct bp_value *v = NULL;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    g_assert_cmpint(bp_value_parse(text, strlen(text), &v, NULL), ==, 0);
    in_co(create_it, v, &err);
    g_assert_cmpstr(err.message, ==, "");
    bp_value_unref(v);
    g_free(text);
}

struct checking {
    uint32_t fix;
    struct bp_block_check check;
};

static G_GNUC_UNUSED int check_it(void *opaque, struct bp_error *err)
{
    struct checking *c = opaque;

    c->check = (struct bp_block_check){.size = sizeof(c->check)};
    return block->image_check(block->find("q"), c->fix, &c->check, err);
}

static G_GNUC_UNUSED struct bp_block_check look(uint32_t fix)
{
    struct checking c = {.fix = fix};
    struct bp_error err = {0};

    in_co(check_it, &c, &err);
    g_assert_cmpstr(err.message, ==, "");
    return c.check;
}

static G_GNUC_UNUSED void assert_clean(void)
{
    struct bp_block_check check = look(0);

    g_assert_cmpuint(check.corruptions + check.check_errors, ==, 0);
    g_assert_cmpuint(check.leaks, ==, 0);
}

struct snapping {
    enum bp_block_snapshot_op op;
    const char *name;
};

static G_GNUC_UNUSED int snap_it(void *opaque, struct bp_error *err)
{
    const struct snapping *s = opaque;

    return block->image_snapshot(block->find("q"), s->op, s->name, NULL, err);
}

static G_GNUC_UNUSED void snap(enum bp_block_snapshot_op op, const char *name)
{
    struct snapping s = {op, name};
    struct bp_error err = {0};

    in_co(snap_it, &s, &err);
    g_assert_cmpstr(err.message, ==, "");
}

static G_GNUC_UNUSED void open_image(const char *path, const char *more)
{
    command("blockdev-add", "{\"driver\": \"%s\", \"node-name\": \"q\", \"discard\": \"unmap\", \"file\": "
            "{\"driver\": "
            "\"file\", \"filename\": \"%s\", \"cache\": {\"no-flush\": true}}%s}", image_format, path, more);
}

static G_GNUC_UNUSED void close_image(void)
{
    command("blockdev-del", "{\"node-name\": \"q\"}");
}

/* ---- another implementation ---- */

static bool peer(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static G_GNUC_UNUSED bool peer(const char *fmt, ...)
{
    static int there = -1;
    char *line, *out = NULL, *problem = NULL;
    int status = 0;
    va_list ap;
    bool ok;

    if (there < 0) {
        char *path = g_find_program_in_path("qemu-img");

        there = path != NULL;
        if (!there)
            g_test_message("no qemu-img here: nobody else looks at the images");
        g_free(path);
    }
    if (!there)
        return false;
    va_start(ap, fmt);
    line = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    ok = g_spawn_command_line_sync(line, &out, &problem, &status, NULL) && status == 0;
    if (!ok)
        g_error("%s: %s%s", line, out, problem);
    g_free(line);
    g_free(out);
    g_free(problem);
    return true;
}

static G_GNUC_UNUSED void assert_peer_sees(const char *path, const uint8_t *model, size_t length)
{
    char *raw = path_of("model.raw");

    g_assert_true(g_file_set_contents(raw, (const char *)model, (gssize)length, NULL));
    peer("qemu-img check -q %s", path);
    peer("qemu-img compare -q -F raw %s %s", path, raw);
    g_free(raw);
}

/* ---- random requests ---- */

#define LENGTH (3u << 20)

struct walk {
    struct front f;
    uint8_t *model;
    size_t length;
    GRand *rand;
    unsigned requests;
    bool compress;
};

static G_GNUC_UNUSED uint64_t any(struct walk *w, uint64_t most)
{
    return (uint64_t)g_rand_int_range(w->rand, 0, (gint32)most);
}

static G_GNUC_UNUSED void assert_all_reads(struct walk *w)
{
    uint8_t *buf = g_malloc(w->length);

    g_assert_cmpint(ask(&w->f, BP_BLOCK_READ, 0, buf, w->length, 0), ==, 0);
    for (size_t i = 0; i < w->length; i++)
        if (buf[i] != w->model[i])
            g_error("byte %zu is %u, not %u", i, buf[i], w->model[i]);
    g_free(buf);
}

#endif

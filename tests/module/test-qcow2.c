/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The format qcow2: random requests on images of every kind beside a model in memory; snapshots; chains. */
#include "qcow2-images.h"

#include <fcntl.h>
#include <unistd.h>

/* ---- random requests ---- */

static void one_request(struct walk *w)
{
    uint64_t at = any(w, w->length), bytes = 1 + any(w, any(w, 4) ? 9000 : 300000);
    uint8_t *buf, byte = (uint8_t)any(w, 256);

    if (bytes > w->length - at)
        bytes = w->length - at;
    if (any(w, 3) == 0) { /* where tables and clusters begin */
        at &= ~UINT64_C(65535);
        bytes = bytes < w->length - at ? bytes : w->length - at;
    }
    buf = g_malloc(bytes);
    switch (any(w, 9)) {
    case 0:
        g_assert_cmpint(ask(&w->f, BP_BLOCK_WRITE_ZEROES, at, NULL, bytes,
                                any(w, 2) ? BP_BLOCK_MAY_UNMAP : 0), ==, 0);
        memset(w->model + at, 0, bytes);
        break;
    case 1: /* what is discarded may read as anything: as zeroes, or as before */
        g_assert_cmpint(ask(&w->f, BP_BLOCK_DISCARD, at, NULL, bytes, 0), ==, 0);
        g_assert_cmpint(ask(&w->f, BP_BLOCK_READ, at, buf, bytes, 0), ==, 0);
        for (uint64_t i = 0; i < bytes; i++)
            g_assert_true(buf[i] == 0 || buf[i] == w->model[at + i]);
        memcpy(w->model + at, buf, bytes);
        break;
    case 2:
        g_assert_cmpint(ask(&w->f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
        break;
    case 3: case 4:
        g_assert_cmpint(ask(&w->f, BP_BLOCK_READ, at, buf, bytes, 0), ==, 0);
        g_assert_cmpmem(buf, bytes, w->model + at, bytes);
        break;
    default:
        for (uint64_t i = 0; i < bytes; i++)
            buf[i] = (uint8_t)(byte + i / 97);
        g_assert_cmpint(ask(&w->f, BP_BLOCK_WRITE, at, buf, bytes,
                                w->compress && any(w, 2) ? BP_BLOCK_COMPRESSED : 0), ==, 0);
        memcpy(w->model + at, buf, bytes);
        break;
    }
    g_free(buf);
}

static int walk_requests(void *opaque, struct bp_error *err)
{
    struct walk *w = opaque;

    (void)err;
    for (unsigned i = 0; i < w->requests; i++)
        one_request(w);
    assert_all_reads(w);
    g_assert_cmpint(ask(&w->f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
    return 0;
}

static void walk_on(const char *more, const char *backing, unsigned seed, unsigned requests, bool compress)
{
    struct walk w = {.model = g_malloc0(LENGTH), .length = LENGTH, .rand = g_rand_new_with_seed(seed),
                     .requests = requests, .compress = compress};
    char *path = path_of("walk.qcow2");

    create(path, LENGTH, more);
    if (backing) {
        char *data;
        size_t n;

        g_assert_true(g_file_get_contents(backing, &data, &n, NULL));
        memcpy(w.model, data, n);
        g_free(data);
    }
    for (unsigned part = 0; part < 3; part++) {
        open_image(path, part == 1 ? ", \"cache-size\": 8192" : "");
        open_front(&w.f, "q");
        in_co(walk_requests, &w, NULL);
        close_front(&w.f);
        assert_clean();
        close_image();
        if (part != 1)
            assert_peer_sees(path, w.model, w.length);
    }
    g_rand_free(w.rand);
    g_free(w.model);
    g_free(path);
}

static void random_requests_keep_every_kind_of_image_whole(void)
{
    static const char *const kinds[] = {
        "", ", \"cluster-size\": 512", ", \"cluster-size\": 1024, \"refcount-bits\": 1",
        ", \"cluster-size\": 4096, \"refcount-bits\": 64", ", \"cluster-size\": 2097152",
        ", \"version\": \"v2\"", ", \"version\": \"v2\", \"cluster-size\": 512", ", \"lazy-refcounts\": true",
        ", \"extended-l2\": true", ", \"extended-l2\": true, \"cluster-size\": 16384",
        ", \"preallocation\": \"metadata\"", ", \"preallocation\": \"metadata\", \"cluster-size\": 4096",
        ", \"refcount-bits\": 2, \"cluster-size\": 8192", ", \"preallocation\": \"full\""};

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_test_message("%s", kinds[i]);
        walk_on(kinds[i], NULL, 17 + i, 50, i & 1);
        if (g_test_thorough())
            walk_on(kinds[i], NULL, 1017 + i, 1000, !(i & 1));
    }
}

static void random_requests_see_what_is_below(void)
{
    static const char *const kinds[] = {"", ", \"cluster-size\": 512", ", \"version\": \"v2\"",
                                        ", \"extended-l2\": true", ", \"cluster-size\": 2097152"};
    char *base = make_file("base.img", 2000000);

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        char *more = g_strdup_printf("%s, \"backing-file\": \"base.img\", \"backing-fmt\": \"raw\"", kinds[i]);

        walk_on(more, base, 7 + i, 80, i & 1);
        g_free(more);
    }
    g_free(base);
}

static void data_may_lie_in_another_file(void)
{
    char *data = make_file("data.raw", 0), *more = g_strdup_printf(", \"data-file\": \"%s\"", data);
    char *raw = g_strdup_printf("%s, \"data-file-raw\": true", more);

    walk_on(more, NULL, 3, 60, false);
    g_assert_true(g_file_set_contents(data, "", 0, NULL));
    walk_on(raw, NULL, 4, 60, false);
    g_free(more);
    g_free(raw);
    g_free(data);
}

static void what_is_compressed_with_zstd_is_read(void)
{
    struct bp_error err = {0};
    struct bp_value *v = NULL;
    const char *text = "{\"driver\": \"qcow2\", \"file\": {\"driver\": \"null-co\"}, \"size\": 512, "
                       "\"compression-type\": \"zstd\"}";

    bp_value_parse(text, strlen(text), &v, NULL);
    in_co(create_it, v, &err);
    bp_value_unref(v);
    if (strstr(err.message, "zstd")) {
        g_test_skip(err.message);
        return;
    }
    walk_on(", \"compression-type\": \"zstd\"", NULL, 5, 80, true);
}

static void requests_that_wait_for_each_other_can_be_cancelled(void)
{
    char *path = path_of("cancel.qcow2");
    struct bp_blk_request *pending[64];
    struct answer answers[64] = {{0, 1}};
    uint8_t buf[3000] = {1};
    struct iovec iov = {buf, sizeof(buf)};
    struct bp_block_request req = {.size = sizeof(req), .bytes = sizeof(buf), .iov = &iov, .iov_count = 1};
    struct front f;

    create(path, LENGTH, "");
    open_image(path, "");
    for (unsigned round = 0; round < 20; round++) {
        open_front(&f, "q");
        for (unsigned i = 0; i < G_N_ELEMENTS(pending); i++) { /* all in one new cluster */
            answers[i] = (struct answer){0, 1};
            req.offset = round * 65536 + i * 900;
            pending[i] = block->submit(f.blk, BP_BLOCK_WRITE, &req, answered, &answers[i]);
        }
        for (unsigned i = 1; i < G_N_ELEMENTS(pending); i += 2)
            block->cancel(pending[i]);
        for (unsigned i = 0; i < G_N_ELEMENTS(pending); i++) {
            if (!answers[i].count)
                wait_for(&answers[i]);
            g_assert_true(answers[i].ret == 0 || (i & 1 && answers[i].ret == -ECANCELED));
        }
        close_front(&f);
    }
    assert_clean();
    close_image();
    peer("qemu-img check -q %s", path);
    g_free(path);
}

/* ---- snapshots ---- */

static void snapshots_keep_what_was(void)
{
    static const char *const kinds[] = {"", ", \"cluster-size\": 512", ", \"extended-l2\": true", ", "
            "\"version\": \"v2\""};

    for (unsigned kind = 0; kind < G_N_ELEMENTS(kinds); kind++) {
        struct walk w = {.model = g_malloc0(LENGTH), .length = LENGTH, .rand = g_rand_new_with_seed(99 + kind),
                         .requests = 40, .compress = true};
        char *path = path_of("snap.qcow2");
        uint8_t *kept[3];

        create(path, LENGTH, kinds[kind]);
        open_image(path, "");
        for (unsigned n = 0; n < 3; n++) {
            char name[8];

            open_front(&w.f, "q");
            in_co(walk_requests, &w, NULL);
            close_front(&w.f);
            snprintf(name, sizeof(name), "s%u", n);
            snap(BP_BLOCK_SNAPSHOT_CREATE, name);
            kept[n] = g_memdup2(w.model, LENGTH);
            assert_clean();
        }
        snap(BP_BLOCK_SNAPSHOT_DELETE, "s1");
        assert_clean();
        snap(BP_BLOCK_SNAPSHOT_APPLY, "s0");
        assert_clean();
        memcpy(w.model, kept[0], LENGTH);
        open_front(&w.f, "q");
        in_co(walk_requests, &w, NULL);
        close_front(&w.f);
        assert_clean();
        close_image();
        assert_peer_sees(path, w.model, LENGTH);
        if (peer("qemu-img snapshot -a s2 %s", path))
            assert_peer_sees(path, kept[2], LENGTH);
        open_image(path, "");
        snap(BP_BLOCK_SNAPSHOT_APPLY, "s2");
        snap(BP_BLOCK_SNAPSHOT_DELETE, "s0");
        snap(BP_BLOCK_SNAPSHOT_DELETE, "s2");
        assert_clean();
        close_image();
        assert_peer_sees(path, kept[2], LENGTH);
        for (unsigned n = 0; n < 3; n++)
            g_free(kept[n]);
        g_rand_free(w.rand);
        g_free(w.model);
        g_free(path);
    }
}

/* ---- chains ---- */

static void long_chains_are_opened_and_read(void)
{
    char *first = make_file("c0.img", 65536), *path = NULL, *name = g_strdup("c0.img");
    struct front f;

    for (unsigned i = 1; i <= 200; i++) {
        char *more = g_strdup_printf(", \"backing-file\": \"%s\", \"backing-fmt\": "
                "\"%s\"", name, i > 1 ? "qcow2" : "raw");

        g_free(path);
        g_free(name);
        name = g_strdup_printf("c%u.qcow2", i);
        path = path_of(name);
        create(path, 65536 + i * 512, more);
        g_free(more);
    }
    open_image(path, "");
    open_front(&f, "q");
    for (unsigned at = 0; at < 65536; at += 1000) {
        uint8_t byte;

        g_assert_cmpint(ask(&f, BP_BLOCK_READ, at, &byte, 1, 0), ==, 0);
        g_assert_cmpuint(byte, ==, byte_at(at));
    }
    close_front(&f);
    close_image();
    /* Without the first one: who misses it is told. */
    g_assert_cmpint(g_unlink(first), ==, 0);
    assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"file\": "
            "{\"driver\": \"file\", "
                           "\"filename\": \"%s\"}}", path), "c1.qcow2");
    g_free(first);
    g_free(path);
    g_free(name);
}

static void null_leaves_out_what_is_below(void)
{
    char *base = make_file("n.img", 65536), *path = path_of("n.qcow2");
    struct front f;
    uint8_t byte;

    create(path, 65536, ", \"backing-file\": \"n.img\", \"backing-fmt\": \"raw\"");
    g_unlink(base);
    open_image(path, ", \"backing\": null");
    open_front(&f, "q");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 12345, &byte, 1, 0), ==, 0);
    g_assert_cmpuint(byte, ==, 0);
    close_front(&f);
    close_image();
    g_free(make_file("n.img", 65536));
    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"nothing\", \"size\": 65536, "
            "\"read-zeroes\": true}");
    open_image(path, ", \"backing\": \"nothing\"");
    open_front(&f, "q");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 12345, &byte, 1, 0), ==, 0);
    g_assert_cmpuint(byte, ==, 0);
    close_front(&f);
    close_image();
    command("blockdev-del", "{\"node-name\": \"nothing\"}");
    g_free(base);
    g_free(path);
}

static goffset room_of(const char *path)
{
    GStatBuf st;

    g_assert_cmpint(g_stat(path, &st), ==, 0);
    return st.st_blocks * 512;
}

static goffset l1_offset(const char *path)
{
    FILE *file = fopen(path, "rb");
    uint64_t at;

    g_assert_nonnull(file);
    fseek(file, 40, SEEK_SET);
    g_assert_cmpint(fread(&at, 8, 1, file), ==, 1);
    fclose(file);
    return (goffset)GUINT64_FROM_BE(at);
}

static bool is_hole(const char *path, goffset at)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool hole = lseek(fd, at, SEEK_HOLE) == at;

    close(fd);
    return hole;
}

static void discards_reach_the_file_as_the_keys_say(void)
{
    char *path = path_of("room.qcow2");
    uint8_t *buf = g_malloc(1 << 20);
    struct front f;

    memset(buf, 1, 1 << 20);
    for (unsigned pass = 0; pass < 2; pass++) {
        goffset before;

        create(path, LENGTH, "");
        open_image(path, pass ? ", \"pass-discard-request\": true, \"pass-discard-snapshot\": true"
                              : ", \"pass-discard-request\": false, \"pass-discard-snapshot\": false");
        open_front(&f, "q");
        g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 0, buf, 1 << 20, 0), ==, 0);
        g_assert_cmpint(request(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
        before = room_of(path);
        g_assert_cmpint(request(&f, BP_BLOCK_DISCARD, 0, NULL, 1 << 20, 0), ==, 0);
        g_assert_cmpint(request(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
        if (pass)
            g_assert_cmpint(room_of(path), <=, before - (1 << 20) + 65536);
        else
            g_assert_cmpint(room_of(path), >=, before);
        g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 0, buf, 1 << 20, 0), ==, 0);
        close_front(&f);
        snap(BP_BLOCK_SNAPSHOT_CREATE, "s");
        open_front(&f, "q");
        g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 0, buf, 1 << 20, 0), ==, 0);
        close_front(&f);
        before = room_of(path);
        snap(BP_BLOCK_SNAPSHOT_DELETE, "s");
        if (pass)
            g_assert_cmpint(room_of(path), <=, before - (1 << 20) + 131072);
        else
            g_assert_cmpint(room_of(path), >=, before);
        assert_clean();
        close_image();
    }
    g_free(buf);
    g_free(path);
}

static void caches_that_do_not_fit_are_refused(void)
{
    char *path = path_of("cache.qcow2");

    create(path, LENGTH, "");
    assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"cache-size\": 65536, "
                           "\"l2-cache-size\": 65536, \"refcount-cache-size\": 4096, \"file\": {\"driver\": "
                           "\"file\", "
                           "\"filename\": \"%s\"}}", path), "cache-size");
    g_free(path);
}

/* A longer disk has another L1 table; the place of the one before becomes a hole if the key says so. */
static void tables_that_go_leave_holes_as_told(void)
{
    for (unsigned pass = 0; pass < 2; pass++) {
        char *path = path_of("grow.qcow2");
        goffset before;

        create(path, UINT64_C(1) << 30, ", \"cluster-size\": 4096, \"preallocation\": \"metadata\"");
        open_image(path, pass ? ", \"pass-discard-other\": true" : "");
        before = l1_offset(path);
        command("block_resize", "{\"node-name\": \"q\", \"size\": 4294967296}");
        close_image();
        g_assert_cmpint(l1_offset(path), !=, before);
        g_assert_cmpint(is_hole(path, before), ==, pass);
        g_free(path);
    }
}

/* Behind the driver's back: the first cluster of the disk is nowhere. Whoever still has the table does not see it. */
static void forget_first_cluster(const char *path)
{
    FILE *file = fopen(path, "r+b");
    uint64_t at;

    g_assert_nonnull(file);
    fseek(file, (long)l1_offset(path), SEEK_SET);
    g_assert_cmpint(fread(&at, 8, 1, file), ==, 1);
    fseek(file, (long)(GUINT64_FROM_BE(at) & UINT64_C(0x00fffffffffffe00)), SEEK_SET);
    at = 0;
    g_assert_cmpint(fwrite(&at, 8, 1, file), ==, 1);
    fclose(file);
}

static uint8_t first_byte(struct front *f)
{
    uint8_t buf[512];

    g_assert_cmpint(request(f, BP_BLOCK_READ, 0, buf, sizeof(buf), 0), ==, 0);
    return buf[0];
}

/* An image of 128 L2 tables of 512 bytes, all of which have been used since it was opened, the first one first. */
static char *open_many_tables(struct front *f, const char *keys)
{
    const uint32_t bytes = 4u << 20;
    uint8_t *buf = g_malloc(bytes);
    char *path = path_of("tables.qcow2");

    create(path, bytes, ", \"cluster-size\": 512");
    memset(buf, 7, bytes);
    open_image(path, "");
    open_front(f, "q");
    g_assert_cmpint(request(f, BP_BLOCK_WRITE, 0, buf, bytes, 0), ==, 0);
    close_front(f);
    close_image();
    open_image(path, keys);
    open_front(f, "q");
    g_assert_cmpint(request(f, BP_BLOCK_READ, 0, buf, bytes, 0), ==, 0);
    g_free(buf);
    return path;
}

static void tables_take_the_room_they_are_given(void)
{
    static const struct {
        const char *keys;
        bool kept;
    } cases[] = {{"", true},
                 {", \"l2-cache-size\": 65536", true},
                 {", \"l2-cache-size\": 8192", false},
                 {", \"l2-cache-size\": 8192, \"refcount-cache-size\": 1048576", false},
                 {", \"refcount-cache-size\": 8192", true},
                 {", \"cache-size\": 131072", true},
                 {", \"cache-size\": 16384", false},
                 {", \"cache-size\": 131072, \"l2-cache-size\": 8192", false},
                 {", \"cache-size\": 131072, \"refcount-cache-size\": 122880", false}};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct front f;
        char *path = open_many_tables(&f, cases[i].keys);

        g_test_message("%s", cases[i].keys);
        forget_first_cluster(path);
        g_assert_cmpint(first_byte(&f), ==, cases[i].kept ? 7 : 0);
        close_front(&f);
        close_image();
        g_free(path);
    }
}

static void let_pass(gint64 us)
{
    for (gint64 until = g_get_monotonic_time() + us; g_get_monotonic_time() < until; g_usleep(1000))
        bp_test_step(host, 0);
}

static void tables_that_nobody_uses_leave(void)
{
    for (unsigned seconds = 0; seconds < 2; seconds++) {
        char *keys = g_strdup_printf(", \"cache-clean-interval\": %u", seconds);
        struct front f;
        char *path = open_many_tables(&f, keys);

        forget_first_cluster(path);
        g_assert_cmpint(first_byte(&f), ==, 7);
        let_pass(2200000); /* two intervals: it was used in the first one */
        for (unsigned i = 0; seconds && i < 10 && first_byte(&f) == 7; i++)
            let_pass(2200000);
        g_assert_cmpint(first_byte(&f), ==, seconds ? 0 : 7);
        close_front(&f);
        close_image();
        g_free(path);
        g_free(keys);
    }
}

static void circles_end(void)
{
    char *path = path_of("circle.qcow2");

    create(path, 65536, ", \"backing-file\": \"circle.qcow2\", \"backing-fmt\": \"qcow2\"");
    assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"file\": "
            "{\"driver\": \"file\", "
                           "\"filename\": \"%s\"}}", path), "circle");
    g_free(path);
}

static void names_of_json_lead_below(void)
{
    char *base = make_file("j.img", 65536), *path = path_of("j.qcow2");
    char *more = g_strdup_printf(", \"backing-file\": "
            "\"json:{\\\"driver\\\":\\\"raw\\\",\\\"file.driver\\\":\\\"file\\\","
                                 "\\\"file.filename\\\":\\\"%s\\\"}\"", base);
    struct front f;
    uint8_t byte;

    create(path, 65536, more);
    open_image(path, "");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_READ, 12345, &byte, 1, 0), ==, 0);
    g_assert_cmpuint(byte, ==, byte_at(12345));
    close_front(&f);
    close_image();
    g_free(more);
    g_free(path);
    g_free(base);
}

/* Whatever is discarded and written again, the file does not grow, and nothing moves. */
static void what_is_discarded_can_keep_its_place(void)
{
    static const char *const kinds[] = {"", ", \"extended-l2\": true, \"cluster-size\": 16384"};
    uint8_t *buf = g_malloc(LENGTH), *model = g_malloc0(LENGTH);
    char *path = path_of("place.qcow2");
    struct front f;
    GStatBuf before, after;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        create(path, LENGTH, kinds[i]);
        open_image(path, ", \"discard-no-unref\": true");
        open_front(&f, "q");
        memset(buf, 3, LENGTH);
        g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, LENGTH, 0), ==, 0);
        g_assert_cmpint(ask(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
        g_stat(path, &before);
        for (unsigned n = 0; n < 9; n++) {
            g_assert_cmpint(ask(&f, BP_BLOCK_DISCARD, 0, NULL, LENGTH, 0), ==, 0);
            g_assert_cmpint(ask(&f, BP_BLOCK_READ, 0, buf, LENGTH, 0), ==, 0);
            g_assert_cmpmem(buf, LENGTH, model, LENGTH);
            g_assert_cmpint(ask(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
            memset(buf, 4, 65536);
            g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, (8 - n) * 65536, buf, 65536, 0), ==, 0);
            g_assert_cmpint(ask(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
        }
        g_stat(path, &after);
        g_assert_cmpint(after.st_size, ==, before.st_size);
        close_front(&f);
        assert_clean();
        close_image();
        memset(model, 4, 65536);
        assert_peer_sees(path, model, LENGTH);
        memset(model, 0, 65536);
        open_image(path, ""); /* without the key it goes */
        open_front(&f, "q");
        g_assert_cmpint(ask(&f, BP_BLOCK_DISCARD, 0, NULL, LENGTH, 0), ==, 0);
        close_front(&f);
        assert_clean();
        close_image();
    }
    create(path, LENGTH, ", \"version\": \"v2\"");
    assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"discard-no-unref\": true, "
                           "\"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}", path), "version 2");
    g_free(path);
    g_free(buf);
    g_free(model);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/qcow2/" #NAME, NAME)
    CASE(random_requests_keep_every_kind_of_image_whole);
    CASE(random_requests_see_what_is_below);
    CASE(data_may_lie_in_another_file);
    CASE(what_is_compressed_with_zstd_is_read);
    CASE(requests_that_wait_for_each_other_can_be_cancelled);
    CASE(snapshots_keep_what_was);
    CASE(long_chains_are_opened_and_read);
    CASE(null_leaves_out_what_is_below);
    CASE(discards_reach_the_file_as_the_keys_say);
    CASE(caches_that_do_not_fit_are_refused);
    CASE(tables_that_go_leave_holes_as_told);
    CASE(tables_take_the_room_they_are_given);
    CASE(tables_that_nobody_uses_leave);
    CASE(circles_end);
    CASE(names_of_json_lead_below);
    CASE(what_is_discarded_can_keep_its_place);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

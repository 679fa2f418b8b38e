/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The format qcow2: what is around a small write to a new cluster reads as before, whatever was in the file there.
 * Files that are read out of the host's cache let others have their turn.
 */
#include "qcow2-images.h"

#define CLUSTER 65536u
#define OLD 0xaa

static void write_at(struct front *f, uint64_t at, uint8_t byte, size_t bytes)
{
    uint8_t *buf = g_malloc(bytes);

    memset(buf, byte, bytes);
    g_assert_cmpint(ask(f, BP_BLOCK_WRITE, at, buf, bytes, 0), ==, 0);
    g_free(buf);
}

static void flush(struct front *f)
{
    g_assert_cmpint(ask(f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
}

/* `bytes` of `byte` at `at` and zeroes elsewhere is all that can be read, here and by whoever else is there. */
static void assert_holds_only(struct front *f, const char *path, uint64_t at, uint8_t byte, size_t bytes)
{
    uint8_t *model = g_malloc0(LENGTH), *buf = g_malloc(LENGTH);

    memset(model + at, byte, bytes);
    g_assert_cmpint(ask(f, BP_BLOCK_READ, 0, buf, LENGTH, 0), ==, 0);
    for (size_t i = 0; i < LENGTH; i++)
        if (buf[i] != model[i])
            g_error("byte %zu is %#x, not %#x", i, buf[i], model[i]);
    close_front(f);
    assert_clean();
    close_image();
    if (path)
        assert_peer_sees(path, model, LENGTH);
    g_free(model);
    g_free(buf);
}

/* Places and sizes of a request within what it allocates. */
static const struct { uint64_t at; size_t bytes; } parts[] = {
    {0, 512}, {1024, 512}, {70000, 100}, {CLUSTER - 512, 1024}, {3 * CLUSTER - 1, 1}, {5000, 3 * CLUSTER},
    {LENGTH - 100, 100}, {2u << 20, 4096}};

static void what_was_in_a_cluster_does_not_show_when_it_is_used_again(void)
{
    static const char *const kinds[] = {"", ", \"cluster-size\": 4096", ", \"cluster-size\": 1048576",
                                        ", \"extended-l2\": true", ", \"extended-l2\": true, \"cluster-size\": 2097152",
                                        ", \"version\": \"v2\"", ", \"lazy-refcounts\": true"};
    char *path = path_of("again.qcow2");

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds) * G_N_ELEMENTS(parts); i++) {
        unsigned part = i % G_N_ELEMENTS(parts);
        struct front f;
        GStatBuf before, after;

        create(path, LENGTH, kinds[i / G_N_ELEMENTS(parts)]);
        /* What is discarded stays in the file below. */
        open_image(path, ", \"pass-discard-request\": false");
        open_front(&f, "q");
        write_at(&f, 0, OLD, LENGTH);
        flush(&f);
        g_stat(path, &before);
        g_assert_cmpint(ask(&f, BP_BLOCK_DISCARD, 0, NULL, LENGTH, 0), ==, 0);
        flush(&f);
        if ((i ^ i / G_N_ELEMENTS(parts)) & 1) { /* others that open it know no more of it than its tables say */
            close_front(&f);
            close_image();
            open_image(path, "");
            open_front(&f, "q");
        }
        write_at(&f, parts[part].at, 7, parts[part].bytes);
        flush(&f);
        g_stat(path, &after);
        g_assert_cmpint(after.st_size, ==, before.st_size);
        assert_holds_only(&f, i % 7 ? NULL : path, parts[part].at, 7, parts[part].bytes);
    }
    g_free(path);
}

static void add_garbage(const char *path, size_t bytes)
{
    char *garbage = g_malloc(bytes);
    FILE *file = fopen(path, "ab");

    memset(garbage, 0xee, bytes);
    g_assert_nonnull(file);
    g_assert_cmpuint(fwrite(garbage, 1, bytes, file), ==, bytes);
    g_assert_cmpint(fclose(file), ==, 0);
    g_free(garbage);
}

static void what_lies_behind_an_image_does_not_show(void)
{
    static const char *const kinds[] = {"", ", \"extended-l2\": true", ", \"cluster-size\": 2097152",
                                        ", \"cluster-size\": 512"};
    char *path = path_of("behind.qcow2");
    struct front f;
    GStatBuf st;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds) * G_N_ELEMENTS(parts); i++) {
        unsigned part = i % G_N_ELEMENTS(parts);

        create(path, LENGTH, kinds[i / G_N_ELEMENTS(parts)]);
        g_stat(path, &st); /* an L2 table comes first; it may end in the midst of what is given out then */
        add_garbage(path, i & 1 ? 2 * CLUSTER + 1000 - (size_t)st.st_size % CLUSTER : 2 * LENGTH);
        open_image(path, "");
        open_front(&f, "q");
        write_at(&f, parts[part].at, 7, parts[part].bytes);
        flush(&f);
        assert_holds_only(&f, i % 7 ? NULL : path, parts[part].at, 7, parts[part].bytes);
    }
    g_free(path);
}

/* Whoever opened it to read it has not seen how long the file became since. */
static void what_others_wrote_before_an_image_is_written_to_does_not_show(void)
{
    char *path = path_of("others.qcow2");
    struct front f;

    create(path, LENGTH, "");
    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"below\", \"filename\": \"%s\"}", path);
    command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"read-only\": true, \"file\": "
            "\"below\"}");
    add_garbage(path, 2 * LENGTH);
    command("blockdev-reopen", "{\"options\": [{\"driver\": \"qcow2\", \"node-name\": \"q\", \"read-only\": false, "
            "\"file\": \"below\"}]}");
    open_front(&f, "q");
    write_at(&f, 70000, 7, 100);
    flush(&f);
    assert_holds_only(&f, NULL, 70000, 7, 100);
    command("blockdev-del", "{\"node-name\": \"below\"}");
    g_free(path);
}

static void what_a_data_file_held_does_not_show(void)
{
    char *path = path_of("apart.qcow2"), *data = path_of("apart.data");
    char *more = g_strdup_printf(", \"data-file\": \"%s\"", data);
    struct front f;

    for (unsigned i = 0; i < G_N_ELEMENTS(parts); i++) {
        g_assert_true(g_file_set_contents(data, "", 0, NULL));
        create(path, LENGTH, more);
        g_assert_true(g_file_set_contents(data, "", 0, NULL));
        add_garbage(data, 2 * LENGTH);
        open_image(path, "");
        open_front(&f, "q");
        write_at(&f, parts[i].at, 7, parts[i].bytes);
        flush(&f);
        assert_holds_only(&f, i % 7 ? NULL : path, parts[i].at, 7, parts[i].bytes);
    }
    g_free(more);
    g_free(data);
    g_free(path);
}

/* Behind the end of the inner image lies what the outer one has there. */
static void an_image_in_a_part_of_a_file_keeps_to_it(void)
{
    char *path = path_of("part.raw");
    struct front f;

    g_assert_true(g_file_set_contents(path, "", 0, NULL));
    create(path, LENGTH, "");
    add_garbage(path, 2 * LENGTH);
    command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"file\": {\"driver\": \"raw\", \"size\": "
            "%u, \"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}}", LENGTH + LENGTH / 2, path);
    open_front(&f, "q");
    write_at(&f, 70000, 7, 100);
    flush(&f);
    assert_holds_only(&f, NULL, 70000, 7, 100);
    g_free(path);
}

static bool has_holes(const char *path)
{
    int fd = g_open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
    GStatBuf st;

    g_assert_cmpint(ftruncate(fd, 64 << 20), ==, 0);
    g_assert_cmpint(pwrite(fd, "x", 1, 32 << 20), ==, 1);
    g_assert_cmpint(fsync(fd), ==, 0);
    close(fd);
    g_stat(path, &st);
    return st.st_blocks * 512 < 16 << 20;
}

static void small_writes_to_new_clusters_take_little_room(void)
{
    char *path = path_of("small.qcow2");
    struct front f;
    GStatBuf st;

    if (!has_holes(path)) {
        g_test_skip("files have no holes here");
        g_free(path);
        return;
    }
    create(path, 256 << 20, "");
    open_image(path, "");
    open_front(&f, "q");
    for (unsigned i = 0; i < 256; i++)
        write_at(&f, i * UINT64_C(1048576) + 5000, (uint8_t)(i + 1), 4096);
    flush(&f);
    g_stat(path, &st);
    g_assert_cmpint(st.st_size, >, 255 * (goffset)CLUSTER);
    g_assert_cmpint(st.st_blocks * 512, <, 8 << 20);
    close_front(&f);
    assert_clean();
    close_image();
    peer("qemu-img check -q %s", path);
    g_free(path);
}

/* ---- files ---- */

static void set_flag(void *opaque)
{
    *(bool *)opaque = true;
}

/* Reads until something else has happened. */
static int read_on(void *opaque, struct bp_error *err)
{
    struct front *f = opaque;
    bool happened = false;
    struct bp_timer *timer = bp_timer_new(NULL, bp_context_main(NULL), BP_CLOCK_REALTIME, set_flag, &happened);
    uint8_t buf[4096];

    (void)err;
    bp_timer_set(timer, bp_clock_ns(BP_CLOCK_REALTIME));
    for (unsigned i = 0; i < 1000 && !happened; i++) {
        g_assert_cmpint(block->submit_co(f->blk, BP_BLOCK_READ,
                                         &(struct bp_block_request){.size = sizeof(struct bp_block_request),
                                                                    .offset = i % 16 * 4096, .bytes = sizeof(buf),
                                                                    .iov = &(struct iovec){buf, sizeof(buf)},
                                                                    .iov_count = 1}), ==, 0);
        g_assert_cmpuint(buf[1], ==, byte_at(i % 16 * 4096 + 1));
    }
    bp_timer_free(timer);
    g_assert_true(happened);
    return 0;
}

static void who_reads_and_reads_lets_others_have_their_turn(void)
{
    char *path = make_file("cached.raw", 65536);
    struct front f;

    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"q\", \"filename\": \"%s\"}", path);
    open_front(&f, "q");
    in_co(read_on, &f, NULL);
    close_front(&f);
    close_image();
    g_free(path);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/qcow2-new-clusters/" #NAME, NAME)
    CASE(what_was_in_a_cluster_does_not_show_when_it_is_used_again);
    CASE(what_lies_behind_an_image_does_not_show);
    CASE(what_others_wrote_before_an_image_is_written_to_does_not_show);
    CASE(what_a_data_file_held_does_not_show);
    CASE(an_image_in_a_part_of_a_file_keeps_to_it);
    CASE(small_writes_to_new_clusters_take_little_room);
    CASE(who_reads_and_reads_lets_others_have_their_turn);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

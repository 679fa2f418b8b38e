/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The block framework and its drivers on the fake host: graphs made, requests sent, files looked at. */
#include "block-front.h"

/* ---- cases ---- */

static void what_is_written_is_in_the_file(void)
{
    char *path = make_file("a.img", 1 << 20);
    uint8_t buf[4096];
    struct front f;

    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"%s\"}", path);
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"f\"}");
    open_front(&f, "r");
    g_assert_cmpint(block->length(f.blk), ==, 1 << 20);
    g_assert_true(block->writable(f.blk));
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 12345, buf, 777, 0), ==, 0);
    for (unsigned i = 0; i < 777; i++)
        g_assert_cmpint(buf[i], ==, byte_at(12345 + i));
    memset(buf, 0x5a, sizeof(buf));
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 4096 + 13, buf, 3000, 0), ==, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
    assert_file_bytes(path, 4096 + 13, 0x5a, 3000);
    assert_file_bytes(path, 4096 + 12, byte_at(4096 + 12), 1);
    assert_file_bytes(path, 4096 + 3013, byte_at(4096 + 3013), 1);
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE_ZEROES, 8192 + 1, NULL, 9000, 0), ==, 0);
    assert_file_bytes(path, 8193, 0, 9000);
    assert_file_bytes(path, 8193 + 9000, byte_at(8193 + 9000), 1);
    close_front(&f);
    command("blockdev-del", "{\"node-name\": \"r\"}");
    command("blockdev-del", "{\"node-name\": \"f\"}");
    g_free(path);
}

static void requests_beyond_the_end_fail(void)
{
    uint8_t buf[1024] = {0};
    struct front f;

    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\", \"size\": 4096, "
            "\"read-zeroes\": true}");
    open_front(&f, "n");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 3584, buf, 512, 0), ==, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 3584, buf, 1024, 0), ==, -EIO);
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 4096, buf, 512, 0), ==, -EIO);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, UINT64_MAX - 100, buf, 512, 0), ==, -EIO);
    close_front(&f);
    command("blockdev-del", "{\"node-name\": \"n\"}");
}

static void nodes_in_use_are_not_removed(void)
{
    struct front f;

    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\"}");
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"n\"}");
    open_front(&f, "r");
    assert_refused(refused("blockdev-del", "{\"node-name\": \"n\"}"), "in use by node 'r'");
    assert_refused(refused("blockdev-del", "{\"node-name\": \"r\"}"), "in use by");
    assert_refused(refused("blockdev-del", "{\"node-name\": \"x\"}"), "no node 'x'");
    close_front(&f);
    command("blockdev-del", "{\"node-name\": \"r\"}");
    command("blockdev-del", "{\"node-name\": \"n\"}");
}

static void two_writers_need_share_rw(void)
{
    struct bp_error err = {0};
    struct front a, b, c;

    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\"}");
    open_front(&a, "n");
    g_assert_cmpint(try_open(&b, "n", &fixed, false, &err), ==, -EBUSY);
    g_assert_nonnull(strstr(err.message, "node 'n' is in use"));
    close_front(&a);
    g_assert_cmpint(try_open(&a, "n", &fixed, true, &err), ==, 0);
    g_assert_cmpint(try_open(&b, "n", &fixed, true, &err), ==, 0);
    g_assert_cmpint(try_open(&c, "n", &reader, false, &err), ==, -EBUSY);
    close_front(&a);
    close_front(&b);
    g_assert_cmpint(try_open(&a, "n", &reader, false, &err), ==, 0);
    g_assert_cmpint(try_open(&b, "n", &reader, false, &err), ==, 0);
    close_front(&a);
    close_front(&b);
    command("blockdev-del", "{\"node-name\": \"n\"}");
}

static void wrong_options_are_named(void)
{
    assert_refused(refused("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\"}"), "'file'");
    assert_refused(refused("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"x\"}"),
                   "no node 'x'");
    assert_refused(refused("blockdev-add", "{\"driver\": \"rwa\", \"node-name\": \"r\"}"), "raw");
    assert_refused(refused("blockdev-add", "{\"driver\": \"replication\", \"node-name\": \"r\"}"), "not built");
    assert_refused(refused("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"r\", \"siez\": 1}"),
                   "siez");
    assert_refused(refused("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"0\"}"), "node-name");
    assert_refused(refused("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"r\", "
                           "\"detect-zeroes\": \"unmap\"}"), "discard=unmap");
    assert_refused(refused("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"r\", "
                           "\"force-share\": true}"), "read-only=on");
    assert_refused(refused("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"r\", "
                           "\"filename\": \"/nonexistent/x\"}"), "/nonexistent/x");
    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\"}");
    assert_refused(refused("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\"}"), "already");
    command("blockdev-del", "{\"node-name\": \"n\"}");
}

static void drives_are_opened_with_their_keys(void)
{
    char *path = make_file("d.img", 65536), *keys, *reply = NULL;
    struct bp_error err = {0};
    uint8_t buf[512];
    struct front f;

    keys = g_strdup_printf("file=%s,format=raw,if=none,id=d,cache=none,werror=stop", path);
    bp_test_option(host, "drive", keys, &err);
    g_assert_cmpstr(err.message, ==, "");
    open_front(&f, "d");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 512, buf, 512, 0), ==, 0);
    g_assert_cmpint(buf[3], ==, byte_at(515));
    bp_test_command(host, "query-block", NULL, &reply, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_nonnull(strstr(reply, "\"device\":\"d\""));
    g_assert_nonnull(strstr(reply, "\"direct\":true"));
    g_assert_nonnull(strstr(reply, path));
    free(reply);
    close_front(&f);
    g_free(keys);
    keys = g_strdup_printf("file=%s,format=raw,if=none,id=d", path);
    g_assert_cmpint(bp_test_option(host, "drive", keys, &err), ==, -EEXIST);
    g_assert_nonnull(strstr(err.message, "'d'"));
    g_free(keys);
    g_free(path);
}

static void a_raw_part_is_a_window(void)
{
    char *path = make_file("w.img", 65536);
    uint8_t buf[512];
    struct front f;

    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"w\", \"offset\": 1000, \"size\": 1024, "
            "\"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}", path);
    open_front(&f, "w");
    g_assert_cmpint(block->length(f.blk), ==, 1024);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 512, buf, 512, 0), ==, 0);
    g_assert_cmpint(buf[0], ==, byte_at(1512));
    memset(buf, 9, sizeof(buf));
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 512, buf, 512, BP_BLOCK_FUA), ==, 0);
    assert_file_bytes(path, 1512, 9, 512);
    assert_file_bytes(path, 2024, byte_at(2024), 1);
    close_front(&f);
    command("blockdev-del", "{\"node-name\": \"w\"}");
    g_free(path);
}

static void many_requests_at_once_all_end(void)
{
    enum { N = 300 };
    char *path = make_file("m.img", 1 << 20);
    static uint8_t bufs[N][1536];
    static struct iovec iov[N];
    static struct answer answers[N];
    struct front f;

    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"m\", \"filename\": \"%s\"}", path);
    open_front(&f, "m");
    for (unsigned i = 0; i < N; i++) {
        struct bp_block_request req = {.size = sizeof(req), .offset = i * 1536u, .bytes = 1536,
                                       .iov = &iov[i], .iov_count = 1};

        memset(bufs[i], (int)i, sizeof(bufs[i]));
        iov[i] = (struct iovec){bufs[i], sizeof(bufs[i])};
        answers[i] = (struct answer){0, 1};
        block->submit(f.blk, BP_BLOCK_WRITE, &req, answered, &answers[i]);
    }
    for (unsigned i = 0; i < N; i++) {
        wait_for(&answers[i]);
        g_assert_cmpint(answers[i].ret, ==, 0);
    }
    g_assert_cmpint(block->in_flight(f.blk), ==, 0);
    close_front(&f);
    for (unsigned i = 0; i < N; i++)
        assert_file_bytes(path, i * 1536u, (uint8_t)i, 1536);
    command("blockdev-del", "{\"node-name\": \"m\"}");
    g_free(path);
}

static void reads_at_attach_need_no_loop(void)
{
    char *path = make_file("s.img", 4096);
    uint8_t buf[512];
    struct iovec iov = {buf, sizeof(buf)};
    struct bp_block_request req = {.size = sizeof(req), .offset = 512, .bytes = 512, .iov = &iov,
                                   .iov_count = 1};
    struct front f;

    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"s\", \"filename\": \"%s\"}", path);
    open_front(&f, "s");
    g_assert_cmpint(block->now(f.blk, BP_BLOCK_READ, &req), ==, 0);
    g_assert_cmpint(buf[1], ==, byte_at(513));
    close_front(&f);
    command("blockdev-del", "{\"node-name\": \"s\"}");
    g_free(path);
}

static void a_removable_drive_takes_another_medium(void)
{
    char *path = make_file("c.img", 8192);
    struct bp_error err = {0};
    uint8_t buf[512];
    struct front f;

    g_assert_cmpint(bp_test_option(host, "drive", "if=none,id=cd", &err), ==, 0);
    g_assert_cmpint(try_open(&f, "cd", &removable, false, &err), ==, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, -ENOMEDIUM);
    command("blockdev-change-medium", "{\"device\": \"cd\", \"filename\": \"%s\", \"format\": \"raw\"}",
            path);
    g_assert_cmpuint(f.media, ==, 1);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(buf[7], ==, byte_at(7));
    command("eject", "{\"device\": \"cd\"}");
    g_assert_cmpuint(f.media, ==, 257);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, -ENOMEDIUM);
    close_front(&f);
    g_free(path);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/block/" #NAME, NAME)
    CASE(what_is_written_is_in_the_file);
    CASE(requests_beyond_the_end_fail);
    CASE(nodes_in_use_are_not_removed);
    CASE(two_writers_need_share_rw);
    CASE(wrong_options_are_named);
    CASE(drives_are_opened_with_their_keys);
    CASE(a_raw_part_is_a_window);
    CASE(many_requests_at_once_all_end);
    CASE(reads_at_attach_need_no_loop);
    CASE(a_removable_drive_takes_another_medium);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

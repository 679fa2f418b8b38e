/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Block drivers and filters, one by one: what each promises, looked at from above and in the files below. */
#include "block-front.h"

static char *get(const char *path, size_t *length)
{
    char *data;

    g_assert_true(g_file_get_contents(path, &data, length, NULL));
    return data;
}

static void add_file(const char *name, const char *path)
{
    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"%s\", \"filename\": \"%s\", "
            "\"discard\": \"unmap\"}", name, path);
}

static void del(const char *name)
{
    command("blockdev-del", "{\"node-name\": \"%s\"}", name);
}

static void fill(struct front *f, uint64_t offset, uint8_t byte, size_t bytes, uint32_t flags, int expected)
{
    uint8_t *buf = g_malloc(bytes);

    memset(buf, byte, bytes);
    g_assert_cmpint(request(f, BP_BLOCK_WRITE, offset, buf, bytes, flags), ==, expected);
    g_free(buf);
}

static void assert_reads(struct front *f, uint64_t offset, uint8_t byte, size_t bytes)
{
    uint8_t *buf = g_malloc(bytes);

    g_assert_cmpint(request(f, BP_BLOCK_READ, offset, buf, bytes, 0), ==, 0);
    for (size_t i = 0; i < bytes; i++)
        g_assert_cmpint(buf[i], ==, byte);
    g_free(buf);
}

static int flush(struct front *f)
{
    return request(f, BP_BLOCK_FLUSH, 0, NULL, 0, 0);
}

/* ---- ways to the kernel ---- */

static void each_aio_way_moves_the_same_bytes(void)
{
    static const char *const ways[] = {"threads", "native", "io_uring"};
    char *path = make_file("aio.img", 1 << 20);
    bool direct = file_system_does_direct_io(path);

    for (unsigned i = 0; i < G_N_ELEMENTS(ways); i++) {
        struct bp_error err = {0};
        struct front f;
        char *args = g_strdup_printf("{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"%s\", "
                                     "\"aio\": \"%s\", \"cache\": {\"direct\": %s}}", path, ways[i],
                                     direct || i == 1 ? "true" : "false");
        int ret = bp_test_command(host, "blockdev-add", args, NULL, &err);

        g_free(args);
        /* Not every host has each: then the message says what is missing. */
        if (!way_is_there(ways[i]) || (i == 1 && !direct)) {
            g_assert_cmpint(ret, <, 0);
            g_assert_nonnull(strstr(err.message, direct || i != 1 ? ways[i] : "direct"));
            g_test_message("%s", err.message);
            continue;
        }
        g_assert_cmpstr(ret < 0 ? err.message : "", ==, "");
        open_front(&f, "f");
        for (unsigned n = 0; n < 40; n++) {
            fill(&f, 1000 + n * 5000, (uint8_t)(n + i), 3000 + n, n % 3 ? 0 : BP_BLOCK_FUA, 0);
            assert_reads(&f, 1000 + n * 5000, (uint8_t)(n + i), 3000 + n);
        }
        g_assert_cmpint(flush(&f), ==, 0);
        for (unsigned n = 0; n < 40; n++)
            assert_file_bytes(path, 1000 + n * 5000, (uint8_t)(n + i), 3000 + n);
        assert_file_bytes(path, 999, byte_at(999), 1);
        close_front(&f);
        del("f");
    }
    g_free(path);
}

static void native_aio_needs_direct_io(void)
{
    char *path = make_file("n.img", 4096);

    assert_refused(refused("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"%s\","
                           " \"aio\": \"native\"}", path), "aio=native");
    g_free(path);
}

static void a_short_last_block_stays_short(void)
{
    char *path = make_file("short.img", 10000), *data;
    struct front f;
    size_t length;

    if (!file_system_does_direct_io(path)) {
        g_test_skip("the file system of temporary files does no direct I/O");
        g_free(path);
        return;
    }
    command("blockdev-add", "{\"driver\": \"file\", \"node-name\": \"f\", \"filename\": \"%s\", "
            "\"cache\": {\"direct\": true}}", path);
    open_front(&f, "f");
    fill(&f, 9900, 7, 100, 0, 0);
    assert_reads(&f, 9900, 7, 100);
    close_front(&f);
    del("f");
    data = get(path, &length);
    g_assert_cmpuint(length, ==, 10000);
    g_assert_cmpint(data[9999], ==, 7);
    g_assert_cmpint((uint8_t)data[9899], ==, byte_at(9899));
    g_free(data);
    g_free(path);
}

/* ---- zeroes and discards ---- */

static goffset blocks_of(const char *path)
{
    GStatBuf st;

    g_assert_cmpint(g_stat(path, &st), ==, 0);
    return st.st_blocks * 512;
}

static void discards_punch_holes_when_asked_for(void)
{
    char *path = make_file("h.img", 1 << 20);
    struct front f;

    add_file("f", path);
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"f\"}");
    open_front(&f, "r");
    g_assert_cmpint(request(&f, BP_BLOCK_DISCARD, 0, NULL, 1 << 19, 0), ==, 0);
    g_assert_cmpint(blocks_of(path), >=, 1 << 20); /* ignored */
    close_front(&f);
    del("r");
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"f\", \"discard\": \"unmap\", "
            "\"detect-zeroes\": \"unmap\"}");
    open_front(&f, "r");
    g_assert_cmpint(request(&f, BP_BLOCK_DISCARD, 0, NULL, 1 << 19, 0), ==, 0);
    g_assert_cmpint(blocks_of(path), <=, (1 << 19) + 65536);
    assert_reads(&f, 0, 0, 4096);
    fill(&f, 1 << 19, 0, 1 << 18, 0, 0); /* zeroes that are written */
    g_assert_cmpint(blocks_of(path), <=, (1 << 18) + 65536);
    assert_reads(&f, 1 << 19, 0, 1 << 18);
    close_front(&f);
    del("r");
    del("f");
    g_free(path);
}

/* ---- locks ---- */

static void a_file_that_is_written_to_is_locked(void)
{
    char *path = make_file("l.img", 65536), *message;
    struct bp_error err = {0};
    struct front a, b;

    add_file("one", path);
    add_file("two", path);
    open_front(&a, "one");
    g_assert_cmpint(try_open(&b, "two", &fixed, false, &err), ==, -EAGAIN);
    message = err.message;
    g_assert_nonnull(strstr(message, "lock"));
    g_assert_nonnull(strstr(message, path));
    g_assert_nonnull(strstr(message, "-snapshot"));
    err = (struct bp_error){0};
    g_assert_cmpint(try_open(&b, "two", &reader, false, &err), ==, -EAGAIN);
    close_front(&a);
    /* Those that only read share it, those that share writing too. */
    g_assert_cmpint(try_open(&a, "one", &reader, false, &err), ==, 0);
    g_assert_cmpint(try_open(&b, "two", &reader, false, &err), ==, 0);
    close_front(&a);
    close_front(&b);
    g_assert_cmpint(try_open(&a, "one", &fixed, true, &err), ==, 0);
    g_assert_cmpint(try_open(&b, "two", &fixed, true, &err), ==, 0);
    close_front(&a);
    close_front(&b);
    del("one");
    del("two");
    g_free(path);
}

static void force_share_reads_what_others_write(void)
{
    char *path = make_file("fs.img", 65536);
    struct bp_error err = {0};
    struct front a, b;

    add_file("one", path);
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"read-only\": true, "
            "\"force-share\": true, \"file\": {\"driver\": \"file\", \"filename\": \"%s\"}}", path);
    g_assert_cmpint(try_open(&a, "one", &fixed, true, &err), ==, 0);
    g_assert_cmpint(try_open(&b, "r", &reader, true, &err), ==, 0);
    close_front(&a);
    close_front(&b);
    del("r");
    del("one");
    g_free(path);
}

/* ---- filters ---- */

static void an_overlay_keeps_its_base_until_commit(void)
{
    char *path = make_file("base.img", 100000), *before, *after, *text;
    struct front f;
    size_t length;
    struct bp_error err = {0};

    before = get(path, &length);
    text = g_strdup_printf("file=%s,format=raw,if=none,id=over,snapshot=on", path);
    bp_test_option(host, "drive", text, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_free(text);
    open_front(&f, "over");
    g_assert_cmpint(block->length(f.blk), ==, 100000);
    fill(&f, 5000, 1, 9000, 0, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE_ZEROES, 50000, NULL, 100, 0), ==, 0);
    assert_reads(&f, 5000, 1, 9000);
    assert_reads(&f, 4999, byte_at(4999), 1);
    assert_reads(&f, 99999, byte_at(99999), 1);
    /* What is cut off would come back from below when it grows again. */
    assert_refused(refused("block_resize", "{\"device\": \"over\", \"size\": 50000}"), "shorter");
    g_assert_cmpint(block->length(f.blk), ==, 100000);
    assert_reads(&f, 99999, byte_at(99999), 1);
    after = get(path, &length);
    g_assert_cmpmem(before, 100000, after, length);
    g_free(after);
    text = bp_test_hmp(host, "commit over");
    g_assert_cmpstr(text, ==, "");
    free(text);
    assert_file_bytes(path, 5000, 1, 9000);
    assert_file_bytes(path, 14000, byte_at(14000), 1);
    assert_reads(&f, 5000, 1, 9000);
    fill(&f, 5000, 2, 10, 0, 0);
    assert_file_bytes(path, 5000, 1, 10);
    close_front(&f);
    text = bp_test_hmp(host, "drive_del over");
    g_assert_cmpstr(text, ==, "");
    free(text);
    g_free(before);
    g_free(path);
}

static void copy_on_read_fills_the_image(void)
{
    char *path = make_file("cor.img", 65536), *reply = NULL;
    struct bp_error err = {0};
    struct front f;

    command("blockdev-add", "{\"driver\": \"copy-on-read\", \"node-name\": \"c\", \"file\": {"
            "\"driver\": \"temp-overlay\", \"node-name\": \"o\", \"backing\": {\"driver\": \"file\", "
            "\"filename\": \"%s\"}}}", path);
    open_front(&f, "c");
    assert_reads(&f, 4097, byte_at(4097), 1);
    assert_reads(&f, 12288, byte_at(12288), 1);
    bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err);
    g_assert_nonnull(strstr(reply, "\"actual-size\":8192"));
    free(reply);
    /* What is copied does not hide what the guest wrote. */
    fill(&f, 4096, 9, 4096, 0, 0);
    assert_reads(&f, 4096, 9, 4096);
    close_front(&f);
    del("c");
    g_free(path);
}

static void limits_of_a_group_hold_requests_back(void)
{
    uint8_t buf[512];
    struct bp_object *group;
    struct bp_error err = {0};
    gint64 began;
    struct front f;
    double seconds;

    bp_test_object(host, "throttle-group", "g", "{\"limits\": {\"iops-total\": 100}}", &group, &err);
    g_assert_cmpstr(err.message, ==, "");
    command("blockdev-add", "{\"driver\": \"throttle\", \"node-name\": \"t\", \"throttle-group\": \"g\", "
            "\"file\": {\"driver\": \"null-co\"}}");
    open_front(&f, "t");
    began = g_get_monotonic_time();
    for (unsigned i = 0; i < 40; i++)
        g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    seconds = (double)(g_get_monotonic_time() - began) / 1e6;
    g_assert_cmpfloat(seconds, >, 0.25); /* 40 at 100 a second, but for the first 10 */
    close_front(&f);
    del("t");
    assert_refused(refused("blockdev-add", "{\"driver\": \"throttle\", \"node-name\": \"t\", "
                           "\"throttle-group\": \"x\", \"file\": {\"driver\": \"null-co\"}}"), "'x'");
}

static void draining_lets_go_what_is_throttled(void)
{
    struct bp_error err = {0};
    uint8_t buf[512];
    struct iovec iov = {buf, 512};
    struct bp_block_request req = {.size = sizeof(req), .bytes = 512, .iov = &iov, .iov_count = 1};
    struct answer a[40] = {{0, 1}};
    gint64 began = g_get_monotonic_time();
    struct front f;

    bp_test_option(host, "drive", "file=null-co://,format=null-co,if=none,id=slow,iops=1", &err);
    g_assert_cmpstr(err.message, ==, "");
    open_front(&f, "slow");
    for (unsigned i = 0; i < G_N_ELEMENTS(a); i++)
        block->submit(f.blk, BP_BLOCK_READ, &req, answered, &a[i]);
    command("block_set_io_throttle", "{\"device\": \"slow\", \"bps\": 0, \"bps_rd\": 0, \"bps_wr\": 0, "
            "\"iops\": 0, \"iops_rd\": 0, \"iops_wr\": 0}");
    for (unsigned i = 0; i < G_N_ELEMENTS(a); i++)
        wait_for(&a[i]);
    g_assert_cmpint(g_get_monotonic_time() - began, <, 30000000); /* one a second it would be 39 */
    for (unsigned i = 0; i < 200; i++)
        g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    close_front(&f);
    free(bp_test_hmp(host, "drive_del slow"));
}

static void limits_hold_when_the_medium_is_taken_out_of_a_drive(void)
{
    struct bp_error err = {0};
    struct bp_object *group;
    uint8_t buf[512];
    struct front f;
    gint64 began;

    bp_test_object(host, "throttle-group", "out", "{\"limits\": {\"iops-total\": 100}}", &group, &err);
    g_assert_cmpstr(err.message, ==, "");
    bp_test_option(host, "drive", "if=none,id=out,driver=throttle,throttle-group=out,node-name=t,"
                   "file.driver=null-co", &err);
    g_assert_cmpstr(err.message, ==, "");
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"t\"}");
    command("eject", "{\"device\": \"out\"}");
    open_front(&f, "r");
    began = g_get_monotonic_time();
    for (unsigned i = 0; i < 40; i++)
        g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(g_get_monotonic_time() - began, >, 250000); /* 40 at 100 a second, but for the first 10 */
    close_front(&f);
    del("r");
    free(bp_test_hmp(host, "drive_del out"));
}

static void wrong_limits_are_refused(void)
{
    static const char *const wrong[] = {"bps=1000,bps_rd=1000", "iops_max=5", "iops=10,iops_max=5",
                                        "bps=99999999999999999", "iops_size=4096"};

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        struct bp_error err = {0};
        char *text = g_strdup_printf("file=null-co://,format=null-co,if=none,id=w,%s", wrong[i]);

        g_assert_cmpint(bp_test_option(host, "drive", text, &err), <, 0);
        g_free(text);
    }
}

static void injected_errors_come_when_told(void)
{
    uint8_t buf[512];
    struct front f;

    command("blockdev-add", "{\"driver\": \"blkdebug\", \"node-name\": \"b\", \"image\": {\"driver\": \"null-co\"}, "
            "\"inject-error\": [{\"event\": \"read_aio\", \"errno\": 28, \"once\": true, \"skip\": 2}, "
            "{\"event\": \"none\", \"iotype\": \"flush\", \"state\": 2}, {\"event\": \"write_aio\", "
            "\"sector\": 9}], \"set-state\": [{\"event\": \"write_aio\", \"state\": 1, \"new_state\": 2}]}");
    open_front(&f, "b");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, -ENOSPC);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    g_assert_cmpint(flush(&f), ==, 0);
    fill(&f, 8 * 512, 1, 512, 0, 0);
    g_assert_cmpint(flush(&f), ==, -EIO);
    fill(&f, 8 * 512, 1, 1024, 0, -EIO);
    close_front(&f);
    del("b");
}

static void rules_come_from_a_file(void)
{
    char *path = path_of("rules");
    uint8_t buf[512];
    struct front f;

    g_assert_true(g_file_set_contents(path, "# rules\n[inject-error]\nevent = \"read_aio\"\nerrno = \"5\"\n"
                                      "once = \"on\"\n\n[set-state]\nevent = \"write_aio\"\nstate = \"1\"\n"
                                      "new_state = \"2\"\n", -1, NULL));
    command("blockdev-add", "{\"driver\": \"blkdebug\", \"node-name\": \"b\", \"config\": \"%s\", "
            "\"image\": {\"driver\": \"null-co\"}}", path);
    open_front(&f, "b");
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, -EIO);
    g_assert_cmpint(request(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, 0);
    close_front(&f);
    del("b");
    g_assert_true(g_file_set_contents(path, "[inject-error]\nevent = \"l2_load\"\n", -1, NULL));
    assert_refused(refused("blockdev-add", "{\"driver\": \"blkdebug\", \"node-name\": \"b\", \"config\": \"%s\", "
                           "\"image\": {\"driver\": \"null-co\"}}", path), "l2_load");
    g_free(path);
}

static void writes_are_logged_for_replay(void)
{
    char *path = make_file("lw.img", 65536), *log = make_file("lw.log", 0), *data;
    uint64_t words[4];
    struct front f;
    size_t length;

    add_file("f", path);
    add_file("l", log);
    command("blockdev-add", "{\"driver\": \"blklogwrites\", \"node-name\": \"w\", \"file\": \"f\", \"log\": \"l\"}");
    open_front(&f, "w");
    fill(&f, 1024, 0x31, 1024, 0, 0);
    g_assert_cmpint(flush(&f), ==, 0);
    fill(&f, 4096, 0x32, 512, BP_BLOCK_FUA, 0);
    close_front(&f);
    del("w");
    del("f");
    del("l");
    data = get(log, &length);
    memcpy(words, data, sizeof(words));
    g_assert_cmphex(words[0], ==, 0x6a736677736872);
    g_assert_cmpuint(words[1], ==, 1);
    g_assert_cmpuint(words[2], ==, 4); /* closing it flushes */
    g_assert_cmpuint(words[3] & 0xffffffff, ==, 512);
    memcpy(words, data + 512, sizeof(words));
    g_assert_cmpuint(words[0], ==, 2);
    g_assert_cmpuint(words[1], ==, 2);
    g_assert_cmpuint(words[2], ==, 0);
    g_assert_cmpint(data[1024], ==, 0x31);
    memcpy(words, data + 2048, sizeof(words));
    g_assert_cmpuint(words[2], ==, 1); /* a flush */
    memcpy(words, data + 2560, sizeof(words));
    g_assert_cmpuint(words[0], ==, 8);
    g_assert_cmpuint(words[2], ==, 2); /* FUA */
    g_assert_cmpint(data[3072], ==, 0x32);
    g_free(data);
    g_free(path);
    g_free(log);
}

/* Writes 200 sectors with a flush after the first 100, then the power goes. The image; its length. */
static char *after_cut(unsigned seed, const char *more)
{
    char *path = path_of("pc.img"), *data;
    struct bp_error err = {0};
    struct front f;
    size_t length;

    data = g_malloc0(200 * 512);
    g_assert_true(g_file_set_contents(path, data, 200 * 512, NULL));
    g_free(data);
    add_file("f", path);
    command("blockdev-add", "{\"driver\": \"power-cut\", \"node-name\": \"p\", \"seed\": %u, \"file\": \"f\"%s}",
            seed, more);
    open_front(&f, "p");
    for (unsigned i = 0; i < 100; i++)
        fill(&f, i * 512, (uint8_t)(i + 1), 512, 0, 0);
    assert_file_bytes(path, 0, 0, 512);
    g_assert_cmpint(flush(&f), ==, 0);
    assert_file_bytes(path, 0, 1, 512);
    for (unsigned i = 100; i < 200; i++)
        fill(&f, i * 512, (uint8_t)(i + 1), 512, 0, 0);
    assert_reads(&f, 150 * 512, 151, 512);
    g_assert_cmpint(bp_object_set_text(bp_object_resolve("/block-nodes/p", NULL, NULL), "cut", "on", &err), ==, 0);
    g_assert_cmpint(flush(&f), ==, -EIO);
    fill(&f, 0, 9, 512, 0, -EIO);
    close_front(&f);
    del("p");
    del("f");
    data = get(path, &length);
    g_assert_cmpuint(length, ==, 200 * 512);
    g_free(path);
    return data;
}

static void a_power_cut_keeps_what_was_flushed(void)
{
    unsigned kept = 0, lost = 0, torn = 0;
    char *one = after_cut(1, ""), *again = after_cut(1, ""), *other = after_cut(2, ""), *rough;

    for (unsigned i = 0; i < 100; i++)
        for (unsigned at = 0; at < 512; at++)
            g_assert_cmpint((uint8_t)one[i * 512 + at], ==, i + 1);
    for (unsigned i = 100; i < 200; i++) {
        if (one[i * 512])
            kept++;
        else
            lost++;
        g_assert_cmpint(one[i * 512], ==, one[i * 512 + 511]); /* sectors are whole */
    }
    g_assert_cmpuint(kept, >, 10);
    g_assert_cmpuint(lost, >, 10);
    g_assert_cmpmem(one, 200 * 512, again, 200 * 512);
    g_assert_cmpint(memcmp(one, other, 200 * 512), !=, 0);
    rough = after_cut(1, ", \"tear\": true");
    for (unsigned i = 0; i < 200; i++)
        torn += rough[i * 512] != rough[i * 512 + 511];
    g_assert_cmpuint(torn, >, 2);
    for (unsigned i = 0; i < 100; i++)
        g_assert_cmpint(rough[i * 512], ==, rough[i * 512 + 511]);
    g_free(one);
    g_free(again);
    g_free(other);
    g_free(rough);
}

/* Each prefix of a list of writes with flushes: whatever the cut leaves, what was flushed is there. */
static void every_prefix_of_writes_keeps_its_flushes(void)
{
    char *path = path_of("pp.img");

    for (unsigned cut = 1; cut <= 60; cut++) {
        uint8_t flushed[16] = {0}, written[16] = {0}, zero[16 * 512] = {0};
        struct front f;
        char *data;
        size_t length;

        g_assert_true(g_file_set_contents(path, (char *)zero, sizeof(zero), NULL));
        add_file("f", path);
        command("blockdev-add", "{\"driver\": \"power-cut\", \"node-name\": \"p\", \"seed\": %u, "
                "\"cut-after\": %u, \"file\": \"f\"}", cut * 77, cut);
        open_front(&f, "p");
        for (unsigned i = 1; i <= 60; i++) {
            unsigned sector = i * 7 % 16;

            fill(&f, sector * 512, (uint8_t)i, 512, 0, i < cut ? 0 : -EIO);
            if (i >= cut)
                break;
            written[sector] = (uint8_t)i;
            if (i % 9 == 0) {
                g_assert_cmpint(flush(&f), ==, 0);
                memcpy(flushed, written, sizeof(flushed));
            }
        }
        close_front(&f);
        del("p");
        del("f");
        data = get(path, &length);
        for (unsigned i = 0; i < 16; i++)
            g_assert_cmpint((uint8_t)data[i * 512], >=, flushed[i]);
        g_free(data);
    }
    g_free(path);
}

static void a_failing_flush_is_told(void)
{
    struct front f;

    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": {\"driver\": \"blkdebug\", "
            "\"image\": {\"driver\": \"null-co\"}, \"inject-error\": [{\"event\": \"flush_to_disk\", "
            "\"errno\": 5}]}}");
    open_front(&f, "r");
    g_assert_cmpint(flush(&f), ==, -EIO);
    fill(&f, 0, 1, 512, 0, 0);
    g_assert_cmpint(flush(&f), ==, -EIO);
    close_front(&f);
    del("r");
}

/* Modules find this before libc's: a disk that loses what it should have written, once. */
static int sync_failure;
static unsigned full_writes;

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    int error = __atomic_load_n(&sync_failure, __ATOMIC_ACQUIRE);

    if (full_writes) {
        full_writes--;
        errno = ENOSPC;
        return -1;
    }
    if (flags && error) {
        (void)!pwritev(fd, iov, count, offset);
        sync_failure = 0;
        errno = error;
        return -1;
    }
    return syscall(SYS_pwritev2, fd, iov, count, (long)offset, 0l, flags);
}

static void what_a_failed_fua_lost_is_told_at_the_next_flush(void)
{
    static const int errors[] = {EIO, ENOSPC};
    char *path = make_file("fua.img", 65536);

    for (unsigned i = 0; i < G_N_ELEMENTS(errors); i++) {
        struct front f;

        add_file("f", path);
        open_front(&f, "f");
        g_assert_cmpint(flush(&f), ==, 0);
        sync_failure = errors[i];
        fill(&f, 4096, 1, 512, BP_BLOCK_FUA, -errors[i]);
        g_assert_cmpint(sync_failure, ==, 0);
        fill(&f, 8192, 1, 512, 0, 0);
        g_assert_cmpint(flush(&f), ==, -errors[i]);
        g_assert_cmpint(flush(&f), ==, -errors[i]);
        close_front(&f);
        del("f");
    }
    g_free(path);
}

static void a_write_that_finds_no_room_loses_nothing_else(void)
{
    char *path = make_file("room.img", 65536);
    struct front f;

    add_file("f", path);
    open_front(&f, "f");
    full_writes = 2; /* with the sync, and without */
    fill(&f, 4096, 1, 512, BP_BLOCK_FUA, -ENOSPC);
    g_assert_cmpint(full_writes, ==, 0);
    fill(&f, 4096, 1, 512, BP_BLOCK_FUA, 0);
    g_assert_cmpint(flush(&f), ==, 0);
    close_front(&f);
    del("f");
    g_free(path);
}

static void put_words(char *data, size_t at, uint64_t a, uint64_t b, uint64_t c, uint64_t d)
{
    const uint64_t words[4] = {a, b, c, d};

    memcpy(data + at, words, sizeof(words));
}

static void a_damaged_log_is_refused(void)
{
    static const struct { uint64_t entries, sectors, flags; } wrong[] = {
        {UINT64_MAX, 0, 0}, {8, 0, 0}, {1, UINT64_MAX, 0}, {1, 7, 0}, {3, 6, 0}};
    char *data = g_malloc0(8 * 512), *path = path_of("bad.log"), *image = make_file("bad.img", 4096);

    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        put_words(data, 0, 0x6a736677736872, 1, wrong[i].entries, 512);
        put_words(data, 512, 0, wrong[i].sectors, wrong[i].flags, 0);
        g_assert_true(g_file_set_contents(path, data, 8 * 512, NULL));
        add_file("f", image);
        add_file("l", path);
        assert_refused(refused("blockdev-add", "{\"driver\": \"blklogwrites\", \"node-name\": \"w\", "
                               "\"file\": \"f\", \"log\": \"l\", \"log-append\": true}"), "damaged");
        del("f");
        del("l");
    }
    g_free(data);
    g_free(path);
    g_free(image);
}

static void what_was_written_is_flushed_before_a_node_is_read_only(void)
{
    struct front f;

    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": {\"driver\": \"blkdebug\", "
            "\"node-name\": \"d\", \"image\": {\"driver\": \"null-co\"}, \"inject-error\": [{\"event\": "
            "\"flush_to_disk\", \"errno\": 5, \"once\": true}]}}");
    open_front(&f, "r");
    fill(&f, 0, 1, 512, 0, 0);
    close_front(&f);
    assert_refused(refused("blockdev-reopen", "{\"options\": [{\"driver\": \"raw\", \"node-name\": \"r\", "
                           "\"file\": \"d\", \"read-only\": true}]}"), "flush");
    command("blockdev-reopen", "{\"options\": [{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"d\", "
            "\"read-only\": true}]}");
    del("r");
}

static void a_node_is_made_longer_and_reopened(void)
{
    char *path = make_file("rs.img", 65536);
    struct front f;

    add_file("f", path);
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"f\"}");
    open_front(&f, "r");
    command("block_resize", "{\"node-name\": \"r\", \"size\": 131072}");
    g_assert_cmpint(block->length(f.blk), ==, 131072);
    fill(&f, 131072 - 512, 5, 512, 0, 0);
    assert_file_bytes(path, 131072 - 512, 5, 512);
    assert_refused(refused("block_resize", "{\"device\": \"x\", \"size\": 1}"), "'x'");
    assert_refused(refused("blockdev-reopen", "{\"options\": [{\"driver\": \"raw\", \"node-name\": \"r\", "
                           "\"file\": \"f\", \"read-only\": true}]}"), "write");
    close_front(&f);
    command("blockdev-reopen", "{\"options\": [{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": \"f\", "
            "\"read-only\": true}]}");
    {
        struct bp_error err = {0};

        g_assert_cmpint(try_open(&f, "r", &fixed, false, &err), ==, -EACCES);
        g_assert_nonnull(strstr(err.message, "read-only"));
    }
    del("r");
    del("f");
    g_free(path);
}

static void probed_raw_keeps_other_formats_headers_out(void)
{
    char *path = path_of("probe.img");
    uint8_t zero[4096] = {0};
    struct bp_error err = {0};
    struct front f;
    char *text;

    g_assert_true(g_file_set_contents(path, (char *)zero, sizeof(zero), NULL));
    text = g_strdup_printf("file=%s,if=none,id=probed", path);
    bp_test_option(host, "drive", text, &err);
    g_free(text);
    g_assert_cmpstr(err.message, ==, "");
    open_front(&f, "probed");
    memcpy(zero, "QFI\xfb\0\0\0\3", 8);
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 0, zero, 512, 0), ==, -EPERM);
    g_assert_cmpint(request(&f, BP_BLOCK_WRITE, 512, zero, 512, 0), ==, 0);
    fill(&f, 0, 0x55, 512, 0, 0);
    close_front(&f);
    free(bp_test_hmp(host, "drive_del probed"));
    g_assert_true(g_file_set_contents(path, (char *)zero, sizeof(zero), NULL));
    text = g_strdup_printf("file=%s,if=none,id=probed", path);
    g_assert_cmpint(bp_test_option(host, "drive", text, &err), <, 0);
    g_assert_nonnull(strstr(err.message, "qcow2"));
    g_free(text);
    g_free(path);
}

static void writes_beyond_a_threshold_are_counted(void)
{
    struct bp_error err = {0};
    char *reply = NULL;
    struct front f;

    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"n\"}");
    command("block-set-write-threshold", "{\"node-name\": \"n\", \"write-threshold\": 4096}");
    open_front(&f, "n");
    fill(&f, 0, 1, 4096, 0, 0);
    bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err);
    g_assert_nonnull(strstr(reply, "\"write_threshold\":4096"));
    free(reply);
    fill(&f, 4096, 1, 512, 0, 0);
    bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err);
    g_assert_null(strstr(reply, "\"write_threshold\":4096"));
    free(reply);
    bp_test_command(host, "query-blockstats", "{\"query-nodes\": true}", &reply, &err);
    g_assert_nonnull(strstr(reply, "\"wr_highest_offset\":4608"));
    free(reply);
    close_front(&f);
    del("n");
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/block-drivers/" #NAME, NAME)
    CASE(each_aio_way_moves_the_same_bytes);
    CASE(native_aio_needs_direct_io);
    CASE(a_short_last_block_stays_short);
    CASE(discards_punch_holes_when_asked_for);
    CASE(a_file_that_is_written_to_is_locked);
    CASE(force_share_reads_what_others_write);
    CASE(an_overlay_keeps_its_base_until_commit);
    CASE(copy_on_read_fills_the_image);
    CASE(limits_of_a_group_hold_requests_back);
    CASE(draining_lets_go_what_is_throttled);
    CASE(limits_hold_when_the_medium_is_taken_out_of_a_drive);
    CASE(wrong_limits_are_refused);
    CASE(injected_errors_come_when_told);
    CASE(rules_come_from_a_file);
    CASE(writes_are_logged_for_replay);
    CASE(a_power_cut_keeps_what_was_flushed);
    CASE(every_prefix_of_writes_keeps_its_flushes);
    CASE(a_failing_flush_is_told);
    CASE(what_a_failed_fua_lost_is_told_at_the_next_flush);
    CASE(a_write_that_finds_no_room_loses_nothing_else);
    CASE(a_damaged_log_is_refused);
    CASE(what_was_written_is_flushed_before_a_node_is_read_only);
    CASE(a_node_is_made_longer_and_reopened);
    CASE(probed_raw_keeps_other_formats_headers_out);
    CASE(writes_beyond_a_threshold_are_counted);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

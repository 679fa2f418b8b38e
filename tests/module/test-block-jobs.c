/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Jobs over disks that are written to meanwhile: what they promise of the contents, whatever the guest does. */
#include "block-jobs.h"

static uint8_t *model; /* what the guest has to see */
static struct front guest;
static GRand *rnd;

static void write_at_random(unsigned count)
{
    uint8_t buf[70000];

    for (unsigned i = 0; i < count; i++) {
        uint64_t bytes = (uint64_t)g_rand_int_range(rnd, 1, sizeof(buf)), at;

        at = (uint64_t)g_rand_int_range(rnd, 0, DISK - (gint32)bytes);
        if (g_rand_int_range(rnd, 0, 5) == 0) {
            g_assert_cmpint(ask(&guest, BP_BLOCK_WRITE_ZEROES, at, NULL, bytes, BP_BLOCK_MAY_UNMAP), ==, 0);
            memset(model + at, 0, bytes);
        } else {
            memset(buf, g_rand_int_range(rnd, 1, 256), bytes);
            g_assert_cmpint(ask(&guest, BP_BLOCK_WRITE, at, buf, bytes, 0), ==, 0);
            memcpy(model + at, buf, bytes);
        }
    }
}

/* Until the job has that state, with writes meanwhile. */
static void until(const char *id, const char *wanted, unsigned writes)
{
    char now[32];

    for (unsigned i = 0; i < 20000; i++) {
        status_of(id, now, sizeof(now));
        if (!strcmp(now, wanted))
            return;
        if (!strcmp(now, "concluded") || !strcmp(now, "gone"))
            break;
        if (writes) {
            writes--;
            write_at_random(1);
        } else {
            bp_test_step(host, 0);
            g_usleep(500);
        }
    }
    g_error("job '%s' is %s, not %s", id, now, wanted);
}

static void assert_guest_sees(void)
{
    uint8_t *buf = g_malloc(DISK);

    g_assert_cmpint(ask(&guest, BP_BLOCK_READ, 0, buf, DISK, 0), ==, 0);
    for (size_t i = 0; i < DISK; i++)
        if (buf[i] != model[i])
            g_error("byte %zu is %u, not %u", i, buf[i], model[i]);
    g_free(buf);
}

static void assert_node_is(const char *name, const uint8_t *wanted)
{
    struct front f;
    struct bp_error err = {0};
    uint8_t *buf = g_malloc(DISK);

    try_open(&f, name, &reader, true, &err);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(ask(&f, BP_BLOCK_READ, 0, buf, DISK, 0), ==, 0);
    for (size_t i = 0; i < DISK; i++)
        if (buf[i] != wanted[i])
            g_error("%s: byte %zu is %u, not %u", name, i, buf[i], wanted[i]);
    close_front(&f);
    g_free(buf);
}

static void begin(const char *node, unsigned writes)
{
    open_front(&guest, node);
    write_at_random(writes);
}

static void start(unsigned seed)
{
    memset(model, 0, DISK);
    g_rand_set_seed(rnd, seed);
}

/* A base, a middle and a top image, all with data; the guest is on the top one, node `top`. */
static void open_chain(char **base, char **mid, char **top)
{
    *base = image("base.qcow2", NULL);
    add("top", *base, "");
    begin("top", 20);
    close_front(&guest);
    del("top");
    *mid = image("mid.qcow2", *base);
    add("top", *mid, "");
    begin("top", 20);
    close_front(&guest);
    del("top");
    *top = image("top.qcow2", *mid);
    add("top", *top, "");
    begin("top", 20);
}

static void close_chain(char *base, char *mid, char *top)
{
    g_free(base);
    g_free(mid);
    g_free(top);
}

/* ---- cases ---- */

static void mirrors_follow_the_guest(void)
{
    static const char *const modes[] = {"background", "write-blocking"};

    for (unsigned i = 0; i < 6; i++) {
        char *source = image("source.qcow2", NULL), *target = image("target.qcow2", NULL);

        start(i);
        add("s", source, "");
        add("t", target, "");
        begin("s", 60);
        command("blockdev-mirror", "{\"job-id\": \"m\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"full\", "
                "\"copy-mode\": \"%s\", \"speed\": %u, \"auto-dismiss\": false}", modes[i % 2], i < 2 ? 0 : 20000000);
        until("m", "ready", 30);
        write_at_random(10);
        if (i < 4) {
            command("block-job-complete", "{\"device\": \"m\"}");
            until("m", "concluded", i < 2 ? 0 : 5);
            write_at_random(20); /* on the target, from now on */
            assert_guest_sees();
        } else {
            command("block-job-cancel", "{\"device\": \"m\"}"); /* a copy as of now */
            until("m", "concluded", 0);
            assert_node_is("t", model);
        }
        command("job-dismiss", "{\"id\": \"m\"}");
        close_front(&guest);
        del("s");
        if (i < 4)
            assert_node_is("t", model);
        del("t");
        peer("qemu-img check -q %s", target);
        g_free(source);
        g_free(target);
    }
}

static void active_images_are_committed_while_they_are_written_to(void)
{
    char *base, *mid, *top;

    start(11);
    open_chain(&base, &mid, &top);
    command("block-commit", "{\"job-id\": \"c\", \"device\": \"top\", \"auto-dismiss\": false}");
    until("c", "ready", 20);
    write_at_random(10);
    command("job-complete", "{\"id\": \"c\"}");
    until("c", "concluded", 0);
    write_at_random(20);
    assert_guest_sees();
    command("job-dismiss", "{\"id\": \"c\"}");
    close_front(&guest);
    del("top");
    assert_peer_sees(base, model, DISK);
    close_chain(base, mid, top);
}

static void images_between_are_committed(void)
{
    char *base, *mid, *top;

    start(12);
    open_chain(&base, &mid, &top);
    command("block-commit", "{\"job-id\": \"c\", \"device\": \"top\", \"top\": \"%s\", \"base\": \"%s\", "
            "\"auto-dismiss\": false}", mid, base);
    until("c", "concluded", 20);
    write_at_random(10);
    assert_guest_sees();
    command("job-dismiss", "{\"id\": \"c\"}");
    close_front(&guest);
    del("top");
    g_unlink(mid); /* nobody needs it any more */
    assert_peer_sees(top, model, DISK);
    close_chain(base, mid, top);
}

static void streams_bring_everything_up(void)
{
    for (unsigned i = 0; i < 2; i++) {
        char *base, *mid, *top, *more;

        start(13 + i);
        open_chain(&base, &mid, &top);
        more = i ? g_strdup_printf(", \"base\": \"%s\"", base) : g_strdup("");
        command("block-stream",
                "{\"job-id\": \"s\", \"device\": \"top\", \"speed\": 30000000, \"auto-dismiss\": false%s}",
                more);
        until("s", "concluded", 30);
        write_at_random(10);
        assert_guest_sees();
        command("job-dismiss", "{\"id\": \"s\"}");
        close_front(&guest);
        del("top");
        g_unlink(mid);
        if (!i)
            g_unlink(base);
        assert_peer_sees(top, model, DISK);
        g_free(more);
        close_chain(base, mid, top);
    }
}

static void backups_are_as_the_disk_was(void)
{
    uint8_t *then = g_malloc(DISK);

    for (unsigned i = 0; i < 3; i++) {
        char *source = image("source.qcow2", NULL), *target = image("target.qcow2", NULL);

        start(20 + i);
        add("s", source, "");
        add("t", target, "");
        begin("s", 60);
        memcpy(then, model, DISK);
        command("blockdev-backup", "{\"job-id\": \"b\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"full\", "
                "\"speed\": %u, \"auto-dismiss\": false}", i ? 8000000 : 0);
        if (i == 2) {
            command("job-pause", "{\"id\": \"b\"}");
            write_at_random(40);
            until("b", "paused", 0);
            command("job-resume", "{\"id\": \"b\"}");
        }
        until("b", "concluded", 60);
        assert_guest_sees();
        command("job-dismiss", "{\"id\": \"b\"}");
        close_front(&guest);
        del("s");
        assert_node_is("t", then);
        del("t");
        g_free(source);
        g_free(target);
    }
    g_free(then);
}

/* A full backup, then one of what was written since: together they are the disk at the second one's beginning. */
static void bitmaps_tell_what_to_back_up(void)
{
    char *source = image("source.qcow2", NULL), *target = image("target.qcow2", NULL);
    uint8_t *then = g_malloc(DISK);
    struct bp_error err = {0};
    char *reply;

    start(30);
    add("s", source, "");
    add("t", target, "");
    begin("s", 40);
    command("transaction",
            "{\"actions\": [{\"type\": \"block-dirty-bitmap-add\", \"data\": {\"node\": \"s\", \"name\": "
            "\"d\"}}, {\"type\": \"blockdev-backup\", \"data\": {\"job-id\": \"b\", \"device\": \"s\", \"target\": "
                "\"t\", "
            "\"sync\": \"full\", \"auto-dismiss\": false}}]}");
    until("b", "concluded", 10);
    command("job-dismiss", "{\"id\": \"b\"}");
    write_at_random(5);
    memcpy(then, model, DISK);
    command("blockdev-backup", "{\"job-id\": \"b\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"incremental\", "
            "\"bitmap\": \"d\", \"speed\": 4000000, \"auto-dismiss\": false}");
    until("b", "concluded", 10);
    command("job-dismiss", "{\"id\": \"b\"}");
    assert_node_is("t", then);
    assert_guest_sees();
    /* One that fails leaves the bitmap as it was, with what came meanwhile. */
    memcpy(then, model, DISK);
    command("blockdev-backup", "{\"job-id\": \"b\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"incremental\", "
            "\"bitmap\": \"d\", \"speed\": 1, \"auto-dismiss\": false}");
    write_at_random(5);
    command("job-cancel", "{\"id\": \"b\"}");
    until("b", "concluded", 0);
    command("job-dismiss", "{\"id\": \"b\"}");
    memcpy(then, model, DISK);
    command("blockdev-backup", "{\"job-id\": \"b\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"incremental\", "
            "\"bitmap\": \"d\", \"auto-dismiss\": false}");
    until("b", "concluded", 0);
    command("job-dismiss", "{\"id\": \"b\"}");
    assert_node_is("t", then);
    /* Merged, cleared, disabled, removed; an aborted transaction did nothing. */
    command("block-dirty-bitmap-add", "{\"node\": \"s\", \"name\": \"e\", \"granularity\": 512}");
    command("block-dirty-bitmap-disable", "{\"node\": \"s\", \"name\": \"d\"}");
    memset(then, 1, 512);
    g_assert_cmpint(ask(&guest, BP_BLOCK_WRITE, 0, then, 512, 0), ==, 0);
    assert_refused(refused("transaction",
                           "{\"actions\": [{\"type\": \"block-dirty-bitmap-clear\", \"data\": {\"node\": "
                           "\"s\", \"name\": \"e\"}}, {\"type\": \"abort\", \"data\": {}}]}"), "abort");
    assert_refused(refused("transaction",
                           "{\"actions\": [{\"type\": \"block-dirty-bitmap-clean\", \"data\": {\"node\": "
                           "\"s\", \"name\": \"e\"}}]}"), "block-dirty-bitmap-clean");
    g_assert_cmpint(bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err), ==, 0);
    g_assert_nonnull(strstr(reply, "\"count\":512"));
    g_free(reply);
    command("block-dirty-bitmap-merge", "{\"node\": \"s\", \"target\": \"d\", \"bitmaps\": [\"e\"]}");
    command("block-dirty-bitmap-clear", "{\"node\": \"s\", \"name\": \"e\"}");
    g_assert_cmpint(bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err), ==, 0);
    g_assert_nonnull(strstr(reply, "\"count\":65536"));
    g_assert_null(strstr(reply, "\"count\":512"));
    g_free(reply);
    command("block-dirty-bitmap-remove", "{\"node\": \"s\", \"name\": \"e\"}");
    assert_refused(refused("block-dirty-bitmap-remove", "{\"node\": \"s\", \"name\": \"e\"}"), "no bitmap 'e'");
    close_front(&guest);
    del("s");
    del("t");
    g_free(source);
    g_free(target);
    g_free(then);
}

static void snapshots_go_on_in_overlays(void)
{
    char *base = image("b.qcow2", NULL), *over = path_of("o.qcow2"), *second = image("o2.qcow2", NULL);
    uint8_t *then = g_malloc(DISK);

    start(40);
    add("s", base, "");
    begin("s", 30);
    memcpy(then, model, DISK);
    command("blockdev-snapshot-sync",
            "{\"node-name\": \"s\", \"snapshot-file\": \"%s\", \"snapshot-node-name\": \"o\"}",
            over);
    write_at_random(20);
    assert_guest_sees();
    assert_node_is("s", then);
    add("p", second, ", \"backing\": null");
    assert_refused(refused("blockdev-snapshot", "{\"node\": \"o\", \"overlay\": \"s\"}"), "in use");
    assert_refused(refused("transaction",
                           "{\"actions\": [{\"type\": \"blockdev-snapshot\", \"data\": {\"node\": \"o\", "
                           "\"overlay\": \"p\"}}, {\"type\": \"abort\", \"data\": {}}]}"), "abort");
    write_at_random(3);
    command("blockdev-snapshot", "{\"node\": \"o\", \"overlay\": \"p\"}");
    memcpy(then, model, DISK);
    write_at_random(20);
    assert_guest_sees();
    assert_node_is("o", then);
    command("change-backing-file", "{\"device\": \"p\", \"image-node-name\": \"p\", \"backing-file\": \"%s\"}", over);
    close_front(&guest);
    del("p");
    del("s");
    assert_peer_sees(second, model, DISK);
    g_free(then);
    g_free(base);
    g_free(over);
    g_free(second);
}

/* Cancelled at any moment, a job leaves the disk as it is. */
static void cancelled_jobs_change_nothing(void)
{
    static const char *const kinds[] = {
        "block-stream\n{\"job-id\": \"j\", \"device\": \"top\", \"auto-dismiss\": false, \"speed\": 3000000}",
        "block-commit\n{\"job-id\": \"j\", \"device\": \"top\", \"auto-dismiss\": false, \"speed\": 3000000}",
        "blockdev-mirror\n{\"job-id\": \"j\", \"device\": \"top\", \"target\": \"t\", \"sync\": \"full\", "
        "\"auto-dismiss\": false, \"speed\": 3000000}",
        "blockdev-mirror\n{\"job-id\": \"j\", \"device\": \"top\", \"target\": \"t\", \"sync\": \"top\", "
        "\"auto-dismiss\": false, \"auto-finalize\": false}",
        "blockdev-backup\n{\"job-id\": \"j\", \"device\": \"top\", \"target\": \"t\", \"sync\": \"full\", "
        "\"auto-dismiss\": false, \"speed\": 3000000}"};

    for (unsigned i = 0; i < 3 * G_N_ELEMENTS(kinds); i++) {
        char *base, *mid, *top, *target = image("t.qcow2", NULL), **parts = g_strsplit(kinds[i / 3], "\n", 2);

        start(50 + i);
        open_chain(&base, &mid, &top);
        add("t", target, "");
        command(parts[0], "%s", parts[1]);
        write_at_random(i % 3 * 4);
        command("block-job-cancel", "{\"device\": \"j\", \"force\": true}");
        until("j", "concluded", 0);
        write_at_random(5);
        assert_guest_sees();
        command("job-dismiss", "{\"id\": \"j\"}");
        close_front(&guest);
        del("t");
        del("top");
        assert_peer_sees(top, model, DISK);
        close_chain(base, mid, top);
        g_strfreev(parts);
        g_free(target);
    }
}

static void errors_end_or_pause_a_job(void)
{
    char *source = image("source.qcow2", NULL), *target = path_of("raw.img"), now[32];

    start(70);
    add("s", source, "");
    g_assert_true(g_file_set_contents(target, "", 0, NULL));
    begin("s", 60);
    for (unsigned i = 0; i < 2; i++) {
        g_assert_cmpint(truncate(target, DISK), ==, 0);
        command("blockdev-add",
                "{\"driver\": \"blkdebug\", \"node-name\": \"t\", \"inject-error\": [{\"event\": \"none\", "
                "\"iotype\": \"write\", \"errno\": 28, \"once\": true}], \"image\": {\"driver\": \"file\", "
                    "\"filename\": "
                "\"%s\"}}", target);
        command("blockdev-mirror", "{\"job-id\": \"m\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"full\", "
                "\"on-target-error\": \"%s\", \"auto-dismiss\": false}", i ? "enospc" : "report");
        if (i) {
            until("m", "paused", 0);
            command("block-job-resume", "{\"device\": \"m\"}");
            until("m", "ready", 3);
            command("block-job-cancel", "{\"device\": \"m\"}");
        }
        for (unsigned n = 0; n < 10000 && strcmp(status_of("m", now, sizeof(now)), "concluded") != 0; n++) {
            bp_test_step(host, 0);
            g_usleep(500);
        }
        g_assert_cmpstr(now, ==, "concluded");
        if (i)
            assert_node_is("t", model);
        command("job-dismiss", "{\"id\": \"m\"}");
        del("t");
    }
    close_front(&guest);
    del("s");
    g_free(source);
    g_free(target);
}

static void what_a_stream_skipped_stays_below(void)
{
    char *base = image("base.qcow2", NULL), *top = image("top.qcow2", base), now[32];
    char *reply = NULL;
    struct bp_error err = {0};

    start(71);
    add("top", base, "");
    begin("top", 40);
    close_front(&guest);
    del("top");
    command("blockdev-add",
            "{\"driver\": \"qcow2\", \"node-name\": \"top\", \"file\": {\"driver\": \"file\", \"filename\": \"%s\"}, "
            "\"backing\": {\"driver\": \"blkdebug\", \"node-name\": \"bad\", \"inject-error\": [{\"event\": \"none\", "
            "\"iotype\": \"read\", \"errno\": 5, \"once\": true}], \"image\": {\"driver\": \"qcow2\", \"file\": "
            "{\"driver\": \"file\", \"filename\": \"%s\"}}}}", top, base);
    begin("top", 0);
    command("block-stream", "{\"job-id\": \"s\", \"device\": \"top\", \"on-error\": \"ignore\", "
            "\"auto-dismiss\": false}");
    for (unsigned n = 0; n < 10000 && strcmp(status_of("s", now, sizeof(now)), "concluded") != 0; n++) {
        bp_test_step(host, 0);
        g_usleep(500);
    }
    g_assert_cmpstr(now, ==, "concluded");
    g_assert_cmpint(bp_test_command(host, "query-jobs", NULL, &reply, &err), ==, 0);
    g_assert_nonnull(strstr(reply, "\"error\""));
    g_free(reply);
    assert_guest_sees(); /* nothing of it became zeroes */
    command("job-dismiss", "{\"id\": \"s\"}");
    close_front(&guest);
    del("top");
    g_free(base);
    g_free(top);
}

static void wrong_words_are_refused(void)
{
    char *path = image("w.qcow2", NULL), *raw = path_of("w.raw");

    add("w", path, "");
    g_assert_true(g_file_set_contents(raw, "", 0, NULL));
    command("blockdev-add", "{\"driver\": \"raw\", \"node-name\": \"r\", \"file\": {\"driver\": \"file\", "
            "\"filename\": \"%s\"}}", raw);
    assert_refused(refused("blockdev-mirror", "{\"device\": \"w\", \"target\": \"r\", \"sync\": \"none\"}"),
                   "sync=full");
    del("r");
    g_free(raw);
    assert_refused(refused("block-stream", "{\"device\": \"nix\"}"), "nix");
    assert_refused(refused("block-stream", "{\"device\": \"w\"}"), "nothing below");
    assert_refused(refused("block-commit", "{\"device\": \"w\"}"), "nothing below");
    assert_refused(refused("blockdev-mirror", "{\"device\": \"w\", \"target\": \"w\", \"sync\": \"full\"}"),
                   "same graph");
    assert_refused(refused("blockdev-mirror", "{\"device\": \"w\", \"target\": \"x\", \"sync\": \"full\"}"), "'x'");
    assert_refused(refused("blockdev-backup", "{\"device\": \"w\", \"target\": \"x\", \"sync\": \"some\"}"), "sync");
    assert_refused(refused("blockdev-backup", "{\"device\": \"w\", \"target\": \"x\", \"sync\": \"incremental\"}"),
                   "bitmap");
    assert_refused(refused("job-cancel", "{\"id\": \"nix\"}"), "no job 'nix'");
    assert_refused(refused("block-dirty-bitmap-add", "{\"node\": \"w\", \"name\": \"g\", \"granularity\": 1000}"),
                   "power");
    assert_refused(refused("blockdev-snapshot-sync",
                           "{\"node-name\": \"w\", \"device\": \"w\", \"snapshot-file\": \"x\"}"),
                   "one of");
    del("w");
    g_free(path);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
    model = g_malloc0(DISK);
    rnd = g_rand_new_with_seed(1);
#define CASE(NAME) g_test_add_func("/block-jobs/" #NAME, NAME)
    CASE(wrong_words_are_refused);
    CASE(mirrors_follow_the_guest);
    CASE(active_images_are_committed_while_they_are_written_to);
    CASE(images_between_are_committed);
    CASE(streams_bring_everything_up);
    CASE(what_a_stream_skipped_stays_below);
    CASE(backups_are_as_the_disk_was);
    CASE(bitmaps_tell_what_to_back_up);
    CASE(snapshots_go_on_in_overlays);
    CASE(cancelled_jobs_change_nothing);
    CASE(errors_end_or_pause_a_job);
    ret = g_test_run();
    bp_test_host_free(host);
    g_rand_free(rnd);
    g_free(model);
    return ret;
}

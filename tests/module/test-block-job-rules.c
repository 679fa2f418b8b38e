/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What jobs keep others from, what they do together, and what is refused while they are paused. */
#include "block-jobs.h"

static struct front guest;
static char *base_file, *mid_file, *top_file;

/* Nodes base, mid and top, with some data each; the guest is on `top`. */
static void open_chain(void)
{
    uint8_t buf[65536];

    base_file = image("base.qcow2", NULL);
    mid_file = image("mid.qcow2", base_file);
    top_file = image("top.qcow2", mid_file);
    add("base", base_file, ", \"backing\": null");
    add("mid", mid_file, ", \"backing\": \"base\"");
    add("top", top_file, ", \"backing\": \"mid\"");
    for (unsigned i = 0; i < 3; i++) {
        const char *const names[] = {"base", "mid", "top"};
        struct front f;
        struct bp_error err = {0};

        try_open(&f, names[i], &fixed, true, &err);
        if (err.code) /* what is below is not written to: the data is all in the top one then */
            continue;
        memset(buf, (int)i + 1, sizeof(buf));
        g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, i * sizeof(buf), buf, sizeof(buf), 0), ==, 0);
        close_front(&f);
    }
    open_front(&guest, "top");
}

static void close_chain(void)
{
    close_front(&guest);
    del("top");
    del("mid");
    del("base");
    g_free(base_file);
    g_free(mid_file);
    g_free(top_file);
}

static void dismiss(const char *id)
{
    wait_for_job(id, "concluded");
    command("job-dismiss", "{\"id\": \"%s\"}", id);
}

static void cancel(const char *id)
{
    command("block-job-cancel", "{\"device\": \"%s\", \"force\": true}", id);
    dismiss(id);
}

static void refuse_all(const char *word, const char *snapshot_of)
{
    assert_refused(refused("block-stream", "{\"job-id\": \"x\", \"device\": \"top\"}"), word);
    assert_refused(refused("block-commit", "{\"job-id\": \"x\", \"device\": \"top\", \"top-node\": \"mid\"}"), word);
    assert_refused(refused("block-commit", "{\"job-id\": \"x\", \"device\": \"top\"}"), word);
    assert_refused(refused("blockdev-mirror", "{\"job-id\": \"x\", \"device\": \"top\", \"target\": \"t\", "
                           "\"sync\": \"top\"}"), word);
    assert_refused(refused("blockdev-snapshot", "{\"node\": \"%s\", \"overlay\": \"u\"}", snapshot_of), word);
    assert_refused(refused("change-backing-file", "{\"device\": \"top\", \"image-node-name\": \"top\", "
                           "\"backing-file\": \"%s\"}", mid_file), word);
    assert_refused(refused("blockdev-reopen", "{\"options\": [{\"driver\": \"qcow2\", \"node-name\": \"%s\", "
                           "\"read-only\": true}]}", snapshot_of), word);
    assert_refused(refused("blockdev-del", "{\"node-name\": \"mid\"}"), "in use");
}

static void chains_of_jobs_are_left_alone(void)
{
    char *target = image("t.qcow2", NULL), *overlay = image("u.qcow2", NULL);

    open_chain();
    add("t", target, ", \"backing\": null");
    add("u", overlay, ", \"backing\": null");
    command("block-commit", "{\"job-id\": \"c\", \"device\": \"top\", \"top-node\": \"mid\", \"base-node\": "
            "\"base\", \"speed\": 1, \"auto-dismiss\": false}");
    refuse_all("job 'c' (commit)", "mid");
    cancel("c");
    command("block-stream", "{\"job-id\": \"s\", \"device\": \"top\", \"speed\": 1, \"auto-dismiss\": false}");
    refuse_all("job 's' (stream)", "mid");
    cancel("s");
    command("blockdev-mirror", "{\"job-id\": \"m\", \"device\": \"top\", \"target\": \"t\", \"sync\": \"top\", "
            "\"speed\": 1, \"auto-dismiss\": false}");
    refuse_all("job 'm' (mirror)", "top");
    assert_refused(refused("blockdev-del", "{\"node-name\": \"t\"}"), "job 'm'");
    command("blockdev-snapshot-internal-sync", "{\"device\": \"top\", \"name\": \"i\"}"); /* the graph stays */
    cancel("m");
    /* It has ended, and all is allowed again. */
    command("change-backing-file", "{\"device\": \"top\", \"image-node-name\": \"top\", \"backing-file\": \"%s\"}",
            mid_file);
    command("block-stream", "{\"job-id\": \"s\", \"device\": \"top\", \"base-node\": \"mid\", "
            "\"auto-dismiss\": false}");
    dismiss("s");
    command("blockdev-snapshot", "{\"node\": \"top\", \"overlay\": \"u\"}");
    close_front(&guest);
    del("u");
    del("t");
    open_front(&guest, "top");
    close_chain();
    g_free(overlay);
    g_free(target);
}

/* Two jobs on parts of a chain that have no edge in common. */
static void parts_of_a_chain_have_jobs_of_their_own(void)
{
    open_chain();
    command("block-stream", "{\"job-id\": \"a\", \"device\": \"top\", \"base-node\": \"base\", \"speed\": 1, "
            "\"auto-dismiss\": false}");
    assert_refused(refused("block-stream", "{\"job-id\": \"b\", \"device\": \"mid\"}"), "job 'a'");
    cancel("a");
    command("block-stream", "{\"job-id\": \"b\", \"device\": \"mid\", \"speed\": 1, \"auto-dismiss\": false}");
    assert_refused(refused("block-stream", "{\"job-id\": \"a\", \"device\": \"top\"}"), "job 'b'");
    cancel("b");
    close_chain();
}

static void two_backups(bool by_hand, unsigned speed)
{
    for (unsigned i = 0; i < 2; i++) {
        char *name = g_strdup_printf("t%u.qcow2", i), *target = image(name, NULL), *node = g_strdup_printf("t%u", i);

        add(node, target, "");
        g_free(node);
        g_free(target);
        g_free(name);
    }
    command("transaction", "{\"properties\": {\"completion-mode\": \"grouped\"}, \"actions\": ["
            "{\"type\": \"blockdev-backup\", \"data\": {\"job-id\": \"a\", \"device\": \"top\", \"target\": \"t0\", "
            "\"sync\": \"full\", \"auto-dismiss\": false, \"auto-finalize\": %s}}, "
            "{\"type\": \"blockdev-backup\", \"data\": {\"job-id\": \"b\", \"device\": \"mid\", \"target\": \"t1\", "
            "\"sync\": \"full\", \"auto-dismiss\": false, \"speed\": %u}}]}", by_hand ? "false" : "true", speed);
}

/* None succeeds before all can. */
static void groups_end_together(void)
{
    char now[32];

    open_chain();
    for (unsigned i = 0; i < 4; i++) {
        two_backups(i < 2, i == 3 ? 1 : 0);
        if (i < 2) { /* one of them waits for a word, and so does the other one */
            wait_for_job("a", "pending");
            wait_for_job("b", "pending");
            for (unsigned n = 0; n < 200; n++)
                bp_test_step(host, 0);
            g_assert_cmpstr(status_of("b", now, sizeof(now)), ==, "pending");
        }
        if (i == 3) { /* the other one has much to do yet */
            wait_for_job("a", "waiting");
            g_assert_cmpstr(status_of("b", now, sizeof(now)), ==, "running");
        }
        if (i == 0)
            command("job-finalize", "{\"id\": \"b\"}");
        else if (i == 1)
            command("job-cancel", "{\"id\": \"b\"}");
        else if (i == 3)
            command("job-cancel", "{\"id\": \"a\"}");
        wait_for_job("a", "concluded");
        wait_for_job("b", "concluded");
        dismiss("a");
        dismiss("b");
        del("t0");
        del("t1");
    }
    close_chain();
}

static void jobs_that_an_error_paused_are_not_completed(void)
{
    char *raw = path_of("raw.img"), *source = image("source.qcow2", NULL);
    uint8_t buf[512] = {7};

    g_assert_true(g_file_set_contents(raw, "", 0, NULL));
    g_assert_cmpint(truncate(raw, DISK), ==, 0);
    add("s", source, "");
    command("blockdev-add", "{\"driver\": \"blkdebug\", \"node-name\": \"t\", \"inject-error\": [{\"event\": \"none\", "
            "\"iotype\": \"write\", \"errno\": 5, \"once\": true}], \"image\": {\"driver\": \"file\", \"filename\": "
            "\"%s\"}}", raw);
    open_front(&guest, "s");
    command("blockdev-mirror", "{\"job-id\": \"m\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"full\", "
            "\"on-target-error\": \"stop\", \"auto-dismiss\": false}");
    wait_for_job("m", "ready");
    g_assert_cmpint(ask(&guest, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, 0);
    wait_for_job("m", "standby");
    assert_refused(refused("block-job-complete", "{\"device\": \"m\"}"), "paused by an error");
    assert_refused(refused("block-job-cancel", "{\"device\": \"m\"}"), "paused");
    command("block-job-resume", "{\"device\": \"m\"}");
    wait_for_job("m", "ready");
    command("block-job-complete", "{\"device\": \"m\"}");
    dismiss("m");
    close_front(&guest);
    del("s");
    assert_file_bytes(raw, 0, 7, 1);
    del("t");
    g_free(raw);
    g_free(source);
}

/* A write of a guest is under way when it is asked for: however slow the job is to be, guests are not held up. */
static void the_last_round_waits_for_nothing(void)
{
    static uint8_t buf[65536];
    struct iovec iov = {buf, sizeof(buf)};
    struct bp_block_request req = {.size = sizeof(req), .bytes = sizeof(buf), .iov = &iov, .iov_count = 1};
    struct answer a = {0, 1};

    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"s\", \"size\": 65536, \"read-zeroes\": true, "
            "\"latency-ns\": 500000000}");
    command("blockdev-add", "{\"driver\": \"null-co\", \"node-name\": \"t\", \"size\": 65536}");
    open_front(&guest, "s");
    command("blockdev-mirror", "{\"job-id\": \"m\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"full\", "
            "\"auto-dismiss\": false}");
    wait_for_job("m", "ready");
    block->submit(guest.blk, BP_BLOCK_WRITE, &req, answered, &a);
    bp_test_step(host, 0);
    command("block-job-complete", "{\"device\": \"m\"}");
    command("block-job-set-speed", "{\"device\": \"m\", \"speed\": 1}");
    dismiss("m");
    g_assert_cmpint(a.count, ==, 1);
    g_assert_cmpint(a.ret, ==, 0);
    close_front(&guest);
    del("s");
    del("t");
}

static char *header_of(const char *path)
{
    char *text = NULL, *line = g_strdup_printf("qemu-img info -U %s", path);
    GError *error = NULL;

    if (!g_spawn_command_line_sync(line, &text, NULL, NULL, &error))
        g_clear_error(&error);
    g_free(line);
    return text ? text : g_strdup("");
}

/* Two images over the one that goes: both have the base below them afterwards, or none. */
static void every_image_above_a_commit_follows_or_none_does(void)
{
    char *second = path_of("second.qcow2"), *program = g_find_program_in_path("qemu-img");
    uint8_t buf[512];

    if (!program) {
        g_test_skip("qemu-img is missing");
        g_free(second);
        return;
    }
    for (unsigned fails = 0; fails < 2; fails++) {
        char *said;

        open_chain();
        g_free(image("second.qcow2", mid_file));
        command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"second\", \"backing\": \"mid\", \"file\": "
                "{\"driver\": \"blkdebug\", \"inject-error\": [{\"event\": \"none\", \"iotype\": \"%s\", "
                "\"errno\": 5}], \"image\": {\"driver\": \"file\", \"filename\": \"%s\"}}}",
                fails ? "write" : "discard", second);
        command("block-commit", "{\"job-id\": \"c\", \"device\": \"top\", \"top-node\": \"mid\", \"base-node\": "
                "\"base\", \"auto-dismiss\": false}");
        dismiss("c");
        g_assert_cmpint(ask(&guest, BP_BLOCK_READ, 2 * 65536, buf, 512, 0), ==, 0);
        g_assert_cmpint(buf[0], ==, 3);
        if (fails)
            assert_refused(refused("blockdev-del", "{\"node-name\": \"mid\"}"), "in use");
        else
            del("mid");
        close_front(&guest);
        del("top");
        del("second");
        said = header_of(top_file);
        g_assert_nonnull(strstr(said, fails ? mid_file : base_file));
        g_free(said);
        said = header_of(second);
        g_assert_nonnull(strstr(said, fails ? mid_file : base_file));
        g_free(said);
        if (fails)
            del("mid");
        del("base");
        g_free(base_file);
        g_free(mid_file);
        g_free(top_file);
    }
    g_free(second);
    g_free(program);
}

static char *all_nodes(void)
{
    struct bp_error err = {0};
    char *reply = NULL;

    g_assert_cmpint(bp_test_command(host, "query-named-block-nodes", NULL, &reply, &err), ==, 0);
    return reply;
}

static void bitmaps_of_jobs_are_not_merged_into(void)
{
    char *source = image("source.qcow2", NULL), *target = image("t.qcow2", NULL), *said;
    uint8_t buf[512] = {1};

    add("s", source, "");
    add("t", target, "");
    open_front(&guest, "s");
    command("block-dirty-bitmap-add", "{\"node\": \"s\", \"name\": \"d\"}");
    command("block-dirty-bitmap-add", "{\"node\": \"s\", \"name\": \"e\"}");
    g_assert_cmpint(ask(&guest, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, 0);
    command("blockdev-backup", "{\"job-id\": \"b\", \"device\": \"s\", \"target\": \"t\", \"sync\": \"incremental\", "
            "\"bitmap\": \"d\", \"auto-dismiss\": false, \"auto-finalize\": false}");
    wait_for_job("b", "pending");
    for (unsigned i = 0; i < 2; i++)
        assert_refused(refused("block-dirty-bitmap-merge", "{\"node\": \"s\", \"target\": \"d\", \"bitmaps\": "
                               "[\"%s\"]}", i ? "x" : "e"), "in use by a job");
    said = all_nodes();
    g_assert_nonnull(strstr(said, "\"count\":0")); /* it had been emptied, and is */
    g_free(said);
    cancel("b");
    command("block-dirty-bitmap-remove", "{\"node\": \"s\", \"name\": \"d\"}");
    close_front(&guest);
    del("s");
    del("t");
    g_free(source);
    g_free(target);
}

/* What such a target has not is in the source, not below it. */
static void targets_of_later_writes_have_the_source_below(void)
{
    static const char *const commands[] = {"drive-backup", "drive-mirror"};
    char *program = g_find_program_in_path("qemu-img"), *target = path_of("none.qcow2");

    if (!program) {
        g_test_skip("qemu-img is missing");
        g_free(target);
        return;
    }
    for (unsigned i = 0; i < 4; i++) {
        char *said;

        open_chain();
        command(commands[i / 2], "{\"job-id\": \"n\", \"device\": \"top\", \"sync\": \"%s\", \"format\": \"qcow2\", "
                "\"target\": \"%s\", \"speed\": 1, \"auto-dismiss\": false}", i % 2 ? "top" : "none", target);
        cancel("n");
        said = header_of(target);
        g_assert_nonnull(strstr(said, i % 2 ? mid_file : top_file));
        g_free(said);
        close_chain();
        g_unlink(target);
    }
    g_free(target);
    g_free(program);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/block-job-rules/" #NAME, NAME)
    CASE(chains_of_jobs_are_left_alone);
    CASE(parts_of_a_chain_have_jobs_of_their_own);
    CASE(groups_end_together);
    CASE(jobs_that_an_error_paused_are_not_completed);
    CASE(the_last_round_waits_for_nothing);
    CASE(every_image_above_a_commit_follows_or_none_does);
    CASE(bitmaps_of_jobs_are_not_merged_into);
    CASE(targets_of_later_writes_have_the_source_below);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

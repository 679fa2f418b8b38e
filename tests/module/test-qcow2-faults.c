/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The format qcow2 when powers are cut, requests fail, and bytes are not what they were. */
#include "image-cuts.h"

/* ---- powers and errors ---- */

static void power_cuts_lose_nothing_that_was_flushed(void)
{
    unsigned seeds = g_test_thorough() ? 5000 : 24;

    for (unsigned seed = 0; seed < seeds; seed++) {
        cut_once("", seed, 0);
        cut_once(", \"cluster-size\": 4096", seed, 0);
        if (seed % 4 == 0)
            cut_once(", \"cluster-size\": 512", seed, 0);
        if (seed % 2 == 0)
            cut_once(", \"lazy-refcounts\": true, \"cluster-size\": 4096", seed, 0);
    }
}

static int failing_requests(void *opaque, struct bp_error *err)
{
    struct walk *w = opaque;
    unsigned failures = 0;
    uint8_t buf[5000];

    (void)err;
    for (unsigned i = 0; i < 60; i++) {
        uint64_t at = any(w, LENGTH - sizeof(buf));
        int ret;

        memset(buf, (int)i + 1, sizeof(buf));
        ret = i % 7 ? ask(&w->f, BP_BLOCK_WRITE, at, buf, sizeof(buf), 0) : ask(&w->f, BP_BLOCK_FLUSH, 0, NULL, 0, 0);
        failures += ret < 0;
        if (i % 7 && ret == 0)
            memcpy(w->model + at, buf, sizeof(buf));
        else if (i % 7)
            ask(&w->f, BP_BLOCK_READ, at, w->model + at, sizeof(buf), 0);
    }
    g_assert_cmpuint(failures, <=, 1);
    assert_all_reads(w);
    return 0;
}

/* The n-th write to the file fails: whoever asked is told, and the image stays whole. */
static void requests_that_fail_leave_the_image_whole(void)
{
    char *path = path_of("fail.qcow2");

    for (unsigned n = 0; n < 60; n++) {
        struct walk w = {.model = g_malloc0(LENGTH), .length = LENGTH, .rand = g_rand_new_with_seed(n)};

        create(path, LENGTH, n & 1 ? ", \"cluster-size\": 1024" : "");
        command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"file\": {\"driver\": \"blkdebug\", "
                "\"inject-error\": [{\"event\": \"none\", \"iotype\": \"write\", \"errno\": %d, \"once\": true, "
                "\"skip\": %u}], \"image\": {\"driver\": \"file\", \"filename\": \"%s\", \"cache\": "
                "{\"no-flush\": true}}}}",
                n % 3 ? 5 : 28, n, path);
        open_front(&w.f, "q");
        in_co(failing_requests, &w, NULL);
        close_front(&w.f);
        g_assert_cmpuint(look(0).corruptions, ==, 0);
        close_image();
        open_image(path, "");
        g_assert_cmpuint(look(0).corruptions, ==, 0);
        close_image();
        g_rand_free(w.rand);
        g_free(w.model);
    }
    g_free(path);
}

static void an_image_left_dirty_is_repaired_when_it_is_written_to(void)
{
    char *path = path_of("dirty.qcow2"), *data;
    struct front f;
    uint8_t buf[512] = {1};
    size_t length;

    create(path, LENGTH, ", \"lazy-refcounts\": true");
    open_image(path, "");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 70000, buf, 512, 0), ==, 0);
    g_assert_cmpint(ask(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0), ==, 0);
    g_assert_true(g_file_get_contents(path, &data, &length, NULL)); /* as after a crash */
    close_front(&f);
    close_image();
    g_assert_cmpint(data[79] & 1, ==, 1);
    memset(data + 131072 + 8, 0, 64); /* counts that were not written */
    g_assert_true(g_file_set_contents(path, data, (gssize)length, NULL));
    g_free(data);
    open_image(path, ", \"read-only\": true");
    g_assert_cmpuint(look(0).corruptions, >, 0);
    close_image();
    open_image(path, "");
    assert_clean(); /* opened to be written to, it was repaired */
    close_image();
    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    g_assert_cmpint(data[79] & 1, ==, 0);
    g_free(data);
    open_image(path, "");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, 0);
    close_front(&f);
    close_image();
    open_image(path, "");
    assert_clean();
    close_image();
    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    g_assert_cmpint(data[79] & 1, ==, 0);
    g_free(data);
    g_free(path);
}

/* ---- damage ---- */

static void damaged_headers_are_refused_in_words(void)
{
    static const struct { size_t at; uint8_t bytes[4]; const char *word; } wrongs[] = {
        {4, {0, 0, 0, 9}, "version"}, {20, {0, 0, 0, 40}, "clusters"}, {20, {0, 0, 0, 3}, "clusters"},
        {32, {0, 0, 0, 1}, "AES"}, {32, {0, 0, 0, 2}, "LUKS header is missing"},
        {36, {0x7f, 0xff, 0xff, 0xff}, "L1"}, {44, {0, 0, 1, 1}, "L1"},
        {56, {0, 0, 0, 0}, "reference counts"}, {56, {0, 1, 0, 0}, "refcount"}, {60, {0, 9, 9, 9}, "snapshots"},
        {76, {0x80, 0, 0, 0}, "feature"}, {96, {0, 0, 0, 9}, "bits"}, {100, {0, 0, 0, 5}, "header"},
        {24, {0, 0xff, 0, 0}, "L1"}, {76, {0, 0, 0, 2}, "damaged"}};
    char *path = path_of("bad.qcow2"), *data, *good;
    size_t length;

    create(path, LENGTH, "");
    g_assert_true(g_file_get_contents(path, &good, &length, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(wrongs); i++) {
        data = g_memdup2(good, length);
        memcpy(data + wrongs[i].at, wrongs[i].bytes, 4);
        g_assert_true(g_file_set_contents(path, data, (gssize)length, NULL));
        assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"file\": {\"driver\": "
                               "\"file\", \"filename\": \"%s\"}}", path), wrongs[i].word);
        g_free(data);
    }
    g_free(good);
    g_free(path);
}

/* Whatever bytes change: requests fail or succeed, memory stays bounded, nothing crashes. */
static void random_damage_does_no_harm(void)
{
    char *path = path_of("damage.qcow2"), *good, *name = path_of("d.qcow2");
    unsigned rounds = g_test_thorough() ? 20000 : 150;
    struct front f;
    uint8_t *buf = g_malloc(65536);
    GRand *rand = g_rand_new_with_seed(5);
    size_t length;

    create(path, LENGTH, ", \"cluster-size\": 4096");
    open_image(path, "");
    open_front(&f, "q");
    for (unsigned i = 0; i < 20; i++) {
        memset(buf, (int)i, 65536);
        g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, i * 100000, buf, 20000, i & 1 ? BP_BLOCK_COMPRESSED : 0), ==, 0);
    }
    close_front(&f);
    snap(BP_BLOCK_SNAPSHOT_CREATE, "s");
    close_image();
    g_assert_true(g_file_get_contents(path, &good, &length, NULL));
    for (unsigned n = 0; n < rounds; n++) {
        char *data = g_memdup2(good, length), *args;
        struct bp_error err = {0};

        for (int i = g_rand_int_range(rand, 1, 5); i > 0; i--) {
            size_t at = (size_t)(g_rand_int_range(rand, 0, 3) ? g_rand_int_range(rand, 0, 7) * 4096 +
                                 g_rand_int_range(rand, 0, 128) : g_rand_int_range(rand, 0, (gint32)length));

            data[at] = (char)g_rand_int(rand);
        }
        g_assert_true(g_file_set_contents(name, data, (gssize)length, NULL));
        g_free(data);
        args = g_strdup_printf("{\"driver\": \"qcow2\", \"node-name\": \"q\", \"discard\": \"unmap\", \"file\": "
                "{\"driver\": "
                               "\"file\", \"filename\": \"%s\", \"cache\": {\"no-flush\": true}}}", name);
        if (bp_test_command(host, "blockdev-add", args, NULL, &err) == 0) {
            struct checking c = {.fix = n & 1 ? 3 : 0};

            if (try_open(&f, "q", &fixed, false, &err) == 0) {
                ask(&f, BP_BLOCK_READ, 0, buf, 65536, 0);
                ask(&f, BP_BLOCK_WRITE, 100000, buf, 3000, 0);
                ask(&f, BP_BLOCK_DISCARD, 200000, NULL, 100000, 0);
                ask(&f, BP_BLOCK_FLUSH, 0, NULL, 0, 0);
                close_front(&f);
            }
            in_co(check_it, &c, NULL);
            close_image();
        }
        g_free(args);
    }
    g_rand_free(rand);
    g_free(good);
    g_free(buf);
    g_free(path);
    g_free(name);
}

/* ---- tables that are where others are ---- */

/* Offsets of an image with clusters of 64 KiB as create() lays it out. */
struct places {
    char *path, *data;
    size_t length;
    uint64_t l1, l2, table, block, first; /* of the file; first: the first data cluster */
};

static uint64_t be64_at(const char *data, size_t at)
{
    uint64_t v;

    memcpy(&v, data + at, 8);
    return GUINT64_FROM_BE(v);
}

static void set_be64(struct places *p, size_t at, uint64_t v)
{
    v = GUINT64_TO_BE(v);
    memcpy(p->data + at, &v, 8);
}

static void damage_begin(struct places *p, const char *more)
{
    uint8_t buf[512] = {7};
    struct front f;

    p->path = path_of("overlap.qcow2");
    create(p->path, LENGTH, more);
    open_image(p->path, "");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, 0);
    close_front(&f);
    snap(BP_BLOCK_SNAPSHOT_CREATE, "s");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, 0); /* tables of its own again */
    close_front(&f);
    close_image();
    g_assert_true(g_file_get_contents(p->path, &p->data, &p->length, NULL));
    p->l1 = be64_at(p->data, 40);
    p->table = be64_at(p->data, 48);
    p->block = be64_at(p->data, p->table);
    p->l2 = be64_at(p->data, p->l1) & ~(UINT64_C(1) << 63);
    p->first = be64_at(p->data, p->l2) & ~(UINT64_C(1) << 63);
}

/* What a write to the first cluster gives, opened with `more`; the file is as it was damaged. */
static int damage_write(struct places *p, const char *more, bool *ret_marked)
{
    uint8_t buf[512] = {9};
    struct front f;
    char *data;
    size_t length;
    int ret;

    g_assert_true(g_file_set_contents(p->path, p->data, (gssize)p->length, NULL));
    open_image(p->path, more);
    open_front(&f, "q");
    ret = ask(&f, BP_BLOCK_WRITE, 0, buf, 512, 0);
    if (ret < 0) /* nothing more is written */
        g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 1 << 20, buf, 512, 0), <, 0);
    close_front(&f);
    close_image();
    g_assert_true(g_file_get_contents(p->path, &data, &length, NULL));
    *ret_marked = data[79] & 2;
    g_free(data);
    return ret;
}

static void damage_end(struct places *p)
{
    g_free(p->data);
    g_free(p->path);
}

static void writes_do_not_hit_tables(void)
{
    static const struct { const char *key; int which; const char *without; } kinds[] = {
        {"active-l1", 1, "none"}, {"refcount-table", 2, "none"},
        {"active-l2", 3, "constant"}, {"refcount-block", 4, "constant"}, {"snapshot-table", 5, "none"},
        {"inactive-l1", 6, "constant"}, {"inactive-l2", 7, "cached"}};
    bool marked;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct places p;
        uint64_t at[8], snapshots;
        char *more;

        damage_begin(&p, "");
        snapshots = be64_at(p.data, 64);
        at[0] = 0;
        at[1] = p.l1, at[2] = p.table, at[3] = p.l2, at[4] = p.block, at[5] = snapshots;
        at[6] = be64_at(p.data, snapshots);
        at[7] = be64_at(p.data, at[6]) & ~(UINT64_C(1) << 63);
        set_be64(&p, p.l2, at[kinds[i].which] | UINT64_C(1) << 63);
        g_assert_cmpint(damage_write(&p, ", \"overlap-check\": \"all\"", &marked), ==, -EIO);
        g_assert_true(marked);
        more = g_strdup_printf(", \"overlap-check\": {\"template\": \"none\", \"%s\": true}", kinds[i].key);
        g_assert_cmpint(damage_write(&p, more, &marked), ==, -EIO);
        g_assert_true(marked);
        g_free(more);
        more = g_strdup_printf(", \"overlap-check\": \"%s\"", kinds[i].without);
        g_assert_cmpint(damage_write(&p, more, &marked), ==, 0);
        g_free(more);
        g_assert_cmpint(damage_write(&p, "", &marked), ==, kinds[i].which == 7 ? 0 : -EIO); /* cached */
        damage_end(&p);
    }
    assert_refused(refused("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"overlap-check\": "
                           "\"some\", \"file\": {\"driver\": \"null-co\", \"read-zeroes\": true}}"), "overlap-check");
}

static void tables_that_lie_in_others_are_found(void)
{
    struct places p;
    uint8_t buf[512];
    struct front f;
    bool marked;

    damage_begin(&p, "");
    set_be64(&p, p.l1, p.table | UINT64_C(1) << 63); /* an L2 table in the table of counts */
    g_assert_cmpint(damage_write(&p, "", &marked), ==, -EIO);
    g_assert_true(marked);
    damage_end(&p);
    damage_begin(&p, "");
    set_be64(&p, p.l2, p.l1 | UINT64_C(1) << 63); /* data in the L1 table is not shown either */
    g_assert_true(g_file_set_contents(p.path, p.data, (gssize)p.length, NULL));
    open_image(p.path, "");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_READ, 0, buf, 512, 0), ==, -EIO);
    close_front(&f);
    close_image();
    damage_end(&p);
    /* The lowest bits of an entry of the refcount table mean nothing: no block, not one at 0. */
    damage_begin(&p, "");
    set_be64(&p, p.table + 8, 1);
    set_be64(&p, p.table, p.block | 5);
    g_assert_cmpint(damage_write(&p, "", &marked), ==, 0);
    g_assert_false(marked);
    open_image(p.path, "");
    assert_clean();
    close_image();
    damage_end(&p);
}

static void a_missing_block_of_counts_is_not_made_over_a_table(void)
{
    char *path = path_of("noblock.qcow2"), *data;
    uint8_t buf[512] = {1};
    struct front f;
    uint64_t table, v;
    size_t length;

    /* With clusters of 512 bytes a block counts 256 of them; the L1 table is moved to where the second one would be. */
    create(path, LENGTH, ", \"cluster-size\": 512");
    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    table = be64_at(data, 48);
    v = be64_at(data, table + 8);
    g_assert_cmpuint(v, ==, 0);
    data = g_realloc(data, 400 * 512);
    memset(data + length, 0, 400 * 512 - length);
    memcpy(data + 256 * 512, data + be64_at(data, 40), 512);
    v = GUINT64_TO_BE(UINT64_C(256) * 512);
    memcpy(data + 40, &v, 8);
    for (unsigned i = 0; i < 512; i++) /* everything that is counted is taken */
        data[be64_at(data, table) + i] = i & 1;
    g_assert_true(g_file_set_contents(path, data, 400 * 512, NULL));
    open_image(path, ", \"overlap-check\": \"none\"");
    open_front(&f, "q");
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, 512, 0), ==, -EIO);
    close_front(&f);
    close_image();
    g_free(data);
    g_free(path);
}

static void damaged_images_stay_read_only(void)
{
    char *path = path_of("marked.qcow2"), *data;
    size_t length;

    create(path, LENGTH, "");
    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    data[79] |= 2;
    g_assert_true(g_file_set_contents(path, data, (gssize)length, NULL));
    command("blockdev-add", "{\"driver\": \"qcow2\", \"node-name\": \"q\", \"read-only\": true, \"file\": {\"driver\": "
            "\"file\", \"node-name\": \"f\", \"read-only\": false, \"filename\": \"%s\"}}", path);
    assert_refused(refused("blockdev-reopen", "{\"options\": [{\"driver\": \"qcow2\", \"node-name\": \"q\", "
                           "\"read-only\": false, \"file\": \"f\"}]}"), "damaged");
    close_image();
    g_free(data);
    g_free(path);
}

/* Snapshots as older programs wrote them: 16 bytes of more, where we write 24. What lies behind their table is not
 * given back with it. */
static void a_shorter_snapshot_table_is_as_long_as_it_lies_there(void)
{
    char *path = path_of("old.qcow2"), *data;
    uint8_t table[512] = {0}, *buf = g_malloc(LENGTH);
    uint64_t at, to = 0;
    struct front f;
    size_t length;

    create(path, LENGTH, ", \"cluster-size\": 512");
    open_image(path, "");
    for (unsigned i = 0; i < 8; i++) {
        char name[8];

        g_snprintf(name, sizeof(name), "snap%03u", i);
        snap(BP_BLOCK_SNAPSHOT_CREATE, name);
    }
    close_image();
    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    at = be64_at(data, 64);
    for (unsigned i = 0; i < 8; i++) { /* 40 + 24 + 1 + 7 bytes become 40 + 16 + 1 + 7 */
        memcpy(table + to, data + at, 56);
        table[to + 39] = 16;
        memcpy(table + to + 56, data + at + 64, 8);
        at += 72;
        to += 64;
    }
    memcpy(data + be64_at(data, 64), table, sizeof(table));
    g_assert_true(g_file_set_contents(path, data, (gssize)length, NULL));
    open_image(path, "");
    g_assert_cmpuint(look(0).leaks, ==, 1); /* the second cluster of the table */
    look(BP_BLOCK_FIX_LEAKS);
    open_front(&f, "q");
    memset(buf, 5, LENGTH);
    g_assert_cmpint(ask(&f, BP_BLOCK_WRITE, 0, buf, LENGTH, 0), ==, 0); /* wherever there is room */
    close_front(&f);
    snap(BP_BLOCK_SNAPSHOT_CREATE, "more");
    assert_clean();
    snap(BP_BLOCK_SNAPSHOT_DELETE, "snap003");
    assert_clean();
    close_image();
    open_image(path, "");
    assert_clean();
    close_image();
    g_free(data);
    g_free(buf);
    g_free(path);
}

static void lengths_that_would_show_old_data_are_refused(void)
{
    char *path = path_of("short.qcow2"), *file = path_of("short.data"), *base = make_file("short.base", 1 << 20), *more;

    g_assert_true(g_file_set_contents(file, "", 0, NULL));
    more = g_strdup_printf(", \"data-file\": \"%s\"", file);
    create(path, LENGTH, more);
    open_image(path, "");
    assert_refused(refused("block_resize", "{\"node-name\": \"q\", \"size\": 1048576}"), "data file");
    close_image();
    g_free(more);
    more = g_strdup_printf(", \"version\": \"v2\", \"backing-file\": \"%s\", \"backing-fmt\": \"raw\"", base);
    create(path, LENGTH, more);
    open_image(path, "");
    assert_refused(refused("block_resize", "{\"node-name\": \"q\", \"size\": 1048576}"), "version 2");
    close_image();
    g_free(more);
    g_free(path);
    g_free(file);
    g_free(base);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/qcow2-faults/" #NAME, NAME)
    CASE(power_cuts_lose_nothing_that_was_flushed);
    CASE(requests_that_fail_leave_the_image_whole);
    CASE(an_image_left_dirty_is_repaired_when_it_is_written_to);
    CASE(damaged_headers_are_refused_in_words);
    CASE(random_damage_does_no_harm);
    CASE(writes_do_not_hit_tables);
    CASE(tables_that_lie_in_others_are_found);
    CASE(a_missing_block_of_counts_is_not_made_over_a_table);
    CASE(damaged_images_stay_read_only);
    CASE(a_shorter_snapshot_table_is_as_long_as_it_lies_there);
    CASE(lengths_that_would_show_old_data_are_refused);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Formats with an allocation map when powers are cut: nothing that was flushed is lost, and no table leads astray. */
#include "image-cuts.h"

static const struct {
    const char *format, *more;
    unsigned marks;
} kinds[] = {
    {"vdi", "", 1}, {"parallels", ", \"cluster-size\": 65536", 1}, {"parallels", ", \"cluster-size\": 4096", 1},
    {"qed", ", \"cluster-size\": 4096, \"table-size\": 2", 0}, {"qed", "", 0}, {"vpc", ", \"force-size\": true", 1},
    {"vhdx", ", \"block-size\": 1048576", 0}, {"vmdk", "", 0}, {"vmdk", ", \"zeroed-grain\": true", 0},
};

static void power_cuts_lose_nothing_that_was_flushed(void)
{
    unsigned seeds = g_test_thorough() ? 1000 : 6;

    for (unsigned seed = 0; seed < seeds; seed++)
        for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
            image_format = kinds[i].format;
            cut_once(kinds[i].more, seed, kinds[i].marks);
        }
}

/* The power goes in the middle of that, too: the image is as it was, or as it will be. */
static void power_cuts_while_it_grows_lose_nothing(void)
{
    static const struct {
        const char *format, *more;
        unsigned marks;
        uint64_t growth;
    } growing[] = {
        {"vdi", "", 1, (UINT64_C(70) << 20) + 512}, {"parallels", ", \"cluster-size\": 4096", 1, 2 << 20},
        {"vpc", ", \"force-size\": true", 1, UINT64_C(150) << 20}, {"vhdx", ", \"block-size\": 1048576", 0, 3 << 20},
        {"vmdk", "", 0, UINT64_C(1100) << 20}, {"vmdk", ", \"zeroed-grain\": true", 0, (70 << 20) + 512},
    };
    unsigned seeds = g_test_thorough() ? 1000 : 24;

    for (unsigned seed = 0; seed < seeds; seed++)
        for (size_t i = 0; i < G_N_ELEMENTS(growing); i++) {
            image_format = growing[i].format;
            image_growth = growing[i].growth;
            cut_once(growing[i].more, seed, growing[i].marks);
        }
    image_growth = 0;
}

/* Copies of what is below are safe before a table leads to them. */
static void power_cuts_lose_nothing_of_what_is_below(void)
{
    char *path = path_of("base.raw");
    char *more = g_strdup_printf(", \"backing-file\": \"%s\", \"backing-fmt\": \"raw\"", path);
    uint8_t *base = g_malloc(LENGTH);

    for (size_t i = 0; i < LENGTH; i++)
        base[i] = (uint8_t)(1 + i / 512 % 251);
    g_assert_true(g_file_set_contents(path, (const char *)base, LENGTH, NULL));
    image_format = "qed";
    image_base = base;
    for (unsigned seed = 1; seed < 16; seed++)
        cut_once(more, seed, 0);
    image_base = NULL;
    g_free(base);
    g_free(more);
    g_free(path);
}

/* The n-th write to the file fails: whoever asked is told, and what is read is what was written. */
static int failing_requests(void *opaque, struct bp_error *err)
{
    struct walk *w = opaque;
    uint8_t buf[5000];

    (void)err;
    for (unsigned i = 0; i < 40; i++) {
        uint64_t at = any(w, LENGTH - sizeof(buf));
        int ret;

        memset(buf, (int)i + 1, sizeof(buf));
        ret = i % 7 ? ask(&w->f, BP_BLOCK_WRITE, at, buf, sizeof(buf), 0) : ask(&w->f, BP_BLOCK_FLUSH, 0, NULL, 0, 0);
        if (i % 7 && ret == 0)
            memcpy(w->model + at, buf, sizeof(buf));
        else if (i % 7)
            ask(&w->f, BP_BLOCK_READ, at, w->model + at, sizeof(buf), 0);
    }
    assert_all_reads(w);
    return 0;
}

static void fail_once(const char *path, const char *more, unsigned n)
{
    struct walk w = {.model = g_malloc0(LENGTH), .length = LENGTH, .rand = g_rand_new_with_seed(n)};

    create(path, LENGTH, more);
    command("blockdev-add", "{\"driver\": \"%s\", \"node-name\": \"q\", \"file\": {\"driver\": \"blkdebug\", "
            "\"inject-error\": [{\"event\": \"none\", \"iotype\": \"write\", \"errno\": %d, \"once\": true, "
            "\"skip\": %u}], \"image\": {\"driver\": \"file\", \"filename\": \"%s\", \"cache\": {\"no-flush\": "
            "true}}}}", image_format, EIO, n, path);
    open_front(&w.f, "q");
    in_co(failing_requests, &w, NULL);
    close_front(&w.f);
    close_image();
    open_image(path, "");
    look(BP_BLOCK_FIX_LEAKS | BP_BLOCK_FIX_ERRORS);
    assert_clean();
    open_front(&w.f, "q");
    assert_all_reads(&w);
    close_front(&w.f);
    close_image();
    g_rand_free(w.rand);
    g_free(w.model);
}

static void requests_that_fail_leave_the_image_whole(void)
{
    char *path = path_of("fail.img");

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        image_format = kinds[i].format;
        for (unsigned n = 0; n < 12; n++)
            fail_once(path, kinds[i].more, n);
    }
    g_free(path);
}

int main(int argc, char **argv)
{
    int ret;

    start_host(&argc, &argv);
#define CASE(NAME) g_test_add_func("/format-faults/" #NAME, NAME)
    CASE(power_cuts_lose_nothing_that_was_flushed);
    CASE(power_cuts_while_it_grows_lose_nothing);
    CASE(power_cuts_lose_nothing_of_what_is_below);
    CASE(requests_that_fail_leave_the_image_whole);
    ret = g_test_run();
    bp_test_host_free(host);
    return ret;
}

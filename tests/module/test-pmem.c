/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* memory-backend-file,pmem=on with a library that says what the test wants, as no host here has persistent memory. */
#include <glib.h>
#include <string.h>

#include <bp/memory.h>
#include <bp/object.h>
#include <bp/ram.h>
#include <bp/test.h>

#include "../house/work-folder.h"

#define SIZE (2u << 20)

static struct bp_test_host *host;
static char *folder;
static bool direct;
static size_t asked, flushed;
static const void *flushed_at;

/* In front of libpmem's. */
int pmem_is_pmem(const void *address, size_t length);
void pmem_persist(const void *address, size_t length);

int pmem_is_pmem(const void *address, size_t length)
{
    g_assert_nonnull(address);
    asked += length;
    return direct;
}

void pmem_persist(const void *address, size_t length)
{
    flushed_at = address;
    flushed += length;
    g_assert_cmphex(((const uint8_t *)address)[SIZE - 1], ==, 0x5a); /* it is still there */
}

static struct bp_object *backend(const char *keys, struct bp_error *err)
{
    char *props = g_strdup_printf("{\"size\": %u, \"mem-path\": \"%s/file\", \"pmem\": true%s}", SIZE, folder, keys);
    struct bp_object *obj = NULL;

    memset(err, 0, sizeof(*err));
    asked = flushed = 0;
    if (bp_test_object(host, "memory-backend-file", "m", props, &obj, err) < 0)
        obj = NULL;
    g_free(props);
    return obj;
}

static bool is_built(void)
{
    struct bp_error err = {0};
    const void *table;

    if (bp_test_interface(host, "pmem", 1, &table, &err) == 0)
        return true;
    g_test_skip(err.message);
    return false;
}

static void other_files_are_refused_in_words(void)
{
    struct bp_error err;

    if (!is_built())
        return;
    direct = false;
    g_assert_null(backend(", \"share\": true", &err));
    g_assert_nonnull(strstr(err.message, "pmem=on could not keep its promise"));
    g_assert_cmpuint(asked, >, 0);
    g_assert_null(backend("", &err));
    g_assert_nonnull(strstr(err.message, "needs share=on"));
    g_assert_null(backend(", \"share\": true, \"readonly\": true", &err));
    g_assert_nonnull(strstr(err.message, "readonly"));
    g_assert_cmpuint(flushed, ==, 0);
}

static void note_ram(struct bp_object *from, struct bp_region *ram, void *opaque)
{
    (void)from;
    *(struct bp_region **)opaque = ram;
}

static void what_was_written_is_flushed_at_the_end(void)
{
    char *path = g_build_filename(folder, "file", NULL), *bytes;
    struct bp_region *ram = NULL;
    struct bp_object *obj;
    struct bp_error err;
    gsize length;

    if (!is_built())
        return;
    direct = true;
    obj = backend(", \"share\": true", &err);
    g_assert_cmpstr(err.message, ==, "");
    g_assert_nonnull(obj);
    bp_ram_each(note_ram, &ram);
    g_assert_nonnull(ram);
    uint8_t *host_bytes = bp_region_ram(ram);
    host_bytes[SIZE - 1] = 0x5a;
    bp_object_destroy(obj);
    g_assert_cmpuint(flushed, ==, SIZE);
    g_assert_true(flushed_at == host_bytes);
    g_assert_true(g_file_get_contents(path, &bytes, &length, NULL));
    g_assert_cmpuint(length, ==, SIZE);
    g_assert_cmphex((uint8_t)bytes[SIZE - 1], ==, 0x5a);
    g_free(bytes);
    g_free(path);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int ret;

    g_test_init(&argc, &argv, NULL);
    folder = work_folder("backplane-pmem");
    g_assert_cmpint(bp_test_host_new(g_getenv("BACKPLANE_MODULES"), &host, &err), ==, 0);
    g_test_add_func("/pmem/other_files_are_refused_in_words", other_files_are_refused_in_words);
    g_test_add_func("/pmem/what_was_written_is_flushed_at_the_end", what_was_written_is_flushed_at_the_end);
    ret = g_test_run();
    bp_test_host_free(host);
    g_free(folder);
    return ret;
}

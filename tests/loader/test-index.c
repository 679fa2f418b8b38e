/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * modules.idx: what is written is read, damage gives an error, and an entry is trusted for just the
 * file that it was made of. SYNTHETIC names the template of synthetic.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib.h>
#include <glib/gstdio.h>

#include <bp/device.h>

#include "describe.h"
#include "../house/work-folder.h"
#include "index-parts.h"

#define COUNT 5u

static char *folder, *template;
static gsize template_size;

static char *path_of(const char *name)
{
    return g_build_filename(folder, name, NULL);
}

/* Writes module synthetic-NUMBER, with `mark` in its build-id. */
static void write_module(const char *name, unsigned number, char mark)
{
    static const char id[] = "\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU";
    char *copy = g_memdup2(template, template_size), digits[8], *at, *path = path_of(name);

    g_snprintf(digits, sizeof(digits), "%04u", number);
    while ((at = memmem(copy, template_size, "QQQQ", 4)))
        memcpy(at, digits, 4);
    at = memmem(copy, template_size, id, sizeof(id));
    g_assert_nonnull(at);
    at[sizeof(id)] = mark;
    g_assert_true(g_file_set_contents(path, copy, (gssize)template_size, NULL));
    g_free(path);
    g_free(copy);
}

static void set_mtime(const char *name, time_t when)
{
    const struct timespec times[2] = {{when, 0}, {when, 0}};
    char *path = path_of(name);

    g_assert_cmpint(utimensat(AT_FDCWD, path, times, 0), ==, 0);
    g_free(path);
}

static void remove_file(const char *name)
{
    char *path = path_of(name);

    g_assert_cmpint(g_unlink(path), ==, 0);
    g_free(path);
}

static void set_up(void)
{
    char name[32];

    folder = work_folder("bp-index");
    for (unsigned i = 0; i < COUNT; i++) {
        g_snprintf(name, sizeof(name), "m%u.so", i);
        write_module(name, i, 'a');
        set_mtime(name, 1000000 + (time_t)i);
    }
    char *bad = path_of("bad.so");
    g_assert_true(g_file_set_contents(bad, "no module", -1, NULL));
    g_free(bad);
    set_mtime("bad.so", 1000000);
}

static void tear_down(void)
{
    GDir *dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while ((name = g_dir_read_name(dir)))
        remove_file(name);
    g_dir_close(dir);
    g_rmdir(folder);
    g_free(folder);
}

static struct index_bytes build(struct index_summary *summary)
{
    struct index_bytes bytes = {0};
    struct bp_error err = {0};

    g_assert_cmpint(index_build_directory(folder, &bytes, summary, &err), ==, 0);
    return bytes;
}

static struct index check(const struct index_bytes *bytes)
{
    struct index index = {0};
    struct bp_error err = {0};
    int rc = index_check(bytes->data, bytes->size, &index, &err);

    g_assert_cmpstr(err.message, ==, "");
    g_assert_cmpint(rc, ==, 0);
    return index;
}

/* ---- cases ---- */

static void what_is_written_is_read(void)
{
    struct index_summary summary = {0};
    struct index_bytes bytes;
    struct index index;
    const void *packed;
    void *desc;
    size_t size;

    set_up();
    bytes = build(&summary);
    index = check(&bytes);
    g_assert_cmpuint(summary.modules, ==, COUNT);
    g_assert_cmpuint(summary.provides, ==, COUNT);
    g_assert_cmpuint(summary.bad, ==, 1);
    g_assert_cmpuint(summary.size, ==, bytes.size);
    g_assert_nonnull(strstr(summary.bad_text, "bad.so is not a module"));
    g_assert_cmpuint(index.header->module_count, ==, COUNT + 1);
    g_assert_cmpstr(index_string(&index, index.modules[0].file), ==, "bad.so");
    g_assert_cmpstr(index_string(&index, index.modules[0].name), ==, "bad");
    g_assert_cmpint(index.modules[0].code, ==, ENOEXEC);
    for (unsigned i = 0; i < COUNT; i++) {
        const struct index_module *m = &index.modules[i + 1];
        const struct index_provide *p = &index.provides[i];
        char name[32];

        g_snprintf(name, sizeof(name), "synthetic-%04u", i);
        g_assert_cmpstr(index_string(&index, m->name), ==, name);
        g_assert_cmpstr(index_string(&index, m->tier), ==, "public");
        g_assert_cmpuint(m->size, ==, template_size);
        g_assert_cmpint(m->mtime, ==, 1000000 + (int)i);
        g_assert_cmpuint(m->build_id_length, ==, 20);
        g_assert_cmpstr(index_string(&index, p->name), ==, name);
        g_assert_nonnull(strstr(index_string(&index, p->attributes), "bus=isa"));
        g_assert_cmpuint(p->module, ==, i + 1);
        g_assert_cmpint(index_packed(&index, i, &packed, &size, NULL), ==, 0);
        g_assert_cmpuint(size, >, 0);
        g_assert_cmpint(describe_unpack(index_string(&index, p->kind), packed, size, &desc, NULL), ==, 0);
        const struct bp_device_class *class = desc;
        g_assert_cmpstr(class->type.props[0].name, ==, "level");
        g_assert_cmpstr(class->type.props[0].def, ==, "7");
        g_assert_null((void *)class->attach);
        free(desc);
    }
    index_summary_finish(&summary);
    free(bytes.data);
    tear_down();
}

static void same_files_give_same_bytes(void)
{
    struct index_bytes a, b;

    set_up();
    a = build(NULL);
    remove_file("m1.so"); /* other order in the directory */
    write_module("m1.so", 1, 'a');
    set_mtime("m1.so", 1000001);
    b = build(NULL);
    g_assert_cmpmem(a.data, a.size, b.data, b.size);
    free(a.data);
    free(b.data);
    tear_down();
}

static void written_file_is_opened(void)
{
    struct index_bytes bytes;
    struct bp_error err = {0};
    struct index index = {0};
    struct stat st;
    struct index_names names;
    char *path;
    int fd;

    set_up();
    bytes = build(NULL);
    g_assert_cmpint(index_write(folder, &bytes, &err), ==, 0);
    fd = open(folder, O_RDONLY | O_DIRECTORY);
    const struct index_place place = {fd, folder, NULL};
    g_assert_cmpint(index_open(&place, &index, &err), ==, 0);
    g_assert_cmpmem(index.header, index.size, bytes.data, bytes.size);
    g_assert_cmpint(index_list_files(&place, &names, &err), ==, 0);
    g_assert_cmpuint(names.count, ==, COUNT + 1); /* neither the index nor a temporary file */
    g_assert_cmpuint(names.hash, ==, index.header->names);
    index_names_finish(&names);
    path = path_of(INDEX_FILE);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpuint(st.st_mode & 07777, ==, 0644);
    g_free(path);
    close(fd);
    free(bytes.data);
    tear_down();
}

static void missing_directory_is_named(void)
{
    struct index_bytes bytes = {0};
    struct bp_error err = {0};

    g_assert_cmpint(index_build_directory("/no/such/place", &bytes, NULL, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.message, "/no/such/place"));
    g_assert_cmpint(index_command("/no/such", "place", NULL, &err), ==, -ENOENT);
    g_assert_nonnull(strstr(err.message, "/no/such/place"));
}

static void names_hash_ignores_order(void)
{
    uint64_t a = 0, b = 0, c = 0;

    index_names_add(&a, "x.so");
    index_names_add(&a, "y.so");
    index_names_add(&b, "y.so");
    index_names_add(&b, "x.so");
    index_names_add(&c, "x.so");
    g_assert_cmpuint(a, ==, b);
    g_assert_cmpuint(a, !=, c);
    g_assert_true(index_is_module_name("x.so"));
    g_assert_false(index_is_module_name(".x.so"));
    g_assert_false(index_is_module_name(".so"));
    g_assert_false(index_is_module_name("x.so.1"));
}

/* Fixes the sums up, so that what is behind them is looked at. */
static int check_damaged(struct index_bytes *bytes, bool fix, struct bp_error *err)
{
    struct index_header *h = bytes->data;
    struct index index;

    if (fix)
        h->head_sum = index_head_sum(h, h->packed);
    *err = (struct bp_error){0};
    return index_check(bytes->data, bytes->size, &index, err);
}

static void foreign_layouts_are_refused(void)
{
    struct index_bytes bytes;
    struct bp_error err;
    struct index_header *h;

    set_up();
    bytes = build(NULL);
    h = bytes.data;
    h->byte_order = GUINT32_SWAP_LE_BE(h->byte_order);
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -ENOEXEC);
    h->byte_order = INDEX_BYTE_ORDER;
    h->version++;
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -ENOEXEC);
    h->version--;
    h->layout ^= 1;
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -ENOEXEC);
    g_assert_nonnull(strstr(err.message, "another version"));
    h->layout ^= 1;
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, 0);
    free(bytes.data);
    tear_down();
}

static void truncated_index_is_refused(void)
{
    struct index_bytes bytes;
    struct index index;

    set_up();
    bytes = build(NULL);
    for (size_t size = 0; size < bytes.size; size += size < 256 ? 1 : 61) {
        void *cut = g_memdup2(bytes.data, size + !size); /* exactly as long, for sanitizers */
        struct bp_error err = {0};

        g_assert_cmpint(index_check(cut, size, &index, &err), <, 0);
        g_assert_cmpstr(err.message, !=, "");
        g_free(cut);
    }
    free(bytes.data);
    tear_down();
}

static void damage_is_told_by_the_sums(void)
{
    struct index_bytes bytes;
    struct bp_error err = {0};
    struct index index;
    const void *packed;
    size_t size;

    set_up();
    bytes = build(NULL);
    uint32_t head = ((struct index_header *)bytes.data)->packed;
    for (size_t i = sizeof(struct index_header); i < head; i += 7) {
        ((uint8_t *)bytes.data)[i] ^= 0x10;
        g_assert_cmpint(check_damaged(&bytes, false, &err), ==, -EBADMSG);
        ((uint8_t *)bytes.data)[i] ^= 0x10;
    }
    ((uint8_t *)bytes.data)[head + 3] ^= 1;
    index = check(&bytes); /* descriptors are checked when the first one is asked for */
    g_assert_cmpint(index_packed(&index, 0, &packed, &size, &err), ==, -EBADMSG);
    free(bytes.data);
    tear_down();
}

static void crafted_numbers_are_refused(void)
{
    static const uint32_t edges[] = {0x7fffffff, 0x80000000, 0xfffffff8, UINT32_MAX, 1u << 20};
    static const size_t fields[] = {
        offsetof(struct index_header, modules), offsetof(struct index_header, module_count),
        offsetof(struct index_header, provides), offsetof(struct index_header, provide_count),
        offsetof(struct index_header, by_name), offsetof(struct index_header, requires),
        offsetof(struct index_header, require_count), offsetof(struct index_header, strings),
        offsetof(struct index_header, strings_size), offsetof(struct index_header, packed_size)};
    struct index_bytes bytes;
    struct bp_error err;

    set_up();
    bytes = build(NULL);
    const struct index_header good = *(struct index_header *)bytes.data;
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++)
        for (unsigned j = 0; j < G_N_ELEMENTS(edges); j++) {
            memcpy((char *)bytes.data + fields[i], &edges[j], sizeof(edges[j]));
            g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -EBADMSG);
            memcpy(bytes.data, &good, sizeof(good));
        }
    struct index_module *modules = (void *)((char *)bytes.data + good.modules);
    struct index_provide *provides = (void *)((char *)bytes.data + good.provides);
    uint32_t *numbers[] = {&modules[1].name, &modules[1].file, &modules[2].error,
                           &modules[1].provides_count, &modules[1].requires_first,
                           &provides[0].name, &provides[1].kind, &provides[1].module,
                           &provides[1].target, &provides[1].packed, &provides[1].packed_size};
    for (unsigned i = 0; i < G_N_ELEMENTS(numbers); i++) {
        uint32_t was = *numbers[i];

        *numbers[i] = 0xfffffff0;
        g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -EBADMSG);
        *numbers[i] = was;
    }
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, 0);
    provides[0].name = provides[1].name; /* twice: not sorted any more, or by module */
    provides[0].module = provides[1].module;
    g_assert_cmpint(check_damaged(&bytes, true, &err), ==, -EBADMSG);
    free(bytes.data);
    tear_down();
}

static int verify(const struct index *index, unsigned module)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY), rc;
    struct stat st = {0};

    rc = index_verify_entry(index, module, &(struct index_place){fd, folder, NULL}, &st);
    g_assert_cmpint(rc == 0, ==, st.st_ino != 0);
    close(fd);
    return rc;
}

static void entries_are_for_their_files_alone(void)
{
    struct index_bytes bytes;
    struct index index;
    char *path;

    set_up();
    bytes = build(NULL);
    index = check(&bytes);
    for (unsigned i = 0; i <= COUNT; i++)
        g_assert_cmpint(verify(&index, i), ==, 0);
    set_mtime("m0.so", 5); /* the same build, unpacked again */
    g_assert_cmpint(verify(&index, 1), ==, 0);
    write_module("m1.so", 1, 'b'); /* another build of the same size, older or newer */
    set_mtime("m1.so", 5);
    g_assert_cmpint(verify(&index, 2), ==, -ESTALE);
    set_mtime("m1.so", 2000000);
    g_assert_cmpint(verify(&index, 2), ==, -ESTALE);
    path = path_of("m2.so"); /* of another size, at the same time */
    g_assert_true(g_file_set_contents(path, template, (gssize)template_size - 1, NULL));
    set_mtime("m2.so", 1000002);
    g_assert_cmpint(verify(&index, 3), ==, -ESTALE);
    g_free(path);
    remove_file("m3.so");
    g_assert_cmpint(verify(&index, 4), ==, -ESTALE);
    set_mtime("bad.so", 7); /* no build-id: the time is all there is */
    g_assert_cmpint(verify(&index, 0), ==, -ESTALE);
    free(bytes.data);
    tear_down();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_file_get_contents(g_getenv("SYNTHETIC"), &template, &template_size, NULL))
        g_error("SYNTHETIC does not name a file");
#define CASE(name) g_test_add_func("/index/" #name, name)
    CASE(what_is_written_is_read);
    CASE(same_files_give_same_bytes);
    CASE(written_file_is_opened);
    CASE(missing_directory_is_named);
    CASE(names_hash_ignores_order);
    CASE(foreign_layouts_are_refused);
    CASE(truncated_index_is_refused);
    CASE(damage_is_told_by_the_sums);
    CASE(crafted_numbers_are_refused);
    CASE(entries_are_for_their_files_alone);
    return g_test_run();
}

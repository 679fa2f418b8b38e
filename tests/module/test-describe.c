/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors read from module files (loader/image.h, loader/describe.h): for everything that every
 * module provides the inert copy says what the loaded one says; damaged files give errors.
 */
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <glib.h>

#include <bp/host/chardev.h>
#include <bp/command.h>
#include <bp/device.h>
#include <bp/exact/machine.h>
#include <bp/option.h>
#include <bp/test.h>

#include "describe.h"
#include "registry.h"

static struct bp_test_host *host;
static const char *folder;
static unsigned linker_part;
static gint32 dynamic_part;

static void same_schema(const struct bp_schema *a, const struct bp_schema *b, unsigned depth);

static void same_strings(const char *const *a, const char *const *b)
{
    g_assert_cmpint(a != NULL, ==, b != NULL);
    for (; a && *a; a++, b++)
        g_assert_cmpstr(*a, ==, *b);
    g_assert_true(!a || !*b);
}

static void same_fields(const struct bp_field *a, const struct bp_field *b, unsigned depth)
{
    g_assert_cmpint(a != NULL, ==, b != NULL);
    for (; a && a->name; a++, b++) {
        g_assert_cmpstr(a->name, ==, b->name);
        g_assert_cmpint(a->kind, ==, b->kind);
        g_assert_cmpuint(a->flags, ==, b->flags);
        g_assert_cmpstr(a->def, ==, b->def);
        g_assert_cmpstr(a->help, ==, b->help);
        g_assert_cmpstr(a->target, ==, b->target);
        g_assert_cmpint(a->min, ==, b->min);
        g_assert_cmpuint(a->max, ==, b->max);
        g_assert_null(b->get);
        g_assert_null(b->set);
        same_strings(a->features, b->features);
        if (depth < 6)
            same_schema(a->schema, b->schema, depth + 1);
    }
    g_assert_true(!a || !b->name);
}

static void same_schema(const struct bp_schema *a, const struct bp_schema *b, unsigned depth)
{
    g_assert_cmpint(a != NULL, ==, b != NULL);
    if (!a)
        return;
    g_assert_cmpstr(a->name, ==, b->name);
    g_assert_cmpint(a->kind, ==, b->kind);
    g_assert_cmpint(a->element_kind, ==, b->element_kind);
    g_assert_cmpstr(a->discriminator, ==, b->discriminator);
    same_fields(a->members, b->members, depth + 1);
    same_strings(a->choices, b->choices);
    same_schema(a->element, b->element, depth + 1);
    g_assert_cmpint(a->variants != NULL, ==, b->variants != NULL);
    for (const struct bp_variant *v = a->variants, *u = b->variants; v && v->value; v++, u++) {
        g_assert_cmpstr(v->value, ==, u->value);
        same_schema(v->schema, u->schema, depth + 1);
    }
}

static void same_type(const struct bp_type_info *a, const struct bp_type_info *b)
{
    g_assert_cmpstr(a->name, ==, b->name);
    g_assert_cmpstr(a->parent, ==, b->parent);
    g_assert_cmpstr(a->summary, ==, b->summary);
    g_assert_cmpuint(a->flags, ==, b->flags);
    g_assert_cmpuint(a->state_size, ==, b->state_size);
    same_fields(a->props, b->props, 0);
}

static void same_class(enum bp_provide_kind kind, const void *a, const void *b)
{
    if (kind == BP_PROVIDE_DEVICE) {
        const struct bp_device_class *x = a, *y = b;

        g_assert_cmpstr(x->bus, ==, y->bus);
        g_assert_cmpstr(x->category, ==, y->category);
        same_strings(x->aliases, y->aliases);
        g_assert_null(y->attach);
        g_assert_null(y->reset);
    } else if (kind == BP_PROVIDE_BUS) {
        const struct bp_bus_class *x = a, *y = b;

        g_assert_cmpuint(x->max_children, ==, y->max_children);
        same_fields(x->child_props, y->child_props, 0);
    } else if (kind == BP_PROVIDE_BOARD) {
        const struct bp_board_class *x = a, *y = b;

        g_assert_cmpstr(x->alias, ==, y->alias);
        g_assert_cmpstr(x->arch, ==, y->arch);
        g_assert_cmpint(x->is_default, ==, y->is_default);
        g_assert_cmpuint(x->max_cpus, ==, y->max_cpus);
        g_assert_cmpuint(x->default_ram_size, ==, y->default_ram_size);
        g_assert_cmpstr(x->default_cpu, ==, y->default_cpu);
        g_assert_null(y->init);
    } else if (kind == BP_PROVIDE_CPU) {
        g_assert_cmpstr(((const struct bp_cpu_class *)a)->model, ==,
                        ((const struct bp_cpu_class *)b)->model);
    } else if (kind == BP_PROVIDE_ACCEL) {
        g_assert_cmpuint(((const struct bp_accel_class *)a)->rank, ==,
                         ((const struct bp_accel_class *)b)->rank);
    }
    same_type(a, b);
}

static void same_descriptor(enum bp_provide_kind kind, const void *a, const void *b)
{
    if (kind == BP_PROVIDE_COMMAND) {
        const struct bp_command *x = a, *y = b;

        g_assert_cmpint(x->returns, ==, y->returns);
        g_assert_cmpuint(x->flags, ==, y->flags);
        g_assert_cmpstr(x->summary, ==, y->summary);
        g_assert_null(y->fn);
        same_fields(x->args, y->args, 0);
        same_schema(x->returns_schema, y->returns_schema, 0);
    } else if (kind == BP_PROVIDE_OPTION) {
        const struct bp_option *x = a, *y = b;

        g_assert_cmpstr(x->help, ==, y->help);
        g_assert_cmpstr(x->implied, ==, y->implied);
        g_assert_cmpint(x->phase, ==, y->phase);
        g_assert_cmpint(x->merge, ==, y->merge);
        same_fields(x->keys, y->keys, 0);
    } else if (kind == BP_PROVIDE_HMP) {
        g_assert_cmpstr(((const struct bp_hmp_command *)a)->params, ==,
                        ((const struct bp_hmp_command *)b)->params);
        same_fields(((const struct bp_hmp_command *)a)->args,
                    ((const struct bp_hmp_command *)b)->args, 0);
    } else if (kind == BP_PROVIDE_EVENT) {
        same_fields(((const struct bp_event *)a)->data, ((const struct bp_event *)b)->data, 0);
    } else if (kind == BP_PROVIDE_ABSTRACT) {
        same_type(a, b);
    } else if (kind == BP_PROVIDE_KIND) {
        const struct bp_kind *x = a, *y = b;

        g_assert_cmpstr(x->heading, ==, y->heading);
        g_assert_cmpstr(x->option, ==, y->option);
        g_assert_cmpstr(x->prefix, ==, y->prefix);
        g_assert_cmpstr(x->container, ==, y->container);
        g_assert_cmpuint(x->major, ==, y->major);
        g_assert_cmpuint(x->shape->size, ==, y->shape->size);
        g_assert_cmpuint(x->shape->slots[0].what, ==, y->shape->slots[0].what);
        g_assert_null(y->check);
    } else if (kind == BP_PROVIDE_INTERFACE) {
        g_assert_cmpuint(((const struct bp_interface *)a)->minor, ==,
                         ((const struct bp_interface *)b)->minor);
        g_assert_null(((const struct bp_interface *)b)->table);
    } else {
        same_class(kind, a, b);
    }
}

static struct image *open_image(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct bp_error err = {0};
    struct image *image = NULL;
    struct stat st;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(fstat(fd, &st), ==, 0);
    image_open(&(struct notes_source){.fd = fd, .size = (uint64_t)st.st_size}, &image, &err);
    g_assert_cmpstr(err.message, ==, "");
    close(fd);
    return image;
}

static GPtrArray *module_files(void)
{
    GPtrArray *files = g_ptr_array_new_with_free_func(g_free);
    GDir *dir = g_dir_open(folder, 0, NULL);

    g_assert_nonnull(dir);
    for (const char *name; (name = g_dir_read_name(dir));)
        if (g_str_has_suffix(name, ".so"))
            g_ptr_array_add(files, g_build_filename(folder, name, NULL));
    g_dir_close(dir);
    g_assert_cmpuint(files->len, >, 20);
    return files;
}

static void every_copy_says_what_the_loaded_one_says(void)
{
    GPtrArray *files = module_files();
    unsigned compared = 0;

    for (unsigned i = 0; i < files->len; i++) {
        struct image *image = open_image(files->pdata[i]);
        struct module_table table;
        struct bp_error err = {0};

        g_assert_cmpint(image_check(image, &err), ==, 0);
        describe_image(image, &table, &err);
        g_assert_cmpstr(err.message, ==, "");
        g_assert_cmpint(bp_test_load(host, table.name, &err), ==, 0);
        for (size_t j = 0; j < table.provide_count; j++, compared++) {
            const struct description *d = &table.provides[j];
            void *copy = NULL;

            describe_unpack(d->kind, d->packed, d->size, &copy, &err);
            g_assert_cmpstr(err.message, ==, "");
            enum bp_provide_kind kind = bpc_kind_from_name(d->kind, strlen(d->kind));
            g_assert_nonnull(bpc_find(kind, d->name));
            same_descriptor(kind, bpc_find(kind, d->name), copy);
            free(copy);
        }
        describe_finish(&table);
        image_free(image);
    }
    g_assert_cmpuint(compared, >, 60);
    g_ptr_array_unref(files);
}

/* Cut anywhere, or with some bytes changed: an error, or a table that still makes sense. */
static void damaged_file_gives_error_or_sense(void)
{
    GPtrArray *files = module_files();
    GRand *rand = g_rand_new_with_seed(20261123);
    unsigned refused = 0, total = 10000;

    for (unsigned n = 0; n < total; n++) {
        char *bytes;
        gsize size;

        g_assert_true(g_file_get_contents(files->pdata[n % files->len], &bytes, &size, NULL));
        if (size > 65536 && n % 4)
            size = 65536; /* the large ones are mostly code: their heads are what matters */
        if (n % 5 == 0)
            size = (gsize)g_rand_int_range(rand, 0, (gint32)size);
        for (unsigned k = n % 5 ? (unsigned)g_rand_int_range(rand, 1, 12) : 0; k && size; k--)
            bytes[g_rand_int_range(rand, 0, (gint32)(k & 1 ? MIN(size, 4096u) : size))] =
                (char)g_rand_int(rand);
        struct notes_source source = {.fd = -1, .memory = (uint8_t *)bytes, .size = size};
        struct module_table table = {0};
        struct image *image = NULL;
        struct bp_error err = {0};
        struct notes notes = {0};

        if (notes_read(&source, &notes, &err) < 0 || image_open(&source, &image, &err) < 0 ||
            image_check(image, &err) < 0 || describe_image(image, &table, &err) < 0) {
            g_assert_cmpint(err.code, !=, 0);
            g_assert_cmpstr(err.message, !=, "");
            refused++;
        }
        describe_finish(&table);
        image_free(image);
        notes_finish(&notes);
        g_free(bytes);
    }
    g_test_message("%u of %u refused", refused, total);
    g_assert_cmpuint(refused, >, total / 5);
    g_rand_free(rand);
    g_ptr_array_unref(files);
}

/* Values of DT_INIT and its like: a wrong one may still point into code. */
static bool leads_to_code(const char *bytes, gint32 at)
{
    Elf64_Dyn entry;

    if (at < dynamic_part || at >= dynamic_part + 27 * 16)
        return false;
    memcpy(&entry, bytes + dynamic_part + (at - dynamic_part) / 16 * 16, sizeof(entry));
    return entry.d_tag == DT_INIT || entry.d_tag == DT_FINI || entry.d_tag == DT_INIT_ARRAY ||
           entry.d_tag == DT_FINI_ARRAY;
}

/* Headers, symbols, versions and the dynamic section with some bytes changed: what passes our checks
 * must not bring the dynamic linker down. Code and relocations, which lead to code, stay whole. */
static void damaged_head_never_crashes_the_linker(void)
{
    char *file = g_build_filename(folder, "hw-debug-exit.so", NULL);
    char *damaged = g_strdup_printf("%s/damaged-%d.so", g_get_tmp_dir(), (int)getpid());
    GRand *rand = g_rand_new_with_seed(77);
    unsigned given = 0, total = (unsigned)g_ascii_strtoull(
        g_getenv("DAMAGED_MODULES") ? g_getenv("DAMAGED_MODULES") : "1500", NULL, 10);
    char *bytes;
    gsize size;

    g_assert_true(g_file_get_contents(file, &bytes, &size, NULL));
    for (unsigned n = 0; n < total; n++) {
        struct notes_source source = {.fd = -1, .size = size};
        struct module_table table = {0};
        struct image *image = NULL;
        struct notes notes = {0};
        char *copy = g_memdup2(bytes, size);

        for (int k = g_rand_int_range(rand, 1, 4); k; k--) {
            gint32 at = n % 3 ? g_rand_int_range(rand, 0, (gint32)linker_part)
                              : dynamic_part + (gint32)g_rand_int_range(rand, 0, 27 * 16);
            if (leads_to_code(copy, at))
                continue;
            copy[at] = n % 2 ? (char)(copy[at] ^ 1 << g_rand_int_range(rand, 0, 8))
                             : (char)g_rand_int(rand);
        }
        source.memory = (uint8_t *)copy;
        if (notes_read(&source, &notes, NULL) == 0 && image_open(&source, &image, NULL) == 0 &&
            image_check(image, NULL) == 0 && describe_image(image, &table, NULL) == 0) {
            pid_t child;
            int status;

            g_assert_true(g_file_set_contents(damaged, copy, (gssize)size, NULL));
            given++;
            child = fork();
            if (child == 0)
                _exit(dlopen(damaged, RTLD_NOW | RTLD_LOCAL) ? 0 : 1);
            g_assert_cmpint(waitpid(child, &status, 0), ==, child);
            if (!WIFEXITED(status)) {
                char *kept = g_strdup_printf("%s/crash-%u.so", g_get_tmp_dir(), n);

                rename(damaged, kept);
                g_test_message("%s: signal %d", kept, WTERMSIG(status));
                g_test_fail();
            }
        }
        describe_finish(&table);
        image_free(image);
        notes_finish(&notes);
        g_free(copy);
    }
    unlink(damaged);
    g_test_message("%u of %u given to the linker", given, total);
    g_rand_free(rand);
    g_free(bytes);
    g_free(damaged);
    g_free(file);
}

static void damaged_description_gives_error_or_sense(void)
{
    GRand *rand = g_rand_new_with_seed(1123);
    GPtrArray *files = module_files();
    unsigned refused = 0;

    for (unsigned i = 0; i < files->len; i++) {
        struct image *image = open_image(files->pdata[i]);
        struct module_table table;

        g_assert_cmpint(describe_image(image, &table, NULL), ==, 0);
        for (unsigned n = 0; n < 400 && table.provide_count; n++) {
            const struct description *d = &table.provides[n % table.provide_count];
            uint8_t *bytes = g_memdup2(d->packed, d->size);
            size_t size = n % 7 ? d->size : (size_t)g_rand_int_range(rand, 0, (gint32)d->size);
            struct bp_error err = {0};
            void *copy = NULL;

            for (unsigned k = n % 9 + 1; k && size; k--)
                bytes[g_rand_int_range(rand, 0, (gint32)size)] = (uint8_t)g_rand_int(rand);
            uint8_t *exact = g_memdup2(bytes, size); /* so that overruns are seen */
            if (describe_unpack(d->kind, exact, size, &copy, &err) < 0) {
                g_assert_cmpstr(err.message, !=, "");
                refused++;
            }
            free(copy);
            g_free(exact);
            g_free(bytes);
        }
        describe_finish(&table);
        image_free(image);
    }
    g_assert_cmpuint(refused, >, 500);
    g_rand_free(rand);
    g_ptr_array_unref(files);
}

/* Where the parts of the file that lead no one to code end, and where the dynamic section is. */
static void find_parts(void)
{
    char *file = g_build_filename(folder, "hw-debug-exit.so", NULL), *bytes;
    Elf64_Ehdr header;
    gsize size;

    g_assert_true(g_file_get_contents(file, &bytes, &size, NULL));
    memcpy(&header, bytes, sizeof(header));
    for (unsigned i = 0; i < header.e_shnum; i++) {
        Elf64_Shdr section;

        memcpy(&section, bytes + header.e_shoff + i * sizeof(section), sizeof(section));
        if (section.sh_type == SHT_RELA && !linker_part)
            linker_part = (unsigned)section.sh_offset;
        if (section.sh_type == SHT_DYNAMIC)
            dynamic_part = (gint32)section.sh_offset;
    }
    g_assert_cmpuint(linker_part, >, 0);
    g_assert_cmpint(dynamic_part, >, 0);
    g_free(bytes);
    g_free(file);
}

int main(int argc, char **argv)
{
    struct bp_error err = {0};
    int rc;

    g_test_init(&argc, &argv, NULL);
    folder = g_getenv("BACKPLANE_MODULES");
    if (bp_test_host_new(folder, &host, &err) < 0)
        g_error("%s", err.message);
    g_test_add_func("/describe/every_copy_says_what_the_loaded_one_says",
                    every_copy_says_what_the_loaded_one_says);
    g_test_add_func("/describe/damaged_file_gives_error_or_sense",
                    damaged_file_gives_error_or_sense);
    find_parts();
    g_test_add_func("/describe/damaged_head_never_crashes_the_linker",
                    damaged_head_never_crashes_the_linker);
    g_test_add_func("/describe/damaged_description_gives_error_or_sense",
                    damaged_description_gives_error_or_sense);
    rc = g_test_run();
    bp_test_host_free(host);
    return rc;
}

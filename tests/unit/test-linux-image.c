/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The bzImage header parser: what it refuses, what it reads, and mutated headers. */
#include "../../modules/hw/pc/linux-image.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

/* A header as boot protocol 2.15 has it: 26 set-up sectors, entry at 1 MiB. */
static void good_head(uint8_t head[LINUX_HEADER_BYTES])
{
    memset(head, 0, LINUX_HEADER_BYTES);
    head[0x1f1] = 26;
    head[0x1fe] = 0x55;
    head[0x1ff] = 0xaa;
    head[0x201] = 0x66;
    memcpy(head + 0x202, "HdrS", 4);
    head[0x206] = 0x0f;
    head[0x207] = 0x02;
    head[0x211] = 1;
    head[0x216] = 0x10;
    memcpy(head + 0x22c, "\xff\xff\xff\x7f", 4);
    memcpy(head + 0x238, "\xff\x07\0\0", 4);
    head[0x234] = 1;
}

static void good_header_is_read(void)
{
    uint8_t head[LINUX_HEADER_BYTES];
    struct linux_image image;
    struct bp_error err = {0};

    good_head(head);
    g_assert_cmpint(linux_image_parse(head, sizeof(head), 10 << 20, &image, &err), ==, 0);
    g_assert_cmphex(image.protocol, ==, 0x20f);
    g_assert_cmpuint(image.setup_size, ==, 27 * 512);
    g_assert_cmpuint(image.kernel_size, ==, (10 << 20) - 27 * 512);
    g_assert_cmphex(image.entry, ==, 0x100000);
    g_assert_cmphex(image.initrd_max, ==, 0x7fffffff);
    g_assert_cmpuint(image.cmdline_max, ==, 2047);
    g_assert_true(image.relocatable);
}

static void refused(const uint8_t *head, size_t len, uint64_t size, const char *why)
{
    struct linux_image image;
    struct bp_error err = {0};

    g_assert_cmpint(linux_image_parse(head, len, size, &image, &err), ==, -ENOEXEC);
    g_assert_nonnull(strstr(err.message, why));
}

static void other_files_are_refused_by_name(void)
{
    uint8_t head[LINUX_HEADER_BYTES];

    good_head(head);
    memcpy(head, "\177ELF", 4);
    refused(head, sizeof(head), 10 << 20, "ELF");
    good_head(head);
    refused(head, 100, 100, "too short");
    head[0x202] = 'X';
    refused(head, sizeof(head), 10 << 20, "HdrS");
    good_head(head);
    head[0x206] = 0x01;
    refused(head, sizeof(head), 10 << 20, "too old");
    good_head(head);
    head[0x211] = 0;
    refused(head, sizeof(head), 10 << 20, "zImage");
    good_head(head);
    refused(head, sizeof(head), 27 * 512, "cut short");
    good_head(head);
    head[0x215] = 0x10;
    head[0x216] = 0;
    refused(head, sizeof(head), 10 << 20, "below 1 MiB");
}

static void header_without_32_bit_entry_needs_firmware(void)
{
    uint8_t head[LINUX_HEADER_BYTES];
    struct linux_image image;
    struct bp_error err = {0};

    good_head(head);
    g_assert_cmpint(linux_image_parse(head, sizeof(head), 10 << 20, &image, &err), ==, 0);
    g_assert_false(image.real_mode_only);
    memset(head + 0x214, 0, 4);
    g_assert_cmpint(linux_image_parse(head, sizeof(head), 10 << 20, &image, &err), ==, 0);
    g_assert_true(image.real_mode_only);
    g_assert_cmphex(image.entry, ==, 0x100000);
    good_head(head);
    head[0x206] = 0x03; /* memdisk's */
    memset(head + 0x230, 0xff, 16);
    g_assert_cmpint(linux_image_parse(head, sizeof(head), 10 << 20, &image, &err), ==, 0);
    g_assert_true(image.real_mode_only);
    g_assert_false(image.relocatable);
    g_assert_cmpuint(image.cmdline_max, ==, 255);
    g_assert_cmphex(image.initrd_max, ==, 0x7fffffff);
    head[0x206] = 0x02;
    g_assert_cmpint(linux_image_parse(head, sizeof(head), 10 << 20, &image, &err), ==, 0);
    g_assert_cmphex(image.initrd_max, ==, 0x37ffffff);
}

static void mutated_headers_stay_in_bounds(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (unsigned n = 0; n < 300000; n++) {
        uint8_t head[LINUX_HEADER_BYTES];
        struct linux_image image;
        struct bp_error err = {0};

        good_head(head);
        for (int flips = g_rand_int_range(rand, 1, 12); flips > 0; flips--)
            head[0x1f1 + g_rand_int_range(rand, 0, 0x90)] = (uint8_t)g_rand_int(rand);
        size_t len = g_rand_boolean(rand) ? sizeof(head) : (size_t)g_rand_int_range(rand, 0, 4096);
        uint64_t size = g_rand_boolean(rand) ? 10 << 20 : len + (size_t)g_rand_int_range(rand, 0, 65536);
        /* The parser must not look behind `len`. */
        uint8_t *exact = g_memdup2(head, len ? len : 1);
        if (linux_image_parse(exact, len, size, &image, &err) == 0) {
            g_assert_cmpuint(image.setup_size + image.kernel_size, ==, size);
            g_assert_cmpuint(LINUX_HEADER_OFFSET + image.header_size, <=, len);
            g_assert_cmpuint(image.header_size, <=, 0x290 - LINUX_HEADER_OFFSET);
            g_assert_cmphex(image.entry, >=, 0x100000);
        } else {
            g_assert_cmpint(err.code, ==, ENOEXEC);
            g_assert_cmpuint(strlen(err.message), >, 0);
        }
        g_free(exact);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/linux-image/good_header_is_read", good_header_is_read);
    g_test_add_func("/linux-image/other_files_are_refused_by_name", other_files_are_refused_by_name);
    g_test_add_func("/linux-image/header_without_32_bit_entry_needs_firmware",
                    header_without_32_bit_entry_needs_firmware);
    g_test_add_func("/linux-image/mutated_headers_stay_in_bounds", mutated_headers_stay_in_bounds);
    return g_test_run();
}

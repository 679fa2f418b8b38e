/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multiboot and PVH images: what is read, what is refused, and mutated files. */
#include "../../modules/hw/pc/kernel-image.h"

#include <errno.h>
#include <glib.h>
#include <string.h>

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static void put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, 2);
}

/* A file of 32 bits: PT_LOAD with 0x100 bytes of file at 1 MiB, 0x300 in memory, entered at its second word. */
static void elf32(uint8_t file[1024], unsigned headers)
{
    memset(file, 0, 1024);
    memcpy(file, "\177ELF\1\1\1", 7);
    put16(file + 16, 2);
    put16(file + 18, 3);
    put32(file + 24, 0xc0100004);
    put32(file + 28, 52);
    put16(file + 42, 32);
    put16(file + 44, (uint16_t)headers);
    put32(file + 52, 1);
    put32(file + 56, 0x200);
    put32(file + 60, 0xc0100000);
    put32(file + 64, 0x100000);
    put32(file + 68, 0x100);
    put32(file + 72, 0x300);
}

static void multiboot(uint8_t *at, uint32_t flags)
{
    put32(at, 0x1badb002);
    put32(at + 4, flags);
    put32(at + 8, -(0x1badb002 + flags));
}

static void pvh(uint8_t file[1024])
{
    elf32(file, 2);
    put32(file + 84, 4);
    put32(file + 88, 0x180);
    put32(file + 100, 36);
    memcpy(file + 0x180, "\4\0\0\0\2\0\0\0\1\0\0\0Xen\0ab\0\0", 20); /* another note, padded */
    memcpy(file + 0x194, "\4\0\0\0\4\0\0\0\x12\0\0\0Xen\0", 16);
    put32(file + 0x1a4, 0x100010);
    put32(file + 100, 0x1a8 - 0x180);
}

static void refused(const uint8_t *file, size_t size, const char *why)
{
    struct kernel_image image = {.protocol = KERNEL_LINUX, .entry = 7};
    struct bp_error err = {0};

    g_assert_cmpint(kernel_image_parse(file, size, &image, &err), ==, -ENOEXEC);
    if (!strstr(err.message, why))
        g_error("'%s' is not in '%s'", why, err.message);
    g_assert_cmpuint(image.entry, ==, 7);
}

static void multiboot_elf_is_read(void)
{
    struct kernel_image image;
    struct bp_error err = {0};
    uint8_t file[1024];

    elf32(file, 1);
    multiboot(file + 0x210, 3);
    g_assert_cmpint(kernel_image_parse(file, sizeof(file), &image, &err), ==, 0);
    g_assert_cmpint(image.protocol, ==, KERNEL_MULTIBOOT);
    g_assert_cmphex(image.entry, ==, 0x100004); /* the virtual address is in its segment */
    g_assert_cmpuint(image.segments, ==, 1);
    g_assert_cmphex(image.start, ==, 0x100000);
    g_assert_cmphex(image.end, ==, 0x100300);
    multiboot(file + 0x211, 3); /* not at a multiple of four */
    memset(file + 0x210, 0, 1);
    refused(file, sizeof(file), "neither a Multiboot header nor a PVH entry");
}

static void multiboot_by_addresses_is_read(void)
{
    struct kernel_image image;
    struct bp_error err = {0};
    uint8_t file[1024] = {0};

    multiboot(file + 0x40, 0x10003);
    put32(file + 0x4c, 0x200040);
    put32(file + 0x50, 0x200010);
    put32(file + 0x54, 0x200200);
    put32(file + 0x58, 0x201000);
    put32(file + 0x5c, 0x200100);
    g_assert_cmpint(kernel_image_parse(file, sizeof(file), &image, &err), ==, 0);
    g_assert_cmphex(image.segment[0].offset, ==, 0x10);
    g_assert_cmphex(image.segment[0].file_size, ==, 0x1f0);
    g_assert_cmphex(image.end, ==, 0x201000);
    g_assert_cmphex(image.entry, ==, 0x200100);
    put32(file + 0x54, 0);
    put32(file + 0x58, 0); /* all of the file, no more */
    g_assert_cmpint(kernel_image_parse(file, sizeof(file), &image, &err), ==, 0);
    g_assert_cmphex(image.end, ==, 0x200010 + 1024 - 0x10);
    put32(file + 0x50, 0x1fff00); /* before the file's beginning */
    refused(file, sizeof(file), "contradict");
}

static void pvh_entry_is_found(void)
{
    struct kernel_image image;
    struct bp_error err = {0};
    uint8_t file[1024];

    pvh(file);
    g_assert_cmpint(kernel_image_parse(file, sizeof(file), &image, &err), ==, 0);
    g_assert_cmpint(image.protocol, ==, KERNEL_PVH);
    g_assert_cmphex(image.entry, ==, 0x100010);
}

static void wrong_files_are_refused_in_words(void)
{
    struct kernel_image image;
    struct bp_error err = {0};
    uint8_t file[1024] = {0};

    g_assert_cmpint(kernel_image_parse(file, sizeof(file), &image, &err), ==, 0);
    g_assert_cmpint(image.protocol, ==, KERNEL_LINUX); /* claims to be none of these */
    elf32(file, 1);
    refused(file, sizeof(file), "neither a Multiboot header nor a PVH entry");
    refused(file, 60, "cut short");
    multiboot(file + 0x210, 3);
    put32(file + 72, 0x80);
    refused(file, sizeof(file), "below 4 GiB"); /* more in the file than in memory */
    put32(file + 72, 0xfff00001);
    refused(file, sizeof(file), "below 4 GiB");
    put32(file + 72, 0x300);
    put32(file + 56, 0x380);
    refused(file, sizeof(file), "cut short");
    file[4] = 2;
    refused(file, sizeof(file), "without program headers");
    elf32(file, 1);
    multiboot(file + 0x210, 8);
    refused(file, sizeof(file), "not known");
}

/* Whatever is in a file, what comes out lies in it and below 4 GiB. */
static void mutated_files_are_safe(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (unsigned n = 0; n < 200000; n++) {
        struct kernel_image image = {.protocol = KERNEL_LINUX};
        struct bp_error err = {0};
        uint8_t file[1024];
        size_t size = sizeof(file);

        n & 1 ? pvh(file) : elf32(file, 1 + n % 3);
        if (n % 4 == 0)
            multiboot(file + 0x210, n & 8 ? 0x10003 : 3);
        for (unsigned i = g_rand_int_range(rand, 0, 5); i-- > 0;)
            file[g_rand_int_range(rand, 0, 0x220)] = (uint8_t)g_rand_int(rand);
        if (n % 5 == 0)
            size = (size_t)g_rand_int_range(rand, 0, sizeof(file));
        uint8_t *exact = g_memdup2(file, size);
        if (kernel_image_parse(exact, size, &image, &err) == 0 && image.protocol != KERNEL_LINUX) {
            for (unsigned i = 0; i < image.segments; i++) {
                g_assert_cmpuint(image.segment[i].offset + image.segment[i].file_size, <=, size);
                g_assert_cmpuint(image.segment[i].address + image.segment[i].size, <=, 1ull << 32);
                g_assert_cmpuint(image.segment[i].address + image.segment[i].size, <=, image.end);
            }
        }
        g_free(exact);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kernel-image/multiboot-elf_is-read", multiboot_elf_is_read);
    g_test_add_func("/kernel-image/multiboot-by-addresses_is-read", multiboot_by_addresses_is_read);
    g_test_add_func("/kernel-image/pvh-entry_is-found", pvh_entry_is_found);
    g_test_add_func("/kernel-image/wrong-files_are-refused-in-words", wrong_files_are_refused_in_words);
    g_test_add_func("/kernel-image/mutated-files_are-safe", mutated_files_are_safe);
    return g_test_run();
}

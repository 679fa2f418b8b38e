/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reads a bzImage's header: Documentation/arch/x86/boot.rst of the Linux kernel, "The real-mode
 * kernel header". */
#include "linux-image.h"

#include <errno.h>
#include <string.h>

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

int linux_image_parse(const uint8_t *head, size_t len, uint64_t file_size,
                      struct linux_image *ret_image, struct bp_error *err)
{
    struct linux_image image = {0};

    if (len >= 4 && memcmp(head, "\177ELF", 4) == 0)
        return bp_fail(err, ENOEXEC, "an ELF file, not a bzImage (give the vmlinuz that the "
                                     "distribution boots)");
    if (len < 0x268 || file_size < len)
        return bp_fail(err, ENOEXEC, "too short for a Linux kernel (%llu bytes)",
                       (unsigned long long)file_size);
    if (get16(head + 0x1fe) != 0xaa55 || memcmp(head + 0x202, "HdrS", 4) != 0)
        return bp_fail(err, ENOEXEC, "no Linux kernel: signature 'HdrS' is missing");
    image.protocol = get16(head + 0x206);
    if (image.protocol < 0x0202)
        return bp_fail(err, ENOEXEC, "boot protocol %u.%02u is too old; 2.02 or later is needed",
                       image.protocol >> 8, image.protocol & 0xff);
    if (!(head[0x211] & 1))
        return bp_fail(err, ENOEXEC, "a zImage, which loads low; a bzImage is needed");
    unsigned sectors = head[0x1f1] ? head[0x1f1] : 4;
    image.setup_size = (sectors + 1) * 512;
    if (image.setup_size >= file_size)
        return bp_fail(err, ENOEXEC, "cut short: set-up code of %u bytes in a file of %llu",
                       image.setup_size, (unsigned long long)file_size);
    image.kernel_size = file_size - image.setup_size;
    image.header_size = 0x202u + head[0x201] - LINUX_HEADER_OFFSET;
    if (LINUX_HEADER_OFFSET + image.header_size > len || image.header_size > 0x290 - 0x1f1)
        image.header_size = 0x268 - LINUX_HEADER_OFFSET;
    image.entry = get32(head + 0x214);
    /* The 32-bit protocol wants fields of 2.06; what is older (memdisk) firmware starts, by the 16-bit one. */
    image.real_mode_only = image.entry == 0 || image.protocol < 0x0206;
    if (image.real_mode_only)
        image.entry = 0x100000; /* where a bzImage is loaded */
    if (image.entry < 0x100000)
        return bp_fail(err, ENOEXEC, "entry point 0x%x is below 1 MiB", image.entry);
    image.initrd_max = image.protocol >= 0x0203 ? get32(head + 0x22c) : 0x37ffffff;
    image.cmdline_max = image.protocol >= 0x0206 ? get32(head + 0x238) : 255;
    if (image.protocol >= 0x0205)
        image.relocatable = head[0x234];
    if (image.protocol >= 0x020a) {
        memcpy(&image.preferred, head + 0x258, 8);
        image.init_size = get32(head + 0x260);
    }
    if (image.protocol >= 0x020c)
        image.is_64bit = head[0x236] & 1;
    *ret_image = image;
    return 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of a bzImage, read from a file's first bytes. Pure: needs no machine. */
#ifndef LINUX_IMAGE_H
#define LINUX_IMAGE_H

#include <bp/error.h>

#define LINUX_HEADER_OFFSET 0x1f1u
#define LINUX_HEADER_BYTES 4096u /* how much of the file linux_image_parse() wants, if it is there */

struct linux_image {
    uint16_t protocol;       /* 0x020f: version 2.15 */
    uint32_t setup_size;     /* bytes of boot sector and real-mode code */
    uint64_t kernel_size;    /* bytes that follow: protected-mode code and payload */
    uint32_t header_size;    /* bytes from LINUX_HEADER_OFFSET to copy into the zero page */
    uint32_t entry;          /* code32_start: load address */
    bool real_mode_only;     /* has no 32-bit entry that is known here: needs firmware, as loaders packed as
                                kernels do */
    uint32_t initrd_max;     /* highest address an initrd's byte may have */
    uint32_t cmdline_max;    /* bytes, without the final zero */
    uint64_t preferred;      /* pref_address */
    uint32_t init_size;      /* memory the kernel needs from its start address before it knows the map */
    bool relocatable;
    bool is_64bit;           /* needs a processor with long mode (XLF_KERNEL_64) */
};

/* head: the first `len` bytes of a file of `file_size` bytes. -ENOEXEC: not a bzImage, or one
 * too old (before protocol 2.02) or not loadable; the message says why. */
int linux_image_parse(const uint8_t *head, size_t len, uint64_t file_size,
                      struct linux_image *ret_image, struct bp_error *err);

#endif

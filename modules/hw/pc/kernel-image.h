/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Kernels that are entered in 32-bit protected mode with a structure of facts: Multiboot images (Multiboot
 * Specification 0.6.96) and ELF files with a PVH entry (Xen's x86/HVM direct boot ABI; the note's type 18 of owner
 * "Xen"). Read from a file's bytes; needs no machine.
 */
#ifndef KERNEL_IMAGE_H
#define KERNEL_IMAGE_H

#include <bp/error.h>
#include <stddef.h>
#include <stdint.h>

enum kernel_protocol { KERNEL_LINUX, KERNEL_MULTIBOOT, KERNEL_PVH };

struct kernel_segment {
    uint64_t offset, file_size; /* in the file */
    uint64_t address, size;     /* in memory, all below 4 GiB; what is behind file_size is zero */
};

#define KERNEL_SEGMENTS 32u

struct kernel_image {
    enum kernel_protocol protocol; /* KERNEL_LINUX: none of these two, nothing else is set */
    struct kernel_segment segment[KERNEL_SEGMENTS];
    unsigned segments;
    uint64_t start, end; /* of all of it */
    uint32_t entry;
};

/* data: the whole file. -ENOEXEC with words when it claims to be such an image and cannot be started; 0 and
 * KERNEL_LINUX when it does not. */
int kernel_image_parse(const uint8_t *data, size_t size, struct kernel_image *ret_image, struct bp_error *err);

#endif

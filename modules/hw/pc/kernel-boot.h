/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Multiboot and PVH kernels of -kernel (kernel-boot.c). Under the machine lock. */
#ifndef KERNEL_BOOT_H
#define KERNEL_BOOT_H

#include <bp/error.h>
#include <stdint.h>

struct pc;
struct bp_x86_cpu;
struct kernel_boot;

/* Reads -kernel, -initrd and -append. *ret_boot is NULL when the kernel is none of these. The files stay open: a reset
 * finds what was there. */
int kernel_boot_open(struct pc *pc, struct kernel_boot **ret_boot, struct bp_error *err);
void kernel_boot_free(struct kernel_boot *boot); /* NULL is fine */
/* Copies everything into memory and sets the processor to the entry. */
int kernel_boot_reset(const struct pc *pc, const struct kernel_boot *boot, struct bp_x86_cpu *cpu,
                      struct bp_error *err);

/* Bytes that firmware is to put to an address. */
struct kernel_piece {
    uint64_t address, size; /* size 0: nothing */
    uint8_t *data;          /* owned */
};
/* Kernel, modules, facts, what the option ROM reads. */
int kernel_boot_pieces(const struct pc *pc, const struct kernel_boot *boot, struct kernel_piece ret_pieces[4],
                       struct bp_error *err);

#endif

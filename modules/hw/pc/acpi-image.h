/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ACPI tables before it is settled where they stand: bytes, and which of them are pointers between tables and
 * which are checksums. acpi_image_place() puts them at an address of ours; acpi_image_script() leaves that to
 * firmware, as commands of the table loader (fw_cfg file "etc/table-loader").
 */
#ifndef ACPI_IMAGE_H
#define ACPI_IMAGE_H

#include <bp/error.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ACPI_TABLES_FILE "etc/acpi/tables"
#define ACPI_RSDP_FILE "etc/acpi/rsdp"
#define ACPI_LOADER_FILE "etc/table-loader"

struct acpi_image {
    uint8_t *data; /* owned; `room` bytes, which never move */
    uint32_t size, room;
    uint8_t rsdp[36];
    bool full; /* something did not fit */
    struct acpi_fixup *fixups; /* owned */
    unsigned fixup_count, fixup_room;
    const char *told_file; /* acpi_image_tell(), or NULL */
    uint32_t told_offset;
};

int acpi_image_new(struct acpi_image *image, uint32_t room, struct bp_error *err);
void acpi_image_free(struct acpi_image *image);
/* Zeroed bytes, or NULL: full. */
void *acpi_image_append(struct acpi_image *image, uint32_t len, uint32_t align);
/* `field`, in the tables or in rsdp, is `width` bytes (4 or 8) that shall lead to `target` in the tables. */
void acpi_image_point(struct acpi_image *image, void *field, unsigned width, const void *target);
/* `byte` shall make the sum of `len` bytes from `start` 0; in the tables or in rsdp. After the pointers in them. */
void acpi_image_sum(struct acpi_image *image, uint8_t *byte, const void *start, uint32_t len);
/* Firmware shall write the address of `target` in the tables to a fw_cfg file (8 bytes; borrowed name). Once. */
void acpi_image_tell(struct acpi_image *image, const char *file, const void *target);
void acpi_image_place(struct acpi_image *image, uint32_t base);
/* malloc'd commands, 128 bytes each. */
int acpi_image_script(const struct acpi_image *image, uint8_t **ret_script, size_t *ret_size, struct bp_error *err);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ACPI tables that can be moved (acpi-image.h). The loader's commands are those that SeaBIOS and OVMF execute. */
#include "acpi-image.h"

#include <bp/base.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define IN_RSDP 0x80000000u /* of an offset: in rsdp, not in the tables */
#define COMMAND_SIZE 128u
#define FILE_NAME 56u

enum { ALLOCATE = 1, ADD_POINTER = 2, ADD_CHECKSUM = 3, WRITE_POINTER = 4 };
enum { ZONE_HIGH = 1, ZONE_FSEG = 2 };

struct acpi_fixup {
    uint32_t at;     /* of the field or byte */
    uint32_t start;  /* pointer: of the target; checksum: of what is summed */
    uint32_t length; /* checksum: bytes; pointer: 0 */
    uint32_t width;  /* pointer: bytes */
};

int acpi_image_new(struct acpi_image *image, uint32_t room, struct bp_error *err)
{
    memset(image, 0, sizeof(*image));
    image->data = calloc(1, room);
    image->room = room;
    return image->data ? 0 : bp_fail(err, ENOMEM, "no memory for the ACPI tables");
}

void acpi_image_free(struct acpi_image *image)
{
    free(image->data);
    free(image->fixups);
    memset(image, 0, sizeof(*image));
}

void *acpi_image_append(struct acpi_image *image, uint32_t len, uint32_t align)
{
    uint32_t at = (image->size + align - 1) / align * align;

    if (len > image->room || at > image->room - len) {
        image->full = true;
        return NULL;
    }
    image->size = at + len;
    return image->data + at;
}

static uint32_t offset_of(const struct acpi_image *image, const void *p)
{
    const uint8_t *byte = p;

    if (byte >= image->rsdp && byte < image->rsdp + sizeof(image->rsdp))
        return IN_RSDP | (uint32_t)(byte - image->rsdp);
    return (uint32_t)(byte - image->data);
}

static uint8_t *at_offset(struct acpi_image *image, uint32_t offset)
{
    return offset & IN_RSDP ? image->rsdp + (offset & ~IN_RSDP) : image->data + offset;
}

static void add(struct acpi_image *image, struct acpi_fixup fixup)
{
    if (image->fixup_count == image->fixup_room) {
        image->fixup_room = image->fixup_room ? image->fixup_room * 2 : 64;
        image->fixups = bp_realloc(image->fixups, image->fixup_room * sizeof(fixup));
    }
    image->fixups[image->fixup_count++] = fixup;
}

void acpi_image_point(struct acpi_image *image, void *field, unsigned width, const void *target)
{
    uint64_t offset = offset_of(image, target);

    memcpy(field, &offset, width);
    add(image, (struct acpi_fixup){offset_of(image, field), (uint32_t)offset, 0, width});
}

void acpi_image_sum(struct acpi_image *image, uint8_t *byte, const void *start, uint32_t len)
{
    *byte = 0;
    add(image, (struct acpi_fixup){offset_of(image, byte), offset_of(image, start), len, 0});
}

void acpi_image_tell(struct acpi_image *image, const char *file, const void *target)
{
    image->told_file = file;
    image->told_offset = offset_of(image, target);
}

void acpi_image_place(struct acpi_image *image, uint32_t base)
{
    for (unsigned i = 0; i < image->fixup_count; i++) {
        const struct acpi_fixup *f = &image->fixups[i];

        if (f->width)
            memcpy(at_offset(image, f->at), &(uint64_t){(uint64_t)base + f->start}, f->width);
    }
    for (unsigned i = 0; i < image->fixup_count; i++) {
        const struct acpi_fixup *f = &image->fixups[i];
        const uint8_t *p = at_offset(image, f->start);
        uint8_t sum = 0;

        if (f->width)
            continue;
        for (uint32_t n = 0; n < f->length; n++)
            sum = (uint8_t)(sum + p[n]);
        *at_offset(image, f->at) = (uint8_t)(*at_offset(image, f->at) - sum);
    }
}

/* ---- the loader's commands ---- */

static void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static const char *file_of(uint32_t offset)
{
    return offset & IN_RSDP ? ACPI_RSDP_FILE : ACPI_TABLES_FILE;
}

static uint8_t *allocate(uint8_t *c, const char *file, uint32_t align, uint8_t zone)
{
    put32(c, ALLOCATE);
    strcpy((char *)c + 4, file);
    put32(c + 4 + FILE_NAME, align);
    c[8 + FILE_NAME] = zone;
    return c + COMMAND_SIZE;
}

static uint8_t *apply(uint8_t *c, const struct acpi_fixup *f)
{
    strcpy((char *)c + 4, file_of(f->at));
    if (f->width) {
        put32(c, ADD_POINTER);
        strcpy((char *)c + 4 + FILE_NAME, ACPI_TABLES_FILE);
        put32(c + 4 + 2 * FILE_NAME, f->at & ~IN_RSDP);
        c[8 + 2 * FILE_NAME] = (uint8_t)f->width;
    } else {
        put32(c, ADD_CHECKSUM);
        put32(c + 4 + FILE_NAME, f->at & ~IN_RSDP);
        put32(c + 8 + FILE_NAME, f->start & ~IN_RSDP);
        put32(c + 12 + FILE_NAME, f->length);
    }
    return c + COMMAND_SIZE;
}

static uint8_t *tell(uint8_t *c, const char *file, uint32_t offset)
{
    put32(c, WRITE_POINTER);
    strcpy((char *)c + 4, file);
    strcpy((char *)c + 4 + FILE_NAME, ACPI_TABLES_FILE);
    put32(c + 8 + 2 * FILE_NAME, offset);
    c[12 + 2 * FILE_NAME] = 8;
    return c + COMMAND_SIZE;
}

int acpi_image_script(const struct acpi_image *image, uint8_t **ret_script, size_t *ret_size, struct bp_error *err)
{
    size_t size = (2 + (size_t)image->fixup_count + (image->told_file != NULL)) * COMMAND_SIZE;
    uint8_t *script = calloc(1, size), *c = script;

    if (!script)
        return bp_fail(err, ENOMEM, "no memory for the ACPI tables' loader");
    c = allocate(c, ACPI_TABLES_FILE, 4096, ZONE_HIGH); /* the FACS wants 64, a page in it more */
    c = allocate(c, ACPI_RSDP_FILE, 16, ZONE_FSEG);
    for (int pointers = 1; pointers >= 0; pointers--) {
        for (unsigned i = 0; i < image->fixup_count; i++) {
            if ((image->fixups[i].width != 0) == pointers)
                c = apply(c, &image->fixups[i]);
        }
    }
    if (image->told_file)
        tell(c, image->told_file, image->told_offset);
    *ret_script = script;
    *ret_size = size;
    return 0;
}

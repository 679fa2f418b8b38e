/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The ACPI tables while they are built: what the files that write some of them share. */
#ifndef ACPI_BUILD_H
#define ACPI_BUILD_H

#include "acpi-image.h"
#include "pc.h"

#include <string.h>

struct tables {
    struct acpi_image image;
    uint8_t *entries[64]; /* that RSDT and XSDT list */
    unsigned count;
    const uint8_t *slic; /* the user's, or NULL */
};

#define ACPI_HEADER 36u

static inline void put16(uint8_t *p, uint16_t v)
{
    memcpy(p, &v, 2);
}

static inline void put32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static inline void put64(uint8_t *p, uint64_t v)
{
    memcpy(p, &v, 8);
}

/* A zeroed table with its header; NULL: no room, which image.full says at the end. */
uint8_t *acpi_begin(struct tables *t, const char *signature, uint32_t len, uint8_t revision);
/* The one that was begun last ends there: what it did not need is given back. */
void acpi_shorten(struct tables *t, uint8_t *p, const uint8_t *end);
void acpi_finish(struct tables *t, uint8_t *p); /* its checksum */
void acpi_list(struct tables *t, uint8_t *p);   /* in RSDT and XSDT; NULL is fine */
/* A finished table that was compiled. */
uint8_t *acpi_copy(struct tables *t, const uint8_t *aml, uint32_t size);

/* Of acpi-numa.c: SRAT, SLIT and HMAT of -numa, and how many bytes they have at most. */
void acpi_add_numa(struct tables *t, const struct pc *pc);
uint32_t acpi_numa_size(const struct pc *pc);

/* Of acpi-nvdimm.c: NFIT, and the devices of NVDIMMs, when there are any. */
void acpi_add_nvdimms(struct tables *t, const struct pc *pc);

/* Of acpi-ipmi.c: IPMI interfaces on the ISA bus. */
void acpi_add_ipmi(struct tables *t, const struct pc *pc);

#endif

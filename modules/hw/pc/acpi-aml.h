/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* AML of what the machine has a variable number of (ACPI 6.4, chapter 20), into memory that is large enough. */
#ifndef ACPI_AML_H
#define ACPI_AML_H

#include <stdint.h>
#include <string.h>

struct aml {
    uint8_t *data;
    uint32_t size;
};

static inline void aml_bytes(struct aml *a, const void *p, uint32_t n)
{
    memcpy(a->data + a->size, p, n);
    a->size += n;
}

static inline void aml_byte(struct aml *a, unsigned b)
{
    a->data[a->size++] = (uint8_t)b;
}

static inline void aml_number(struct aml *a, uint32_t n)
{
    aml_byte(a, 0x0c);
    aml_bytes(a, &n, 4);
}

/* A length of three bytes, filled in by aml_end(). */
static inline uint32_t aml_begin(struct aml *a)
{
    uint32_t at = a->size;

    a->size += 3;
    return at;
}

static inline void aml_end(struct aml *a, uint32_t at)
{
    uint32_t length = a->size - at;

    a->data[at] = (uint8_t)(0x80 | (length & 15));
    a->data[at + 1] = (uint8_t)(length >> 4);
    a->data[at + 2] = (uint8_t)(length >> 12);
}

/* Method NAME with `args` arguments that returns FUNCTION (n, more...), `more` being encoded. */
static inline void aml_forward(struct aml *a, const char *name, unsigned args, const char *function, unsigned n,
                               const void *more, uint32_t length)
{
    uint32_t at;

    aml_byte(a, 0x14);
    at = aml_begin(a);
    aml_bytes(a, name, 4);
    aml_byte(a, args);
    aml_byte(a, 0xa4);
    aml_bytes(a, function, 4);
    aml_number(a, n);
    if (length)
        aml_bytes(a, more, length);
    aml_end(a, at);
}

#endif

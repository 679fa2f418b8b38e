/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SMBIOS tables: what the files of this module share. */
#ifndef SMBIOS_H
#define SMBIOS_H

#include <bp/bus/pci.h>
#include <bp/chip/smbios.h>
#include <bp/value.h>

#define SMBIOS_MAX_ENTRIES 256u

/* One -smbios: fields of a type, or structures of a file. */
struct smbios_entry {
    unsigned type;
    struct bp_value *fields; /* owned; NULL: a file */
    uint8_t *data;           /* owned: one structure with its strings */
    size_t size;
};

struct smbios {
    struct smbios_entry entry[SMBIOS_MAX_ENTRIES];
    unsigned count;
};

/* option.c */
extern const struct bp_option smbios_option;
extern const char *const smbios_device_kinds[]; /* 7.42.2, from 1 on; ends with NULL */
bool smbios_has_file(const struct smbios *s, unsigned type);
void smbios_forget(struct smbios *s);
/* Length of the structure at data, with its strings; 0: it is not whole. */
size_t smbios_structure_size(const uint8_t *data, size_t size);
/* build.c */
int smbios_build(struct bp_device *dev, const struct bp_smbios_facts *facts, uint64_t address, uint8_t **ret_tables,
                 size_t *ret_size, uint8_t ret_anchor[BP_SMBIOS_ANCHOR_MAX], size_t *ret_anchor_size,
                 struct bp_error *err);
/* structures.c */
struct smbios_out {
    uint8_t *data; /* owned */
    size_t size, room;
    size_t start;        /* of the structure that is being written */
    unsigned strings;    /* that it has */
    unsigned count;      /* structures */
    size_t largest;
};
/* Begins a structure of `length` zeroed bytes; its bytes, valid until the next call with `out`. */
void smbios_begin(struct smbios_out *out, uint8_t type, uint8_t length, uint16_t handle);
void smbios_u8(struct smbios_out *out, unsigned at, uint64_t v);
void smbios_u16(struct smbios_out *out, unsigned at, uint64_t v);
void smbios_u32(struct smbios_out *out, unsigned at, uint64_t v);
void smbios_u64(struct smbios_out *out, unsigned at, uint64_t v);
/* NULL or "": no string, 0. */
void smbios_text(struct smbios_out *out, unsigned at, const char *text);
void smbios_bytes(struct smbios_out *out, unsigned at, const void *data, size_t size);
void smbios_end(struct smbios_out *out);
void smbios_append(struct smbios_out *out, const void *data, size_t size);

#endif

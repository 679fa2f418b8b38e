/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Names of a guest's code: from Linux's own table in its memory, from a System.map, from ELF files. What the profiler
 * and the x86 accelerators share.
 */
#ifndef DEBUG_NAMES_H
#define DEBUG_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/error.h>

struct bp_cpu;

/* ---- symbols.c: names of addresses ---- */
struct symbols {
    struct symbol {
        uint64_t address;
        uint32_t name; /* offset in `names` */
    } *list;
    char *names;
    size_t count, room, names_used, names_room;
    bool sorted;
};
/* False: no memory, or too many of them. */
bool symbols_add(struct symbols *s, uint64_t address, const char *name, size_t length);
/* The one that begins at or closest below the address, and where it begins (NULL is fine); NULL: none. */
const char *symbols_find(struct symbols *s, uint64_t address, uint64_t *ret_start);
void symbols_free(struct symbols *s);
/* Text as the kernel's build leaves it in System.map: "ADDRESS TYPE NAME". -errno */
int symbols_read_map(struct symbols *s, const char *path, struct bp_error *err);

/* ---- kallsyms.c: Linux's own table, in a copy of its image ---- */
/* Names of code in `image`, which has `length` bytes; it is 64-bit code. How many, 0: there is no table. */
size_t kallsyms_read(struct symbols *s, const uint8_t *image, size_t length);

/* ---- elf.c: a program's or library's file ---- */
struct elf_file {
    struct symbols symbols; /* by the addresses in the file */
    uint8_t head[64];       /* the file's first bytes, as they are found in memory */
    uint64_t first;         /* address in the file of what its first segment loads */
    uint64_t end;           /* behind its last one */
    bool moves;             /* it may be loaded anywhere */
    const char *path;       /* borrowed */
};
int elf_read(struct elf_file *f, const char *path, struct bp_error *err);
void elf_free(struct elf_file *f);

/* ---- kernel.c: Linux in a guest's memory. [vcpu], or with the vCPU stopped; RAM only, no device is disturbed ---- */
#define NAMES_PAGE 4096u
#define NAMES_KERNEL UINT64_C(0xffffffff80000000) /* from here on its image lies, 64 bits */
/* Where the page of a linear address lies in the host's memory; NULL: nowhere. */
const uint8_t *names_ram(struct bp_cpu *cpu, uint64_t linear);
/* Names of the kernel that has code at this address. How many, 0: it keeps none, or they are not found. */
size_t names_of_kernel(struct symbols *s, struct bp_cpu *cpu, uint64_t address);

#endif

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module `debug-profile`: -profile. */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bp/error.h>

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
/* The one that begins at or closest below the address; NULL: none. */
const char *symbols_find(struct symbols *s, uint64_t address);
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

/* ---- stacks.c: how often each stack was seen ---- */
#define MAX_FRAMES 64u
enum { FRAME_KERNEL, FRAME_USER, FRAME_FILE }; /* FRAME_FILE + n: an address in file n */
struct frame {
    uint64_t address;
    uint8_t kind;
};
/* Innermost first. False: it is counted, but there is no room for it. */
bool stacks_add(const struct frame *frames, unsigned count);
/* Folded: lines "outermost;...;innermost COUNT", in the order of their text. name: writes a frame's. -errno */
int stacks_write(const char *path, void (*name)(const struct frame *f, char *to, size_t size));
uint64_t stacks_samples(void);
void stacks_free(void);

#endif

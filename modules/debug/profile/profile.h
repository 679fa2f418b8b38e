/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The module `debug-profile`: -profile. Names of addresses: names.h. */
#ifndef PROFILE_H
#define PROFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "names.h"

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

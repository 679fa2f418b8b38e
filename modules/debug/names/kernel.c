/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's kernel looked for in its memory. */
#include "names.h"

#include <stdlib.h>
#include <string.h>

#include <bp/exact/cpu.h>
#include <bp/memory.h>

#define BELOW (48u << 20) /* as far an image may reach from any of its code */
#define ABOVE (64u << 20)

const uint8_t *names_ram(struct bp_cpu *cpu, uint64_t linear)
{
    struct bp_mapping m = {.size = sizeof(m)};
    uint64_t phys;

    if (!bp_cpu_class(cpu)->translate || bp_cpu_class(cpu)->translate(cpu, linear, &phys) < 0)
        return NULL;
    bp_space_lookup(bp_cpu_space(cpu), phys & ~(uint64_t)(NAMES_PAGE - 1), &m);
    return m.host && m.length >= NAMES_PAGE ? m.host + phys % NAMES_PAGE : NULL;
}

size_t names_of_kernel(struct symbols *s, struct bp_cpu *cpu, uint64_t address)
{
    uint64_t start = address & ~(uint64_t)0x1fffff;
    size_t size = BELOW + ABOVE, found = 0;
    uint8_t *image;

    start = start - NAMES_KERNEL < BELOW ? NAMES_KERNEL : start - BELOW;
    size = size < 0 - start ? size : (size_t)(0 - start);
    image = calloc(1, size);
    for (size_t at = 0; image && at < size; at += NAMES_PAGE) {
        const uint8_t *page = names_ram(cpu, start + at);

        if (page)
            memcpy(image + at, page, NAMES_PAGE);
    }
    if (image)
        found = kallsyms_read(s, image, size);
    free(image);
    return found;
}

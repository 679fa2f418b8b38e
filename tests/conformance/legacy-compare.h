/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What legacy-compare's two files share: the machine's memory, the modes, a block. */
#ifndef LEGACY_COMPARE_H
#define LEGACY_COMPARE_H

#include "native-compare-values.h"
#include "tcg.h"

enum { GDT = 0x1000, IDT = 0x2000, TSS = 0x3000, PD2 = 0x4000, PT2 = 0x5000, PDPT = 0x6000, PD = 0x7000, PT = 0x8000,
       PML4 = 0x9000, LPDPT = 0xa000, IDT64 = 0xb000, HANDLERS = 0xc000, STACK0 = 0xe000, CODE = 0x10000,
           DATA = 0x20000,
       STACK = 0x30000, RAM = 0x40000 };
#define HIGH 0xc0000000u /* where physical 0 is seen again, in large pages */
#define ABSENT_PAGE (DATA + 0x3000)
#define READONLY_PAGE (DATA + 0x5000)
#define HLT 0xf4
#define MAX_STEPS 1500
#define IMAGES 16u
#define CODE_TAIL 0x200u /* of what lies behind 64 KiB */

/* What a data segment can be, by its index in the GDT */
enum { G_FLAT = 4, G_FLAT3, G_DATA, G_SHORT, G_READONLY, G_DOWN, G_CODE, G_ABSENT, G_BASED, G_STACK32, G_STACK16,
       G_CS32, G_CS32B, G_CS16, G_CS16B, G_CS16LONG, G_CONFORMING, G_CS64, G_LAST };
enum paging { NONE, TWO, PAE, LONG };

struct mode {
    const char *name;
    bool real, v86, wide, flat, user;
    enum paging paging;
};

struct made_block {
    uint8_t bytes[512];
    unsigned length, marks[64], mark_count;
    uint32_t cs_base, eip;
    unsigned cs;
    unsigned fixup[16], fixup_size[16], fixup_count;
    bool modifies; /* its own code, on purpose */
    bool begins[512]; /* an instruction, as they were made */
};
extern struct made_block b;
extern const struct mode *mode; /* of the case under way */

/* legacy-compare-generate.c */
void make_block(uint64_t seed); /* of what both sides agree on */
uint32_t offset_value(void);    /* where memory that matters lies, or what looks for trouble */

#endif

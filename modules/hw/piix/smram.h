// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * SMRAM of Intel's host bridges: memory that processors see in system management mode only. The compatible area at
 * 0xa0000 by the register SMRAM (82441FX 290549, 3.2.18; Q35 MCH 316966, 5.1.21); the Q35's top segment (TSEG) by
 * ESMRAMC (5.1.22). Left out: D_CLS (data accesses closed in SMM) and the area at 0xfeda0000 (H_SMRAME).
 */
#ifndef HW_SMRAM_H
#define HW_SMRAM_H

#include <bp/memory.h>

/* Bits of the register SMRAM. */
#define SMRAM_ENABLE 0x08u /* G_SMRAME */
#define SMRAM_LOCK 0x10u   /* D_LCK: until the next reset nothing of this changes any more */
#define SMRAM_CLOSED 0x20u /* D_CLS */
#define SMRAM_OPEN 0x40u   /* D_OPEN: 0xa0000 is memory for everybody */

struct smram {
    struct bp_space *space; /* what is seen in SMM; NULL: the machine has none */
    struct bp_region *system, *ram, *low, *tseg, *tseg_closed;
    uint64_t top; /* TSEG ends there */
};

/* Makes the space; `top`: where low memory ends. */
void smram_init(struct smram *s, struct bp_owner *owner, struct bp_region *system, struct bp_region *ram,
                uint64_t top);
/* The register and its mask of writable bits: D_LCK closes 0xa0000 to others, and all but D_CLS is fixed then. Also
 * after a reset and after loading. */
void smram_lock(uint8_t *reg, uint8_t *writable);
/* enabled: G_SMRAME; tseg_size: 0, or bytes of the top segment. Without effect before smram_init(). */
void smram_update(struct smram *s, bool enabled, uint64_t tseg_size);

#endif

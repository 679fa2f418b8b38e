/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A page walk, between paging.c and tlb.c. */
#ifndef INTERP_PAGING_H
#define INTERP_PAGING_H

#include "vcpu.h"

struct walk {
    uint64_t lin;
    unsigned kind, set; /* TLB_*, MMU_* */
    uint64_t phys;      /* of the page */
    bool writable;      /* without another walk: D is set, too */
    bool global, large;
};
/* Raises #PF when the access is not allowed; sets A and D bits. */
void page_walk(struct vcpu *v, struct walk *w);

#endif

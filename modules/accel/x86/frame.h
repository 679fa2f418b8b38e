/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stack that an event or a far call will push on, before it becomes the current one. */
#ifndef INTERP_FRAME_H
#define INTERP_FRAME_H

#include "vcpu.h"

struct frame {
    struct bp_x86_segment ss;
    uint64_t sp;
    unsigned cpl;  /* rights of the pushes */
    bool wide;     /* 64-bit: no segmentation */
    bool switched; /* ss is another one than now: it is the error code of #SS */
};
void frame_current(struct vcpu *v, struct frame *f);
void frame_from_tss(struct vcpu *v, struct frame *f, unsigned cpl); /* legacy TSS: SSn:ESPn */
void frame_push(struct vcpu *v, struct frame *f, uint64_t value, unsigned size);
void frame_commit(struct vcpu *v, const struct frame *f); /* SS and RSP */

#endif

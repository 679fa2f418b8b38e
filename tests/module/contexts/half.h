/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the device "half" writes down; in the test's program. */
#ifndef HALF_H
#define HALF_H

struct half_notes {
    int busy;    /* its call in the other context has begun */
    int working; /* ... and not ended */
    int detached; /* detach() was called */
    int overlap; /* detach() ran under it */
    int late;    /* accesses after detach() */
};
extern struct half_notes half_notes __attribute__((weak, visibility("default")));

#endif

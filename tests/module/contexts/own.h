/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the devices "own" and "served" write down; in the test's program. */
#ifndef OWN_H
#define OWN_H

struct own_notes {
    const void *where; /* atomic: the context that its timer fired in last */
    unsigned reads, fires, resets, sets; /* of "own", under its lock */
    unsigned overlaps;        /* two of its callbacks at once */
    unsigned with_machine;    /* register callbacks or timers that held the machine lock */
    unsigned served;          /* accesses of it to "served" ... */
    unsigned served_unlocked; /* ... without the machine lock */
};
extern struct own_notes own_notes __attribute__((weak, visibility("default")));

#endif

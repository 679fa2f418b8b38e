/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the time of a boot goes (timeline.c). Under the machine lock. */
#ifndef TIMELINE_H
#define TIMELINE_H

#include <bp/base.h>

struct bp_machine;
struct bp_timer;

enum timeline_phase {
    TIMELINE_STARTUP, TIMELINE_FIRMWARE, TIMELINE_LOADER, TIMELINE_KERNEL, TIMELINE_INIT, TIMELINE_STOPPED,
    TIMELINE_PHASES,
};

struct timeline {
    struct bp_machine *machine;
    struct bp_timer *timer;
    int64_t begun, since; /* the time of what goes on now begins at the latter */
    int64_t spent[TIMELINE_PHASES]; /* ns */
    enum timeline_phase phase; /* never TIMELINE_STOPPED */
    unsigned asked; /* processors that were not looked at yet */
    bool running;
    bool paging_firmware; /* was seen: UEFI */
};

void timeline_begin(struct timeline *timeline, struct bp_machine *machine); /* with the machine */
void timeline_reset(struct timeline *timeline);

extern const struct bp_command pc_query_timeline;
extern const struct bp_hmp_command pc_info_timeline;

#endif

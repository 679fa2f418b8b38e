/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Breakpoints and watchpoints ("Z" and "z"). The accelerator stops at addresses: nothing is written into the
 * guest's code, so that software breakpoints need no memory that can be written.
 */
#include "gdb.h"

#include <errno.h>

static const enum bp_debug_kind kinds[] = {BP_DEBUG_EXECUTE, BP_DEBUG_EXECUTE, BP_DEBUG_WRITE,
                                           BP_DEBUG_READ, BP_DEBUG_ACCESS};

static int find(const struct session *s, const struct bp_debug_point *p, bool hardware)
{
    for (unsigned i = 0; i < s->point_count; i++) {
        const struct bp_debug_point *q = &s->points[i];

        if (q->kind == p->kind && q->address == p->address && q->length == p->length &&
            s->hardware[i] == hardware)
            return (int)i;
    }
    return -1;
}

static int apply(struct session *s)
{
    return bp_debug_set_points(s->machine, s->points, s->point_count, NULL);
}

void points_clear(struct session *s)
{
    s->point_count = 0;
    if (s->machine)
        apply(s);
}

/* "TYPE,ADDRESS,KIND", conditions and commands are not offered. */
void point_change(struct session *s, const char *data, bool insert)
{
    struct bp_debug_point p;
    uint64_t type;
    bool hardware;
    int at;

    if (!take_number(&data, &type) || !take_char(&data, ',') || !take_number(&data, &p.address) ||
        !take_char(&data, ',') || !take_number(&data, &p.length)) {
        reply_error(s, EINVAL);
        return;
    }
    if (type >= BP_COUNT(kinds)) {
        reply_text(s, ""); /* there are no others */
        return;
    }
    p.kind = kinds[type];
    hardware = type != 0;
    if (p.kind == BP_DEBUG_EXECUTE)
        p.length = 1; /* x86 clients say how long the instruction would be */
    else if (p.length == 0) {
        reply_error(s, EINVAL);
        return;
    }
    at = find(s, &p, hardware);
    if (insert && at < 0) {
        if (s->point_count == MAX_POINTS) {
            reply_error(s, ENOSPC);
            return;
        }
        s->hardware[s->point_count] = hardware;
        s->points[s->point_count++] = p;
    } else if (!insert && at >= 0) {
        s->point_count--;
        s->points[at] = s->points[s->point_count];
        s->hardware[at] = s->hardware[s->point_count];
    }
    if (apply(s) < 0)
        reply_error(s, ENOTSUP);
    else
        reply_text(s, "OK");
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nearest names (near.h). */
#include "near.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "text.h"

void bpc_near_init(struct bpc_near *near, const char *wanted)
{
    memset(near, 0, sizeof(*near));
    near->wanted = wanted;
}

void bpc_near_offer(struct bpc_near *near, const char *name)
{
    /* A third of the letters wrong, at least one: more is another word. */
    unsigned limit = (unsigned)strlen(near->wanted) / 3;
    limit = limit < 1 ? 1 : limit > 4 ? 4 : limit;
    unsigned distance = bpc_text_distance(near->wanted, name, limit);
    /* Capitals aside it is the same; another single letter is nothing near. */
    if (strcasecmp(near->wanted, name) == 0)
        distance = 0;
    else if (!near->wanted[0] || !near->wanted[1])
        return;
    /* The beginning or end of a longer name ("e1000" of "e1000-82540em") is near as well. */
    size_t wanted = strlen(near->wanted), len = strlen(name);
    if (distance > limit && wanted >= 3 && len > wanted &&
        (!strncmp(name, near->wanted, wanted) || !strcmp(name + len - wanted, near->wanted)))
        distance = limit;
    if (distance > limit)
        return;
    for (size_t i = 0; i < BP_COUNT(near->best); i++) {
        if (near->best[i].name && near->best[i].distance <= distance)
            continue;
        memmove(&near->best[i + 1], &near->best[i],
                (BP_COUNT(near->best) - i - 1) * sizeof(near->best[0]));
        near->best[i].name = name;
        near->best[i].distance = distance;
        return;
    }
}

void bpc_near_print(const struct bpc_near *near, char *buf, size_t size)
{
    size_t used = 0;
    if (size)
        buf[0] = '\0';
    for (size_t i = 0; i < BP_COUNT(near->best) && near->best[i].name; i++) {
        int n = snprintf(buf + used, size - used, "%s%s", i ? ", " : "", near->best[i].name);
        if (n < 0 || (size_t)n >= size - used) {
            buf[used] = '\0'; /* whole names only */
            return;
        }
        used += (size_t)n;
    }
}

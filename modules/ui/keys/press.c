/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Keys that are pressed, held and let go by a clock: send-key and sendkey. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/loop.h>

#include "keys.h"

#define MAX_WAITING 256u
#define RETRY_NS 50000000

struct chord {
    struct chord *next;
    struct bp_machine *machine;
    uint16_t codes[MAX_TOGETHER];
    unsigned count;
    uint32_t hold_ms;
};

static struct chord *first; /* is down when `down` */
static unsigned waiting;
static bool down;
static struct bp_timer *timer;

static int send(const struct chord *c, bool press, struct bp_error *err)
{
    struct bp_input_event events[2 * MAX_TOGETHER];

    for (unsigned i = 0; i < c->count; i++) {
        events[2 * i] = (struct bp_input_event){
            BP_INPUT_KEY, c->codes[press ? i : c->count - 1 - i], press};
        events[2 * i + 1] = (struct bp_input_event){.type = BP_INPUT_SYNC};
    }
    return keys_input->send(c->machine, NULL, events, 2 * c->count, err);
}

static void drop(void)
{
    struct chord *c = first;

    first = c->next;
    waiting--;
    down = false;
    free(c);
}

static void step(void *opaque)
{
    int64_t now = bp_clock_ns(BP_CLOCK_REALTIME);
    int ret;

    (void)opaque;
    if (!first)
        return;
    ret = send(first, !down, NULL);
    if (ret == -EAGAIN || ret == -EBUSY) { /* the machine is paused, its queue full */
        bp_timer_set(timer, now + RETRY_NS);
    } else if (down || ret < 0) {
        drop();
        bp_timer_set(timer, now + 1000000);
    } else {
        down = true;
        bp_timer_set(timer, now + (int64_t)first->hold_ms * 1000000);
    }
}

int keys_press(struct bp_machine *machine, const uint16_t *codes, unsigned count, uint32_t hold_ms,
               struct bp_error *err)
{
    struct chord *c, **link = &first;

    if (waiting == MAX_WAITING)
        return bp_fail(err, EBUSY, "%u keys wait to be pressed already", waiting);
    if (!timer)
        timer = bp_timer_new(NULL, bp_context_main(machine), BP_CLOCK_REALTIME, step, NULL);
    c = bp_alloc(sizeof(*c));
    c->machine = machine;
    memcpy(c->codes, codes, count * sizeof(*codes));
    c->count = count;
    c->hold_ms = hold_ms;
    if (!first) { /* at once, so that who asks hears of what is wrong */
        int ret = send(c, true, err);

        if (ret < 0) {
            free(c);
            return ret;
        }
        down = true;
        bp_timer_set(timer, bp_clock_ns(BP_CLOCK_REALTIME) + (int64_t)hold_ms * 1000000);
    }
    while (*link)
        link = &(*link)->next;
    *link = c;
    waiting++;
    return 0;
}

void keys_stop(void)
{
    while (first)
        drop();
    bp_timer_free(timer);
    timer = NULL;
}

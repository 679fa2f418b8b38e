/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * announce-self: switches learn where a guest is from a frame that it did not send itself, a reverse ARP request
 * (RFC 903) from each NIC's address, a few times. [main]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bp/clock.h>
#include <bp/value.h>

#include "net.h"

struct round {
    struct round *next;
    char *id;                    /* or NULL */
    struct bp_value *interfaces; /* names; or NULL: all */
    int64_t wait, max, step, left; /* ms; rounds */
    struct bp_timer *timer;
};

static struct round *rounds;

static void round_free(struct round *r)
{
    struct round **link = &rounds;

    while (*link && *link != r)
        link = &(*link)->next;
    if (*link)
        *link = r->next;
    bp_timer_free(r->timer);
    bp_value_unref(r->interfaces);
    free(r->id);
    free(r);
}

static bool meant(const struct round *r, const struct bp_nic *nic)
{
    if (!r->interfaces)
        return true;
    for (size_t i = 0; i < bp_value_length(r->interfaces); i++) {
        const char *name = bp_value_as_string(bp_value_at(r->interfaces, i));

        if (name && !strcmp(name, nic->name))
            return true;
    }
    return false;
}

static void send_one(struct bp_nic *nic)
{
    static const uint8_t head[8] = {0, 1, 8, 0, 6, 4, 0, 3}; /* Ethernet, IPv4, lengths, reverse request */
    uint8_t frame[60] = {0};
    struct iovec vector = {frame, sizeof(frame)};
    struct bp_net_packet packet = {&vector, 1, sizeof(frame), {0}};

    memset(frame, 0xff, 6);
    memcpy(frame + 6, nic->guest_mac, 6);
    frame[12] = 0x80;
    frame[13] = 0x35;
    memcpy(frame + 14, head, sizeof(head));
    memcpy(frame + 22, nic->guest_mac, 6);
    memcpy(frame + 32, nic->guest_mac, 6);
    port_send(&nic->port, 0, &packet, 1, true);
}

static void fire(void *opaque)
{
    struct round *r = opaque;

    for (struct bp_nic *nic = nic_all; nic; nic = nic->next)
        if (meant(r, nic))
            send_one(nic);
    if (--r->left <= 0) {
        round_free(r);
        return;
    }
    bp_timer_set(r->timer, bp_timer_now(r->timer) + r->wait * 1000000);
    r->wait = r->wait + r->step < r->max ? r->wait + r->step : r->max;
}

static int64_t number(struct bp_value *args, const char *key, int64_t otherwise)
{
    return bp_value_has(args, key) ? bp_value_as_int(bp_value_get(args, key)) : otherwise;
}

int announce_self(struct bp_value *args, struct bp_error *err)
{
    const char *id = bp_value_get_string(args, "id");
    struct round *r;

    if (number(args, "initial", 50) < 1 || number(args, "initial", 50) > 100000 ||
        number(args, "max", 550) < 1 || number(args, "max", 550) > 100000)
        return bp_fail(err, EINVAL, "Parameters 'initial' and 'max' expect 1 to 100000 milliseconds");
    if (number(args, "rounds", 5) < 1 || number(args, "rounds", 5) > 1000)
        return bp_fail(err, EINVAL, "Parameter 'rounds' expects 1 to 1000");
    if (number(args, "step", 100) < 0 || number(args, "step", 100) > 10000)
        return bp_fail(err, EINVAL, "Parameter 'step' expects 0 to 10000 milliseconds");
    for (r = rounds; r; r = r->next)
        if ((!id && !r->id) || (id && r->id && !strcmp(id, r->id)))
            break;
    if (r) /* one of a name: the later replaces it */
        round_free(r);
    r = bp_alloc(sizeof(*r));
    r->id = bp_strdup(id);
    r->interfaces = bp_value_has(args, "interfaces") ? bp_value_copy(bp_value_get(args, "interfaces")) : NULL;
    r->wait = number(args, "initial", 50);
    r->max = number(args, "max", 550);
    r->left = number(args, "rounds", 5);
    r->step = number(args, "step", 100);
    r->next = rounds;
    rounds = r;
    r->timer = bp_timer_new(NULL, NULL, BP_CLOCK_REALTIME, fire, r);
    bp_timer_set(r->timer, bp_timer_now(r->timer));
    return 0;
}

void announce_end(void)
{
    while (rounds)
        round_free(rounds);
}

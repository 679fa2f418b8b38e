/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Key slots of a header that is there: one more password, or passwords that open it no longer (On-Disk Format
 * Specification 1.2.3, 4.2 to 4.4). What lies in a slot is written before the header says that it is in use, and
 * overwritten before the header says that it is free. Leaves out: the specification's repeated overwriting, which does
 * nothing on flash.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "luks.h"

struct change {
    const struct bp_luks_place *place;
    struct bp_luks *l;
    bool active, force;
    int slot; /* -1: none was named */
    const char *new_secret, *old_secret;
    uint64_t milliseconds;
};

static int check_key(const char *key, struct bp_value *value, void *opaque)
{
    static const char *const known[] = {"driver", "format", "state", "new-secret", "old-secret", "keyslot",
                                        "iter-time", "force"};

    (void)value;
    for (size_t i = 0; i < BP_COUNT(known); i++)
        if (!strcmp(key, known[i]))
            return 0;
    return bp_fail(opaque, ENOTSUP, "option '%s' cannot be changed in a LUKS header that is there; state, new-secret, "
                   "old-secret, keyslot and iter-time say what becomes of its key slots", key);
}

static int take_slot(struct bp_value *options, int *ret, struct bp_error *err)
{
    struct bp_value *v = bp_value_get(options, "keyslot");
    const char *text = v ? bp_value_as_string(v) : NULL;
    char *end;
    uint64_t n;

    *ret = -1;
    if (!v)
        return 0;
    n = text ? strtoull(text, &end, 10) : bp_value_as_uint(v);
    if ((text && (end == text || *end || *text == '-')) || n >= SLOTS)
        return bp_fail(err, EINVAL, "option 'keyslot' expects 0 to %u", SLOTS - 1);
    *ret = (int)n;
    return 0;
}

static int take_change(struct bp_value *options, struct change *c, struct bp_error *err)
{
    const char *state = bp_value_get_string(options, "state");
    struct bp_value *force = bp_value_get(options, "force");
    int ret = bp_value_each(options, check_key, err);

    if (ret == 0 && (!state || (strcmp(state, "active") != 0 && strcmp(state, "inactive") != 0)))
        ret = bp_fail(err, EINVAL, "option 'state' %s: active or inactive", state ? "is one of" : "is missing");
    if (ret == 0)
        ret = take_slot(options, &c->slot, err);
    if (ret == 0)
        ret = luks_take_time(options, &c->milliseconds, err);
    if (ret < 0)
        return ret;
    c->active = *state == 'a';
    c->force = force && bp_value_as_bool(force);
    c->new_secret = bp_value_get_string(options, "new-secret");
    c->old_secret = bp_value_get_string(options, "old-secret");
    if (c->active && (!c->new_secret || c->old_secret))
        return bp_fail(err, EINVAL, "state=active wants the id of the secret for the slot, 'new-secret', and no "
                       "'old-secret'");
    if (!c->active && (c->new_secret || (!c->old_secret && c->slot < 0)))
        return bp_fail(err, EINVAL, "state=inactive wants 'keyslot', or 'old-secret' for all slots that it opens, and "
                       "no 'new-secret'");
    return 0;
}

/* The header as it is in memory. Bytes between its end and the sector's stay. */
static int write_header(const struct change *c)
{
    uint8_t h[1024];
    int ret = c->place->read(c->place->opaque, 0, h, sizeof(h));

    if (ret < 0)
        return ret;
    luks_put_header(c->l, h);
    return c->place->write(c->place->opaque, 0, h, sizeof(h));
}

static uint64_t slot_room(const struct bp_luks *l)
{
    return up_to((uint64_t)STRIPES * l->key_bytes, BP_LUKS_SECTOR);
}

/* ---- one more ---- */

struct filling { /* on a worker thread */
    struct change *c;
    struct slot slot;
    uint8_t *password, *material;
    size_t length;
    int ret;
};

static void fill_it(void *opaque)
{
    struct filling *f = opaque;

    f->ret = slot_fill(f->c->l, &f->slot, f->password, f->length, f->c->milliseconds, f->material);
}

static int fill(struct filling *f)
{
    struct bp_luks *l = f->c->l;
    struct slot before = l->slots[f->c->slot];
    int ret = random_bytes(f->slot.salt, SALT);

    if (ret == 0) {
        if (block->may_wait())
            bp_co_worker(fill_it, f);
        else
            fill_it(f);
        ret = f->ret;
    }
    if (ret == 0)
        ret = f->c->place->write(f->c->place->opaque, (uint64_t)f->slot.offset * BP_LUKS_SECTOR, f->material,
                                 slot_room(l));
    if (ret < 0)
        return ret;
    l->slots[f->c->slot] = f->slot;
    ret = write_header(f->c);
    if (ret < 0)
        l->slots[f->c->slot] = before;
    return ret;
}

static int activate(struct change *c, struct bp_error *err)
{
    struct filling f = {.c = c};
    const uint8_t *password;
    int ret;

    for (unsigned i = 0; c->slot < 0 && i < SLOTS; i++)
        if (!c->l->slots[i].active)
            c->slot = (int)i;
    if (c->slot < 0)
        return bp_fail(err, ENOSPC, "luks: all %u key slots are in use", SLOTS);
    if (c->l->slots[c->slot].active && !c->force)
        return bp_fail(err, EBUSY, "luks: key slot %d is in use: state=inactive frees it", c->slot);
    ret = luks_password(c->new_secret, &password, &f.length, err);
    if (ret < 0)
        return ret;
    f.slot = c->l->slots[c->slot];
    f.slot.stripes = STRIPES;
    f.password = malloc(f.length ? f.length : 1);
    f.material = calloc(1, (size_t)slot_room(c->l));
    ret = f.password && f.material ? 0 : -ENOMEM;
    if (ret == 0) {
        memcpy(f.password, password, f.length); /* the secret may go meanwhile */
        ret = fill(&f);
        wipe(f.password, f.length);
    }
    free(f.password);
    free(f.material);
    return ret < 0 ? bp_fail(err, -ret, "luks: key slot %d cannot be written: %s", c->slot, strerror(-ret)) : 0;
}

/* ---- one less ---- */

static int erase(struct change *c, unsigned slot)
{
    struct slot *s = &c->l->slots[slot], before = *s;
    uint8_t *noise = malloc((size_t)slot_room(c->l));
    int ret = noise ? random_bytes(noise, (size_t)slot_room(c->l)) : -ENOMEM;

    if (ret == 0)
        ret = c->place->write(c->place->opaque, (uint64_t)s->offset * BP_LUKS_SECTOR, noise, slot_room(c->l));
    free(noise);
    if (ret < 0)
        return ret;
    s->active = false;
    s->iterations = 0;
    memset(s->salt, 0, SALT);
    ret = write_header(c);
    if (ret < 0)
        *s = before;
    return ret;
}

/* Slots that are meant, as bits. */
static int find_slots(struct change *c, unsigned *ret_slots, struct bp_error *err)
{
    unsigned slots = 0;

    for (unsigned i = 0; i < SLOTS; i++) {
        int ret = 1;

        if (c->slot >= 0 && (unsigned)c->slot != i)
            continue;
        if (!c->l->slots[i].active)
            continue;
        if (c->old_secret)
            ret = slot_opens(c->place, c->l, i, c->old_secret, err);
        if (ret < 0)
            return ret;
        slots |= ret == 1 ? 1u << i : 0;
    }
    if (!slots && c->old_secret)
        return bp_fail(err, ENOENT, "luks: the password of secret '%s' opens no such key slot", c->old_secret);
    if (!slots)
        return bp_fail(err, ENOENT, "luks: key slot %d is free already", c->slot);
    *ret_slots = slots;
    return 0;
}

static int deactivate(struct change *c, struct bp_error *err)
{
    unsigned slots = 0, others = 0;
    int ret = find_slots(c, &slots, err);

    if (ret < 0)
        return ret;
    for (unsigned i = 0; i < SLOTS; i++)
        others += c->l->slots[i].active && !(slots >> i & 1);
    if (others == 0 && !c->force)
        return bp_fail(err, EPERM, "luks: no key slot would be left, and nobody could read the disk any more: it is "
                       "done only by force");
    for (unsigned i = 0; ret == 0 && i < SLOTS; i++)
        if (slots >> i & 1)
            ret = erase(c, i);
    return ret < 0 ? bp_fail(err, -ret, "luks: a key slot cannot be overwritten: %s", strerror(-ret)) : 0;
}

int luks_amend(const struct bp_luks_place *place, struct bp_luks *l, struct bp_value *options, struct bp_error *err)
{
    struct change c = {.place = place, .l = l};
    int ret = take_change(options, &c, err);

    if (ret < 0)
        return ret;
    if (!l->has_key)
        return bp_fail(err, EACCES, "luks: the image has to be opened with a password that fits");
    return c.active ? activate(&c, err) : deactivate(&c, err);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bytes that grow, texts, and a table of hashes with open addressing (grow.h). */
#include "grow.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *grow_add(struct grow *g, size_t size)
{
    void *at;

    if (size > g->room - g->length) {
        g->room = (g->length + size) * 2 < 64 ? 64 : (g->length + size) * 2;
        g->data = bp_realloc(g->data, g->room);
    }
    at = (char *)g->data + g->length;
    memset(at, 0, size);
    g->length += size;
    return at;
}

void grow_append(struct grow *g, const void *data, size_t size)
{
    if (size)
        memcpy(grow_add(g, size), data, size);
}

static char *print(const char *fmt, va_list ap, int *ret_length)
{
    va_list again;
    char *text;
    int length;

    va_copy(again, ap);
    length = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (length < 0)
        length = 0;
    text = bp_alloc((size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, fmt, ap);
    *ret_length = length;
    return text;
}

void grow_printf(struct grow *g, const char *fmt, ...)
{
    va_list ap;
    char *text;
    int length;

    va_start(ap, fmt);
    text = print(fmt, ap, &length);
    va_end(ap);
    grow_append(g, text, (size_t)length);
    free(text);
}

void grow_finish(struct grow *g)
{
    free(g->data);
    *g = (struct grow){0};
}

char *text_copy(const char *text, size_t length)
{
    char *copy = bp_alloc(length + 1);

    memcpy(copy, text, length);
    return copy;
}

char *text_printf(const char *fmt, ...)
{
    va_list ap;
    char *text;
    int length;

    va_start(ap, fmt);
    text = print(fmt, ap, &length);
    va_end(ap);
    return text;
}

uint32_t lookup_find(const struct lookup *l, uint64_t hash,
                     bool (*same)(uint32_t number, const void *key, const void *opaque),
                     const void *key, const void *opaque)
{
    const struct lookup_slot *s;

    if (!l->room)
        return 0;
    for (uint32_t i = (uint32_t)hash & (l->room - 1); (s = &l->slots[i])->number;
         i = (i + 1) & (l->room - 1))
        if (s->hash == hash && same(s->number, key, opaque))
            return s->number;
    return 0;
}

static void put(struct lookup *l, uint64_t hash, uint32_t number)
{
    uint32_t i = (uint32_t)hash & (l->room - 1);

    while (l->slots[i].number)
        i = (i + 1) & (l->room - 1);
    l->slots[i].hash = hash;
    l->slots[i].number = number;
}

void lookup_add(struct lookup *l, uint64_t hash, uint32_t number)
{
    if (l->used >= l->room / 2) {
        const struct lookup old = *l;

        l->room = old.room ? old.room * 2 : 64;
        l->slots = bp_alloc(l->room * sizeof(*l->slots));
        for (uint32_t i = 0; i < old.room; i++)
            if (old.slots[i].number)
                put(l, old.slots[i].hash, old.slots[i].number);
        free(old.slots);
    }
    put(l, hash, number);
    l->used++;
}

void lookup_finish(struct lookup *l)
{
    free(l->slots);
    *l = (struct lookup){0};
}

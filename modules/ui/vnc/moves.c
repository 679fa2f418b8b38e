/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Moves. Where a line of pixels has an edge, the WINDOW pixels behind it make a number; places whose number chance
 * selects are landmarks. Landmarks of the picture before go into a table; those of the picture now that stand there
 * once vote for how far they have come. What wins is only a guess: whoever uses it compares pixels.
 */
#include "moves.h"

#include <stdlib.h>
#include <string.h>

#define WINDOW 32u      /* pixels: more than two characters */
#define TABLE_BITS 14u
#define BALLOT_BITS 10u
#define LINES 4u        /* of the picture now each fourth line is looked at */
#define VOTES_LEAST 8u
#define FACTOR 0x9e3779b1u

struct landmark {
    uint32_t number; /* 0: none */
    uint16_t x, y;
    bool twice;
};
struct ballot {
    int32_t dx, dy;
    uint32_t votes; /* 0: free */
};
struct search {
    const struct moves_pictures *p;
    uint32_t rarely; /* one of so many (a power of two) places is a landmark */
    uint32_t out;    /* FACTOR to the power of WINDOW */
    struct landmark table[1u << TABLE_BITS];
    struct ballot ballots[1u << BALLOT_BITS];
    const struct ballot *first;
};

typedef void visitor(struct search *s, uint32_t number, uint32_t x, uint32_t y);

static void remember(struct search *s, uint32_t number, uint32_t x, uint32_t y)
{
    struct landmark *l = &s->table[number >> (32 - TABLE_BITS)];

    if (l->number == 0)
        *l = (struct landmark){number, (uint16_t)x, (uint16_t)y, false};
    else if (l->number == number)
        l->twice = true;
}

static void vote(struct search *s, uint32_t number, uint32_t x, uint32_t y)
{
    const struct landmark *l = &s->table[number >> (32 - TABLE_BITS)];
    int32_t dx = (int32_t)x - l->x, dy = (int32_t)y - l->y;
    uint32_t at = ((uint32_t)dx * 0x85ebca6bu ^ (uint32_t)dy * FACTOR) >> (32 - BALLOT_BITS);
    struct ballot *b;

    if (l->number != number || l->twice || (dx == 0 && dy == 0))
        return;
    b = &s->ballots[at];
    if (b->votes == 0)
        *b = (struct ballot){dx, dy, 0};
    if (b->dx != dx || b->dy != dy)
        return; /* another one has the place */
    b->votes++;
    if (!s->first || b->votes > s->first->votes)
        s->first = b;
}

/* The landmarks of a line between two places. */
static void walk(struct search *s, const uint32_t *line, uint32_t y, uint32_t from, uint32_t to, visitor *visit)
{
    uint32_t number = 0;

    for (uint32_t x = from; x < to; x++) {
        uint32_t begin = x + 1 - WINDOW;

        number = number * FACTOR + line[x] + 1;
        if (x < from + WINDOW)
            continue;
        number -= (line[x - WINDOW] + 1) * s->out;
        if (line[begin] == line[begin - 1])
            continue;
        if (((number ^ number >> 15) * 0x85ebca6bu >> 16 & (s->rarely - 1)) == 0)
            visit(s, number * FACTOR | 1, begin, y);
    }
}

static void walk_changed(struct search *s, const uint32_t *pixels, size_t stride, uint32_t step, visitor *visit)
{
    const struct moves_pictures *p = s->p;

    for (uint32_t y = 0; y < p->height; y += step) {
        const uint8_t *row = p->changed + (size_t)(y / MOVES_TILE_H) * p->columns;

        for (uint32_t column = 0; column < p->columns; column++) {
            uint32_t from = column * MOVES_TILE_W, to;

            if (!row[column])
                continue;
            while (column + 1 < p->columns && row[column + 1])
                column++;
            to = (column + 1) * MOVES_TILE_W;
            walk(s, pixels + y * stride, y, from, to < p->width ? to : p->width, visit);
        }
    }
}

bool moves_find(const struct moves_pictures *p, int32_t *ret_dx, int32_t *ret_dy)
{
    struct search *s = calloc(1, sizeof(*s));
    size_t changed = 0;
    bool found;

    if (!s)
        return false;
    s->p = p;
    for (size_t i = 0; i < (size_t)p->columns * p->rows; i++)
        changed += p->changed[i] != 0;
    s->rarely = changed < 128 ? 4 : changed < 512 ? 16 : 64;
    s->out = 1;
    for (unsigned i = 0; i < WINDOW; i++)
        s->out *= FACTOR;
    walk_changed(s, p->before, p->width, 1, remember);
    walk_changed(s, p->now, p->stride, LINES, vote);
    found = s->first && s->first->votes >= VOTES_LEAST;
    if (found) {
        *ret_dx = s->first->dx;
        *ret_dy = s->first->dy;
    }
    free(s);
    return found;
}

bool moves_same(const struct moves_pictures *p, const struct bp_rect *r, int32_t dx, int32_t dy)
{
    int64_t x = (int64_t)r->x - dx, y = (int64_t)r->y - dy;

    if (x < 0 || y < 0 || x + r->width > p->width || y + r->height > p->height)
        return false;
    for (uint32_t i = 0; i < r->height; i++)
        if (memcmp(p->now + (r->y + i) * p->stride + r->x, p->before + (size_t)(y + i) * p->width + x,
                   (size_t)r->width * 4) != 0)
            return false;
    return true;
}

void moves_grow(const struct moves_pictures *p, struct bp_rect *r, int32_t dx, int32_t dy)
{
    struct bp_rect edge = {r->x, r->y, r->width, 1};

    for (uint32_t i = 1; i < MOVES_TILE_H && r->y > 0; i++) {
        edge.y = r->y - 1;
        if (!moves_same(p, &edge, dx, dy))
            break;
        r->y--;
        r->height++;
    }
    for (uint32_t i = 1; i < MOVES_TILE_H && r->y + r->height < p->height; i++) {
        edge.y = r->y + r->height;
        if (!moves_same(p, &edge, dx, dy))
            break;
        r->height++;
    }
    edge = (struct bp_rect){r->x, r->y, 1, r->height};
    for (uint32_t i = 1; i < MOVES_TILE_W && r->x > 0; i++) {
        edge.x = r->x - 1;
        if (!moves_same(p, &edge, dx, dy))
            break;
        r->x--;
        r->width++;
    }
    for (uint32_t i = 1; i < MOVES_TILE_W && r->x + r->width < p->width; i++) {
        edge.x = r->x + r->width;
        if (!moves_same(p, &edge, dx, dy))
            break;
        r->width++;
    }
}

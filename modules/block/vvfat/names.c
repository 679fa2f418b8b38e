/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Long and short names (the specification's chapter "Name Generation"). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vvfat.h"

/* One character of UTF-8 (RFC 3629); its length, or 0: it is damaged. */
static unsigned decode(const uint8_t *s, uint32_t *ret)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    unsigned n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
    uint32_t c = n == 1 ? *s : n ? *s & (0x7fu >> n) : 0;

    for (unsigned i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    *ret = c;
    return n && c >= least[n] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff) ? n : 0;
}

int long_name(const char *name, uint16_t units[MOST_UNITS])
{
    const uint8_t *s = (const uint8_t *)name;
    size_t length = strlen(name);
    unsigned n = 0;

    if (length == 0 || name[length - 1] == '.' || name[length - 1] == ' ')
        return -1; /* those at its end are not kept */
    while (*s) {
        uint32_t c;
        unsigned bytes = decode(s, &c);

        if (!bytes || c < 0x20 || c == 0x7f || (c < 0x80 && strchr("\"*/:<>?\\|", (int)c)) ||
            n + (c >= 0x10000 ? 2 : 1) > MOST_UNITS)
            return -1;
        if (c >= 0x10000) {
            units[n++] = (uint16_t)(0xd800 + ((c - 0x10000) >> 10));
            c = 0xdc00 + ((c - 0x10000) & 0x3ff);
        }
        units[n++] = (uint16_t)c;
        s += bytes;
    }
    return (int)n;
}

static int upper(uint8_t c)
{
    return c >= 'a' && c <= 'z' ? c - 32 : c;
}

int name_order(const char *a, const char *b)
{
    for (; *a && upper((uint8_t)*a) == upper((uint8_t)*b); a++, b++)
        ;
    return upper((uint8_t)*a) - upper((uint8_t)*b);
}

uint8_t short_checksum(const uint8_t name[SHORT_NAME])
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < SHORT_NAME; i++)
        sum = (uint8_t)((sum >> 1 | sum << 7) + name[i]);
    return sum;
}

/* ---- short names ---- */

static bool is_short(uint8_t c)
{
    return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (c && strchr("$%'-_@~`!(){}^#&", c));
}

struct basis {
    uint8_t name[8], extension[3];
    unsigned length, extension_length;
    bool lossy; /* the name is not the same any more, but for its case */
    bool lower;
};

static void put(struct basis *b, uint8_t c, uint8_t *to, unsigned *length, unsigned most)
{
    int up = upper(c);

    if (c >= 0x80 && c < 0xc0)
        return; /* goes with the byte before */
    if (c == ' ' || c == '.') {
        b->lossy = true;
        return;
    }
    if (*length == most) {
        b->lossy = true;
        return;
    }
    b->lower |= up != c;
    b->lossy |= !is_short((uint8_t)up);
    to[(*length)++] = is_short((uint8_t)up) ? (uint8_t)up : '_';
}

static struct basis basis_of(const char *name)
{
    const char *dot = strrchr(name, '.');
    struct basis b = {.lossy = *name == '.'};

    while (*name == '.')
        name++;
    if (dot && dot < name)
        dot = NULL;
    for (const char *c = name; *c && c != dot; c++)
        put(&b, (uint8_t)*c, b.name, &b.length, 8);
    for (const char *c = dot ? dot + 1 : ""; *c; c++)
        put(&b, (uint8_t)*c, b.extension, &b.extension_length, 3);
    if (b.length == 0) {
        b.lossy = true;
        b.name[b.length++] = '_';
    }
    return b;
}

static uint32_t hash(const void *data, size_t length)
{
    const uint8_t *s = data;
    uint32_t h = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < length; i++)
        h = (h ^ s[i]) * 16777619u;
    return h;
}

struct taken {
    uint8_t (*names)[SHORT_NAME]; /* begins with 0: free */
    uint32_t mask;
};

/* false: somebody has it. */
static bool take(struct taken *t, const uint8_t name[SHORT_NAME])
{
    uint32_t at = hash(name, SHORT_NAME) & t->mask;

    for (; t->names[at][0]; at = (at + 1) & t->mask)
        if (!memcmp(t->names[at], name, SHORT_NAME))
            return false;
    memcpy(t->names[at], name, SHORT_NAME);
    return true;
}

static void fill(uint8_t out[SHORT_NAME], const struct basis *b, unsigned length, const char *tail)
{
    memset(out, ' ', SHORT_NAME);
    memcpy(out, b->name, length);
    memcpy(out + length, tail, strlen(tail));
    memcpy(out + 8, b->extension, b->extension_length);
}

/* BASIS~N.EXT; when those are taken, what follows comes from the whole name: two characters, four digits, ~N. */
static void make_short(struct taken *t, struct item *item)
{
    struct basis b = basis_of(item->name);
    uint32_t more = hash(item->name, strlen(item->name));
    char tail[16];

    for (unsigned n = 1; n < 5; n++) {
        snprintf(tail, sizeof(tail), "~%u", n);
        fill(item->short_name, &b, b.length < 6 ? b.length : 6, tail);
        if (take(t, item->short_name))
            return;
    }
    do {
        snprintf(tail, sizeof(tail), "%04X~%u", (more >> 4) & 0xffff, more % 9 + 1);
        fill(item->short_name, &b, b.length < 2 ? b.length : 2, tail);
        more = more * 1664525 + 1013904223;
    } while (!take(t, item->short_name));
}

bool short_names(struct item *items, uint32_t count)
{
    uint16_t units[MOST_UNITS];
    struct taken t = {.mask = 63};

    while (t.mask < 2 * count)
        t.mask = 2 * t.mask + 1;
    t.names = calloc((size_t)t.mask + 1, SHORT_NAME);
    if (!t.names)
        return false;
    for (int lossy = 0; lossy < 2; lossy++) /* those that need no tail have the first choice */
        for (uint32_t i = 0; i < count; i++) {
            struct basis b = basis_of(items[i].name);

            if (b.lossy != lossy)
                continue;
            items[i].long_entries = b.lossy || b.lower ? (uint8_t)((long_name(items[i].name, units) + 12) / 13) : 0;
            fill(items[i].short_name, &b, b.length, "");
            if (b.lossy || !take(&t, items[i].short_name))
                make_short(&t, &items[i]);
        }
    free(t.names);
    return true;
}

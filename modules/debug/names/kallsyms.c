/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Linux keeps the names of its functions in its image (CONFIG_KALLSYMS). Names are compressed: a table of 256 tokens,
 * and each name a count (one byte, two when the first has bit 7: ULEB128) and as many token numbers; the first
 * character is the type. Addresses are 32-bit offsets from a base. The tables lie one behind the other, aligned to 8:
 *   offsets, base, count, names, markers (each 256th name's offset), tokens, index of tokens (until 6.3)
 *   count, names, markers, tokens, index, offsets, base (since 6.4; between, perhaps, the names' order)
 * The tokens are found by the digits, which stand for themselves, and proved by their index; the rest by its shape.
 */
#include "names.h"

#include <string.h>

#define TOKENS 256u
#define FEWEST 300u
#define MOST 2000000u
#define BEFORE (24u << 20) /* as far names and offsets may reach before the tokens */

struct tables {
    const uint8_t *image;
    size_t length;
    size_t tokens, index, names, names_end, offsets, base_at;
    uint32_t count;
    uint16_t at[TOKENS]; /* of tokens */
};

static size_t aligned(size_t n)
{
    return (n + 7) & ~(size_t)7;
}

static uint32_t word(const struct tables *t, size_t at)
{
    uint32_t value = 0;

    if (at + 4 <= t->length)
        memcpy(&value, t->image + at, 4);
    return value;
}

static uint64_t quad(const struct tables *t, size_t at)
{
    uint64_t value = 0;

    if (at + 8 <= t->length)
        memcpy(&value, t->image + at, 8);
    return value;
}

/* `digits`: where the ten of them stand. */
static bool tokens_at(struct tables *t, size_t digits)
{
    size_t p = digits;

    for (unsigned n = 0; n < '0'; n++) {
        if (p < 2)
            return false;
        for (p--; p > 0 && t->image[p - 1] && digits - p < 4096; p--)
            continue;
    }
    t->tokens = aligned(p);
    p = t->tokens;
    for (unsigned n = 0; n < TOKENS; n++) {
        const uint8_t *end = p < t->length ? memchr(t->image + p, 0, t->length - p) : NULL;

        if (!end || p - t->tokens > UINT16_MAX)
            return false;
        t->at[n] = (uint16_t)(p - t->tokens);
        p = (size_t)(end - t->image) + 1;
    }
    t->index = aligned(p);
    return t->index + sizeof(t->at) <= t->length && !memcmp(t->image + t->index, t->at, sizeof(t->at));
}

static bool tokens_find(struct tables *t)
{
    static const char digits[20] = "0\0001\0002\0003\0004\0005\0006\0007\0008\0009";
    size_t from = 0;

    while (from + sizeof(digits) < t->length) {
        const uint8_t *p = memmem(t->image + from, t->length - from, digits, sizeof(digits));

        if (!p)
            return false;
        if (tokens_at(t, (size_t)(p - t->image)))
            return true;
        from = (size_t)(p - t->image) + 1;
    }
    return false;
}

/* One name behind *at, which moves on; its length, 0: it is none. */
static size_t name_next(const struct tables *t, size_t *at, char *to, size_t size)
{
    size_t p = *at, n, used = 0;

    if (p + 2 > t->tokens)
        return 0;
    n = t->image[p++];
    if (n & 0x80)
        n = (n & 0x7f) | (size_t)t->image[p++] << 7;
    if (n == 0 || p + n > t->tokens)
        return 0;
    for (; n; n--, p++) {
        const char *token = (const char *)t->image + t->tokens + t->at[t->image[p]];
        size_t length = strlen(token);

        if (used + length >= size)
            return 0;
        memcpy(to + used, token, length);
        used += length;
    }
    to[used] = '\0';
    *at = p;
    return used;
}

static bool is_type(char c)
{
    return c && strchr("tTdDrRbBaAwWvVnuUgGsS", c);
}

/* Are there `count` names from here on, with the markers behind them? */
static bool names_at(struct tables *t, size_t at, uint32_t count)
{
    size_t p = at, second = 0, markers;
    char name[1024];

    for (uint32_t n = 0; n < count; n++) {
        size_t length;

        if (n == 256)
            second = p - at;
        if (n < 16) {
            length = name_next(t, &p, name, sizeof(name));
            if (length < 2 || !is_type(name[0]))
                return false;
            continue;
        }
        if (p + 2 > t->tokens)
            return false;
        length = t->image[p++];
        if (length & 0x80)
            length = (length & 0x7f) | (size_t)t->image[p++] << 7;
        if (length == 0)
            return false;
        p += length;
    }
    markers = aligned(p);
    if (markers + 8 > t->tokens || word(t, markers) != 0 || word(t, markers + 4) != second)
        return false;
    t->names = at;
    t->names_end = p;
    t->count = count;
    return true;
}

static bool names_find(struct tables *t)
{
    size_t stop = t->tokens > BEFORE ? t->tokens - BEFORE : 0;

    for (size_t p = t->tokens & ~(size_t)7; p > stop + 8; p -= 8) {
        uint32_t count = word(t, p - 8);

        if (count >= FEWEST && count <= MOST && word(t, p - 4) == 0 && names_at(t, p, count))
            return true;
    }
    return false;
}

static bool offsets_are(struct tables *t, size_t offsets, size_t base_at)
{
    t->offsets = offsets;
    t->base_at = base_at;
    return base_at + 8 <= t->length && offsets + (size_t)t->count * 4 <= t->length &&
           quad(t, base_at) >> 31 == UINT64_C(0x1ffffffff);
}

static bool offsets_find(struct tables *t)
{
    size_t bytes = aligned((size_t)t->count * 4), behind = aligned(t->index + sizeof(t->at));

    if (t->names >= 16 + bytes && offsets_are(t, t->names - 16 - bytes, t->names - 16))
        return true;
    return offsets_are(t, behind, behind + bytes);
}

size_t kallsyms_read(struct symbols *s, const uint8_t *image, size_t length)
{
    struct tables t = {.image = image, .length = length};
    bool per_cpu = false;
    size_t at, found = 0;
    char name[1024];

    if (!tokens_find(&t) || !names_find(&t) || !offsets_find(&t))
        return 0;
    for (uint32_t n = 0; n < t.count && !per_cpu; n++)
        per_cpu = word(&t, t.offsets + (size_t)n * 4) >> 31; /* then those that are not are absolute */
    at = t.names;
    for (uint32_t n = 0; n < t.count; n++) {
        uint32_t offset = word(&t, t.offsets + (size_t)n * 4);
        size_t used = name_next(&t, &at, name, sizeof(name));

        if (used < 2)
            break;
        if (!strchr("tTwW", name[0]) || (per_cpu && !(offset >> 31)))
            continue;
        found += symbols_add(s, per_cpu ? quad(&t, t.base_at) - 1 - (uint64_t)(int64_t)(int32_t)offset :
                             quad(&t, t.base_at) + offset, name + 1, used - 1);
    }
    return found;
}

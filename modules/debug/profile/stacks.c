/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The stacks that were seen, each once with a count; folded for flame graphs at the end. Bounded. */
#include "profile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS 16384u
#define MAX_STACKS 200000u
#define MAX_LINE 8192u

struct stack {
    struct stack *next;
    uint64_t seen;
    uint32_t hash;
    uint32_t count;
    struct frame frames[];
};
static struct stack *bucket[BUCKETS];
static uint32_t stacks;
static uint64_t samples, left_out;

static uint32_t hash_of(const struct frame *frames, unsigned count)
{
    uint64_t h = count;

    for (unsigned n = 0; n < count; n++)
        h = (h ^ frames[n].address ^ (uint64_t)frames[n].kind << 56) * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 32);
}

static bool same(const struct stack *s, const struct frame *frames, unsigned count)
{
    if (s->count != count)
        return false;
    for (unsigned n = 0; n < count; n++) {
        if (s->frames[n].address != frames[n].address || s->frames[n].kind != frames[n].kind)
            return false;
    }
    return true;
}

bool stacks_add(const struct frame *frames, unsigned count)
{
    uint32_t hash = hash_of(frames, count);
    struct stack **head = &bucket[hash % BUCKETS], *s;

    samples++;
    for (s = *head; s; s = s->next) {
        if (s->hash == hash && same(s, frames, count)) {
            s->seen++;
            return true;
        }
    }
    s = stacks < MAX_STACKS ? malloc(sizeof(*s) + count * sizeof(*frames)) : NULL;
    if (!s) {
        left_out++;
        return false;
    }
    *s = (struct stack){.next = *head, .seen = 1, .hash = hash, .count = count};
    memcpy(s->frames, frames, count * sizeof(*frames));
    *head = s;
    stacks++;
    return true;
}

uint64_t stacks_samples(void)
{
    return samples;
}

/* ---- the file ---- */

struct line {
    char *text;
    uint64_t seen;
};

static int by_text(const void *a, const void *b)
{
    return strcmp(((const struct line *)a)->text, ((const struct line *)b)->text);
}

static char *line_of(const struct stack *s, void (*name)(const struct frame *f, char *to, size_t size))
{
    char text[MAX_LINE], frame[300];
    size_t used;

    used = (size_t)snprintf(text, sizeof(text), "%s", s->frames[0].kind == FRAME_KERNEL ? "kernel" : "user");
    for (unsigned n = s->count; n-- > 0 && used < sizeof(text);) {
        name(&s->frames[n], frame, sizeof(frame));
        used += (size_t)snprintf(text + used, sizeof(text) - used, ";%s", frame);
    }
    return strdup(text);
}

static struct line *lines_of(void (*name)(const struct frame *f, char *to, size_t size))
{
    struct line *lines = calloc(stacks + 1, sizeof(*lines));
    uint32_t n = 0;

    for (unsigned b = 0; lines && b < BUCKETS; b++) {
        for (const struct stack *s = bucket[b]; s; s = s->next) {
            lines[n].text = line_of(s, name);
            lines[n].seen = s->seen;
            if (!lines[n++].text) {
                while (n--)
                    free(lines[n].text);
                free(lines);
                return NULL;
            }
        }
    }
    if (lines)
        qsort(lines, stacks, sizeof(*lines), by_text);
    return lines;
}

int stacks_write(const char *path, void (*name)(const struct frame *f, char *to, size_t size))
{
    struct line *lines = lines_of(name);
    FILE *file = lines ? fopen(path, "we") : NULL;
    int ret = lines ? file ? 0 : -errno : -ENOMEM;

    for (uint32_t n = 0; lines && n < stacks; n++) { /* equal ones become one */
        if (n + 1 < stacks && !strcmp(lines[n].text, lines[n + 1].text))
            lines[n + 1].seen += lines[n].seen;
        else if (file)
            fprintf(file, "%s %" PRIu64 "\n", lines[n].text, lines[n].seen);
    }
    if (file && left_out)
        fprintf(file, "[stacks_beyond_the_first_%u] %" PRIu64 "\n", MAX_STACKS, left_out);
    if (file && ferror(file))
        ret = -EIO;
    if (file && fclose(file) && ret == 0)
        ret = -errno;
    for (uint32_t n = 0; lines && n < stacks; n++)
        free(lines[n].text);
    free(lines);
    return ret;
}

void stacks_free(void)
{
    for (unsigned b = 0; b < BUCKETS; b++) {
        while (bucket[b]) {
            struct stack *next = bucket[b]->next;

            free(bucket[b]);
            bucket[b] = next;
        }
    }
    stacks = 0;
    samples = left_out = 0;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Symbols by address. */
#include "names.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_SYMBOLS 4000000u
#define MAX_NAME 255u

static bool grow(void **memory, size_t *room, size_t want, size_t unit)
{
    size_t more = *room ? *room * 2 : 4096;
    void *p;

    if (want <= *room)
        return true;
    more = more < want ? want : more;
    p = realloc(*memory, more * unit);
    if (!p)
        return false;
    *memory = p;
    *room = more;
    return true;
}

bool symbols_add(struct symbols *s, uint64_t address, const char *name, size_t length)
{
    length = length < MAX_NAME ? length : MAX_NAME;
    if (s->count >= MAX_SYMBOLS || !grow((void **)&s->list, &s->room, s->count + 1, sizeof(*s->list)) ||
        !grow((void **)&s->names, &s->names_room, s->names_used + length + 1, 1))
        return false;
    s->list[s->count++] = (struct symbol){address, (uint32_t)s->names_used};
    for (size_t n = 0; n < length; n++) /* ';' parts frames, ' ' the count */
        s->names[s->names_used + n] = name[n] == ';' || (unsigned char)name[n] <= ' ' ? '_' : name[n];
    s->names_used += length;
    s->names[s->names_used++] = '\0';
    s->sorted = false;
    return true;
}

static int by_address(const void *a, const void *b)
{
    const struct symbol *p = a, *q = b;

    return p->address < q->address ? -1 : p->address > q->address ? 1 : p->name < q->name ? -1 : p->name > q->name;
}

const char *symbols_find(struct symbols *s, uint64_t address, uint64_t *ret_start)
{
    size_t low = 0, high = s->count;

    if (!s->sorted && s->count)
        qsort(s->list, s->count, sizeof(*s->list), by_address);
    s->sorted = true;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->list[middle].address <= address)
            low = middle + 1;
        else
            high = middle;
    }
    if (low && ret_start)
        *ret_start = s->list[low - 1].address;
    return low ? s->names + s->list[low - 1].name : NULL;
}

void symbols_free(struct symbols *s)
{
    free(s->list);
    free(s->names);
    *s = (struct symbols){0};
}

int symbols_read_map(struct symbols *s, const char *path, struct bp_error *err)
{
    FILE *file = fopen(path, "re");
    char line[1024], name[512], type;
    unsigned long long address;
    int ret = 0;

    if (!file)
        return bp_fail(err, errno, "cannot open map '%s': %s", path, strerror(errno));
    while (ret == 0 && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%llx %c %511s", &address, &type, name) != 3)
            ret = bp_fail(err, EINVAL, "'%s' is no System.map: its lines are ADDRESS TYPE NAME", path);
        else if (strchr("tTwW", type) && !symbols_add(s, address, name, strlen(name)))
            ret = bp_fail(err, ENOMEM, "no memory for the names of '%s'", path);
    }
    if (ret == 0 && ferror(file))
        ret = bp_fail(err, EIO, "cannot read map '%s'", path);
    if (ret == 0 && !s->count)
        ret = bp_fail(err, EINVAL, "map '%s' has no names of code", path);
    fclose(file);
    return ret;
}

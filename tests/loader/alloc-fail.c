/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * To be preloaded: the allocation number ALLOC_FAIL fails, once. Without that variable allocations
 * are counted, and the count is written to the file ALLOC_COUNT at exit. Counted are malloc, calloc,
 * realloc and aligned_alloc of the program and its libraries, behind the C library's own start.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t align, size_t size);

static atomic_ulong count;
static unsigned long fails_at;
static int ready;

__attribute__((constructor)) static void read_number(void)
{
    const char *text = getenv("ALLOC_FAIL");

    fails_at = text ? strtoul(text, NULL, 10) : 0;
    ready = 1;
}

__attribute__((destructor)) static void tell_count(void)
{
    const char *path = getenv("ALLOC_COUNT");
    unsigned long n = atomic_load(&count);
    FILE *f = path ? fopen(path, "w") : NULL;

    if (f) {
        fprintf(f, "%lu\n", n);
        fclose(f);
    }
}

static int fails(void)
{
    if (!ready || atomic_fetch_add(&count, 1) + 1 != fails_at)
        return 0;
    errno = ENOMEM;
    return 1;
}

void *malloc(size_t size)
{
    return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    return fails() ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t align, size_t size)
{
    return fails() ? NULL : __libc_memalign(align, size);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* To be preloaded: the host makes no thread any more, from number THREAD_FAIL on (1 is the first). */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_uint count;

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*fn)(void *), void *opaque)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    const char *text = getenv("THREAD_FAIL");
    unsigned fails_from = text ? (unsigned)strtoul(text, NULL, 10) : 0;

    if (atomic_fetch_add(&count, 1) + 1 >= fails_from && fails_from > 0)
        return EAGAIN;
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    return real(thread, attributes, fn, opaque);
}

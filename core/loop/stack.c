/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "stack.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bp/coroutine.h>

#define KEEP 64u /* stacks that wait for the next coroutine */

/* A free stack begins with this. */
struct spare {
    struct spare *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct spare *spares;
static unsigned spare_count;

size_t bpc_stack_guard(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);

    return page > BPC_STACK_GUARD ? page : BPC_STACK_GUARD;
}

/* The link lies at the top, in the page that a coroutine touches anyway. */
static struct spare *spare_of(void *stack)
{
    return (struct spare *)((char *)stack + BP_CO_STACK - sizeof(struct spare));
}

void *bpc_stack_get(void)
{
    size_t guard = bpc_stack_guard();
    struct spare *s;
    char *p;

    pthread_mutex_lock(&lock);
    s = spares;
    if (s) {
        spares = s->next;
        spare_count--;
    }
    pthread_mutex_unlock(&lock);
    if (s)
        return (char *)s + sizeof(*s) - BP_CO_STACK;
    p = mmap(NULL, BP_CO_STACK + guard, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    if (mprotect(p, guard, PROT_NONE) < 0) {
        munmap(p, BP_CO_STACK + guard);
        return NULL;
    }
    return p + guard;
}

void bpc_stack_put(void *stack)
{
    size_t guard = bpc_stack_guard();
    struct spare *s = spare_of(stack);

    pthread_mutex_lock(&lock);
    if (spare_count < KEEP) {
        s->next = spares;
        spares = s;
        spare_count++;
        stack = NULL;
    }
    pthread_mutex_unlock(&lock);
    if (stack)
        munmap((char *)stack - guard, BP_CO_STACK + guard);
}

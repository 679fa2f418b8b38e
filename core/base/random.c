/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Random bytes for guests (bp/random.h): the host's, or with -seed those of SplitMix64 (Steele, Lea, Flood 2014). */
#include "random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <bp/random.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* what follows */
static bool seeded;
static uint64_t state;

void bpc_random_seed(uint64_t seed)
{
    pthread_mutex_lock(&lock);
    seeded = true;
    state = seed;
    pthread_mutex_unlock(&lock);
}

static uint64_t next(void)
{
    uint64_t z = state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void from_host(uint8_t *to, size_t size)
{
    while (size > 0) {
        ssize_t n = getrandom(to, size, 0);

        if (n < 0 && errno != EINTR)
            abort(); /* a kernel without it does not run us */
        to += n > 0 ? n : 0;
        size -= n > 0 ? (size_t)n : 0;
    }
}

void bp_guest_random(void *buf, size_t size)
{
    uint8_t *to = buf;

    pthread_mutex_lock(&lock);
    for (; seeded && size > 0;) {
        uint64_t word = next();
        size_t n = size < sizeof(word) ? size : sizeof(word);

        memcpy(to, &word, n);
        to += n;
        size -= n;
    }
    pthread_mutex_unlock(&lock);
    from_host(to, size);
}

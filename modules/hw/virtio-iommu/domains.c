/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains of a virtio-iommu: mappings sorted by address, looked up by halves. */
#include "domains.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_ROOM 16u

struct domain {
    uint32_t id;
    unsigned endpoints; /* 0: it is free */
    bool bypass;
    struct mapping *mappings; /* owned, sorted, without overlaps */
    uint32_t count, room;
};

struct domains {
    pthread_rwlock_t lock; /* a leaf */
    struct domain domain[DOMAINS_MOST];
    uint16_t of[ENDPOINTS]; /* index + 1; 0: none */
    uint32_t mappings;      /* of all */
};

struct domains *domains_new(void)
{
    struct domains *d = calloc(1, sizeof(*d));

    if (d)
        pthread_rwlock_init(&d->lock, NULL);
    return d;
}

static void forget(struct domains *d, struct domain *domain)
{
    d->mappings -= domain->count;
    free(domain->mappings);
    *domain = (struct domain){.id = 0};
}

void domains_clear(struct domains *d)
{
    pthread_rwlock_wrlock(&d->lock);
    for (unsigned i = 0; i < DOMAINS_MOST; i++) {
        if (d->domain[i].endpoints)
            forget(d, &d->domain[i]);
    }
    memset(d->of, 0, sizeof(d->of));
    pthread_rwlock_unlock(&d->lock);
}

bool domains_any(struct domains *d)
{
    bool any = false;

    pthread_rwlock_rdlock(&d->lock);
    for (unsigned i = 0; i < DOMAINS_MOST; i++)
        any |= d->domain[i].endpoints != 0;
    pthread_rwlock_unlock(&d->lock);
    return any;
}

void domains_free(struct domains *d)
{
    if (!d)
        return;
    domains_clear(d);
    pthread_rwlock_destroy(&d->lock);
    free(d);
}

static struct domain *find(struct domains *d, uint32_t id)
{
    for (unsigned i = 0; i < DOMAINS_MOST; i++) {
        if (d->domain[i].endpoints && d->domain[i].id == id)
            return &d->domain[i];
    }
    return NULL;
}

static void leave(struct domains *d, uint32_t endpoint)
{
    struct domain *domain = d->of[endpoint] ? &d->domain[d->of[endpoint] - 1] : NULL;

    d->of[endpoint] = 0;
    if (domain && --domain->endpoints == 0) {
        domain->endpoints = 1;
        forget(d, domain);
    }
}

uint8_t domains_attach(struct domains *d, uint32_t endpoint, uint32_t id, bool bypass)
{
    uint8_t status = STATUS_OK;
    struct domain *domain;
    unsigned n = 0;

    if (endpoint >= ENDPOINTS)
        return STATUS_NOENT;
    pthread_rwlock_wrlock(&d->lock);
    domain = find(d, id);
    if (domain && domain->bypass != bypass)
        status = STATUS_INVAL;
    while (!domain && n < DOMAINS_MOST && d->domain[n].endpoints)
        n++;
    if (!domain && n == DOMAINS_MOST)
        status = STATUS_NOMEM;
    if (!domain && status == STATUS_OK) {
        domain = &d->domain[n];
        domain->id = id;
        domain->bypass = bypass;
    }
    if (status == STATUS_OK && (!d->of[endpoint] || &d->domain[d->of[endpoint] - 1] != domain)) {
        domain->endpoints++; /* first, so that it does not go with the old place */
        leave(d, endpoint);
        d->of[endpoint] = (uint16_t)(domain - d->domain + 1);
    }
    pthread_rwlock_unlock(&d->lock);
    return status;
}

uint8_t domains_detach(struct domains *d, uint32_t endpoint, uint32_t id)
{
    uint8_t status = STATUS_INVAL;

    if (endpoint >= ENDPOINTS)
        return STATUS_NOENT;
    pthread_rwlock_wrlock(&d->lock);
    if (d->of[endpoint] && d->domain[d->of[endpoint] - 1].id == id) {
        leave(d, endpoint);
        status = STATUS_OK;
    }
    pthread_rwlock_unlock(&d->lock);
    return status;
}

/* The first mapping that ends at `addr` or later. */
static uint32_t position(const struct domain *domain, uint64_t addr)
{
    uint32_t low = 0, high = domain->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (domain->mappings[middle].last < addr)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint8_t insert(struct domains *d, struct domain *domain, uint32_t at, const struct mapping *m)
{
    if (d->mappings == MAPPINGS_MOST)
        return STATUS_NOMEM;
    if (domain->count == domain->room) {
        uint32_t room = domain->room ? domain->room * 2 : LEAST_ROOM;
        struct mapping *more = realloc(domain->mappings, room * sizeof(*more));

        if (!more)
            return STATUS_NOMEM;
        domain->mappings = more;
        domain->room = room;
    }
    memmove(domain->mappings + at + 1, domain->mappings + at, (domain->count - at) * sizeof(*m));
    domain->mappings[at] = *m;
    domain->count++;
    d->mappings++;
    return STATUS_OK;
}

uint8_t domains_map(struct domains *d, uint32_t id, const struct mapping *m)
{
    struct domain *domain;
    uint8_t status;

    pthread_rwlock_wrlock(&d->lock);
    domain = find(d, id);
    if (!domain) {
        status = STATUS_NOENT;
    } else if (domain->bypass) {
        status = STATUS_INVAL;
    } else {
        uint32_t at = position(domain, m->first);

        status = at < domain->count && domain->mappings[at].first <= m->last ? STATUS_INVAL : insert(d, domain, at, m);
    }
    pthread_rwlock_unlock(&d->lock);
    return status;
}

/* Room for many that few are left of is the host's again. */
static void give_back(struct domain *domain)
{
    uint32_t room = domain->room;
    struct mapping *less;

    while (room > LEAST_ROOM && domain->count <= room / 4)
        room /= 2;
    if (room == domain->room || !(less = realloc(domain->mappings, room * sizeof(*less))))
        return;
    domain->mappings = less;
    domain->room = room;
}

uint8_t domains_unmap(struct domains *d, uint32_t id, uint64_t first, uint64_t last)
{
    uint8_t status = STATUS_OK;
    struct domain *domain;
    uint32_t from, to;

    pthread_rwlock_wrlock(&d->lock);
    domain = find(d, id);
    if (!domain || domain->bypass) {
        status = domain ? STATUS_INVAL : STATUS_NOENT;
    } else {
        from = to = position(domain, first);
        while (to < domain->count && domain->mappings[to].first <= last)
            to++;
        /* None is split: those that reach out make the request wrong, and then nothing goes. */
        if (to > from && (domain->mappings[from].first < first || domain->mappings[to - 1].last > last)) {
            status = STATUS_RANGE;
        } else if (to > from) {
            memmove(domain->mappings + from, domain->mappings + to, (domain->count - to) * sizeof(*domain->mappings));
            domain->count -= to - from;
            d->mappings -= to - from;
            give_back(domain);
        }
    }
    pthread_rwlock_unlock(&d->lock);
    return status;
}

int domains_find(struct domains *d, uint32_t endpoint, uint64_t addr, struct mapping *ret_mapping)
{
    const struct domain *domain;
    int ret = -1;

    pthread_rwlock_rdlock(&d->lock);
    if (endpoint < ENDPOINTS && d->of[endpoint]) {
        domain = &d->domain[d->of[endpoint] - 1];
        uint32_t at = position(domain, addr);

        ret = domain->bypass ? 0 : -2;
        if (!domain->bypass && at < domain->count && domain->mappings[at].first <= addr) {
            *ret_mapping = domain->mappings[at];
            ret = 1;
        }
    }
    pthread_rwlock_unlock(&d->lock);
    return ret;
}

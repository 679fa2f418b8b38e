/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domains of a virtio-iommu: which endpoint is in which, and what is mapped in each. All [any]. */
#ifndef VIRTIO_IOMMU_DOMAINS_H
#define VIRTIO_IOMMU_DOMAINS_H

#include <stdbool.h>
#include <stdint.h>

#define DOMAINS_MOST 1024u
#define MAPPINGS_MOST (1u << 20) /* of all domains */
#define ENDPOINTS 65536u         /* PCI requester ids */

enum { STATUS_OK = 0, STATUS_IOERR = 1, STATUS_UNSUPP = 2, STATUS_DEVERR = 3, STATUS_INVAL = 4, STATUS_RANGE = 5,
       STATUS_NOENT = 6, STATUS_FAULT = 7, STATUS_NOMEM = 8 };

struct mapping {
    uint64_t first, last, target; /* addresses; the last one belongs to it */
    uint32_t flags;               /* 1 read, 2 write */
};
struct domains; /* opaque */

struct domains *domains_new(void); /* NULL: no memory */
void domains_free(struct domains *d); /* NULL is fine */
void domains_clear(struct domains *d);
bool domains_any(struct domains *d); /* an endpoint is in one */
/* Each gives a status. */
uint8_t domains_attach(struct domains *d, uint32_t endpoint, uint32_t id, bool bypass);
uint8_t domains_detach(struct domains *d, uint32_t endpoint, uint32_t id);
uint8_t domains_map(struct domains *d, uint32_t id, const struct mapping *m);
uint8_t domains_unmap(struct domains *d, uint32_t id, uint64_t first, uint64_t last);
/* 1: *ret_mapping has the address; 0: the endpoint's domain passes all; -1: it is in none; -2: nothing is mapped
 * there. */
int domains_find(struct domains *d, uint32_t endpoint, uint64_t addr, struct mapping *ret_mapping);

#endif

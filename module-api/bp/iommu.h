/* SPDX-License-Identifier: MIT */
/*
 * IOMMU regions: memory whose addresses are translated on each access, by who asks. Place one as the
 * root of a device's DMA space. [any] means without the machine lock.
 */
#ifndef BP_IOMMU_H
#define BP_IOMMU_H

#include <bp/memory.h>

BP_BEGIN_DECLS

#define BP_IOMMU_READ 1u
#define BP_IOMMU_WRITE 2u

/* What a stretch of addresses leads to. */
struct bp_iommu_entry {
    size_t size;
    struct bp_space *target; /* borrowed; what it is behind the translation */
    uint64_t address;        /* in the region: the stretch's first byte */
    uint64_t translated;     /* in the target */
    uint64_t length;         /* bytes that go on alike; the asked address is among them */
    uint32_t allowed;        /* BP_IOMMU_*; 0: nothing is mapped here */
    uint32_t requester;      /* whose it is, in events; with BP_ACCESS_REQUESTER in `flags` */
    uint32_t flags;          /* 0: everybody's */
    uint32_t reserved32;
    void *reserved[2];
};

struct bp_iommu_notifier; /* opaque */

struct bp_iommu_ops {
    size_t size;
    /* Translates `addr` for an access. *ret_entry is zeroed but for size. Returns 0 (allowed may be 0:
     * the access ends with -EFAULT), or -EIO (it ends so). It may look into guest memory. [any] */
    int (*translate)(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                     struct bp_iommu_entry *ret_entry);
    /* Somebody began (or the last one ceased) to want events; NULL: it tells always. [main] */
    void (*wanted)(void *opaque, bool wanted);
    /* Tells the notifier about everything that is mapped now, by bp_iommu_tell(). NULL: nothing is.
     * [main] */
    void (*replay)(void *opaque, struct bp_iommu_notifier *to);
    /* Answers who will keep the translation (PCI Express's ATS, a translation request): until bp_iommu_changed() says
     * that it is no longer so. *ret_entry is zeroed but for size; both directions that are allowed are told. Returns 0
     * (allowed may be 0), -ENOTSUP (this address is not for keeping: access it untranslated) or -EIO (refused).
     * NULL: -ENOTSUP for all. [any] */
    int (*ask)(void *opaque, uint64_t addr, const struct bp_access *access, struct bp_iommu_entry *ret_entry);
    void *reserved[3];
};

struct bp_region *bp_region_new_iommu(struct bp_owner *owner, const char *name, uint64_t size,
                                      const struct bp_iommu_ops *ops, void *opaque);

/* A translation to keep, of the IOMMU region at `addr` of the space; as its `ask`. -ENOTSUP: there is no such region,
 * or it does not answer. [any] */
int bp_iommu_ask(struct bp_space *space, uint64_t addr, const struct bp_access *access,
                 struct bp_iommu_entry *ret_entry);

/* Who keeps translations (vhost, VFIO, cached DMA maps) hears of what was mapped (allowed != 0) and
 * unmapped (allowed == 0) between `first` and `last`. */
struct bp_iommu_notifier *bp_iommu_notify(struct bp_owner *owner, struct bp_region *iommu,
                                          uint64_t first, uint64_t last,
                                          void (*changed)(void *opaque,
                                                          const struct bp_iommu_entry *entry),
                                          void *opaque); /* [main] */
void bp_iommu_notifier_free(struct bp_iommu_notifier *notifier); /* NULL is fine; [main] */
/* The IOMMU says what changed: to all whose range it touches. [main] or a [vcpu] inside an
 * access, under the machine lock */
void bp_iommu_changed(struct bp_region *iommu, const struct bp_iommu_entry *entry);
void bp_iommu_tell(struct bp_iommu_notifier *to, const struct bp_iommu_entry *entry); /* in replay() */

BP_END_DECLS

#endif

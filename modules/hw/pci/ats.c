// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Address Translation Services (PCI Express Base 5.0, chapter 10): a function asks the IOMMU for translations, keeps
 * them, and forgets those that are invalidated. Its accesses go to an IOMMU region of its own, which is that cache:
 * what it has leads to memory at once, what the IOMMU will not have kept goes there untranslated. An invalidation has
 * been answered when bp_iommu_changed() returns. Left out: page requests, PASIDs; an access that has found its
 * translation when an invalidation comes still ends where that led.
 */
#include <bp/iommu.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pci.h"

#define CAP_ATS 0x0fu
enum { ATS_CAPABILITY = 4, ATS_CONTROL = 6, ATS_SIZE = 8 };
#define ALIGNED 0x20u /* requests are for whole pages; 0 in bits 0 to 4: 32 invalidations are taken at once */
#define ENABLE 0x8000u
#define PAGE UINT64_C(4096)
#define KEPT 256u /* by page number */

struct kept {
    uint64_t address, length; /* 0: nothing */
    uint64_t translated;
    struct bp_space *target;
    uint32_t allowed;
};

struct pci_ats {
    struct bp_device *dev;
    unsigned at; /* the capability */
    struct bp_space *space;
    struct bp_iommu_notifier *notifier;
    uint32_t enabled;     /* atomic */
    pthread_mutex_t lock; /* a leaf; of the rest */
    uint64_t forgotten;   /* how often: what was asked for before is not kept after */
    struct kept kept[KEPT];
};

struct bp_space *pci_ats_space(const struct pci_ats *ats)
{
    return ats->space;
}

static void forget(struct pci_ats *a, uint64_t address, uint64_t length)
{
    uint64_t last = address + length - 1;

    pthread_mutex_lock(&a->lock);
    a->forgotten++;
    for (unsigned i = 0; i < KEPT; i++) {
        struct kept *k = &a->kept[i];

        if (k->length && k->address <= last && k->address + k->length - 1 >= address)
            k->length = 0;
    }
    pthread_mutex_unlock(&a->lock);
}

static void changed(void *opaque, const struct bp_iommu_entry *entry)
{
    struct pci_ats *a = opaque;

    if (!(entry->flags & BP_ACCESS_REQUESTER) || entry->requester == pci_requester(a->dev))
        forget(a, entry->address, entry->length);
}

/* False: there is nothing for such an access. *ret_seen: for keep(). */
static bool look(struct pci_ats *a, uint64_t addr, uint32_t needed, struct bp_iommu_entry *e, uint64_t *ret_seen)
{
    const struct kept *k = &a->kept[addr / PAGE % KEPT];
    bool found;

    pthread_mutex_lock(&a->lock);
    *ret_seen = a->forgotten;
    found = k->length && addr - k->address < k->length && k->allowed & needed;
    if (found) {
        e->target = k->target;
        e->address = k->address;
        e->translated = k->translated;
        e->length = k->length;
        e->allowed = k->allowed;
    }
    pthread_mutex_unlock(&a->lock);
    return found;
}

static void keep(struct pci_ats *a, uint64_t addr, const struct bp_iommu_entry *e, uint64_t seen)
{
    pthread_mutex_lock(&a->lock);
    if (seen == a->forgotten && e->allowed && a->enabled)
        a->kept[addr / PAGE % KEPT] = (struct kept){e->address, e->length, e->translated, e->target, e->allowed};
    pthread_mutex_unlock(&a->lock);
}

static void untranslated(const struct pci_ats *a, uint64_t addr, struct bp_iommu_entry *e)
{
    e->target = pci_root_dma(a->dev);
    e->address = e->translated = addr & ~(PAGE - 1);
    e->length = PAGE;
    e->allowed = BP_IOMMU_READ | BP_IOMMU_WRITE;
}

static int translate(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                     struct bp_iommu_entry *ret_entry)
{
    struct pci_ats *a = opaque;
    uint64_t seen = 0;
    int ret = -ENOTSUP;

    if (__atomic_load_n(&a->enabled, __ATOMIC_ACQUIRE)) {
        if (look(a, addr, write ? BP_IOMMU_WRITE : BP_IOMMU_READ, ret_entry, &seen))
            return 0;
        ret = bp_iommu_ask(pci_root_dma(a->dev), addr, access, ret_entry);
    }
    if (ret == 0)
        keep(a, addr, ret_entry, seen);
    if (ret != -ENOTSUP)
        return ret;
    untranslated(a, addr, ret_entry);
    return 0;
}

static const struct bp_iommu_ops ops = {.size = sizeof(ops), .translate = translate};

void pci_ats_follow(struct pci_fn *fn)
{
    struct pci_ats *a = fn->ats;
    uint32_t on = a && pci_get16(fn->config + a->at + ATS_CONTROL) & ENABLE;

    if (!a || on == a->enabled)
        return;
    __atomic_store_n(&a->enabled, on, __ATOMIC_RELEASE);
    forget(a, 0, UINT64_MAX);
}

void pci_ats_moved(struct pci_fn *fn)
{
    struct pci_ats *a = fn->ats;

    if (!a)
        return;
    bp_iommu_notifier_free(a->notifier);
    a->notifier = bp_iommu_notify(bp_device_owner(a->dev), bp_space_root(pci_root_dma(a->dev)), 0, UINT64_MAX, changed,
                                  a);
    forget(a, 0, UINT64_MAX);
}

int pci_add_ats(struct bp_device *dev, struct bp_error *err)
{
    static const struct bp_pci_field fields[] = {
        {.offset = ATS_CAPABILITY, .width = 2, .value = ALIGNED},
        {.offset = ATS_CONTROL, .width = 2, .rw = ENABLE | 0x1f}, /* and the smallest unit, which is a page here */
        BP_PCI_FIELDS_END};
    static const struct bp_pci_capability table[] = {
        {.id = CAP_ATS, .size = ATS_SIZE, .version = 1, .fields = fields}, BP_PCI_CAPABILITIES_END};
    struct pci_fn *fn = pci_fn_of(dev);
    struct pci_ats *a;
    int r;

    if (fn->size <= PCI_CONFIG_SIZE)
        return 0;
    r = pci_add_capabilities(dev, table, err);
    if (r < 0)
        return r;
    a = calloc(1, sizeof(*a));
    if (!a)
        return bp_fail(err, ENOMEM, "PCI: no memory to keep translations");
    pthread_mutex_init(&a->lock, NULL);
    a->dev = dev;
    a->at = pci_capability(dev, CAP_ATS, true);
    a->space = bp_space_new(bp_device_owner(dev), "pci-ats",
                            bp_region_new_iommu(bp_device_owner(dev), "pci-ats", UINT64_MAX, &ops, a));
    fn->ats = a;
    pci_ats_moved(fn);
    return 0;
}

void pci_ats_free(struct pci_fn *fn)
{
    struct pci_ats *a = fn->ats;

    if (!a)
        return;
    fn->ats = NULL;
    bp_iommu_notifier_free(a->notifier);
    pthread_mutex_destroy(&a->lock);
    free(a);
}

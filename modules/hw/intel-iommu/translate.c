/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * VT-d's translation (Intel Virtualization Technology for Directed I/O 3.0, chapters 3.4, 3.7, 9): root and context
 * tables of legacy mode, second-level page tables of three or four levels with pages of 4 KiB, 2 MiB and 1 GiB.
 * Nothing is cached here: every access looks, and an invalidation has nothing to drop but in devices. [any]
 */
#include "vtd.h"

#include <endian.h>
#include <errno.h>

#define PAGE UINT64_C(4096)
#define ADDRESS (((UINT64_C(1) << 52) - 1) & ~(PAGE - 1))
enum { PRESENT = 1, FAULTS_OFF = 2, READ = 1, WRITE = 2, LARGE = 0x80 };
enum { TRANSLATED = 0, WITH_DEVICE_TLB = 1, PASS_THROUGH = 2 }; /* translation types */

static bool read_entry(const struct vtd *s, uint64_t addr, uint64_t *entry, unsigned words)
{
    if (bp_space_read(s->memory, addr, entry, words * 8) < 0)
        return false;
    for (unsigned i = 0; i < words; i++)
        entry[i] = le64toh(entry[i]);
    return true;
}

/* The context of a function: 0 or why not. */
static enum vtd_fault find_context(const struct vtd *s, uint32_t requester, uint64_t context[2])
{
    uint64_t entry[2];
    uint64_t root = __atomic_load_n(&s->root, __ATOMIC_ACQUIRE) & ADDRESS;

    if (!read_entry(s, root + (requester >> 8 & 0xff) * 16, entry, 2))
        return VTD_ROOT_TABLE;
    if (!(entry[0] & PRESENT))
        return VTD_ROOT_MISSING;
    if (!read_entry(s, (entry[0] & ADDRESS) + (requester & 0xff) * 16, context, 2))
        return VTD_CONTEXT_TABLE;
    return context[0] & PRESENT ? 0 : VTD_CONTEXT_MISSING;
}

static unsigned type_of(const uint64_t context[2])
{
    return context[0] >> 2 & 3;
}

static enum vtd_fault usable_context(const struct vtd *s, uint32_t requester, uint64_t context[2])
{
    enum vtd_fault why = find_context(s, requester, context);

    if (!why && (type_of(context) > PASS_THROUGH || (type_of(context) == WITH_DEVICE_TLB && !s->device_iotlb)))
        return VTD_CONTEXT_BAD;
    return why;
}

static void identity(const struct vtd *s, uint64_t addr, uint64_t length, struct bp_iommu_entry *e)
{
    e->target = s->memory;
    e->address = e->translated = addr & ~(length - 1);
    e->length = length;
    e->allowed = BP_IOMMU_READ | BP_IOMMU_WRITE;
}

/* `needed`: one of these rights has to be there. */
static enum vtd_fault walk(const struct vtd *s, const uint64_t context[2], uint64_t addr, uint64_t needed,
                           struct bp_iommu_entry *e)
{
    unsigned width = context[1] & 7, levels = width + 2;
    uint64_t table = context[0] & ADDRESS, entry = 0;
    uint64_t allowed = READ | WRITE;

    if ((width != 1 && width != 2) || (width == 2 && s->aw_bits < 48))
        return VTD_CONTEXT_BAD;
    if (addr >> (levels * 9 + 12) || addr >> s->aw_bits)
        return VTD_BEYOND;
    for (unsigned level = levels; level > 0; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        uint64_t size = UINT64_C(1) << shift;

        if (!read_entry(s, table + (addr >> shift & 511) * 8, &entry, 1))
            return VTD_TABLE;
        allowed &= entry;
        if (!(allowed & needed))
            return needed == WRITE ? VTD_WRITE : VTD_READ;
        if (level > 3 && entry & LARGE)
            return VTD_PT_RESERVED;
        if (level == 1 || entry & LARGE) {
            e->target = s->memory;
            e->address = addr & ~(size - 1);
            e->translated = entry & ADDRESS & ~(size - 1);
            e->length = size;
            e->allowed = (allowed & READ ? BP_IOMMU_READ : 0) | (allowed & WRITE ? BP_IOMMU_WRITE : 0);
            return 0;
        }
        table = entry & ADDRESS;
    }
    return VTD_TABLE;
}

static int translate(void *opaque, uint64_t addr, const struct bp_access *access, bool write,
                     struct bp_iommu_entry *ret_entry)
{
    struct vtd *s = opaque;
    uint64_t context[2] = {0, 0};
    enum vtd_fault why;

    if (write && addr >> 20 == VTD_IRQ_FIRST >> 20 && __atomic_load_n(&s->remaps, __ATOMIC_ACQUIRE)) {
        identity(s, addr, 1u << 20, ret_entry);
        ret_entry->target = s->messages;
        return 0;
    }
    if (!__atomic_load_n(&s->enabled, __ATOMIC_ACQUIRE)) {
        identity(s, addr, UINT64_C(1) << 63, ret_entry);
        return 0;
    }
    if (write && addr >> 20 == VTD_IRQ_FIRST >> 20) {
        identity(s, addr, 1u << 20, ret_entry);
        return 0;
    }
    why = usable_context(s, access->requester, context);
    ret_entry->requester = access->requester;
    ret_entry->flags = BP_ACCESS_REQUESTER;
    if (!why && type_of(context) == PASS_THROUGH)
        identity(s, addr, UINT64_C(1) << 63, ret_entry);
    else if (!why)
        why = walk(s, context, addr, write ? WRITE : READ, ret_entry);
    if (why && !(context[0] & FAULTS_OFF))
        vtd_fault(s, access->requester, addr, write, why, VTD_UNTRANSLATED);
    return 0; /* allowed is 0 then */
}

/*
 * Translation requests (4.1): what is not mapped is an answer and no fault. Functions whose context lets everything
 * pass through keep nothing: there is nothing to gain, and drivers leave their ATS on.
 */
static int ask(void *opaque, uint64_t addr, const struct bp_access *access, struct bp_iommu_entry *ret_entry)
{
    struct vtd *s = opaque;
    uint64_t context[2] = {0, 0};
    enum vtd_fault why;

    if (!s->device_iotlb || addr >> 20 == VTD_IRQ_FIRST >> 20 || !__atomic_load_n(&s->enabled, __ATOMIC_ACQUIRE))
        return -ENOTSUP;
    why = usable_context(s, access->requester, context);
    if (!why && type_of(context) == PASS_THROUGH)
        return -ENOTSUP;
    if (!why && type_of(context) != WITH_DEVICE_TLB)
        why = VTD_TYPE_BLOCKS;
    if (!why)
        why = walk(s, context, addr, READ | WRITE, ret_entry);
    if (!why || why == VTD_READ)
        return 0;
    if (!(context[0] & FAULTS_OFF))
        vtd_fault(s, access->requester, addr, false, why, VTD_TRANSLATION);
    return -EIO;
}

const struct bp_iommu_ops vtd_ops = {.size = sizeof(vtd_ops), .translate = translate, .ask = ask};

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The dirty ring (KVM_CAP_DIRTY_LOG_RING): each vCPU has a list of the pages that were written, which is as long as
 * was asked for, in place of a bitmap for each slot. Its entries go to the memory core's logs when somebody looks, when
 * a ring is full, and before a slot goes. Everything here under the machine lock.
 */
#include "kvm.h"
#include <bp/log.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifdef KVM_CAP_DIRTY_LOG_RING_ACQ_REL
static unsigned ring_cap(const struct kvm_machine *m)
{
    return kvm_cap(m, KVM_CAP_DIRTY_LOG_RING_ACQ_REL) ? KVM_CAP_DIRTY_LOG_RING_ACQ_REL : KVM_CAP_DIRTY_LOG_RING;
}
#else
static unsigned ring_cap(const struct kvm_machine *m)
{
    (void)m;
    return KVM_CAP_DIRTY_LOG_RING;
}
#endif

int kvm_ring_open(struct kvm_machine *m, struct bp_error *err)
{
    uint32_t most = (uint32_t)kvm_cap(m, ring_cap(m)) / (uint32_t)sizeof(struct kvm_dirty_gfn);
    struct kvm_enable_cap cap = {.cap = ring_cap(m), .args = {m->dirty_ring * sizeof(struct kvm_dirty_gfn)}};

    if (m->dirty_ring == 0)
        return 0;
    if (most == 0)
        return bp_fail(err, ENOTSUP, "dirty-ring-size=%u: the host's kernel has no dirty rings (Linux 5.11 and later "
                       "have them); 0 uses its bitmaps", m->dirty_ring);
    if (m->dirty_ring < 1024 || m->dirty_ring > most || m->dirty_ring & (m->dirty_ring - 1))
        return bp_fail(err, EINVAL, "dirty-ring-size=%u: it is a power of two from 1024 to %u, or 0: bitmaps",
                       m->dirty_ring, most);
    if (ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0)
        return bp_fail(err, errno, "dirty-ring-size=%u: the kernel refuses it: %s", m->dirty_ring, strerror(errno));
    return 0;
}

static size_t ring_bytes(const struct kvm_machine *m)
{
    return m->dirty_ring * sizeof(struct kvm_dirty_gfn);
}

int kvm_ring_map(struct kvm_vcpu *c, struct bp_error *err)
{
    void *ring;

    if (c->m->dirty_ring == 0)
        return 0;
    ring = mmap(NULL, ring_bytes(c->m), PROT_READ | PROT_WRITE, MAP_SHARED, c->fd,
                (off_t)KVM_DIRTY_LOG_PAGE_OFFSET * sysconf(_SC_PAGESIZE));
    if (ring == MAP_FAILED)
        return bp_fail(err, errno, "the dirty ring of processor %u cannot be mapped: %s", bp_cpu_index(c->cpu),
                       strerror(errno));
    c->ring = ring;
    return 0;
}

void kvm_ring_unmap(struct kvm_vcpu *c)
{
    if (c->ring)
        munmap(c->ring, ring_bytes(c->m));
    c->ring = NULL;
}

static void mark(struct kvm_machine *m, uint32_t slot, uint64_t page)
{
    for (unsigned n = 0; n < m->count; n++) {
        const struct kvm_slot *s = &m->slots[n];

        if (s->number == slot && page < s->length / PAGE) {
            bp_region_mark_dirty(s->region, s->offset + page * PAGE, PAGE);
            return;
        }
    }
}

static void empty(struct kvm_vcpu *c)
{
    for (unsigned n = 0; n < c->m->dirty_ring; n++) {
        struct kvm_dirty_gfn *e = &c->ring[c->ring_at % c->m->dirty_ring];

        if (!(__atomic_load_n(&e->flags, __ATOMIC_ACQUIRE) & KVM_DIRTY_GFN_F_DIRTY))
            break;
        mark(c->m, e->slot & 0xffff, e->offset);
        __atomic_store_n(&e->flags, KVM_DIRTY_GFN_F_RESET, __ATOMIC_RELEASE);
        c->ring_at++;
    }
}

void kvm_ring_empty(struct kvm_machine *m)
{
    int ret;

    for (struct kvm_vcpu *c = m->first; c; c = c->next) {
        if (c->ring)
            empty(c);
    }
    do { /* it ends early for a signal, such as a kick */
        ret = ioctl(m->vm, KVM_RESET_DIRTY_RINGS, 0);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0)
        bp_warn("kvm: KVM_RESET_DIRTY_RINGS: %s", strerror(errno));
}

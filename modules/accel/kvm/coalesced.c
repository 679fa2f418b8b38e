/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Writes to regions that let them be late (bp_region_ops.coalesced) do not leave the guest: the kernel keeps them in a
 * ring that is one for the machine (KVM_REGISTER_COALESCED_MMIO, Documentation/virt/kvm/api 4.116), and they reach the
 * memory core, in their order, when a processor has left the guest, before what it left it for, and when somebody asks
 * for them. A ring that is full leaves the guest as ever.
 */
#include "kvm.h"
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <string.h>
#include <sys/ioctl.h>

#define HOST_PAGE 4096u
/* As the kernel counts them: what fits into a page. */
#define MOST ((HOST_PAGE - sizeof(struct kvm_coalesced_mmio_ring)) / sizeof(struct kvm_coalesced_mmio))

void kvm_coalesced_map(struct kvm_vcpu *c)
{
    int page = kvm_cap(c->m, KVM_CAP_COALESCED_MMIO);

    if (page > 0 && (page + 1) * (long)HOST_PAGE <= c->m->run_size)
        c->coalesced = (struct kvm_coalesced_mmio_ring *)(void *)((uint8_t *)c->run + (unsigned)page * HOST_PAGE);
    c->m->coalesces = c->coalesced != NULL;
}

static void zone(const struct kvm_machine *m, unsigned long request, const struct bp_section *s)
{
    /* Of one that is too large a part comes the long way. */
    struct kvm_coalesced_mmio_zone z = {.addr = s->start,
                                        .size = s->length < 1u << 30 ? (uint32_t)s->length : 1u << 30};

    if (m->coalesces && s->coalesced)
        (void)ioctl(m->vm, request, &z); /* without it writes come one by one */
}

void kvm_coalesced_added(const struct kvm_machine *m, const struct bp_section *section)
{
    zone(m, KVM_REGISTER_COALESCED_MMIO, section);
}

void kvm_coalesced_removed(const struct kvm_machine *m, const struct bp_section *section)
{
    zone(m, KVM_UNREGISTER_COALESCED_MMIO, section);
}

/* Each is out of the ring before it is made: what it leads to may come here again. */
static void take_all(struct kvm_machine *m, struct kvm_coalesced_mmio_ring *ring)
{
    uint32_t first;

    while ((first = ring->first) != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE) && first < MOST) {
        struct kvm_coalesced_mmio one = ring->coalesced_mmio[first];
        uint64_t value = 0;

        __atomic_store_n(&ring->first, (uint32_t)((first + 1) % MOST), __ATOMIC_RELEASE);
        kvm_count(&m->counts[KVM_COUNT_COALESCED], 1);
        one.len = one.len <= sizeof(one.data) ? one.len : sizeof(one.data);
        memcpy(&value, one.data, one.len);
        if (one.len == 1 || one.len == 2 || one.len == 4 || one.len == 8)
            bp_space_store(m->space, one.phys_addr, one.len, value);
        else
            bp_space_write(m->space, one.phys_addr, one.data, one.len);
    }
}

void kvm_coalesced_take(struct kvm_vcpu *c)
{
    struct kvm_coalesced_mmio_ring *ring = c ? c->coalesced : NULL;

    if (!ring || __atomic_load_n(&ring->first, __ATOMIC_RELAXED) == __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
        return;
    bp_machine_lock(bp_cpu_machine(c->cpu));
    take_all(c->m, ring);
    bp_machine_unlock(bp_cpu_machine(c->cpu));
}

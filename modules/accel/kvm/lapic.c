/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Local APICs in the kernel, with kernel-irqchip=on (chips.c has the rest of that) and split (KVM_CAP_SPLIT_IRQCHIP:
 * I/O APIC and 8259 are ours). Messages go there by KVM_SIGNAL_MSI; with split, the kernel has a copy of what the pins
 * of the I/O APIC send (KVM_SET_GSI_ROUTING), from which it knows which EOIs to tell (KVM_EXIT_IOAPIC_EOI). HLT,
 * waiting for a SIPI, and IPIs stay in the kernel.
 */
#include "kvm.h"
#include <bp/log.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_TSC_DEADLINE 0x6e0u
#define REG_TIMER 0x32u

static struct kvm_machine *machine_of(const struct bp_x86_cpu *x)
{
    return kvm_of(x->cpu)->m;
}

static void message(struct bp_x86_cpu *x, uint64_t address, uint32_t data)
{
    struct kvm_machine *m = machine_of(x);
    struct kvm_msi msi = {.address_lo = (uint32_t)address, .address_hi = (uint32_t)(address >> 32), .data = data};

    kvm_count(&m->counts[KVM_COUNT_MESSAGES], 1);
    if (ioctl(m->vm, KVM_SIGNAL_MSI, &msi) < 0)
        bp_guest_error("kvm-message", "an interrupt message to nobody: %#llx, %#x", (unsigned long long)address, data);
}

static void pin(struct bp_x86_cpu *x, unsigned number, uint64_t address, uint32_t data)
{
    struct kvm_machine *m = machine_of(x);
    int ret;

    if (number >= KVM_PINS || m->irqchip == IRQCHIP_ON)
        return; /* its own I/O APIC has told it */
    ret = kvm_route_pin(m, number, address, data);
    if (ret < 0)
        bp_warn("kvm: pin %u of the I/O APIC: KVM_SET_GSI_ROUTING: %s", number, strerror(-ret));
}

static const struct bp_x86_lapic_ops ops = {.message = message, .pin = pin, .keeper = kvm_keeper};
static const struct bp_x86_lapic_ops wide_ops = {.message = message, .pin = pin, .keeper = kvm_keeper, .wide = true};

const struct bp_x86_lapic_ops *kvm_lapic_ops(const struct kvm_machine *m)
{
    return m->wide_ids ? &wide_ops : &ops;
}

int kvm_lapic_widen(struct kvm_machine *m, uint32_t last, struct bp_error *err)
{
    const uint64_t flags = KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK;
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X2APIC_API, .args = {flags}};
    int most = kvm_cap(m, KVM_CAP_MAX_VCPU_ID);

    if (most > 0 && last >= (uint32_t)most)
        return bp_fail(err, ENOTSUP, "-smp: the last processor has APIC id %u, and this host's KVM knows those up to "
                       "%d", last, most - 1);
    if (last < 255 || m->wide_ids || m->irqchip == IRQCHIP_OFF)
        return 0;
    if (((uint64_t)kvm_cap(m, KVM_CAP_X2APIC_API) & flags) != flags || ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0)
        return bp_fail(err, ENOTSUP, "-smp: the last processor has APIC id %u, and this host's KVM has no ids of 32 "
                       "bits (KVM_CAP_X2APIC_API); 255 processors are possible", last);
    m->wide_ids = true;
    return 0;
}

static bool has_split(const struct kvm_machine *m)
{
    return kvm_cap(m, KVM_CAP_SPLIT_IRQCHIP) && kvm_cap(m, KVM_CAP_SIGNAL_MSI) && kvm_cap(m, KVM_CAP_MP_STATE);
}

int kvm_lapic_open(struct kvm_machine *m, struct bp_error *err)
{
    struct kvm_enable_cap cap = {.cap = KVM_CAP_SPLIT_IRQCHIP, .args = {KVM_PINS}};

    if (m->irqchip == IRQCHIP_AUTO)
        m->irqchip = kvm_has_chips(m) ? IRQCHIP_ON : has_split(m) ? IRQCHIP_SPLIT : IRQCHIP_OFF;
    if (m->irqchip == IRQCHIP_OFF)
        return 0;
    if (m->irqchip == IRQCHIP_ON)
        return kvm_chips_open(m, err);
    if (!has_split(m))
        return bp_fail(err, ENOTSUP, "kernel-irqchip=split: the host's kernel has no local APICs to share; use "
                       "kernel-irqchip=off");
    if (ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0)
        return bp_fail(err, errno, "kernel-irqchip=split: KVM_CAP_SPLIT_IRQCHIP: %s", strerror(errno));
    return 0;
}

/* ---- a local APIC's state ---- */

static int tell(const struct kvm_vcpu *c, const char *name)
{
    int ret = -errno;

    bp_warn("kvm: CPU %u: %s: %s", bp_cpu_index(c->cpu), name, strerror(-ret));
    return ret;
}

static bool counts_to_deadline(const struct bp_x86_lapic_image *image)
{
    return (image->reg[REG_TIMER] >> 17 & 3) == 2;
}

static uint64_t deadline(struct kvm_vcpu *c, uint64_t set, bool write)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } list = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC_DEADLINE, .data = set}};

    return ioctl(c->fd, write ? KVM_SET_MSRS : KVM_GET_MSRS, &list) == 1 ? list.entry.data : 0;
}

int kvm_get_lapic(struct kvm_vcpu *c)
{
    struct bp_x86_lapic_image *image = &c->lapic;
    struct kvm_lapic_state k;
    struct kvm_mp_state mp;
    struct kvm_sregs sregs;

    if (!c->x->lapic || !c->x->apic)
        return 0;
    if (ioctl(c->fd, KVM_GET_MP_STATE, &mp) < 0)
        return tell(c, "KVM_GET_MP_STATE");
    c->x->wait_for_sipi = mp.mp_state == KVM_MP_STATE_UNINITIALIZED || mp.mp_state == KVM_MP_STATE_INIT_RECEIVED;
    c->x->halted = c->x->wait_for_sipi || mp.mp_state == KVM_MP_STATE_HALTED;
    if (ioctl(c->fd, KVM_GET_LAPIC, &k) < 0)
        return tell(c, "KVM_GET_LAPIC");
    if (ioctl(c->fd, KVM_GET_SREGS, &sregs) < 0)
        return tell(c, "KVM_GET_SREGS");
    for (unsigned n = 0; n < BP_COUNT(image->reg); n++)
        memcpy(&image->reg[n], k.regs + n * 16, 4);
    image->base = sregs.apic_base;
    image->tsc_deadline = counts_to_deadline(image) ? deadline(c, 0, false) : 0;
    c->x->apic->set_image(c->x->apic_opaque, image);
    c->x->apic->get_image(c->x->apic_opaque, image); /* as it comes back when nobody changes it */
    c->lapic_known = true;
    return 0;
}

/* Time goes on for a timer that nobody touched. */
static bool same(struct bp_x86_lapic_image a, const struct bp_x86_lapic_image *b)
{
    a.reg[0x39] = b->reg[0x39];
    return !memcmp(&a, b, sizeof(a));
}

/* Only what was changed: messages that came meanwhile are in the kernel's. Who waits for a SIPI may have had its INIT
 * by now: the kernel starts it only where that is known. */
int kvm_put_lapic(struct kvm_vcpu *c)
{
    struct kvm_mp_state mp = {.mp_state = c->x->wait_for_sipi ? KVM_MP_STATE_INIT_RECEIVED : c->x->halted ?
                              KVM_MP_STATE_HALTED : KVM_MP_STATE_RUNNABLE};
    struct bp_x86_lapic_image image;
    struct kvm_lapic_state k = {{0}};

    if (!c->x->lapic || !c->x->apic)
        return 0;
    c->x->apic->get_image(c->x->apic_opaque, &image);
    if (!c->lapic_known || !same(image, &c->lapic)) {
        for (unsigned n = 0; n < BP_COUNT(image.reg); n++)
            memcpy(k.regs + n * 16, &image.reg[n], 4);
        if (ioctl(c->fd, KVM_SET_LAPIC, &k) < 0)
            return tell(c, "KVM_SET_LAPIC");
        if (counts_to_deadline(&image))
            deadline(c, image.tsc_deadline, true);
        c->lapic = image;
        c->lapic_known = true;
    }
    return ioctl(c->fd, KVM_SET_MP_STATE, &mp) < 0 ? tell(c, "KVM_SET_MP_STATE") : 0;
}

/* ---- the devices in the kernel's place ---- */

static void take(struct kvm_vcpu *c)
{
    struct bp_x86_lapic_image image;

    kvm_sync(c);
    c->changed = true; /* all goes back in the end */
    c->x->lapic = NULL;
    c->x->apic->get_image(c->x->apic_opaque, &image);
    c->x->apic->set_image(c->x->apic_opaque, &image); /* what waits there is asked for from now on */
}

static void give(struct kvm_vcpu *c)
{
    struct bp_x86_lapic_image image;

    c->changed = true;
    c->lapic_known = false;
    c->x->lapic = kvm_lapic_ops(c->m);
    c->x->apic->get_image(c->x->apic_opaque, &image);
    c->x->apic->set_image(c->x->apic_opaque, &image);
    (void)kvm_put_state(c); /* at once: what comes to the kernel's from now on is not written over */
}

void kvm_lapics_move(struct kvm_machine *m, bool here)
{
    if (m->irqchip == IRQCHIP_OFF || m->lapics_here == here)
        return;
    if (here) { /* nothing comes to the kernel's any more */
        kvm_messages_move(m, true);
    } else {
        m->lapics_here = false;
        kvm_chips_move(m);
    }
    for (struct kvm_vcpu *c = m->first; c; c = c->next) {
        if (c->x->apic && here)
            take(c);
        else if (c->x->apic)
            give(c);
    }
    if (here) {
        m->lapics_here = true;
        kvm_chips_move(m);
    } else {
        kvm_messages_move(m, false);
    }
}

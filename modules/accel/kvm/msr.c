/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Model-specific registers between bp_x86_cpu and the kernel. One that this kernel, or this guest's processor, does
 * not have is left out once it could not be read. The time stamp counter is kept as its distance from the virtual
 * clock, and written only when somebody changed that: counters of several processors stay together.
 */
#include "kvm.h"
#include <bp/log.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#define MSR_TSC 0x10u
#define BANK_MSRS BP_COUNT(((struct bp_x86_cpu *)0)->mc_bank)

static const struct {
    uint32_t index;
    uint32_t offset;
} simple[] = {
#define M(INDEX, FIELD) {INDEX, offsetof(struct bp_x86_cpu, FIELD)}
    M(0x174, sysenter_cs), M(0x175, sysenter_esp), M(0x176, sysenter_eip), M(0xc0000081, star), M(0xc0000082, lstar),
    M(0xc0000083, cstar), M(0xc0000084, fmask), M(0xc0000102, kernel_gs_base), M(0xc0000103, tsc_aux), M(0x277, pat),
    M(0x1a0, misc_enable), M(0x1d9, debugctl), M(0x3a, feature_control), M(0x48, spec_ctrl), M(0x3b, tsc_adjust),
    M(0xda0, xss), M(0x17a, mcg_status), M(0x17b, mcg_ctl), M(0x2ff, mtrr_def_type), M(0x250, mtrr_fixed[0]),
    M(0x258, mtrr_fixed[1]), M(0x259, mtrr_fixed[2]), M(0x268, mtrr_fixed[3]), M(0x269, mtrr_fixed[4]),
    M(0x26a, mtrr_fixed[5]), M(0x26b, mtrr_fixed[6]), M(0x26c, mtrr_fixed[7]), M(0x26d, mtrr_fixed[8]),
    M(0x26e, mtrr_fixed[9]), M(0x26f, mtrr_fixed[10]),
#undef M
};

struct list {
    struct kvm_msrs head;
    struct kvm_msr_entry entry[KVM_MSRS_MAX];
    uint64_t *field[KVM_MSRS_MAX];
};

bool kvm_msr_is_state(uint32_t index)
{
    for (unsigned n = 0; n < BP_COUNT(simple); n++) {
        if (simple[n].index == index)
            return true;
    }
    return (index >= 0x200 && index < 0x210) || (index >= 0x400 && index < 0x400 + BANK_MSRS);
}

static bool is_refused(const struct kvm_vcpu *c, uint32_t index)
{
    for (unsigned n = 0; n < c->refused_count; n++) {
        if (c->refused[n] == index)
            return true;
    }
    return false;
}

static void add(struct kvm_vcpu *c, struct list *l, uint32_t index, uint64_t *field)
{
    if (is_refused(c, index) || l->head.nmsrs == KVM_MSRS_MAX)
        return;
    l->field[l->head.nmsrs] = field;
    l->entry[l->head.nmsrs++] = (struct kvm_msr_entry){.index = index, .data = *field};
}

static void fill(struct kvm_vcpu *c, struct list *l)
{
    struct bp_x86_cpu *x = c->x;

    l->head.nmsrs = 0;
    for (unsigned n = 0; n < BP_COUNT(simple); n++)
        add(c, l, simple[n].index, (uint64_t *)((uint8_t *)x + simple[n].offset));
    for (unsigned n = 0; n < 8; n++) {
        add(c, l, 0x200 + n * 2, &x->mtrr_base[n]);
        add(c, l, 0x201 + n * 2, &x->mtrr_mask[n]);
    }
    for (unsigned n = 0; n < BANK_MSRS; n++)
        add(c, l, 0x400 + n, &x->mc_bank[n]);
}

static void refuse(struct kvm_vcpu *c, uint32_t index)
{
    if (!is_refused(c, index) && c->refused_count < KVM_MSRS_MAX)
        c->refused[c->refused_count++] = index;
}

/* KVM_GET_MSRS and KVM_SET_MSRS end at the first one that they do not know. */
static int all(struct kvm_vcpu *c, struct list *l, unsigned long request)
{
    unsigned at = 0;

    while (at < l->head.nmsrs) {
        struct {
            struct kvm_msrs head;
            struct kvm_msr_entry entry[KVM_MSRS_MAX];
        } rest = {.head = {.nmsrs = l->head.nmsrs - at}};
        int done;

        memcpy(rest.entry, l->entry + at, rest.head.nmsrs * sizeof(rest.entry[0]));
        done = ioctl(c->fd, request, &rest);
        if (done < 0) {
            bp_warn("kvm: CPU %u: model-specific registers: %s", bp_cpu_index(c->cpu), strerror(errno));
            return -errno;
        }
        memcpy(l->entry + at, rest.entry, (unsigned)done * sizeof(rest.entry[0]));
        at += (unsigned)done;
        if (at < l->head.nmsrs) {
            if (request == KVM_GET_MSRS)
                refuse(c, l->entry[at].index);
            l->field[at++] = NULL;
        }
    }
    return 0;
}

static int get_tsc(struct kvm_vcpu *c)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC}};

    if (ioctl(c->fd, KVM_GET_MSRS, &one) != 1)
        return -EIO;
    c->x->tsc_offset = 0;
    c->x->tsc_offset = one.entry.data - bp_x86_tsc(c->x);
    c->tsc_offset = c->x->tsc_offset;
    return 0;
}

static int put_tsc(struct kvm_vcpu *c)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } one = {.head = {.nmsrs = 1}, .entry = {.index = MSR_TSC, .data = bp_x86_tsc(c->x)}};

    if (c->x->tsc_offset == c->tsc_offset)
        return 0;
    if (ioctl(c->fd, KVM_SET_MSRS, &one) != 1)
        return -EIO;
    c->tsc_offset = c->x->tsc_offset;
    return 0;
}

int kvm_get_msrs(struct kvm_vcpu *c)
{
    struct list l;
    int ret;

    fill(c, &l);
    ret = all(c, &l, KVM_GET_MSRS);
    for (unsigned n = 0; ret == 0 && n < l.head.nmsrs; n++) {
        if (l.field[n])
            *l.field[n] = l.entry[n].data;
    }
    return ret == 0 ? get_tsc(c) : ret;
}

int kvm_put_msrs(struct kvm_vcpu *c)
{
    struct list l;
    int ret;

    fill(c, &l);
    ret = all(c, &l, KVM_SET_MSRS);
    return ret == 0 ? put_tsc(c) : ret;
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Model-specific registers that are not the kernel's to answer (KVM_CAP_X86_USER_SPACE_MSR, KVM_X86_SET_MSR_FILTER):
 * those that it does not know, those that hold what the machine says under every accelerator, and those that belong to
 * what no model announces here (interfaces of hypervisors, performance counters, hosts' own). The interpreter answers
 * for them, which raises #GP for what it does not know either. A kernel without the two is asked for none.
 */
#include "kvm.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#define WIDEST 0x800u /* registers of one range */

struct span {
    uint32_t first, last;
};

static const struct {
    uint32_t base, count;
} ranges[] = {{0, WIDEST}, {0x40000000, 0x200}, {0x4b564d00, 0x100}, {0xc0010000, 0x220}, {0xc0011000, 0x40}};

/* Of no model here. */
static const struct span hidden[] = {
    {0x0, 0x1}, {0x2a, 0x2a}, {0x2c, 0x2c}, {0x34, 0x34}, {0xcd, 0xce}, {0x11e, 0x11e}, {0x140, 0x140}, {0x1db, 0x1de},
    {0x1fc, 0x1fc}, {0x610, 0x64f},                                      /* Intel's */
    {0x11, 0x12}, {0x40000000, 0x400001ff}, {0x4b564d00, 0x4b564dff},    /* interfaces of KVM and Hyper-V */
    {0xc001001b, 0xc001001b}, {0xc0010058, 0xc0010058}, {0xc001011f, 0xc001011f}, {0xc001102a, 0xc001102c}, /* AMD's */
};
/* That the machine says. */
static const struct span fixed[] = {
    {0x17, 0x17}, {0x8b, 0x8b}, {0xfe, 0xfe}, {0x179, 0x179}, {0x198, 0x19c}, {0x606, 0x606}, {0xc0010010, 0xc0010010},
    {0xc0010015, 0xc0010015}, {0xc001001f, 0xc001001f}, {0xc0010055, 0xc0010055}, {0xc0010112, 0xc0010113},
    {0xc0010117, 0xc0010117}, {0xc0010140, 0xc0010141}, {0xc0011022, 0xc0011023},
};
static const struct span counters[] = {
    {0xc1, 0xc8}, {0x186, 0x18d}, {0x309, 0x30c}, {0x329, 0x329}, {0x345, 0x345}, {0x38d, 0x390}, {0x3f1, 0x3f2},
    {0x4c1, 0x4c8}, {0xc0010000, 0xc0010007}, {0xc0010200, 0xc001020b},
};

struct filter {
    struct kvm_msr_filter k;
    uint64_t bits[BP_COUNT(ranges)][WIDEST / 64];
};

static void deny(struct filter *f, uint32_t first, uint32_t last)
{
    for (unsigned r = 0; r < BP_COUNT(ranges); r++) {
        for (uint32_t n = first; n <= last; n++) {
            if (n - ranges[r].base < ranges[r].count)
                f->bits[r][(n - ranges[r].base) / 64] &= ~((uint64_t)1 << (n - ranges[r].base) % 64);
        }
    }
}

static void deny_all(struct filter *f, const struct span *spans, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        deny(f, spans[n].first, spans[n].last);
}

static bool announces_counters(const struct bp_x86_cpu *x)
{
    for (uint32_t n = 0; n < x->cpuid_count; n++) {
        if (x->cpuid[n].leaf == 0xa && x->cpuid[n].eax & 0xff)
            return true;
    }
    return false;
}

static void fill(struct filter *f, const struct bp_x86_cpu *x)
{
    memset(f, 0, sizeof(*f));
    memset(f->bits, 0xff, sizeof(f->bits));
    for (unsigned r = 0; r < BP_COUNT(ranges); r++)
        f->k.ranges[r] = (struct kvm_msr_filter_range){.flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                                                       .base = ranges[r].base, .nmsrs = ranges[r].count,
                                                       .bitmap = (uint8_t *)f->bits[r]};
    deny_all(f, hidden, BP_COUNT(hidden));
    deny_all(f, fixed, BP_COUNT(fixed));
    if (!announces_counters(x))
        deny_all(f, counters, BP_COUNT(counters));
    if (!(x->features[BP_X86_FW_7_EDX] >> 29 & 1)) { /* IA32_ARCH_CAPABILITIES, and what it announces */
        deny(f, 0x10a, 0x10a);
        deny(f, 0x122, 0x122);
    }
    if (!(x->features[BP_X86_FW_1_ECX] >> 24 & 1))
        deny(f, 0x6e0, 0x6e0);
}

/* Before the first processor runs: they are all of one model. */
void kvm_msr_filter(struct kvm_machine *m, const struct bp_x86_cpu *x)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X86_USER_SPACE_MSR,
        .args = {KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER}};
    struct filter f;

    if (m->filters || !kvm_cap(m, KVM_CAP_X86_USER_SPACE_MSR) || !kvm_cap(m, KVM_CAP_X86_MSR_FILTER))
        return;
    fill(&f, x);
    m->filters = ioctl(m->vm, KVM_ENABLE_CAP, &cap) == 0 && ioctl(m->vm, KVM_X86_SET_MSR_FILTER, &f.k) == 0;
}

/* ---- exits ---- */

static int one(const struct kvm_vcpu *c, unsigned long request, uint32_t index, uint64_t *value)
{
    struct {
        struct kvm_msrs head;
        struct kvm_msr_entry entry;
    } list = {.head = {.nmsrs = 1}, .entry = {.index = index, .data = *value}};

    if (ioctl(c->fd, request, &list) != 1)
        return -EINVAL;
    *value = list.entry.data;
    return 0;
}

/* What the kernel keeps of bp_x86_cpu is newest there, also where a guest may not reach it. */
static int read_one(struct kvm_vcpu *c, struct vcpu *v, uint32_t index, uint64_t *ret_value)
{
    int ret = msr_read(v, index, ret_value);

    if (ret == 0 && kvm_msr_is_state(index))
        (void)one(c, KVM_GET_MSRS, index, ret_value);
    return ret;
}

static int write_one(struct kvm_vcpu *c, struct vcpu *v, uint32_t index, uint64_t value)
{
    uint64_t is = 0;
    int ret = msr_write(v, index, value);

    if (ret == 0 && kvm_msr_is_state(index) && one(c, KVM_GET_MSRS, index, &is) == 0 && is != value)
        ret = one(c, KVM_SET_MSRS, index, &value);
    return ret;
}

/* A value that the kernel does not take, of a register that is its own, is wrong. */
static bool is_ours(const struct kvm_run *run)
{
    return run->msr.reason != KVM_MSR_EXIT_REASON_INVAL || kvm_msr_is_state(run->msr.index);
}

void kvm_access_msr(struct kvm_vcpu *c, bool write)
{
    struct kvm_run *run = c->run;
    struct vcpu *v = is_ours(run) ? kvm_soft_aside(c) : NULL;
    uint64_t value = run->msr.data;
    int ret = -EINVAL;

    if (v)
        ret = write ? write_one(c, v, run->msr.index, value) : read_one(c, v, run->msr.index, &value);
    run->msr.error = ret < 0;
    if (!write)
        run->msr.data = ret < 0 ? 0 : value;
}

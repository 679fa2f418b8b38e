/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a virtual machine is told before it has vCPUs: power states, notify exits, shadow memory, dirty rings. */
#include "kvm.h"
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static int set_power_states(struct kvm_machine *m, struct bp_error *err)
{
    const uint32_t wanted = KVM_X86_DISABLE_EXITS_MWAIT | KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE |
                            KVM_X86_DISABLE_EXITS_CSTATE;
    struct kvm_enable_cap cap = {.cap = KVM_CAP_X86_DISABLE_EXITS};

    if (!m->cpu_pm)
        return 0;
    m->pm_exits = (uint32_t)kvm_cap(m, KVM_CAP_X86_DISABLE_EXITS) & wanted;
    cap.args[0] = m->pm_exits;
    if (!m->pm_exits)
        return bp_fail(err, ENOTSUP, "cpu-pm=on: this kernel's KVM keeps power states to itself (it has no "
                       "KVM_CAP_X86_DISABLE_EXITS); use cpu-pm=off");
    if (ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0)
        return bp_fail(err, errno, "cpu-pm=on: KVM_CAP_X86_DISABLE_EXITS: %s", strerror(errno));
    return 0;
}

#ifdef KVM_CAP_X86_NOTIFY_VMEXIT
static bool can_notify(const struct kvm_machine *m)
{
    return kvm_cap(m, KVM_CAP_X86_NOTIFY_VMEXIT) > 0;
}

static int start_notify(struct kvm_machine *m)
{
    struct kvm_enable_cap cap = {
        .cap = KVM_CAP_X86_NOTIFY_VMEXIT,
        .args = {(uint64_t)m->notify_window << 32 | KVM_X86_NOTIFY_VMEXIT_ENABLED | KVM_X86_NOTIFY_VMEXIT_USER}};

    return ioctl(m->vm, KVM_ENABLE_CAP, &cap) < 0 ? -errno : 0;
}
#else
static bool can_notify(const struct kvm_machine *m)
{
    (void)m;
    return false;
}

static int start_notify(struct kvm_machine *m)
{
    (void)m;
    return -ENOTSUP;
}
#endif

/* The default does without where the processor cannot. */
static int set_notify(struct kvm_machine *m, struct bp_error *err)
{
    int ret;

    if (m->notify == NOTIFY_DISABLE)
        return m->notify_window ? bp_fail(err, EINVAL, "notify-window=%u: it has a meaning with notify-vmexit=run or "
                                          "internal-error only", m->notify_window)
                                : 0;
    if (!can_notify(m))
        return m->notify == NOTIFY_ERROR || m->notify_window
                   ? bp_fail(err, ENOTSUP, "notify-vmexit=%s,notify-window=%u: this processor, or the host's kernel, "
                             "has no notify exits; use notify-vmexit=run with no window, or disable",
                             m->notify == NOTIFY_ERROR ? "internal-error" : "run", m->notify_window)
                   : 0;
    ret = start_notify(m);
    return ret < 0 ? bp_fail(err, ret, "notify-window=%u: KVM_CAP_X86_NOTIFY_VMEXIT: %s", m->notify_window,
                             strerror(-ret))
                   : 0;
}

static int set_shadow_memory(struct kvm_machine *m, struct bp_error *err)
{
    uint64_t pages = m->shadow_mem / PAGE;

    if (m->shadow_mem == 0)
        return 0;
    if (pages < 64 || pages > UINT32_MAX)
        return bp_fail(err, EINVAL, "kvm-shadow-mem=%llu: it is 256 KiB (64 pages) or more, less than 16 TiB",
                       (unsigned long long)m->shadow_mem);
    if (ioctl(m->vm, KVM_SET_NR_MMU_PAGES, (unsigned long)pages) < 0)
        return bp_fail(err, errno, "kvm-shadow-mem=%llu: KVM_SET_NR_MMU_PAGES: %s", (unsigned long long)m->shadow_mem,
                       strerror(errno));
    return 0;
}

int kvm_tune(struct kvm_machine *m, struct bp_error *err)
{
    int ret = set_power_states(m, err);

    if (ret == 0)
        ret = set_notify(m, err);
    if (ret == 0)
        ret = set_shadow_memory(m, err);
    return ret == 0 ? kvm_ring_open(m, err) : ret;
}

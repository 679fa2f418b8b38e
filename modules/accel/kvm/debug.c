/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a debugger wants of a vCPU (KVM_SET_GUEST_DEBUG): steps, and up to four points of code in the processor's debug
 * registers. More of them, and points of data, which registers cannot tell apart as finely and which nested KVMs do
 * not stop at, are the interpreter's: it executes all of the guest until they are taken away.
 */
#include "kvm.h"
#include <bp/log.h>
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

static bool fits(const struct bp_debug *debug)
{
    if (debug->count > 4)
        return false;
    for (unsigned n = 0; n < debug->count; n++) {
        if (debug->points[n].kind != BP_DEBUG_EXECUTE)
            return false;
    }
    return true;
}

void kvm_set_debug(struct kvm_vcpu *c, const struct bp_debug *debug)
{
    struct kvm_guest_debug k = {.control = debug ? KVM_GUESTDBG_ENABLE : 0};

    bool soft = debug && !fits(debug);

    c->debug = debug;
    if (soft != c->debug_soft) {
        c->m->debug_soft += soft ? 1 : -1u;
        c->debug_soft = soft;
        kvm_lapics_move(c->m, c->m->debug_soft > 0);
    }
    if (debug && !c->debug_soft) {
        if (debug->step)
            k.control |= KVM_GUESTDBG_SINGLESTEP;
#ifdef KVM_GUESTDBG_BLOCKIRQ
        if (debug->step && !debug->step_interrupts &&
            kvm_cap(c->m, KVM_CAP_SET_GUEST_DEBUG2) & (int)KVM_GUESTDBG_BLOCKIRQ)
            k.control |= KVM_GUESTDBG_BLOCKIRQ;
#endif
        if (debug->count > 0)
            k.control |= KVM_GUESTDBG_USE_HW_BP;
        for (unsigned n = 0; n < debug->count; n++) {
            k.arch.debugreg[n] = debug->points[n].address;
            k.arch.debugreg[7] |= 0x600 | (uint64_t)2 << n * 2; /* GE, 1; G of the register */
        }
    }
    if (ioctl(c->fd, KVM_SET_GUEST_DEBUG, &k) < 0)
        bp_warn("kvm: CPU %u: KVM_SET_GUEST_DEBUG: %s", bp_cpu_index(c->cpu), strerror(errno));
}

int kvm_debug_exit(struct kvm_vcpu *c)
{
    const struct bp_debug *debug = c->debug;
    uint64_t dr6 = c->run->debug.arch.dr6;
    struct bp_debug_hit hit = {.reason = BP_DEBUG_STEPPED};

    for (unsigned n = 0; debug && n < debug->count && n < 4; n++) {
        if (dr6 >> n & 1) {
            hit = (struct bp_debug_hit){.reason = BP_DEBUG_AT_POINT, .kind = debug->points[n].kind,
                                        .address = debug->points[n].address};
            break;
        }
    }
    bp_cpu_debug_hit(c->cpu, &hit);
    return BP_CPU_EXIT_DEBUG;
}

enum bp_cpu_exit kvm_soft_debug(struct kvm_vcpu *c)
{
    struct vcpu *v = kvm_soft(c);
    enum bp_cpu_exit why;

    if (!v)
        return BP_CPU_EXIT_ERROR;
    vcpu_debug(v, c->debug);
    why = vcpu_run(v, bp_cpu_kick_flag(c->cpu));
    vcpu_sync(v);
    if (why == BP_CPU_EXIT_DEBUG)
        bp_cpu_debug_hit(c->cpu, &v->hit);
    vcpu_debug(v, NULL);
    return why;
}

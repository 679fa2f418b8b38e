/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The run loop: what others ask, interrupts, KVM_RUN, and what the guest left it for.
 *
 * The kernel completes an access that was answered when it runs next. So a kick that comes meanwhile lets it run once
 * more with immediate_exit: registers are those between two instructions whenever somebody else sees them.
 */
#include "kvm.h"
#include <bp/log.h>
#include <bp/loop.h>
#include <bp/memory.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { GO_ON = -1, AGAIN = -2 }; /* beside enum bp_cpu_exit */
#define SLOW (BP_X86_INT_INIT | BP_X86_INT_SIPI | BP_X86_INT_SMI | BP_X86_INT_MACHINE_CHECK)

/* ---- kicks ---- */

static int kick_signal(void)
{
    return SIGRTMIN + 6;
}

static void on_kick(int number)
{
    (void)number; /* KVM_RUN has ended */
}

int kvm_catch_signal(struct bp_error *err)
{
    struct sigaction action = {.sa_handler = on_kick};

    sigemptyset(&action.sa_mask);
    if (sigaction(kick_signal(), &action, NULL) < 0)
        return bp_fail(err, errno, "cannot handle signal %d: %s", kick_signal(), strerror(errno));
    return 0;
}

static void bind_thread(struct kvm_vcpu *c)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, kick_signal());
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    c->tid = (int)syscall(SYS_gettid);
    c->bound = true;
}

void kvm_kick(struct kvm_vcpu *c)
{
    __atomic_store_n(&c->run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&c->inside, __ATOMIC_SEQ_CST))
        syscall(SYS_tgkill, getpid(), c->tid, kick_signal());
}

/* ---- before the guest runs ---- */

static bool takes_interrupts(const struct kvm_vcpu *c)
{
    return !c->debug || !c->debug->step || c->debug->step_interrupts || c->x->halted;
}

static int inject(struct kvm_vcpu *c, unsigned long what, void *data)
{
    if (ioctl(c->fd, what, data) == 0)
        return GO_ON;
    bp_warn("kvm: CPU %u: an interrupt is not taken: %s", bp_cpu_index(c->cpu), strerror(errno));
    return BP_CPU_EXIT_ERROR;
}

static int take_nmi(struct kvm_vcpu *c)
{
    if (c->x->halted) {
        kvm_sync(c);
        if (c->x->nmi_blocked)
            return GO_ON;
    }
    bp_x86_uninterrupt(c->x, BP_X86_INT_NMI);
    c->x->halted = 0;
    c->fresh = false;
    return inject(c, KVM_NMI, NULL);
}

static int take_hard(struct kvm_vcpu *c)
{
    struct kvm_interrupt interrupt;
    int vector;

    if (!c->can_inject || !c->x->apic)
        return GO_ON;
    vector = c->x->apic->acknowledge(c->x->apic_opaque);
    if (vector < 0)
        return GO_ON;
    c->x->halted = 0;
    interrupt.irq = (uint32_t)vector;
    c->can_inject = false;
    c->fresh = false;
    return inject(c, KVM_INTERRUPT, &interrupt);
}

static int take_interrupts(struct kvm_vcpu *c)
{
    uint32_t pending = __atomic_load_n(&c->x->interrupts, __ATOMIC_SEQ_CST);
    int why = GO_ON;

    c->run->request_interrupt_window = 0;
    if (!takes_interrupts(c))
        return GO_ON;
    if (pending & BP_X86_INT_NMI)
        why = take_nmi(c);
    if (why == GO_ON && pending & BP_X86_INT_HARD)
        why = take_hard(c);
    if (__atomic_load_n(&c->x->interrupts, __ATOMIC_SEQ_CST) & BP_X86_INT_HARD)
        c->run->request_interrupt_window = 1;
    return why;
}

static int slow_requests(struct kvm_vcpu *c)
{
    enum bp_cpu_exit why;

    kvm_sync(c);
    why = kvm_soft_step(c);
    return why == BP_CPU_EXIT_KICKED ? AGAIN : (int)why;
}

static int in_software(struct kvm_vcpu *c)
{
    enum bp_cpu_exit why;

    kvm_sync(c);
    why = c->debug ? kvm_soft_debug(c) : kvm_soft_run(c);
    return why == BP_CPU_EXIT_KICKED ? AGAIN : (int)why;
}

/* A guest that masks A20 for long runs in the interpreter, which takes interrupts of the devices only. */
static void follow_a20(struct kvm_vcpu *c)
{
    if (c->m->irqchip == IRQCHIP_OFF || c->m->cpus > 1 || c->debug_soft)
        return;
    bp_machine_lock(bp_cpu_machine(c->cpu));
    kvm_lapics_move(c->m, c->x->a20_masked);
    bp_machine_unlock(bp_cpu_machine(c->cpu));
}

static int attend(struct kvm_vcpu *c)
{
    struct bp_x86_cpu *x = c->x;
    int why;

    if (bp_cpu_kicked(bp_cpu_kick_flag(c->cpu)))
        return BP_CPU_EXIT_KICKED;
    if (c->dead)
        return BP_CPU_EXIT_HALTED;
    if (x->a20_masked != c->m->lapics_here)
        follow_a20(c);
    if (kvm_needs_soft(x) || c->debug_soft)
        return in_software(c);
    if (__atomic_load_n(&x->interrupts, __ATOMIC_SEQ_CST) & SLOW)
        return slow_requests(c);
    if (x->wait_for_sipi && !x->lapic)
        return BP_CPU_EXIT_HALTED;
    if (c->changed && kvm_put_state(c) < 0)
        return BP_CPU_EXIT_ERROR;
    why = take_interrupts(c);
    if (why != GO_ON)
        return why;
    return x->halted && !x->lapic ? BP_CPU_EXIT_HALTED : GO_ON;
}

/* ---- accesses ---- */

static void access_ports(struct kvm_vcpu *c)
{
    struct kvm_run *run = c->run;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    struct bp_space *io = bp_cpu_io(c->cpu);
    unsigned size = run->io.size;

    for (uint32_t n = 0; n < run->io.count; n++, data += size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            bp_space_store(io, run->io.port, size, value);
        } else {
            value = ~(uint64_t)0;
            bp_space_load(io, run->io.port, size, &value);
            memcpy(data, &value, size);
        }
    }
}

static void access_memory(struct kvm_vcpu *c)
{
    struct kvm_run *run = c->run;
    struct bp_space *space = bp_cpu_space(c->cpu);
    uint64_t address = run->mmio.phys_addr, value = 0;
    unsigned size = run->mmio.len;
    bool whole = size == 1 || size == 2 || size == 4 || size == 8;

    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, size <= 8 ? size : 8);
        if (whole)
            bp_space_store(space, address, size, value);
        else
            bp_space_write(space, address, run->mmio.data, size);
        return;
    }
    if (whole) {
        value = ~(uint64_t)0;
        bp_space_load(space, address, size, &value);
        memcpy(run->mmio.data, &value, size);
    } else {
        bp_space_read(space, address, run->mmio.data, size);
    }
}

/* ---- after it ran ---- */

static int broken(struct kvm_vcpu *c, const char *what, uint64_t detail)
{
    kvm_sync(c);
    bp_warn("kvm: CPU %u cannot go on at %04x:%#llx: %s (%#llx)", bp_cpu_index(c->cpu), c->x->seg[BP_CS].selector,
            (unsigned long long)c->x->rip, what, (unsigned long long)detail);
    return BP_CPU_EXIT_ERROR;
}

/* An instruction that KVM would have to emulate and cannot: on memory of a device, or fetched from there. */
static int internal_error(struct kvm_vcpu *c)
{
    enum bp_cpu_exit why;

    if (c->run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION)
        return broken(c, "the kernel's KVM reports an internal error", c->run->internal.suberror);
    kvm_sync(c);
    why = kvm_soft_step(c);
    return why == BP_CPU_EXIT_KICKED ? AGAIN : (int)why;
}

static int shut_down(struct kvm_vcpu *c)
{
    kvm_sync(c);
    kvm_soft_story(c);
    c->dead = true;
    return BP_CPU_EXIT_SHUTDOWN;
}

static int ring_full(struct kvm_vcpu *c)
{
    bp_machine_lock(bp_cpu_machine(c->cpu));
    kvm_ring_empty(c->m);
    bp_machine_unlock(bp_cpu_machine(c->cpu));
    return AGAIN;
}

#ifdef KVM_CAP_X86_NOTIFY_VMEXIT
/* No event could be delivered for too long. */
static int notified(struct kvm_vcpu *c)
{
    if (c->run->notify.flags & KVM_NOTIFY_CONTEXT_INVALID)
        return broken(c, "no event could be delivered, and the processor's state is lost", c->run->notify.flags);
    if (c->m->notify == NOTIFY_ERROR)
        return broken(c, "no event could be delivered for longer than notify-window", c->run->notify.flags);
    return AGAIN;
}
#endif

static int halted(struct kvm_vcpu *c)
{
    c->x->halted = 1;
    if (!c->debug || !c->debug->step)
        return AGAIN;
    bp_cpu_debug_hit(c->cpu, &(struct bp_debug_hit){.reason = BP_DEBUG_STEPPED});
    return BP_CPU_EXIT_DEBUG;
}

static int why_left(struct kvm_vcpu *c)
{
    struct kvm_run *run = c->run;

    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        kvm_count(&c->lefts[KVM_LEFT_IO], 1);
        access_ports(c);
        c->unfinished = true;
        return AGAIN;
    case KVM_EXIT_MMIO:
        kvm_count(&c->lefts[KVM_LEFT_MMIO], 1);
        access_memory(c);
        c->unfinished = true;
        return AGAIN;
    case KVM_EXIT_X86_RDMSR: case KVM_EXIT_X86_WRMSR:
        kvm_count(&c->lefts[KVM_LEFT_MSR], 1);
        kvm_access_msr(c, run->exit_reason == KVM_EXIT_X86_WRMSR);
        c->unfinished = true;
        return AGAIN;
    case KVM_EXIT_HLT: return halted(c);
    case KVM_EXIT_IOAPIC_EOI:
        c->x->apic->eoi(c->x->apic_opaque, run->eoi.vector);
        return AGAIN;
    case KVM_EXIT_IRQ_WINDOW_OPEN: case KVM_EXIT_INTR: case KVM_EXIT_SET_TPR: return AGAIN;
    case KVM_EXIT_SHUTDOWN: return shut_down(c);
    case KVM_EXIT_DEBUG: return kvm_debug_exit(c);
    case KVM_EXIT_INTERNAL_ERROR: return internal_error(c);
    case KVM_EXIT_DIRTY_RING_FULL: return ring_full(c);
#ifdef KVM_CAP_X86_NOTIFY_VMEXIT
    case KVM_EXIT_NOTIFY: return notified(c);
#endif
    case KVM_EXIT_FAIL_ENTRY:
        return broken(c, "the processor does not take its state", run->fail_entry.hardware_entry_failure_reason);
    default: return broken(c, "KVM left the guest for a reason that is not known", run->exit_reason);
    }
}

/* What the guest did to its local APIC without an access to it. */
static void heed_apic(struct kvm_vcpu *c)
{
    const struct bp_x86_apic_ops *apic = c->x->apic;
    uint64_t base = c->run->apic_base;
    uint8_t cr8 = (uint8_t)c->run->cr8;

    if (c->x->lapic)
        return;
    if (cr8 != c->cr8 && apic) {
        c->cr8 = cr8;
        apic->set_tpr(c->x->apic_opaque, cr8);
    }
    if (base != c->apic_base && apic) {
        c->apic_base = base;
        apic->set_base(c->x->apic_opaque, base);
    }
}

static int run_once(struct kvm_vcpu *c)
{
    struct kvm_run *run = c->run;
    int ret;

    if (c->x->apic)
        c->cr8 = c->x->apic->get_tpr(c->x->apic_opaque);
    run->cr8 = c->cr8;
    kvm_gate_enter(c);
    /* Also when what was accessed made the hardware unfit for what comes next. */
    if (bp_cpu_kicked(bp_cpu_kick_flag(c->cpu)) || (c->unfinished && kvm_needs_soft(c->x)))
        __atomic_store_n(&run->immediate_exit, 1, __ATOMIC_SEQ_CST);
    ret = ioctl(c->fd, KVM_RUN, 0) < 0 ? -errno : 0;
    kvm_gate_leave(c);
    c->unfinished = false;
    c->fresh = false;
    c->can_inject = run->ready_for_interrupt_injection;
    /* The core asks for it before it wakes a halted one. */
    c->lapic_known = false;
    if (c->x->lapic) /* the kernel knows */
        c->x->halted = c->x->wait_for_sipi = 0;
    c->x->rflags = run->if_flag ? c->x->rflags | F_IF : c->x->rflags & ~(uint64_t)F_IF;
    heed_apic(c);
    kvm_coalesced_take(c);
    if (ret == 0)
        return why_left(c);
    return ret == -EINTR || ret == -EAGAIN ? AGAIN : broken(c, strerror(-ret), (uint64_t)-ret);
}

enum bp_cpu_exit kvm_exec(struct kvm_vcpu *c)
{
    if (!c->bound)
        bind_thread(c);
    for (;;) {
        int why = c->unfinished ? GO_ON : attend(c);

        if (why == GO_ON)
            why = run_once(c);
        if (why >= 0)
            return (enum bp_cpu_exit)why;
    }
}

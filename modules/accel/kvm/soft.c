/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The interpreter in the hardware's place: in system management mode, while A20 is masked, for an instruction that
 * KVM gives up on, and for INIT and SIPI. It works on bp_x86_cpu and the machine's memory as it does for -accel
 * interp. What guest code that ran on the hardware wrote it does not hear of, so that it decodes anew each time.
 */
#include "kvm.h"
#include <bp/log.h>
#include <stdlib.h>
#include <string.h>

static void forget_code(struct vcpu *v)
{
    blocks_drop(v);
    vcpu_changed(v);
}

struct vcpu *kvm_soft(struct kvm_vcpu *c)
{
    struct bus bus;

    if (!c->soft) {
        machine_bus(c->cpu, &bus);
        c->soft = vcpu_new_shared(c->x, &bus, c->m->map);
        if (!c->soft)
            bp_warn("kvm: CPU %u: no memory for the interpreter", bp_cpu_index(c->cpu));
    }
    if (c->soft)
        forget_code(c->soft);
    c->changed = true;
    return c->soft;
}

/* It executes nothing: most of it is never touched, and costs nothing. */
struct vcpu *kvm_soft_aside(struct kvm_vcpu *c)
{
    if (!c->aside && (c->aside = calloc(1, sizeof(*c->aside))))
        c->aside->x = c->x;
    return c->aside;
}

enum bp_cpu_exit kvm_soft_step(struct kvm_vcpu *c)
{
    struct vcpu *v = kvm_soft(c);
    enum bp_cpu_exit why;

    if (!v)
        return BP_CPU_EXIT_ERROR;
    why = vcpu_step(v);
    vcpu_sync(v);
    return why;
}

/* For as long as it must be, or until somebody wants something. */
enum bp_cpu_exit kvm_soft_run(struct kvm_vcpu *c)
{
    struct vcpu *v = kvm_soft(c);
    const uint32_t *kick = bp_cpu_kick_flag(c->cpu);
    enum bp_cpu_exit why = BP_CPU_EXIT_KICKED;

    if (!v)
        return BP_CPU_EXIT_ERROR;
    while (kvm_needs_soft(c->x) && !bp_cpu_kicked(kick)) {
        why = vcpu_step(v);
        if (why != BP_CPU_EXIT_KICKED)
            break;
    }
    vcpu_sync(v);
    return why;
}

/* ---- an interrupt whose vector is known ---- */

static int known_vector(void *opaque)
{
    uint8_t *vector = opaque;

    return *vector;
}

void kvm_soft_interrupt(struct kvm_vcpu *c, uint8_t vector)
{
    struct bp_x86_cpu *x = c->x;
    const struct bp_x86_apic_ops *apic = x->apic;
    const struct bp_x86_apic_ops only = {.acknowledge = known_vector};
    void *opaque = x->apic_opaque;
    uint32_t pending;

    /* Nothing else comes before it; what is asked for meanwhile is not lost, and looking once too often does no
     * harm. */
    pending = __atomic_exchange_n(&x->interrupts, BP_X86_INT_HARD, __ATOMIC_SEQ_CST);
    x->apic = &only;
    x->apic_opaque = &vector;
    x->halted = 0;
    x->rflags |= F_IF; /* it was set when the interrupt was taken */
    kvm_soft_step(c);
    x->apic = apic;
    x->apic_opaque = opaque;
    __atomic_fetch_or(&x->interrupts, pending, __ATOMIC_SEQ_CST);
}

/* ---- the story of a triple fault ---- */

static void look_only(void *opaque, uint64_t address, struct phys_page *ret_page)
{
    struct bus bus;

    machine_bus(opaque, &bus);
    bus.lookup(opaque, address, ret_page);
    ret_page->readonly = true;
}

static uint64_t read_nothing(void *opaque, uint64_t address, unsigned size)
{
    (void)opaque, (void)address, (void)size;
    return ~(uint64_t)0;
}

static void write_nothing(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    (void)opaque, (void)address, (void)value, (void)size;
}

static uint64_t in_nothing(void *opaque, uint16_t port, unsigned size)
{
    (void)opaque, (void)port, (void)size;
    return ~(uint64_t)0;
}

static void out_nothing(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    (void)opaque, (void)port, (void)value, (void)size;
}

/* The instruction is executed once more, on a copy that changes nothing: the interpreter tells what becomes of it. */
void kvm_soft_story(struct kvm_vcpu *c)
{
    const struct bus bus = {.opaque = c->cpu, .lookup = look_only, .read = read_nothing, .write = write_nothing,
                            .port_in = in_nothing, .port_out = out_nothing, .names = machine_names};
    struct bp_x86_cpu copy = *c->x;
    struct vcpu *v;

    if (c->told && !bp_log_on(BP_LOG_GUEST_ERROR | BP_LOG_INT | BP_LOG_RESET))
        return;
    c->told = true;
    copy.interrupts = 0;
    copy.apic = NULL;
    copy.ferr = NULL;
    v = vcpu_new(&copy, &bus);
    if (!v || vcpu_step(v) != BP_CPU_EXIT_SHUTDOWN)
        bp_log(BP_LOG_GUEST_ERROR | BP_LOG_INT | BP_LOG_RESET,
               "CPU %u: triple fault at %04x:%016llx; KVM does not tell why\n", bp_cpu_index(c->cpu),
               c->x->seg[BP_CS].selector, (unsigned long long)c->x->rip);
    vcpu_free(v);
}

void kvm_soft_end(struct kvm_vcpu *c)
{
    vcpu_free(c->soft);
    c->soft = NULL;
    free(c->aside);
    c->aside = NULL;
}

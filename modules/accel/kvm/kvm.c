/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The class of the accelerator `kvm`, its properties and its vCPUs' lives. */
#include "kvm.h"
#include <bp/exact/machine.h>
#include <bp/log.h>
#include <bp/loop.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static void memory_written(void *opaque, const uint8_t *host, uint64_t length)
{
    code_written(opaque, host, length);
}

static int init(struct bp_accel *accel, struct bp_error *err)
{
    struct kvm_machine *m = bp_accel_state(accel);
    int ret;

    m->accel = accel;
    ret = kvm_open(m, err);
    if (ret == 0)
        ret = kvm_tune(m, err);
    if (ret == 0)
        ret = kvm_catch_signal(err);
    if (ret == 0 && !(m->map = calloc(1, sizeof(*m->map))))
        ret = bp_fail(err, ENOMEM, "no memory for the code map");
    if (ret < 0) {
        kvm_close(m);
        return ret;
    }
    bp_write_watch_new(bp_object_owner(bp_accel_object(accel)), memory_written, m->map);
    kvm_stats_begin(m);
    return 0;
}

/* ---- vCPUs ---- */

static void park(struct kvm_vcpu *c)
{
    struct kvm_parked *p = calloc(1, sizeof(*p));

    if (!p) {
        close(c->fd);
        return;
    }
    *p = (struct kvm_parked){.next = c->m->parked, .id = c->x->apic_id, .fd = c->fd, .cpuid = c->cpuid};
    c->cpuid = NULL;
    c->m->parked = p;
}

static int unpark(struct kvm_machine *m, uint32_t id, struct kvm_cpuid2 **ret_cpuid)
{
    for (struct kvm_parked **link = &m->parked, *p; (p = *link); link = &p->next) {
        int fd = p->fd;

        if (p->id != id)
            continue;
        *link = p->next;
        *ret_cpuid = p->cpuid;
        free(p);
        return fd;
    }
    return -1;
}

static void free_vcpu(struct kvm_vcpu *c)
{
    kvm_ring_unmap(c);
    if (c->run)
        munmap(c->run, (size_t)c->m->run_size);
    if (c->stats >= 0)
        close(c->stats);
    if (c->fd >= 0)
        park(c);
    kvm_soft_end(c);
    free(c->cpuid);
    free(c->xsave);
    free(c);
}

static int make_vcpu(struct kvm_vcpu *c, struct bp_error *err)
{
    struct kvm_machine *m = c->m;
    void *run;

    c->fd = unpark(m, c->x->apic_id, &c->cpuid);
    if (c->fd < 0)
        c->fd = ioctl(m->vm, KVM_CREATE_VCPU, (unsigned long)c->x->apic_id);
    if (c->fd < 0)
        return bp_fail(err, errno, "KVM does not make processor %u: %s", bp_cpu_index(c->cpu), strerror(errno));
    run = mmap(NULL, (size_t)m->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->fd, 0);
    if (run == MAP_FAILED)
        return bp_fail(err, errno, "the area of processor %u cannot be mapped: %s", bp_cpu_index(c->cpu),
                       strerror(errno));
    c->run = run;
    kvm_coalesced_map(c);
    c->stats = kvm_stats_open(c->fd);
    if (posix_memalign((void **)&c->xsave, 64, sizeof(*c->xsave)) != 0) {
        c->xsave = NULL;
        return bp_fail(err, ENOMEM, "no memory for processor %u", bp_cpu_index(c->cpu));
    }
    memset(c->xsave, 0, sizeof(*c->xsave));
    return kvm_ring_map(c, err);
}

/* The time stamp counter's speed is the host's, but where the processor can change it. */
static int set_clock(struct kvm_vcpu *c, struct bp_error *err)
{
    uint64_t asked = c->x->tsc_hz;
    int khz = ioctl(c->fd, KVM_GET_TSC_KHZ, 0);

    (void)err;
    if (khz > 0)
        c->x->tsc_hz = (uint64_t)khz * 1000;
    if (asked == 1000000000u || asked / 1000 == (uint64_t)khz)
        return 0;
    if (kvm_cap(c->m, KVM_CAP_TSC_CONTROL) && ioctl(c->fd, KVM_SET_TSC_KHZ, asked / 1000) == 0)
        c->x->tsc_hz = asked;
    else if (bp_cpu_index(c->cpu) == 0)
        bp_warn("kvm: tsc-frequency=%llu: this processor's counter has one speed, %llu", (unsigned long long)asked,
                (unsigned long long)c->x->tsc_hz);
    return 0;
}

static int set_machine_checks(struct kvm_vcpu *c, struct bp_error *err)
{
    uint64_t banks = BP_COUNT(c->x->mc_bank) / 4 | 1u << 8; /* and MCG_CTL */

    if (!(c->x->features[BP_X86_FW_1_EDX] & 1u << 14) || kvm_cap(c->m, KVM_CAP_MCE) < (int)(banks & 0xff))
        return 0;
    if (ioctl(c->fd, KVM_X86_SETUP_MCE, &banks) < 0)
        return bp_fail(err, errno, "KVM_X86_SETUP_MCE: %s", strerror(errno));
    return 0;
}

static int cpu_init(struct bp_accel *accel, struct bp_cpu *cpu, struct bp_error *err)
{
    struct kvm_machine *m = bp_accel_state(accel);
    struct kvm_vcpu *c = calloc(1, sizeof(*c));
    const struct bp_smp *smp = bp_machine_smp(bp_cpu_machine(cpu));
    int ret;

    if (!c)
        return bp_fail(err, ENOMEM, "no memory for a vCPU");
    ret = smp ? kvm_lapic_widen(m, bp_x86_apic_id(smp, smp->max_cpus - 1), err) : 0;
    if (ret < 0) {
        free(c);
        return ret;
    }
    c->m = m;
    c->fd = c->stats = -1;
    c->cpu = cpu;
    c->x = bp_cpu_state(cpu);
    c->x->cpu = cpu;
    c->x->lapic = m->irqchip != IRQCHIP_OFF && !m->lapics_here ? kvm_lapic_ops(m) : NULL;
    c->tsc_offset = ~c->x->tsc_offset;
    c->fresh = c->changed = true;
    if ((ret = make_vcpu(c, err)) < 0 || (ret = set_clock(c, err)) < 0 || (ret = kvm_give_cpuid(c, err)) < 0 ||
        (ret = set_machine_checks(c, err)) < 0 ||
        (ret = kvm_memory_begin(m, bp_cpu_space(cpu), bp_cpu_io(cpu), err)) < 0) {
        free_vcpu(c);
        return ret;
    }
    kvm_msr_filter(m, c->x);
    ((struct cpu_kvm *)bp_cpu_accel_state(cpu))->c = c;
    m->cpus++;
    pthread_mutex_lock(&m->gate);
    c->next = m->first;
    m->first = c;
    pthread_mutex_unlock(&m->gate);
    return 0;
}

static void smm_commit(void *opaque)
{
    struct kvm_vcpu *c = opaque;

    if (c->soft)
        __atomic_store_n(&c->soft->map_changed, 1, __ATOMIC_SEQ_CST);
    if (c->soft && bp_cpu_current() == c->cpu)
        end_block(c->soft);
}

static const struct bp_memory_listener smm_listener = {.size = sizeof(smm_listener), .commit = smm_commit};

static void cpu_fini(struct bp_cpu *cpu)
{
    struct kvm_vcpu *c = kvm_of(cpu), **link;
    struct kvm_machine *m;

    if (!c)
        return;
    m = c->m;
    if (c->hears_smm)
        bp_space_unlisten(c->x->smm_space, &smm_listener, c);
    pthread_mutex_lock(&m->gate);
    for (link = &m->first; *link != c; link = &(*link)->next)
        ;
    *link = c->next;
    pthread_mutex_unlock(&m->gate);
    if (--m->cpus == 0)
        kvm_memory_end(m);
    free_vcpu(c);
    ((struct cpu_kvm *)bp_cpu_accel_state(cpu))->c = NULL;
}

static enum bp_cpu_exit cpu_exec(struct bp_cpu *cpu)
{
    return kvm_exec(kvm_of(cpu));
}

static void cpu_kick(struct bp_cpu *cpu)
{
    struct kvm_vcpu *c = kvm_of(cpu);

    if (c)
        kvm_kick(c);
}

/* The kernel delivers nothing to a new vCPU before it was given a state, and a SIPI that is not taken is lost:
 * another may send it before this thread comes to run. All is given again then: it may have changed. */
static void show_to_others(struct kvm_vcpu *c)
{
    if (c->bound || !c->x->lapic || !c->x->apic || !c->x->wait_for_sipi)
        return;
    (void)kvm_put_state(c); /* tells what fails */
    c->changed = true;
}

static void cpu_changed(struct bp_cpu *cpu)
{
    struct kvm_vcpu *c = kvm_of(cpu);

    if (c->x->smm_space && !c->hears_smm) { /* a reset, before it runs */
        machine_hear_smm(cpu, &smm_listener, c);
        c->hears_smm = true;
    }
    c->fresh = c->changed = true;
    c->dead = false;
    show_to_others(c);
}

static void cpu_sync(struct bp_cpu *cpu)
{
    kvm_sync(kvm_of(cpu));
}

static void cpu_port_registers(struct bp_cpu *cpu, bool back)
{
    kvm_port_registers(kvm_of(cpu), back);
}

static void cpu_features(struct bp_accel *accel, uint32_t *words, unsigned count)
{
    kvm_features(bp_accel_state(accel), words, count);
}

static void cpu_debug(struct bp_cpu *cpu, const struct bp_debug *debug)
{
    kvm_set_debug(kvm_of(cpu), debug);
}

static const char *const irqchips[] = {"auto", "on", "off", "split", NULL};
static const struct bp_schema irqchip_kind = {.name = "OnOffSplitAuto", .kind = BP_KIND_ENUM, .choices = irqchips};
static const char *const notifies[] = {"run", "internal-error", "disable", NULL};
static const struct bp_schema notify_kind = {.name = "NotifyVmexitOption", .kind = BP_KIND_ENUM,
                                             .choices = notifies};
static const struct bp_field props[] = {
    BP_PROP("device", STRING, struct kvm_machine, device, "/dev/kvm", "node of KVM, or /dev/fdset/N"),
    BP_PROP_ENUM("kernel-irqchip", &irqchip_kind, struct kvm_machine, irqchip, "auto",
                 "which interrupt controllers are the kernel's; auto: on, or what it has"),
    BP_PROP("kvm-shadow-mem", SIZE, struct kvm_machine, shadow_mem, "0", "memory for shadow page tables; 0: as the "
            "kernel has it"),
    BP_PROP("dirty-ring-size", UINT32, struct kvm_machine, dirty_ring, "0",
            "entries of a vCPU's list of pages that were written, a power of two from 1024 on; 0: bitmaps"),
    BP_PROP_ENUM("notify-vmexit", &notify_kind, struct kvm_machine, notify, "run",
                 "when no event can be delivered for long: go on, stop with an internal error, or do not look"),
    BP_PROP("notify-window", UINT32, struct kvm_machine, notify_window, "0", "how many cycles longer than the "
            "processor's own window that is"),
    BP_PROP("cpu-pm", BOOL, struct kvm_machine, cpu_pm, "off", "as -overcommit cpu-pm"),
    BP_FIELDS_END};

BP_ACCEL(kvm, "kvm", "x86_64,i386", "The host's processor, by Linux's KVM", struct kvm_machine, props, .rank = 15,
         .smm = true, .host_cpu = true, .init = init, .cpu_size = sizeof(struct cpu_kvm), .cpu_init = cpu_init,
         .cpu_fini = cpu_fini, .cpu_exec = cpu_exec, .cpu_kick = cpu_kick, .cpu_changed = cpu_changed,
         .cpu_sync = cpu_sync, .cpu_features = cpu_features, .cpu_debug = cpu_debug,
         .message_fd = kvm_message_fd, .message_fd_end = kvm_message_fd_end,
         .cpu_port_registers = cpu_port_registers);

BP_MODULE("accel-kvm", "KVM", BP_NO_IMPORTS, {BP_PROVIDE_ACCEL, &kvm}, {BP_PROVIDE_COMMAND, &kvm_query_stats},
          {BP_PROVIDE_COMMAND, &kvm_query_schemas}, {BP_PROVIDE_HMP, &kvm_info_stats});

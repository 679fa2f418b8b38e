/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accelerator `interp`: the reference interpreter. Connects a vCPU with the machine's memory and
 * I/O space; the vCPUs of a machine share one code map.
 */
#include "machine.h"
#include "vcpu.h"
#include <bp/exact/memory.h>
#include <bp/memory.h>
#include <errno.h>
#include <stdlib.h>

struct interp {
    struct code_map *map;
};

struct cpu_interp {
    struct vcpu *v;
    bool hears_smm; /* of changes of what system management mode sees */
};

static struct vcpu *vcpu_of(struct bp_cpu *cpu)
{
    return ((struct cpu_interp *)bp_cpu_accel_state(cpu))->v;
}

/* ---- the memory map changed ---- */

static void map_commit(void *opaque)
{
    struct vcpu *v = opaque;

    __atomic_store_n(&v->map_changed, 1, __ATOMIC_SEQ_CST);
    bp_cpu_kick(v->x->cpu);
    if (bp_cpu_current() == v->x->cpu)
        end_block(v); /* its own doing: no instruction runs before it was heeded */
}

static const struct bp_memory_listener listener = {.size = sizeof(listener), .commit = map_commit};

/* Not a vCPU's own store: what was decoded of these bytes is dropped. */
static void memory_written(void *opaque, const uint8_t *host, uint64_t length)
{
    struct bp_cpu *cpu;

    if (code_written(opaque, host, length) && (cpu = bp_cpu_current()))
        end_block(vcpu_of(cpu));
}

/* ---- the class ---- */

static int interp_init(struct bp_accel *accel, struct bp_error *err)
{
    struct interp *s = bp_accel_state(accel);

    s->map = calloc(1, sizeof(*s->map));
    if (!s->map)
        return bp_fail(err, ENOMEM, "no memory for the code map");
    bp_write_watch_new(bp_object_owner(bp_accel_object(accel)), memory_written, s->map);
    return 0;
}

static int interp_cpu_init(struct bp_accel *accel, struct bp_cpu *cpu, struct bp_error *err)
{
    struct interp *s = bp_accel_state(accel);
    struct cpu_interp *c = bp_cpu_accel_state(cpu);
    struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct bus bus;

    x->cpu = cpu;
    machine_bus(cpu, &bus);
    c->v = vcpu_new_shared(x, &bus, s->map);
    if (!c->v)
        return bp_fail(err, ENOMEM, "no memory for a vCPU");
    if (bp_machine_counts(bp_cpu_machine(cpu)))
        vcpu_count(c->v, NULL);
    bp_space_listen(bp_cpu_space(cpu), &listener, c->v);
    return 0;
}

static void interp_cpu_fini(struct bp_cpu *cpu)
{
    struct cpu_interp *c = bp_cpu_accel_state(cpu);

    if (!c->v)
        return;
    bp_space_unlisten(bp_cpu_space(cpu), &listener, c->v);
    if (c->hears_smm)
        bp_space_unlisten(((struct bp_x86_cpu *)bp_cpu_state(cpu))->smm_space, &listener, c->v);
    vcpu_free(c->v);
    c->v = NULL;
}

static enum bp_cpu_exit interp_exec(struct bp_cpu *cpu)
{
    struct vcpu *v = vcpu_of(cpu);
    enum bp_cpu_exit why = vcpu_run(v, bp_cpu_kick_flag(cpu));

    if (why == BP_CPU_EXIT_DEBUG)
        bp_cpu_debug_hit(cpu, &v->hit);
    return why;
}

static void interp_changed(struct bp_cpu *cpu)
{
    const struct bp_x86_cpu *x = bp_cpu_state(cpu);
    struct cpu_interp *c = bp_cpu_accel_state(cpu);

    if (x->smm_space && !c->hears_smm) { /* a reset, before it runs */
        machine_hear_smm(cpu, &listener, c->v);
        c->hears_smm = true;
    }
    vcpu_changed(vcpu_of(cpu));
}

static void interp_sync(struct bp_cpu *cpu)
{
    vcpu_sync(vcpu_of(cpu));
}

static void interp_features(struct bp_accel *accel, uint32_t *words, unsigned count)
{
    (void)accel;
    for (unsigned n = 0; n < count; n++)
        words[n] &= n < BP_X86_FW_COUNT ? x86_executed_features[n] : 0;
}

static void interp_debug(struct bp_cpu *cpu, const struct bp_debug *debug)
{
    vcpu_debug(vcpu_of(cpu), debug);
}

static int64_t interp_left(struct bp_cpu *cpu)
{
    return vcpu_left(vcpu_of(cpu));
}

static void interp_set_left(struct bp_cpu *cpu, int64_t instructions)
{
    vcpu_set_left(vcpu_of(cpu), instructions);
}

BP_ACCEL(interp, "interp", "x86_64,i386", "Reference interpreter", struct interp, NULL, .rank = 10, .smm = true,
         .init = interp_init, .cpu_size = sizeof(struct cpu_interp), .cpu_init = interp_cpu_init,
         .cpu_fini = interp_cpu_fini, .cpu_exec = interp_exec, .cpu_changed = interp_changed,
         .cpu_sync = interp_sync, .cpu_features = interp_features, .cpu_debug = interp_debug, .cpu_left = interp_left,
         .cpu_set_left = interp_set_left);

BP_MODULE("accel-interp", "x86 reference interpreter", BP_NO_IMPORTS, {BP_PROVIDE_ACCEL, &interp});

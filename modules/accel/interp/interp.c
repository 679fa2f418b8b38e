/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The accelerator `interp`: the reference interpreter. Connects a vCPU with the machine's memory and
 * I/O space; the vCPUs of a machine share one code map.
 */
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
};

/* opaque: the bp_cpu */
static void space_lookup(void *opaque, uint64_t address, struct phys_page *ret_page)
{
    struct bp_mapping m = {.size = sizeof(m)};

    bp_space_lookup(bp_cpu_space(opaque), address, &m);
    if (!m.host || m.length < PAGE)
        return; /* smaller pieces go through the slow path */
    ret_page->host = m.host;
    ret_page->dirty = m.dirty;
    ret_page->readonly = m.readonly;
}

static uint64_t space_read(void *opaque, uint64_t address, unsigned size)
{
    uint64_t value = ~(uint64_t)0;

    bp_space_load(bp_cpu_space(opaque), address, size, &value);
    return value;
}

static void space_write(void *opaque, uint64_t address, uint64_t value, unsigned size)
{
    bp_space_store(bp_cpu_space(opaque), address, size, value);
}

static uint64_t port_in(void *opaque, uint16_t port, unsigned size)
{
    uint64_t value = ~(uint64_t)0;

    bp_space_load(bp_cpu_io(opaque), port, size, &value);
    return value;
}

static void port_out(void *opaque, uint16_t port, uint64_t value, unsigned size)
{
    bp_space_store(bp_cpu_io(opaque), port, size, value);
}

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
    struct bus bus = {.opaque = cpu, .lookup = space_lookup, .read = space_read, .write = space_write,
                      .port_in = port_in, .port_out = port_out};
    struct interp *s = bp_accel_state(accel);
    struct cpu_interp *c = bp_cpu_accel_state(cpu);
    struct bp_x86_cpu *x = bp_cpu_state(cpu);

    x->cpu = cpu;
    c->v = vcpu_new_shared(x, &bus, s->map);
    if (!c->v)
        return bp_fail(err, ENOMEM, "no memory for a vCPU");
    bp_space_listen(bp_cpu_space(cpu), &listener, c->v);
    return 0;
}

static void interp_cpu_fini(struct bp_cpu *cpu)
{
    struct cpu_interp *c = bp_cpu_accel_state(cpu);

    if (!c->v)
        return;
    bp_space_unlisten(bp_cpu_space(cpu), &listener, c->v);
    vcpu_free(c->v);
    c->v = NULL;
}

static enum bp_cpu_exit interp_exec(struct bp_cpu *cpu)
{
    return vcpu_run(vcpu_of(cpu), bp_cpu_kick_flag(cpu));
}

static void interp_changed(struct bp_cpu *cpu)
{
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

BP_ACCEL(interp, "interp", "x86_64,i386", "Reference interpreter", struct interp, NULL, .rank = 10,
         .init = interp_init, .cpu_size = sizeof(struct cpu_interp), .cpu_init = interp_cpu_init,
         .cpu_fini = interp_cpu_fini, .cpu_exec = interp_exec, .cpu_changed = interp_changed,
         .cpu_sync = interp_sync, .cpu_features = interp_features);

BP_MODULE("accel-interp", "x86 reference interpreter", BP_NO_IMPORTS, {BP_PROVIDE_ACCEL, &interp});

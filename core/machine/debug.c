/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What a debugger asks of a machine: points, steps, which vCPUs stand while others run; and why a vCPU
 * stopped. What it asks goes to the accelerator while the vCPU stands.
 */
#include <errno.h>
#include <string.h>

#include <glib.h>

#include <bp/exact/debug.h>

#include "marks.h"
#include "parts.h"

/* What the accelerator gets: only then anything at all when there is something to do. */
static void hand_over(struct bp_cpu *cpu)
{
    const struct bp_accel_class *accel = cpu->obj.machine->accel->class;
    struct bp_debug *d = &cpu->debug;

    if (accel->cpu_debug && cpu->accel_ready)
        accel->cpu_debug(cpu, d->count > 0 || d->step ? d : NULL);
}

int bp_debug_check(struct bp_machine *m, struct bp_error *err)
{
    struct bp_cpu *cpu = bp_machine_cpu(m, 0);

    bpc_assert_main();
    if (!cpu)
        return bp_fail(err, ENOTSUP, "there is no processor that could be debugged");
    if (!cpu->class->registers)
        return bp_fail(err, ENOTSUP, "CPU model '%s' does not show its registers to debuggers",
                       cpu->class->model);
    if (!m->accel->class->cpu_debug)
        return bp_fail(err, ENOTSUP, "accelerator '%s' has no breakpoints and no single steps",
                       m->accel->class->type.name);
    return 0;
}

int bp_debug_set_points(struct bp_machine *m, const struct bp_debug_point *points, unsigned count,
                        struct bp_error *err)
{
    bool running = bp_machine_running(m);
    int ret;

    bpc_assert_main();
    ret = bp_debug_check(m, err);
    if (ret < 0)
        return ret;
    if (running)
        bpc_cpus_pause();
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        struct bp_cpu *cpu = m->cpus[i];

        if (!cpu)
            continue;
        g_free(cpu->debug_points);
        cpu->debug_points = g_memdup2(points, sizeof(*points) * count);
        cpu->debug.points = cpu->debug_points;
        cpu->debug.count = count;
        if (count == 0) /* nobody looks any more, so nobody steps or is held */
            cpu->held = cpu->debug.step = false;
        hand_over(cpu);
    }
    if (running)
        bpc_cpus_resume();
    return 0;
}

void bp_debug_set_action(struct bp_cpu *cpu, enum bp_debug_action action)
{
    bpc_assert_main();
    cpu->held = action == BP_DEBUG_HOLD;
    cpu->debug.step = action == BP_DEBUG_STEP || action == BP_DEBUG_STEP_INTERRUPTS;
    cpu->debug.step_interrupts = action == BP_DEBUG_STEP_INTERRUPTS;
    cpu->debug_hit.reason = BP_DEBUG_NOTHING;
    hand_over(cpu);
}

int bp_debug_resume(struct bp_machine *m, struct bp_error *err)
{
    bpc_assert_main();
    if (bpc_machine_needs_reset())
        return bp_fail(err, EPERM, "the machine has ended (%s): it needs a reset before it goes on",
                       bpc_run_state_name(bpc_machine_state()));
    (void)m;
    bpc_machine_start();
    return 0;
}

void bp_debug_stop(struct bp_machine *m, bool for_debug)
{
    bpc_assert_main();
    (void)m;
    bpc_machine_stop(for_debug ? BPC_RUN_DEBUG : BPC_RUN_PAUSED);
}

const char *bp_debug_state(struct bp_machine *m)
{
    bpc_assert_main();
    (void)m;
    return bpc_run_state_name(bpc_machine_state());
}

/* The machine stands: nobody steps, and nobody is held. */
void bpc_debug_stopped(struct bp_machine *m)
{
    for (unsigned i = 0; i < m->cpu_slots; i++) {
        struct bp_cpu *cpu = m->cpus[i];

        if (!cpu || (!cpu->held && !cpu->debug.step))
            continue;
        cpu->held = cpu->debug.step = false;
        hand_over(cpu);
    }
}

void bp_cpu_debug_hit(struct bp_cpu *cpu, const struct bp_debug_hit *hit)
{
    cpu->debug_hit = *hit; /* whoever reads it waits until the vCPU stands */
}

void bp_debug_take_hit(struct bp_cpu *cpu, struct bp_debug_hit *ret_hit)
{
    bpc_assert_main();
    *ret_hit = cpu->debug_hit;
    cpu->debug_hit.reason = BP_DEBUG_NOTHING;
}

void bp_debug_sync(struct bp_cpu *cpu)
{
    bpc_assert_main();
    bpc_cpu_sync(cpu);
}

void bp_debug_changed(struct bp_cpu *cpu)
{
    bpc_assert_main();
    bpc_cpu_changed(cpu);
}
